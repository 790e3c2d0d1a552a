//! Scenarios beside results: how many are covered, and what is wrong.

use super::results::{Results, Run};
use super::scenarios::{Reasons, Scenario, Scenarios};
use etcd3_lab::etcd::Version;
use etcd3_lab::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};

/// The areas in which a gap fails the command, with the smallest share of their portable
/// scenarios to be covered, in percent; only the rest may be skipped.
const GATED: &[(&str, usize)] = &[
    ("auth", 95),
    ("cache", 95),
    ("cluster", 95),
    ("concurrency", 95),
    ("connectivity", 95),
    ("kv", 95),
    ("lease", 95),
    ("maintenance", 95),
    ("mirror", 95),
    ("namespace", 95),
    ("observability", 95),
    ("ordering", 95),
    ("recipes", 95),
    ("robustness", 95),
    ("snapshot", 95),
    ("txn", 95),
    ("watch", 95),
];
/// The largest number of scenarios that one case can honestly be about.
const MAX_IDS: usize = 5;

/// The state of a portable scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Covered,
    /// A case names it and shows on purpose something else.
    Deviating(String),
    Skipped(String),
    Missing,
    /// Needs this version of etcd, which is newer than any that there was.
    Later(Version),
}

/// The numbers of an area's portable scenarios.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    covered: usize,
    deviating: usize,
    skipped: usize,
    missing: usize,
    later: usize,
}

impl Counts {
    fn portable(self) -> usize {
        self.due() + self.deviating + self.later
    }

    /// Counts those that are to be covered: the servers that there are can do them, and the client
    /// means to.
    fn due(self) -> usize {
        self.covered + self.skipped + self.missing
    }

    fn share(self, part: usize) -> f64 {
        // A list of scenarios is far below the numbers that a float cannot count.
        #[allow(clippy::cast_precision_loss)]
        let share = part as f64 * 100.0 / self.due().max(1) as f64;
        share
    }

    fn add(&mut self, state: &State) {
        *match state {
            State::Covered => &mut self.covered,
            State::Deviating(_) => &mut self.deviating,
            State::Skipped(_) => &mut self.skipped,
            State::Missing => &mut self.missing,
            State::Later(_) => &mut self.later,
        } += 1;
    }

    fn line(self, area: &str) -> String {
        let Self { covered, deviating, skipped, missing, later } = self;
        let portable = self.portable();
        let gate = if GATED.iter().any(|(gated, _)| gated == &area) { "  gated" } else { "" };
        let share = self.share(covered);
        format!(
            "    {area:<15}{portable:>9}{later:>7}{deviating:>10}{covered:>9}{skipped:>9}\
             {missing:>9}{share:>9.1}{gate}"
        )
    }
}

/// The comparison of the list with a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    areas: BTreeMap<String, Counts>,
    states: Vec<(String, String, State)>,
    /// The problems that make the command fail.
    pub(super) problems: Vec<String>,
}

impl Report {
    pub(super) fn of(scenarios: &Scenarios, results: &Results) -> Self {
        let mut report = Self { areas: BTreeMap::new(), states: vec![], problems: vec![] };
        let newest = results.newest();
        for row in scenarios.rows.iter().filter(|row| row.portable()) {
            let state = state_of(row, newest, scenarios, results);
            report.areas.entry(row.area().to_owned()).or_default().add(&state);
            report.states.push((row.area().to_owned(), row.id().to_owned(), state));
        }
        report.check_gates();
        report.check_cases(scenarios, results);
        report.check_reasons("skips.tsv", &scenarios.skips, scenarios);
        report.check_reasons("deviations.tsv", &scenarios.deviations, scenarios);
        report.check_skips(scenarios, results);
        report.check_later(results);
        report.check_turn(results);
        report
    }

