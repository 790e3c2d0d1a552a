//! The laws of the machines and the promises of a call: random scripts, and all short ones.

use crate::behind::seeing;
use crate::rig::{body, framed, head, head_with, lost, ms, sent, trailers, trailers_only, write};
use etcd3_core::call::{Call, Input, Options, Output, Reply};
use etcd3_core::channel::{Denied, Freshness};
use etcd3_core::method::Effect;
use etcd3_core::rng::Rng;
use etcd3_core::transport::Event;
use etcd3_core::{
    Code, Error, ErrorKind, Instant, Machine, Next, Outcome, ServerError, backoff, laws, method,
};
use http::StatusCode;
use std::error::Error as _;
use std::time::Duration;

/// Watches a call from outside, with a mind of its own about what each input means.
#[derive(Clone)]
struct Judge {
    call: Call,
    options: Options,
    now: Instant,
    wake: Option<Instant>,
    attempts: u32,
    /// How many of them were handed over.
    sent: u32,
    open: Open,
    /// The least that must be said of all attempts that ended.
    worst: Outcome,
    done: u32,
    /// Whether responses count as fresh without being asked about.
    is_trusting: bool,
}

/// The attempt under way.
#[derive(Clone, Copy, Default)]
struct Open {
    endpoint: Option<u32>,
    has_data: bool,
    ended: bool,
    /// Whether it ended in a way that lets a write follow.
    unprocessed: bool,
}

impl Judge {
    fn new(options: Options, is_trusting: bool) -> Self {
        let call = Call::new(&method::PUT, options);
        let mut judge = Self {
            call,
            options,
            now: Instant::ORIGIN,
            wake: None,
            attempts: 0,
            sent: 0,
            open: Open::default(),
            worst: Outcome::NotSent,
            done: 0,
            is_trusting,
        };
        judge.drain();
        judge
    }

    /// Lets the time pass as far as `at`; wakes the call when it asked for it.
    fn advance(&mut self, at: Instant) {
        while let Some(wake) = self.wake.filter(|wake| *wake <= at) {
            self.now = wake;
            self.drain();
        }
        self.now = at;
        self.drain();
    }

    fn feed(&mut self, input: &Input) {
        let ignored = self.call.ignored();
        self.call.handle(self.now, input.clone());
        let taken = self.call.ignored() == ignored;
        assert!(!taken || self.done == 0, "an input is taken after the end");
        if taken {
            self.note(input);
        }
        self.drain();
    }

    /// What an input that was taken means for the attempt under way, if there is one.
    fn note(&mut self, input: &Input) {
        let open = &mut self.open;
        if open.ended {
            return;
        }
        let at_least = match input {
            Input::Sent(sent) => {
                open.endpoint = Some(sent.endpoint.0);
                self.sent += 1;
                return;
            }
            Input::Stream(Event::Data(_)) => {
                open.has_data = true;
                return;
            }
            Input::Stream(Event::Head { headers, .. }) => match headers.get("content-type") {
                Some(content) if content == "application/grpc" => return,
                _ => Outcome::Rejected,
            },
            Input::Stream(Event::End(trailers)) => {
                let text = trailers.as_ref().and_then(|t| t.get("grpc-message"));
                let busy = ServerError::TooManyRequests.text();
                open.unprocessed = text.is_some_and(|text| text == busy);
                Outcome::Rejected
            }
            Input::Stream(Event::Lost(lost)) if lost.outcome == Outcome::NotSent => {
                open.unprocessed = true;
                Outcome::NotSent
            }
            Input::Stream(Event::Lost(_)) | Input::Migrate | Input::Closed(_) => Outcome::Unknown,
            Input::Denied(_) => {
                self.attempts -= 1;
                return;
            }
            Input::Refused(_) | Input::NoToken(_) => Outcome::NotSent,
            Input::Freshness(_) => unreachable!("before the end of the answer"),
        };
        open.ended = true;
        if open.endpoint.is_some() {
            self.worst = self.worst.max(at_least);
        }
    }

    /// The least that must be said of the call now.
    fn at_least(&self) -> Outcome {
        let under_way = self.open.endpoint.is_some() && !self.open.ended;
        if under_way { Outcome::Unknown } else { self.worst }
    }

    fn drain(&mut self) {
        for _ in 0..100 {
            match self.call.poll(self.now) {
                Next::Do(output) => self.judge(output),
                Next::Wait(wake) => {
                    assert!(wake.is_none_or(|wake| wake > self.now), "would spin");
                    assert!(self.done == 0 || wake.is_none(), "waits after the end");
                    self.wake = wake;
                    return;
                }
            }
        }
        panic!("never stops");
    }

