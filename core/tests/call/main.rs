//! The `Call` machine, one transcript a rule.

mod answers;
mod attempts;
mod behind;
mod deadline;
mod laws;
mod rig;

use etcd3_core::call::Input;
use etcd3_core::method::Effect;
use etcd3_core::transport::Event;
use etcd3_core::{Code, ErrorKind, Outcome, ServerError};
use rig::{Rig, ends, head, lost, ok, read, sent, trailers_only, write};

// R15, E33: head, one message, trailers with status 0.
#[test]
fn an_answer_ends_the_call() {
    let mut rig = Rig::new(read());
    assert_eq!(rig.attempts(), [(0, 1, None)]);
    rig.feed(sent(3)).feed_all(ok(b"answer"));
    let reply = rig.reply();
    assert_eq!((&reply.message[..], reply.endpoint.0, reply.attempts), (&b"answer"[..], 3, 1));
    assert_eq!(rig.call.ignored(), 0);
}

// E1, E2: a refusal is the result, with code, text, method and number of attempts.
#[test]
fn a_refusal_ends_the_call() {
    let error = ServerError::EmptyKey;
    for answer in [trailers_only(error.code(), error.text()), ends(error.code(), error.text())] {
        let mut rig = Rig::new(write());
        rig.feed(sent(0)).feed_all(answer);
        let error = rig.error();
        assert_eq!(error.kind(), ErrorKind::Server(ServerError::EmptyKey));
        assert_eq!((error.outcome(), error.attempts()), (Outcome::Rejected, 1));
        assert_eq!(error.method(), Some("/etcdserverpb.KV/Put"));
        assert_eq!(error.status().map(|s| s.code), Some(Code::InvalidArgument));
    }
}

