//! `cargo xtask coverage`: which scenarios of etcd's own tests the conformance cases cover.

mod again;
mod report;
mod results;
mod scenarios;

use crate::failures::{self, Failure};
use crate::options::Options;
use crate::shell::Ended;
use crate::tally::Tally;
use crate::{ExitResult, shell, workspace};
use etcd3_lab::{Error, Result};
use report::Report;
pub(crate) use results::Results;
use scenarios::Scenarios;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// The limit of a run of the whole suite with its build.
const SUITE_LIMIT: Duration = Duration::from_secs(90 * 60);

/// The variable with the number of the turn of cases and runtimes.
const TURN_VARIABLE: &str = "ETCD3_TURN";

/// The variable that tells the suite where to write its results.
const RESULTS_VARIABLE: &str = "ETCD3_RESULTS";

pub(crate) fn run(options: &Options) -> ExitResult {
    let mut suite_ok = true;
    if !options.has("--no-run") {
        shell::heading("running the conformance suite");
        let suite = run_suite()?;
        suite_ok = suite.is_good;
        let how = if suite_ok { "ok" } else { "FAILED" };
        if !suite_ok {
            println!("{}", suite.output.trim_end());
        }
        println!("    {how}, {}", shell::time(suite.seconds));
        for unsteady in &suite.unsteady {
            println!("!!! UNSTEADY {unsteady}");
        }
    }
    let scenarios = read_scenarios()?;
    let results = read_results()?;
    if let Some(id) = options.value("--show") {
        println!("{}", report::show(id, &scenarios, &results)?);
        return Ok(if suite_ok { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let report = Report::of(&scenarios, &results);
    if options.has("--list") {
        println!("{}", report.list(&results));
    }
    println!("{}", report.table());
    println!("{}", results.extent());
    for problem in &report.problems {
        println!("!!! {problem}");
    }
    let good = suite_ok && report.problems.is_empty();
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the suite did.
#[derive(Debug)]
pub(crate) struct SuiteRun {
    pub(crate) output: String,
    pub(crate) tally: Tally,
    pub(crate) is_good: bool,
    /// What failed on a real machine, and passed each time when it was run again alone.
    pub(crate) unsteady: Vec<Failure>,
    /// The time that the suite took, in seconds.
    pub(crate) seconds: f64,
}

/// Runs the suite on all runtimes and keeps what each case did.
pub(crate) fn run_suite() -> Result<SuiteRun> {
    let folder = results_folder();
    if folder.exists() {
        std::fs::remove_dir_all(&folder)
            .map_err(|error| Error::new(format!("{}: {error}", folder.display())))?;
    }
    std::fs::create_dir_all(&folder)
        .map_err(|error| Error::new(format!("{}: {error}", folder.display())))?;
    let mut suite = suite();
    suite.arg("--no-fail-fast");
    for runtime in workspace::integration_tests("conformance")? {
        suite.arg("--test").arg(runtime);
    }
    let ended = shell::capture(&suite, SUITE_LIMIT)?;
    let (mut is_good, mut unsteady) = (ended.ok(), Vec::new());
    let Ended { output, seconds, .. } = ended;
    let mut tally = Tally::of(&output);
    let failed = failures::of(&output);
    let is_known = u64::try_from(failed.len()) == Ok(tally.failed);
    if !is_good && is_known && again::pass(&failed, &output)? {
        (is_good, unsteady) = (true, failed);
        tally.passed += tally.failed;
        tally.failed = 0;
    }
    Ok(SuiteRun { output, tally, is_good, unsteady, seconds })
}

/// Makes the command line of the suite.
fn suite() -> Command {
    // Of the whole workspace, so that the features are those of every other test run and nothing is
    // built twice.
    let mut suite = workspace::cargo(["test", "--workspace"]);
    // With every commit the next runtime has its turn; without git always the same.
    if std::env::var_os(TURN_VARIABLE).is_none() {
        suite.env(TURN_VARIABLE, workspace::commits().unwrap_or_default().to_string());
    }
    suite.env(RESULTS_VARIABLE, results_folder());
    suite
}

/// Returns the table of the last run, how many cases ran, and what is wrong with it.
pub(crate) fn summary() -> Result<(String, String, Vec<String>)> {
    let results = read_results()?;
    let report = Report::of(&read_scenarios()?, &results);
    Ok((report.table(), results.extent(), report.problems))
}

fn results_folder() -> PathBuf {
    workspace::target().join("conformance")
}

fn read_scenarios() -> Result<Scenarios> {
    let [list, skips, deviations] = ["scenarios", "skips", "deviations"]
        .map(|name| workspace::read(&format!("conformance/data/{name}.tsv")));
    Scenarios::parse(&list?, &skips?, &deviations?)
}

fn read_results() -> Result<Results> {
    let folder = results_folder();
    let none = || Error::new("There are no results; run `cargo xtask coverage` without --no-run.");
    let mut results = Results::default();
    for file in std::fs::read_dir(&folder).map_err(|_| none())?.flatten() {
        let path = file.path();
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Error::new(format!("{}: {error}", path.display())))?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("tsv") => results.add(&text)?,
            Some("due") => results.add_due(&stem, &text)?,
            _ => {}
        }
    }
    if results.is_empty() { Err(none()) } else { Ok(results) }
}
