//! The `Call` machine under any sequence of events (I-R1, I-R2, I-R4, C16, and the laws).

use arbitrary::Arbitrary;
use etcd3_core::backoff::Backoff;
use etcd3_core::call::{Call, Input, Options, Output, Reply, Sent};
use etcd3_core::channel::{Admission, AttemptKind, ConnectionId, EndpointId, Freshness};
use etcd3_core::method::{self, Effect};
use etcd3_core::retry::{self, Failure, RetryAction};
use etcd3_core::status;
use etcd3_core::transport::{Event, Lost};
use etcd3_core::{
    Code, Error, ErrorKind, Instant, Machine, Next, Outcome, ServerError, Status, laws,
};
use http::{HeaderMap, StatusCode};
use std::time::Duration;

#[derive(Debug, Arbitrary)]
struct Run {
    effect: u8,
    deadline_ms: Option<u16>,
    max_attempts: u8,
    backoff_ms: (u8, u16),
    max_response_bytes: u8,
    require_leader: bool,
    seed: u64,
    steps: Vec<(u8, Step)>,
}

/// What happens next, some milliseconds after the step before.
#[derive(Debug, Arbitrary)]
enum Step {
    Sent(u8),
    Head,
    HeadWith(u16, Reason),
    Message(u8),
    Data(Vec<u8>),
    Trailers(Reason),
    TrailersWithoutStatus,
    End,
    Lost(Loss),
    Closed,
    /// Nothing but time.
    Pass(u16),
}

/// A status: a known error of etcd, or any code.
#[derive(Debug, Arbitrary)]
enum Reason {
    Ok,
    Known(u8),
    Code(u8),
    Absent,
}

#[derive(Debug, Arbitrary)]
enum Loss {
    NotSent,
    Rejected,
    Unknown,
}

/// No sequence of events makes a call break its promises.
pub fn call(data: &[u8]) {
    let Some(run) = crate::input::<Run>(data) else { return };
    let options = options(&run);
    let call = Call::new(&method::PUT, options);
    let mut watched = Watched::new(call.clone(), options);
    let (mut script, mut now) = (Vec::new(), Instant::ORIGIN);
    for (after_ms, step) in &run.steps {
        let pause = if let Step::Pass(ms) = step { *ms } else { (*after_ms).into() };
        now = now + Duration::from_millis(pause.into());
        watched.advance(now);
        if let Some(input) = input(step) {
            watched.feed(&input);
            script.push((now, input));
        }
    }
    if let Some(deadline) = options.deadline {
        watched.advance(deadline.max(now));
        assert!(watched.is_done, "I-R4: goes on after its deadline");
    }
    let outputs = laws::check_machine(&call, &script);
    let attempts = usize::try_from(options.max_attempts.max(1)).unwrap_or(0);
    assert!(outputs.len() <= 1 + 2 * attempts);
}

fn options(run: &Run) -> Options {
    let (first, cap) = run.backoff_ms;
    Options {
        deadline: run.deadline_ms.map(|ms| Instant::ORIGIN + Duration::from_millis(ms.into())),
        attempt_timeout: None,
        max_attempts: u32::from(run.max_attempts % 8),
        backoff: Backoff {
            first: Duration::from_millis(first.into()),
            cap: Duration::from_millis(cap.into()),
        },
        max_response_bytes: run.max_response_bytes.into(),
        request_len: None,
        require_leader: run.require_leader,
        effect: [Effect::Write, Effect::IdempotentWrite, Effect::Read][usize::from(run.effect % 3)],
        seed: run.seed,
        ..Options::new(&method::PUT, run.seed)
    }
}

