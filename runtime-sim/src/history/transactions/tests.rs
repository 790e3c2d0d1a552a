//! Histories that are right, and lies of every kind.

use super::*;
use crate::history::Change;
use std::time::Duration;

fn at(ms: u64) -> Instant {
    Instant::ORIGIN + Duration::from_millis(ms)
}

fn change(revision: i64, key: &str, value: Option<&str>) -> Change {
    Change { revision, key: key.to_owned(), value: value.map(ToOwned::to_owned) }
}

fn key(key: &str, found: Option<(&str, i64)>) -> Read {
    let found = found.map(|(value, at)| (value.to_owned(), at));
    Read::Key { key: key.to_owned(), found }
}

/// A transaction from and to, with its reads and writes.
fn one(span: [u64; 2], token: &str, reads: &[Read], writes: &[(&str, &str)]) -> Transaction {
    let mut one = Transaction::begin(at(span[0]), token);
    one.reads = reads.to_vec();
    one.writes = writes.iter().map(|(k, v)| ((*k).to_owned(), Some((*v).to_owned()))).collect();
    one.returned = Some((at(span[1]), Ending::Unknown));
    one
}

fn ended(mut one: Transaction, ending: Ending) -> Transaction {
    one.returned = one.returned.map(|(at, _)| (at, ending));
    one
}

/// Both are there at revision 2; the first doubles `a` at 3, the second `b` at 4.
fn changes() -> Vec<Change> {
    vec![
        change(2, "a", Some("1")),
        change(2, "b", Some("1")),
        change(3, "a", Some("2")),
        change(3, "t1", Some("committed")),
        change(4, "b", Some("2")),
        change(4, "t2", Some("committed")),
    ]
}

fn first() -> Transaction {
    one([0, 5], "t1", &[key("a", Some(("1", 2))), key("b", Some(("1", 2)))], &[("a", "2")])
}

fn second() -> Transaction {
    one([1, 6], "t2", &[key("a", Some(("2", 3))), key("b", Some(("1", 2)))], &[("b", "2")])
}

fn rule(history: &[Transaction], changes: &[Change]) -> Option<Rule> {
    check(history, changes, 2).map(|violation| violation.rule)
}

#[test]
fn a_good_history_passes() {
    let all = |prefix: &str, value: &str| Read::Prefix {
        prefix: prefix.to_owned(),
        found: vec![(prefix.to_owned(), value.to_owned())],
    };
    let audit = one([5, 9], "t3", &[all("a", "2"), all("b", "2"), key("none", None)], &[]);
    let audit = ended(audit, Ending::Committed(4));
    let mut history = vec![
        ended(first(), Ending::Committed(3)),
        ended(second(), Ending::Settled(Some(4))),
        ended(one([6, 7], "t4", &[], &[("a", "9")]), Ending::Failed),
        ended(one([6, 7], "t5", &[], &[("a", "9")]), Ending::Settled(None)),
        one([6, 7], "t6", &[], &[("a", "9")]),
        audit,
    ];
    assert_eq!(check(&history, &changes(), 2), None);
    history[0].returned = None;
    assert_eq!(check(&history, &changes(), 2), None);
    assert_eq!(placed(&history[0], &changes()), Some(3));
    assert_eq!(placed(&history[4], &changes()), None);
}

// I-S7: each of two reads both, and writes its own, as if the other one had not.
#[test]
fn write_skew_is_found() {
    let mut skewed = second();
    skewed.reads = first().reads;
    let history = [ended(first(), Ending::Committed(3)), ended(skewed, Ending::Committed(4))];
    let violation = check(&history, &changes(), 2).unwrap();
    assert_eq!((violation.rule, violation.at), (Rule::Serializable, Some(at(6))));
    assert!(violation.to_string().contains("at 3 the store held Some((\"2\", 3)) of a"));
}

#[test]
fn a_stale_read_is_found() {
    let begun = [ended(first(), Ending::Committed(3)), ended(second(), Ending::Committed(4))];
    let reader = |from| {
        let reads = [key("a", Some(("2", 3))), key("b", Some(("1", 2)))];
        ended(one([from, from + 1], "t3", &reads, &[]), Ending::Committed(3))
    };
    let with = |from| [&begun[..], &[reader(from)]].concat();
    // While the second was under way, that is what there was.
    assert_eq!(rule(&with(6), &changes()), None);
    assert_eq!(rule(&with(7), &changes()), Some(Rule::RealTime));
    // What it says that it read is not what there was.
    let mut wrong = reader(6);
    wrong.returned = Some((at(7), Ending::Committed(4)));
    assert_eq!(rule(&[&begun[..], &[wrong]].concat(), &changes()), Some(Rule::Serializable));
}

