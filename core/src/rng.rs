//! Seeded pseudo-random numbers for jitter; not for secrets.

use std::time::Duration;

/// A SplitMix64 generator: small, fast, the same numbers for the same seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rng(u64);

impl Rng {
    /// Makes a generator; any seed is as good as another.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, uniform over all of `u64`.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, or 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(n);
        u64::try_from(wide >> 64).unwrap_or_default()
    }

    /// A duration within 20 % of `base`, uniform.
    pub fn jitter(&mut self, base: Duration) -> Duration {
        let fifth = base / 5;
        let spread = u64::try_from(fifth.as_nanos().saturating_mul(2)).unwrap_or(u64::MAX);
        base.saturating_sub(fifth)
            .saturating_add(Duration::from_nanos(self.below(spread.saturating_add(1))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The values that are published with the algorithm: what a seed makes is the same everywhere.
    #[test]
    fn it_is_the_generator_that_it_says() {
        let mut rng = Rng::new(1_234_567);
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(published.map(|_| rng.next_u64()), published);
    }

    #[test]
    fn below_stays_below() {
        let mut rng = Rng::new(7);
        assert!((0..1000).all(|_| rng.below(3) < 3));
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.below(1), 0);
    }

    #[test]
    fn jitter_stays_within_a_fifth() {
        let mut rng = Rng::new(1);
        let base = Duration::from_millis(100);
        for _ in 0..1000 {
            let d = rng.jitter(base);
            assert!((80..=120).contains(&d.as_millis()), "{d:?}");
        }
        let huge = rng.jitter(Duration::MAX);
        assert!(huge >= Duration::MAX / 5 * 4);
    }
}
