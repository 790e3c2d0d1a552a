//! `cargo xtask sim`: many simulated worlds, or one of them again, drawn.

use crate::options::Options;
use crate::{ExitResult, mutants, shell, workspace};
use etcd3_lab::{Error, Result};
use std::process::Command;

/// The number of worlds without `--seeds`.
pub(crate) const SEEDS: &str = "1000";

/// The number of worlds with contenders without `--seeds`, and of those of each run of all tests.
const CONTENDERS: &str = "10000";
pub(crate) const SOME_CONTENDERS: &str = "200";

/// The folder of the drawings, in that of the build.
const DRAWINGS: &str = "sim";

/// The beginning of the names of mutants that worlds have to find.
const MUTANTS: &str = "sim-";

pub(crate) fn run(options: &Options) -> ExitResult {
    if options.has("--mutants") {
        return mutants::try_all(|name| name.starts_with(MUTANTS));
    }
    shell::show(worlds(&words(options)?))
}

/// Returns the words for the program that runs the worlds.
fn words(options: &Options) -> Result<Vec<&str>> {
    let mut words = Vec::new();
    for name in ["--seeds", "--from", "--seed"] {
        let Some(value) = options.value(name) else { continue };
        if value.parse::<u64>().is_err() {
            return Err(Error::new(format!("{name} takes a whole number.")));
        }
        words.extend([name, value]);
    }
    if options.has("--draw") {
        if !words.contains(&"--seed") {
            return Err(Error::new("--draw needs the --seed of one world."));
        }
        words.push("--draw");
    }
    if !words.iter().any(|word| ["--seed", "--seeds"].contains(word)) {
        words.extend(["--seeds", SEEDS]);
    }
    Ok(words)
}

/// Makes the command that runs the worlds, and draws those that fail.
pub(crate) fn worlds(words: &[&str]) -> Command {
    let mut cargo = workspace::cargo(["run", "--quiet", "--release", "-p", "etcd3-sim"]);
    cargo.args(["--example", "worlds", "--"]).args(words);
    cargo.arg("--drawings").arg(workspace::target().join(DRAWINGS));
    cargo
}

/// Makes the command that runs worlds with contenders.
pub(crate) fn contenders(words: &[&str]) -> Command {
    let mut cargo = workspace::cargo(["run", "--quiet", "--release", "-p", "etcd3-sim"]);
    cargo.args(["--example", "contenders", "--"]).args(words);
    cargo
}

/// Runs worlds in which clients contend for locks, elections and queues.
pub(crate) fn run_contenders(options: &Options) -> ExitResult {
    let mut words = words(options)?;
    if let Some(at) = words.iter().position(|word| *word == SEEDS) {
        words[at] = options.value("--seeds").unwrap_or(CONTENDERS);
    }
    shell::show(contenders(&words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Words;

    #[test]
    fn one_world_is_drawn_and_a_batch_is_not() {
        let run = |line: &str| {
            let line: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            let valued = ["--seeds", "--from", "--seed"];
            let options = Options::parse(&line, &valued, &["--draw"], Words::Nothing).unwrap();
            words(&options).map(|words| words.join(" ")).map_err(|error| error.to_string())
        };
        assert_eq!(run("--seed 7 --draw").unwrap(), "--seed 7 --draw");
        assert_eq!(run("").unwrap(), "--seeds 1000");
        assert_eq!(run("--from 5").unwrap(), "--from 5 --seeds 1000");
        assert!(run("--draw").unwrap_err().contains("--seed"));
        assert!(run("--seeds 5 --draw").unwrap_err().contains("--seed"));
        assert!(run("--seed x").unwrap_err().contains("whole number"));
    }
}
