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
use crate::shell::Ended;
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
        if let Some(problem) = problem_unbroken(&ended) {
            (self.tell)(ended.output.trim_end());
            return Err(Error::new(format!("`cargo test {test}` {problem}.")));
        }
        let tally = Tally::of(&ended.output);
        (self.tell)(&format!("    {tally}, {}", shell::time(ended.seconds)));
        Ok(())
    }

    /// Tries each mutant, tells how it ends, and returns how many were killed.
    fn count_killed(&self, mutants: &[&Mutant]) -> Result<usize> {
        let mut killed = 0;
        for mutant in mutants {
            (self.tell)(&format!("==> {}: {}", mutant.name, mutant.breaks));
            let begin = Instant::now();
            let status = self.try_out(mutant)?;
            let seconds = shell::time(begin.elapsed().as_secs_f64());
            (self.tell)(&match &status {
                MutantStatus::Killed => format!("    killed, {seconds}"),
                MutantStatus::Survived => format!("    SURVIVED {}, {seconds}", mutant.test),
                MutantStatus::Invalid(why) => format!("    INVALID, {seconds}: {why}"),
            });
            killed += usize::from(status == MutantStatus::Killed);
        }
        Ok(killed)
    }

    fn try_out(&self, mutant: &Mutant) -> Result<MutantStatus> {
        let broken = match self.copy.edit(&mutant.file, &mutant.search, &mutant.replace) {
            Ok(broken) => broken,
            Err(why) => return Ok(MutantStatus::Invalid(why.to_string())),
        };
        let status = self.status_of(&mutant.test);
        broken.restore()?;
        status
    }

    fn status_of(&self, test: &str) -> Result<MutantStatus> {
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
        Ok(status_of(test, &ended))
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

/// Returns what is wrong with a test, by its run without a mutant.
fn problem_unbroken(ended: &Ended) -> Option<&'static str> {
    match (ended.ok(), Tally::of(&ended.output).passed) {
        (true, 0) => Some("matches no test"),
        (true, _) => None,
        (false, _) => Some("fails without a mutant"),
    }
}

/// Returns the end of a mutant, by the run of its test.
fn status_of(test: &str, ended: &Ended) -> MutantStatus {
    match (ended.ok(), Tally::of(&ended.output).passed) {
        (true, 0) => MutantStatus::Invalid(format!("`cargo test {test}` matches no test")),
        (true, _) => MutantStatus::Survived,
        (false, _) => MutantStatus::Killed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i32, result: &str) -> Ended {
        let output = format!("running some tests\n{result}\n");
        Ended { code, output, seconds: 1.0 }
    }

    // A filter that a renamed test has left behind would prove nothing for ever.
    #[test]
    fn a_mutant_whose_test_is_not_there_is_invalid_and_named() {
        let nothing = "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out";
        let passed = "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out";
        let failed = "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured";
        let test = "-p a --lib gone";
        let MutantStatus::Invalid(why) = status_of(test, &ended(0, nothing)) else {
            panic!("a test that is not there can tell nothing");
        };
        assert!(why.contains(test), "{why}");
        assert_eq!(status_of(test, &ended(0, passed)), MutantStatus::Survived);
        assert_eq!(status_of(test, &ended(101, failed)), MutantStatus::Killed);
        // One that ends its process prints no result.
        assert_eq!(status_of(test, &ended(134, "")), MutantStatus::Killed);
        assert_eq!(problem_unbroken(&ended(0, nothing)), Some("matches no test"));
        assert_eq!(problem_unbroken(&ended(0, passed)), None);
        assert_eq!(problem_unbroken(&ended(101, failed)), Some("fails without a mutant"));
    }

    // The name of a test is part of the name of a function or of a module.
    #[test]
    fn every_filter_names_tests_that_are_there() {
        let files = workspace::files().expect("the files of the workspace");
        let sources = files.iter().filter(|file| workspace::is_source(file));
        let sources: Vec<String> = sources.map(|file| workspace::read(file).unwrap()).collect();
        let names: BTreeSet<&str> = sources
            .iter()
            .flat_map(|text| text.split_whitespace().zip(text.split_whitespace().skip(1)))
            .filter(|(word, _)| matches!(*word, "fn" | "mod"))
            .filter_map(|(_, name)| name.split(|c: char| !c.is_alphanumeric() && c != '_').next())
            .collect();
        let mutants = list::parse(&workspace::read(LIST).expect("the list")).expect("mutants");
        for mutant in &mutants {
            for part in list::filters(&mutant.test).flat_map(|filter| filter.split("::")) {
                let is_there = names.iter().any(|name| name.contains(part));
                assert!(is_there, "{}: there is no test {part} of `{}`", mutant.name, mutant.test);
            }
        }
    }

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
