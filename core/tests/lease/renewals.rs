//! When a lease is renewed, and until when it is valid.

use crate::rig::{Rig, granted, ms, secs};
use etcd3_core::LeaseId;
use etcd3_core::lease::{Input, Known};

// L23, L45: not from the time at which the grant was answered, and not a time of ours.
#[test]
fn a_lease_is_valid_from_the_time_at_which_its_grant_was_sent() {
    let mut rig = Rig::new();
    let sent = rig.now - secs(2);
    rig.feed(Input::Add(LeaseId(1), granted(sent, 60)));
    assert_eq!(rig.until(1), Some(sent + secs(60)));
}

// L25, L45, I-L1
#[test]
fn validity_counts_from_the_time_at_which_the_renewal_was_sent() {
    let mut rig = Rig::with_leases(1, 60);
    assert_eq!(rig.rest_until_asked(), [1]);
    let sent = rig.now;
    rig.rest(ms(900)).answer(1, 60);
    let renewed = rig.renewed();
    assert_eq!(renewed.len(), 1);
    assert_eq!((renewed[0].0, renewed[0].1.until), (1, sent + secs(60)));
    assert_eq!(rig.until(1), Some(sent + secs(60)));
}

// L44, I-L2: also the first, which counts from the grant.
#[test]
fn a_lease_is_renewed_at_a_third_less_up_to_a_tenth() {
    let mut rig = Rig::new();
    let granted_at = rig.now;
    for id in 1..=200 {
        rig.grant(id, 60);
    }
    rig.open();
    let asked = rig.serve(secs(300), 60);
    let mut times = std::collections::BTreeMap::new();
    for (at, id) in asked {
        times.entry(id).or_insert_with(|| vec![granted_at]).push(at);
    }
    let mut gaps = vec![];
    for (id, times) in times {
        assert!(times.len() >= 15, "{id}: {times:?}");
        gaps.extend(times.windows(2).map(|pair| pair[1].saturating_since(pair[0])));
    }
    assert!(gaps.iter().all(|gap| *gap >= secs(18) && *gap <= ms(20_200)), "{gaps:?}");
    let early = gaps.iter().filter(|gap| **gap < ms(18_500)).count();
    let late = gaps.iter().filter(|gap| **gap > ms(19_500)).count();
    assert!(early > 100 && late > 100, "no jitter: {early}, {late}");
    assert!(rig.late().is_empty() && rig.singles().is_empty() && rig.lost().is_empty());
}

// I-L7, L-18: a server may grant more or less than was asked for.
#[test]
fn cadence_and_deadline_follow_the_time_to_live_that_the_server_told() {
    let mut rig = Rig::with_leases(1, 60);
    rig.rest_until_asked();
    let sent = rig.now;
    rig.answer(1, 6);
    assert_eq!(rig.until(1), Some(sent + secs(6)));
    rig.rest_until_asked();
    let gap = rig.now.saturating_since(sent);
    assert!(gap >= ms(1_800) && gap <= secs(2), "{gap:?}");
}

// L24, L46: a lease of the shortest time to live that servers grant, and one that proxies make.
#[test]
fn renewals_are_half_a_second_apart_at_least() {
    for ttl in [1, 2] {
        let mut rig = Rig::with_leases(1, 2);
        let times: Vec<_> = rig.serve(secs(20), ttl).into_iter().map(|it| it.0).collect();
        assert!(times.len() >= 19, "{times:?}");
        for pair in times.windows(2).skip(1) {
            assert!(pair[1].saturating_since(pair[0]) >= ms(500), "{times:?}");
        }
        assert!(rig.lost().is_empty());
    }
}

// L22: one whose time to live is not known is asked for at once, and has no deadline.
#[test]
fn a_lease_from_elsewhere_is_renewed_at_once() {
    let mut rig = Rig::new();
    rig.feed(Input::Add(LeaseId(9), Known::default())).open();
    assert_eq!(rig.asked(), [9]);
    assert_eq!(rig.until(9), None);
    rig.answer(9, 30);
    assert_eq!(rig.until(9), Some(rig.now + secs(30)));
}

#[test]
fn a_renewal_that_is_asked_for_is_made_at_once_and_counts() {
    let mut rig = Rig::with_leases(1, 60);
    rig.rest(secs(3)).feed(Input::Renew(LeaseId(1)));
    assert_eq!(rig.asked(), [1]);
    // No second one while one is under way.
    rig.feed(Input::Renew(LeaseId(1)));
    assert_eq!(rig.asked(), []);
    let sent = rig.now;
    rig.answer(1, 60);
    rig.rest_until_asked();
    assert!(rig.now >= sent + secs(18));
}

#[test]
fn what_is_not_known_is_renewed_and_kept_alive() {
    let mut rig = Rig::new();
    rig.feed(Input::Renew(LeaseId(4))).open();
    assert_eq!(rig.asked(), [4]);
    rig.answer(4, 60);
    assert_eq!(rig.leases.len(), 1);
    assert_eq!(rig.serve(secs(21), 60).len(), 1);
}

// L27
#[test]
fn an_answer_that_nobody_waits_for_is_ignored() {
    let mut rig = Rig::with_leases(2, 60);
    let ignored = rig.leases.ignored();
    rig.answer(1, 60).answer(3, 60).answer(2, 0);
    assert_eq!(rig.leases.ignored(), ignored + 3);
    rig.nothing();
    assert_eq!(rig.leases.len(), 2);
}

// L10: etcd's grpc-proxy has a stream to the servers for each lease.
#[test]
fn answers_may_come_in_another_order() {
    let mut rig = Rig::with_leases(3, 60);
    rig.rest(secs(20));
    let asked = rig.asked();
    assert_eq!(asked.len(), 3);
    rig.renewed();
    for id in asked.iter().rev() {
        rig.answer(*id, 60);
    }
    let renewed: Vec<i64> = rig.renewed().into_iter().map(|it| it.0).collect();
    assert_eq!(renewed, asked.into_iter().rev().collect::<Vec<_>>());
}

// I-L1: the answer to an older request comes after that to a newer one.
#[test]
fn a_late_answer_does_not_move_validity_back() {
    let mut rig = Rig::with_leases(1, 60);
    rig.rest_until_asked();
    let single = rig.rest_until_single();
    rig.reopen();
    rig.rest(ms(10));
    let sent = rig.now;
    rig.answer_single(single, sent, Ok(60));
    assert_eq!(rig.until(1), Some(sent + secs(60)));
    rig.rest(ms(10)).answer(1, 60);
    assert_eq!(rig.until(1), Some(sent + secs(60)));
    assert_eq!(rig.renewed().len(), 1);
}

// L46: what was acknowledged too late to be of use is no renewal.
#[test]
fn an_answer_that_is_older_than_the_time_to_live_renews_nothing() {
    let mut rig = Rig::new();
    rig.feed(Input::Add(LeaseId(9), Known::default())).open();
    rig.reopen();
    rig.asked();
    rig.rest(ms(1_500)).answer(9, 1);
    assert_eq!(rig.renewed(), []);
    assert_eq!(rig.lost(), []);
    assert_eq!(rig.asked(), [9], "it is asked for again");
}

// I-L1: the clock of a driver that is wrong about the past gains nothing.
#[test]
fn a_call_that_says_it_was_sent_in_the_future_counts_from_now() {
    let mut rig = Rig::with_leases(1, 60);
    rig.rest_until_asked();
    let single = rig.rest_until_single();
    rig.answer_single(single, rig.now + secs(10), Ok(60));
    assert_eq!(rig.until(1), Some(rig.now + secs(60)));
}
