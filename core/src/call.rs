//! One logical unary RPC: deadline, attempts, backoff, outcome.
//!
//! ```text
//!              poll: Attempt                Sent
//!   Waiting ───────────────────► Routing ────────► Flying
//!      ▲                            │                │
//!      │     Lost(NotSent), cure    │                │  End, Lost: cure
//!      └────────────────────────────┴────────────────┘
//!
//!   any state ── End with a message, a failure without a cure, the deadline, Closed ──► Done
//! ```
//!
//! `Waiting` waits for its backoff to pass, `Routing` for a connection, `Flying` for the answer.

use crate::backoff::Backoff;
use crate::channel::EndpointId;
use crate::error::{Cause, Error, ErrorKind, Phase};
use crate::frame::Decoder;
use crate::method::{Effect, Method};
use crate::outcome::Outcome;
use crate::retry::{self, Cure, Failure};
use crate::rng::Rng;
use crate::status::{Code, Status};
use crate::{Instant, Machine, Next};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::time::Duration;

/// How a call is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// When the call must be over, everything included; `None` leaves it to the attempts.
    pub deadline: Option<Instant>,
    /// How many attempts are made at most, the first included; 0 counts as 1 (C16).
    pub max_attempts: u32,
    /// The wait between attempts. The first retry after a failure that another endpoint may not
    /// share is made at once.
    pub backoff: Backoff,
    /// The longest answer that is taken, in bytes.
    pub max_response_bytes: usize,
    /// Whether the request asks to be refused by a member without a leader.
    pub require_leader: bool,
    /// What the call may do to the store; usually that of its method.
    pub effect: Effect,
    /// The seed of the jitter.
    pub seed: u64,
}

impl Options {
    /// Options without a deadline, for one call of `method`: 100 attempts, 25 ms to 2 s between
    /// them, answers up to 64 MiB.
    #[must_use]
    pub const fn new(method: &Method, seed: u64) -> Self {
        Self {
            deadline: None,
            max_attempts: 100,
            backoff: Backoff { first: Duration::from_millis(25), cap: Duration::from_secs(2) },
            max_response_bytes: 64 << 20,
            require_leader: false,
            effect: method.effect,
            seed,
        }
    }
}

/// How an attempt was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Whether a server may have acted on it. Only what is provably unprocessed is not
    /// [`Outcome::Unknown`]; [`Outcome::Rejected`] does not fit here and counts as unknown.
    pub outcome: Outcome,
    /// The HTTP/2 error code, if the peer reset the stream of this attempt.
    pub reset: Option<u32>,
    /// The underlying error.
    pub cause: Option<Cause>,
}

/// What happened to the attempt under way.
#[derive(Debug, Clone)]
pub enum Input {
    /// The request was handed to the connection of this endpoint, whole.
    Sent(EndpointId),
    /// The head of the response came.
    Head {
        /// The HTTP status.
        status: StatusCode,
        /// The headers.
        headers: HeaderMap,
    },
    /// A piece of the body came.
    Data(Bytes),
    /// The response ended, with trailers if it had any.
    End(Option<HeaderMap>),
    /// The attempt is lost; the driver has dropped its stream.
    Lost(Lost),
    /// The client was closed, so that no attempt can follow.
    Closed,
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Drop what is left of the attempt before, then send the request over a connection, as soon
    /// as there is one.
    Attempt(Attempt),
    /// The call is over: drop what is left of the attempt and hand out the result.
    Done(Result<Reply, Error>),
}

/// One attempt to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Counts from 1.
    pub number: u32,
    /// The endpoint that failed last: take another one if there is one.
    pub avoid: Option<EndpointId>,
    /// When the call must be over.
    pub deadline: Option<Instant>,
}

/// The answer to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The message, still encoded.
    pub message: Bytes,
    /// The endpoint that answered.
    pub endpoint: EndpointId,
    /// How many attempts it took.
    pub attempts: u32,
}

#[derive(Debug, Clone)]
enum State {
    Waiting(Option<Instant>),
    Routing,
    Flying(Flight),
    Done(Option<Result<Reply, Error>>),
}

/// The answer as far as it has come.
#[derive(Debug, Clone)]
struct Flight {
    endpoint: EndpointId,
    decoder: Decoder,
    has_head: bool,
    /// The status of a response that ended with its head ("trailers-only").
    head_status: Option<Status>,
    message: Option<Bytes>,
}

