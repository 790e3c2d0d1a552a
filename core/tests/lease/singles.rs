//! Renewals by calls of their own, when the stream does not answer.

use crate::rig::{Rig, ms, secs};
use etcd3_core::lease::LossReason;
use etcd3_core::{Error, ErrorKind};
use std::collections::BTreeSet;

fn failed() -> Error {
    Error::new(ErrorKind::ConnectionLost)
}

// L45, I-L3
#[test]
fn an_unanswered_renewal_is_repeated_by_a_call_of_its_own() {
    for (ttl, after, then) in [(60, 2_000, 10_000), (9, 1_500, 1_500), (2, 333, 333)] {
        let mut rig = Rig::with_leases(1, ttl);
        let until = rig.now + secs(ttl);
        rig.rest_until_asked();
        let sent = rig.now;
        let single = rig.rest_until(|rig| rig.singles().pop());
        assert_eq!(rig.now.saturating_since(sent).as_millis(), after, "TTL {ttl}");
        assert_eq!(single.1, until, "it may last as long as the lease");
        let first = rig.now;
        assert_eq!(rig.rest_until_single().round, single.0.round);
        assert_eq!(rig.now.saturating_since(first).as_millis(), then, "TTL {ttl}");
    }
}

// I-L3: the one that was sent before goes on; the first that is answered counts.
#[test]
fn calls_of_their_own_go_on_until_one_is_acknowledged() {
    let mut rig = Rig::with_leases(1, 60);
    rig.rest_until_asked();
    let first = rig.rest_until_single();
    let sent = rig.now;
    let second = rig.rest_until_single();
    rig.answer_single(second, rig.now, Err(failed()));
    rig.answer_single(first, sent, Ok(60));
    assert_eq!(rig.until(1), Some(sent + secs(60)));
    assert_eq!(rig.renewed().len(), 1);
    // What is left of that round is not wanted any more.
    let third = rig.rest(secs(15)).singles();
    assert!(third.iter().all(|it| it.0.round != first.round), "{third:?}");
}

// I-L3: none comes back, and the others have to wait; the most urgent goes first.
#[test]
fn calls_of_their_own_are_few_at_once_and_the_most_urgent_first() {
    let mut rig = Rig::with_leases(100, 60);
    rig.rest(secs(15));
    for id in 101..=150 {
        rig.grant(id, 6);
    }
    rig.lose();
    let mut singles = vec![];
    rig.rest_until(|rig| {
        singles.extend(rig.singles());
        (singles.len() >= 64).then_some(())
    });
    rig.rest(secs(1));
    assert_eq!(rig.singles(), []);
    let mut waiting: BTreeSet<i64> = (101..=150).collect();
    for (single, _) in &singles {
        waiting.remove(&single.lease.0);
    }
    let (first, _) = singles[0];
    rig.answer_single(first, rig.now, Err(failed()));
    let next: Vec<i64> = rig.singles().into_iter().map(|it| it.0.lease.0).collect();
    assert_eq!(next.len(), 1);
    assert!(next[0] > 100, "not the most urgent: {next:?}");
}

// Whatever becomes of them, the calls that may be made are not fewer in the end.
#[test]
fn calls_that_are_over_make_room_for_others() {
    let mut rig = Rig::with_leases(200, 30);
    rig.lose();
    for round in 0..20 {
        rig.rest(secs(2));
        for (at, (single, _)) in rig.singles().into_iter().enumerate() {
            match (at + round) % 3 {
                0 => rig.answer_single(single, rig.now, Ok(30)),
                1 => rig.answer_single(single, rig.now, Err(failed())),
                _ => rig.remove(single.lease.0).grant(single.lease.0, 30),
            };
        }
    }
    rig.rest(secs(1));
    for (id, _) in rig.lost() {
        rig.grant(id, 30);
    }
    rig.rest(secs(16));
    let under_way = rig.singles().len();
    assert!(under_way >= 64, "{under_way} calls");
}

#[test]
fn a_call_that_finds_no_lease_ends_it() {
    let mut rig = Rig::with_leases(1, 60);
    rig.serve(secs(20), 60);
    rig.rest_until_asked();
    let single = rig.rest_until_single();
    rig.answer_single(single, rig.now, Ok(0));
    assert_eq!(rig.lost(), [(1, LossReason::Expired)]);
}

// The stream takes long to come: what is due does not wait for it.
#[test]
fn without_a_stream_leases_are_renewed_by_calls_of_their_own() {
    let mut rig = Rig::new();
    rig.grant(1, 6);
    assert!(rig.take_attempt().is_some());
    let single = rig.rest_until_single();
    rig.answer_single(single, rig.now, Ok(6));
    let single = rig.rest_until_single();
    let left = rig.until(1).map(|it| it.saturating_since(rig.now));
    assert!(left >= Some(secs(3)) && left <= Some(ms(3_200)), "{left:?}");
    assert_eq!(single.lease.0, 1);
}

// An old request is under way on the stream, which answers nothing: no second one is sent there.
#[test]
fn a_lease_is_asked_for_once_at_a_time_on_the_stream() {
    let mut rig = Rig::with_leases(1, 60);
    rig.rest_until_asked();
    rig.remove(1).grant(1, 6);
    // Far sooner than the silent stream is left.
    rig.feed(etcd3_core::lease::Input::Renew(etcd3_core::LeaseId(1)));
    assert_eq!(rig.asked(), []);
    assert_eq!(rig.singles().len(), 1, "by a call of its own instead");
}
