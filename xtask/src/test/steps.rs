//! The steps of `cargo xtask test`, the cheap ones first.

use super::deny::Deny;
use super::share::Share;
use super::{examples, followed, hygiene, method_docs, packages, size, tree};
use crate::coverage;
use crate::passed::Passed;
use crate::shell::STEP_LIMIT;
use crate::tally::Tally;
use crate::{api, cost, etcd, goaway, model, mutants, runs, shell, sim, workspace};
use etcd3_lab::{Error, Result, command};
use std::process::Command;

/// How many lines of a long run are shown when all is well.
const FIGURES: usize = 24;

/// What makes rustdoc and rustc strict.
const STRICT: &str = "-D warnings";

/// The step that builds what others run.
const BUILD: &str = "build";

/// The step that looks at the dependencies, whose tool may have to be built first.
pub(super) const DEPENDENCIES: &str = "dependencies";

/// One thing that has to hold.
pub(super) struct Step {
    pub(super) name: &'static str,
    /// The step that has to run before, if it is not only a matter of order.
    pub(super) after: Option<&'static str>,
    /// The part of the time that it counts towards; what takes seconds counts towards none.
    pub(super) share: Option<Share>,
    pub(super) run: fn(&mut State) -> Result<Passed>,
}

/// What steps leave for others and for the summary.
#[derive(Default)]
pub(super) struct State {
    pub(super) deny: Option<Deny>,
    /// How much the conformance suite ran.
    pub(super) extent: Option<String>,
}

const fn step(name: &'static str, run: fn(&mut State) -> Result<Passed>) -> Step {
    Step { name, after: None, share: None, run }
}

impl Step {
    const fn after(mut self, other: &'static str) -> Self {
        self.after = Some(other);
        self
    }

    const fn within(mut self, share: Share) -> Self {
        self.share = Some(share);
        self
    }
}

pub(super) const ALL: &[Step] = &[
    step("format", |_| format()),
    step("hygiene", |_| hygiene::check_files()),
    step("size of the adapters", |_| size::check_adapters()),
    step("README example", |_| examples::readme_is_the_same()),
    step("examples of methods", |_| method_docs::check()),
    step("core purity", |_| tree::core()),
    step("crates of a program", |_| tree::program()),
    step("etcd versions", |_| etcd::demand_versions()).within(Share::Packages),
    step("clippy", |_| clippy()).within(Share::Compiling),
    step(BUILD, |_| build()).within(Share::Compiling),
    step("generated code", |_| generated_code()).after(BUILD),
    step("documentation", |_| documentation()).within(Share::Compiling),
    step("api", |_| api::check_lists()).within(Share::Compiling),
    step("unit tests", |_| unit_tests()).within(Share::Compiling),
    step("documentation tests", |_| documentation_tests()).within(Share::Compiling),
    step("examples", |_| examples::run()).after(BUILD),
    step("packages", |_| packages::check_packages()).within(Share::Packages),
    step("README followed", |_| followed::follow_readme()).within(Share::Packages),
    step("planted bugs", |_| mutants::try_areas()),
    step("conformance", conformance).within(Share::Conformance),
    step("coverage", |_| covered()),
    step("model against etcd", |_| model_against_etcd()).within(Share::Tortures),
    // Programs of the same crate, which is built for a release only once.
    step("failover", |_| figures(&runs::short_failover())).within(Share::Tortures),
    step("upgrade", |_| figures(&runs::short_upgrade())).within(Share::Tortures),
    step("membership", |_| figures(&runs::short_membership())).within(Share::Tortures),
    step("watch torture", |_| figures(&runs::short_watch_torture())).within(Share::Tortures),
    step("lease torture", |_| figures(&runs::short_lease_torture())).within(Share::Tortures),
    step("bank", |_| figures(&runs::short_bank())).within(Share::Tortures),
    step("interop", |_| figures(&runs::short_interop())).within(Share::Tortures),
    step("recipes torture", |_| figures(&runs::short_recipes_torture())).within(Share::Tortures),
    step("soak", |_| figures(&runs::short_soak())).within(Share::Tortures),
    step("cancelled calls", |_| figures(&runs::short_cancel())).within(Share::Tortures),
    step("worlds", |_| worlds()).within(Share::Tortures),
    step("fuzz corpus", |_| tests(&fuzz_cargo("test"))).within(Share::Compiling),
    step("bench", |_| tests(&crate::bench::programs::cargo("test"))).within(Share::Compiling),
    step("cost of a call", |_| Ok(Passed::saying(cost::check_figures(&cost::measure()?)?)))
        .within(Share::Compiling),
    // After all cases with peer proxies, since nginx leaves thousands of sockets in TIME_WAIT.
    step("orderly ends", |_| figures(&goaway::short())).within(Share::Tortures),
    step(DEPENDENCIES, dependencies).within(Share::Packages),
];

