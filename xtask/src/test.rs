//! `cargo xtask test`: everything that has to hold.
//!
//! Each step ends at its first failure; the steps after it run all the same, so that one run tells
//! all that is wrong.

mod deny;
mod examples;
mod hygiene;
mod report;
mod size;
mod tree;

use crate::coverage;
use crate::options::Options;
use crate::tally::Tally;
use crate::{Outcome, cost, goaway, model, runs, shell, sim, workspace};
use deny::Deny;
use etcd3_lab::{Error, Result, command, etcd};
use report::{Passed, Report};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// Bounds a step that runs cargo.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Is how many lines of a long run are shown when all is well.
const FIGURES: usize = 24;

/// Is what makes rustdoc and rustc strict.
const STRICT: &str = "-D warnings";

pub(crate) fn run(_options: &Options) -> Outcome {
    let mut report = Report::default();
    let deny = Deny::prepare()?;
    if deny.is_building() {
        println!("cargo-deny is not here and is being built meanwhile, at low priority");
    }
    let mut extent = None;
    check_sources(&mut report);
    run_tests(&mut report, &mut extent);
    report.step("hygiene", hygiene::check);
    report.step("dependencies", || deny.check());
    report.step("coverage", covered);
    for missing in &etcd::fetch().missing {
        report.alarm(missing.to_string());
    }
    println!("\n{}", report.times());
    if let Some(extent) = extent {
        println!("{extent}");
    }
    for alarm in report.alarms() {
        println!("!!! {alarm}");
    }
    println!("{}", report.tally());
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks what needs no test to run.
fn check_sources(report: &mut Report) {
    report.step("format", format);
    report.step("clippy", clippy);
    report.step("build", || {
        // All at once, so that every later step finds what it needs with the same features.
        quiet(&workspace::cargo(["build", "--locked", "--workspace", "--all-targets"]))
    });
    report.step("generated code", || {
        let codegen = workspace::target().join("debug/etcd3-proto-codegen");
        quiet(Command::new(codegen).arg("--check").current_dir(workspace::root()))
    });
    report.step("core purity", tree::core);
    report.step("crates of a program", tree::program);
    report.step("size of the adapters", size::check);
    report.step("documentation", documentation);
}

/// Runs all tests and examples; `extent` tells how much the conformance suite ran.
fn run_tests(report: &mut Report, extent: &mut Option<String>) {
    report.step("unit tests", unit_tests);
    report.step("documentation tests", || {
        let words = ["test", "--locked", "--workspace", "--doc", "--no-fail-fast"];
        tests(&workspace::cargo(words))
    });
    report.step("examples", examples::run);
    report.step("README example", examples::readme_is_the_same);
    report.step("conformance", || conformance(extent));
    report.step("model against etcd", model_against_etcd);
    // Programs of the same crate, which is built for a release only once.
    report.step("failover", || figures(&runs::short_failover()));
    report.step("soak", || figures(&runs::short_soak()));
    report.step("cancelled calls", || figures(&runs::short_cancel()));
    report.step("worlds", worlds);
    report.step("fuzz corpus", || tests(&fuzz_cargo("test")));
    report.step("bench", || tests(&crate::bench::programs::cargo("test")));
    report.step("cost of a call", || Ok(Passed::saying(cost::check(&cost::measure()?)?)));
    // Last, since nginx leaves tens of thousands of sockets in TIME_WAIT.
    report.step("orderly ends", || figures(&goaway::short()?));
}

fn format() -> Result<Passed> {
    quiet(&workspace::cargo(["fmt", "--all", "--check"]))?;
    quiet(&workspace::cargo(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))?;
    quiet(&workspace::cargo(["fmt", "--all", "--manifest-path", "bench/Cargo.toml", "--check"]))
}

fn clippy() -> Result<Passed> {
    let strict = ["--all-targets", "--", "-D", "warnings"];
    quiet(workspace::cargo(["clippy", "--locked", "--workspace"]).args(strict))?;
    // The suite takes some of the features, and a program may take none or all.
    let client = ["clippy", "--locked", "-p", "etcd3-client"];
    quiet(workspace::cargo(client).args(strict))?;
    quiet(workspace::cargo(client).arg("--all-features").args(strict))?;
    quiet(fuzz_cargo("clippy").args(strict))?;
    quiet(crate::bench::programs::cargo("clippy").args(strict))
}

fn documentation() -> Result<Passed> {
    let mut doc = workspace::cargo(["doc", "--locked", "--workspace", "--no-deps"]);
    quiet(doc.env("RUSTDOCFLAGS", STRICT))
}

/// Runs all tests but those of the conformance suite, which has a step of its own.
fn unit_tests() -> Result<Passed> {
    let mut cargo = workspace::cargo(["test", "--locked", "--workspace", "--no-fail-fast"]);
    cargo.args(["--lib", "--bins"]);
    for (folder, name) in workspace::all_integration_tests()? {
        if folder != "conformance" {
            cargo.arg("--test").arg(name);
        }
    }
    tests(&cargo)
}

fn conformance(extent: &mut Option<String>) -> Result<Passed> {
    let ended = coverage::run_suite()?;
    let tally = Tally::of(&ended.output);
    *extent = coverage::summary().ok().map(|(_, extent, _)| extent);
    if ended.ok() { counted(tally) } else { Ok(Passed::broken(ended.output, tally)) }
}

/// Runs simulated worlds, and shows what came of them.
fn worlds() -> Result<Passed> {
    let ended = shell::capture(&sim::worlds(&["--seeds", sim::SEEDS]), LIMIT)?;
    if ended.ok() { Ok(Passed::saying(ended.output)) } else { Err(Error::new(ended.output)) }
}

/// Runs a program that fails when a limit did not hold, and shows the end of its figures.
fn figures(command: &Command) -> Result<Passed> {
    let ended = shell::capture(command, LIMIT)?;
    if !ended.ok() {
        return Err(Error::new(ended.output));
    }
    Ok(Passed::saying(command::tail(&ended.output, FIGURES)))
}

/// Compares the model etcd with real ones, and shows how much they agreed on.
fn model_against_etcd() -> Result<Passed> {
    let ended = shell::capture(&model::short(), LIMIT)?;
    if !ended.ok() {
        return Err(Error::new(ended.output));
    }
    let agreed: Vec<_> = ended.output.lines().filter(|line| line.starts_with("etcd ")).collect();
    if agreed.is_empty() {
        return Err(Error::new("The model was compared with nothing."));
    }
    Ok(Passed::saying(agreed.join("\n")))
}

fn covered() -> Result<Passed> {
    let (table, _, problems) = coverage::summary()?;
    if problems.is_empty() {
        return Ok(Passed::saying(table));
    }
    Err(Error::new(format!("{table}\n{}", problems.join("\n"))))
}

/// Makes a cargo command line for the fuzz workspace that shares what is built already.
fn fuzz_cargo(verb: &str) -> Command {
    let mut cargo = workspace::cargo([verb, "--manifest-path", "fuzz/Cargo.toml"]);
    cargo.arg("--target-dir").arg(workspace::target());
    cargo
}

/// Runs a program of which only a failure is of interest.
fn quiet(command: &Command) -> Result<Passed> {
    let ended = shell::capture(command, LIMIT)?;
    if ended.ok() { Ok(Passed::default()) } else { Err(Error::new(ended.output)) }
}

/// Runs a program that prints test results.
fn tests(command: &Command) -> Result<Passed> {
    let ended = shell::capture(command, LIMIT)?;
    let tally = Tally::of(&ended.output);
    if ended.ok() { counted(tally) } else { Ok(Passed::broken(ended.output, tally)) }
}

/// Takes tests that passed, of which there has to be one.
fn counted(tally: Tally) -> Result<Passed> {
    if tally.ran() == 0 {
        return Err(Error::new("No test ran."));
    }
    Ok(Passed::counting(tally))
}
