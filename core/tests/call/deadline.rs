//! The deadline of a call, in every phase (I-R4).

use crate::rig::{Rig, head, lost, ms, ok, read, sent, trailers_only, write};
use etcd3_core::call::{Call, Input, Options, Output};
use etcd3_core::channel::Freshness;
use etcd3_core::error::Phase;
use etcd3_core::{Code, Error, ErrorKind, Machine, Next, Outcome, ServerError, method};
use std::error::Error as _;

fn due_at(at_ms: u64, mut options: Options) -> Options {
    options.deadline = Some(ms(at_ms));
    options
}

fn source(error: &Error) -> Option<&Error> {
    error.source().and_then(|source| source.downcast_ref())
}

// I-R4: a call whose deadline has passed before it begins sends nothing.
#[test]
fn a_deadline_in_the_past_sends_nothing() {
    let rig = Rig::new(due_at(0, write()));
    assert_eq!(rig.attempts(), []);
    let error = rig.error();
    assert_eq!(error.kind(), ErrorKind::TimedOut(Phase::Connection));
    assert_eq!((error.outcome(), error.attempts()), (Outcome::NotSent, 0));
    assert_eq!(error.code(), Code::DeadlineExceeded);
}

// I-R4, Routing: nothing was sent, and the error says so.
#[test]
fn the_deadline_while_waiting_for_a_connection() {
    let mut rig = Rig::new(due_at(500, write()));
    assert_eq!(rig.wake_ms(), Some(500));
    rig.until(499);
    assert!(rig.done().is_none());
    rig.until(10_000);
    assert_eq!(rig.done().map(|(at, _)| at), Some(500));
    let error = rig.error();
    assert_eq!(error.kind(), ErrorKind::TimedOut(Phase::Connection));
    assert_eq!((error.outcome(), error.attempts()), (Outcome::NotSent, 0), "nothing left");
    assert!(error.is_retryable());
}

// I-R4, Flying: it may have been processed, whatever part of the answer had come.
#[test]
fn the_deadline_while_waiting_for_the_answer() {
    for options in [write(), read()] {
        for came in [vec![], vec![head()], ok(b"x")[..2].to_vec()] {
            let mut rig = Rig::new(due_at(500, options));
            rig.feed(sent(0)).feed_all(came).until(10_000);
            assert_eq!(rig.done().map(|(at, _)| at), Some(500));
            assert_eq!(rig.error().kind(), ErrorKind::TimedOut(Phase::Answer));
            assert_eq!(rig.error().outcome(), Outcome::Unknown);
        }
    }
}

// I-R4, Waiting: the deadline only ended the retries; the error is that of the last attempt.
#[test]
fn the_last_error_surfaces_when_the_deadline_passes_between_attempts() {
    let error = ServerError::TooManyRequests;
    let mut rig = Rig::new(due_at(50, write()));
    rig.feed(sent(0)).feed_all(trailers_only(error.code(), error.text()));
    assert_eq!(rig.wake_ms(), Some(50), "the deadline comes before the next attempt");
    rig.until(10_000);
    assert_eq!(rig.done().map(|(at, _)| at), Some(50));
    let error = rig.error();
    assert_eq!(error.kind(), ErrorKind::Server(ServerError::TooManyRequests));
    assert_eq!((error.outcome(), error.attempts()), (Outcome::Rejected, 1));
    assert_eq!(error.method(), Some("/etcdserverpb.KV/Put"));
}

// I-R4, I-R7: in the phases of a further attempt the last error is the cause.
#[test]
fn the_last_error_is_the_cause_when_the_deadline_passes_within_an_attempt() {
    let mut rig = Rig::new(due_at(500, write()));
    rig.feed(sent(0)).feed(lost(Outcome::NotSent)).until(10_000);
    let error = rig.error();
    assert_eq!(error.kind(), ErrorKind::TimedOut(Phase::Connection));
    assert_eq!((error.outcome(), error.attempts()), (Outcome::NotSent, 1), "the second never left");
    assert_eq!(source(error).map(Error::kind), Some(ErrorKind::ConnectionLost));

    let mut rig = Rig::new(due_at(500, read()));
    rig.feed(sent(0)).feed(lost(Outcome::Unknown)).feed(sent(1)).until(10_000);
    let error = rig.error();
    assert_eq!(error.kind(), ErrorKind::TimedOut(Phase::Answer));
    assert_eq!(source(error).map(Error::outcome), Some(Outcome::Unknown));

    // One unknown attempt is not forgotten by a later one that did not get away.
    let mut rig = Rig::new(due_at(500, read()));
    rig.feed(sent(0)).feed(lost(Outcome::Unknown)).until(10_000);
    assert_eq!(rig.error().kind(), ErrorKind::TimedOut(Phase::Connection));
    assert_eq!(rig.error().outcome(), Outcome::Unknown);
}

// E25: a server ends the stream when the deadline passes there, which is no loss of a connection.
#[test]
fn a_stream_that_is_cut_when_the_deadline_has_passed_timed_out() {
    for options in [write(), read()] {
        let mut call = Call::new(&method::PUT, due_at(500, options));
        assert!(matches!(call.poll(ms(0)), Next::Do(Output::Attempt(_))));
        call.handle(ms(0), sent(0));
        call.handle(ms(500), lost(Outcome::Unknown));
        let Next::Do(Output::Done(Err(error))) = call.poll(ms(500)) else { panic!("not over") };
        assert_eq!(error.kind(), ErrorKind::TimedOut(Phase::Answer));
        assert_eq!((error.outcome(), error.attempts()), (Outcome::Unknown, 1));
        assert_eq!(source(&error).map(Error::kind), Some(ErrorKind::ConnectionLost));
    }
}

