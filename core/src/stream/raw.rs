//! A bidirectional stream of messages as they are, opened again when it is lost.
//!
//! ```text
//!             poll: Attempt                 Sent
//!   Waiting ────────────────► Acquiring ──────────► Streaming
//!      ▲                          │                     │
//!      └──────────────────────────┴── Lost, Migrate ────┘
//!
//!   any state ── a status, Closed ──► Done
//! ```
//!
//! What was sent is not repeated: [`Output::Opened`] says when to begin anew.

use super::{End, Inbound, Received};
use crate::attempt::{Attempt, Sent, SentToken};
use crate::auth::{self, MAX_RENEWALS, StaleToken};
use crate::backoff::Backoff;
use crate::channel::{AttemptKind, Denied, EndpointId, HealthSignal, Want};
use crate::error::{Error, ErrorKind};
use crate::method::Effect;
use crate::outcome::Outcome;
use crate::retry::{self, Failure, RetryAction};
use crate::rng::Rng;
use crate::transport::{Event, Lost};
use crate::{Instant, Machine, Next};
use bytes::Bytes;
use std::collections::VecDeque;

/// How a stream is to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The wait between attempts.
    pub backoff: Backoff,
    /// The longest message that is taken, in bytes.
    pub max_message_bytes: usize,
    /// Whether a member without a leader is to refuse it, or to end it.
    pub require_leader: bool,
    /// The only endpoint that will do.
    pub only: Option<EndpointId>,
    /// The seed of the jitter.
    pub seed: u64,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// A frame is to be sent on the stream that is open; without one it is dropped.
    Send(Bytes),
    /// No more frames follow.
    Finish,
    /// The attempt was not admitted.
    Denied(Denied),
    /// There is no token for the attempt: the login was refused, for this reason, or no newer one
    /// can be had than the one that was refused.
    NoToken(Option<Error>),
    /// The stream was opened.
    Sent(Sent),
    /// The stream told this; after [`Event::Lost`] the driver has dropped it.
    Stream(Event),
    /// The stream is to go to another connection.
    Migrate,
    /// The client was closed.
    Closed(ErrorKind),
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Drop what is left of the stream before, then open another.
    Attempt(Attempt),
    /// The stream is open: the first frames may be sent.
    Opened(EndpointId),
    /// Send this frame.
    Send(Bytes),
    /// End the request.
    HalfClose,
    /// This message was received.
    Message(Bytes),
    /// The stream is over: drop what is left of it.
    Done(Result<(), Error>),
}

#[derive(Debug, Clone)]
enum State {
    Waiting(Option<Instant>),
    Acquiring,
    Streaming(Inbound),
    Done(Option<Result<(), Error>>),
}

/// A bidirectional stream; see the [module](self).
#[derive(Debug, Clone)]
pub struct RawStream {
    options: Options,
    attempts: u32,
    /// Consecutive attempts that did not last as long as the longest backoff.
    failures: u32,
    opened: Instant,
    last_endpoint: Option<EndpointId>,
    /// The token of the stream that is open.
    token: Option<SentToken>,
    stale_token: Option<StaleToken>,
    /// Consecutive streams that were refused for their token.
    token_refusals: u32,
    signal: HealthSignal,
    rng: Rng,
    state: State,
    outputs: VecDeque<Output>,
    ignored: u64,
}

impl RawStream {
    /// Makes a stream that is not open.
    #[must_use]
    pub const fn new(options: Options) -> Self {
        Self {
            options,
            attempts: 0,
            failures: 0,
            opened: Instant::ORIGIN,
            last_endpoint: None,
            token: None,
            stale_token: None,
            token_refusals: 0,
            signal: HealthSignal::None,
            rng: Rng::new(options.seed),
            state: State::Waiting(None),
            outputs: VecDeque::new(),
            ignored: 0,
        }
    }
}

impl Machine for RawStream {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Send(frame) if self.is_streaming() => {
                self.outputs.push_back(Output::Send(frame));
            }
            Input::Finish if self.is_streaming() => self.outputs.push_back(Output::HalfClose),
            Input::Sent(sent) if self.is_acquiring() => self.on_sent(now, sent),
            Input::Denied(denied) if self.is_acquiring() => self.on_denied(now, denied),
            Input::NoToken(error) if self.is_acquiring() => {
                self.finish(Err(error.unwrap_or_else(auth::no_token)));
            }
            Input::Stream(Event::Lost(lost)) if self.is_acquiring() => self.on_lost(now, &lost),
            Input::Stream(event) if self.is_streaming() => self.on_event(now, event),
            Input::Migrate if self.is_streaming() => {
                // What was received stays; what was to be sent belongs to the stream before.
                self.outputs.retain(|output| matches!(output, Output::Message(_)));
                self.signal = HealthSignal::None;
                self.state = State::Waiting(None);
            }
            Input::Closed(kind) if !matches!(self.state, State::Done(_)) => {
                self.finish(Err(Error::new(kind)));
            }
            _ => self.ignored += 1,
        }
    }

    fn poll(&mut self, now: Instant) -> Next<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Next::Do(output);
        }
        match &mut self.state {
            State::Done(result) => {
                result.take().map_or(Next::Wait(None), |result| Next::Do(Output::Done(result)))
            }
            State::Waiting(until) if until.is_none_or(|until| until <= now) => {
                Next::Do(Output::Attempt(self.begin_attempt()))
            }
            State::Waiting(until) => Next::Wait(*until),
            State::Acquiring | State::Streaming(_) => Next::Wait(None),
        }
    }
}

