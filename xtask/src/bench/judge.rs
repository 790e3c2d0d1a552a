//! What holds, and what does not.

use super::stats::Rounds;

/// Remembers what did not hold.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    checked: usize,
    failed: Vec<String>,
}

impl Judge {
    /// Checks that a figure is at most so high, and tells it.
    pub(crate) fn below(&mut self, what: &str, figure: f64, most: f64) -> String {
        self.note(what, &short(figure), figure, most)
    }

    /// Checks the median of a ratio, and tells it with its spread.
    pub(crate) fn spread(&mut self, what: &str, ratio: &Rounds, most: f64) -> String {
        self.note(what, &ratio.to_string(), ratio.median(), most)
    }

    fn note(&mut self, what: &str, told: &str, figure: f64, most: f64) -> String {
        self.checked += 1;
        // A figure that is no number holds nothing.
        let holds = figure <= most;
        let verdict =
            format!("{told} of {}, {}", short(most), if holds { "holds" } else { "FAILS" });
        if !holds {
            let what: Vec<&str> = what.split_whitespace().collect();
            self.failed.push(format!("{}: {told} of {}", what.join(" "), short(most)));
        }
        verdict
    }

    pub(crate) fn is_good(&self) -> bool {
        self.failed.is_empty()
    }

    /// Tells how many figures were checked, and those that did not hold.
    pub(crate) fn summary(&self) -> String {
        let held = self.checked - self.failed.len();
        let mut text = format!("{held} of {} figures hold", self.checked);
        for failed in &self.failed {
            text.push_str("\nFAILS ");
            text.push_str(failed);
        }
        text
    }
}

fn short(figure: f64) -> String {
    if figure >= 100.0 { format!("{figure:.0}") } else { format!("{figure:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_high_or_no_number_fails() {
        let mut judge = Judge::default();
        assert_eq!(judge.below("a", 1.0, 1.0), "1.00 of 1.00, holds");
        assert!(judge.is_good());
        assert!(judge.below("b  c", 1234.4, 1000.0).ends_with("FAILS"));
        judge.below("d", f64::NAN, 1.0);
        assert!(!judge.is_good());
        assert!(judge.summary().starts_with("1 of 3 figures hold\nFAILS b c: 1234 of 1000"));
    }
}
