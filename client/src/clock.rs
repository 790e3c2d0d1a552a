//! The clock of the machine, for adapters to runtimes.
// An adapter is where clocks and chance belong; the client itself asks its runtime.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use etcd3_core::Instant;
use std::hash::{BuildHasher, RandomState};
use std::time::{self, Duration, SystemTime};

/// The monotonic clock of the machine, counted from an origin.
///
/// Each [`Runtime`](crate::runtime::Runtime) on real time needs one, for
/// [`now`](crate::runtime::Runtime::now), [`seed`](crate::runtime::Runtime::seed) and
/// [`suspended`](crate::runtime::Runtime::suspended). It has a resolution of nanoseconds and never
/// goes back; on Linux it stands still while the machine is suspended.
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

/// The wall clock, between two readings of the other: two clocks cannot be read at once, and the
/// process may be stopped from one to the next.
struct Reading {
    before: time::Instant,
    wall: SystemTime,
    after: time::Instant,
}

impl Reading {
    fn takes(&self) -> Duration {
        self.after.saturating_duration_since(self.before)
    }
}

/// What may lie between the readings of two clocks that are read at once.
const AT_ONCE: Duration = Duration::from_millis(1);
/// How often the clocks are read until they are read at once.
const MAX_READINGS: u32 = 10;

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

    /// Returns for how long the machine was suspended, as
    /// [`Runtime::suspended`](crate::runtime::Runtime::suspended) wants it: the wall clock, less
    /// what this clock has counted. The value is large, and only its growth means anything.
    #[must_use]
    pub fn suspended(&self) -> Duration {
        self.suspended_by(|| {
            let before = time::Instant::now();
            Reading { before, wall: SystemTime::now(), after: time::Instant::now() }
        })
    }

    fn suspended_by(&self, mut read: impl FnMut() -> Reading) -> Duration {
        let mut reading = read();
        for _ in 1..MAX_READINGS {
            if reading.takes() <= AT_ONCE {
                break;
            }
            let again = read();
            if again.takes() < reading.takes() {
                reading = again;
            }
        }
        // Since 1970, and not since the origin: a wall clock that is set back to before the origin
        // must not hide what comes after that.
        let wall = reading.wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        wall.saturating_sub(reading.before.saturating_duration_since(self.origin))
    }

    /// Tells the time since 1970, as
    /// [`Runtime::unix_time`](crate::runtime::Runtime::unix_time) wants it.
    #[must_use]
    pub fn unix_time(&self) -> Option<Duration> {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()
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

    /// Readings of a clock: seconds since its origin and since 1970, and how long it took, in ms.
    fn readings<const N: usize>(
        clock: Clock,
        all: [(u64, u64, u64); N],
    ) -> impl FnMut() -> Reading {
        let mut all = all.into_iter();
        move || {
            let (mono, wall, takes) = all.next().expect("one more reading");
            let before = clock.origin + Duration::from_secs(mono);
            let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(wall);
            Reading { before, wall, after: before + Duration::from_millis(takes) }
        }
    }

    // I-L8
    #[test]
    fn what_the_wall_clock_counts_more_was_spent_suspended() {
        let clock = Clock::start();
        let suspended = |mono, wall| clock.suspended_by(readings(clock, [(mono, wall, 0)]));
        let begin = suspended(0, 1_000_000);
        assert_eq!(suspended(60, 1_000_060), begin, "both went on");
        assert_eq!(suspended(70, 1_003_670), begin + Duration::from_secs(3600));
        // Set back by a day, to before the origin; then suspended once more.
        let day = 24 * 3600;
        let set_back = suspended(80, 1_003_680 - day);
        assert!(set_back < begin);
        assert_eq!(suspended(90, 1_003_750 - day), set_back + Duration::from_secs(60));
        assert_eq!(suspended(2_000_000, 5), Duration::ZERO, "1970");
    }

    // A process that is stopped, or has to wait for a processor, between one clock and the other.
    #[test]
    fn clocks_that_were_not_read_at_once_are_read_again() {
        let clock = Clock::start();
        let late = (10, 1_000_100, 90_000);
        let begin = clock.suspended_by(readings(clock, [(0, 1_000_000, 0)]));
        let again = [late, late, (120, 1_000_120, 1)];
        assert_eq!(clock.suspended_by(readings(clock, again)), begin);
        // On a machine where it always takes its time, the best one counts.
        let mut never = [late; 10];
        never[4] = (50, 1_000_050, 2);
        assert_eq!(clock.suspended_by(readings(clock, never)), begin);
    }

    #[test]
    fn a_machine_that_is_not_suspended_says_so() {
        let clock = Clock::start();
        let begin = clock.suspended();
        let grown = clock.suspended().saturating_sub(begin);
        assert!(grown < Duration::from_secs(1), "{grown:?}");
    }
}