/// Chooses the steps with these names and those that they need, in the order of all; without names,
/// all of them.
pub(super) fn chosen(names: &[&str]) -> Result<Vec<&'static Step>> {
    let find = |name: &str| ALL.iter().find(|step| step.name == name);
    if let Some(unknown) = names.iter().find(|name| find(name).is_none()) {
        let known: Vec<&str> = ALL.iter().map(|step| step.name).collect();
        let known = known.join("\n  ");
        return Err(Error::new(format!("There is no step {unknown:?}. The steps are:\n  {known}")));
    }
    let needed: Vec<&str> = names.iter().filter_map(|name| find(name)?.after).collect();
    let is_chosen = |step: &&Step| {
        names.is_empty() || names.contains(&step.name) || needed.contains(&step.name)
    };
    Ok(ALL.iter().filter(is_chosen).collect())
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
    let client = ["clippy", "--locked", "-p", "etcd3"];
    quiet(workspace::cargo(client).args(strict))?;
    quiet(workspace::cargo(client).arg("--all-features").args(strict))?;
    quiet(fuzz_cargo("clippy").args(strict))?;
    quiet(crate::bench::programs::cargo("clippy").args(strict))
}

fn build() -> Result<Passed> {
    // All at once, so that every later step finds what it needs with the same features.
    quiet(&workspace::cargo(["build", "--locked", "--workspace", "--all-targets"]))
}

fn generated_code() -> Result<Passed> {
    let codegen = workspace::target().join("debug/etcd3-proto-codegen");
    quiet(Command::new(codegen).arg("--check").current_dir(workspace::root()))
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

fn documentation_tests() -> Result<Passed> {
    let words = ["test", "--locked", "--workspace", "--doc", "--no-fail-fast"];
    tests(&workspace::cargo(words))
}

fn conformance(state: &mut State) -> Result<Passed> {
    let suite = coverage::run_suite()?;
    state.extent = coverage::summary().ok().map(|(_, extent, _)| extent);
    if !suite.is_good {
        return Ok(Passed::broken(suite.output, suite.tally));
    }
    let alarms = suite.unsteady.iter().map(|it| format!("UNSTEADY {it}")).collect();
    Ok(Passed { alarms, ..counted(suite.tally)? })
}

/// Runs simulated worlds, and shows what came of them.
fn worlds() -> Result<Passed> {
    let contenders = sim::contenders(&["--seeds", sim::SOME_CONTENDERS]);
    let mut output = String::new();
    for worlds in [sim::worlds(&["--seeds", sim::SEEDS]), contenders] {
        let ended = shell::capture(&worlds, STEP_LIMIT)?;
        output += &ended.output;
        if !ended.ok() {
            return Err(Error::new(output));
        }
    }
    Ok(Passed::saying(output))
}

/// Runs a program that fails when a limit did not hold, and shows the end of its figures.
fn figures(command: &Command) -> Result<Passed> {
    let ended = shell::capture(command, STEP_LIMIT)?;
    if !ended.ok() {
        return Err(Error::new(ended.output));
    }
    Ok(Passed::saying(command::tail(&ended.output, FIGURES)))
}

/// Compares the model etcd with real ones, and shows how much they agreed on.
fn model_against_etcd() -> Result<Passed> {
    let ended = shell::capture(&model::short(), STEP_LIMIT)?;
    if !ended.ok() {
        return Err(Error::new(ended.output));
    }
    let agreed: Vec<_> = ended.output.lines().filter(|line| line.starts_with("etcd ")).collect();
    if agreed.is_empty() {
        return Err(Error::new("The model was compared with nothing."));
    }
    Ok(Passed::saying(agreed.join("\n")))
}

fn dependencies(state: &mut State) -> Result<Passed> {
    let deny = state.deny.take().map_or_else(Deny::prepare, Ok)?;
    deny.check_dependencies()
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
    let ended = shell::capture(command, STEP_LIMIT)?;
    if ended.ok() { Ok(Passed::default()) } else { Err(Error::new(ended.output)) }
}

/// Runs a program that prints test results.
fn tests(command: &Command) -> Result<Passed> {
    let ended = shell::capture(command, STEP_LIMIT)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn names(chosen: &[&Step]) -> Vec<&'static str> {
        chosen.iter().map(|step| step.name).collect()
    }

    #[test]
    fn steps_are_chosen_by_name_with_what_they_need_and_keep_their_order() {
        assert_eq!(chosen(&[]).unwrap().len(), ALL.len());
        let some = chosen(&["examples", "format", "worlds"]).unwrap();
        assert_eq!(names(&some), ["format", BUILD, "examples", "worlds"]);
    }

    #[test]
    fn an_unknown_name_is_answered_with_all_names() {
        let error = chosen(&["format", "clipy"]).err().unwrap().to_string();
        assert!(error.contains("\"clipy\"") && error.contains("\n  clippy\n"), "{error}");
        for step in ALL {
            assert!(error.contains(step.name), "{error}");
        }
    }

    #[test]
    fn names_differ_have_no_comma_and_come_after_what_they_need() {
        for (place, step) in ALL.iter().enumerate() {
            let before = &ALL[..place];
            assert!(!step.name.contains(','), "{}", step.name);
            assert!(before.iter().all(|other| other.name != step.name), "{} twice", step.name);
            let needs = step.after;
            assert!(needs.is_none_or(|needs| before.iter().any(|other| other.name == needs)));
        }
    }
}
