//! One logical unary RPC: deadline, attempts, backoff, outcome.
//!
//! ```text
//!              poll: Attempt                 Sent
//!   Waiting ───────────────────► Acquiring ────────► Streaming ───────────────► Releasing
//!      ▲                            │                 │   End with a message      │
//!      │ Throttled, Lost(NotSent)   │                 │ End, Lost, no response:   │ not fresh:
//!      └────────────────────────────┴─────────────────┴── may be tried again ─────┘
//!
//!   any state ── fresh, a failure that is final, the deadline, Closed ──► Done
//! ```
//!
//! `Waiting` waits for its backoff to pass, `Acquiring` for a connection, `Streaming` for the
//! response, `Releasing` for the word that the response is not older than it may be.

mod events;
mod failing;
mod options;
mod streaming;

pub use crate::attempt::{Attempt, Sent, SentToken};
pub use events::{Input, Output, Reply};
pub use options::Options;

use crate::auth::StaleToken;
use crate::channel::{AttemptKind, Denied, EndpointId, Finished, Freshness, HealthSignal, Want};
use crate::error::{Cause, Error, ErrorKind};
use crate::header::ResponseHeader;
use crate::method::Method;
use crate::outcome::Outcome;
use crate::retry::Failure;
use crate::rng::Rng;
use crate::stream::{End, Received};
use crate::transport::{Event, Lost};
use crate::{Instant, Machine, Next};
use streaming::Streaming;

#[derive(Debug, Clone)]
enum State {
    Waiting(Option<Instant>),
    Acquiring,
    Streaming(Streaming),
    Releasing { header: Option<ResponseHeader>, is_asked: bool, reply: Reply },
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
    /// When the last attempt was handed to a connection.
    last_sent: Option<Instant>,
    last_error: Option<Error>,
    /// How many attempts failed and are made again.
    retries: u32,
    /// What the last attempt told of its endpoint.
    signal: HealthSignal,
    /// The token that was refused last.
    stale_token: Option<StaleToken>,
    /// How many attempts were refused for their token.
    token_refusals: u32,
    /// Whether the next attempt repeats one that a server may have seen.
    is_retry: bool,
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
            sent: 0,
            unanswered: 0,
            outcome: Outcome::NotSent,
            last_endpoint: options.avoid,
            last_sent: None,
            last_error: None,
            retries: 0,
            signal: HealthSignal::None,
            stale_token: None,
            token_refusals: 0,
            is_retry: false,
            rng: Rng::new(options.seed),
            state: State::Waiting(None),
            ignored: 0,
        }
    }
}

impl Machine for Call {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        // One look at each: a pair of them would be moved as a whole.
        match input {
            Input::Sent(sent) if self.is_acquiring() => self.on_sent(now, sent),
            Input::Denied(denied) if self.is_acquiring() => self.on_denied(now, denied),
            Input::Refused(error) if self.is_acquiring() => {
                self.finish(Err(error.with_outcome(self.outcome)));
            }
            Input::NoToken(error) if self.is_acquiring() => self.on_no_token(error),
            Input::Stream(Event::Lost(lost)) if self.is_acquiring() => {
                self.on_lost(now, Lost { outcome: Outcome::NotSent, ..lost });
            }
            Input::Stream(event) if self.is_streaming() => self.on_event(now, event),
            Input::Migrate if self.may_migrate() => self.migrate(now),
            Input::Freshness(freshness)
                if matches!(self.state, State::Releasing { is_asked: true, .. }) =>
            {
                self.on_freshness(now, freshness);
            }
            Input::Closed(kind) => match self.state {
                State::Waiting(_) | State::Acquiring => self.close(kind, self.outcome),
                State::Streaming(_) | State::Releasing { .. } => self.close(kind, Outcome::Unknown),
                State::Done(_) => self.ignored += 1,
            },
            _ => self.ignored += 1,
        }
    }

    fn poll(&mut self, now: Instant) -> Next<Output> {
        if let State::Done(result) = &mut self.state {
            return result.take().map_or(Next::Wait(None), |r| Next::Do(Output::Done(r)));
        }
        if let State::Releasing { header, is_asked, .. } = &mut self.state
            && !*is_asked
        {
            // Before the deadline is looked at: the response is there.
            *is_asked = true;
            let (signal, header) = (self.signal, *header);
            let Options { is_linearizable, is_ordered, .. } = self.options;
            let finished = Finished { signal, header, is_linearizable, is_ordered };
            return Next::Do(Output::Release(finished));
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
            return Next::Do(Output::Attempt(self.begin_attempt()));
        }
        Next::Wait(self.next_due())
    }
}