// E14: nor is it an answer when it says so in a status. Before the deadline it is one (R3).
#[test]
fn a_status_that_tells_of_the_deadline_timed_out() {
    let told = [
        (Code::DeadlineExceeded, "context deadline exceeded"),
        (Code::DeadlineExceeded, "stream terminated by RST_STREAM"),
        (Code::Unknown, "context deadline exceeded"),
        (Code::Unknown, "context canceled"),
    ];
    let cases = told.into_iter().flat_map(|(code, text)| {
        let timeout = ErrorKind::TimedOut(Phase::Answer);
        let status = ErrorKind::Status(code);
        [(code, text, 0, timeout), (code, text, 5, timeout), (code, text, -5, status)]
    });
    for (code, text, ms_late, kind) in cases {
        let mut call = Call::new(&method::PUT, due_at(500, write()));
        assert!(matches!(call.poll(ms(0)), Next::Do(Output::Attempt(_))));
        call.handle(ms(0), sent(0));
        let at = ms(500u64.saturating_add_signed(ms_late));
        for input in trailers_only(code, text) {
            call.handle(at, input);
        }
        let Next::Do(Output::Done(Err(error))) = call.poll(at) else { panic!("not over") };
        assert_eq!((error.kind(), error.outcome()), (kind, Outcome::Unknown));
    }
}

// A refusal that comes late is a refusal all the same: the caller knows that nothing changed.
#[test]
fn a_status_that_tells_of_something_else_counts_after_the_deadline() {
    let refusals = [ServerError::KeyNotFound, ServerError::Compacted];
    for (refusal, at) in refusals.into_iter().flat_map(|it| [(it, 500), (it, 900)]) {
        let mut call = Call::new(&method::PUT, due_at(500, write()));
        assert!(matches!(call.poll(ms(0)), Next::Do(Output::Attempt(_))));
        call.handle(ms(0), sent(0));
        for input in trailers_only(refusal.code(), refusal.text()) {
            call.handle(ms(at), input);
        }
        let Next::Do(Output::Done(Err(error))) = call.poll(ms(at)) else { panic!("not over") };
        assert_eq!(error.kind(), ErrorKind::Server(refusal));
        assert_eq!(error.outcome(), Outcome::Rejected);
    }
}

// I-R4: a loss that is only looked at after the deadline asks for nothing any more.
#[test]
fn nothing_is_sent_after_the_deadline() {
    for late_ms in [500, 501, 100_000] {
        let mut rig = Rig::new(due_at(500, write()));
        rig.feed(sent(0)).oversleep(late_ms).feed(lost(Outcome::NotSent));
        assert_eq!(rig.attempts().len(), 1);
        assert_eq!(rig.error().kind(), ErrorKind::ConnectionLost);
        assert_eq!(rig.error().outcome(), Outcome::NotSent);
    }
    // Nor at the very moment at which backoff and deadline end together.
    let mut rig = Rig::new(write());
    rig.feed(sent(0)).feed(lost(Outcome::NotSent)).feed(sent(0)).feed(lost(Outcome::NotSent));
    let mut both = write();
    both.deadline = rig.wake();
    let mut rig = Rig::new(both);
    rig.feed(sent(0)).feed(lost(Outcome::NotSent)).feed(sent(0)).feed(lost(Outcome::NotSent));
    rig.until(10_000);
    assert_eq!(rig.attempts().len(), 2);
    assert!(rig.done().is_some());
}

// An answer that came before the deadline was looked at still counts.
#[test]
fn an_answer_at_the_deadline_is_not_thrown_away() {
    let mut call = Call::new(&method::PUT, due_at(500, write()));
    assert!(matches!(call.poll(ms(0)), Next::Do(Output::Attempt(_))));
    call.handle(ms(0), sent(0));
    for input in ok(b"x") {
        call.handle(ms(500), input);
    }
    assert!(matches!(call.poll(ms(500)), Next::Do(Output::Release(_))));
    call.handle(ms(500), Input::Freshness(Freshness::Fresh));
    assert!(matches!(call.poll(ms(500)), Next::Do(Output::Done(Ok(_)))));
    assert_eq!(call.poll(ms(500)), Next::Wait(None));
}

// Nor is one that came while nobody looked, also if it is yet to be judged where it came from.
#[test]
fn an_answer_after_the_deadline_is_not_thrown_away() {
    const HEADER: &[u8] = b"\x0a\x04\x08\x01\x18\x09";
    let options = due_at(500, write());
    for (checked, is_ok) in [(Freshness::Fresh, true), (Freshness::Stale { floor: 10 }, false)] {
        let mut call = Call::new(&method::PUT, options);
        assert!(matches!(call.poll(ms(0)), Next::Do(Output::Attempt(_))));
        call.handle(ms(0), sent(0));
        for input in ok(HEADER) {
            call.handle(ms(900), input);
        }
        assert!(matches!(call.poll(ms(900)), Next::Do(Output::Release(_))));
        call.handle(ms(900), Input::Freshness(checked));
        let Next::Do(Output::Done(result)) = call.poll(ms(900)) else { panic!("not over") };
        assert_eq!(result.is_ok(), is_ok);
    }
}

// I-C10: without a deadline a call waits for its driver alone.
#[test]
fn without_a_deadline_nothing_times_out() {
    let mut rig = Rig::new(write());
    assert_eq!(rig.wake_ms(), None);
    rig.feed(sent(0));
    assert_eq!(rig.wake_ms(), None);
    rig.until(1 << 40);
    assert!(rig.done().is_none());
}