fn input(step: &Step) -> Option<Input> {
    Some(match step {
        Step::Sent(endpoint) => Input::Sent(Sent::new(&admitted(u32::from(*endpoint % 4)), None)),
        Step::Head => Input::Stream(Event::Head { status: StatusCode::OK, headers: headers(None) }),
        Step::HeadWith(status, reason) => Input::Stream(Event::Head {
            status: StatusCode::from_u16(*status).unwrap_or_default(),
            headers: headers(Some(reason)),
        }),
        Step::Message(len) => {
            let message = vec![0; usize::from(*len)];
            Input::Stream(Event::Data([&[0, 0, 0, 0, *len], &message[..]].concat().into()))
        }
        Step::Data(bytes) => Input::Stream(Event::Data(bytes.clone().into())),
        Step::Trailers(reason) => Input::Stream(Event::End(Some(headers(Some(reason))))),
        Step::TrailersWithoutStatus => Input::Stream(Event::End(Some(headers(None)))),
        Step::End => Input::Stream(Event::End(None)),
        Step::Lost(loss) => {
            let outcome = match loss {
                Loss::NotSent => Outcome::NotSent,
                Loss::Rejected => Outcome::Rejected,
                Loss::Unknown => Outcome::Unknown,
            };
            Input::Stream(Event::Lost(Lost { outcome, reset: None, cause: None }))
        }
        Step::Closed => Input::Closed(ErrorKind::Closed),
        Step::Pass(_) => return None,
    })
}

/// Admitted to this endpoint, one of several.
fn admitted(endpoint: u32) -> Admission {
    Admission {
        kind: AttemptKind::Call,
        endpoint: EndpointId(endpoint),
        connection: ConnectionId(endpoint.into()),
        since: Instant::ORIGIN,
        floor: None,
        has_choice: true,
    }
}

fn headers(reason: Option<&Reason>) -> HeaderMap {
    let (code, text) = match reason {
        None | Some(Reason::Absent) => (None, ""),
        Some(Reason::Ok) => (Some(0), ""),
        Some(Reason::Code(code)) => (Some(*code), "something else"),
        Some(Reason::Known(index)) => {
            let error = ServerError::ALL[usize::from(*index) % ServerError::ALL.len()];
            (Some(error.code().number()), error.text())
        }
    };
    let code = code.map(|code| ("grpc-status", code.to_string()));
    [("content-type", "application/grpc".to_owned()), ("grpc-message", text.to_owned())]
        .into_iter()
        .chain(code)
        .filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?)))
        .collect()
}

/// A call, and what one who sees only its inputs and outputs knows about it.
struct Watched {
    call: Call,
    options: Options,
    now: Instant,
    wake: Option<Instant>,
    attempts: u32,
    /// How many of them were handed over.
    sent: u32,
    /// Whether the request of the attempt under way was handed over.
    is_sent: bool,
    /// The status that the head of its answer held.
    head: Option<Status>,
    /// Its body so far.
    body: Vec<u8>,
    /// The status it ended with.
    status: Option<Status>,
    /// What the attempt came to, if it is over: whether a write may follow, and the least that
    /// must be said of its outcome.
    end: Option<(bool, Outcome)>,
    worst: Outcome,
    is_done: bool,
}

impl Watched {
    fn new(call: Call, options: Options) -> Self {
        let mut watched = Self {
            call,
            options,
            now: Instant::ORIGIN,
            wake: None,
            attempts: 0,
            sent: 0,
            is_sent: false,
            head: None,
            body: vec![],
            status: None,
            end: None,
            worst: Outcome::NotSent,
            is_done: false,
        };
        watched.drain();
        watched
    }

    fn advance(&mut self, at: Instant) {
        while let Some(wake) = self.wake.filter(|wake| *wake <= at) {
            self.now = wake;
            self.drain();
        }
        self.now = at;
    }

    fn feed(&mut self, input: &Input) {
        let ignored = self.call.ignored();
        self.call.handle(self.now, input.clone());
        if self.call.ignored() == ignored {
            assert!(!self.is_done, "takes an input after the end");
            self.note(input);
        }
        self.drain();
    }

