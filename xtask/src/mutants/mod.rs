//! `cargo xtask mutants`: breaks the code on purpose, one edit at a time, and sees a test fail.
//!
//! The work happens on a copy of the workspace below the target directory. With `--generated` the
//! edits are those of cargo-mutants.

mod copy;
mod equivalents;
mod generated;
mod list;
mod score;

use crate::options::Options;
use crate::tally::Tally;
use crate::test::Passed;
use crate::{ExitResult, shell, workspace};
use copy::Copy;
use etcd3_lab::{Error, Result};
use list::Mutant;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// Names the file with all mutants.
const LIST: &str = "xtask/mutants.txt";
/// Bounds a build and a run of the named tests; a mutant that hangs is killed by that.
const LIMIT: Duration = Duration::from_secs(10 * 60);

/// The end of a mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
enum MutantStatus {
    /// A test failed, as it has to.
    Killed,
    /// All tests passed.
    Survived,
    /// It could not be tried.
    Invalid(String),
}

pub(crate) fn run(options: &Options) -> ExitResult {
    let only = options.value("--only");
    match options.value("--generated") {
        Some(_) if only.is_some() => {
            return Err(Error::new("--only is for the mutants of the list, not for --generated."));
        }
        Some(subject) => return generated::run(subject, options),
        None if !options.words().is_empty() || options.value("--part").is_some() => {
            return Err(Error::new("Files and --part need --generated."));
        }
        None => {}
    }
    try_all(|name| only.is_none_or(|only| only.split(',').any(|only| name == only)))
}