/// One failure of an attempt that was sent: the inputs, whether they are retried for what may be
/// repeated and for a write, and the outcome.
type Row = (&'static str, Vec<Input>, bool, bool, Outcome);

fn known(name: &'static str, error: ServerError, read: bool, write: bool, class: Outcome) -> Row {
    (name, trailers_only(error.code(), error.text()), read, write, class)
}

fn coded(name: &'static str, code: Code, read: bool, class: Outcome) -> Row {
    (name, trailers_only(code, "something else"), read, false, class)
}

fn failures() -> Vec<Row> {
    use Outcome::{NotSent, Rejected, Unknown};
    vec![
        ("not sent", vec![lost(NotSent)], true, true, NotSent),
        ("lost", vec![lost(Unknown)], true, false, Unknown),
        ("lost, rejected by mistake", vec![lost(Rejected)], true, false, Unknown),
        ("lost within the answer", vec![head(), lost(Unknown)], true, false, Unknown),
        ("malformed", vec![head(), rig::body(b"x"), rig::body(b"x")], true, false, Unknown),
        known("no space", ServerError::NoSpace, false, false, Unknown),
        known("corrupt", ServerError::Corrupt, false, false, Unknown),
        known("timed out", ServerError::Timeout, true, false, Unknown),
        known("stopped", ServerError::Stopped, true, false, Unknown),
        known("leader changed", ServerError::LeaderChanged, true, false, Unknown),
        known("no leader, not asked", ServerError::NoLeader, true, false, Unknown),
        known("learner", ServerError::NotSupportedForLearner, true, true, Rejected),
        known("too many requests", ServerError::TooManyRequests, true, true, Rejected),
        known("compacted", ServerError::Compacted, false, false, Rejected),
        known("too large", ServerError::RequestTooLarge, false, false, Rejected),
        coded("cancelled by the peer", Code::Canceled, true, Unknown),
        coded("deadline of the peer", Code::DeadlineExceeded, true, Unknown),
        coded("unavailable", Code::Unavailable, true, Unknown),
        coded("internal", Code::Internal, true, Unknown),
        coded("unknown", Code::Unknown, true, Unknown),
        coded("exhausted", Code::ResourceExhausted, false, Unknown),
        coded("data loss", Code::DataLoss, false, Unknown),
        coded("unimplemented", Code::Unimplemented, false, Rejected),
    ]
}

// R3, R40–R44, I-R1, I-R2, I-R6, section 2.3
#[test]
fn every_class_of_failure_for_every_effect() {
    for (name, inputs, repeated, write_repeated, outcome) in failures() {
        for effect in [Effect::Read, Effect::IdempotentWrite, Effect::Write] {
            let mut options = write();
            options.effect = effect;
            options.max_attempts = 2;
            let mut rig = Rig::new(options);
            rig.feed(sent(0)).feed_all(inputs.clone()).until(10_000);
            let retried = if effect == Effect::Write { write_repeated } else { repeated };
            assert_eq!(rig.attempts().len(), if retried { 2 } else { 1 }, "{name}, {effect:?}");
            if retried {
                rig.feed(sent(1)).feed_all(inputs.clone());
            }
            assert_eq!(rig.error().outcome(), outcome, "{name}, {effect:?}");
        }
    }
}

// R41, W18: asked for, "no leader" comes before anything is proposed.
#[test]
fn no_leader_is_a_refusal_if_the_call_asked_for_a_leader() {
    let mut options = write();
    options.require_leader = true;
    let mut rig = Rig::new(options);
    rig.feed(sent(0));
    rig.feed_all(trailers_only(Code::Unavailable, ServerError::NoLeader.text()));
    assert_eq!(rig.attempts().len(), 2);
}

// I-R1, R42: the core promise.
#[test]
fn a_write_is_handed_out_once_when_it_may_have_been_processed() {
    let mut rig = Rig::new(write());
    rig.feed(sent(0)).feed(lost(Outcome::Unknown)).until(3_600_000);
    assert_eq!(rig.attempts(), [(0, 1, None)]);
    let error = rig.error();
    assert_eq!(error.kind(), ErrorKind::ConnectionLost);
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert!(!error.is_retryable());
}

// R40, R41, I-C3, E21, E24: what is provably unprocessed may go again, writes too, elsewhere, and
// the first time at once.
#[test]
fn a_write_that_was_not_sent_goes_to_another_endpoint() {
    let mut rig = Rig::new(write());
    rig.feed(sent(2)).feed(lost(Outcome::NotSent));
    assert_eq!(rig.attempts(), [(0, 1, None), (0, 2, Some(2))]);
    rig.feed(sent(1)).feed(lost(Outcome::NotSent)).until(1_000);
    assert_eq!(rig.attempts()[2].2, Some(1), "avoids the one that failed last");
    rig.feed(sent(0)).feed_all(ok(b"done"));
    let reply = rig.reply();
    assert_eq!((reply.endpoint.0, reply.attempts), (0, 3));
    assert_eq!(rig.call.last_endpoint().map(|e| e.0), Some(0));
}

// R40: before it was sent, no loss can have been processed, whatever the driver says.
#[test]
fn a_loss_while_waiting_for_a_connection_is_not_sent() {
    let mut rig = Rig::new(write());
    rig.feed(lost(Outcome::Unknown));
    assert_eq!(rig.attempts(), [(0, 1, None), (0, 2, None)]);
    rig.feed(Input::Closed(ErrorKind::Closed));
    assert_eq!(rig.error().outcome(), Outcome::NotSent);
}

// R12, I-R5
#[test]
fn the_waits_between_attempts_grow_up_to_the_cap() {
    let mut rig = Rig::new(read());
    for _ in 0..8 {
        rig.feed(sent(0)).feed(lost(Outcome::Unknown)).rest(10_000);
    }
    let times: Vec<_> = rig.attempts().iter().map(|(at, ..)| *at).collect();
    let lost_at = |n: usize| if n == 0 { 0 } else { 10_000 * n as u64 };
    let waits: Vec<_> = (1..times.len()).map(|n| times[n] - lost_at(n - 1)).collect();
    let base = [0, 100, 200, 400, 800, 1_600, 2_000, 2_000];
    assert_eq!(waits.len(), base.len());
    for (wait, base) in waits.iter().zip(base) {
        assert!((base * 4 / 5..=base * 6 / 5).contains(wait), "{waits:?}");
    }
}

// R44, E4: a member that is overloaded is not asked again at once.
#[test]
fn too_many_requests_waits_before_it_asks_again() {
    let error = ServerError::TooManyRequests;
    let mut rig = Rig::new(write());
    rig.feed(sent(0)).feed_all(trailers_only(error.code(), error.text()));
    assert_eq!(rig.attempts().len(), 1);
    assert!(rig.wake_ms().is_some_and(|at| (80..=120).contains(&at)), "{:?}", rig.wake_ms());
    rig.until(200);
    assert_eq!(rig.attempts().len(), 2);
}

// C16
#[test]
fn max_attempts_counts_the_first_and_zero_is_one() {
    for (max_attempts, made) in [(0, 1), (1, 1), (2, 2), (5, 5)] {
        let mut options = read();
        options.max_attempts = max_attempts;
        let mut rig = Rig::new(options);
        for _ in 0..10 {
            rig.feed(sent(0)).feed(lost(Outcome::Unknown)).rest(10_000);
        }
        assert_eq!(rig.attempts().len(), made);
        assert_eq!(rig.error().attempts() as usize, made);
    }
}

// I-R2: one unknown attempt makes the whole call unknown, whatever came after it.
#[test]
fn the_outcome_is_that_of_the_worst_attempt() {
    let mut options = read();
    options.max_attempts = 2;
    let mut rig = Rig::new(options);
    rig.feed(sent(0)).feed(lost(Outcome::Unknown));
    rig.feed(sent(1)).feed(lost(Outcome::NotSent));
    assert_eq!(rig.error().outcome(), Outcome::Unknown);

    let refused = trailers_only(Code::Unavailable, ServerError::NotSupportedForLearner.text());
    let mut options = write();
    options.max_attempts = 2;
    let mut rig = Rig::new(options);
    rig.feed(sent(0)).feed_all(refused);
    rig.feed(sent(1)).feed(lost(Outcome::NotSent));
    assert_eq!(rig.error().outcome(), Outcome::Rejected);
}

// I-C10: closing ends a call wherever it is, and says what may have become of it.
#[test]
fn closing_ends_a_call_in_every_state() {
    let streaming: &[Input] = &[sent(0)];
    let waiting: &[Input] = &[sent(0), lost(Outcome::NotSent), sent(0), lost(Outcome::NotSent)];
    for (inputs, outcome, attempts) in [
        (&[][..], Outcome::NotSent, 1),
        (streaming, Outcome::Unknown, 1),
        (waiting, Outcome::NotSent, 2),
    ] {
        let mut rig = Rig::new(write());
        let kind =
            if outcome == Outcome::Unknown { ErrorKind::RuntimeEnded } else { ErrorKind::Closed };
        rig.feed_all(inputs.to_vec()).feed(Input::Closed(kind)).until(10_000);
        let error = rig.error();
        assert_eq!(error.kind(), kind);
        assert_eq!((error.outcome(), rig.attempts().len()), (outcome, attempts));
    }
}

// Rule 4 of the machines: what does not fit is counted and changes nothing.
#[test]
fn inputs_that_do_not_fit_are_ignored_and_counted() {
    let mut rig = Rig::new(write());
    rig.feed(head()).feed(rig::body(b"x")).feed(Input::Stream(Event::End(None)));
    assert_eq!((rig.call.ignored(), rig.outputs()), (3, 1));
    rig.feed(sent(0)).feed(sent(1));
    assert_eq!((rig.call.ignored(), rig.outputs()), (4, 1));
    assert_eq!(rig.call.last_endpoint().map(|e| e.0), Some(0));
    rig.feed_all(ok(b"answer"));
    assert_eq!(&rig.reply().message[..], b"answer");
    for input in [
        sent(0),
        head(),
        rig::body(b"x"),
        Input::Stream(Event::End(None)),
        Input::Closed(ErrorKind::Closed),
    ] {
        rig.feed(input);
    }
    rig.feed(lost(Outcome::Unknown)).until(1_000_000);
    assert_eq!((rig.call.ignored(), rig.outputs()), (10, 2));
}
