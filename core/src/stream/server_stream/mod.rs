//! A call with one request and many messages in answer, each taken when it is wanted.
//!
//! ```text
//!             poll: Attempt                 Sent                 End::Ok
//!   Waiting ────────────────► Acquiring ──────────► Streaming ─────────────► Releasing
//!      ▲                          │                     │                        │ Fresh
//!      └── before any message, ───┴─────────────────────┘                        ▼
//!          what may be tried again                                   the last message, Done
//!
//!   any state ── a failure that is final, the deadline of a message, Closed ──► Done
//! ```
//!
//! Nothing happens unless a message is [wanted](Input::Wanted), and its deadline counts from then:
//! a user who is slow to take them is not late. What was received is not repeated; a failure after
//! the first message ends the call, and its owner may go on from there by another one.
//!
//! The last message, known by its header, is handed out when the status OK was received and the
//! header is judged: a server may send everything and refuse all the same.

// K23, K24, I-R8

mod accessors;
mod events;
mod failing;

pub use events::{Input, Options, Output};

use super::{End, Inbound, Received};
use crate::auth::StaleToken;
use crate::call::{Attempt, Sent};
use crate::channel::{AttemptKind, Denied, EndpointId, Finished, Freshness, HealthSignal, Want};
use crate::error::{Error, ErrorKind, Phase};
use crate::method::{Effect, Method};
use crate::outcome::Outcome;
use crate::retry::{self, Failure};
use crate::rng::Rng;
use crate::status::Status;
use crate::transport::{Event, Lost};
use crate::{Instant, Machine, Next, ResponseHeader};
use bytes::Bytes;

#[derive(Debug, Clone)]
enum State {
    Waiting(Option<Instant>),
    Acquiring,
    Streaming(Streaming),
    Releasing { is_asked: bool },
    Done(Option<Result<(), Error>>),
}

#[derive(Debug, Clone)]
struct Streaming {
    request: Sent,
    /// When the server said something, or was asked to.
    progress: Instant,
    inbound: Inbound,
}

/// One call with many messages in answer; see the [module](self).
#[derive(Debug, Clone)]
pub struct ServerStream {
    method: &'static Method,
    options: Options,
    attempts: u32,
    /// How many of them were handed to a connection.
    sent: u32,
    /// How many of them were given up for want of an answer.
    unanswered: u32,
    /// Since when a message is wanted.
    wanted: Option<Instant>,
    /// The message that is to be handed out next.
    ready: Option<Bytes>,
    /// The message with the header, until that is judged.
    last: Option<(Bytes, ResponseHeader)>,
    /// Whether a message was received that may be handed out.
    is_begun: bool,
    /// The worst that can be said of any attempt so far.
    outcome: Outcome,
    last_endpoint: Option<EndpointId>,
    stale_token: Option<StaleToken>,
    /// How many attempts were refused for their token.
    token_refusals: u32,
    last_error: Option<Error>,
    signal: HealthSignal,
    is_retry: bool,
    rng: Rng,
    state: State,
    ignored: u64,
}

impl ServerStream {
    /// Makes a call that has not begun.
    #[must_use]
    pub const fn new(method: &'static Method, options: Options) -> Self {
        Self {
            method,
            options,
            attempts: 0,
            sent: 0,
            unanswered: 0,
            wanted: None,
            ready: None,
            last: None,
            is_begun: false,
            outcome: Outcome::NotSent,
            last_endpoint: None,
            stale_token: None,
            token_refusals: 0,
            last_error: None,
            signal: HealthSignal::None,
            is_retry: false,
            rng: Rng::new(options.seed),
            state: State::Waiting(None),
            ignored: 0,
        }
    }
}

