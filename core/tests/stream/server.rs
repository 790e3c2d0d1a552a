//! The `ServerStream` machine, one transcript a rule.

use super::{end, framed, head, lost};
use bytes::Bytes;
use etcd3_core::backoff::Backoff;
use etcd3_core::call::Sent;
use etcd3_core::channel::{
    Admission, AttemptKind, ConnectionId, Denied, EndpointId, Freshness, RevisionFloor,
};
use etcd3_core::channel::{Finished, HealthSignal};
use etcd3_core::error::Phase;
use etcd3_core::proto::etcdserverpb as pb;
use etcd3_core::rng::Rng;
use etcd3_core::stream::server_stream::{Input, Options, Output, ServerStream};
use etcd3_core::transport::{Event, Lost};
use etcd3_core::{
    Error, ErrorKind, Instant, Machine, Next, Outcome, ResponseHeader, ServerError, laws, method,
};
use std::time::Duration;

/// The last message: of the others, none begins so.
const LAST: &[u8] = b"!last";

const TIMEOUT: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(2);

fn the_header() -> ResponseHeader {
    pb::ResponseHeader { cluster_id: 7, member_id: 8, revision: 9, raft_term: 1 }.into()
}

fn header(message: &Bytes) -> Option<ResponseHeader> {
    message.starts_with(b"!").then(the_header)
}

const fn optional() -> Options {
    Options { is_optional: true, only: Some(EndpointId(3)), ..OPTIONS }
}

const OPTIONS: Options = Options {
    message_timeout: TIMEOUT,
    deadline: None,
    attempt_timeout: PATIENCE,
    max_attempts: 5,
    backoff: Backoff { first: Duration::from_millis(100), cap: Duration::from_secs(1) },
    max_message_bytes: 64,
    require_leader: false,
    is_linearizable: true,
    is_ordered: false,
    local_revision: 0,
    only: None,
    is_optional: false,
    header: Some(header),
    seed: 1,
};

fn sent(endpoint: u32, has_choice: bool) -> Input {
    sent_seeing(endpoint, has_choice, 0)
}

/// Sent by a client that had seen this revision.
fn sent_seeing(endpoint: u32, has_choice: bool, revision: i64) -> Input {
    let admission = Admission {
        kind: AttemptKind::Stream,
        endpoint: EndpointId(endpoint),
        connection: ConnectionId(1),
        since: Instant::ORIGIN,
        floor: Some(RevisionFloor { cluster_id: 7, revision }),
        has_choice,
    };
    Input::Sent(Sent::new(&admission, None))
}

fn data(messages: &[&[u8]]) -> Input {
    let bytes: Vec<u8> = messages.iter().flat_map(|message| framed(message)).collect();
    Input::Stream(Event::Data(bytes.into()))
}

fn refusal(code: &'static str, text: &'static str) -> Input {
    let trailers = super::headers(&[("grpc-status", code), ("grpc-message", text)]);
    Input::Stream(Event::End(Some(trailers)))
}

/// A call and the time.
struct Rig {
    stream: ServerStream,
    now: Instant,
}

impl Rig {
    fn new(options: Options) -> Self {
        let stream = ServerStream::new(&method::RANGE_STREAM, options);
        Self { stream, now: Instant::ORIGIN }
    }

    /// One whose first message is wanted and whose stream is open.
    fn open(options: Options) -> Self {
        let mut rig = Self::new(options);
        let [Output::Attempt(_)] = rig.feed([Input::Wanted])[..] else { panic!("no attempt") };
        assert_eq!(rig.feed([sent(3, true), Input::Stream(head())]), []);
        rig
    }

    /// One whose first message was handed out, and whose second is wanted.
    fn begun(options: Options) -> Self {
        let mut rig = Self::open(options);
        assert_eq!(rig.feed([data(&[b"one"])]), [message(b"one")]);
        assert_eq!(rig.feed([Input::Wanted]), []);
        rig
    }

    fn feed(&mut self, inputs: impl IntoIterator<Item = Input>) -> Vec<Output> {
        for input in inputs {
            self.stream.handle(self.now, input);
        }
        self.drain()
    }

    fn drain(&mut self) -> Vec<Output> {
        let next = || match self.stream.poll(self.now) {
            Next::Do(output) => Some(output),
            Next::Wait(_) => None,
        };
        std::iter::from_fn(next).collect()
    }

    fn wake(&mut self) -> Option<Duration> {
        match self.stream.poll(self.now) {
            Next::Do(output) => panic!("{output:?}"),
            Next::Wait(at) => at.map(|at| at.saturating_since(self.now)),
        }
    }