/// Tries the mutants with these names.
pub(crate) fn try_all(is_chosen: impl Fn(&str) -> bool) -> ExitResult {
    let all = list::parse(&workspace::read(LIST)?)?;
    let chosen: Vec<&Mutant> = all.iter().filter(|mutant| is_chosen(&mutant.name)).collect();
    if chosen.is_empty() {
        return Err(Error::new(format!("There is no such mutant, of {} in {LIST}.", all.len())));
    }
    let lab = MutatedCopy::open(|line| println!("{line}"))?;
    let commands: BTreeSet<&str> = chosen.iter().map(|mutant| mutant.test.as_str()).collect();
    for test in &commands {
        lab.demand_pass(test)?;
    }
    let killed = lab.count_killed(&chosen)?;
    let bad = chosen.len() - killed;
    println!("{} mutants, {killed} killed, {bad} not", chosen.len());
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tries the mutants that stand for their areas. Their tests need few crates, so that the copy of
/// the workspace is built quickly.
pub(crate) fn try_areas() -> Result<Passed> {
    let all = list::parse(&workspace::read(LIST)?)?;
    let chosen: Vec<&Mutant> = all.iter().filter(|mutant| !mutant.area.is_empty()).collect();
    let said = RefCell::new(String::new());
    let tell = |line: &str| said.borrow_mut().extend([line, "\n"]);
    let lab = MutatedCopy::open(tell)?;
    let begin = Instant::now();
    let targets: BTreeSet<Vec<&str>> = chosen.iter().map(|it| list::target(&it.test)).collect();
    for target in &targets {
        lab.demand_pass(&target.join(" "))?;
    }
    tell(&format!("built and run unbroken in {}", shell::time(begin.elapsed().as_secs_f64())));
    let begin = Instant::now();
    let killed = lab.count_killed(&chosen)?;
    let seconds = shell::time(begin.elapsed().as_secs_f64());
    tell(&format!("{} planted bugs, {killed} noticed, {seconds}", chosen.len()));
    drop(lab);
    let said = said.into_inner();
    if killed == chosen.len() { Ok(Passed::saying(said)) } else { Err(Error::new(said)) }
}

/// A copy of the workspace together with its build.
struct MutatedCopy<T> {
    copy: Copy,
    target: PathBuf,
    tell: T,
}

impl<T: Fn(&str)> MutatedCopy<T> {
    fn open(tell: T) -> Result<Self> {
        let place = workspace::target().join("mutants");
        let copy = Copy::of(&workspace::files()?, workspace::root(), &place.join("src"))?;
        Ok(Self { copy, target: place.join("target"), tell })
    }

    /// Runs a test without any mutant.
    fn demand_pass(&self, test: &str) -> Result<()> {
        (self.tell)(&format!("==> unbroken: cargo test {test}"));
        let ended = shell::capture(&self.cargo_test(test, false), LIMIT)?;
        let tally = Tally::of(&ended.output);
        if !ended.ok() || tally.passed == 0 {
            (self.tell)(ended.output.trim_end());
            let problem = if ended.ok() { "matches no test" } else { "fails without a mutant" };
            return Err(Error::new(format!("`cargo test {test}` {problem}.")));
        }
        (self.tell)(&format!("    {tally}, {}", shell::time(ended.seconds)));
        Ok(())
    }

    /// Tries each mutant, tells how it ends, and returns how many were killed.
    fn count_killed(&self, mutants: &[&Mutant]) -> Result<usize> {
        let mut killed = 0;
        for mutant in mutants {
            (self.tell)(&format!("==> {}: {}", mutant.name, mutant.breaks));
            let begin = Instant::now();
            let fate = self.try_out(mutant)?;
            let seconds = shell::time(begin.elapsed().as_secs_f64());
            (self.tell)(&match &fate {
                MutantStatus::Killed => format!("    killed, {seconds}"),
                MutantStatus::Survived => format!("    SURVIVED {}, {seconds}", mutant.test),
                MutantStatus::Invalid(why) => format!("    INVALID, {seconds}: {why}"),
            });
            killed += usize::from(fate == MutantStatus::Killed);
        }
        Ok(killed)
    }

    fn try_out(&self, mutant: &Mutant) -> Result<MutantStatus> {
        let broken = match self.copy.edit(&mutant.file, &mutant.search, &mutant.replace) {
            Ok(broken) => broken,
            Err(why) => return Ok(MutantStatus::Invalid(why.to_string())),
        };
        let fate = self.fate_of(&mutant.test);
        broken.restore()?;
        fate
    }

    fn fate_of(&self, test: &str) -> Result<MutantStatus> {
        let built = shell::capture(&self.cargo_test(test, true), LIMIT)?;
        if !built.ok() {
            let errors = built.output.lines().filter(|line| line.starts_with("error"));
            let errors: Vec<&str> = errors.take(3).collect();
            return Ok(MutantStatus::Invalid(format!(
                "it does not compile: {}",
                errors.join("; ")
            )));
        }
        // The build is done, so what does not end now is a test that hangs.
        let Ok(ended) = shell::capture(&self.cargo_test(test, false), LIMIT) else {
            return Ok(MutantStatus::Killed);
        };
        // A test that is not there any more notices nothing, and says so by its success.
        Ok(if ended.ok() { MutantStatus::Survived } else { MutantStatus::Killed })
    }

    fn cargo_test(&self, test: &str, only_build: bool) -> Command {
        let (before, after) = list::split_command(test);
        let build = only_build.then_some("--no-run");
        let words = ["test"].into_iter().chain(build).chain(before);
        let mut cargo = workspace::cargo(words.chain(if only_build { vec![] } else { after }));
        cargo.current_dir(self.copy.root()).env("CARGO_TARGET_DIR", &self.target);
        // The servers are the same for the copy.
        let etcd = workspace::target().join("etcd");
        cargo.env(etcd3_lab::etcd::CACHE_VARIABLE, etcd);
        cargo
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A mutant that no longer fits its file would be found out only when somebody runs it.
    #[test]
    fn every_mutant_fits_its_file_once() {
        let read = |path: &str| std::fs::read_to_string(workspace::root().join(path));
        let mutants = list::parse(&read(LIST).expect("the list")).expect("a list of mutants");
        assert!(mutants.len() > 40);
        for mutant in mutants {
            let text = read(&mutant.file).expect("the file of a mutant");
            let found = text.matches(&mutant.search).count();
            assert_eq!(found, 1, "{} in {}", mutant.name, mutant.file);
        }
    }

    #[test]
    fn one_mutant_stands_for_an_area_and_its_test_needs_few_crates() {
        let text = std::fs::read_to_string(workspace::root().join(LIST)).expect("the list");
        let mutants = list::parse(&text).expect("a list of mutants");
        let mut areas = BTreeSet::new();
        for mutant in mutants.iter().filter(|mutant| !mutant.area.is_empty()) {
            assert!(areas.insert(&mutant.area), "{} twice", mutant.area);
            let target = list::target(&mutant.test);
            let is_quick = matches!(target[..], ["-p", "etcd3-core" | "etcd3", "--lib"])
                || matches!(target[..], ["-p", "etcd3-core" | "etcd3", "--test", _]);
            assert!(is_quick, "{}: {}", mutant.name, mutant.test);
        }
        assert!(areas.len() >= 15, "{areas:?}");
    }
}
