//! What ends a lease, and how often that is told.

use crate::rig::{CLUSTER, Rig, answer, ms, secs};
use etcd3_core::lease::{Input, Known, LossReason};
use etcd3_core::transport::Event;
use etcd3_core::{Error, ErrorKind, LeaseId, ServerError};

/// A stream with a lease that was renewed once, and is asked for again.
fn asked_again() -> Rig {
    let mut rig = Rig::with_leases(1, 60);
    rig.serve(secs(20), 60);
    rig.renewed();
    assert_eq!(rig.rest_until_asked(), [1]);
    rig
}

// L11, L26, I-L4
#[test]
fn a_lease_that_does_not_exist_any_more_is_lost_at_once() {
    let mut rig = asked_again();
    rig.answer(1, 0);
    assert_eq!(rig.lost(), [(1, LossReason::Expired)]);
    assert!(rig.leases.is_empty() && rig.until(1).is_none());
    rig.answer(1, 60).rest(ms(500));
    rig.nothing();
}

// L11: what a server says that takes -1 for "none".
#[test]
fn a_negative_time_to_live_is_none() {
    let mut rig = asked_again();
    rig.answer(1, -1);
    assert_eq!(rig.lost(), [(1, LossReason::Expired)]);
}

// L28, L45, L46, I-L4: exactly when its time is over, once, with what went wrong.
#[test]
fn a_lease_that_is_not_renewed_is_lost_when_its_time_is_over() {
    let mut rig = asked_again();
    let until = rig.until(1).unwrap_or_default();
    rig.rest(secs(39));
    rig.lose();
    let losses = rig.rest_until(|rig| Some(rig.losses()).filter(|it| !it.is_empty()));
    assert_eq!(rig.now, until);
    assert_eq!(losses.len(), 1);
    assert_eq!(losses[0].1.reason, LossReason::DeadlinePassed);
    assert!(losses[0].1.cause.is_some(), "the cause");
    rig.rest(secs(100));
    assert!(rig.lost().is_empty() && rig.late().len() <= 1);
}

// L43: no stream came about, and no call was over.
#[test]
fn the_cause_of_a_loss_is_told_also_if_no_stream_was_ever_open() {
    let mut rig = Rig::new();
    rig.grant(1, 6);
    let losses = rig.rest_until(|rig| {
        if rig.take_attempt().is_some() {
            rig.lose();
        }
        Some(rig.losses()).filter(|losses| !losses.is_empty())
    });
    assert_eq!(losses[0].1.reason, LossReason::DeadlinePassed);
    assert!(losses[0].1.cause.is_some(), "the cause");
}

// L12, L42
#[test]
fn a_lease_whose_renewals_were_forbidden_says_so_in_the_end() {
    let mut rig = asked_again();
    rig.end_with(ServerError::PermissionDenied);
    assert_eq!(rig.lost(), []);
    let denied = || Err(Error::new(ErrorKind::Server(ServerError::PermissionDenied)));
    let lost = rig.rest_until(|rig| {
        for (single, _) in rig.singles() {
            rig.answer_single(single, rig.now, denied());
        }
        rig.lost().pop()
    });
    assert_eq!(lost, (1, LossReason::PermissionDenied));
}

// I-L4, L-12, K-12: members that lag do not know a new lease yet.
#[test]
fn a_new_lease_that_a_member_does_not_know_is_confirmed_once() {
    let mut rig = Rig::with_leases(1, 60);
    rig.rest_until_asked();
    rig.answer(1, 0);
    assert_eq!(rig.confirms(), [1]);
    assert_eq!(rig.lost(), []);
    rig.confirm(1, Ok(true));
    assert_eq!((rig.confirms(), rig.lost()), (vec![], vec![]));
    let confirmed = rig.now;
    assert_eq!(rig.rest_until_asked(), [1]);
    assert!(rig.now.saturating_since(confirmed) <= ms(500), "it is renewed soon");
    rig.answer(1, 60);
    assert_eq!(rig.renewed().len(), 1);
    // From now on it is known everywhere.
    rig.rest_until_asked();
    rig.answer(1, 0);
    assert_eq!((rig.confirms(), rig.lost()), (vec![], vec![(1, LossReason::Expired)]));
}

#[test]
fn a_new_lease_that_no_member_knows_is_lost() {
    let mut rig = Rig::with_leases(1, 60);
    rig.rest_until_asked();
    rig.answer(1, 0);
    rig.confirm(1, Ok(false)).confirm(1, Ok(false));
    assert_eq!(rig.lost(), [(1, LossReason::Expired)]);
}