    fn pass(&mut self, time: Duration) -> Vec<Output> {
        self.now = self.now + time;
        self.drain()
    }
}

fn message(text: &'static [u8]) -> Output {
    Output::Message(Bytes::from_static(text))
}

fn failure(outputs: &[Output]) -> Error {
    match outputs {
        [Output::Done(Err(error))] => error.clone(),
        other => panic!("{other:?}"),
    }
}

// K23: whole messages in order; the server is held back while one waits to be taken.
#[test]
fn messages_are_handed_out_when_they_are_wanted() {
    let mut rig = Rig::new(OPTIONS);
    assert_eq!((rig.drain(), rig.wake()), (vec![], None), "nobody wants anything");
    let mut rig = Rig::open(OPTIONS);
    assert!(rig.stream.is_receiving());
    assert_eq!(rig.feed([data(&[b"one", b"two"])]), [message(b"one")]);
    assert!(!rig.stream.is_receiving(), "another waits");
    assert_eq!(rig.wake(), None);
    assert_eq!(rig.feed([Input::Wanted, Input::Wanted]), [message(b"two")]);
    assert!(rig.stream.is_receiving());
    assert_eq!(rig.feed([data(&[b"three"])]), [], "it is not wanted yet");
    assert_eq!(rig.feed([Input::Wanted]), [message(b"three")]);
    assert_eq!(rig.stream.ignored(), 0);
}

// K23, I-R8: only status 0 is complete, and the header tells whose answer it was.
#[test]
fn the_last_message_waits_for_the_end_and_for_its_header() {
    let mut rig = Rig::open(OPTIONS);
    assert_eq!(rig.feed([data(&[b"one", LAST])]), [message(b"one")]);
    assert_eq!(rig.feed([Input::Wanted]), [], "the end is to come");
    // The member asked its cluster before the first message, and may have lost it since.
    let finished = Finished {
        signal: HealthSignal::Alive,
        header: Some(the_header()),
        is_linearizable: true,
        is_ordered: false,
    };
    assert_eq!(rig.feed([Input::Stream(end("0"))]), [Output::Release(finished)]);
    let outputs = rig.feed([Input::Freshness(Freshness::Fresh)]);
    assert_eq!(outputs, [message(LAST), Output::Done(Ok(()))]);
    assert_eq!(rig.feed([Input::Wanted]), []);
}

// K23: the auth store is looked at again after the last piece, and compaction may come between.
#[test]
fn everything_may_come_and_the_call_be_refused_all_the_same() {
    for error in [ServerError::AuthOldRevision, ServerError::Compacted] {
        let mut rig = Rig::begun(OPTIONS);
        let outputs = rig.feed([data(&[LAST]), refusal("3", error.text())]);
        let failed = failure(&outputs);
        assert_eq!((failed.kind(), failed.attempts()), (ErrorKind::Server(error), 1));
        assert_eq!(failed.outcome(), Outcome::Rejected);
    }
}

// B26: what another cluster says is not handed out, and is asked for again elsewhere.
#[test]
fn what_is_not_fresh_is_not_handed_out() {
    let freshness = Freshness::Stale { floor: 10 };
    let not_fresh = [data(&[LAST]), Input::Stream(end("0"))];
    let mut rig = Rig::open(OPTIONS);
    assert!(matches!(rig.feed(not_fresh.clone())[..], [Output::Release(_)]));
    assert_eq!(rig.feed([Input::Freshness(freshness)]), []);
    assert!(matches!(rig.pass(Duration::from_secs(1))[..], [Output::Attempt(_)]));

    let mut rig = Rig::begun(OPTIONS);
    rig.feed(not_fresh);
    let failed = failure(&rig.feed([Input::Freshness(freshness)]));
    assert_eq!(failed.kind(), ErrorKind::StaleRead { revision: 9, seen: 10 });
}

