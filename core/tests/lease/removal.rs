//! Leases that are not to be kept alive any more, and those that come again.

use crate::rig::{CLUSTER, Rig, answer, granted, ms, secs};
use etcd3_core::lease::{Input, LossReason, Output};
use etcd3_core::transport::Event;
use etcd3_core::{LeaseId, Machine, Next};

// L30, L33
#[test]
fn nothing_is_told_of_a_lease_that_was_removed() {
    let mut rig = Rig::with_leases(1, 60);
    rig.rest_until_asked();
    let single = rig.rest_until_single();
    rig.late();
    rig.remove(1);
    let now = rig.now;
    rig.answer(1, 60).answer_single(single, now, Ok(60)).confirm(1, Ok(false));
    rig.rest(ms(900));
    rig.take(|it| matches!(it, Output::Attempt(_)).then_some(()));
    rig.nothing();
    assert_eq!(rig.until(1), None);
}

// Also what was found out and not told yet.
#[test]
fn nothing_is_told_of_a_lease_that_was_lost_and_then_removed() {
    let mut rig = Rig::with_leases(1, 60);
    rig.serve(secs(20), 60);
    rig.rest_until_asked();
    rig.leases.handle(rig.now, Input::Stream(Event::Data(answer(CLUSTER, 1, 0))));
    rig.leases.handle(rig.now, Input::Remove(LeaseId(1)));
    assert!(matches!(rig.leases.poll(rig.now), Next::Wait(_)));
}

// I-L1: an old request under way must not shorten what is known.
#[test]
fn an_old_answer_does_not_shorten_a_lease_that_came_again() {
    let mut rig = Rig::with_leases(1, 60);
    rig.rest_until_asked();
    rig.remove(1).rest(ms(100));
    rig.grant(1, 60);
    let until = rig.now + secs(60);
    rig.answer(1, 60);
    assert_eq!(rig.until(1), Some(until));
}

// L46: nor end it, if it was granted anew under its old id.
#[test]
fn an_old_answer_does_not_end_a_lease_that_came_again() {
    let mut rig = Rig::with_leases(1, 60);
    rig.rest_until_asked();
    rig.remove(1).rest(ms(100));
    let mut known = granted(rig.now, 60);
    known.is_new = false;
    rig.feed(Input::Add(LeaseId(1), known)).answer(1, 0);
    assert_eq!((rig.lost(), rig.confirms()), (vec![], vec![]));
    assert_eq!(rig.asked(), [1], "it is looked into");
}

// The calls of the lease before are not those of this one.
#[test]
fn calls_of_a_lease_that_was_removed_do_not_count_for_one_that_came_again() {
    let mut rig = Rig::with_leases(1, 60);
    rig.rest_until_asked();
    let old = rig.rest_until_single();
    rig.remove(1).grant(1, 60);
    let until = rig.now + secs(60);
    rig.reopen();
    rig.rest_until_asked();
    let new = rig.rest_until_single();
    assert_ne!(old.round, new.round);
    rig.answer_single(old, rig.now, Ok(0));
    rig.answer_single(old, rig.now, Ok(60));
    assert_eq!((rig.until(1), rig.lost()), (Some(until), vec![]));
    rig.answer_single(new, rig.now, Ok(60));
    assert_eq!(rig.until(1), Some(rig.now + secs(60)));
}

// What is under way is of before the revocation, whatever it says.
#[test]
fn an_old_answer_does_not_revive_a_lease_that_was_revoked() {
    for ttl in [60, 0] {
        let mut rig = Rig::with_leases(1, 60);
        rig.rest_until_asked();
        rig.feed(Input::Revoked(LeaseId(1)));
        rig.feed(Input::Renew(LeaseId(1)));
        let single = rig.rest_until_single();
        rig.answer(1, ttl);
        assert_eq!((rig.until(1), rig.renewed(), rig.lost()), (None, vec![], vec![]));
        assert_eq!(rig.asked(), [1], "on the stream, too");
        rig.answer_single(single, rig.now, Ok(0));
        assert_eq!(rig.lost(), [(1, LossReason::Expired)]);
    }
}

// A member that knows the lease no more has answered before one that renewed it.
#[test]
fn an_old_answer_does_not_revive_a_lease_that_expired() {
    let mut rig = Rig::with_leases(1, 60);
    rig.serve(secs(20), 60);
    rig.rest_until_asked();
    let single = rig.rest_until_single();
    rig.reopen();
    rig.rest_until_asked();
    rig.renewed();
    rig.answer_single(single, rig.now, Ok(0));
    assert_eq!(rig.lost(), [(1, LossReason::Expired)]);
    rig.feed(Input::Renew(LeaseId(1))).answer(1, 60);
    assert_eq!((rig.until(1), rig.renewed()), (None, vec![]));
}

// Only those that are under way.
#[test]
fn a_lease_that_came_after_a_revocation_is_renewed() {
    let mut rig = Rig::with_leases(1, 60);
    rig.rest_until_asked();
    rig.feed(Input::Revoked(LeaseId(1))).grant(1, 60).answer(1, 0);
    let again = rig.serve(secs(20), 60);
    assert_eq!(again.len(), 1, "{again:?}");
    assert_eq!((rig.renewed().len(), rig.lost(), rig.confirms()), (1, vec![], vec![]));
}

// Another cluster has the endpoints meanwhile.
#[test]
fn the_cluster_is_forgotten_with_the_last_lease() {
    let mut rig = Rig::with_leases(2, 60);
    rig.rest_until_asked();
    rig.remove(1);
    rig.feed(Input::Stream(Event::Data(answer(CLUSTER + 1, 2, 60))));
    assert_eq!(rig.renewed(), [], "one is left of the old one");
    rig.remove(2).reopen();
    rig.feed(Input::Renew(LeaseId(3)));
    assert_eq!(rig.rest_until_asked(), [3]);
    rig.feed(Input::Stream(Event::Data(answer(CLUSTER + 1, 3, 60))));
    assert_eq!(rig.renewed().len(), 1, "the first of a new one");

    // Nor is it learnt from what is said of no lease.
    let mut rig = Rig::with_leases(1, 60);
    rig.rest_until_asked();
    rig.remove(1).answer(1, 60);
    rig.feed(Input::Renew(LeaseId(3)));
    assert_eq!(rig.rest_until_asked(), [3]);
    rig.feed(Input::Stream(Event::Data(answer(CLUSTER + 1, 3, 60))));
    assert_eq!(rig.renewed().len(), 1);
}

// It is of the lease before.
#[test]
fn a_loss_that_is_not_told_yet_is_taken_before_a_lease_comes_again() {
    let mut rig = Rig::with_leases(1, 60);
    rig.serve(secs(20), 60);
    rig.rest_until_asked();
    rig.leases.handle(rig.now, Input::Stream(Event::Data(answer(CLUSTER, 1, 0))));
    let lost = rig.leases.take_lost(LeaseId(1)).map(|lost| lost.reason);
    assert_eq!(lost, Some(LossReason::Expired));
    assert_eq!(rig.leases.take_lost(LeaseId(1)), None);
    rig.grant(1, 60);
    assert_eq!((rig.lost(), rig.until(1)), (vec![], Some(rig.now + secs(60))));
}
