//! Scenarios beside results: how many are covered, and what is wrong.

use super::results::{Results, Run};
use super::scenarios::Scenarios;
use etcd3_lab::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};

/// Names the areas in which a gap fails the command, with the smallest share of their portable
/// scenarios to be covered, in percent; only the rest may be skipped. A tenth of connectivity is
/// about watches.
const GATED: &[(&str, usize)] = &[("connectivity", 90), ("kv", 95), ("txn", 95)];
/// Is the largest number of scenarios that one case can honestly be about.
const MAX_IDS: usize = 5;

/// Is the state of a portable scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Covered,
    Skipped(String),
    Missing,
}

/// Counts an area's portable scenarios.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    covered: usize,
    skipped: usize,
    missing: usize,
}

impl Counts {
    fn portable(self) -> usize {
        self.covered + self.skipped + self.missing
    }

    fn share(self, part: usize) -> f64 {
        // A list of scenarios is far below the numbers that a float cannot count.
        #[allow(clippy::cast_precision_loss)]
        let share = part as f64 * 100.0 / self.portable().max(1) as f64;
        share
    }

    fn line(self, area: &str) -> String {
        let Self { covered, skipped, missing } = self;
        let portable = self.portable();
        let gate = if GATED.iter().any(|(gated, _)| gated == &area) { "  gated" } else { "" };
        let share = self.share(covered);
        format!("    {area:<15}{portable:>9}{covered:>9}{skipped:>9}{missing:>9}{share:>9.1}{gate}")
    }
}

/// Is the comparison of the list with a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    areas: BTreeMap<String, Counts>,
    states: Vec<(String, String, State)>,
    /// Says what makes the command fail.
    pub(super) problems: Vec<String>,
}

impl Report {
    pub(super) fn of(scenarios: &Scenarios, results: &Results) -> Self {
        let mut report = Self { areas: BTreeMap::new(), states: vec![], problems: vec![] };
        for row in scenarios.rows.iter().filter(|row| row.portable()) {
            let counts = report.areas.entry(row.area().to_owned()).or_default();
            let state = if results.cover(row.id()) {
                counts.covered += 1;
                State::Covered
            } else if let Some(reason) = scenarios.skips.get(row.id()) {
                counts.skipped += 1;
                State::Skipped(reason.clone())
            } else {
                counts.missing += 1;
                State::Missing
            };
            report.states.push((row.area().to_owned(), row.id().to_owned(), state));
        }
        report.check_gates();
        report.check_cases(scenarios, results);
        report.check_skips(scenarios, results);
        report
    }

    fn check_gates(&mut self) {
        for &(area, min_covered) in GATED {
            let max_skipped = 100 - min_covered;
            let counts = self.areas.get(area).copied().unwrap_or_default();
            if counts.covered * 100 < min_covered * counts.portable() || counts.portable() == 0 {
                let share = counts.share(counts.covered);
                let problem = format!("{area}: {share:.1} % covered, {min_covered} % demanded");
                self.problems.push(problem);
            }
            if counts.skipped * 100 > max_skipped * counts.portable() {
                let share = counts.share(counts.skipped);
                let problem = format!("{area}: {share:.1} % skipped, {max_skipped} % allowed");
                self.problems.push(problem);
            }
        }
    }

    fn check_cases(&mut self, scenarios: &Scenarios, results: &Results) {
        let cases: BTreeMap<&str, &Run> =
            results.runs.iter().map(|run| (run.case.as_str(), run)).collect();
        for (case, run) in cases {
            let ids: BTreeSet<&String> = run.ids.iter().collect();
            if ids.len() > MAX_IDS {
                let count = ids.len();
                self.problems.push(format!("{case} names {count} scenarios, more than {MAX_IDS}"));
            }
            for id in ids.into_iter().filter(|id| scenarios.find(id).is_none()) {
                self.problems.push(format!("{case} names {id}, which is no scenario"));
            }
        }
    }

    fn check_skips(&mut self, scenarios: &Scenarios, results: &Results) {
        for (id, reason) in &scenarios.skips {
            if scenarios.find(id).is_none() {
                self.problems.push(format!("skips.tsv names {id}, which is no scenario"));
            }
            if reason.is_empty() {
                self.problems.push(format!("skips.tsv gives no reason for {id}"));
            }
            if results.cover(id) {
                self.problems.push(format!("{id} is covered, so skips.tsv must not name it"));
            }
        }
    }

    /// Draws the numbers by area.
    pub(super) fn table(&self) -> String {
        let head = "    area            portable  covered  skipped  missing  percent";
        let mut lines = vec![head.to_owned()];
        let mut sum = Counts::default();
        for (area, counts) in &self.areas {
            lines.push(counts.line(area));
            sum.covered += counts.covered;
            sum.skipped += counts.skipped;
            sum.missing += counts.missing;
        }
        lines.push(sum.line("all"));
        lines.join("\n")
    }

    /// Lists each portable scenario with the case that covers it.
    pub(super) fn list(&self, results: &Results) -> String {
        let mut lines = Vec::new();
        let mut last = "";
        for (area, id, state) in &self.states {
            if area != last {
                lines.push(area.clone());
                last = area;
            }
            let what = match state {
                State::Covered => {
                    let runs = results.naming(id);
                    let cases: BTreeSet<String> =
                        runs.map(|run| format!("{} ({})", run.case, run.place)).collect();
                    cases.into_iter().collect::<Vec<_>>().join(", ")
                }
                State::Skipped(reason) => format!("skipped: {reason}"),
                State::Missing => "MISSING".to_owned(),
            };
            lines.push(format!("    {id:<10} {what}"));
        }
        lines.join("\n")
    }
}

