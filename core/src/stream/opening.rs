//! When a stream is opened, and opened again: what all streams that stay open have in common.

use super::Pace;
use crate::Instant;
use crate::attempt::{Attempt, Sent, SentToken};
use crate::auth::{StaleToken, TokenReason};
use crate::backoff::Backoff;
use crate::channel::{AttemptKind, EndpointId, HealthSignal, Want};
use crate::error::Error;
use crate::method::Effect;
use crate::retry::{self, Decision, Failure, RetryAction};
use crate::rng::Rng;
use std::time::Duration;

/// A stream that stayed open for so long was of use, whatever came on it.
// I-W12
const USEFUL_AGE: Duration = Duration::from_secs(5);

/// The attempts to open a stream, one after another.
#[derive(Debug, Clone)]
pub(crate) struct Opening {
    backoff: Backoff,
    require_leader: bool,
    only: Option<EndpointId>,
    attempts: u32,
    /// Consecutive streams that were of no use.
    failures: u32,
    pace: Pace,
    /// When the last one was opened.
    opened: Instant,
    token: Option<SentToken>,
    stale_token: Option<StaleToken>,
    pub(crate) last_endpoint: Option<EndpointId>,
    pub(crate) last_error: Option<Error>,
    pub(crate) signal: HealthSignal,
    pub(crate) rng: Rng,
}

impl Opening {
    pub(crate) const fn new(
        backoff: Backoff,
        require_leader: bool,
        only: Option<EndpointId>,
        seed: u64,
    ) -> Self {
        Self {
            backoff,
            require_leader,
            only,
            attempts: 0,
            failures: 0,
            pace: Pace::new(),
            opened: Instant::ORIGIN,
            token: None,
            stale_token: None,
            last_endpoint: None,
            last_error: None,
            signal: HealthSignal::None,
            rng: Rng::new(seed),
        }
    }

    /// Begins an attempt.
    pub(crate) fn begin(&mut self) -> Attempt {
        self.attempts = self.attempts.saturating_add(1);
        let avoid = self.last_endpoint.filter(|_| self.failures > 0);
        let want = Want { kind: AttemptKind::Stream, avoid, only: self.only, ..Want::default() };
        let (number, stale_token) = (self.attempts, self.stale_token);
        Attempt { number, want, deadline: None, require_leader: self.require_leader, stale_token }
    }

    /// Notes that the stream was opened.
    pub(crate) fn opened(&mut self, now: Instant, sent: Sent) {
        self.last_endpoint = Some(sent.endpoint);
        self.token = sent.token;
        self.signal = HealthSignal::None;
        self.opened = now;
        self.pace.opened(now);
    }

    /// Notes why the stream is over.
    pub(crate) fn failed(&mut self, failure: Failure<'_>, error: Error) -> Decision {
        let decision = retry::decide(Effect::Read, failure);
        self.signal = self.signal.max(decision.signal);
        if decision.action == RetryAction::NewToken
            && let Some(reason) = error.server_error().and_then(TokenReason::of)
        {
            self.wants_newer_token(reason);
        }
        self.last_error = Some(error);
        decision
    }

    /// Notes the token of the last stream as too old.
    // H8, I-W16
    pub(crate) fn wants_newer_token(&mut self, reason: TokenReason) {
        let stale = self.token.map(|it| StaleToken { generation: it.generation, reason });
        self.stale_token = self.stale_token.max(stale);
    }

    /// Continues with the token that there is: no newer one can be had.
    pub(crate) const fn takes_any_token(&mut self) {
        self.stale_token = None;
    }

    /// Counts a stream that was of no use.
    pub(crate) const fn count_failure(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Forgets the streams that were of no use: the last one was.
    pub(crate) const fn forget_failures(&mut self) {
        self.failures = 0;
    }

    /// Returns whether the last stream was of no use.
    pub(crate) const fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// Returns when the next stream may be opened, after one that was of use or not.
    pub(crate) fn next(&mut self, now: Instant, was_useful: bool) -> Instant {
        if was_useful {
            self.forget_failures();
        }
        let wait = self.backoff.after(self.failures, &mut self.rng);
        self.count_failure();
        (now + wait).max(self.pace.next())
    }

    /// Returns whether the stream that is open has been so for long enough to be of use.
    pub(crate) fn is_old(&self, now: Instant) -> bool {
        now.saturating_since(self.opened) >= USEFUL_AGE
    }
}

#[cfg(feature = "laws")]
impl Opening {
    /// Feeds what counts from now on to a hasher, but for the age and the token of a stream that is
    /// open.
    pub(crate) fn digest<H: std::hash::Hasher>(&self, now: Instant, hasher: &mut H) {
        use std::hash::Hash;
        let next = self.pace.next().max(now).as_nanos() - now.as_nanos();
        (next, self.failures, self.stale_token, self.last_endpoint).hash(hasher);
    }
    /// Feeds the age and the token of the stream that is open to a hasher.
    pub(crate) fn digest_open<H: std::hash::Hasher>(&self, now: Instant, hasher: &mut H) {
        use std::hash::Hash;
        let token = self.token.map(|token| token.generation);
        (now.as_nanos().wrapping_sub(self.opened.as_nanos()), token).hash(hasher);
    }
}
