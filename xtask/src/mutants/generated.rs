//! `cargo xtask mutants --generated CRATE [FILE…]`: every small edit that cargo-mutants can think
//! of, and what quick tests make of it.
//!
//! Quick tests take seconds, so that thousands of edits can be tried: neither servers nor examples
//! in documents are among them. cargo-mutants works in place, in a copy of the workspace that is
//! ours, so that one run uses what another has built; the checkout itself is only read.

use super::copy::Copy;
use super::equivalents;
use super::score::{Ends, Score};
use crate::options::Options;
use crate::tools::Tool;
use crate::{ExitResult, shell, workspace};
use etcd3_lab::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// The program that makes the mutants; their names differ from version to version.
const TOOL: Tool = Tool { name: "cargo-mutants", version: "27.1.0" };
/// The file with the mutants that nothing can notice.
const EQUIVALENTS: &str = "xtask/equivalents.txt";
/// Mutants that never compile, since the types have no such functions; each would cost a build.
const NEVER_COMPILE: &str = r"Poll::(new|from_iter)\(|MutexGuard::|SendRequest::";
/// The factor by which tests may take longer than without a mutant.
const PATIENCE: &str = "3";
/// What they may take at least, in seconds: a busy machine must not pass for a test that hangs.
const LEAST_PATIENCE: &str = "60";
/// The limit of a listing, and of the question for a version.
const LIMIT: Duration = Duration::from_secs(5 * 60);
/// The optimisation of the dependencies, which are built once and run often.
const OPTIMISED: &str = r#"--config=profile.dev.package."*".opt-level=1"#;
/// The optimisation of the core, whose tests of the laws run for longer than that takes.
const CORE_OPTIMISED: &str = "--config=profile.dev.package.etcd3-core.opt-level=1";
/// The exit codes of cargo-mutants once it tried all: none missed, some, or some that hang.
const DONE: [i32; 3] = [0, 2, 3];
/// Tests of the simulator that are no quick test of the client: those of its own model, and one
/// that takes a minute without optimisation.
const NO_QUICK_TESTS: &[&str] = &["model_", "generate", "failover"];

/// A crate whose mutants are tried.
#[derive(Debug, PartialEq, Eq)]
struct Subject {
    folder: &'static str,
    package: &'static str,
    /// Another package whose tests are run, too: its folder and its name.
    tested_by: Option<(&'static str, &'static str)>,
    features: &'static str,
    /// The percentage of the mutants that has to be noticed.
    goal: usize,
}

/// The crates that can be chosen.
const SUBJECTS: [Subject; 2] = [
    Subject {
        folder: "core",
        package: "etcd3-core",
        tested_by: None,
        features: "etcd3-core/laws",
        goal: 95,
    },
    Subject {
        folder: "client",
        package: "etcd3",
        tested_by: Some(("runtime-sim", "etcd3-sim")),
        features: "etcd3/config-file,etcd3/tls,etcd3/tls-rustls,etcd3/tls-webpki-roots",
        goal: 90,
    },
];

