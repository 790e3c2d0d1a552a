//! Reads of a revision that the member which answers by itself may lack (I-R8, R-08).

use crate::rig::{Rig, admitted, ends, ms, ok, read, sent, trailers_only, write};
use etcd3_core::call::{Input, Options, Sent};
use etcd3_core::channel::{Admission, Freshness, HealthSignal, RevisionFloor};
use etcd3_core::method::Effect;
use etcd3_core::{ErrorKind, Outcome, ServerError};
use std::error::Error as _;

/// An answer with nothing but a header: of cluster 1, at revision 9.
const HEADER: &[u8] = b"\x0a\x04\x08\x01\x18\x09";

/// A read of revision 7, which a member answers by itself.
fn local() -> Options {
    let deadline = Some(ms(15_000));
    Options { is_linearizable: false, local_revision: 7, deadline, ..read() }
}

/// Sent by a client that had seen this revision.
pub(crate) fn seeing(endpoint: u32, revision: i64) -> Input {
    let floor = Some(RevisionFloor { cluster_id: 1, revision });
    Input::Sent(Sent::new(&Admission { floor, ..admitted(endpoint) }, None))
}

fn future() -> Vec<Input> {
    let error = ServerError::FutureRev;
    trailers_only(error.code(), error.text())
}

#[test]
fn a_revision_that_was_seen_is_read_elsewhere_at_once() {
    for seen in [7, 8, i64::MAX] {
        let mut rig = Rig::new(local());
        rig.feed(seeing(4, seen)).feed_all(future());
        assert_eq!(rig.attempts()[1..], [(0, 2, Some(4))]);
        assert_eq!(rig.call.signal(), HealthSignal::Alive, "no member is to blame for it");
        assert!(rig.last_attempt().want.is_retry);
        rig.feed(seeing(5, seen)).feed_all(ok(HEADER));
        assert_eq!((rig.reply().endpoint.0, rig.reply().attempts), (5, 2));
    }
}

// K16: what was not seen may be yet to come, and an endpoint that may be of another cluster has no
// need of what was seen.
#[test]
fn a_revision_that_was_not_seen_is_refused_at_once() {
    for input in [seeing(4, 6), seeing(4, 0), sent(4)] {
        let mut rig = Rig::new(local());
        rig.feed(input).feed_all(future());
        let error = rig.error();
        assert_eq!(error.kind(), ErrorKind::Server(ServerError::FutureRev));
        assert_eq!((error.outcome(), error.attempts()), (Outcome::Rejected, 1));
        assert!(!error.is_retryable());
        assert_eq!(rig.call.signal(), HealthSignal::Alive);
    }
}

// What the cluster is asked for cannot be behind, and what writes is not made again.
#[test]
fn only_a_read_of_a_revision_from_a_member_by_itself_can_be_behind() {
    let effect = |effect| Options { effect, ..local() };
    for (options, outcome) in [
        (Options { local_revision: 0, ..read() }, Outcome::Rejected),
        (Options { local_revision: -1, ..local() }, Outcome::Rejected),
        (Options { local_revision: 0, ..write() }, Outcome::Rejected),
        (effect(Effect::Write), Outcome::Unknown),
        (effect(Effect::PinnedWrite), Outcome::Unknown),
    ] {
        let mut rig = Rig::new(options);
        rig.feed(seeing(4, 100)).feed_all(future()).rest(60_000);
        assert_eq!((rig.attempts().len(), rig.error().outcome()), (1, outcome), "{options:?}");
    }
    for error in [ServerError::Compacted, ServerError::PermissionDenied] {
        let mut rig = Rig::new(local());
        rig.feed(seeing(4, 100)).feed_all(ends(error.code(), error.text()));
        assert_eq!((rig.attempts().len(), rig.error().server_error()), (1, Some(error)));
    }
}

// Where no member has come that far in time, that is what is told, and what the server said.
#[test]
fn the_deadline_and_the_number_of_attempts_bound_it() {
    let is_stale = |rig: &Rig, attempts| {
        let error = rig.error();
        assert_eq!(error.kind(), ErrorKind::StaleRead { revision: 0, seen: 9 });
        assert_eq!((error.attempts(), error.is_retryable()), (attempts, true));
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        assert_eq!(cause, format!("OutOfRange: {}", ServerError::FutureRev.text()));
        let text = error.to_string();
        assert!(text.contains("revision 9") && text.contains("forget_revision"), "{text}");
    };
    let mut rig = Rig::new(local());
    let mut attempts = 0;
    while rig.done().is_none() {
        attempts += 1;
        rig.feed(seeing(0, 9)).feed_all(future()).rest(2_500);
        assert!(attempts < 100);
    }
    assert!(attempts > 3 && rig.done().is_some_and(|(at, _)| at == 15_000));
    is_stale(&rig, attempts);

    // Also when another attempt is under way, or has no connection.
    for next in [Some(seeing(1, 9)), None] {
        let mut rig = Rig::new(local());
        rig.feed(seeing(0, 9)).feed_all(future());
        let attempts = if next.is_some() { 2 } else { 1 };
        rig.feed_all(next.into_iter().collect()).until(15_000);
        is_stale(&rig, attempts);
    }

    let mut rig = Rig::new(Options { max_attempts: 2, ..local() });
    rig.feed(seeing(0, 9)).feed_all(future()).feed(seeing(1, 9)).feed_all(future());
    is_stale(&rig, 2);
}

// A member that is alone comes along; it is asked again after a while.
#[test]
fn with_one_endpoint_it_is_asked_again() {
    let mut rig = Rig::new(local());
    let floor = Some(RevisionFloor { cluster_id: 1, revision: 9 });
    let only = Sent::new(&Admission { floor, has_choice: false, ..admitted(0) }, None);
    for _ in 0..3 {
        rig.feed(Input::Sent(only)).feed_all(future()).rest(2_500);
    }
    rig.feed(Input::Sent(only)).feed_all(ok(HEADER));
    assert_eq!(rig.reply().attempts, 4);
}

// Y2: both count, whichever comes first.
#[test]
fn a_read_of_a_revision_may_also_be_one_that_does_not_go_back() {
    let mut rig = Rig::checking(Options { is_ordered: true, ..local() });
    rig.feed(seeing(0, 10)).feed_all(future());
    rig.feed(seeing(1, 10)).feed_all(ok(HEADER));
    rig.feed(Input::Freshness(Freshness::Stale { floor: 10 })).rest(2_500);
    assert_eq!(rig.attempts().len(), 3);
    rig.feed(seeing(2, 10)).feed_all(ok(HEADER)).feed(Input::Freshness(Freshness::Fresh));
    assert_eq!(rig.reply().attempts, 3);
}