/// One logical unary RPC; see the [module](self).
#[derive(Debug, Clone)]
pub struct Call {
    method: &'static Method,
    options: Options,
    attempts: u32,
    /// The worst that can be said of any attempt so far.
    outcome: Outcome,
    last_endpoint: Option<EndpointId>,
    last_error: Option<Error>,
    rng: Rng,
    state: State,
    ignored: u64,
}

impl Call {
    /// Makes a call that has not begun.
    #[must_use]
    pub const fn new(method: &'static Method, options: Options) -> Self {
        Self {
            method,
            options,
            attempts: 0,
            outcome: Outcome::NotSent,
            last_endpoint: None,
            last_error: None,
            rng: Rng::new(options.seed),
            state: State::Waiting(None),
            ignored: 0,
        }
    }

    /// The method that is called.
    #[must_use]
    pub const fn method(&self) -> &'static Method {
        self.method
    }

    /// The endpoint of the last attempt that was sent.
    #[must_use]
    pub const fn last_endpoint(&self) -> Option<EndpointId> {
        self.last_endpoint
    }

    /// How many inputs did not fit the state and were ignored.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Finishes with an error, unless what went wrong can be cured by another attempt.
    fn fail(&mut self, now: Instant, failure: Failure<'_>, error: Error) {
        let verdict = retry::decide(self.options.effect, failure);
        self.outcome = self.outcome.max(verdict.outcome);
        let error = error.with_outcome(self.outcome);
        let again = match verdict.cure {
            // Tokens come with the authentication calls; without one there is nothing to renew.
            Cure::None | Cure::NewToken => false,
            Cure::Again | Cure::Later => self.attempts < self.options.max_attempts.max(1),
        };
        if !again {
            return self.finish(Err(error));
        }
        let waits = match verdict.cure {
            Cure::Later => self.attempts,
            _ => self.attempts.saturating_sub(1),
        };
        let wait = self.options.backoff.after(waits, &mut self.rng);
        self.last_error = Some(error);
        self.state = State::Waiting(Some(now + wait));
    }

    fn fail_with_status(&mut self, now: Instant, status: &Status) {
        let require_leader = self.options.require_leader;
        let error = Error::from_status(status.clone(), Outcome::Unknown);
        if matches!(status.code, Code::DeadlineExceeded | Code::Canceled) && self.is_due(now) {
            return self.time_out_with(error);
        }
        self.fail(now, Failure::Status { status, require_leader }, error);
    }

    fn fail_with_answer(&mut self, now: Instant, error: Error) {
        let failure = match error.kind() {
            ErrorKind::ResponseTooLarge { .. } => Failure::TooLarge,
            _ => Failure::Malformed,
        };
        self.fail(now, failure, error);
    }

    fn finish(&mut self, result: Result<Reply, Error>) {
        let complete = |e: Error| e.with_method(self.method.path).with_attempts(self.attempts);
        self.state = State::Done(Some(result.map_err(complete)));
    }

    fn close(&mut self, outcome: Outcome) {
        let last = self.last_error.take().map(Cause::new);
        self.finish(Err(Error::new(ErrorKind::Closed).with_outcome(outcome).with_cause(last)));
    }

    fn is_due(&self, now: Instant) -> bool {
        self.options.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// The server keeps the deadline, too, and ends the stream when it passes (E14, E25).
    fn time_out_with(&mut self, error: Error) {
        self.last_error = Some(error.with_outcome(Outcome::Unknown));
        self.time_out();
    }

    fn time_out(&mut self) {
        let timeout = |phase, outcome: Outcome, last: Option<Error>| {
            Error::new(ErrorKind::Timeout(phase))
                .with_outcome(outcome)
                .with_cause(last.map(Cause::new))
        };
        let last = self.last_error.take();
        let error = match (&self.state, last) {
            // The deadline only ended the retries; what went wrong is the last failure.
            (State::Waiting(_), Some(last)) => last,
            (State::Flying(_), last) => timeout(Phase::Answer, Outcome::Unknown, last),
            (_, last) => timeout(Phase::Connection, self.outcome, last),
        };
        self.finish(Err(error));
    }

    fn on_head(&mut self, now: Instant, status: StatusCode, headers: &HeaderMap) {
        let State::Flying(flight) = &mut self.state else { return };
        flight.has_head = true;
        flight.head_status = Status::from_headers(headers);
        if flight.head_status.is_none()
            && let Some(status) = Status::from_http(status, headers)
        {
            self.fail_with_status(now, &status);
        }
    }

    fn on_data(&mut self, now: Instant, chunk: Bytes) {
        let State::Flying(flight) = &mut self.state else { return };
        if flight.head_status.is_some() {
            return self
                .fail_with_answer(now, Error::protocol("a body after a status in the head"));
        }
        flight.decoder.push(chunk);
        let error = loop {
            match flight.decoder.next_message() {
                Ok(None) => return,
                Ok(Some(_)) if flight.message.is_some() => {
                    break Error::protocol("two messages in answer to a unary call");
                }
                Ok(Some(message)) => flight.message = Some(message),
                Err(error) => break Error::from(error),
            }
        };
        self.fail_with_answer(now, error);
    }

    fn on_end(&mut self, now: Instant, trailers: Option<&HeaderMap>) {
        let State::Flying(flight) = &mut self.state else { return };
        let status = match (trailers, flight.head_status.take()) {
            (Some(trailers), None) => {
                Status::from_headers(trailers).unwrap_or_else(Status::without_code)
            }
            (Some(_), Some(_)) => {
                return self
                    .fail_with_answer(now, Error::protocol("a status in head and trailers"));
            }
            (None, Some(status)) => status,
            (None, None) => Status::missing(),
        };
        if status.code != Code::Ok {
            return self.fail_with_status(now, &status);
        }
        let message = match (flight.decoder.finish(), flight.message.take()) {
            (Err(error), _) => Err(Error::from(error)),
            (Ok(()), None) => Err(Error::protocol("no message in answer to a unary call")),
            (Ok(()), Some(message)) => Ok(message),
        };
        let (endpoint, attempts) = (flight.endpoint, self.attempts);
        match message {
            Ok(message) => self.finish(Ok(Reply { message, endpoint, attempts })),
            Err(error) => self.fail_with_answer(now, error),
        }
    }

    fn on_lost(&mut self, now: Instant, lost: Lost) {
        let failure =
            if lost.outcome == Outcome::NotSent { Failure::NotSent } else { Failure::Lost };
        let error = match lost.reset {
            // E22–E27: a reset stands for a status, though it says nothing about the request.
            Some(code) => Error::reset(code),
            None => Error::new(ErrorKind::ConnectionLost),
        };
        let error = error.with_cause(lost.cause);
        if failure == Failure::Lost && self.is_due(now) {
            return self.time_out_with(error);
        }
        self.fail(now, failure, error);
    }
}