// I-R8, R-08: a member that lacks what was seen is behind; what was not seen may be yet to come.
#[test]
fn a_revision_that_was_seen_is_read_elsewhere() {
    let options = Options { is_linearizable: false, local_revision: 9, ..OPTIONS };
    let future = refusal("11", ServerError::FutureRev.text());
    let refused = |seen, options| {
        let mut rig = Rig::new(options);
        rig.feed([Input::Wanted]);
        let outputs = rig.feed([sent_seeing(3, true, seen), Input::Stream(head()), future.clone()]);
        (rig, outputs)
    };
    let (mut rig, outputs) = refused(9, options);
    let [Output::Attempt(attempt)] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(attempt.want.avoid, Some(EndpointId(3)));
    let stale = failure(&rig.pass(TIMEOUT));
    assert_eq!(stale.kind(), ErrorKind::StaleRead { revision: 0, seen: 9 });
    for (seen, local_revision) in [(8, 9), (0, 9), (9, 0)] {
        let outputs = refused(seen, Options { local_revision, ..options }).1;
        let kind = failure(&outputs).kind();
        assert_eq!(kind, ErrorKind::Server(ServerError::FutureRev), "{seen}, {local_revision}");
    }
    // Its owner has another way.
    let (_, outputs) = refused(9, Options { is_optional: true, ..options });
    assert!(matches!(failure(&outputs).kind(), ErrorKind::StaleRead { .. }));
}

#[test]
fn what_is_lost_before_a_message_is_asked_for_again() {
    for (input, avoid) in [(Input::Stream(lost()), 3), (Input::Migrate, 3)] {
        let mut rig = Rig::open(OPTIONS);
        let outputs = rig.feed([input]);
        let [Output::Attempt(attempt)] = &outputs[..] else { panic!("{outputs:?}") };
        assert_eq!((attempt.number, attempt.want.avoid), (2, Some(EndpointId(avoid))));
        assert!(attempt.want.is_retry && attempt.want.kind == AttemptKind::Stream);
        assert_eq!(rig.feed([sent(4, true), Input::Stream(head())]), []);
        assert_eq!(rig.feed([data(&[b"one"])]), [message(b"one")]);
    }
    let mut rig = Rig::open(Options { max_attempts: 1, ..OPTIONS });
    assert_eq!(failure(&rig.feed([Input::Stream(lost())])).outcome(), Outcome::Unknown);
    let mut rig = Rig::new(OPTIONS);
    rig.feed([Input::Wanted]);
    let unsent = Lost { outcome: Outcome::NotSent, reset: None, cause: None };
    let outputs = rig.feed([Input::Stream(Event::Lost(unsent))]);
    let [Output::Attempt(attempt)] = &outputs[..] else { panic!("{outputs:?}") };
    assert!(!attempt.want.is_retry, "no server has seen it");
}

// K24: what was handed out is not repeated.
#[test]
fn what_is_lost_after_a_message_ends_the_call() {
    let mut rig = Rig::begun(OPTIONS);
    assert!(!rig.stream.may_migrate() && rig.stream.is_begun());
    let failed = failure(&rig.feed([Input::Stream(lost())]));
    assert_eq!((failed.attempts(), failed.method()), (1, Some(method::RANGE_STREAM.path)));
    assert_eq!(rig.stream.signal(), HealthSignal::Unhealthy);
}

// A message that came before the loss is handed out before it.
#[test]
fn what_came_before_a_failure_is_handed_out_first() {
    let mut rig = Rig::open(OPTIONS);
    assert_eq!(rig.feed([data(&[b"one", b"two"])]), [message(b"one")]);
    assert_eq!(rig.feed([refusal("14", "")]), []);
    let outputs = rig.feed([Input::Wanted]);
    let [first, rest @ ..] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(first, &message(b"two"));
    failure(rest);
}

#[test]
fn a_learner_that_is_alone_is_not_asked_again() {
    let text = ServerError::NotSupportedForLearner.text();
    for has_choice in [true, false] {
        let mut rig = Rig::new(OPTIONS);
        rig.feed([Input::Wanted]);
        rig.feed([sent(3, has_choice), Input::Stream(head())]);
        let outputs = rig.feed([refusal("14", text)]);
        let goes_on = matches!(outputs[..], [Output::Attempt(_)]);
        assert_eq!(goes_on, has_choice, "{outputs:?}");
    }
}

// One whose owner has another way does not wait.
#[test]
fn an_optional_call_ends_where_it_would_wait() {
    for denied in [Denied::NoConnection, Denied::Throttled] {
        let mut rig = Rig::new(optional());
        let outputs = rig.feed([Input::Wanted]);
        let [Output::Attempt(attempt)] = &outputs[..] else { panic!("{outputs:?}") };
        assert_eq!(attempt.want.only, Some(EndpointId(3)));
        let failed = failure(&rig.feed([Input::Denied(denied)]));
        assert_eq!(failed.kind(), ErrorKind::TimedOut(Phase::Connection));
        assert_eq!((failed.outcome(), failed.attempts()), (Outcome::NotSent, 0));
    }
    for input in [Input::Stream(lost()), Input::Migrate, refusal("14", "")] {
        failure(&Rig::open(optional()).feed([input.clone()]));
        let mut rig = Rig::begun(optional());
        failure(&rig.feed([input]));
    }
    let mut rig = Rig::begun(optional());
    assert_eq!(rig.wake(), Some(PATIENCE));
    let failed = failure(&rig.pass(PATIENCE));
    assert_eq!(failed.kind(), ErrorKind::TimedOut(Phase::Answer));
    assert_eq!(rig.stream.signal(), HealthSignal::Unhealthy);
}