    fn check_gates(&mut self) {
        for &(area, min_covered) in GATED {
            let max_skipped = 100 - min_covered;
            let counts = self.areas.get(area).copied().unwrap_or_default();
            if counts.covered * 100 < min_covered * counts.due() || counts.due() == 0 {
                let share = counts.share(counts.covered);
                let problem = format!("{area}: {share:.1} % covered, {min_covered} % demanded");
                self.problems.push(problem);
            }
            if counts.skipped * 100 > max_skipped * counts.due() {
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

    fn check_reasons(&mut self, file: &str, reasons: &Reasons, scenarios: &Scenarios) {
        for (id, reason) in reasons {
            if scenarios.find(id).is_none() {
                self.problems.push(format!("{file} names {id}, which is no scenario"));
            }
            if reason.is_empty() {
                self.problems.push(format!("{file} gives no reason for {id}"));
            }
        }
    }

    fn check_skips(&mut self, scenarios: &Scenarios, results: &Results) {
        for id in scenarios.skips.keys().filter(|id| results.cover(id)) {
            self.problems.push(format!("{id} is covered, so skips.tsv must not name it"));
        }
        for id in scenarios.deviations.keys().filter(|id| !results.cover(id)) {
            self.problems.push(format!("deviations.tsv names {id}, and no case shows how"));
        }
    }

    /// Checks that everything ran that had its turn.
    fn check_turn(&mut self, results: &Results) {
        let left_out = results.left_out();
        if let Some(first) = left_out.first() {
            let count = left_out.len();
            self.problems
                .push(format!("{count} runs had their turn and are not there: {first}, …"));
        }
    }

    /// Checks that no case is said to show what no server here can do.
    fn check_later(&mut self, results: &Results) {
        for (_, id, state) in &self.states {
            if let State::Later(version) = state
                && results.naming(id).any(|run| !run.is_simulated())
            {
                let problem = format!("{id} needs etcd {version}, so no case here can cover it");
                self.problems.push(problem);
            }
        }
    }

    /// Draws the numbers by area.
    pub(super) fn table(&self) -> String {
        let head =
            "    area            portable  later  deviates  covered  skipped  missing  percent";
        let mut lines = vec![head.to_owned()];
        let mut sum = Counts::default();
        for (area, counts) in &self.areas {
            lines.push(counts.line(area));
            sum.covered += counts.covered;
            sum.deviating += counts.deviating;
            sum.skipped += counts.skipped;
            sum.missing += counts.missing;
            sum.later += counts.later;
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
            let cases = || {
                let runs = results.naming(id);
                let cases: BTreeSet<String> =
                    runs.map(|run| format!("{} ({})", run.case, run.place)).collect();
                cases.into_iter().collect::<Vec<_>>().join(", ")
            };
            let what = match state {
                State::Covered => cases(),
                State::Deviating(reason) => format!("deviates: {reason} {}", cases()),
                State::Skipped(reason) => format!("skipped: {reason}"),
                State::Missing => "MISSING".to_owned(),
                State::Later(version) => format!("later: needs etcd {version}"),
            };
            lines.push(format!("    {id:<10} {what}"));
        }
        lines.join("\n")
    }
}

fn state_of(row: &Scenario, newest: Version, scenarios: &Scenarios, results: &Results) -> State {
    let reason = |reasons: &Reasons| reasons.get(row.id()).cloned();
    if row.since() > newest {
        return State::Later(row.since());
    }
    match (results.cover(row.id()), reason(&scenarios.deviations), reason(&scenarios.skips)) {
        (true, Some(reason), _) => State::Deviating(reason),
        (true, None, _) => State::Covered,
        (false, _, Some(reason)) => State::Skipped(reason),
        (false, _, None) => State::Missing,
    }
}

/// Prints a scenario beside the cases that name it.
pub(super) fn show(id: &str, scenarios: &Scenarios, results: &Results) -> Result<String> {
    let row = scenarios.find(id);
    let row = row.ok_or_else(|| Error::new(format!("There is no scenario {id}.")))?;
    let named = |name: &str, value: &str| format!("{name:<14} {value}");
    let mut lines: Vec<String> = row.columns().map(|(name, value)| named(name, value)).collect();
    for (what, reasons) in [("skipped", &scenarios.skips), ("deviates", &scenarios.deviations)] {
        if let Some(reason) = reasons.get(id) {
            lines.push(named(what, reason));
        }
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
    use super::super::scenarios::tests::{scenarios, with_deviations};
    use super::*;

    const BOTH: &[(&str, &str, &str)] = &[
        ("CONN-001", "connectivity", "yes"),
        ("KV-001", "kv", "yes"),
        ("KV-002", "kv", "no"),
        ("TXN-001", "txn", "yes"),
        ("WATCH-001", "watch", "yes"),
        ("CACHE-001", "cache", "yes"),
        ("ROB-001", "robustness", "yes"),
        ("LEASE-001", "lease", "yes"),
        ("MNT-001", "maintenance", "yes"),
        ("SNAP-001", "snapshot", "yes"),
        ("OBS-001", "observability", "yes"),
        ("AUTH-001", "auth", "yes"),
        ("CLU-001", "cluster", "yes"),
        ("NS-001", "namespace", "yes"),
        ("ORD-001", "ordering", "yes"),
        ("CONC-001", "concurrency", "yes"),
        ("MIR-001", "mirror", "yes"),
        ("REC-001", "recipes", "yes"),
        ("MISC-001", "misc", "yes"),
    ];

    /// Runs that cover one row of each gated area.
    const A: (&str, &str, &str, &str) = ("a", "tokio", "passed", "CONN-001,KV-001,TXN-001");
    const STREAMS: (&str, &str, &str, &str) =
        ("streams", "tokio", "passed", "WATCH-001,CACHE-001,ROB-001,LEASE-001");
    const OPERATORS: (&str, &str, &str, &str) =
        ("operators", "tokio", "passed", "AUTH-001,CLU-001,MNT-001,OBS-001,SNAP-001");
    const RECIPES: (&str, &str, &str, &str) =
        ("recipes", "tokio", "passed", "CONC-001,MIR-001,NS-001,ORD-001,REC-001");

    #[test]
    fn full_gated_areas_are_no_problem_and_others_may_have_gaps() {
        let scenarios = scenarios(BOTH, "");
        let results = results(&[A, STREAMS, OPERATORS, RECIPES]);
        let report = Report::of(&scenarios, &results);
        assert_eq!(report.problems, Vec::<String>::new());
        let kv = Counts { covered: 1, ..Counts::default() };
        assert_eq!((report.areas["kv"], report.areas["misc"].missing), (kv, 1));
        assert!(report.table().contains("100.0  gated"), "{}", report.table());
        let list = report.list(&results);
        assert!(list.contains("KV-001     a (src/kv.rs:7)"), "{list}");
        assert!(list.contains("MISC-001   MISSING") && !list.contains("KV-002"), "{list}");
    }

    #[test]
    fn a_gap_or_a_skip_in_a_gated_area_is_a_problem() {
        let scenarios = scenarios(BOTH, "TXN-001\tno time\n");
        let report = Report::of(&scenarios, &results(&[("a", "tokio", "failed", "KV-001")]));
        assert_eq!(
            report.problems,
            [
                "auth: 0.0 % covered, 95 % demanded",
                "cache: 0.0 % covered, 95 % demanded",
                "cluster: 0.0 % covered, 95 % demanded",
                "concurrency: 0.0 % covered, 95 % demanded",
                "connectivity: 0.0 % covered, 95 % demanded",
                "kv: 0.0 % covered, 95 % demanded",
                "lease: 0.0 % covered, 95 % demanded",
                "maintenance: 0.0 % covered, 95 % demanded",
                "mirror: 0.0 % covered, 95 % demanded",
                "namespace: 0.0 % covered, 95 % demanded",
                "observability: 0.0 % covered, 95 % demanded",
                "ordering: 0.0 % covered, 95 % demanded",
                "recipes: 0.0 % covered, 95 % demanded",
                "robustness: 0.0 % covered, 95 % demanded",
                "snapshot: 0.0 % covered, 95 % demanded",
                "txn: 0.0 % covered, 95 % demanded",
                "txn: 100.0 % skipped, 5 % allowed",
                "watch: 0.0 % covered, 95 % demanded",
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
        rows.push(("WATCH-1", "watch", "yes"));
        rows.push(("CACHE-1", "cache", "yes"));
        rows.push(("ROB-1", "robustness", "yes"));
        rows.push(("LEASE-1", "lease", "yes"));
        rows.push(("AUTH-1", "auth", "yes"));
        rows.push(("CLU-1", "cluster", "yes"));
        rows.push(("MNT-1", "maintenance", "yes"));
        rows.push(("SNAP-1", "snapshot", "yes"));
        rows.push(("OBS-1", "observability", "yes"));
        rows.push(("NS-1", "namespace", "yes"));
        rows.push(("ORD-1", "ordering", "yes"));
        rows.push(("CONC-1", "concurrency", "yes"));
        rows.push(("MIR-1", "mirror", "yes"));
        rows.push(("REC-1", "recipes", "yes"));
        let scenarios = scenarios(&rows, "KV-1\twhy\nKV-9\twhy\nKV-9\t \n");
        let ids = "KV-1,KV-2,KV-3,KV-4,KV-5,KV-6,KV-6";
        let results = results(&[
            ("greedy", "tokio", "passed", ids),
            ("other", "tokio", "passed", "TXN-1,TXN-2,CONN-1"),
            ("streams", "tokio", "passed", "WATCH-1,CACHE-1,ROB-1,LEASE-1"),
            ("operators", "tokio", "passed", "AUTH-1,CLU-1,MNT-1,OBS-1,SNAP-1"),
            ("recipes", "tokio", "passed", "CONC-1,MIR-1,NS-1,ORD-1,REC-1"),
        ]);
        assert_eq!(
            Report::of(&scenarios, &results).problems,
            [
                "greedy names 6 scenarios, more than 5",
                "other names TXN-2, which is no scenario",
                "skips.tsv names KV-9, which is no scenario",
                "skips.tsv gives no reason for KV-9",
                "KV-1 is covered, so skips.tsv must not name it",
            ]
        );
    }

    #[test]
    fn a_deviation_is_counted_apart_and_needs_a_case_and_a_reason() {
        let rows = [BOTH, &[("TXN-2", "txn", "yes"), ("TXN-3", "txn", "yes")]].concat();
        let scenarios = with_deviations(&rows, "", "TXN-2\tsaid at once\nTXN-3\t \n");
        let ids = "CONN-001,KV-001,TXN-001,TXN-2";
        let results = results(&[("a", "tokio", "passed", ids), STREAMS, OPERATORS, RECIPES]);
        let report = Report::of(&scenarios, &results);
        assert_eq!(
            report.problems,
            [
                "txn: 50.0 % covered, 95 % demanded",
                "deviations.tsv gives no reason for TXN-3",
                "deviations.tsv names TXN-3, and no case shows how",
            ]
        );
        let txn = Counts { covered: 1, deviating: 1, missing: 1, ..Counts::default() };
        assert_eq!(report.areas["txn"], txn);
        let list = report.list(&results);
        assert!(list.contains("TXN-2      deviates: said at once a (src/kv.rs:7)"), "{list}");
    }

    #[test]
    fn what_needs_a_newer_server_is_due_when_there_is_one() {
        let rows = [BOTH, &[("KV-3", "kv single; server>=3.8 (RangeStream)", "yes")]].concat();
        let scenarios = scenarios(&rows, "");
        let mut results = results(&[A, STREAMS, OPERATORS, RECIPES]);
        let report = Report::of(&scenarios, &results);
        assert_eq!((report.problems.len(), report.areas["kv"].later), (0, 1));
        assert!(report.list(&results).contains("KV-3       later: needs etcd 3.8.0"));
        results.add("b\t3.5.16\ttokio\tpassed\t0.1\tKV-3\tsrc/kv.rs\t9\n").unwrap();
        let problems = Report::of(&scenarios, &results).problems;
        assert_eq!(problems, ["KV-3 needs etcd 3.8.0, so no case here can cover it"]);
        results.add("b\t3.8.1\ttokio\tpassed\t0.1\tKV-3\tsrc/kv.rs\t9\n").unwrap();
        let report = Report::of(&scenarios, &results);
        assert_eq!((report.problems.len(), report.areas["kv"].covered), (0, 2));
    }

    #[test]
    fn a_run_that_had_its_turn_and_is_not_there_is_a_problem() {
        let scenarios = scenarios(BOTH, "");
        let mut results = results(&[A, STREAMS, OPERATORS, RECIPES]);
        results.add_due("tokio", "2\na::etcd_3.5.16\n").unwrap();
        assert_eq!(Report::of(&scenarios, &results).problems, Vec::<String>::new());
        results.add_due("tokio", "2\na::etcd_3.5.16\na::etcd_3.7.3\n").unwrap();
        let problems = Report::of(&scenarios, &results).problems;
        assert_eq!(
            problems,
            ["1 runs had their turn and are not there: a::etcd_3.7.3 on tokio, …"]
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
