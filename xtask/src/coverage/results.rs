//! What the conformance suite wrote about each run of a case.

use super::scenarios::rows_of;
use etcd3_lab::etcd::{self, Version};
use etcd3_lab::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};

/// The runtime whose etcd is a model: what passes there says nothing about real servers.
const SIMULATED: &str = "sim";

/// One run of a case, on one runtime against one version of etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(super) case: String,
    pub(super) version: String,
    pub(super) runtime: String,
    pub(super) passed: bool,
    /// The scenarios that the case covers.
    pub(super) ids: Vec<String>,
    /// The file and the line of the case.
    pub(super) place: String,
}

impl Run {
    pub(super) fn is_simulated(&self) -> bool {
        self.runtime == SIMULATED
    }

    fn is_of_the_trial_of(&self, other: &Self) -> bool {
        (&self.case, &self.version, &self.runtime) == (&other.case, &other.version, &other.runtime)
    }

    fn trial(&self) -> String {
        format!("{}::etcd_{}", self.case, self.version)
    }
}

/// What was to run on one runtime.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct PlannedRuns {
    /// The trials whose turn it was, each as `case::etcd_version`.
    trials: Vec<String>,
    /// The number of trials in all turns.
    all: usize,
}

/// All runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Results {
    pub(super) runs: Vec<Run>,
    /// What was to run, by runtime.
    due: BTreeMap<String, PlannedRuns>,
}

impl Results {
    /// Adds the runs of one file: case, version, runtime, passed or failed, seconds, ids, file,
    /// line. Of a trial that was run again the last run counts.
    pub(super) fn add(&mut self, text: &str) -> Result<()> {
        for (number, cells) in rows_of(text) {
            let [case, version, runtime, outcome, _seconds, ids, file, line] = cells[..] else {
                return Err(Error::new(format!("a result on line {number} has not 8 columns.")));
            };
            let passed = match outcome {
                "passed" => true,
                "failed" => false,
                other => {
                    return Err(Error::new(format!("{case} neither passed nor failed: {other}")));
                }
            };
            let ids = ids.split(',').map(str::trim).filter(|id| !id.is_empty());
            let run = Run {
                case: case.to_owned(),
                version: version.to_owned(),
                runtime: runtime.to_owned(),
                passed,
                ids: ids.map(str::to_owned).collect(),
                place: format!("{file}:{line}"),
            };
            match self.runs.iter_mut().find(|before| before.is_of_the_trial_of(&run)) {
                Some(before) => *before = run,
                None => self.runs.push(run),
            }
        }
        Ok(())
    }

    /// Adds what was to run on a runtime: the number of trials in all turns, and below it the names
    /// of those that had their turn.
    pub(super) fn add_due(&mut self, runtime: &str, text: &str) -> Result<()> {
        let mut lines = text.lines();
        let all = lines.next().and_then(|all| all.parse().ok());
        let all = all.ok_or_else(|| Error::new(format!("{runtime}.due begins with no number.")))?;
        let trials = lines.map(str::to_owned).collect();
        self.due.insert(runtime.to_owned(), PlannedRuns { trials, all });
        Ok(())
    }

