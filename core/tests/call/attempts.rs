//! Attempts that are given up, throttled, or whose answers come from the wrong place.

use crate::rig::{Rig, admitted, body, ends, head, lost, ms, ok, read, sent, trailers, write};
use etcd3_core::auth::{Generation, StaleToken, TokenReason};
use etcd3_core::call::{Call, Input, Options, Output, Sent, SentToken};
use etcd3_core::channel::{Admission, Denied, Freshness, HealthSignal};
use etcd3_core::error::Phase;
use etcd3_core::{Code, Error, ErrorKind, Machine, Next, Outcome, ServerError, method};
use std::error::Error as _;
use std::time::Duration;

/// An answer with nothing but a header: of cluster 1, at revision 9.
const HEADER: &[u8] = b"\x0a\x04\x08\x01\x18\x09";

fn patient(mut options: Options) -> Options {
    options.attempt_timeout = Some(Duration::from_secs(3));
    options.deadline = Some(ms(15_000));
    options
}

fn due(mut options: Options) -> Options {
    options.deadline = Some(ms(15_000));
    options
}

// I-C7, B15: a member that does not answer costs a read three seconds, and then another is asked.
#[test]
fn a_read_goes_elsewhere_when_it_is_not_answered() {
    let mut rig = Rig::new(patient(read()));
    rig.feed(sent(4)).until(2_999);
    assert_eq!(rig.attempts().len(), 1);
    rig.until(3_000);
    assert_eq!(rig.attempts()[1..], [(3_000, 2, Some(4))]);
    assert_eq!(rig.call.signal(), HealthSignal::Unhealthy);
    rig.feed(sent(5)).feed_all(ok(b"late"));
    assert_eq!((rig.reply().attempts, rig.call.signal()), (2, HealthSignal::Healthy));
}

// A connection that may be dead is left by what can be repeated, for nothing but a retry.
#[test]
fn a_read_migrates_and_a_write_stays() {
    let mut rig = Rig::new(patient(read()));
    rig.feed(sent(4)).rest(1_000).feed(Input::Migrate);
    assert_eq!(rig.attempts()[1..], [(1_000, 2, Some(4))]);
    assert_eq!(rig.call.signal(), HealthSignal::None, "nothing is said of the endpoint");
    assert!(rig.last_attempt().want.is_retry);
    rig.feed(Input::Migrate);
    assert_eq!(rig.call.ignored(), 1, "there is no attempt under way");
    let mut one = patient(read());
    one.max_attempts = 1;
    for options in [patient(write()), one] {
        let mut rig = Rig::new(options);
        rig.feed(sent(4)).feed(Input::Migrate);
        assert_eq!((rig.call.ignored(), rig.attempts().len()), (1, 1));
        rig.feed_all(ok(b"answer"));
        assert_eq!(rig.reply().attempts, 1);
    }
}

// A slow cluster is not asked for ever more than it can do: each attempt waits twice as long.
#[test]
fn patience_doubles() {
    let mut rig = Rig::new(patient(read()));
    rig.feed(sent(0)).until(3_000).feed(sent(1)).until(8_999);
    assert_eq!(rig.attempts().len(), 2);
    rig.until(10_000);
    assert_eq!(rig.attempts().len(), 3, "3 s, then 6 s and the wait of a second failure");
}

// Only what was not answered makes the next attempt wait longer: a member that refuses at once, or
// does not take the request, says nothing of how long an answer takes.
#[test]
fn patience_is_that_of_unanswered_attempts() {
    let mut rig = Rig::new(patient(read()));
    for _ in 0..2 {
        rig.feed(lost(Outcome::NotSent)).rest(300);
        rig.feed(sent(0)).feed_all(ends(Code::Unavailable, "refused")).rest(600);
    }
    let began = rig.now_ms();
    rig.feed(sent(1)).until(began + 2_999);
    assert_eq!(rig.attempts().len(), 5);
    rig.until(began + 3_000 + 2_400);
    assert_eq!(rig.attempts().len(), 6, "a frozen member costs three seconds all the same");
}

