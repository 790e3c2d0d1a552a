//! One logical unary RPC: deadline, attempts, backoff, outcome.
//!
//! ```text
//!              poll: Attempt                Sent
//!   Waiting ───────────────────► Routing ────────► Flying ──────────────────► Checking
//!      ▲                            │                │    End with a message      │
//!      │ Lost(NotSent), Throttled   │                │ End, Lost, no answer: cure │ stale: cure
//!      └────────────────────────────┴────────────────┴────────────────────────────┘
//!
//!   any state ── Checked, a failure without a cure, the deadline, Closed ──► Done
//! ```
//!
//! `Waiting` waits for its backoff to pass, `Routing` for a connection, `Flying` for the answer,
//! `Checking` for the word that the answer is not older than it may be.

mod events;
mod flight;
mod options;

pub use events::{Attempt, Input, Lost, Output, Reply};
pub use options::Options;

use crate::channel::{Checked, EndpointId, Impression};
use crate::error::{Cause, Error, ErrorKind, Phase};
use crate::header::{self, Header};
use crate::method::Method;
use crate::outcome::Outcome;
use crate::retry::{self, Cure, Failure};
use crate::rng::Rng;
use crate::server_error;
use crate::status::{Code, Status};
use crate::{Instant, Machine, Next};
use bytes::Bytes;
use flight::Flight;
use http::{HeaderMap, StatusCode};
use std::time::Duration;

#[derive(Debug, Clone)]
enum State {
    Waiting(Option<Instant>),
    Routing,
    Flying(Flight),
    Checking { header: Header, is_asked: bool, reply: Reply },
    Done(Option<Result<Reply, Error>>),
}

/// One logical unary RPC; see the [module](self).
#[derive(Debug, Clone)]
pub struct Call {
    method: &'static Method,
    options: Options,
    attempts: u32,
    /// How many of them were handed to a connection.
    sent: u32,
    /// How many of them were given up for want of an answer.
    unanswered: u32,
    /// The worst that can be said of any attempt so far.
    outcome: Outcome,
    last_endpoint: Option<EndpointId>,
    last_error: Option<Error>,
    /// What the last attempt told of its endpoint.
    impression: Impression,
    /// Whether the next attempt repeats one that a server may have seen.
    is_retry: bool,
    rng: Rng,
    state: State,
    ignored: u64,
}

/// A server that was silent for less than this is not to blame when the time of a call is up.
const FAIR: Duration = Duration::from_secs(1);

impl Call {
    /// Makes a call that has not begun.
    #[must_use]
    pub const fn new(method: &'static Method, options: Options) -> Self {
        Self {
            method,
            options,
            attempts: 0,
            sent: 0,
            unanswered: 0,
            outcome: Outcome::NotSent,
            last_endpoint: None,
            last_error: None,
            impression: Impression::None,
            is_retry: false,
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

    /// Whether more of an answer is waited for.
    #[must_use]
    pub const fn is_under_way(&self) -> bool {
        matches!(self.state, State::Flying(_))
    }

    /// Whether only the end of an answer is waited for.
    #[must_use]
    pub const fn has_message(&self) -> bool {
        matches!(&self.state, State::Flying(flight) if flight.message.is_some())
    }

    /// Whether the attempt under way may be made again on another connection instead.
    #[must_use]
    pub const fn may_migrate(&self) -> bool {
        self.is_under_way()
            && self.options.effect.is_repeatable()
            && self.attempts < self.options.max_attempts
    }

    /// When [`poll`](Machine::poll) will want something without a further input; the past, if it
    /// does already.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        let deadline = self.options.deadline;
        match &self.state {
            State::Waiting(None)
            | State::Done(Some(_))
            | State::Checking { is_asked: false, .. } => Some(Instant::ORIGIN),
            State::Waiting(until) => until.iter().copied().chain(deadline).min(),
            State::Flying(_) => self.patience().into_iter().chain(deadline).min(),
            State::Routing | State::Checking { .. } => deadline,
            State::Done(None) => None,
        }
    }

    /// The endpoint of the last attempt that was sent.
    #[must_use]
    pub const fn last_endpoint(&self) -> Option<EndpointId> {
        self.last_endpoint
    }

    /// What the last attempt that was sent and is over told of its endpoint.
    #[must_use]
    pub const fn impression(&self) -> Impression {
        self.impression
    }

    /// How many inputs did not fit the state and were ignored.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    const fn is_routing(&self) -> bool {
        matches!(self.state, State::Routing)
    }

