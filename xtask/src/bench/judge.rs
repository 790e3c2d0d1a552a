//! What holds, and what does not.

use super::stats::Rounds;
use crate::shell;

/// The checks of a run, and the lines that were printed meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    pub(crate) checks: Vec<Check>,
    pub(crate) notes: Vec<String>,
}

/// A figure with its target.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) what: String,
    pub(crate) told: String,
    pub(crate) most: String,
    pub(crate) holds: bool,
}

/// Prints a line that is kept for the page of results.
macro_rules! say {
    ($judge:expr, $($words:tt)*) => {
        $judge.say(format!($($words)*))
    };
}

pub(crate) use say;

impl Judge {
    /// Checks that a figure is at most so high, and tells it.
    pub(crate) fn below(&mut self, what: &str, figure: f64, most: f64) -> String {
        self.note(what, &short(figure), figure, most)
    }

    /// Checks the median of a ratio, and tells it with its spread.
    pub(crate) fn spread(&mut self, what: &str, ratio: &Rounds, most: f64) -> String {
        self.note(what, &ratio.to_string(), ratio.median(), most)
    }

    /// Prints a line that begins a table, and keeps it.
    pub(crate) fn heading(&mut self, text: &str) {
        shell::heading(text);
        self.notes.push(String::new());
        self.notes.push(text.to_owned());
    }

    /// Prints a line of a table, and keeps it.
    pub(crate) fn say(&mut self, line: String) {
        println!("{line}");
        self.notes.push(line);
    }

    fn note(&mut self, what: &str, told: &str, figure: f64, most: f64) -> String {
        // A figure that is no number holds nothing.
        let holds = figure <= most;
        let verdict =
            format!("{told} of {}, {}", short(most), if holds { "holds" } else { "FAILS" });
        let what: Vec<&str> = what.split_whitespace().collect();
        let (what, told, most) = (what.join(" "), told.to_owned(), short(most));
        self.checks.push(Check { what, told, most, holds });
        verdict
    }

    pub(crate) fn is_good(&self) -> bool {
        self.checks.iter().all(|check| check.holds)
    }

    /// Tells how many figures were checked, and those that did not hold.
    pub(crate) fn summary(&self) -> String {
        let held = self.checks.iter().filter(|check| check.holds).count();
        let failed = self.checks.iter().filter(|check| !check.holds);
        let lines = failed
            .map(|Check { what, told, most, .. }| format!("\nFAILS {what}: {told} of {most}"));
        format!("{held} of {} figures hold{}", self.checks.len(), lines.collect::<String>())
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
