//! Running again what failed on a real machine.
//!
//! Thousands of runs share a machine with the servers that they start, and a pause of a disk or of
//! a processor can come at any time. A trial that failed and passes alone is told as unsteady, with
//! its reason, rather than hidden: it is to be looked into. What is wrong fails again, and so does
//! what is wrong now and then, if it is often enough.

use crate::failures::Failure;
use crate::tally::Tally;
use crate::{shell, workspace};
use etcd3_lab::Result;
use std::process::Command;

/// What more trials fail than this is no coincidence.
const MAX_FAILED: usize = 3;

/// How often a trial has to pass alone.
const TIMES: usize = 3;

/// Runs trials again, each alone, and tells whether all passed each time. The output is that of
/// the suite, which may have failed for something else as well.
pub(super) fn pass(failed: &[Failure], output: &str) -> Result<bool> {
    let is_some = (1..=MAX_FAILED).contains(&failed.len()) && failed.iter().all(is_on_a_machine);
    if !is_some || has_other_failures(failed, output) {
        return Ok(false);
    }
    for failure in failed {
        println!("    {} failed and is run again", failure.case);
        for _ in 0..TIMES {
            let ended = shell::capture(&alone(failure), shell::STEP_LIMIT)?;
            if !ended.ok() || Tally::of(&ended.output).passed != 1 {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Tells the suite on a real runtime from simulations, which are the same each time, and from tests
/// of their own.
fn is_on_a_machine(failure: &Failure) -> bool {
    workspace::RUNTIMES.iter().any(|name| name.replace('-', "_") == failure.binary)
}

/// Tells whether cargo names a target as failed, at the end of its output, that none of the failed
/// trials is of: one that crashed, for example.
fn has_other_failures(failed: &[Failure], output: &str) -> bool {
    let mut targets = output.lines().map(str::trim).filter(|line| line.starts_with("`-p "));
    let is_of = |target: &str, it: &Failure| target.ends_with(&format!(" --test {}`", it.binary));
    targets.any(|target| !failed.iter().any(|it| is_of(target, it)))
}

fn alone(failure: &Failure) -> Command {
    let mut suite = super::suite();
    suite.args(["--test", &failure.binary, "--", "--exact", &failure.case]);
    suite
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failures;

    fn failed(binary: &str, count: usize) -> Vec<Failure> {
        let begin = format!("     Running tests/{binary}.rs (target/debug/deps/{binary}-0)\n");
        failures::of(&(begin + &"---- a::b::etcd_3.7.3 ----\nno\n".repeat(count)))
    }

    #[test]
    fn some_trials_on_real_machines_alone_are_run_again() {
        for binary in ["tokio", "smol", "async_std"] {
            assert!(is_on_a_machine(&failed(binary, 1)[0]), "{binary}");
        }
        for (binary, count) in [("sim", 1), ("ended", 1), ("tokio", 0), ("tokio", MAX_FAILED + 1)] {
            let failed = failed(binary, count);
            assert_eq!(failed.len(), count);
            assert!(!pass(&failed, "").unwrap(), "{count} of {binary}");
        }
    }

    #[test]
    fn a_target_that_crashed_is_no_failed_trial() {
        let failed = failed("tokio", 2);
        let trials = "error: 1 target failed:\n    `-p etcd3-conformance --test tokio`\n";
        assert!(!has_other_failures(&failed, trials));
        let crash = format!("{trials}    `-p etcd3-conformance --test ended`\n");
        assert!(has_other_failures(&failed, &crash));
        assert!(!pass(&failed, &crash).unwrap());
    }
}