    /// Whether the answer under way has begun, if one is.
    const fn has_head(&self) -> Option<bool> {
        match &self.state {
            State::Flying(flight) => Some(flight.has_head),
            _ => None,
        }
    }

    /// Finishes with an error, unless what went wrong can be cured by another attempt.
    fn fail(&mut self, now: Instant, failure: Failure<'_>, error: Error) {
        let verdict = retry::decide(self.options.effect, failure);
        self.impression = verdict.impression;
        self.is_retry |= verdict.outcome != Outcome::NotSent;
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
        let Options { require_leader, request_len, .. } = self.options;
        let error = Error::answered(status.clone(), request_len);
        if server_error::tells_of_a_deadline(status) && self.is_due(now) {
            return self.time_out_with(now, error);
        }
        self.fail(now, Failure::Status { status, require_leader, request_len }, error);
    }

    fn fail_with_answer(&mut self, now: Instant, error: Error) {
        let failure = match error.kind() {
            ErrorKind::ResponseTooLarge { .. } => Failure::TooLarge,
            _ => Failure::Malformed,
        };
        self.fail(now, failure, error);
    }

    fn finish(&mut self, result: Result<Reply, Error>) {
        let Options { effect, .. } = self.options;
        let complete = |error: Error| {
            error.with_method(self.method.path).with_effect(effect).with_attempts(self.sent)
        };
        self.state = State::Done(Some(result.map_err(complete)));
    }

    fn close(&mut self, kind: ErrorKind, outcome: Outcome) {
        let last = self.last_error.take().map(Cause::new);
        self.finish(Err(Error::new(kind).with_outcome(outcome).with_cause(last)));
    }

    fn migrate(&mut self, now: Instant) {
        let State::Flying(flight) = &self.state else { return };
        let error = Error::new(ErrorKind::ConnectionLost).with_cause(flight.silence(now));
        self.fail(now, Failure::Migrated, error);
    }

