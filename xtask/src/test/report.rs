//! What the steps of a test run did.

use crate::passed::Passed;
use crate::tally::Tally;
use crate::{failures, shell};
use etcd3_lab::Result;
use std::fmt::Write as _;
use std::time::Instant;

/// The steps of a run, and what they told.
#[derive(Debug, Default)]
pub(super) struct Report {
    steps: Vec<(String, bool, f64)>,
    tally: Tally,
    alarms: Vec<String>,
    failures: Vec<String>,
}

impl Report {
    /// Runs a step and prints how it went.
    pub(super) fn step(&mut self, name: &str, step: impl FnOnce() -> Result<Passed>) {
        shell::heading(name);
        let begin = Instant::now();
        let (good, text) = self.take(step());
        if !good {
            let of_step = failures::told(&text).into_iter().map(|text| format!("{name}: {text}"));
            self.failures.extend(of_step);
        }
        let seconds = begin.elapsed().as_secs_f64();
        for line in text.trim_end().lines().filter(|line| !is_noise(line)) {
            println!("    {line}");
        }
        println!("    {}, {}", if good { "ok" } else { "FAILED" }, shell::time(seconds));
        self.steps.push((name.to_owned(), good, seconds));
    }

    /// Adds a line that is printed at the end.
    pub(super) fn alarm(&mut self, text: String) {
        self.alarms.push(text);
    }

    pub(super) fn alarms(&self) -> &[String] {
        &self.alarms
    }

    /// Returns what failed, and why: in a long run its own place is far above.
    pub(super) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Tells whether all steps passed.
    pub(super) fn is_good(&self) -> bool {
        self.steps.iter().all(|(_, good, _)| *good)
    }

    /// Returns the number of test cases. A failed step without a failed case of its own counts as
    /// one.
    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// Returns the time of a step; zero of one that did not run.
    pub(super) fn seconds_of(&self, step: &str) -> f64 {
        let of_step = self.steps.iter().filter(|(name, ..)| name == step);
        of_step.map(|(_, _, seconds)| seconds).sum()
    }

    /// Lists the steps with their times.
    pub(super) fn times(&self) -> String {
        let mut text = String::new();
        for (name, good, seconds) in &self.steps {
            let how = if *good { "ok" } else { "FAILED" };
            // A String takes everything.
            let _ = writeln!(text, "    {name:<24}{:>10}  {how}", shell::time(*seconds));
        }
        let sum = self.steps.iter().map(|(_, _, seconds)| seconds).sum();
        let _ = write!(text, "    {:<24}{:>10}", "all", shell::time(sum));
        text
    }

    fn take(&mut self, outcome: Result<Passed>) -> (bool, String) {
        let (good, text, mut tally) = match outcome {
            Ok(passed) => {
                self.alarms.extend(passed.alarms);
                let good = passed.broken.is_none();
                (good, passed.broken.unwrap_or(passed.says), passed.tally)
            }
            Err(error) => (false, error.to_string(), Tally::default()),
        };
        if !good && tally.failed == 0 {
            tally.failed = 1;
        }
        self.tally += tally;
        (good, text)
    }
}

/// Tells the lines of cargo that say nothing about a failure.
fn is_noise(line: &str) -> bool {
    let words = ["Compiling ", "Checking ", "Documenting ", "Downloading ", "Downloaded "];
    words.iter().any(|word| line.trim_start().starts_with(word))
        || (line.starts_with("test ") && line.ends_with(" ... ok"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcd3_lab::Error;

    #[test]
    fn only_what_says_nothing_is_left_out() {
        for noise in ["   Compiling syn v3.0.9", "test a::b ... ok"] {
            assert!(is_noise(noise), "{noise}");
        }
        for word in ["test a::b ... FAILED", "error: x", "a test ... ok", "test result: ok. 1"] {
            assert!(!is_noise(word), "{word}");
        }
    }

    #[test]
    fn steps_add_up_and_a_failed_one_counts() {
        let mut report = Report::default();
        let counts = Tally { passed: 3, failed: 0, skipped: 1 };
        report.step("a", || Ok(Passed::counting(counts)));
        report.step("b", || Ok(Passed::alarming("look here")));
        assert!(report.is_good());
        assert_eq!(report.alarms(), ["look here"]);
        report.step("c", || Err(Error::new("no")));
        let broken = Tally { passed: 1, failed: 2, skipped: 0 };
        report.step("d", || Ok(Passed::broken("no".into(), broken)));
        assert!(!report.is_good());
        assert_eq!(report.tally().to_string(), "4 passed, 3 failed, 1 skipped");
        assert_eq!(report.failures(), ["c: no", "d: no"]);
        assert!(report.times().contains("FAILED"));
        assert!(report.seconds_of("a") > 0.0 && report.seconds_of("x") == 0.0);
    }
}
