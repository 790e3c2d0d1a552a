//! How long calls took, in buckets.

use std::time::Duration;

/// How long calls took: how many fall into each bucket, and the sum of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Latencies {
    /// The number of calls in each bucket: those of [`BOUNDS`](Self::BOUNDS), each with the calls
    /// that took no longer and longer than the bound before, and the last one for all that took
    /// longer.
    pub counts: [u64; Self::BUCKETS],
    /// The time that all of them took together.
    pub sum: Duration,
}

impl Latencies {
    /// The number of buckets.
    pub const BUCKETS: usize = Self::BOUNDS.len() + 1;

    /// The longest time of each bucket but the last.
    pub const BOUNDS: [Duration; 16] = [
        Duration::from_micros(100),
        Duration::from_micros(250),
        Duration::from_micros(500),
        Duration::from_millis(1),
        Duration::from_micros(2_500),
        Duration::from_millis(5),
        Duration::from_millis(10),
        Duration::from_millis(25),
        Duration::from_millis(50),
        Duration::from_millis(100),
        Duration::from_millis(250),
        Duration::from_millis(500),
        Duration::from_secs(1),
        Duration::from_millis(2_500),
        Duration::from_secs(5),
        Duration::from_secs(10),
    ];

    /// Returns the number of calls in all buckets.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the bucket of a time.
    pub(super) fn bucket(took: Duration) -> usize {
        Self::BOUNDS.partition_point(|bound| *bound < took)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        assert!(Latencies::BOUNDS.is_sorted());
        for (index, bound) in Latencies::BOUNDS.into_iter().enumerate() {
            assert_eq!(Latencies::bucket(bound), index);
            assert_eq!(Latencies::bucket(bound + Duration::from_nanos(1)), index + 1);
        }
        assert_eq!(Latencies::bucket(Duration::ZERO), 0);
        assert_eq!(Latencies::bucket(Duration::MAX), Latencies::BUCKETS - 1);
    }
}