pub(super) fn run(name: &str, options: &Options) -> ExitResult {
    let subject = Subject::of(name)?;
    let mut chosen = Vec::new();
    for file in subject.files(options.words())? {
        chosen.extend(["--file".to_owned(), file]);
    }
    if let Some(part) = options.value("--part").map(Part::of).transpose()? {
        chosen.extend(["--sharding", "round-robin", "--shard"].map(str::to_owned));
        chosen.push(part.shard());
    }
    let mut listed = equivalents::parse(&workspace::read(EQUIVALENTS)?)?;
    listed.retain(|it| subject.has(it.file()));
    let begin = Instant::now();
    let laboratory = CargoMutants::open(subject)?;
    let all = laboratory.names_of_all()?;
    let ends = laboratory.run(&chosen)?;
    let score = Score::new(&ends, &listed, &all, subject.goal);
    println!("\n{score}\n{}", shell::time(begin.elapsed().as_secs_f64()));
    if score.counted() == 0 {
        return Err(Error::new("There is no mutant to count."));
    }
    Ok(if score.is_enough() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Subject {
    fn of(name: &str) -> Result<&'static Self> {
        let found = SUBJECTS.iter().find(|it| it.folder == name || it.package == name);
        found.ok_or_else(|| Error::new(format!("--generated takes core or client, not {name:?}.")))
    }

    fn has(&self, file: &str) -> bool {
        file.strip_prefix(self.folder).is_some_and(|rest| rest.starts_with("/src/"))
    }

    /// Finds files that are named from the root or from the crate's sources.
    fn files(&self, words: &[String]) -> Result<Vec<String>> {
        let known = workspace::files()?;
        let found = words.iter().map(|word| {
            let names = [word.clone(), format!("{}/src/{word}", self.folder)];
            let file = names.into_iter().find(|name| self.has(name) && known.contains(name));
            file.ok_or_else(|| Error::new(format!("{} has no file {word:?}.", self.package)))
        });
        found.collect()
    }

    /// Returns what cargo is told to build and to run, besides the package.
    fn words_for_cargo(&self) -> Result<Vec<String>> {
        let mut words = vec!["--lib".to_owned(), format!("--features={}", self.features)];
        words.extend([OPTIMISED, CORE_OPTIMISED].map(str::to_owned));
        let mut tests = workspace::integration_tests(self.folder)?;
        if let Some((folder, package)) = self.tested_by {
            words.push(format!("--package={package}"));
            tests.extend(workspace::integration_tests(folder)?);
        }
        let quick = tests.iter().filter(|test| is_quick(test));
        words.extend(quick.map(|test| format!("--test={test}")));
        Ok(words)
    }
}

/// A copy of the workspace, and what its mutants are built from.
struct CargoMutants {
    subject: &'static Subject,
    program: PathBuf,
    copy: Copy,
    place: PathBuf,
}

impl CargoMutants {
    fn open(subject: &'static Subject) -> Result<Self> {
        let program = prepare()?;
        let place = workspace::target().join("mutants/generated").join(subject.folder);
        let copy = Copy::of(&workspace::files()?, workspace::root(), &place.join("src"))?;
        Ok(Self { subject, program, copy, place })
    }

    /// Makes a command line of cargo-mutants about the crate.
    fn mutants(&self) -> Command {
        let mut mutants = Command::new(&self.program);
        mutants.args(["mutants", "--package", self.subject.package]);
        mutants.args(["--exclude-re", NEVER_COMPILE]).current_dir(self.copy.root());
        shell::forget_outer_cargo(&mut mutants);
        mutants
    }

    /// Names all mutants of the crate, without their lines.
    fn names_of_all(&self) -> Result<Vec<String>> {
        let mut mutants = self.mutants();
        mutants.args(["--list", "--line-col", "false", "--colors", "never"]);
        let listed = shell::capture(&mutants, LIMIT)?;
        if !listed.ok() {
            return Err(Error::new(listed.output));
        }
        Ok(lines(&listed.output))
    }

    /// Tries the mutants that are chosen by these words.
    fn run(&self, chosen: &[String]) -> Result<Ends> {
        let mut mutants = self.mutants();
        mutants.args(chosen).arg("--in-place").arg("--output").arg(&self.place);
        mutants.args(["--timeout-multiplier", PATIENCE, "--minimum-test-timeout", LEAST_PATIENCE]);
        // For builds and tests alike, so that only what is run is built.
        for word in self.subject.words_for_cargo()? {
            mutants.arg(format!("--cargo-arg={word}"));
        }
        mutants.env("CARGO_PROFILE_DEV_DEBUG", "0");
        mutants.env("CARGO_TARGET_DIR", self.place.join("target"));
        let status = mutants.status();
        let status = status.map_err(|error| Error::new(format!("{}: {error}", TOOL.name)))?;
        if !status.code().is_some_and(|code| DONE.contains(&code)) {
            return Err(Error::new(format!("{} did not get to its end: {status}", TOOL.name)));
        }
        ends(&self.place.join("mutants.out"))
    }
}

fn is_quick(test: &str) -> bool {
    !NO_QUICK_TESTS.iter().any(|slow| test.starts_with(slow))
}

/// Every `of`th mutant, from the `number`th on, which is at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    number: usize,
    of: usize,
}