// A member that is in the midst of its answer is no suspect when the time is up.
#[test]
fn a_deadline_in_the_midst_of_an_answer_tells_nothing_of_the_member() {
    for (fed, expected) in [(1_900, HealthSignal::None), (500, HealthSignal::Unhealthy)] {
        let mut options = read();
        options.deadline = Some(ms(2_000));
        let mut rig = Rig::new(options);
        rig.feed(sent(0)).feed(head()).until(fed).feed(body(b"half")).until(2_000);
        assert!(rig.done().is_some());
        assert_eq!(rig.call.signal(), expected, "the last byte came at {fed} ms");
    }
}

// An answer that is on its way is not given up.
#[test]
fn an_answer_that_makes_progress_is_waited_for() {
    let mut rig = Rig::new(patient(read()));
    rig.feed(sent(0)).until(2_000).feed(head()).until(4_900);
    rig.feed(body(b"first half")).until(7_800);
    rig.feed(trailers(Code::Ok, ""));
    assert_eq!(rig.reply().attempts, 1);
}

// I-R1: a write that may have been applied is never given up for another attempt.
#[test]
fn a_write_waits_for_its_deadline() {
    let mut rig = Rig::new(patient(write()));
    rig.feed(sent(0)).until(14_999);
    assert!(rig.done().is_none());
    rig.until(15_000);
    let error = rig.error();
    assert_eq!((error.outcome(), rig.attempts().len()), (Outcome::Unknown, 1));
    assert_eq!(rig.call.signal(), HealthSignal::Unhealthy);
    let report = error.report().to_string();
    assert!(report.contains("sent 15s ago, and nothing has come back"), "{report}");
}

// E12: never a bare deadline: the last failure is told, or what was seen of the attempt.
#[test]
fn a_timeout_says_what_happened() {
    let mut rig = Rig::new(patient(read()));
    rig.feed(sent(0)).feed(lost(Outcome::Unknown)).until(14_000);
    rig.feed(sent(1)).until(15_000);
    let error = rig.error();
    assert!(error.source().is_some_and(|cause| cause.to_string().contains("was lost")), "{error}");
}

// A call of ten milliseconds says nothing of the member that did not answer it in time.
#[test]
fn a_short_deadline_is_no_verdict_on_the_member() {
    let mut options = read();
    options.deadline = Some(ms(10));
    let mut rig = Rig::new(options);
    rig.feed(sent(0)).until(10);
    assert!(matches!(rig.error().kind(), ErrorKind::TimedOut(_)));
    assert_eq!(rig.call.signal(), HealthSignal::None);
}

// I-R5: when too many calls are repeated, a retry waits as long as the backoff knows.
#[test]
fn a_throttled_retry_waits_for_the_cap() {
    let mut rig = Rig::new(read());
    rig.feed(sent(0)).feed(lost(Outcome::Unknown));
    assert_eq!(rig.attempts().len(), 2);
    rig.feed(Input::Denied(Denied::Throttled)).until(1_500);
    assert_eq!(rig.attempts().len(), 2);
    rig.until(2_500);
    let attempts = rig.attempts();
    assert_eq!((attempts.len(), attempts[2].1), (3, 2), "it is the second attempt still");
    rig.feed(sent(1)).feed_all(ok(b""));
    assert_eq!(rig.reply().attempts, 2);
}

#[test]
fn only_what_a_server_may_have_seen_counts_as_a_retry() {
    let mut rig = Rig::new(read());
    rig.feed(lost(Outcome::NotSent));
    assert!(!rig.last_attempt().want.is_retry);
    rig.feed(sent(0)).feed(lost(Outcome::Unknown)).rest(2_500);
    assert!(rig.last_attempt().want.is_retry);
}

