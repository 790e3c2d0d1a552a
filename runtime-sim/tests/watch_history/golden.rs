//! Histories that pass, and those that fail by exactly one rule.

use crate::script::{Edit, all, compacted, now, only_a, plain, play, small};
use crate::store::{Store, event};
use etcd3_sim::etcd3::Bytes;
use etcd3_sim::history::watch::{
    Asked, Change, Delivery, Demands, End, Event, Kind, Log, Prev, Record, Rule, check,
};
use std::collections::BTreeMap;

const EVERYTHING: &str = "2 3 4 5 6 7 8 9";

fn demand(through: i64) -> Demands<'static> {
    Demands { through, known: &[] }
}

fn compacted_at(requested: i64, compacted: i64) -> End {
    End::Compacted { requested, compacted }
}

// ROB-001 to ROB-009
#[test]
fn what_is_right_passes() {
    let (no_put, no_delete) = (
        Asked { no_put: true, ..all(1) },
        Asked { no_delete: true, ..Asked::new("a", "c", all(1).start) },
    );
    let records = [
        play(all(2), EVERYTHING),
        play(all(1), "2+3+4 5+6 7+8+9"),
        play(plain(2), EVERYTHING),
        play(all(1), "p1 2 p2 p2 3 4 p4 r p4"),
        play(all(7), "p3 p6 7 8 9 p9"),
        play(all(2), "2 3 r 4 r r 5 p5 r 6 7 8 9"),
        play(all(2), "r 2 3 p3 r p3 4"),
        play(all(6), "6 7"),
        play(all(99), ""),
        play(only_a(2), "2 4 5 6/a"),
        play(only_a(3), "4 5 6/a"),
        play(no_put, "5 8"),
        play(no_delete, "2 3 4 6/ab"),
        play(now(4, 7), "6 7 8 9"),
        play(now(4, 7), "7 8 9"),
        play(now(4, 7), "p6 7"),
        play(now(4, i64::MAX), "8 9"),
        play(now(9, i64::MAX), ""),
        play(all(2), "2 3").ends(End::Cancelled),
        play(all(2), "").ends(End::Failed),
        play(all(2), "2 3").but(|r| r.batch(0).header = 9),
        play(all(2), "2 3").but(|r| r.batch(0).next = None),
    ];
    for record in records {
        let verdict = check(&small(), &record, &demand(0));
        assert!(verdict.is_clean(), "{}: {verdict}", record.name);
    }
}

// I-W6, W10
#[test]
fn what_a_compaction_explains_passes() {
    let log = compacted(&[4, 7]);
    let unavailable = |at| move |r: &mut Record| r.first(at).prev = Prev::Unavailable;
    let last = play(all(2), "2 3 4").but(unavailable(2)).ends(End::Cancelled);
    assert!(check(&compacted(&[4]), &last, &demand(0)).is_clean());
    assert_eq!(check(&compacted(&[3]), &last, &demand(0)).count(Rule::PrevKv), 1);
    for record in [
        play(all(2), "2 3").ends(compacted_at(4, 7)),
        play(all(2), "").ends(compacted_at(2, 4)),
        // Progress moved the position unseen.
        play(only_a(2), "2 4 5").ends(compacted_at(6, 7)),
        play(now(2, 9), "").ends(compacted_at(3, 7)),
        play(all(2), "2 3 4").but(unavailable(2)).ends(End::Cancelled),
        play(all(2), EVERYTHING).but(unavailable(3)),
    ] {
        let verdict = check(&log, &record, &demand(9));
        assert!(verdict.is_clean(), "{}: {verdict}", record.name);
    }
}

#[test]
fn an_open_watch_that_has_what_is_demanded_passes() {
    for (record, through) in [
        (play(all(2), EVERYTHING), 9),
        (play(all(2), "2 3"), 3),
        (play(only_a(2), "2 4 5 6/a"), 9),
        (play(all(2), "2 3 4 5 6 7 8 9"), i64::MAX),
        (play(all(2), "2").ends(End::Cancelled), 9),
    ] {
        assert!(check(&small(), &record, &demand(through)).is_clean(), "{}", record.name);
    }
}

