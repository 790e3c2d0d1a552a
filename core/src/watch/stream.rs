//! Opening the stream, giving it up, and what becomes of the watchers then.

use super::open::Open;
use super::watcher::State;
use super::{Output, Stream, Watches};
use crate::Instant;
use crate::attempt::{Attempt, Sent};
use crate::auth::{self, MAX_RENEWALS, TokenReason};
use crate::channel::{Denied, HealthSignal};
use crate::error::{Error, ErrorKind};
use crate::outcome::Outcome;
use crate::retry::{Failure, RetryAction};
use crate::transport::Lost;
use std::time::Duration;

/// How often in a row a stream may end for a reason that does not pass before it is believed.
const MAX_STRIKES: u8 = 3;
/// For how long a watch that was created shows that the token of its stream is good.
const PROOF_LASTS: Duration = Duration::from_secs(60);

impl Watches {
    /// Gives the stream back: nothing is watched.
    // W88
    pub(super) fn close(&mut self, now: Instant) {
        if self.is_of_use(now) {
            self.opening.forget_failures();
        }
        self.idle_since = None;
        self.queue.clear();
        if !matches!(self.stream, Stream::Closed(_)) {
            self.stream = Stream::Idle;
        }
        self.outputs.push_back(Output::Close);
    }

    pub(super) fn begin_attempt(&mut self) -> Attempt {
        self.stream = Stream::Acquiring;
        self.opening.begin()
    }

    pub(super) fn on_sent(&mut self, now: Instant, sent: Sent) {
        self.opening.opened(now, sent);
        self.stream = Stream::Open(Box::new(Open::new(now, sent, self.settings.max_message_bytes)));
        self.outputs.push_back(Output::Identify(sent.endpoint));
    }

    pub(super) fn on_denied(&mut self, now: Instant, denied: Denied) {
        match denied {
            Denied::NoConnection => {}
            Denied::Throttled => self.wait(now),
            Denied::Plaintext(endpoint) => {
                let error = Error::new(ErrorKind::PlaintextPassword);
                self.end_all(&error.with_endpoint(Some(endpoint.text())));
                self.opening.signal = HealthSignal::None;
                self.close(now);
            }
        }
    }

    /// There is no token for the stream: the credentials are wrong, or what was refused stays so.
    // I-A2
    pub(super) fn on_no_token(&mut self, now: Instant, error: Option<Error>) {
        self.opening.signal = HealthSignal::None;
        let error = error.or(self.opening.last_error.take()).unwrap_or_else(auth::no_token);
        self.opening.last_error = Some(error.clone());
        self.give_up(now, &error.with_outcome(Outcome::Rejected));
    }

    pub(super) fn on_lost(&mut self, now: Instant, lost: &Lost) {
        let is_unsent = lost.outcome == Outcome::NotSent;
        let failure = if is_unsent { Failure::NotSent } else { Failure::Lost };
        let error = Error::new(ErrorKind::ConnectionLost).with_cause(lost.cause.clone());
        self.fail(now, failure, &error);
    }

    /// Gives the stream up; all that was watched on it goes on elsewhere, unless that is no use.
    // W84, I-W12
    pub(super) fn fail(&mut self, now: Instant, failure: Failure<'_>, error: &Error) {
        let decision = self.opening.failed(failure, error.clone());
        match decision.action {
            RetryAction::Again | RetryAction::Later => {}
            RetryAction::NewToken if self.has_token() && self.may_renew(now) => {}
            // What the server refuses for good, it refuses again.
            RetryAction::NewToken | RetryAction::None => {
                self.strikes = self.strikes.saturating_add(1);
                let is_certain = decision.outcome == Outcome::Rejected;
                if is_certain || self.strikes >= MAX_STRIKES {
                    return self.give_up(now, error);
                }
            }
        }
        self.wait(now);
    }

    /// Leaves a stream whose server breaks the rules.
    pub(super) fn fail_for_good(&mut self, now: Instant, error: &Error) {
        self.strikes = self.strikes.saturating_add(1);
        if self.strikes < MAX_STRIKES {
            return self.fail(now, Failure::Malformed, error);
        }
        self.opening.failed(Failure::Malformed, error.clone());
        self.give_up(now, error);
    }

    /// Ends all that is watched, for this reason.
    fn give_up(&mut self, now: Instant, error: &Error) {
        self.end_all(error);
        self.close(now);
        self.opening.count_failure();
    }

    /// Notes the token of the stream as too old; returns whether it had one.
    // H8, I-W16
    pub(super) fn wants_newer_token(&mut self, reason: TokenReason) -> bool {
        if self.has_token() {
            self.opening.wants_newer_token(reason);
        }
        self.has_token()
    }

    /// Returns whether the stream that is open has a token.
    fn has_token(&self) -> bool {
        matches!(&self.stream, Stream::Open(open) if open.sent.token.is_some())
    }

    /// Returns whether the token of the stream is so new that it cannot have expired.
    pub(super) fn has_fresh_token(&self, now: Instant) -> bool {
        let Stream::Open(open) = &self.stream else { return false };
        open.sent.token.is_some_and(|token| token.is_fresh(now))
    }

    /// Returns whether a watch that was denied is to be tried once more, with a newer token: no
    /// other one was created on the stream for a while, which would show that the token is good.
    /// Before etcd 3.5.6 servers do not tell the end of a token from a denial.
    // A-02, H8
    pub(super) fn doubts_denial(&mut self, now: Instant) -> bool {
        let Stream::Open(open) = &self.stream else { return false };
        let is_recent = |at: Option<Instant>| at.is_some_and(|at| now < at + PROOF_LASTS);
        if is_recent(open.accepted) || is_recent(self.doubted) {
            return false;
        }
        let may_help = self.wants_newer_token(TokenReason::Denied);
        if may_help {
            self.doubted = Some(now);
        }
        may_help
    }

    /// Counts a stream whose token was refused although it is new; returns whether a newer one may
    /// help.
    // I-W16
    fn may_renew(&mut self, now: Instant) -> bool {
        self.strikes = self.strikes.saturating_add(u8::from(self.has_fresh_token(now)));
        u32::from(self.strikes) <= MAX_RENEWALS
    }

    /// Leaves the stream and waits before the next one.
    pub(super) fn wait(&mut self, now: Instant) {
        let was_useful = self.is_of_use(now);
        self.leave_stream();
        self.stream = Stream::Waiting(Some(self.opening.next(now, was_useful)));
    }

    /// Returns whether the stream is open and was of use.
    fn is_of_use(&self, now: Instant) -> bool {
        match &self.stream {
            Stream::Open(open) => open.is_useful || self.opening.is_old(now),
            _ => false,
        }
    }

    /// Queues all that was watched on the stream, before what was queued already. What is
    /// incomplete goes with the stream.
    // W63
    pub(super) fn leave_stream(&mut self) {
        // What was to be sent belongs to this stream.
        self.outputs.retain(|output| !matches!(output, Output::Send(_) | Output::Identify(_)));
        let queued = std::mem::take(&mut self.queue);
        for (key, watcher) in &mut self.watchers {
            if watcher.id().is_some() {
                watcher.state = State::Queued;
                watcher.is_exact = false;
                self.queue.push_back(*key);
            }
        }
        self.queue.extend(queued);
    }
}