// I-R8
#[test]
fn a_stale_answer_is_asked_for_again_until_the_deadline() {
    let mut rig = Rig::checking(due(read()));
    let mut attempts = 0;
    while rig.done().is_none() {
        attempts += 1;
        rig.feed(sent(0)).feed_all(ok(HEADER));
        assert_eq!(rig.outputs(), 2 * attempts, "an attempt and a check");
        rig.feed(Input::Freshness(Freshness::Stale { floor: 10 })).rest(2_500);
        assert!(attempts < 100);
    }
    assert!(attempts > 3);
    let error = rig.error();
    assert_eq!(error.kind(), ErrorKind::StaleRead { revision: 9, seen: 10 });
    let text = error.to_string();
    assert!(text.contains("forget_revision") && text.contains("revision 9"), "{text}");
}

#[test]
fn a_fresh_answer_is_handed_out() {
    let mut rig = Rig::checking(due(write()));
    rig.feed(sent(3)).feed_all(ok(HEADER)).feed(Input::Freshness(Freshness::Fresh));
    assert_eq!(rig.reply().endpoint.0, 3);
    // What has no header cannot be checked.
    let mut rig = Rig::checking(due(write()));
    rig.feed(sent(3)).feed_all(ok(b""));
    assert!(rig.done().is_none(), "the connection is released all the same");
    rig.feed(Input::Freshness(Freshness::Fresh));
    assert_eq!(rig.reply().attempts, 1);
}

// B26: it was applied, but where?
#[test]
fn a_write_that_another_cluster_answered_is_unknown() {
    for checked_as in [Freshness::Foreign { expected: 7 }, Freshness::Changed { expected: 7 }] {
        let mut rig = Rig::checking(due(write()));
        rig.feed(sent(0)).feed_all(ok(HEADER)).feed(Input::Freshness(checked_as));
        let error = rig.error();
        assert_eq!(error.kind(), ErrorKind::ClusterChanged { expected: 7, found: 1 });
        assert_eq!(error.outcome(), Outcome::Unknown);
    }
}

#[test]
fn a_read_that_a_foreign_member_answered_goes_elsewhere() {
    let mut rig = Rig::checking(due(read()));
    rig.feed(sent(0))
        .feed_all(ok(HEADER))
        .feed(Input::Freshness(Freshness::Foreign { expected: 7 }));
    rig.rest(3_000);
    assert_eq!(rig.attempts().len(), 2);
    rig.feed(sent(1))
        .feed_all(ok(HEADER))
        .feed(Input::Freshness(Freshness::Changed { expected: 7 }));
    assert!(matches!(rig.error().kind(), ErrorKind::ClusterChanged { .. }), "said at once");
}

// Writes and linearizable reads take a working cluster; a serializable read takes one member.
#[test]
fn what_takes_a_cluster_shows_that_it_works() {
    let serializable = Options { is_linearizable: false, ..read() };
    for (options, expected) in [
        (write(), HealthSignal::Healthy),
        (read(), HealthSignal::Healthy),
        (serializable, HealthSignal::Alive),
    ] {
        let mut rig = Rig::new(options);
        rig.feed(sent(0)).feed_all(ok(HEADER));
        assert_eq!((rig.reply().attempts, rig.call.signal()), (1, expected), "{options:?}");
        let mut rig = Rig::new(options);
        rig.feed(sent(0)).feed_all(ends(Code::PermissionDenied, "etcdserver: permission denied"));
        assert_eq!(rig.call.signal(), expected, "a refusal shows it, too: {options:?}");
    }
}

/// A read that a member answers by itself, and that is not to go back.
fn ordered() -> Options {
    Options { is_linearizable: false, is_ordered: true, ..read() }
}

// I-R8, Y2, ORD-006: it goes elsewhere at once, and no member is to blame for being behind.
#[test]
fn a_serializable_read_that_may_not_go_back_goes_elsewhere() {
    let stale = Input::Freshness(Freshness::Stale { floor: 5 });
    let mut rig = Rig::checking(due(ordered()));
    rig.feed(sent(0)).feed_all(ok(HEADER)).feed(stale.clone());
    assert_eq!(rig.call.signal(), HealthSignal::Alive);
    assert_eq!(rig.attempts().len(), 2);
    rig.feed(sent(1)).feed_all(ok(HEADER)).feed(Input::Freshness(Freshness::Fresh));
    assert_eq!(rig.reply().attempts, 2);

    // Where no member has come that far in time, that is what is told.
    let mut rig = Rig::checking(due(ordered()));
    for _ in 0..2 {
        rig.feed(sent(0)).feed_all(ok(HEADER)).feed(stale.clone());
    }
    rig.rest(60_000);
    let kind = rig.error().kind();
    assert!(matches!(kind, ErrorKind::StaleRead { seen: 5, .. }), "{kind:?}");
}