#[test]
fn a_silent_member_is_given_up_before_its_first_message() {
    let mut rig = Rig::open(OPTIONS);
    assert_eq!(rig.wake(), Some(PATIENCE));
    assert!(matches!(rig.pass(PATIENCE)[..], [Output::Attempt(_)]));
    rig.feed([sent(4, true)]);
    assert_eq!(rig.wake(), Some(2 * PATIENCE), "twice as long the second time");
    // After that it is the deadline that ends it, where there is no other way.
    let mut rig = Rig::begun(OPTIONS);
    assert_eq!(rig.wake(), Some(TIMEOUT));
    assert_eq!(failure(&rig.pass(TIMEOUT)).kind(), ErrorKind::TimedOut(Phase::Answer));
    // Nor is a server given up that is the only one.
    let mut rig = Rig::new(OPTIONS);
    rig.feed([Input::Wanted]);
    rig.feed([sent(3, false)]);
    assert_eq!(rig.wake(), Some(TIMEOUT));
}

// Who wants a message sooner than a second says nothing of the server.
#[test]
fn a_short_deadline_blames_nobody() {
    for (timeout, signal) in [(500, HealthSignal::None), (1_500, HealthSignal::Unhealthy)] {
        let message_timeout = Duration::from_millis(timeout);
        let mut rig = Rig::begun(Options { message_timeout, ..OPTIONS });
        assert_eq!(failure(&rig.pass(message_timeout)).kind(), ErrorKind::TimedOut(Phase::Answer));
        assert_eq!(rig.stream.signal(), signal);
    }
}

// The time that a user takes over a message is no time of the server.
#[test]
fn the_deadline_counts_from_when_a_message_is_wanted() {
    for options in [OPTIONS, optional()] {
        let mut rig = Rig::open(options);
        rig.feed([data(&[b"one"])]);
        assert_eq!((rig.pass(100 * TIMEOUT), rig.wake()), (vec![], None));
        assert_eq!(rig.feed([Input::Wanted]), []);
        let due = if options.is_optional { PATIENCE } else { TIMEOUT };
        assert_eq!(rig.wake(), Some(due));
        assert_eq!(rig.feed([data(&[b"two"])]), [message(b"two")]);
    }
}

// M34, R32: slowness of the user counts where a deadline is for all of it, and what has come by
// then is late.
#[test]
fn the_deadline_of_all_of_it_counts_also_while_nothing_is_wanted() {
    let begin = Instant::ORIGIN;
    for (wait, is_late) in [(3, false), (4, true), (100, true)] {
        let deadline = Some(begin + Duration::from_secs(4));
        let mut rig = Rig::open(Options { deadline, header: None, ..OPTIONS });
        assert_eq!(rig.feed([data(&[b"one", b"two"])]), [message(b"one")]);
        assert_eq!((rig.pass(Duration::from_secs(wait)), rig.wake()), (vec![], None));
        let outputs = rig.feed([Input::Wanted]);
        if is_late {
            assert_eq!(failure(&outputs).kind(), ErrorKind::TimedOut(Phase::Answer));
        } else {
            assert_eq!(outputs, [message(b"two")]);
            assert_eq!(rig.feed([Input::Wanted]), []);
            assert_eq!(rig.wake(), Some(Duration::from_secs(1)), "shorter than a message may take");
        }
    }
}

#[test]
fn without_a_connection_the_deadline_ends_it() {
    let mut rig = Rig::new(OPTIONS);
    rig.feed([Input::Wanted]);
    assert_eq!(rig.feed([Input::Denied(Denied::NoConnection)]), []);
    assert_eq!(rig.wake(), Some(TIMEOUT));
    let failed = failure(&rig.pass(TIMEOUT));
    assert_eq!(failed.kind(), ErrorKind::TimedOut(Phase::Connection));
    // One that is to wait for the longest backoff is no attempt.
    let mut rig = Rig::new(OPTIONS);
    rig.feed([Input::Wanted]);
    assert_eq!(rig.feed([Input::Denied(Denied::Throttled)]), []);
    let outputs = rig.pass(Duration::from_secs(2));
    let [Output::Attempt(attempt)] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(attempt.number, 1);
}

