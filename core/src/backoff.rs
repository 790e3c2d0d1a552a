//! Exponential backoff with jitter.

use crate::rng::Rng;
use std::time::Duration;

/// How long to wait before a further try: `first * 2^n`, capped, each within 20 % at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The wait before the second try.
    pub first: Duration,
    /// No wait is longer than this, jitter apart.
    pub cap: Duration,
}

impl Backoff {
    /// The wait after `failures` failures in a row, at least one; zero failures wait for nothing.
    pub fn after(self, failures: u32, rng: &mut Rng) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
        let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
        rng.jitter(self.first.saturating_mul(factor).min(self.cap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // R12, I-R5
    #[test]
    fn doubles_up_to_the_cap() {
        let backoff = Backoff { first: Duration::from_millis(100), cap: Duration::from_secs(5) };
        let mut rng = Rng::new(3);
        assert_eq!(backoff.after(0, &mut rng), Duration::ZERO);
        for (failures, base) in [(1, 100), (2, 200), (3, 400), (6, 3200), (7, 5000), (99, 5000)] {
            let wait = backoff.after(failures, &mut rng).as_millis();
            assert!((base * 4 / 5..=base * 6 / 5).contains(&wait), "{failures}: {wait}");
        }
        assert!(backoff.after(u32::MAX, &mut rng) <= Duration::from_secs(6));
    }
}