    fn is_due(&self, now: Instant) -> bool {
        self.options.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// The server keeps the deadline, too, and ends the stream when it passes (E14, E25).
    fn time_out_with(&mut self, now: Instant, error: Error) {
        self.last_error = Some(error.with_outcome(Outcome::Unknown));
        self.time_out(now);
    }

    fn time_out(&mut self, now: Instant) {
        let timeout = |phase, outcome, cause: Option<Cause>| {
            Error::new(ErrorKind::Timeout(phase)).with_outcome(outcome).with_cause(cause)
        };
        let last = self.last_error.take();
        let error = match (&self.state, last) {
            // The deadline only ended the retries; what went wrong is the last failure.
            (State::Waiting(_), Some(last)) => last,
            // Members answer, and what they say is what the caller must know.
            (_, Some(last)) if matches!(last.kind(), ErrorKind::StaleRead { .. }) => last,
            (State::Flying(flight), last) => {
                let waited = now.saturating_since(flight.progress);
                self.impression = if waited >= FAIR { Impression::Bad } else { Impression::None };
                let cause = last.map_or_else(|| flight.silence(now), Cause::new);
                timeout(Phase::Answer, Outcome::Unknown, Some(cause))
            }
            (State::Checking { .. }, last) => {
                timeout(Phase::Answer, Outcome::Unknown, last.map(Cause::new))
            }
            (_, last) => timeout(Phase::Connection, self.outcome, last.map(Cause::new)),
        };
        self.finish(Err(error));
    }

    /// When an attempt that may be repeated is given up, unless the server says something.
    fn patience(&self) -> Option<Instant> {
        let State::Flying(flight) = &self.state else { return None };
        let first = self.options.attempt_timeout.filter(|_| self.options.effect.is_repeatable())?;
        let doubled = 1u32.checked_shl(self.unanswered).unwrap_or(u32::MAX);
        Some(flight.progress + first.saturating_mul(doubled))
    }

    fn give_up_attempt(&mut self, now: Instant) {
        let State::Flying(flight) = &self.state else { return };
        let error = Error::new(ErrorKind::Timeout(Phase::Answer)).with_cause(flight.silence(now));
        self.unanswered = self.unanswered.saturating_add(1);
        self.fail(now, Failure::Unanswered, error);
    }

    fn on_checked(&mut self, now: Instant, checked: Checked) {
        let State::Checking { header, reply, .. } = &self.state else { return };
        let kind = match checked {
            Checked::Fresh => {
                let reply = reply.clone();
                return self.finish(Ok(reply));
            }
            Checked::Stale { floor } => ErrorKind::StaleRead { revision: header.revision, floor },
            Checked::Foreign { expected } | Checked::Changed { expected } => {
                ErrorKind::ClusterChanged { expected, found: header.cluster_id }
            }
        };
        self.fail(now, Failure::Checked(checked), Error::new(kind));
    }

    fn on_head(&mut self, now: Instant, status: StatusCode, headers: &HeaderMap) {
        let State::Flying(flight) = &mut self.state else { return };
        flight.has_head = true;
        flight.progress = now;
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
        flight.progress = now;
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
        let (endpoint, attempts) = (flight.endpoint, self.sent);
        let message = match message {
            Ok(message) => message,
            Err(error) => return self.fail_with_answer(now, error),
        };
        self.impression = Impression::Good;
        let header = header::peek(&message).filter(|_| self.options.is_checked);
        let reply = Reply { message, endpoint, attempts };
        match header {
            None => self.finish(Ok(reply)),
            Some(header) => {
                self.state = State::Checking { header, is_asked: false, reply };
            }
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
            return self.time_out_with(now, error);
        }
        self.fail(now, failure, error);
    }
}

impl Machine for Call {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        // One look at each: a pair of them would be moved as a whole.
        match input {
            Input::Sent(endpoint) if self.is_routing() => {
                self.sent = self.sent.saturating_add(1);
                self.last_endpoint = Some(endpoint);
                self.impression = Impression::None;
                let flight = Flight::new(now, endpoint, self.options.max_response_bytes);
                self.state = State::Flying(flight);
            }
            Input::Lost(lost) if self.is_routing() => {
                self.on_lost(now, Lost { outcome: Outcome::NotSent, ..lost });
            }
            Input::Throttled if self.is_routing() => {
                self.attempts = self.attempts.saturating_sub(1);
                self.is_retry = false;
                let wait = self.options.backoff.after(u32::MAX, &mut self.rng);
                self.state = State::Waiting(Some(now + wait));
            }
            Input::Refused(error) if self.is_routing() => {
                self.finish(Err(error.with_outcome(self.outcome)));
            }
            Input::Checked(checked)
                if matches!(self.state, State::Checking { is_asked: true, .. }) =>
            {
                self.on_checked(now, checked);
            }
            Input::Lost(lost) if self.is_under_way() => self.on_lost(now, lost),
            Input::Head { status, headers } if self.has_head() == Some(false) => {
                self.on_head(now, status, &headers);
            }
            Input::Data(chunk) if self.has_head() == Some(true) => self.on_data(now, chunk),
            Input::End(trailers) if self.has_head() == Some(true) => {
                self.on_end(now, trailers.as_ref());
            }
            Input::Migrate if self.may_migrate() => self.migrate(now),
            Input::Closed(kind) => match self.state {
                State::Waiting(_) | State::Routing => self.close(kind, self.outcome),
                State::Flying(_) | State::Checking { .. } => self.close(kind, Outcome::Unknown),
                State::Done(_) => self.ignored += 1,
            },
            _ => self.ignored += 1,
        }
    }

    fn poll(&mut self, now: Instant) -> Next<Output> {
        if let State::Done(result) = &mut self.state {
            return result.take().map_or(Next::Wait(None), |r| Next::Do(Output::Done(r)));
        }
        if let State::Checking { header, is_asked, .. } = &mut self.state
            && !*is_asked
        {
            // Before the deadline is looked at: the answer is there.
            *is_asked = true;
            return Next::Do(Output::Check(*header));
        }
        if self.is_due(now) {
            self.time_out(now);
            return self.poll(now);
        }
        if self.patience().is_some_and(|patience| patience <= now) {
            self.give_up_attempt(now);
            return self.poll(now);
        }
        if matches!(self.state, State::Waiting(until) if until.is_none_or(|until| until <= now)) {
            self.attempts += 1;
            self.state = State::Routing;
            let (number, avoid) = (self.attempts, self.last_endpoint);
            let (deadline, is_retry) = (self.options.deadline, self.is_retry);
            return Next::Do(Output::Attempt(Attempt { number, avoid, deadline, is_retry }));
        }
        Next::Wait(self.next_due())
    }
}