impl Call {
    /// Returns the method that is called.
    #[must_use]
    pub const fn method(&self) -> &'static Method {
        self.method
    }

    /// Returns whether more of a response is waited for.
    #[must_use]
    pub const fn is_streaming(&self) -> bool {
        matches!(self.state, State::Streaming(_))
    }

    /// Returns whether only the end of a response is waited for.
    #[must_use]
    pub const fn has_message(&self) -> bool {
        matches!(&self.state, State::Streaming(streaming) if streaming.message.is_some())
    }

    /// Returns whether the attempt under way may be made again on another connection instead.
    #[must_use]
    pub const fn may_migrate(&self) -> bool {
        self.is_streaming()
            && self.options.effect.is_repeatable()
            && self.attempts < self.options.max_attempts
    }

    /// Returns when [`poll`](Machine::poll) will want something without a further input; the past,
    /// if it does already.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        let deadline = self.options.deadline;
        match &self.state {
            State::Waiting(None)
            | State::Done(Some(_))
            | State::Releasing { is_asked: false, .. } => Some(Instant::ORIGIN),
            State::Waiting(until) => until.iter().copied().chain(deadline).min(),
            State::Streaming(_) => self.patience().into_iter().chain(deadline).min(),
            State::Acquiring | State::Releasing { .. } => deadline,
            State::Done(None) => None,
        }
    }

    /// Returns how many attempts failed and are made again.
    #[must_use]
    pub const fn retries(&self) -> u32 {
        self.retries
    }

    /// Returns the failure of the last of these, as long as the call goes on.
    #[must_use]
    pub const fn last_error(&self) -> Option<&Error> {
        self.last_error.as_ref()
    }

    /// Returns the endpoint of the last attempt that was sent.
    #[must_use]
    pub const fn last_endpoint(&self) -> Option<EndpointId> {
        self.last_endpoint
    }

    /// Returns when the last attempt was handed to a connection: whatever answers it happened
    /// after that.
    // I-L1
    #[must_use]
    pub const fn last_sent(&self) -> Option<Instant> {
        self.last_sent
    }

    /// Returns what the last attempt that was sent and is over told of its endpoint.
    #[must_use]
    pub const fn signal(&self) -> HealthSignal {
        self.signal
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
        self.attempts += 1;
        self.state = State::Acquiring;
        let Options { only, connection, require_leader, deadline, .. } = self.options;
        let want = Want {
            kind: if self.method.waits { AttemptKind::Stream } else { AttemptKind::Call },
            avoid: self.last_endpoint,
            only,
            connection,
            is_retry: self.is_retry,
            is_secret: self.method.carries_secret() && !self.options.allow_plaintext_secrets,
        };
        let stale_token = self.stale_token;
        Attempt { number: self.attempts, want, deadline, require_leader, stale_token }
    }

    fn on_sent(&mut self, now: Instant, sent: Sent) {
        self.sent = self.sent.saturating_add(1);
        self.last_endpoint = Some(sent.endpoint);
        self.last_sent = Some(now);
        self.signal = HealthSignal::None;
        let streaming = Streaming::new(now, sent, self.options.max_response_bytes);
        self.state = State::Streaming(streaming);
    }

    fn on_denied(&mut self, now: Instant, denied: Denied) {
        match denied {
            Denied::NoConnection => {}
            Denied::Throttled => {
                self.attempts = self.attempts.saturating_sub(1);
                self.is_retry = false;
                let wait = self.options.backoff.after(u32::MAX, &mut self.rng);
                self.state = State::Waiting(Some(now + wait));
            }
            Denied::Plaintext(endpoint) => {
                let error = Error::new(ErrorKind::PlaintextPassword).with_outcome(self.outcome);
                self.finish(Err(error.with_endpoint(Some(endpoint.text()))));
            }
        }
    }

    /// Takes what the stream told.
    fn on_event(&mut self, now: Instant, event: Event) {
        let State::Streaming(streaming) = &mut self.state else { return };
        if !streaming.inbound.handle(event) {
            self.ignored += 1;
            return;
        }
        let end = loop {
            match streaming.inbound.poll() {
                None => {
                    streaming.progress = now;
                    return;
                }
                Some(Received::Message(message)) if streaming.message.is_none() => {
                    streaming.message = Some(message);
                }
                Some(Received::Message(_)) => {
                    break End::Malformed(Error::protocol(
                        "two messages in answer to a unary call",
                    ));
                }
                Some(Received::End(end)) => break end,
            }
        };
        match end {
            End::Ok => self.on_ok(now),
            End::Status(status) => self.fail_with_status(now, &status),
            End::Malformed(error) => self.fail_with_response(now, error),
            End::Lost(lost) => self.on_lost(now, lost),
        }
    }

    /// The response ended well.
    fn on_ok(&mut self, now: Instant) {
        let State::Streaming(streaming) = &mut self.state else { return };
        let endpoint = streaming.request.endpoint;
        let Some(message) = streaming.message.take() else {
            let error = Error::protocol("no message in answer to a unary call");
            return self.fail_with_response(now, error);
        };
        self.signal = self.signal_of_response();
        let header = ResponseHeader::peek(&message);
        let reply = Reply { message, endpoint, attempts: self.sent };
        self.state = State::Releasing { header, is_asked: false, reply };
    }

    /// What a response tells of its endpoint.
    fn signal_of_response(&self) -> HealthSignal {
        if self.options.takes_cluster() { HealthSignal::Healthy } else { HealthSignal::Alive }
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

    fn on_freshness(&mut self, now: Instant, freshness: Freshness) {
        let State::Releasing { header, reply, .. } = &mut self.state else { return };
        let header = header.unwrap_or_default();
        let Some(kind) = freshness.refusal(&header) else {
            let Reply { endpoint, attempts, .. } = *reply;
            let message = std::mem::take(&mut reply.message);
            return self.finish(Ok(Reply { message, endpoint, attempts }));
        };
        let failure = Failure::of_freshness(freshness, self.options.takes_cluster());
        self.fail(now, failure.unwrap_or(Failure::NotFresh(freshness)), Error::new(kind));
    }

    fn migrate(&mut self, now: Instant) {
        let State::Streaming(streaming) = &self.state else { return };
        let error = Error::new(ErrorKind::ConnectionLost).with_cause(streaming.silence(now));
        self.fail(now, Failure::Migrated, error);
    }

    fn close(&mut self, kind: ErrorKind, outcome: Outcome) {
        let last = self.last_error.take().map(Cause::new);
        self.finish(Err(Error::new(kind).with_outcome(outcome).with_cause(last)));
    }

    fn finish(&mut self, result: Result<Reply, Error>) {
        let Options { effect, .. } = self.options;
        let complete = |error: Error| {
            error.with_method(self.method.path).with_effect(effect).with_attempts(self.sent)
        };
        self.state = State::Done(Some(result.map_err(complete)));
    }
}