impl RawStream {
    /// Returns whether the stream is open.
    #[must_use]
    pub const fn is_streaming(&self) -> bool {
        matches!(self.state, State::Streaming(_))
    }

    /// Returns what the last attempt that is over told of its endpoint.
    #[must_use]
    pub const fn signal(&self) -> HealthSignal {
        self.signal
    }

    /// Returns how often the stream was to be opened.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns how many inputs did not fit the state and were ignored.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    const fn is_acquiring(&self) -> bool {
        matches!(self.state, State::Acquiring)
    }

    fn begin_attempt(&mut self) -> Attempt {
        self.attempts = self.attempts.saturating_add(1);
        self.state = State::Acquiring;
        let Options { only, require_leader, .. } = self.options;
        let avoid = self.last_endpoint.filter(|_| self.failures > 0);
        let want = Want { kind: AttemptKind::Stream, avoid, only, ..Want::default() };
        let (number, stale_token) = (self.attempts, self.stale_token);
        Attempt { number, want, deadline: None, require_leader, stale_token }
    }

    fn on_sent(&mut self, now: Instant, sent: Sent) {
        self.opened = now;
        self.token = sent.token;
        let endpoint = sent.endpoint;
        self.last_endpoint = Some(endpoint);
        self.signal = HealthSignal::None;
        self.state = State::Streaming(Inbound::new(self.options.max_message_bytes));
        self.outputs.push_back(Output::Opened(endpoint));
    }

    fn on_denied(&mut self, now: Instant, denied: Denied) {
        match denied {
            Denied::NoConnection => {}
            Denied::Throttled => self.wait(now),
            Denied::Plaintext(endpoint) => {
                let error = Error::new(ErrorKind::PlaintextPassword);
                self.finish(Err(error.with_endpoint(Some(endpoint.text()))));
            }
        }
    }

    fn on_event(&mut self, now: Instant, event: Event) {
        let State::Streaming(inbound) = &mut self.state else { return };
        if !inbound.handle(event) {
            self.ignored += 1;
            return;
        }
        let end = loop {
            match inbound.poll() {
                None => return,
                Some(Received::Message(message)) => {
                    self.signal = HealthSignal::Alive;
                    self.token_refusals = 0;
                    self.outputs.push_back(Output::Message(message));
                }
                Some(Received::End(end)) => break end,
            }
        };
        match end {
            End::Lost(lost) => self.on_lost(now, &lost),
            End::Malformed(error) => self.finish(Err(error)),
            End::Ok => self.finish(Ok(())),
            End::Status(status) => {
                let Options { require_leader, .. } = self.options;
                let failure =
                    Failure::Status { status: &status, require_leader, request_len: None };
                self.fail(now, failure, Error::answered(status.clone(), None));
            }
        }
    }

    fn on_lost(&mut self, now: Instant, lost: &Lost) {
        let is_unsent = lost.outcome == Outcome::NotSent;
        let failure = if is_unsent { Failure::NotSent } else { Failure::Lost };
        let error = Error::new(ErrorKind::ConnectionLost).with_cause(lost.cause.clone());
        self.fail(now, failure, error);
    }

    fn fail(&mut self, now: Instant, failure: Failure<'_>, error: Error) {
        let decision = retry::decide(Effect::Read, failure);
        self.signal = self.signal.max(decision.signal);
        match decision.action {
            RetryAction::Again | RetryAction::Later => self.wait(now),
            RetryAction::NewToken if self.takes_newer_token(&error) => self.wait(now),
            RetryAction::None | RetryAction::NewToken => self.finish(Err(error)),
        }
    }

    /// Notes the token of the stream as refused; returns whether a newer one may help.
    fn takes_newer_token(&mut self, error: &Error) -> bool {
        let stale = StaleToken::of(self.token, error.server_error());
        self.stale_token = self.stale_token.max(stale);
        self.token_refusals += 1;
        stale.is_some() && self.token_refusals <= MAX_RENEWALS
    }

    fn wait(&mut self, now: Instant) {
        if self.is_streaming() && now.saturating_since(self.opened) >= self.options.backoff.cap {
            self.failures = 0;
        }
        let wait = self.options.backoff.after(self.failures, &mut self.rng);
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waiting(Some(now + wait));
    }

    fn finish(&mut self, result: Result<(), Error>) {
        self.state = State::Done(Some(result));
    }
}