// I-R8, Y2: the floor is asked for by whoever wants it.
#[test]
fn the_floor_holds_for_what_is_to_be_in_order() {
    let unordered = Options { is_ordered: false, ..ordered() };
    let (of_cluster, of_member, none) = ((true, false), (false, true), (false, false));
    for (options, expected) in [(read(), of_cluster), (ordered(), of_member), (unordered, none)] {
        let mut rig = Rig::checking(due(options));
        rig.feed(sent(0)).feed_all(ok(HEADER));
        let asked = rig.released().map(|it| (it.is_linearizable, it.is_ordered));
        assert_eq!(asked, Some(expected), "{options:?}");
    }
}

// I-C7: with one endpoint there is no other to go to.
#[test]
fn nothing_is_given_up_where_there_is_no_other_endpoint() {
    let mut rig = Rig::new(patient(read()));
    let only = Admission { has_choice: false, ..admitted(0) };
    rig.feed(Input::Sent(Sent::new(&only, None))).until(14_999);
    assert_eq!((rig.attempts().len(), rig.done()), (1, None));
    rig.until(15_000);
    assert_eq!(rig.error().kind(), ErrorKind::TimedOut(Phase::Answer));
}

// R41: a learner refuses until it is promoted; there is no use in asking it again and again.
#[test]
fn a_learner_that_is_alone_is_asked_once() {
    let refused = || ends(Code::FailedPrecondition, "etcdserver: rpc not supported for learner");
    let mut rig = Rig::new(write());
    let only = Admission { has_choice: false, ..admitted(0) };
    rig.feed(Input::Sent(Sent::new(&only, None))).feed_all(refused());
    let error = rig.error();
    assert_eq!(error.server_error(), Some(ServerError::NotSupportedForLearner));
    assert_eq!((error.outcome(), error.attempts()), (Outcome::Rejected, 1));
    let mut rig = Rig::new(write());
    rig.feed(sent(0)).feed_all(refused()).rest(2_500);
    assert_eq!(rig.attempts().len(), 2, "there are others, though they may be down now");
}

fn sent_token(generation: u64) -> SentToken {
    SentToken { generation: Generation(generation), since: ms(0) }
}

// A-rules: a token that was refused is not sent again; without one there is nothing to renew.
#[test]
fn a_refused_token_is_replaced_by_a_newer_one() {
    let refused = || ends(Code::Unauthenticated, "etcdserver: invalid auth token");
    let with = |token| Input::Sent(Sent::new(&admitted(0), Some(sent_token(token))));
    let mut rig = Rig::new(write());
    assert_eq!(rig.last_attempt().stale_token, None);
    rig.feed(with(3)).feed_all(refused()).rest(2_500);
    let stale = StaleToken { generation: Generation(3), reason: TokenReason::Invalid };
    assert_eq!((rig.attempts().len(), rig.last_attempt().stale_token), (2, Some(stale)));
    rig.feed(with(4)).feed_all(ok(HEADER));
    assert_eq!(rig.reply().attempts, 2);

    let mut rig = Rig::new(write());
    rig.feed(sent(0)).feed_all(refused());
    assert_eq!(rig.error().attempts(), 1);
}

