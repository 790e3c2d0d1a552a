//! Counting test cases in what `cargo test` prints.

use std::fmt;
use std::ops::AddAssign;

/// The numbers of test cases, by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    /// Adds up all lines such as `test result: ok. 27 passed; 0 failed; 1 ignored; …`.
    pub(crate) fn of(output: &str) -> Self {
        let mut sum = Self::default();
        for line in output.lines().filter_map(|line| line.trim().strip_prefix("test result: ")) {
            let counts = line.split_once(". ").map_or("", |(_, counts)| counts);
            for part in counts.split("; ") {
                let Some((number, word)) = part.split_once(' ') else { continue };
                let Ok(number) = number.parse::<u64>() else { continue };
                match word {
                    "passed" => sum.passed += number,
                    "failed" => sum.failed += number,
                    "ignored" => sum.skipped += number,
                    _ => {}
                }
            }
        }
        sum
    }

    /// Returns the number of cases that ran.
    pub(crate) fn ran(self) -> u64 {
        self.passed + self.failed
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_result_lines_are_added_up() {
        let output = "\
running 27 tests
test result: ok. 27 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.11s

test result: FAILED. 9 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 15s
the test result: ok. 5 passed is prose
";
        let sum = Tally::of(output);
        assert_eq!(sum, Tally { passed: 36, failed: 2, skipped: 1 });
        assert_eq!((sum.ran(), sum.to_string().as_str()), (38, "36 passed, 2 failed, 1 skipped"));
    }
}