/// What must fail, by the rule that it must fail by; all but those of `Rule::Log`.
fn wrong() -> Vec<(Rule, Record)> {
    let mut wrong = Vec::new();
    let mut add = |rule, records: Vec<Record>| {
        wrong.extend(records.into_iter().map(|record| (rule, record)));
    };
    add(Rule::Filter, filter());
    add(Rule::Ordered, ["3 2 4", "3+2 4", "2 3 4 5 6/bac", "2 r 4 3 5"].map(replay).into());
    add(Rule::Unique, ["2 3 3 4", "2+2 3", "2 3 r 3 4", "2 3 p3 3 4"].map(replay).into());
    add(
        Rule::Atomic,
        ["2 3 4 5 6/a 6/bc", "2 3 4 5 6/ab 7", "2 3 4 5 6/a r 6/bc 7", "2 3 4+5+6/c"]
            .map(replay)
            .into(),
    );
    add(Rule::Bookmarkable, bookmarkable());
    add(Rule::Resumable, resumable());
    add(Rule::Reliable, reliable());
    add(Rule::IsCreate, is_create());
    add(Rule::PrevKv, prev_kv());
    add(Rule::Position, position());
    add(Rule::Compaction, compaction());
    wrong
}

fn replay(script: &str) -> Record {
    play(all(2), script)
}

fn filter() -> Vec<Record> {
    vec![
        play(only_a(2), "2 3 4"),
        play(Asked::new("a", "b", all(1).start), "2 3 4"),
        play(Asked::new("b", vec![0], all(1).start), "2 3"),
        play(Asked::new("b", "d", all(1).start), "2 3"),
        play(Asked { no_put: true, ..all(2) }, "2 5"),
        play(Asked { no_delete: true, ..only_a(2) }, "2 4 5"),
    ]
}

fn bookmarkable() -> Vec<Record> {
    vec![
        replay("2 p3 3 4"),
        replay("2 p9 3 4 5 6 7 8 9"),
        replay("2 3 p3 p2"),
        replay("2 3 p2"),
        replay("2 3 p4").ends(compacted_at(4, 7)),
        replay("2 3 p5").ends(compacted_at(4, 7)),
        play(all(4), "p6").ends(compacted_at(4, 7)),
        replay("2 3 4 5 6 7 8 9 p10"),
        play(now(2, 9), "p5 5 6 7"),
        play(plain(2), "2 p2"),
    ]
}

fn resumable() -> Vec<Record> {
    vec![
        replay("3 4"),
        play(all(4), "3 4 5"),
        play(all(8), "6 8"),
        replay("2 r 4 5"),
        // Jumped to what a compaction left.
        replay("2 3 r r 7 8 9"),
        replay("2 r p4 r 5"),
        replay("p3 4"),
        play(now(4, 7), "8 9"),
        play(now(4, 7), "4 5 6 7"),
        play(only_a(2), "2 r 5"),
    ]
}

fn reliable() -> Vec<Record> {
    let mut never = event(&small(), &all(2), 0);
    never.kv.mod_revision = 20;
    let never = |r: &mut Record| {
        r.batch(1).events.push(never);
        (r.batch(1).header, r.batch(1).next) = (20, Some(21));
    };
    vec![
        replay("2 4 5"),
        replay("2 3 p4"),
        replay("2 r 3 5"),
        replay("2 3 p4 r 5"),
        play(only_a(2), "2 4 6/a"),
        play(now(2, 4), "p9"),
        replay("2 4 5").ends(End::Cancelled),
        replay("2 3").ends(compacted_at(5, 7)),
        replay("").ends(compacted_at(3, 7)),
        replay("2 3").but(never),
        replay("2 3").but(|r| r.first(1).kv.value = Bytes::from("2")),
        replay("2 3").but(|r| r.first(1).kind = Kind::Delete),
        replay("2 3").but(|r| r.first(1).kv.create_revision = 2),
        replay("2 3").but(|r| r.first(1).kv.version = 2),
        replay("2 3").but(|r| r.first(1).kv.lease = 7),
        replay("2 3 4 5").but(|r| r.first(3).kv.value = Bytes::from("2")),
    ]
}

// Also of a deletion, and of a put after one.
fn is_create() -> Vec<Record> {
    let flip = |at| move |r: &mut Record| r.first(at).is_create ^= true;
    (0..5).map(|at| replay("2 3 4 5 6").but(flip(at))).collect()
}