#[test]
fn what_breaks_the_rules_is_malformed() {
    let bad: [&[Input]; 3] =
        [&[data(&[LAST, b"one"])], &[data(&[LAST, LAST])], &[Input::Stream(end("0"))]];
    for inputs in bad {
        let mut rig = Rig::open(Options { max_attempts: 1, ..OPTIONS });
        let failed = failure(&rig.feed(inputs.iter().cloned()));
        assert_eq!(failed.kind(), ErrorKind::Protocol, "{inputs:?}");
    }
    let mut rig = Rig::open(OPTIONS);
    let failed = failure(&rig.feed([data(&[&[b'x'; 65]])]));
    assert_eq!(failed.kind(), ErrorKind::ResponseOverLimit { len: 65, limit: 64 });
    // Where no message is known to be the last one, all are alike.
    let mut rig = Rig::open(Options { header: None, ..OPTIONS });
    let outputs = rig.feed([data(&[LAST]), Input::Stream(end("0"))]);
    assert!(matches!(outputs[..], [Output::Message(_), Output::Release(_)]), "{outputs:?}");
    assert_eq!(rig.feed([Input::Freshness(Freshness::Fresh)]), [Output::Done(Ok(()))]);
}

#[test]
fn a_closed_client_ends_it_in_any_state() {
    let mut waiting = Rig::new(OPTIONS);
    let mut open = Rig::open(OPTIONS);
    let mut held = Rig::open(OPTIONS);
    held.feed([data(&[b"one", b"two"])]);
    for (rig, outcome) in [
        (&mut waiting, Outcome::NotSent),
        (&mut open, Outcome::Unknown),
        (&mut held, Outcome::Unknown),
    ] {
        let failed = failure(&rig.feed([Input::Closed(ErrorKind::Closed)]));
        assert_eq!((failed.kind(), failed.outcome()), (ErrorKind::Closed, outcome));
        assert_eq!(rig.feed([Input::Wanted, Input::Closed(ErrorKind::Closed)]), []);
    }
    let mut refused = Rig::new(OPTIONS);
    refused.feed([Input::Wanted]);
    let failed = failure(&refused.feed([Input::Refused(Error::invalid_request("no"))]));
    assert_eq!((failed.kind(), failed.attempts()), (ErrorKind::InvalidRequest, 0));
}

fn random_input(rng: &mut Rng) -> Input {
    match rng.below(20) {
        0..=4 => Input::Wanted,
        5..=7 => sent(u32::try_from(rng.below(3)).expect("a small number"), rng.below(2) == 0),
        8..=9 => Input::Stream(head()),
        10..=11 => data(&[b"one"]),
        12 => data(&[b"one", b"two"]),
        13 => data(&[LAST]),
        14 => Input::Stream(end(["0", "0", "5", "14"][usize::from(rng.below(4) == 0)])),
        15 => Input::Stream(lost()),
        16 => Input::Freshness(match rng.below(3) {
            0 => Freshness::Stale { floor: 10 },
            1 => Freshness::Foreign { expected: 6 },
            _ => Freshness::Fresh,
        }),
        17 => Input::Migrate,
        18 if rng.below(3) == 0 => Input::Closed(ErrorKind::Closed),
        18 if rng.below(4) == 0 => Input::NoToken(None),
        18 => Input::Denied(Denied::Throttled),
        _ => Input::Denied(Denied::NoConnection),
    }
}

// As many messages as were wanted at most, one end, and nothing after it.
#[test]
fn it_obeys_the_laws() {
    for seed in 0..4_000 {
        let spread = Duration::from_millis(1 << (seed % 12));
        let script = laws::script(seed, 60, spread, random_input);
        let wanted = script.iter().filter(|(_, input)| matches!(input, Input::Wanted)).count();
        let deadline = Some(Instant::ORIGIN + spread * 30);
        for options in [OPTIONS, optional(), Options { deadline, ..OPTIONS }] {
            let stream = ServerStream::new(&method::RANGE_STREAM, Options { seed, ..options });
            let outputs = laws::check_machine(&stream, &script);
            let count =
                |is_it: fn(&Output) -> bool| outputs.iter().filter(|it| is_it(&it.1)).count();
            assert!(count(|it| matches!(it, Output::Message(_))) <= wanted);
            let ends = count(|it| matches!(it, Output::Done(_)));
            let is_last = matches!(outputs.last(), Some((_, Output::Done(_))));
            assert!(ends == 0 || (ends == 1 && is_last), "{outputs:?}");
        }
    }
}
