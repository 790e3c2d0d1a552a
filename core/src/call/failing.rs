//! What becomes of a call that fails: another attempt, a newer token, or an error.

use super::{Call, Options, State};
use crate::Instant;
use crate::auth::{self, MAX_RENEWALS, StaleToken};
use crate::channel::HealthSignal;
use crate::error::{Cause, Error, ErrorKind, Phase};
use crate::outcome::Outcome;
use crate::retry::{self, Failure, RetryAction};
use crate::server_error::{self, ServerError};
use crate::status::Status;

impl Call {
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.options.deadline.is_some_and(|deadline| deadline <= now)
    }

    pub(super) fn time_out(&mut self, now: Instant) {
        let timeout = |phase, outcome, cause: Option<Cause>| {
            Error::new(ErrorKind::TimedOut(phase)).with_outcome(outcome).with_cause(cause)
        };
        let last = self.last_error.take();
        let error = match (&self.state, last) {
            // The deadline only ended the retries; what went wrong is the last failure.
            (State::Waiting(_), Some(last)) => last,
            // Members answer, and what they say is what the caller must know.
            (_, Some(last)) if matches!(last.kind(), ErrorKind::StaleRead { .. }) => last,
            (State::Streaming(streaming), last) => {
                let silence = now.saturating_since(streaming.progress);
                self.signal = HealthSignal::of_silence(self.method, silence);
                let cause = last.map_or_else(|| streaming.silence(now), Cause::new);
                timeout(Phase::Answer, Outcome::Unknown, Some(cause))
            }
            (State::Releasing { .. }, last) => {
                timeout(Phase::Answer, Outcome::Unknown, last.map(Cause::new))
            }
            (_, last) => timeout(Phase::Connection, self.outcome, last.map(Cause::new)),
        };
        self.finish(Err(error));
    }

    /// The server keeps the deadline, too, and ends the stream when it passes.
    // E14, E25
    pub(super) fn time_out_with(&mut self, now: Instant, error: Error) {
        self.last_error = Some(error.with_outcome(Outcome::Unknown));
        self.time_out(now);
    }

    /// Returns when an attempt that may be repeated elsewhere is given up, unless the server says
    /// something.
    pub(super) fn patience(&self) -> Option<Instant> {
        let State::Streaming(streaming) = &self.state else { return None };
        let may_repeat = self.options.effect.is_repeatable() && streaming.request.has_choice;
        let first = self.options.attempt_timeout.filter(|_| may_repeat)?;
        let doubled = 1u32.checked_shl(self.unanswered).unwrap_or(u32::MAX);
        Some(streaming.progress + first.saturating_mul(doubled))
    }

    pub(super) fn give_up_attempt(&mut self, now: Instant) {
        let State::Streaming(streaming) = &self.state else { return };
        let cause = streaming.silence(now);
        let error = Error::new(ErrorKind::TimedOut(Phase::Answer)).with_cause(cause);
        self.unanswered = self.unanswered.saturating_add(1);
        self.fail(now, Failure::Unanswered, error);
    }

    pub(super) fn fail_with_status(&mut self, now: Instant, status: &Status) {
        let Options { require_leader, request_len, local_revision, .. } = self.options;
        let error = Error::answered_to(self.method, status, request_len);
        if let State::Streaming(streaming) = &self.state
            && let Some(error) = retry::behind(&error, local_revision, streaming.request.seen)
        {
            return self.fail(now, Failure::Behind, error);
        }
        if server_error::tells_of_a_deadline(status) && self.is_due(now) {
            return self.time_out_with(now, error);
        }
        self.fail(now, Failure::Status { status, require_leader, request_len }, error);
    }

    pub(super) fn fail_with_response(&mut self, now: Instant, error: Error) {
        let failure = match error.kind() {
            ErrorKind::ResponseOverLimit { .. } => Failure::TooLarge,
            _ => Failure::Malformed,
        };
        self.fail(now, failure, error);
    }

    /// Finishes with an error, unless another attempt may end well.
    pub(super) fn fail(&mut self, now: Instant, failure: Failure<'_>, error: Error) {
        let decision = retry::decide(self.options.effect, failure);
        self.signal = match decision.signal {
            HealthSignal::Healthy => self.signal_of_response(),
            other => other,
        };
        self.outcome = self.outcome.max(decision.outcome);
        let error = error.with_outcome(self.outcome);
        if decision.action == RetryAction::NewToken {
            return self.retry_with_token(now, error);
        }
        self.is_retry |= decision.outcome != Outcome::NotSent;
        let may_retry = decision.action != RetryAction::None && !self.is_learner_alone(&error);
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
        self.last_error = Some(error);
        self.retries = self.retries.saturating_add(1);
        self.state = State::Waiting(Some(now + wait));
    }

    /// Returns whether this is the refusal of a learner that is the only endpoint: until it is
    /// promoted it refuses every time.
    // R41
    pub(super) fn is_learner_alone(&self, error: &Error) -> bool {
        let is_alone = matches!(&self.state, State::Streaming(it) if !it.request.has_choice);
        is_alone && error.server_error() == Some(ServerError::NotSupportedForLearner)
    }

    /// Makes another attempt with a newer token than the one that was refused. It counts neither as
    /// an attempt nor as a retry: servers look at tokens before they do anything.
    // R4, R21, R24
    pub(super) fn retry_with_token(&mut self, now: Instant, error: Error) {
        let State::Streaming(streaming) = &self.state else { return };
        let refusal = error.server_error();
        let stale = StaleToken::of(streaming.request.token, refusal);
        // Without a token the server asks itself who it is, and the answer may have become old.
        let is_passing = refusal == Some(ServerError::AuthOldRevision);
        self.token_refusals += 1;
        if (stale.is_none() && !is_passing) || self.token_refusals > MAX_RENEWALS {
            return self.finish(Err(error));
        }
        self.attempts = self.attempts.saturating_sub(1);
        self.stale_token = self.stale_token.max(stale);
        let waits = self.token_refusals - u32::from(stale.is_some());
        self.retry_after(now, waits, error);
    }

    /// There is no token for the attempt: what was refused stays refused, or the login was.
    pub(super) fn on_no_token(&mut self, error: Option<Error>) {
        let error = error.or(self.last_error.take());
        let error = error.unwrap_or_else(auth::no_token);
        self.finish(Err(error.with_outcome(self.outcome)));
    }
}