fn prev_kv() -> Vec<Record> {
    let with = |at, prev| replay("2 3 4 5 6").but(|r| r.first(at).prev = prev);
    let pair = |at: usize| small().changes()[at].kv.clone();
    let (mut value, mut version) = (pair(0), pair(0));
    value.value = Bytes::from("0");
    version.version = 2;
    vec![
        with(2, Prev::Pair(value)),
        with(2, Prev::Pair(version)),
        with(2, Prev::Pair(pair(1))),
        with(2, Prev::Pair(pair(2))),
        // The state two revisions before, and what was before a deletion.
        with(3, Prev::Pair(pair(0))),
        with(4, Prev::Pair(pair(2))),
        with(2, Prev::Absent),
        with(2, Prev::NotAsked),
        with(2, Prev::Unavailable),
        with(0, Prev::Unavailable),
        with(0, Prev::NotAsked),
        play(plain(2), "2 3 4").but(|r| r.first(2).prev = Prev::Pair(pair(0))),
        play(plain(2), "2").but(|r| r.first(0).prev = Prev::Absent),
    ]
}

fn position() -> Vec<Record> {
    vec![
        replay("2 3+4").but(|r| r.batch(1).next = Some(4)),
        replay("2 3+4").but(|r| r.batch(1).next = Some(6)),
        replay("2 3+4").but(|r| r.batch(1).next = Some(0)),
        replay("2 3+4").but(|r| r.batch(1).header = 3),
        replay("2 3+4").but(|r| r.batch(0).header = 0),
        replay("2 3 4").but(|r| r.batch(2).events.clear()).but(|r| r.batch(2).next = None),
    ]
}

fn compaction() -> Vec<Record> {
    vec![
        replay("2").ends(compacted_at(3, 6)),
        replay("2").ends(compacted_at(3, 0)),
        replay("2 3 4 5 6").ends(compacted_at(7, 7)),
        replay("2 3 4 5 6 7").ends(compacted_at(8, 7)),
        replay("2 3").ends(compacted_at(3, 7)),
        replay("2 3 p3").ends(compacted_at(2, 7)),
        play(now(4, 9), "").ends(compacted_at(4, 7)),
        play(all(5), "").ends(compacted_at(2, 7)),
    ]
}

#[test]
fn each_fault_is_found_by_exactly_its_rule() {
    let mut found = BTreeMap::<Rule, usize>::new();
    for (rule, record) in wrong() {
        let log = match rule {
            Rule::PrevKv => small(),
            _ => compacted(&[4, 7]),
        };
        let verdict = check(&log, &record, &demand(0));
        let rules: Vec<Rule> = verdict.violations.iter().map(|v| v.rule).collect();
        let is_exact = !rules.is_empty() && rules.iter().all(|found| *found == rule);
        assert!(is_exact, "{rule:?}: {} {:?}: {verdict}", record.name, record.end);
        assert!(verdict.violations.iter().all(|v| v.watch == record.name));
        *found.entry(rule).or_default() += 1;
    }
    let others = Rule::ALL.into_iter().filter(|rule| *rule != Rule::Log);
    assert!(others.clone().all(|rule| found.get(&rule).is_some_and(|n| *n >= 2)), "{found:?}");
    assert_eq!(found.len(), others.count());
}

#[test]
fn what_an_open_watch_owes_is_found() {
    for (record, through) in [
        (play(all(2), "2 3"), 4),
        (play(all(2), ""), 2),
        (play(only_a(2), "2 4 5"), 6),
        (play(now(2, 9), ""), 9),
        (play(all(2), "2 3 p3"), i64::MAX),
    ] {
        assert!(check(&small(), &record, &demand(through - 1)).is_clean() || through == i64::MAX);
        let verdict = check(&small(), &record, &demand(through));
        let rules: Vec<Rule> = verdict.violations.iter().map(|v| v.rule).collect();
        assert_eq!(rules, [Rule::Reliable], "{}: {verdict}", record.name);
    }
}

#[test]
fn a_violation_says_what_was_expected() {
    let text = |record| check(&compacted(&[7]), &record, &demand(0)).to_string();
    for (record, words) in [
        (replay("2 6 7"), "3 events of 3 to 5, first Put of b\"b\""),
        (replay("2 3 4 5 6/a 7"), "2 events of 6 to 6, first Put of b\"b\""),
        (replay("2 p4 3"), "Put of b\"b\" at revision 3 came after progress at 4"),
        (replay("2 3").ends(compacted_at(2, 7)), "asked for 2, compacted at 7, but it had"),
        (replay("2 3+4").but(|r| r.batch(1).next = Some(4)), "up to revision 4 is to be resumed"),
    ] {
        let name = record.name.clone();
        let text = text(record);
        assert!(text.contains(words) && text.contains(&name), "{text}");
    }
}

