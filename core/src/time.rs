//! Points in time, as the machines see them.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A point in time: nanoseconds since an origin that the driver chose.
///
/// The core never reads a clock; whoever drives a machine passes `now` in. Any steady count of
/// nanoseconds will do: a monotonic clock, one that counts suspend, or a simulated one. Two
/// instants compare only when they come from the same origin.
///
/// Arithmetic saturates at both ends (the range is 584 years), so no input can overflow it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(
    /// The nanoseconds and one, so that an [`Option`] of it takes no more: machines hold many.
    NonZeroU64,
);

impl Instant {
    /// The origin itself.
    pub const ORIGIN: Self = Self(NonZeroU64::MIN);

    /// Makes an instant from nanoseconds since the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(nanos))
    }

    /// Makes an instant from the time passed since the origin; saturates after 584 years.
    #[must_use]
    pub fn from_origin(elapsed: Duration) -> Self {
        Self::from_nanos(nanos(elapsed))
    }

    /// The nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0.get() - 1
    }

    /// The time from `earlier` to `self`, or zero when `earlier` is the later one.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Default for Instant {
    fn default() -> Self {
        Self::ORIGIN
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(nanos(rhs)))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self::from_nanos(self.as_nanos().saturating_sub(nanos(rhs)))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:?}", Duration::from_nanos(self.as_nanos()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let end = Instant::from_nanos(u64::MAX);
        assert_eq!(end + Duration::MAX, end);
        assert_eq!(Instant::ORIGIN - Duration::MAX, Instant::ORIGIN);
        assert_eq!(Instant::ORIGIN.saturating_since(end), Duration::ZERO);
        assert_eq!(Instant::from_origin(Duration::MAX), end);
    }

    #[test]
    fn an_optional_one_takes_no_more() {
        assert_eq!(size_of::<Option<Instant>>(), size_of::<u64>());
    }

    #[test]
    fn prints_the_time_since_the_origin() {
        assert_eq!(format!("{:?}", Instant::from_nanos(1_500_000_000)), "+1.5s");
    }
}
