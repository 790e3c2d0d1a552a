//! How fast renewals are sent, whatever is due.

// I-L6

use crate::Instant;
use std::time::Duration;

/// How many requests may leave at once.
const BURST: u32 = 100;
/// How many a second may leave, however few are needed; with the burst, 1,000.
const MIN_RATE: u64 = 900;

/// The rate at which renewals are sent: with the burst, twice what is needed or 1,000 a second.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    /// How many renewals are needed in a thousand seconds.
    needed: u64,
    /// When all that was sent would have been sent, had each waited for the one before.
    level: Instant,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self { needed: 0, level: Instant::ORIGIN }
    }

    /// Counts a lease that needs so many renewals in a thousand seconds.
    pub(super) const fn add(&mut self, rate: u64) {
        self.needed = self.needed.saturating_add(rate);
    }

    pub(super) const fn remove(&mut self, rate: u64) {
        self.needed = self.needed.saturating_sub(rate);
    }

    fn interval(&self) -> Duration {
        let rate = (self.needed / 500).saturating_sub(BURST.into()).max(MIN_RATE);
        Duration::from_nanos(1_000_000_000 / rate)
    }

    /// Returns when the next request may be sent; the past if it may now.
    pub(super) fn next(&self) -> Instant {
        self.level - self.interval() * (BURST - 1)
    }

    /// Notes that a request was sent.
    pub(super) fn sent(&mut self, now: Instant) {
        self.level = self.level.max(now) + self.interval();
    }
}