    fn note(&mut self, input: &Input) {
        if self.end.is_some() {
            return;
        }
        match input {
            Input::Sent(_) => {
                self.is_sent = true;
                self.sent += 1;
            }
            Input::Stream(Event::Lost(lost))
                if lost.outcome == Outcome::NotSent || !self.is_sent =>
            {
                self.end = Some((true, Outcome::NotSent));
            }
            Input::Stream(Event::Lost(_)) => self.end = Some((false, Outcome::Unknown)),
            Input::Migrate | Input::Closed(_) if self.is_sent => {
                self.end = Some((false, Outcome::Unknown));
            }
            Input::Stream(Event::Head { headers, .. }) => self.head = status::from_headers(headers),
            // Whatever ends with a refusal may be sent again if the decision on it says so.
            Input::Stream(Event::End(trailers)) => {
                let status = match trailers {
                    Some(trailers) => status::from_headers(trailers),
                    None => self.head.take(),
                };
                let may_follow = status.as_ref().is_some_and(|status| self.may_retry(status));
                self.end = Some((may_follow && self.head.is_none(), Outcome::Rejected));
                self.status = status;
            }
            Input::Stream(Event::Data(chunk)) => self.body.extend(chunk),
            Input::Migrate
            | Input::Closed(_)
            | Input::Denied(_)
            | Input::NoToken(_)
            | Input::Refused(_)
            | Input::Freshness(_) => {}
        }
    }

    fn may_retry(&self, status: &Status) -> bool {
        let Options { require_leader, request_len, .. } = self.options;
        let failure = Failure::Status { status, require_leader, request_len };
        let decision = retry::decide(Effect::Write, failure);
        decision.outcome == Outcome::Rejected && decision.action != RetryAction::None
    }

    fn drain(&mut self) {
        for _ in 0..3 {
            match self.call.poll(self.now) {
                Next::Do(_) if self.is_done => panic!("more than one end"),
                Next::Do(Output::Attempt(attempt)) => self.judge_attempt(attempt.number),
                Next::Do(Output::Release(_)) => {
                    assert!(self.status.is_some(), "before the end of the response");
                    self.call.handle(self.now, Input::Freshness(Freshness::Fresh));
                }
                Next::Do(Output::Done(result)) => {
                    self.is_done = true;
                    match result {
                        Ok(reply) => self.judge_reply(&reply),
                        Err(error) => self.judge_error(&error),
                    }
                }
                Next::Wait(wake) => {
                    assert!(wake.is_none_or(|wake| wake > self.now), "would spin");
                    self.wake = wake;
                    return;
                }
            }
        }
        panic!("never stops");
    }

    fn judge_attempt(&mut self, number: u32) {
        self.attempts += 1;
        assert_eq!(number, self.attempts);
        assert!(number <= self.options.max_attempts.max(1), "C16");
        assert!(self.options.deadline.is_none_or(|deadline| self.now < deadline), "I-R4");
        if self.is_sent {
            let (may_follow, outcome) = self.end.unwrap_or((false, Outcome::Unknown));
            assert!(may_follow || self.options.effect != Effect::Write, "I-R1");
            self.worst = self.worst.max(outcome);
        }
        (self.is_sent, self.head, self.end) = (false, None, None);
        (self.body, self.status) = (vec![], None);
    }

    /// E33–E37: success is one whole message, and a status that says so.
    fn judge_reply(&self, reply: &Reply) {
        assert_eq!(self.status.as_ref().map(|status| status.code), Some(Code::Ok));
        let len = u32::try_from(reply.message.len()).expect("a message within the limit");
        assert_eq!(self.body, [&[0], &len.to_be_bytes()[..], &reply.message].concat());
        assert!(reply.message.len() <= self.options.max_response_bytes);
        assert_eq!(reply.attempts, self.sent);
    }

    fn judge_error(&self, error: &Error) {
        let last = match (self.is_sent, self.end) {
            (false, _) => Outcome::NotSent,
            (true, None) if error.status().is_some() => Outcome::Rejected,
            (true, None) => Outcome::Unknown,
            (true, Some((_, outcome))) => outcome,
        };
        let at_least = self.worst.max(last);
        assert!(error.outcome() >= at_least, "I-R2: {error}");
        // Where nothing was handed over there is nothing to fear.
        assert!(
            at_least > Outcome::NotSent || error.outcome() == Outcome::NotSent,
            "I-R2: {error}"
        );
        assert_eq!((error.attempts(), error.method()), (self.sent, Some(method::PUT.path)));
        assert_eq!(error.effect(), Some(self.options.effect));
        let may_repeat = self.options.effect.is_repeatable();
        assert!(error.outcome() != Outcome::Unknown || may_repeat || !error.is_retryable());
    }
}