    fn judge(&mut self, output: Output) {
        assert_eq!(self.done, 0, "something after the end: {output:?}");
        match output {
            Output::Attempt(attempt) => {
                self.attempts += 1;
                assert_eq!(attempt.number, self.attempts);
                assert!(self.attempts <= self.options.max_attempts.max(1), "C16");
                assert!(self.options.deadline.is_none_or(|d| self.now < d), "I-R4");
                let may_have_been_processed =
                    self.open.endpoint.is_some() && !self.open.unprocessed;
                let is_write = self.options.effect == Effect::Write;
                assert!(!is_write || !may_have_been_processed, "I-R1: a write was sent again");
                self.worst = self.at_least();
                self.open = Open::default();
            }
            Output::Release(finished) => {
                assert!(self.open.ended);
                if let Some(header) = finished.header {
                    assert_eq!((header.cluster_id, header.revision), (1, 9));
                }
                if self.is_trusting {
                    self.call.handle(self.now, Input::Freshness(Freshness::Fresh));
                }
            }
            Output::Done(Ok(reply)) => {
                self.done += 1;
                self.judge_reply(&reply);
            }
            Output::Done(Err(error)) => {
                self.done += 1;
                self.judge_error(&error);
            }
        }
    }

    fn judge_reply(&self, reply: &Reply) {
        assert!(self.open.ended && self.open.has_data, "success out of nothing");
        assert_eq!(Some(reply.endpoint.0), self.open.endpoint);
        assert_eq!(reply.attempts, self.sent);
    }

    /// I-R2, I-R4: an error never makes the outcome look better than it may be.
    fn judge_error(&self, error: &Error) {
        assert!(error.outcome() >= self.at_least(), "I-R2: {error}");
        assert_eq!(error.attempts(), self.sent);
        assert!(self.sent > 0 || error.outcome() == Outcome::NotSent, "{error}");
        assert_eq!(error.method(), Some(method::PUT.path));
        assert_eq!(error.effect(), Some(self.options.effect));
        // With a source, of a refusal: other answers from the past are those of the script.
        if let (ErrorKind::StaleRead { seen, .. }, Some(_)) = (error.kind(), error.source()) {
            assert!((1..=seen).contains(&self.options.local_revision), "I-R8: {error}");
        }
        if let ErrorKind::TimedOut(_) = error.kind() {
            let is_due = self.options.deadline.is_some_and(|deadline| deadline <= self.now);
            assert!(is_due || self.options.attempt_timeout.is_some());
        }
    }
}

/// An answer with nothing but a header: of cluster 1, at revision 9.
const HEADER: &[u8] = b"\x0a\x04\x08\x01\x18\x09";

fn random_input(rng: &mut Rng) -> Input {
    let (busy, future) = (ServerError::TooManyRequests, ServerError::FutureRev);
    let codes = [Code::Ok, Code::Ok, Code::Ok, Code::Unavailable, Code::NotFound, Code::Canceled];
    match rng.below(20) {
        0..=3 => seeing(u32::try_from(rng.below(3)).unwrap_or_default(), [0, 6, 7][pick(rng, 3)]),
        4..=5 => head(),
        6 => trailers_only(codes[pick(rng, codes.len())], "text").swap_remove(0),
        7 => head_with(StatusCode::SERVICE_UNAVAILABLE, &[("content-type", "text/html")]),
        8 => body(b"message"),
        9 => Input::Stream(Event::Data(framed(b"message").slice(pick(rng, 12)..))),
        10 => trailers(codes[pick(rng, codes.len())], "text"),
        11 if rng.below(2) == 0 => trailers(busy.code(), busy.text()),
        11 => trailers(future.code(), future.text()),
        12 => Input::Stream(Event::End(None)),
        13 => lost(Outcome::NotSent),
        14 => lost(Outcome::Unknown),
        15 => body(HEADER),
        16 if rng.below(8) == 0 => Input::Refused(Error::new(ErrorKind::PlaintextPassword)),
        16 => Input::Denied(Denied::Throttled),
        17 if rng.below(2) == 0 => Input::Migrate,
        17 => Input::Freshness(Freshness::Fresh),
        18 => Input::Freshness(Freshness::Stale { floor: 10 }),
        _ if rng.below(8) == 0 => Input::Closed(ErrorKind::Closed),
        _ => sent(0),
    }
}

fn pick(rng: &mut Rng, count: usize) -> usize {
    usize::try_from(rng.below(count as u64)).unwrap_or_default()
}

