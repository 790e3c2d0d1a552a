//! How fast renewals are sent, whatever is due.

// I-L6

use crate::Instant;
use std::time::Duration;

/// How many requests may leave in a second, however few are needed.
const MIN_RATE: u64 = 1_000;
/// How many requests may leave at once, or a twentieth of what may in a second if that is more.
const MIN_BURST: u64 = 100;

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

    /// Returns how many requests may leave in a second, with the burst.
    fn rate(&self) -> u64 {
        (self.needed / 500).max(MIN_RATE)
    }

    fn burst(&self) -> u64 {
        (self.rate() / 20).max(MIN_BURST)
    }

    fn interval(&self) -> u64 {
        1_000_000_000 / (self.rate() - self.burst())
    }

    /// Returns when the next request may be sent; the past if it may now.
    pub(super) fn next(&self) -> Instant {
        self.next_of(1)
    }

    /// Returns when so many requests may be sent at once, or a quarter of the burst: to wait for
    /// more than one spares a wake-up for each.
    pub(super) fn next_of(&self, waiting: usize) -> Instant {
        let burst = self.burst();
        let together = u64::try_from(waiting).unwrap_or(u64::MAX).clamp(1, burst / 4);
        let earlier = self.interval().saturating_mul(burst - together);
        self.level - Duration::from_nanos(earlier)
    }

    /// Notes that a request was sent.
    pub(super) fn sent(&mut self, now: Instant) {
        self.level = self.level.max(now) + Duration::from_nanos(self.interval());
    }
}
