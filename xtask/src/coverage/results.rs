//! What the conformance suite wrote about each run of a case.

use super::scenarios::rows_of;
use etcd3_lab::etcd::{self, Version};
use etcd3_lab::{Error, Result};
use std::collections::BTreeSet;

/// Names the runtime whose etcd is a model: what passes there says nothing about real servers.
const SIMULATED: &str = "sim";

/// Is one run of a case, on one runtime against one version of etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(super) case: String,
    pub(super) version: String,
    pub(super) runtime: String,
    pub(super) passed: bool,
    /// Names the scenarios that the case covers.
    pub(super) ids: Vec<String>,
    /// Is the file and the line of the case.
    pub(super) place: String,
}

impl Run {
    pub(super) fn is_simulated(&self) -> bool {
        self.runtime == SIMULATED
    }
}

/// Holds all runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Results {
    pub(super) runs: Vec<Run>,
}

impl Results {
    /// Adds the runs of one file: case, version, runtime, passed or failed, seconds, ids, file,
    /// line.
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
            self.runs.push(Run {
                case: case.to_owned(),
                version: version.to_owned(),
                runtime: runtime.to_owned(),
                passed,
                ids: ids.map(str::to_owned).collect(),
                place: format!("{file}:{line}"),
            });
        }
        Ok(())
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
        let real = extent_of(&real);
        if simulated.is_empty() { real } else { format!("{real}; {}", extent_of(&simulated)) }
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
    fn malformed_results_are_refused() {
        assert!(Results::default().add("put\t3.5.16\n").is_err());
        let odd = "put\t3.5.16\ttokio\tmaybe\t0.1\tKV-001\tf\t1\n";
        assert!(Results::default().add(odd).is_err());
    }
}