impl Machine for ServerStream {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Wanted if !self.is_done() => self.want(now),
            Input::Sent(sent) if self.is_acquiring() => self.on_sent(now, sent),
            Input::Denied(denied) if self.is_acquiring() => self.on_denied(now, denied),
            Input::Refused(error) if self.is_acquiring() => self.finish(Err(error)),
            Input::NoToken(error) if self.is_acquiring() => self.on_no_token(error),
            Input::Stream(Event::Lost(lost)) if self.is_acquiring() => {
                self.on_lost(now, Lost { outcome: Outcome::NotSent, ..lost });
            }
            Input::Stream(event) if self.is_streaming() => self.on_event(now, event),
            Input::Migrate if self.may_migrate() => {
                let error = Error::new(ErrorKind::ConnectionLost);
                self.fail(now, Failure::Migrated, error);
            }
            Input::Freshness(freshness)
                if matches!(self.state, State::Releasing { is_asked: true }) =>
            {
                self.on_freshness(now, freshness);
            }
            Input::Closed(kind) if !self.is_done() => self.end(Error::new(kind)),
            _ => self.ignored += 1,
        }
    }

    fn poll(&mut self, now: Instant) -> Next<Output> {
        if self.is_over_time(now) {
            self.time_out(now);
            self.ready = None;
        }
        if self.wanted.is_some()
            && let Some(message) = self.ready.take()
        {
            self.wanted = None;
            // What came together with it.
            self.take_in(now);
            return Next::Do(Output::Message(message));
        }
        if let State::Done(result) = &mut self.state
            && self.ready.is_none()
        {
            return result.take().map_or(Next::Wait(None), |r| Next::Do(Output::Done(r)));
        }
        if let State::Releasing { is_asked } = &mut self.state
            && !*is_asked
        {
            *is_asked = true;
            let header = self.last.as_ref().map(|(_, header)| *header);
            let (signal, options) = (self.signal, &self.options);
            let Options { is_linearizable, is_ordered, .. } = *options;
            let finished = Finished { signal, header, is_linearizable, is_ordered };
            return Next::Do(Output::Release(finished));
        }
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.time_out(now);
            return self.poll(now);
        }
        if self.patience().is_some_and(|patience| patience <= now) {
            self.give_up_attempt(now);
            return self.poll(now);
        }
        if self.wanted.is_some()
            && matches!(self.state, State::Waiting(until) if until.is_none_or(|at| at <= now))
        {
            return Next::Do(Output::Attempt(self.begin_attempt()));
        }
        Next::Wait(self.next_due())
    }
}