impl Machine for Call {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        match (&mut self.state, input) {
            (State::Routing, Input::Sent(endpoint)) => {
                self.last_endpoint = Some(endpoint);
                self.state = State::Flying(Flight {
                    endpoint,
                    decoder: Decoder::new(self.options.max_response_bytes),
                    has_head: false,
                    head_status: None,
                    message: None,
                });
            }
            (State::Routing, Input::Lost(lost)) => {
                self.on_lost(now, Lost { outcome: Outcome::NotSent, ..lost });
            }
            (State::Flying(_), Input::Lost(lost)) => self.on_lost(now, lost),
            (State::Flying(Flight { has_head: false, .. }), Input::Head { status, headers }) => {
                self.on_head(now, status, &headers);
            }
            (State::Flying(Flight { has_head: true, .. }), Input::Data(chunk)) => {
                self.on_data(now, chunk);
            }
            (State::Flying(Flight { has_head: true, .. }), Input::End(trailers)) => {
                self.on_end(now, trailers.as_ref());
            }
            (State::Waiting(_) | State::Routing, Input::Closed) => self.close(self.outcome),
            (State::Flying(_), Input::Closed) => self.close(Outcome::Unknown),
            _ => self.ignored += 1,
        }
    }

    fn poll(&mut self, now: Instant) -> Next<Output> {
        if let State::Done(result) = &mut self.state {
            return result.take().map_or(Next::Wait(None), |r| Next::Do(Output::Done(r)));
        }
        let deadline = self.options.deadline;
        if self.is_due(now) {
            self.time_out();
            return self.poll(now);
        }
        match self.state {
            State::Waiting(until) if until.is_none_or(|until| until <= now) => {
                self.attempts += 1;
                self.state = State::Routing;
                let (number, avoid) = (self.attempts, self.last_endpoint);
                Next::Do(Output::Attempt(Attempt { number, avoid, deadline }))
            }
            State::Waiting(until) => Next::Wait(until.into_iter().chain(deadline).min()),
            State::Routing | State::Flying(_) | State::Done(_) => Next::Wait(deadline),
        }
    }
}
