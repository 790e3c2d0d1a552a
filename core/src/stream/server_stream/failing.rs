//! What becomes of a call that fails: another attempt, a newer token, or an error.

use super::{ServerStream, State};
use crate::Instant;
use crate::auth::{self, MAX_RENEWALS, StaleToken};
use crate::channel::HealthSignal;
use crate::error::{Cause, Error, ErrorKind, Phase};
use crate::method::Effect;
use crate::outcome::Outcome;
use crate::retry::{self, Failure, RetryAction};
use crate::server_error::ServerError;

impl ServerStream {
    /// The message that is wanted did not come in time.
    pub(super) fn time_out(&mut self, now: Instant) {
        let last = self.last_error.take();
        let error = match (&self.state, last) {
            // The deadline only ended the retries; what went wrong is the last failure.
            (State::Waiting(_), Some(last)) => last,
            (_, Some(last)) if matches!(last.kind(), ErrorKind::StaleRead { .. }) => last,
            (State::Streaming(streaming), last) => {
                let silence = now.saturating_since(streaming.progress);
                self.signal = HealthSignal::of_silence(self.method, silence);
                self.silence(now).with_cause(last.map(Cause::new))
            }
            (State::Releasing { .. }, _) => Error::new(ErrorKind::TimedOut(Phase::Answer)),
            (_, last) => {
                Error::new(ErrorKind::TimedOut(Phase::Connection)).with_cause(last.map(Cause::new))
            }
        };
        self.end(error);
    }

    pub(super) fn give_up_attempt(&mut self, now: Instant) {
        let error = self.silence(now);
        self.unanswered = self.unanswered.saturating_add(1);
        self.fail(now, Failure::Unanswered, error);
    }

    /// Makes the error of a server that says nothing.
    pub(super) fn silence(&self, now: Instant) -> Error {
        let error = Error::new(ErrorKind::TimedOut(Phase::Answer));
        let State::Streaming(streaming) = &self.state else { return error };
        let silence = now.saturating_since(streaming.progress);
        error.with_cause(Cause::new(format!("nothing has come for {silence:?}")))
    }

    /// Finishes with an error, unless another attempt may end well.
    pub(super) fn fail(&mut self, now: Instant, failure: Failure<'_>, error: Error) {
        let decision = retry::decide(Effect::Read, failure);
        self.signal = match decision.signal {
            HealthSignal::Healthy => self.signal_of_response(),
            other => other,
        };
        self.last = None;
        if decision.action == RetryAction::NewToken {
            return self.retry_with_token(now, error);
        }
        self.is_retry |= decision.outcome != Outcome::NotSent;
        self.outcome = self.outcome.max(decision.outcome);
        let is_passing = match decision.action {
            RetryAction::None | RetryAction::NewToken => false,
            RetryAction::Again | RetryAction::Later => !self.is_learner_alone(&error),
        };
        let may_retry = is_passing && !self.is_begun && !self.options.is_optional;
        if !may_retry || self.attempts >= self.options.max_attempts.max(1) {
            return self.finish(Err(error));
        }
        let waits = match decision.action {
            RetryAction::Later => self.attempts,
            _ => self.attempts.saturating_sub(1),
        };
        self.retry_after(now, waits, error);
    }

    /// Makes another attempt, after the wait that follows so many failures.
    pub(super) fn retry_after(&mut self, now: Instant, waits: u32, error: Error) {
        let wait = self.options.backoff.after(waits, &mut self.rng);
        self.last_error = Some(self.complete(error));
        self.state = State::Waiting(Some(now + wait));
    }

    /// Makes another attempt with a newer token than the one that was refused; counts neither as an
    /// attempt nor as a retry.
    // R31
    pub(super) fn retry_with_token(&mut self, now: Instant, error: Error) {
        let State::Streaming(streaming) = &self.state else { return };
        let stale = StaleToken::of(streaming.request.token, error.server_error());
        self.outcome = self.outcome.max(Outcome::Rejected);
        self.token_refusals += 1;
        let may_retry = stale.is_some() && self.token_refusals <= MAX_RENEWALS;
        if !may_retry || self.is_begun {
            return self.finish(Err(error));
        }
        self.attempts = self.attempts.saturating_sub(1);
        self.stale_token = self.stale_token.max(stale);
        self.retry_after(now, self.token_refusals - 1, error);
    }

    /// There is no token for the attempt: what was refused stays refused, or the login was.
    pub(super) fn on_no_token(&mut self, error: Option<Error>) {
        let error = error.or(self.last_error.take());
        self.finish(Err(error.unwrap_or_else(auth::no_token)));
    }

    /// Returns whether this is the refusal of a learner that is the only endpoint: learners take no
    /// streams.
    // R41
    pub(super) fn is_learner_alone(&self, error: &Error) -> bool {
        let is_alone = matches!(&self.state, State::Streaming(it) if !it.request.has_choice);
        is_alone && error.server_error() == Some(ServerError::NotSupportedForLearner)
    }
}
