//! Whether a connection still answers: when to send a PING, and when to give it up.
//!
//! A PING is sent only while a call is open, after [`PingSettings::interval`] without a byte from
//! the server or sooner if there is a reason, and never closer than [`MIN_INTERVAL`] to the one
//! before: etcd ends connections that are pinged more often than every five seconds, or without a
//! call. Any byte is a sign of life.

// I-C1, I-C2, C45

use crate::Instant;
use std::time::Duration;

/// PINGs of one connection are never closer than this, whatever is asked for.
pub const MIN_INTERVAL: Duration = Duration::from_secs(6);

/// No server can want them to be further apart.
const MAX_INTERVAL: Duration = Duration::from_secs(3600);
/// An answer is given this long at least, whatever is asked for.
const MIN_TIMEOUT: Duration = Duration::from_secs(1);
/// A call waits this long at least before there is a reason for a PING.
const MIN_PATIENCE: Duration = Duration::from_secs(1);
/// A process that looks this much later than it was to was stopped, or starved.
const OVERSLEPT: Duration = Duration::from_secs(1);

/// When connections are probed by PINGs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PingSettings {
    /// How long a connection with an open call may be silent before a PING is sent.
    pub interval: Duration,
    /// How long the answer may take before the connection counts as dead.
    pub timeout: Duration,
}

/// When PINGs are sent, as a channel does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PingPolicy {
    pub(super) ping: PingSettings,
    /// How long a call waits without a byte before there is a reason for a PING.
    pub(super) patience: Duration,
}

impl PingPolicy {
    /// Half of what calls may all wait, so that the PING leaves while they do.
    pub(super) fn new(ping: PingSettings, stalled_after: Duration) -> Self {
        Self { ping, patience: (stalled_after / 2).max(MIN_PATIENCE) }
    }
}

impl Default for PingSettings {
    fn default() -> Self {
        Self { interval: Duration::from_secs(10), timeout: Duration::from_secs(5) }
    }
}

impl PingSettings {
    /// Doubles the interval, as gRPC wants it after `too_many_pings`.
    // C56
    pub(crate) fn slow_down(&mut self) {
        self.interval = self.interval.max(MIN_INTERVAL).saturating_mul(2).min(MAX_INTERVAL);
    }
}

/// What is known of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Liveness {
    /// When the last byte came.
    heard: Instant,
    /// The PING that has not been answered.
    pending: Option<Instant>,
    /// Whether its time was extended, since the answer may have come while nobody looked.
    is_extended: bool,
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
        Self { heard: now, pending: None, is_extended: false, last_ping: None }
    }

    pub(crate) fn hear(&mut self, at: Instant) {
        self.heard = self.heard.max(at);
        if self.pending.is_some_and(|pinged| pinged <= at) {
            self.pending = None;
        }
    }

    pub(crate) const fn pinged(&mut self, now: Instant) {
        self.pending = Some(now);
        self.is_extended = false;
        self.last_ping = Some(now);
    }

    /// Gives the answer its time again, once, if nobody looked when it was over at `due`: a process
    /// that was stopped finds the answer only when it reads again.
    pub(crate) fn extend(&mut self, due: Instant, now: Instant) -> bool {
        let may = !self.is_extended && now.saturating_since(due) >= OVERSLEPT;
        if may {
            self.pending = Some(now);
            self.is_extended = true;
        }
        may
    }

    /// Returns when the last byte came.
    pub(crate) const fn heard(&self) -> Instant {
        self.heard
    }

    /// Returns when the PING was sent that has not been answered.
    pub(crate) const fn pending(&self) -> Option<Instant> {
        self.pending
    }

    /// Returns when the answer to the PING under way is overdue.
    pub(crate) fn dead_at(&self, settings: PingSettings) -> Option<Instant> {
        self.pending.map(|pinged| pinged + settings.timeout.max(MIN_TIMEOUT))
    }

    /// Returns when to send the next PING on a connection with an open stream: when the interval is
    /// over, or from `reason` on if that is earlier.
    pub(crate) fn ping_at(&self, reason: Option<Instant>, settings: PingSettings) -> Instant {
        let silent = self.heard + settings.interval.max(MIN_INTERVAL);
        let wanted = reason.map_or(silent, |reason| reason.min(silent));
        self.last_ping.map_or(wanted, |last| wanted.max(last + MIN_INTERVAL))
    }
}
