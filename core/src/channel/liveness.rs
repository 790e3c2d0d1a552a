//! Whether a connection still answers: when to send a PING, and when to give it up (I-C1, I-C2).
//!
//! A PING is sent only while a call is open, after [`Keepalive::interval`] without a byte from the
//! server, and never closer than [`MIN_INTERVAL`] to the one before: etcd ends connections that are
//! pinged more often than every five seconds, or without a call (C45). Any byte is a sign of life.

use crate::Instant;
use std::time::Duration;

/// PINGs of one connection are never closer than this, whatever is asked for.
pub const MIN_INTERVAL: Duration = Duration::from_secs(6);

/// When connections are probed by PINGs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// How long a connection with an open call may be silent before a PING is sent.
    pub interval: Duration,
    /// How long the answer may take before the connection counts as dead.
    pub timeout: Duration,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { interval: Duration::from_secs(10), timeout: Duration::from_secs(5) }
    }
}

impl Keepalive {
    /// Doubles the interval, as gRPC wants it after `too_many_pings` (C56).
    pub(crate) fn slow_down(&mut self) {
        self.interval = self.interval.max(MIN_INTERVAL).saturating_mul(2);
    }
}

/// What is known of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Liveness {
    /// When the last byte came.
    heard: Instant,
    /// The PING that has not been answered.
    pending: Option<Instant>,
    last_ping: Option<Instant>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Ping,
    Dead,
}

impl Liveness {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { heard: now, pending: None, last_ping: None }
    }

    pub(crate) fn hear(&mut self, at: Instant) {
        self.heard = self.heard.max(at);
        if self.pending.is_some_and(|pinged| pinged <= at) {
            self.pending = None;
        }
    }

    pub(crate) const fn pinged(&mut self, now: Instant) {
        self.pending = Some(now);
        self.last_ping = Some(now);
    }

    /// What comes next, and when; nothing for a connection without calls.
    pub(crate) fn next(&self, is_used: bool, settings: Keepalive) -> Option<(Instant, Due)> {
        if let Some(pinged) = self.pending {
            return Some((pinged + settings.timeout, Due::Dead));
        }
        let silent = self.heard + settings.interval.max(MIN_INTERVAL);
        let allowed = self.last_ping.map(|last| last + MIN_INTERVAL);
        is_used.then(|| (silent.max(allowed.unwrap_or(silent)), Due::Ping))
    }
}