impl Part {
    fn of(text: &str) -> Result<Self> {
        let numbers = text.split_once('/').map(|(number, of)| (number.parse(), of.parse()));
        match numbers {
            Some((Ok(number), Ok(of))) if (1..=of).contains(&number) => Ok(Self { number, of }),
            _ => Err(Error::new(format!("--part takes something like 2/6, not {text:?}."))),
        }
    }

    /// Names the part as cargo-mutants does, which begins at 0.
    fn shard(self) -> String {
        format!("{}/{}", self.number - 1, self.of)
    }
}

/// Finds cargo-mutants, or builds it.
fn prepare() -> Result<PathBuf> {
    let here = TOOL.built();
    let names = [PathBuf::from(TOOL.name), here.clone()];
    if let Some(found) = names.into_iter().find(|program| is_right(program)) {
        return Ok(found);
    }
    let (name, version) = (TOOL.name, TOOL.version);
    println!(
        "{name} {version} is missing; it is built in {}.",
        workspace::relative(&Tool::folder())
    );
    let scratch = Tool::folder().join("build-mutants");
    let built = shell::capture(&TOOL.build(&scratch)?, 3 * LIMIT)?;
    if is_right(&here) {
        return Ok(here);
    }
    let log = etcd3_lab::command::tail(&built.output, 20);
    let install = format!("cargo install --locked --version {version} {name}");
    Err(Error::new(format!("{name} cannot be built; `{install}` has to work:\n{log}")))
}

fn is_right(program: &Path) -> bool {
    if !program.is_file() && !shell::in_path(&program.to_string_lossy()) {
        return false;
    }
    let mut asked = Command::new(program);
    let told = shell::capture(asked.args(["mutants", "--version"]), LIMIT);
    told.is_ok_and(|told| told.output.trim() == format!("{} {}", TOOL.name, TOOL.version))
}

/// Reads what became of the mutants.
fn ends(folder: &Path) -> Result<Ends> {
    let read = |file: &str| {
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Error::new(format!("{}: {error}", path.display())))?;
        Ok::<_, Error>(lines(&text))
    };
    Ok(Ends {
        caught: read("caught.txt")?,
        timed_out: read("timeout.txt")?,
        missed: read("missed.txt")?,
        unviable: read("unviable.txt")?,
    })
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Whether a mutant is still made only cargo-mutants tells, but its function has to be there.
    #[test]
    fn every_equivalent_is_about_code_that_exists() {
        let listed = equivalents::parse(&workspace::read(EQUIVALENTS).unwrap()).unwrap();
        for entry in listed {
            assert!(SUBJECTS.iter().any(|it| it.has(entry.file())), "{}", entry.mutant);
            let text = workspace::read(entry.file()).unwrap();
            let (_, change) = entry.mutant.split_once(": ").unwrap();
            let change = change.split(" with ").next().unwrap_or(change);
            let place = entry.mutant.rsplit_once(" in ").map_or(change, |(_, place)| place);
            let place = place.split(" -> ").next().unwrap_or(place);
            let function = place.rsplit("::").next().unwrap_or(place).trim();
            assert!(text.contains(function), "{function}: {}", entry.mutant);
        }
    }

    #[test]
    fn crates_files_and_parts_are_understood_or_refused() {
        let core = Subject::of("etcd3-core").unwrap();
        assert_eq!(core, Subject::of("core").unwrap());
        let files = ["core/src/rng.rs", "call/mod.rs"].map(str::to_owned);
        assert_eq!(core.files(&files).unwrap(), ["core/src/rng.rs", "core/src/call/mod.rs"]);
        assert!(core.files(&["client/src/lib.rs".to_owned()]).is_err());
        assert!(Subject::of("proto").is_err());
        assert_eq!(Part::of("2/6").unwrap().shard(), "1/6");
        for wrong in ["0/6", "7/6", "1", "a/b", "1/0", "/"] {
            assert!(Part::of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn quick_tests_of_the_client_are_those_of_the_simulator_that_use_it() {
        assert!(is_quick("silence") && is_quick("worlds") && !is_quick("model_txn"));
    }
}
