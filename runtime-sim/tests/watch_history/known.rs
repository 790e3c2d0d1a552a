//! Known bugs of servers excuse what they do, and nothing else.

use crate::script::{Edit, all, compacted, play, small};
use etcd3_sim::history::watch::{Demands, End, Known, Log, Record, Rule, check};

fn verdict(log: &Log, record: &Record, known: &[Known]) -> (Vec<Rule>, Vec<(Known, Rule)>) {
    let verdict = check(log, record, &Demands { through: 0, known });
    let rules = verdict.violations.iter().map(|violation| violation.rule).collect();
    let excused = verdict.excused.iter().map(|(known, v)| (*known, v.rule)).collect();
    (rules, excused)
}

#[test]
fn each_bug_excuses_what_it_does() {
    for (known, rule, log, record) in [
        (Known::ProgressOvertakes, Rule::Bookmarkable, small(), play(all(2), "2 p3 3 4")),
        (
            Known::ProgressOvertakes,
            Rule::Bookmarkable,
            compacted(&[7]),
            play(all(2), "2 3 p5").ends(End::Compacted { requested: 4, compacted: 7 }),
        ),
        (Known::BackInTime, Rule::Unique, small(), play(all(2), "2 3 r 2 4")),
        (Known::BackInTime, Rule::Ordered, small(), play(all(2), "2 4 3")),
        (Known::LostInStarvation, Rule::Reliable, compacted(&[5]), play(all(2), "2 4 5")),
        (Known::DeleteAtCompaction, Rule::Reliable, compacted(&[5]), play(all(4), "4 6")),
        (Known::DeleteAtResumedCompaction, Rule::Reliable, compacted(&[5]), play(all(4), "4 6")),
        (Known::FutureStart, Rule::Resumable, small(), play(all(8), "6 8 9")),
    ] {
        let (rules, excused) = verdict(&log, &record, &[]);
        assert!(!rules.is_empty() && rules.iter().all(|found| *found == rule), "{known:?}");
        assert_eq!(excused, []);
        let (rules, excused) = verdict(&log, &record, &[known]);
        assert_eq!(rules, [], "{known:?}");
        assert!(excused.iter().all(|found| *found == (known, rule)), "{known:?} {excused:?}");
        let printed = check(&log, &record, &Demands { through: 0, known: &[known] }).to_string();
        assert!(printed.contains(known.issue()), "{printed}");
    }
}

#[test]
fn no_bug_excuses_more_than_it_does() {
    for (rule, log, record) in [
        // A loss after progress is the fault of whoever resumed from it.
        (Rule::Reliable, small(), play(all(2), "2 p3 r 4")),
        (Rule::Bookmarkable, small(), play(all(2), "2 3 p2")),
        // Servers do not mix up one message.
        (Rule::Ordered, small(), play(all(2), "3+2 4")),
        (Rule::Unique, small(), play(all(2), "2+2 3")),
        (Rule::Atomic, small(), play(all(2), "2 3 4 5 6/a 6/bc")),
        // Nothing was compacted, or not there.
        (Rule::Reliable, small(), play(all(2), "2 4 5")),
        (Rule::Reliable, compacted(&[3]), play(all(2), "2 4 5")),
        (Rule::Reliable, compacted(&[5]), play(all(2), "2 3 4 5 6 8")),
        (Rule::Reliable, compacted(&[4]), play(all(4), "4 6")),
        (Rule::Filter, small(), play(crate::script::only_a(2), "2 3")),
        (Rule::IsCreate, small(), play(all(2), "2").but(|r| r.first(0).is_create = false)),
        (Rule::Position, small(), play(all(2), "2").but(|r| r.batch(0).next = Some(2))),
    ] {
        let (rules, excused) = verdict(&log, &record, &Known::ALL);
        assert_eq!((rules.is_empty(), excused), (false, vec![]), "{}", record.name);
        assert!(rules.iter().all(|found| *found == rule), "{}: {rules:?}", record.name);
    }
}

// A watch that was cancelled before the events came that progress had overtaken.
#[test]
fn progress_that_overtakes_claims_nothing_of_a_watch_that_was_cancelled() {
    let record = play(all(2), "2 p3").ends(End::Cancelled);
    assert_eq!(verdict(&small(), &record, &[]).0, [Rule::Reliable]);
    assert_eq!(verdict(&small(), &record, &[Known::ProgressOvertakes]), (vec![], vec![]));
    // One that goes on from there loses them.
    let record = play(all(2), "2 p3 r 4").ends(End::Cancelled);
    assert_eq!(verdict(&small(), &record, &[Known::ProgressOvertakes]).0, [Rule::Reliable]);
}

// One lost event is excused, its neighbour is not.
#[test]
fn a_bug_does_not_cover_for_the_rest_of_a_gap() {
    let record = play(all(4), "4 7");
    let (rules, excused) =
        verdict(&compacted(&[5]), &record, &[Known::DeleteAtCompaction, Known::LostInStarvation]);
    assert_eq!(rules, [Rule::Reliable]);
    assert_eq!(excused, [(Known::DeleteAtCompaction, Rule::Reliable)]);
}

// The versions of reliability: section 8 for 3.4.23; and those that the tests run.
#[test]
fn bugs_go_by_version() {
    assert_eq!(Known::of((3, 4, 23)), Known::ALL);
    assert_eq!(Known::of((3, 3, 27)), Known::ALL);
    assert_eq!(Known::of((3, 5, 16)), [Known::DeleteAtResumedCompaction, Known::FutureStart]);
    assert_eq!(Known::of((3, 6, 1)), [Known::FutureStart]);
    for fixed in [(3, 4, 38), (3, 5, 22), (3, 5, 30), (3, 6, 2), (3, 6, 16), (3, 7, 0), (4, 0, 0)] {
        assert_eq!(Known::of(fixed), [], "{fixed:?}");
    }
    for (known, before, fixed) in [
        (Known::ProgressOvertakes, (3, 4, 24), (3, 4, 25)),
        (Known::LostInStarvation, (3, 5, 12), (3, 5, 13)),
        (Known::DeleteAtCompaction, (3, 4, 33), (3, 4, 34)),
        (Known::DeleteAtResumedCompaction, (3, 5, 17), (3, 5, 18)),
        (Known::FutureStart, (3, 4, 37), (3, 4, 38)),
    ] {
        assert!(Known::of(before).contains(&known), "{known:?}");
        assert!(!Known::of(fixed).contains(&known), "{known:?}");
    }
}