#[test]
fn phantoms_and_values_that_came_back_are_found() {
    let changes = [
        change(2, "r/1", Some("1")),
        change(3, "r/2", Some("1")),
        change(3, "t1", Some("committed")),
        change(4, "r/2", None),
        change(4, "t2", Some("committed")),
        change(5, "r/1", Some("1")),
        change(5, "t3", Some("committed")),
    ];
    let prefix = |pairs: &[(&str, &str)]| Read::Prefix {
        prefix: "r/".to_owned(),
        found: pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
    };
    let mut second = one([0, 9], "t2", &[prefix(&[("r/1", "1"), ("r/2", "1")])], &[]);
    second.writes = [("r/2".to_owned(), None), ("none".to_owned(), None)].into();
    let history = [
        one([0, 9], "t1", &[prefix(&[("r/1", "1")])], &[("r/2", "1")]),
        second,
        one([0, 9], "t3", &[prefix(&[("r/1", "1")])], &[("r/1", "1")]),
    ];
    assert_eq!(rule(&history, &changes), None);
    let mut blind = history.clone();
    blind[1].reads = vec![prefix(&[("r/1", "1")])];
    assert_eq!(rule(&blind, &changes), Some(Rule::Serializable));
    // The same value, but of another revision.
    let reader = |revision| {
        ended(one([9, 9], "t4", &[key("r/1", Some(("1", revision)))], &[]), Ending::Committed(5))
    };
    assert_eq!(rule(&[&history[..], &[reader(5)]].concat(), &changes), None);
    let stale = [&history[..], &[reader(2)]].concat();
    assert_eq!(rule(&stale, &changes), Some(Rule::Serializable));
}

#[test]
fn what_was_told_of_a_commit_is_what_became_of_it() {
    for (ending, is_right) in [
        (Ending::Committed(3), true),
        (Ending::Committed(4), false),
        (Ending::Failed, false),
        (Ending::Unknown, true),
        (Ending::Settled(Some(3)), true),
        (Ending::Settled(Some(4)), false),
        (Ending::Settled(None), false),
    ] {
        let history = [ended(first(), ending), second()];
        let expected = (!is_right).then_some(Rule::Owned);
        assert_eq!(rule(&history, &changes()), expected, "{ending:?}");
    }
    let twice = [&changes()[..], &[change(5, "t1", Some("committed"))]].concat();
    assert_eq!(rule(&[first(), second()], &twice), Some(Rule::Owned), "made twice");
    let told = ended(one([0, 1], "t9", &[], &[("a", "7")]), Ending::Committed(5));
    assert_eq!(rule(&[first(), second(), told], &changes()), Some(Rule::Owned), "never made");
    assert_eq!(rule(&[first()], &changes()), Some(Rule::Owned), "nobody wrote 4");
    let mut less = first();
    less.writes.insert("c".to_owned(), Some(String::new()));
    assert_eq!(rule(&[less, second()], &changes()), Some(Rule::Owned), "in part");
    let mut other = changes();
    other[2] = change(3, "a", Some("5"));
    assert_eq!(rule(&[first(), second()], &other), Some(Rule::Owned), "another value");
}

#[test]
fn the_order_is_that_of_real_time() {
    let mut late = first();
    (late.invoked, late.returned) = (at(8), Some((at(9), Ending::Committed(3))));
    let history = [late.clone(), ended(second(), Ending::Committed(4))];
    assert_eq!(rule(&history, &changes()), Some(Rule::RealTime));
    late.returned = Some((at(9), Ending::Unknown));
    let history = [late.clone(), ended(second(), Ending::Settled(Some(4)))];
    assert_eq!(rule(&history, &changes()), Some(Rule::RealTime), "unknown, but it took place");
    late.invoked = at(6);
    assert_eq!(rule(&[late, ended(second(), Ending::Committed(4))], &changes()), None);
}