// What holds a secret says so, unless the user allows plain text.
#[test]
fn a_secret_is_marked_and_its_refusal_ends_the_call() {
    for allow_plaintext_secrets in [false, true] {
        let options = Options { allow_plaintext_secrets, ..Options::new(&method::AUTHENTICATE, 1) };
        let mut call = Call::new(&method::AUTHENTICATE, options);
        let Next::Do(Output::Attempt(attempt)) = call.poll(ms(0)) else { panic!("no attempt") };
        assert_eq!(attempt.want.is_secret, !allow_plaintext_secrets);
        let endpoint = "http://a".parse().expect("an endpoint");
        call.handle(ms(0), Input::Denied(Denied::Plaintext(endpoint)));
        let Next::Do(Output::Done(Err(error))) = call.poll(ms(0)) else { panic!("not done") };
        assert_eq!(error.kind(), ErrorKind::PlaintextPassword);
        assert_eq!((error.outcome(), error.endpoint()), (Outcome::NotSent, Some("http://a")));
    }
}

// B27: a status that is none of etcd's own comes of a member, or of a proxy, that is in trouble, or
// it tells nothing of the one that sent it.
#[test]
fn what_an_unknown_status_tells_of_the_endpoint_depends_on_its_code() {
    for code in Code::ALL {
        let mut rig = Rig::new(due(write()));
        rig.feed(sent(4)).feed_all(ends(code, "of some proxy"));
        let expected = match code {
            // An answer without its message.
            Code::Ok
            | Code::Unavailable
            | Code::Internal
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Canceled => HealthSignal::Unhealthy,
            _ => HealthSignal::None,
        };
        assert_eq!(rig.call.signal(), expected, "{code:?}");
    }
}

// R4, R24, I-R5: the budget of retries has nothing to do with tokens, nor has the limit of
// attempts.
#[test]
fn a_retry_for_a_token_counts_neither_as_an_attempt_nor_as_a_retry() {
    let refused = || ends(Code::Unauthenticated, "etcdserver: invalid auth token");
    let with = |token| Input::Sent(Sent::new(&admitted(0), Some(sent_token(token))));
    let options = Options { max_attempts: 2, ..write() };
    let mut rig = Rig::new(options);
    rig.feed(with(1)).feed_all(refused());
    assert_eq!(rig.attempts().len(), 2, "at once: the wait is that for the token");
    assert!(!rig.last_attempt().want.is_retry);
    // The first of the two that it has.
    rig.feed(with(2)).feed(lost(Outcome::NotSent)).rest(300);
    rig.feed(with(2)).feed_all(ok(HEADER));
    assert_eq!(rig.reply().attempts, 3);
}

// R21: without a token the server finds out who it is by itself, and that may have become old.
#[test]
fn a_common_name_that_became_old_is_looked_at_again_a_few_times() {
    let mut rig = Rig::new(write());
    for n in 1..=4 {
        assert_eq!(rig.attempts().len(), n);
        rig.feed(sent(0));
        rig.feed_all(ends(Code::InvalidArgument, "etcdserver: revision of auth store is old"));
        rig.rest(3_000);
    }
    assert_eq!(rig.error().kind(), ErrorKind::Server(ServerError::AuthOldRevision));
    assert_eq!((rig.error().attempts(), rig.error().outcome()), (4, Outcome::Rejected));
}

// I-A2: what the login said, or what was refused.
#[test]
fn without_a_token_the_call_ends_in_what_is_known() {
    let mut rig = Rig::new(write());
    let login = Error::new(ErrorKind::Server(ServerError::AuthFailed));
    rig.feed(Input::NoToken(Some(login)));
    assert_eq!(rig.error().kind(), ErrorKind::Server(ServerError::AuthFailed));
    assert_eq!((rig.error().attempts(), rig.error().outcome()), (0, Outcome::NotSent));

    let mut rig = Rig::new(write());
    rig.feed(Input::Sent(Sent::new(&admitted(0), Some(sent_token(1)))));
    rig.feed_all(ends(Code::Unauthenticated, "etcdserver: invalid auth token"));
    rig.feed(Input::NoToken(None));
    assert_eq!(rig.error().kind(), ErrorKind::Server(ServerError::InvalidAuthToken));
    assert_eq!((rig.error().attempts(), rig.error().outcome()), (1, Outcome::Rejected));
}
