//! The machine was suspended, which its clock did not count.

use crate::rig::{Rig, ms, secs};
use etcd3_core::Instant;
use etcd3_core::lease::{Input, LossReason};

// I-L8, L-13
#[test]
fn a_lease_is_lost_that_ended_while_the_machine_was_suspended() {
    let mut rig = Rig::with_leases(1, 60);
    rig.rest(secs(5)).feed(Input::Suspended(secs(55)));
    assert_eq!(rig.lost(), [(1, LossReason::DeadlinePassed)]);
}

// I-L8
#[test]
fn validity_ends_as_much_earlier_and_renewals_are_due() {
    let mut rig = Rig::with_leases(1, 60);
    let granted = rig.now;
    rig.rest(secs(5)).feed(Input::Suspended(secs(30)));
    assert_eq!(rig.until(1), Some(granted + secs(30)));
    assert_eq!((rig.asked(), rig.lost()), (vec![1], vec![]));
    rig.answer(1, 60);
    assert_eq!(rig.until(1), Some(rig.now + secs(60)));
}

// I-L1, I-L8: the request was sent before, the answer comes after.
#[test]
fn an_answer_to_a_request_from_before_counts_the_time() {
    let mut rig = Rig::with_leases(1, 60);
    rig.rest_until_asked();
    let sent = rig.now;
    rig.feed(Input::Suspended(secs(1))).answer(1, 60);
    assert_eq!(rig.until(1), Some(sent + secs(59)));
}

// I-L1, I-L8: and so does that to a call of its own.
#[test]
fn an_answer_to_a_call_from_before_counts_the_time() {
    let mut rig = Rig::with_leases(1, 60);
    rig.rest_until_asked();
    let single = rig.rest_until_single();
    let sent = rig.now;
    rig.rest(ms(1)).feed(Input::Suspended(secs(20)));
    rig.answer_single(single, sent, Ok(60));
    assert_eq!(rig.until(1), Some(sent + secs(40)));
}

// The clock began later than the time goes back.
#[test]
fn a_suspension_that_is_longer_than_the_clock_runs_counts_whole() {
    let mut rig = Rig::new();
    rig.now = Instant::ORIGIN + secs(1);
    rig.grant(1, 600).open();
    rig.feed(Input::Renew(etcd3_core::LeaseId(1)));
    assert_eq!(rig.asked(), [1]);
    rig.feed(Input::Suspended(ms(1_500))).answer(1, 600);
    assert_eq!(rig.until(1), Some(rig.now + ms(598_500)));
}