    /// Names what was to run and did not.
    pub(super) fn left_out(&self) -> Vec<String> {
        let mut left_out = Vec::new();
        for (runtime, due) in &self.due {
            let of_it = self.runs.iter().filter(|run| run.runtime == *runtime);
            let ran: BTreeSet<String> = of_it.map(Run::trial).collect();
            let missing = due.trials.iter().filter(|trial| !ran.contains(*trial));
            left_out.extend(missing.map(|trial| format!("{trial} on {runtime}")));
        }
        left_out
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Returns the runs of the cases that name a scenario.
    pub(super) fn naming<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Run> {
        self.runs.iter().filter(move |run| run.ids.iter().any(|known| known == id))
    }

    /// Tells whether a case that names the scenario passed against a real server, and none failed
    /// against one.
    pub(super) fn cover(&self, id: &str) -> bool {
        let mut runs = self.naming(id).filter(|run| !run.is_simulated()).peekable();
        runs.peek().is_some() && runs.all(|run| run.passed)
    }

    /// Returns the newest version of etcd among the real servers.
    pub(super) fn newest(&self) -> Version {
        let real = self.runs.iter().filter(|run| !run.is_simulated());
        let versions = real.filter_map(|run| run.version.parse::<Version>().ok());
        versions.max().unwrap_or(etcd::OLDEST)
    }

    /// Says how much ran.
    pub(crate) fn extent(&self) -> String {
        let (simulated, real): (Vec<&Run>, Vec<&Run>) =
            self.runs.iter().partition(|run| run.is_simulated());
        let mut extent = extent_of(&real);
        let on_machines = self.due.iter().filter(|(runtime, _)| *runtime != SIMULATED);
        let (due, all) = on_machines.fold((0, 0), |(due, all), (_, it)| {
            (due + it.trials.len(), all + it.all) //
        });
        if due < all {
            extent = format!("{extent} ({due} had their turn; ETCD3_ALL=1 runs all {all})");
        }
        if simulated.is_empty() { extent } else { format!("{extent}; {}", extent_of(&simulated)) }
    }
}

fn extent_of(runs: &[&Run]) -> String {
    let distinct = |of: fn(&Run) -> &str| runs.iter().map(|run| of(run)).collect::<BTreeSet<_>>();
    let cases = distinct(|run| &run.case);
    let (runtimes, versions) = (distinct(|run| &run.runtime), distinct(|run| &run.version));
    let names = |set: &BTreeSet<&str>| set.iter().copied().collect::<Vec<_>>().join(", ");
    let failed = runs.iter().filter(|run| !run.passed).count();
    format!(
        "{} cases x {} runtimes ({}) x {} server versions ({}) = {} runs, {failed} failed",
        cases.len(),
        runtimes.len(),
        names(&runtimes),
        versions.len(),
        names(&versions),
        runs.len(),
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Makes results of `case runtime outcome ids` rows.
    pub(crate) fn results(rows: &[(&str, &str, &str, &str)]) -> Results {
        let mut results = Results::default();
        for (case, runtime, outcome, ids) in rows {
            let line = format!("{case}\t3.5.16\t{runtime}\t{outcome}\t0.1\t{ids}\tsrc/kv.rs\t7\n");
            results.add(&line).unwrap();
        }
        results
    }

    #[test]
    fn a_scenario_is_covered_when_its_case_passed_everywhere() {
        let results = results(&[
            ("put", "tokio", "passed", "KV-001,KV-002"),
            ("put", "smol", "passed", "KV-001,KV-002"),
            ("get", "tokio", "passed", "KV-002, KV-003"),
            ("get", "smol", "failed", "KV-002, KV-003"),
        ]);
        let covered = ["KV-001", "KV-002", "KV-003", "KV-004"].map(|id| results.cover(id));
        assert_eq!(covered, [true, false, false, false]);
        assert_eq!(
            results.extent(),
            "2 cases x 2 runtimes (smol, tokio) x 1 server versions (3.5.16) = 4 runs, 1 failed"
        );
    }

    #[test]
    fn what_passes_on_the_model_covers_nothing_and_what_fails_there_takes_nothing_away() {
        let results = results(&[
            ("put", "sim", "passed", "KV-001"),
            ("get", "tokio", "passed", "KV-002"),
            ("get", "sim", "failed", "KV-002"),
        ]);
        assert_eq!(["KV-001", "KV-002"].map(|id| results.cover(id)), [false, true]);
        assert_eq!(
            results.extent(),
            "1 cases x 1 runtimes (tokio) x 1 server versions (3.5.16) = 1 runs, 0 failed; \
             2 cases x 1 runtimes (sim) x 1 server versions (3.5.16) = 2 runs, 1 failed"
        );
    }

    #[test]
    fn what_had_its_turn_and_did_not_run_is_named() {
        let mut results = results(&[("put", "tokio", "passed", "KV-001")]);
        results.add_due("tokio", "9\nput::etcd_3.5.16\n").unwrap();
        assert_eq!(results.left_out(), Vec::<String>::new());
        assert!(results.extent().ends_with("0 failed (1 had their turn; ETCD3_ALL=1 runs all 9)"));
        results.add_due("sim", "1\nput::etcd_3.5.16\n").unwrap();
        results.add_due("tokio", "2\nput::etcd_3.5.16\nput::etcd_3.7.3\n").unwrap();
        let expected = ["put::etcd_3.5.16 on sim", "put::etcd_3.7.3 on tokio"];
        assert_eq!(results.left_out(), expected);
        assert!(results.extent().ends_with("1 runs, 0 failed"), "{}", results.extent());
    }

    #[test]
    fn the_last_run_of_a_trial_counts() {
        let again = results(&[
            ("put", "tokio", "failed", "KV-001"),
            ("get", "tokio", "passed", "KV-001"),
            ("put", "tokio", "passed", "KV-001"),
        ]);
        assert!(again.cover("KV-001"));
        assert!(again.extent().ends_with("2 runs, 0 failed"), "{}", again.extent());
        let again =
            results(&[("put", "tokio", "passed", "KV-001"), ("put", "tokio", "failed", "")]);
        assert_eq!(again.runs.iter().filter(|run| run.passed).count(), 0);
    }

    #[test]
    fn malformed_results_are_refused() {
        assert!(Results::default().add_due("tokio", "put\n").is_err());
        assert!(Results::default().add("put\t3.5.16\n").is_err());
        let odd = "put\t3.5.16\ttokio\tmaybe\t0.1\tKV-001\tf\t1\n";
        assert!(Results::default().add(odd).is_err());
    }
}
