//! A connection that is made.

use super::admission::{Admission, AttemptKind};
use super::liveness::{Due, Liveness, PingPolicy};
use super::{ConnectionId, Migration};
use crate::Instant;
use crate::signal::HealthSignal;
use std::time::Duration;

/// How long a connection that carried no answered call must hold to count as stable.
pub(super) const STABLE_AFTER: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    since: Instant,
    /// The calls that it carries, whose responses are waited for.
    pub(super) calls: u32,
    /// The streams that it carries, for which nobody waits.
    pub(super) streams: u32,
    /// Since when a call waits and no other was answered.
    waiting: Option<Instant>,
    /// When it answered well last.
    healthy: Option<Instant>,
    /// Whether a call was answered on it.
    is_answered: bool,
    pub(super) liveness: Liveness,
    /// When the PING was sent by whose lack of an answer another connection was found dead, if
    /// nothing has come on this one since: it may be dead, too.
    pub(super) unconfirmed: Option<Instant>,
    /// Whether it takes no new calls.
    pub(super) is_draining: bool,
    /// What has been told to go elsewhere.
    migrating: Option<Migration>,
    /// The cluster that answered on it, 0 before.
    pub(super) cluster: u64,
}

impl Connection {
    pub(super) const fn new(id: ConnectionId, now: Instant) -> Self {
        Self {
            id,
            since: now,
            calls: 0,
            streams: 0,
            waiting: None,
            healthy: None,
            is_answered: false,
            liveness: Liveness::new(now),
            unconfirmed: None,
            is_draining: false,
            migrating: None,
            cluster: 0,
        }
    }

    pub(super) fn begin(&mut self, now: Instant, kind: AttemptKind) {
        match kind {
            AttemptKind::Call => {
                self.calls += 1;
                self.waiting = self.waiting.or(Some(now));
            }
            AttemptKind::Stream => self.streams += 1,
        }
    }

    /// Ends an attempt; returns what it tells of the endpoint now.
    pub(super) fn finish(
        &mut self,
        now: Instant,
        admission: &Admission,
        signal: HealthSignal,
    ) -> HealthSignal {
        // Whatever was wrong then, it has done well since.
        let is_old = signal == HealthSignal::Unhealthy
            && self.healthy.is_some_and(|healthy| healthy > admission.since);
        match signal {
            HealthSignal::Healthy => self.note_healthy(now),
            HealthSignal::Alive => self.note_response(now),
            HealthSignal::Unhealthy | HealthSignal::None => {}
        }
        self.is_answered |= matches!(signal, HealthSignal::Healthy | HealthSignal::Alive);
        match admission.kind {
            AttemptKind::Call => self.calls = self.calls.saturating_sub(1),
            AttemptKind::Stream => self.streams = self.streams.saturating_sub(1),
        }
        if self.calls == 0 {
            self.waiting = None;
        }
        if is_old { HealthSignal::None } else { signal }
    }

    /// Returns whether it carries one of this kind.
    pub(super) const fn carries(&self, kind: AttemptKind) -> bool {
        match kind {
            AttemptKind::Call => self.calls > 0,
            AttemptKind::Stream => self.streams > 0,
        }
    }

    /// Returns whether it carries neither calls nor streams.
    pub(super) const fn is_unused(&self) -> bool {
        self.calls == 0 && self.streams == 0
    }

    /// Notes a response: the calls that wait do so anew.
    fn note_response(&mut self, now: Instant) {
        self.waiting = self.waiting.map(|_| now);
    }

    /// Notes a response as it should be.
    pub(super) fn note_healthy(&mut self, now: Instant) {
        self.note_response(now);
        self.healthy = Some(now);
    }

    /// Notes when the last byte came; returns whether the connection was unconfirmed until then.
    pub(super) fn hear(&mut self, at: Instant) -> bool {
        self.liveness.hear(at);
        let is_confirmed = self.unconfirmed.is_some_and(|since| self.liveness.heard() >= since);
        if is_confirmed {
            self.unconfirmed = None;
            self.migrating =
                self.migrating.filter(|_| self.is_draining).map(|_| Migration::Streams);
        }
        is_confirmed
    }

    /// Takes it for unconfirmed, since another connection was found dead by a PING of this moment,
    /// unless something has come since. Returns whether that is news.
    pub(super) fn mark_unconfirmed(&mut self, pinged: Instant) -> bool {
        let is_new = self.unconfirmed.is_none() && self.liveness.heard() < pinged;
        if is_new {
            self.unconfirmed = Some(pinged);
        }
        is_new
    }

    /// Returns what had better go to another connection, if there is one, and was not told yet.
    pub(super) fn to_migrate(&self) -> Option<Migration> {
        let scope = if self.unconfirmed.is_some() && !self.is_unused() {
            Migration::All
        } else if self.is_draining && self.streams > 0 {
            Migration::Streams
        } else {
            return None;
        };
        (self.migrating < Some(scope)).then_some(scope)
    }

    /// Notes what was told to go elsewhere.
    pub(super) const fn note_migrating(&mut self, scope: Migration) {
        self.migrating = Some(scope);
    }

    /// Returns when to send a PING, or to give it up, and which of the two; no PING without a call
    /// or a stream.
    pub(super) fn liveness_due(&self, policy: PingPolicy) -> Option<(Instant, Due)> {
        if let Some(dead_at) = self.liveness.dead_at(policy.ping) {
            return Some((dead_at, Due::Dead));
        }
        if self.is_unused() {
            return None;
        }
        let patience = self.waiting.map(|since| since.max(self.liveness.heard()) + policy.patience);
        let reason = self.unconfirmed.or(patience);
        Some((self.liveness.ping_at(reason, policy.ping), Due::Ping))
    }

    /// Returns whether it did its work: it carried a call that was answered, or held for long.
    pub(super) fn is_stable(&self, now: Instant) -> bool {
        self.is_answered || now.saturating_since(self.since) >= STABLE_AFTER
    }

    /// Returns when its calls will all have waited for so long.
    pub(super) fn stalled_at(&self, limit: Duration) -> Option<Instant> {
        self.waiting.map(|since| since + limit)
    }

    /// Returns whether its calls have waited for this long.
    pub(super) fn is_slow(&self, now: Instant, limit: Duration) -> bool {
        self.waiting.is_some_and(|since| now.saturating_since(since) >= limit)
    }
}
