//! How many requests leave in a second, however many leases there are.

use crate::rig::{Rig, granted, ms, secs};
use etcd3_core::lease::Input;
use etcd3_core::{Instant, LeaseId};
use std::collections::VecDeque;
use std::time::Duration;

/// Returns the most requests in any second.
fn most_a_second(times: &[(Instant, i64)]) -> usize {
    let mut most = 0;
    let mut first = 0;
    for (at, (time, _)) in times.iter().enumerate() {
        while times[first].0 + secs(1) < *time {
            first += 1;
        }
        most = most.max(at - first + 1);
    }
    most
}

// I-L6, L-09: no second with more than 1,000, and all is well.
#[test]
fn ten_thousand_leases_granted_at_once_are_renewed_in_an_even_flow() {
    let mut rig = Rig::with_leases(10_000, 60);
    let asked = rig.serve(secs(120), 60);
    let most = most_a_second(&asked);
    assert!(most <= 1_000, "{most} in a second");
    assert!(asked.len() >= 40_000, "{}", asked.len());
    assert!(asked.len() <= 66_000, "{}", asked.len());
    assert_eq!(rig.renewed().len(), asked.len());
    assert_eq!((rig.late().len(), rig.singles().len(), rig.lost().len()), (0, 0, 0));
}

// I-L6: as many as are needed, if these are more.
#[test]
fn ten_thousand_leases_of_five_seconds_are_all_renewed() {
    let mut rig = Rig::with_leases(10_000, 5);
    let asked = rig.serve(secs(20), 5);
    assert!(asked.len() <= 10_000 * 14, "{}", asked.len());
    assert_eq!((rig.late().len(), rig.singles().len(), rig.lost().len()), (0, 0, 0));
}

// I-L6: after a stream that broke, too.
#[test]
fn a_new_stream_is_not_flooded() {
    let mut rig = Rig::with_leases(10_000, 60);
    rig.lose();
    rig.rest(secs(22)).open();
    let asked = rig.serve(secs(60), 60);
    let most = most_a_second(&asked);
    assert!(most <= 1_000, "{most} in a second");
}

// A lease with little time left does not queue behind thousands that have much of it.
#[test]
fn the_most_urgent_lease_is_renewed_first() {
    let mut rig = Rig::new();
    let sent = rig.now;
    for id in 1..=10_000 {
        rig.feed(Input::Add(LeaseId(id), granted(sent, 60)));
    }
    rig.open().rest(secs(15));
    // It is due when all of the others are.
    rig.grant(20_000, 15);
    let asked = rig.serve(secs(12), 60);
    assert!(asked.iter().any(|it| it.1 == 20_000));
    assert_eq!((rig.late().len(), rig.singles().len()), (0, 0));
}

// What is queued on a stream that is not there is bounded by what is kept alive.
#[test]
fn leases_that_come_and_go_leave_nothing_behind() {
    let mut rig = Rig::new();
    for _ in 0..10_000 {
        rig.feed(Input::Renew(LeaseId(1))).remove(1);
    }
    rig.feed(Input::Renew(LeaseId(2)));
    assert!(rig.leases.queued() <= 1, "{}", rig.leases.queued());
    rig.rest(ms(10));
}

// I-L6: what is done for one renewal does not grow with the number of leases.
#[test]
fn a_hundred_thousand_leases_take_no_more_steps_each_than_a_thousand() {
    let steps = |count: u32| {
        let mut rig = Rig::with_leases(count.into(), 600);
        let before = rig.steps;
        let asked = rig.serve(secs(320), 600);
        assert!(asked.len() >= count as usize && rig.late().is_empty());
        (rig.steps - before) * 100 / asked.len()
    };
    let (few, many) = (steps(1_000), steps(100_000));
    assert!(many <= few * 3 / 2, "{many} steps for a hundred renewals, and {few} of a thousand");
}

/// Counts the moments at which requests left.
fn moments(times: &[(Instant, i64)]) -> usize {
    times.iter().map(|(at, _)| at).collect::<std::collections::BTreeSet<_>>().len()
}

// I-L6: one wake-up, and one write, for those that are due within a fiftieth of the interval.
#[test]
fn renewals_that_are_due_about_the_same_time_leave_together() {
    let mut rig = Rig::with_leases(1, 60);
    for id in 2..=1_000 {
        rig.rest(ms(20)).grant(id, 60);
    }
    let asked = rig.serve(secs(60), 60);
    let moments = moments(&asked);
    assert!(asked.len() >= 3_000, "{}", asked.len());
    assert!(moments <= 60 * 50 / 20 + 5, "{moments} moments");
    assert_eq!((rig.late().len(), rig.singles().len(), rig.lost().len()), (0, 0, 0));
}

// I-L6: what the pace holds back leaves in parts of the burst, not one by one.
#[test]
fn renewals_that_wait_for_the_pace_leave_many_at_a_time() {
    let mut rig = Rig::with_leases(10_000, 60);
    let asked = rig.serve(secs(60), 60);
    let moments = moments(&asked);
    assert!(asked.len() >= 20 * moments, "{} at {moments} moments", asked.len());
}

// I-L6: however many are needed, no second has more than twice that.
#[test]
fn the_burst_grows_with_what_is_needed_and_the_rate_does_not() {
    let mut rig = Rig::with_leases(10_000, 6);
    let asked = rig.serve(secs(30), 6);
    let most = most_a_second(&asked);
    assert!(most <= 10_000, "{most} in a second, where 5,000 are needed");
    assert_eq!((rig.late().len(), rig.singles().len(), rig.lost().len()), (0, 0, 0));
}

// What waits for the pace is not sent one by one because answers come one by one.
#[test]
fn answers_that_come_one_by_one_do_not_part_what_waits() {
    let mut rig = Rig::with_leases(2_000, 60);
    let (mut sent, mut unanswered) = (vec![], VecDeque::new());
    rig.rest(secs(17));
    let end = rig.now + secs(4);
    while rig.now < end {
        for id in rig.asked() {
            sent.push((rig.now, id));
            unanswered.push_back(id);
        }
        rig.rest(Duration::from_micros(500));
        if let Some(id) = unanswered.pop_front() {
            rig.answer(id, 60);
        }
    }
    assert_eq!(sent.len(), 2_000);
    let moments = moments(&sent);
    assert!(moments <= 200, "{} at {moments} moments", sent.len());
}