fn random_options(rng: &mut Rng) -> Options {
    let effects = [Effect::Read, Effect::IdempotentWrite, Effect::Write];
    let duration = |rng: &mut Rng, most_ms| Duration::from_millis(rng.below(most_ms));
    Options {
        deadline: (rng.below(2) == 0).then(|| ms(rng.below(2_000))),
        attempt_timeout: (rng.below(2) == 0).then(|| duration(rng, 500)),
        max_attempts: u32::try_from(rng.below(6)).unwrap_or_default(),
        backoff: backoff::Backoff { first: duration(rng, 200), cap: duration(rng, 1_000) },
        max_response_bytes: pick(rng, 12),
        request_len: None,
        require_leader: rng.below(2) == 0,
        local_revision: [0, 7][pick(rng, 2)],
        effect: effects[pick(rng, 3)],
        seed: rng.next_u64(),
        ..write()
    }
}

// The laws of every machine, for calls of all kinds.
#[test]
fn a_call_obeys_the_laws() {
    for seed in 0..10_000 {
        let mut rng = Rng::new(seed);
        let call = Call::new(&method::PUT, random_options(&mut rng));
        let script = laws::script(seed, 20, Duration::from_millis(200), random_input);
        laws::check_machine(&call, &script);
    }
}

// I-R1, I-R2, I-R4, C16
#[test]
fn a_call_keeps_its_promises_whatever_happens() {
    let (mut ends, mut retries) = (0, 0);
    for seed in 0..20_000 {
        let mut rng = Rng::new(seed);
        let mut judge = Judge::new(random_options(&mut rng), seed % 2 == 0);
        for (at, input) in laws::script(seed, 20, Duration::from_millis(100), random_input) {
            judge.advance(at);
            judge.feed(&input);
        }
        ends += judge.done;
        retries += judge.attempts.saturating_sub(1);
    }
    assert!(ends > 10_000 && retries > 10_000, "too tame: {ends} ends, {retries} retries");
}

/// What can happen in one step of the exhaustive test.
#[derive(Clone)]
enum Step {
    Input(Input),
    /// 40 ms pass.
    Pass,
}

/// Runs every sequence of up to `depth` steps.
fn every_sequence(judge: &Judge, steps: &[Step], depth: u32, count: &mut u64) {
    *count += 1;
    if depth == 0 {
        return;
    }
    for step in steps {
        let mut judge = judge.clone();
        match step {
            Step::Input(input) => judge.feed(input),
            Step::Pass => judge.advance(judge.now + Duration::from_millis(40)),
        }
        every_sequence(&judge, steps, depth - 1, count);
    }
}

// I-R1, I-R2, I-R4: a small scope, but all of it.
#[test]
fn every_short_run_of_a_write_keeps_its_promises() {
    let busy = ServerError::TooManyRequests;
    let mut steps: Vec<_> = [
        sent(0),
        head(),
        body(b"a"),
        Input::Stream(Event::Data(framed(b"a").slice(..3))),
        trailers(Code::Ok, ""),
        trailers(Code::Unavailable, "text"),
        trailers(busy.code(), busy.text()),
        Input::Stream(Event::End(None)),
        Input::Migrate,
        lost(Outcome::NotSent),
        lost(Outcome::Unknown),
        Input::Closed(ErrorKind::Closed),
    ]
    .into_iter()
    .map(Step::Input)
    .collect();
    steps.push(Step::Pass);
    let mut options = write();
    options.deadline = Some(ms(100));
    options.max_attempts = 3;
    options.backoff.first = Duration::from_millis(10);
    let mut count = 0;
    every_sequence(&Judge::new(options, true), &steps, 5, &mut count);
    assert_eq!(count, (0..=5).map(|n| 13u64.pow(n)).sum::<u64>());
}

// I-R1: the sentence of the rule itself, over every run that holds it.
#[test]
fn unknown_is_unknown_whatever_comes_before_and_after() {
    let before = [vec![], vec![lost(Outcome::NotSent)], vec![sent(1), lost(Outcome::NotSent)]];
    let after = [
        vec![],
        vec![sent(0)],
        vec![lost(Outcome::NotSent)],
        vec![Input::Closed(ErrorKind::Closed)],
    ];
    for before in &before {
        for after in &after {
            let mut judge = Judge::new(write(), true);
            for input in before {
                judge.feed(input);
                judge.advance(judge.now + Duration::from_secs(5));
            }
            let attempts = judge.attempts;
            judge.feed(&sent(0));
            judge.feed(&lost(Outcome::Unknown));
            assert_eq!((judge.done, judge.worst), (1, Outcome::Unknown));
            for input in after {
                judge.feed(input);
            }
            judge.advance(judge.now + Duration::from_secs(3_600));
            assert_eq!((judge.done, judge.attempts), (1, attempts));
        }
    }
}
