//! The clock of the machine, for adapters to runtimes.
// An adapter is where clocks and chance belong; the client itself asks its runtime.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use etcd3_core::Instant;
use std::hash::{BuildHasher, RandomState};
use std::time;

/// The monotonic clock of the machine, counted from an origin.
///
/// Each [`Runtime`](crate::runtime::Runtime) on real time needs one, for
/// [`now`](crate::runtime::Runtime::now) and [`seed`](crate::runtime::Runtime::seed). It has a
/// resolution of nanoseconds and never goes back; on Linux it stands still while the machine is
/// suspended.
///
/// ```
/// use etcd3::runtime::Clock;
///
/// let clock = Clock::start();
/// let earlier = clock.now();
/// assert!(clock.now() >= earlier);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: time::Instant,
}

impl Clock {
    /// Starts a clock, whose origin is now.
    #[must_use]
    pub fn start() -> Self {
        Self::from_origin(time::Instant::now())
    }

    /// Makes a clock with this origin, for runtimes with a time of their own, which may be paused.
    #[must_use]
    pub const fn from_origin(origin: time::Instant) -> Self {
        Self { origin }
    }

    /// Tells the time that has passed since the origin.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.at(time::Instant::now())
    }

    /// Converts an instant of the standard library; one before the origin becomes the origin.
    #[must_use]
    pub fn at(&self, instant: time::Instant) -> Instant {
        Instant::from_origin(instant.saturating_duration_since(self.origin))
    }

    /// Converts to an instant of the standard library, or `None` for one beyond what that can
    /// express.
    #[must_use]
    pub fn to_std(&self, instant: Instant) -> Option<time::Instant> {
        self.origin.checked_add(instant.saturating_since(Instant::ORIGIN))
    }

    /// Draws a number that differs from call to call and from process to process; not for secrets.
    #[must_use]
    pub fn seed(&self) -> u64 {
        RandomState::new().hash_one(self.now().as_nanos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn instants_are_the_same_after_two_conversions_and_none_is_before_the_origin() {
        let origin = time::Instant::now() + Duration::from_secs(60);
        let clock = Clock::from_origin(origin);
        assert_eq!(clock.now(), Instant::ORIGIN);
        let later = origin + Duration::from_millis(1500);
        assert_eq!(clock.at(later), Instant::from_nanos(1_500_000_000));
        assert_eq!(clock.to_std(clock.at(later)), Some(later));
    }

    #[test]
    fn seeds_differ() {
        let clock = Clock::start();
        assert_ne!(clock.seed(), clock.seed());
    }
}