/// Prints a scenario beside the cases that name it.
pub(super) fn show(id: &str, scenarios: &Scenarios, results: &Results) -> Result<String> {
    let row = scenarios.find(id);
    let row = row.ok_or_else(|| Error::new(format!("There is no scenario {id}.")))?;
    let named = |name: &str, value: &str| format!("{name:<14} {value}");
    let mut lines: Vec<String> = row.columns().map(|(name, value)| named(name, value)).collect();
    if let Some(reason) = scenarios.skips.get(id) {
        lines.push(named("skipped", reason));
    }
    let mut cases: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for run in results.naming(id) {
        let outcome = if run.passed { "passed" } else { "FAILED" };
        let line = format!("{outcome} on {} against etcd {}", run.runtime, run.version);
        cases.entry((&run.case, &run.place)).or_default().push(line);
    }
    if cases.is_empty() {
        lines.push("no case names it".to_owned());
    }
    for ((case, place), runs) in cases {
        lines.push(named("case", &format!("{case} at {place}")));
        lines.extend(runs.iter().map(|run| named("", run)));
    }
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::results;
    use super::super::scenarios::tests::scenarios;
    use super::*;

    const BOTH: &[(&str, &str, &str)] = &[
        ("CONN-001", "connectivity", "yes"),
        ("KV-001", "kv", "yes"),
        ("KV-002", "kv", "no"),
        ("TXN-001", "txn", "yes"),
        ("WATCH-001", "watch", "yes"),
    ];

    #[test]
    fn full_gated_areas_are_no_problem_and_others_may_have_gaps() {
        let scenarios = scenarios(BOTH, "");
        let results = results(&[("a", "tokio", "passed", "CONN-001,KV-001,TXN-001")]);
        let report = Report::of(&scenarios, &results);
        assert_eq!(report.problems, Vec::<String>::new());
        let kv = Counts { covered: 1, skipped: 0, missing: 0 };
        assert_eq!((report.areas["kv"], report.areas["watch"].missing), (kv, 1));
        assert!(report.table().contains("100.0  gated"), "{}", report.table());
        let list = report.list(&results);
        assert!(list.contains("KV-001     a (src/kv.rs:7)"), "{list}");
        assert!(list.contains("WATCH-001  MISSING") && !list.contains("KV-002"), "{list}");
    }

    #[test]
    fn a_gap_or_a_skip_in_a_gated_area_is_a_problem() {
        let scenarios = scenarios(BOTH, "TXN-001\tno time\n");
        let report = Report::of(&scenarios, &results(&[("a", "tokio", "failed", "KV-001")]));
        assert_eq!(
            report.problems,
            [
                "connectivity: 0.0 % covered, 90 % demanded",
                "kv: 0.0 % covered, 95 % demanded",
                "txn: 0.0 % covered, 95 % demanded",
                "txn: 100.0 % skipped, 5 % allowed",
            ]
        );
    }

    #[test]
    fn an_area_without_scenarios_cannot_pass_its_gate() {
        let report = Report::of(&scenarios(&[], ""), &results(&[("a", "tokio", "passed", "")]));
        assert_eq!(report.problems.len(), GATED.len());
    }

    #[test]
    fn too_many_ids_unknown_ids_and_stale_skips_are_problems() {
        let rows: Vec<(String, &str)> = (1..=6).map(|i| (format!("KV-{i}"), "kv")).collect();
        let mut rows: Vec<(&str, &str, &str)> =
            rows.iter().map(|(id, area)| (id.as_str(), *area, "yes")).collect();
        rows.push(("TXN-1", "txn", "yes"));
        rows.push(("CONN-1", "connectivity", "yes"));
        let scenarios = scenarios(&rows, "KV-1\twhy\nKV-9\twhy\nKV-9\t \n");
        let ids = "KV-1,KV-2,KV-3,KV-4,KV-5,KV-6,KV-6";
        let results = results(&[
            ("greedy", "tokio", "passed", ids),
            ("other", "tokio", "passed", "TXN-1,TXN-2,CONN-1"),
        ]);
        assert_eq!(
            Report::of(&scenarios, &results).problems,
            [
                "greedy names 6 scenarios, more than 5",
                "other names TXN-2, which is no scenario",
                "KV-1 is covered, so skips.tsv must not name it",
                "skips.tsv names KV-9, which is no scenario",
                "skips.tsv gives no reason for KV-9",
            ]
        );
    }

    #[test]
    fn showing_a_scenario_names_its_cases_and_their_outcomes() {
        let scenarios = scenarios(BOTH, "");
        let results =
            results(&[("a", "tokio", "passed", "KV-001"), ("a", "smol", "failed", "KV-001")]);
        let text = show("KV-001", &scenarios, &results).unwrap();
        assert!(text.contains("upstream_test  TestX\n"), "{text}");
        assert!(text.contains("case           a at src/kv.rs:7\n"), "{text}");
        assert!(text.contains("FAILED on smol against etcd 3.5.16"), "{text}");
        assert!(show("TXN-001", &scenarios, &results).unwrap().ends_with("no case names it"));
        assert!(show("KV-9", &scenarios, &results).is_err());
    }
}
