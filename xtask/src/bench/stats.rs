//! Medians, and how far the figures lie apart.

use std::fmt;

/// The measurements of several rounds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Rounds(Vec<f64>);

impl Rounds {
    pub(crate) fn add(&mut self, figure: f64) {
        self.0.push(figure);
    }

    /// Returns the figure in the middle; zero without any.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    /// Divides round by round: what happened to both in a round cancels out.
    pub(crate) fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }

    pub(crate) fn least(&self) -> f64 {
        self.0.iter().copied().reduce(f64::min).unwrap_or_default()
    }

    pub(crate) fn most(&self) -> f64 {
        self.0.iter().copied().reduce(f64::max).unwrap_or_default()
    }
}

/// Writes the median and the spread of ratios.
impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ({:.2}-{:.2})", self.median(), self.least(), self.most())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_those_of_the_same_round() {
        let (mut ours, mut theirs) = (Rounds::default(), Rounds::default());
        for (a, b) in [(1.0, 2.0), (8.0, 4.0), (3.0, 3.0)] {
            ours.add(a);
            theirs.add(b);
        }
        assert_eq!(ours.over(&theirs).to_string(), "1.00 (0.50-2.00)");
        assert!((ours.median() - 3.0).abs() < f64::EPSILON);
    }
}