// I-L5: only the deadline ends it.
#[test]
fn a_confirmation_that_fails_ends_nothing() {
    let mut rig = Rig::with_leases(1, 60);
    rig.rest_until_asked();
    rig.answer(1, 0);
    rig.confirm(1, Err(Error::new(ErrorKind::ConnectionLost)));
    assert_eq!(rig.lost(), []);
    assert_eq!(rig.rest_until_asked(), [1]);
}

// I-L3, I-L4: the answer to the confirmation may take long, too.
#[test]
fn a_new_lease_is_renewed_while_its_confirmation_is_under_way() {
    let mut rig = Rig::with_leases(1, 60);
    rig.rest_until_asked();
    rig.answer(1, 0);
    let asked = rig.now;
    let single = rig.rest_until_single();
    assert!(rig.now.saturating_since(asked) <= secs(10));
    rig.answer_single(single, rig.now, Ok(60));
    assert_eq!(rig.renewed().len(), 1);
    rig.confirm(1, Ok(false));
    assert_eq!(rig.lost(), [], "it was renewed since");
}

// L46: a member says that there is no such lease, and a newer request was acknowledged by another.
#[test]
fn an_old_answer_that_there_is_no_lease_is_looked_into() {
    let mut rig = asked_again();
    let single = rig.rest_until_single();
    rig.reopen();
    assert_eq!(rig.asked(), [1]);
    rig.rest(ms(5));
    rig.answer_single(single, rig.now, Ok(60));
    rig.rest(ms(5)).answer(1, 0);
    assert_eq!(rig.lost(), []);
    // The stream is there, and answered.
    assert_eq!(rig.asked(), [1]);
    rig.answer(1, 0);
    assert_eq!(rig.lost(), [(1, LossReason::Expired)]);
}

// I-X: a member of another cluster knows none of the leases.
#[test]
fn a_member_of_another_cluster_is_not_believed() {
    let mut rig = asked_again();
    rig.feed(Input::Stream(Event::Data(answer(CLUSTER + 1, 1, 0))));
    assert_eq!(rig.lost(), []);
    let attempt = rig.reopen();
    assert!(attempt.want.avoid.is_some(), "elsewhere");
    assert_eq!(rig.asked(), [1]);
    rig.answer(1, 60);
    assert_eq!(rig.renewed().len(), 1);
}

// L32, I-L4
#[test]
fn a_client_that_closes_tells_each_lease_once() {
    let mut rig = Rig::with_leases(3, 60);
    rig.feed(Input::Closed(ErrorKind::Closed)).feed(Input::Closed(ErrorKind::Closed));
    let closed = |id| (id, LossReason::Closed);
    assert_eq!(rig.lost(), [closed(1), closed(2), closed(3)]);
    assert!(rig.is_closed());
    rig.rest(secs(100)).nothing();
}

// L21: whoever comes after the end is told, too.
#[test]
fn a_lease_that_comes_after_the_end_is_lost_at_once() {
    let mut rig = Rig::with_leases(1, 60);
    rig.feed(Input::Closed(ErrorKind::Closed));
    rig.lost();
    rig.grant(2, 60).feed(Input::Renew(LeaseId(3)));
    assert_eq!(rig.lost(), [(2, LossReason::Closed), (3, LossReason::Closed)]);
}

// I-L4: what was found out before is still told.
#[test]
fn a_loss_that_was_not_told_yet_is_told_when_the_client_closes() {
    use etcd3_core::{Machine, Next};
    let mut rig = asked_again();
    rig.leases.handle(rig.now, Input::Stream(Event::Data(answer(CLUSTER, 1, 0))));
    rig.leases.handle(rig.now, Input::Closed(ErrorKind::Closed));
    let mut lost = 0;
    while let Next::Do(output) = rig.leases.poll(rig.now) {
        lost += usize::from(matches!(output, etcd3_core::lease::Output::Lost(LeaseId(1), _)));
    }
    assert_eq!(lost, 1);
}

// L22: of one whose time to live is not known, only the servers can say that it is over.
#[test]
fn a_lease_of_unknown_time_to_live_has_no_deadline() {
    let mut rig = Rig::new();
    rig.feed(Input::Add(LeaseId(1), Known::default())).open();
    rig.rest(secs(600));
    assert_eq!(rig.lost(), []);
}