impl ServerStream {
    /// Returns when [`poll`](Machine::poll) will want something without a further input; the past,
    /// if it does already.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        let deadline = self.deadline();
        match &self.state {
            State::Waiting(until) => deadline.map(|at| until.unwrap_or(Instant::ORIGIN).min(at)),
            State::Streaming(_) => self.patience().into_iter().chain(deadline).min(),
            State::Releasing { is_asked: false } => Some(Instant::ORIGIN),
            State::Acquiring | State::Releasing { .. } => deadline,
            State::Done(_) => None,
        }
    }

    const fn is_acquiring(&self) -> bool {
        matches!(self.state, State::Acquiring)
    }

    const fn is_done(&self) -> bool {
        matches!(self.state, State::Done(_))
    }

    fn want(&mut self, now: Instant) {
        if self.wanted.is_none() {
            self.wanted = Some(now);
            // The server was held back until now.
            if let State::Streaming(streaming) = &mut self.state {
                streaming.progress = streaming.progress.max(now);
            }
        }
    }

    /// Returns when the message that is wanted must be there.
    fn deadline(&self) -> Option<Instant> {
        let wanted = self.wanted.filter(|_| self.ready.is_none())?;
        let due = wanted + self.options.message_timeout;
        Some(self.options.deadline.map_or(due, |deadline| deadline.min(due)))
    }

    /// Returns whether the call goes on although all of it should be over.
    fn is_over_time(&self, now: Instant) -> bool {
        self.options.deadline.is_some_and(|deadline| deadline <= now)
            && self.wanted.is_some()
            && !self.is_done()
    }

    /// Returns when the attempt under way is given up, unless the server says something.
    fn patience(&self) -> Option<Instant> {
        let State::Streaming(streaming) = &self.state else { return None };
        let may_repeat = !self.is_begun && streaming.request.has_choice;
        let is_awaited = self.wanted.is_some() && self.ready.is_none();
        let may_give_up = is_awaited && (self.options.is_optional || may_repeat);
        let doubled = 1u32.checked_shl(self.unanswered).unwrap_or(u32::MAX);
        let patience = self.options.attempt_timeout.saturating_mul(doubled);
        may_give_up.then(|| streaming.progress + patience)
    }

    fn begin_attempt(&mut self) -> Attempt {
        self.attempts = self.attempts.saturating_add(1);
        self.state = State::Acquiring;
        let Options { only, require_leader, .. } = self.options;
        let (avoid, is_retry) = (self.last_endpoint, self.is_retry);
        let want = Want { kind: AttemptKind::Stream, avoid, only, is_retry, ..Want::default() };
        let stale_token = self.stale_token;
        Attempt { number: self.attempts, want, deadline: None, require_leader, stale_token }
    }

    fn on_sent(&mut self, now: Instant, request: Sent) {
        self.sent = self.sent.saturating_add(1);
        self.last_endpoint = Some(request.endpoint);
        self.signal = HealthSignal::None;
        let inbound = Inbound::new(self.options.max_message_bytes);
        self.state = State::Streaming(Streaming { request, progress: now, inbound });
    }

    fn on_denied(&mut self, now: Instant, denied: Denied) {
        match denied {
            Denied::Plaintext(endpoint) => {
                let error = Error::new(ErrorKind::PlaintextPassword);
                self.finish(Err(error.with_endpoint(Some(endpoint.text()))));
            }
            Denied::NoConnection | Denied::Throttled if self.options.is_optional => {
                self.finish(Err(Error::new(ErrorKind::TimedOut(Phase::Connection))));
            }
            Denied::NoConnection => {}
            Denied::Throttled => {
                self.attempts = self.attempts.saturating_sub(1);
                self.is_retry = false;
                let wait = self.options.backoff.after(u32::MAX, &mut self.rng);
                self.state = State::Waiting(Some(now + wait));
            }
        }
    }

    fn on_event(&mut self, now: Instant, event: Event) {
        let State::Streaming(streaming) = &mut self.state else { return };
        if !streaming.inbound.handle(event) {
            self.ignored += 1;
            return;
        }
        streaming.progress = now;
        self.take_in(now);
    }

    /// Reads up to the next message that may be handed out, or to the end.
    fn take_in(&mut self, now: Instant) {
        while self.ready.is_none()
            && let State::Streaming(streaming) = &mut self.state
        {
            match streaming.inbound.poll() {
                None => return,
                Some(Received::Message(_)) if self.last.is_some() => {
                    let error = Error::protocol("a message after the last one");
                    self.fail(now, Failure::Malformed, error);
                }
                Some(Received::Message(message)) => {
                    self.signal = HealthSignal::Alive;
                    if let Some(header) = self.options.header.and_then(|header| header(&message)) {
                        self.last = Some((message, header));
                    } else {
                        self.is_begun = true;
                        self.ready = Some(message);
                    }
                }
                Some(Received::End(end)) => self.on_end(now, end),
            }
        }
    }

    fn on_end(&mut self, now: Instant, end: End) {
        match end {
            End::Ok if self.options.header.is_some() && self.last.is_none() => {
                let error = Error::protocol("the answer ends before its last message");
                self.fail(now, Failure::Malformed, error);
            }
            End::Ok => {
                self.signal = self.signal_of_response();
                self.state = State::Releasing { is_asked: false };
            }
            End::Status(status) => self.on_status(now, &status),
            End::Malformed(error) => {
                let failure = match error.kind() {
                    ErrorKind::ResponseOverLimit { .. } => Failure::TooLarge,
                    _ => Failure::Malformed,
                };
                self.fail(now, failure, error);
            }
            End::Lost(lost) => self.on_lost(now, lost),
        }
    }

    /// What a response tells of its endpoint. A member asks its cluster before it begins; the rest
    /// comes from its own data, for as long as that takes.
    const fn signal_of_response(&self) -> HealthSignal {
        if self.options.is_linearizable && !self.is_begun {
            HealthSignal::Healthy
        } else {
            HealthSignal::Alive
        }
    }

    fn on_status(&mut self, now: Instant, status: &Status) {
        let Options { require_leader, local_revision, .. } = self.options;
        let error = Error::answered_to(self.method, status, None);
        if let State::Streaming(streaming) = &self.state
            && let Some(error) = retry::behind(&error, local_revision, streaming.request.seen)
        {
            return self.fail(now, Failure::Behind, error);
        }
        self.fail(now, Failure::Status { status, require_leader, request_len: None }, error);
    }

    fn on_lost(&mut self, now: Instant, lost: Lost) {
        let is_unsent = lost.outcome == Outcome::NotSent;
        let failure = if is_unsent { Failure::NotSent } else { Failure::Lost };
        let error = match lost.reset {
            Some(code) => Error::reset(code),
            None => Error::new(ErrorKind::ConnectionLost),
        };
        self.fail(now, failure, error.with_cause(lost.cause));
    }

    fn on_freshness(&mut self, now: Instant, freshness: Freshness) {
        let (message, header) = self.last.take().unzip();
        let header = header.unwrap_or_default();
        let Some(kind) = freshness.refusal(&header) else {
            self.ready = message;
            return self.finish(Ok(()));
        };
        let failure = Failure::of_freshness(freshness, self.options.is_linearizable);
        self.fail(now, failure.unwrap_or(Failure::NotFresh(freshness)), Error::new(kind));
    }

    /// Ends the call, whatever may have become of the attempt under way.
    fn end(&mut self, error: Error) {
        if matches!(self.state, State::Streaming(_) | State::Releasing { .. }) {
            self.outcome = Outcome::Unknown;
        }
        self.finish(Err(error));
    }

    fn finish(&mut self, result: Result<(), Error>) {
        if result.is_err() {
            (self.ready, self.last) = (None, None);
        }
        self.state = State::Done(Some(result.map_err(|error| self.complete(error))));
    }

    fn complete(&self, error: Error) -> Error {
        let error = error.with_outcome(self.outcome).with_attempts(self.sent);
        error.with_method(self.method.path).with_effect(Effect::Read)
    }
}
