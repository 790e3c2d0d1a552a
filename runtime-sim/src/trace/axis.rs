//! Times and places along the axis, as text.

use std::fmt;

/// The number of ticks that an axis has about, before anybody zooms in.
const TICKS: u64 = 12;

/// A share of the width, written in percent with four decimals.
pub(super) struct Percent {
    pub(super) part: u64,
    pub(super) whole: u64,
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = u128::from(self.whole.max(1));
        let millionths = u128::from(self.part) * 1_000_000 / whole;
        write!(f, "{}.{:04}%", millionths / 10_000, millionths % 10_000)
    }
}

/// An amount of time, in the unit that fits it.
pub(super) struct Micros(pub(super) u64);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, digits, name) = match self.0 {
            0 => return f.write_str("0"),
            1..1_000 => (1, 0, "µs"),
            1_000..1_000_000 => (1_000, 3, "ms"),
            _ => (1_000_000, 6, "s"),
        };
        write!(f, "{}", self.0 / unit)?;
        let rest = format!("{:0digits$}", self.0 % unit);
        let rest = rest.trim_end_matches('0');
        let point = if rest.is_empty() { "" } else { "." };
        write!(f, "{point}{rest} {name}")
    }
}

/// Returns the ticks of an axis, in microseconds: round numbers, the same distance apart.
pub(super) fn ticks(total: u64) -> impl Iterator<Item = u64> {
    let mut power: u64 = 1;
    while power.saturating_mul(10) <= total / TICKS {
        power *= 10;
    }
    let steps = [1, 2, 5, 10].map(|factor| power.saturating_mul(factor));
    let step = steps.into_iter().find(|step| *step >= total / TICKS).unwrap_or(power);
    (0..).map(move |n: u64| n.saturating_mul(step)).take_while(move |at| *at < total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_unit_that_fits() {
        let text = |micros| Micros(micros).to_string();
        assert_eq!(text(0), "0");
        assert_eq!(text(999), "999 µs");
        assert_eq!(text(1_500), "1.5 ms");
        assert_eq!(text(30_000), "30 ms");
        assert_eq!(text(2_000_000), "2 s");
        assert_eq!(text(61_000_020), "61.00002 s");
        assert_eq!(Percent { part: 1, whole: 3 }.to_string(), "33.3333%");
        assert_eq!(Percent { part: 0, whole: 0 }.to_string(), "0.0000%");
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks(42).take(3).collect::<Vec<_>>(), [0, 5, 10]);
        for total in [1, 9, 100, 12_345, 42_261_753, 86_400_000_000, u64::MAX] {
            let count = ticks(total).count();
            assert!((1..=13).contains(&count), "{total}: {count}");
        }
    }
}