// Several faults are told apart.
#[test]
fn all_faults_of_a_watch_are_found() {
    let record = replay("2 r 4 p4 4 5 6/a 7 8")
        .but(|r| r.first(0).is_create = false)
        .but(|r| r.deliveries.push(Delivery::Progress(3)));
    let mut verdict = check(&small(), &record, &demand(9));
    let expected =
        [Rule::Unique, Rule::Atomic, Rule::Bookmarkable, Rule::Resumable, Rule::Reliable];
    assert!(expected.into_iter().all(|rule| verdict.count(rule) == 1), "{verdict}");
    assert_eq!(verdict.count(Rule::IsCreate), 1);
    assert_eq!(verdict.violations.len(), 6);
    verdict.merge(verdict.clone());
    assert_eq!(verdict.violations.len(), 12);
}

// What is missing without an event in between is one gap, unless something else is to blame.
#[test]
fn a_gap_is_one_violation() {
    for (record, gaps) in [
        (replay("2 6"), &[Rule::Reliable][..]),
        (replay("2 4 6"), &[Rule::Reliable, Rule::Reliable]),
        (replay("6"), &[Rule::Resumable]),
        (play(only_a(2), "6/a"), &[Rule::Resumable]),
        (play(only_a(1), "2 r 6/a"), &[Rule::Resumable]),
        (replay("2 p3 r 6"), &[Rule::Reliable, Rule::Resumable]),
    ] {
        let verdict = check(&small(), &record, &demand(0));
        let rules: Vec<Rule> = verdict.violations.iter().map(|v| v.rule).collect();
        assert_eq!(rules, gaps, "{}: {verdict}", record.name);
    }
}

#[test]
fn changes_that_no_store_makes_are_refused() {
    type Edit = fn(&mut Vec<Change>);
    let edits: [Edit; 13] = [
        |c| c.swap(0, 1),
        |c| c.insert(1, c[0].clone()),
        |c| c.insert(6, c[4].clone()),
        |c| c[0].kv.mod_revision = 1,
        |c| {
            c.truncate(1);
            (c[0].kv.mod_revision, c[0].kv.create_revision) = (1, 1);
        },
        |c| {
            c.truncate(1);
            c.push(c[0].clone());
            c[1].kv.version = 2;
        },
        |c| c[0].kv.version = 2,
        |c| c[0].kv.create_revision = 1,
        |c| c[2].kv.version = 1,
        |c| c[2].kv.create_revision = 4,
        |c| c[3].kv.version = 3,
        |c| c[8].kv.key = Bytes::from("x"),
        |c| drop(c.remove(0)),
    ];
    for (at, edit) in edits.into_iter().enumerate() {
        let mut changes = small().changes().to_vec();
        edit(&mut changes);
        let violation = Log::new(changes, []).unwrap_err();
        assert_eq!(violation.rule, Rule::Log, "{at}");
    }
    let (mut changes, mut store) = (small().changes().to_vec(), Store::default());
    store.commit(&[("z".into(), Some("1".into()))]);
    changes.extend(store.changes);
    assert!(Log::new(changes, []).unwrap_err().to_string().contains("follows revision 9"));
}

// Hostile revisions are answered, not computed with.
#[test]
fn extreme_revisions_are_no_panic() {
    for n in [i64::MIN, -1, 0, i64::MAX] {
        let far = |record: &mut Record| {
            record.first(0).kv.mod_revision = n;
            (record.batch(1).header, record.batch(1).next) = (n, Some(n));
        };
        for start in [all(n), now(n, n)] {
            let mut record = play(start, "2 3").but(far).ends(compacted_at(n, n));
            record.deliveries.push(Delivery::Progress(n));
            assert!(!check(&small(), &record, &demand(n)).is_clean());
        }
    }
    let mut edge = Store::default();
    edge.commit(&[("a".into(), Some("1".into()))]);
    let mut changes = edge.changes;
    (changes[0].kv.mod_revision, changes[0].kv.create_revision) = (i64::MAX, i64::MAX);
    let log = Log::new(changes, [i64::MAX]).unwrap();
    let event = Event { ..event(&log, &all(2), 0) };
    let mut record = play(all(2), "2");
    *record.batch(0) = etcd3_sim::history::watch::Batch {
        header: i64::MAX,
        events: vec![event],
        next: Some(i64::MAX),
    };
    assert!(check(&log, &record, &demand(i64::MAX)).is_clean());
}
