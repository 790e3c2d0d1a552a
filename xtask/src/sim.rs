//! `cargo xtask sim`: many simulated worlds, or one of them again.

use crate::options::Options;
use crate::{ExitResult, mutants, shell, workspace};
use etcd3_lab::Error;
use std::process::Command;

/// The number of worlds without `--seeds`.
pub(crate) const SEEDS: &str = "1000";

/// The beginning of the names of mutants that worlds have to find.
const MUTANTS: &str = "sim-";

pub(crate) fn run(options: &Options) -> ExitResult {
    if options.has("--mutants") {
        return mutants::try_all(|name| name.starts_with(MUTANTS));
    }
    let mut words = Vec::new();
    for name in ["--seeds", "--from", "--seed"] {
        let Some(value) = options.value(name) else { continue };
        if value.parse::<u64>().is_err() {
            return Err(Error::new(format!("{name} takes a whole number.")));
        }
        words.extend([name, value]);
    }
    if !words.iter().any(|word| ["--seed", "--seeds"].contains(word)) {
        words.extend(["--seeds", SEEDS]);
    }
    shell::show(worlds(&words))
}

/// Makes the command that runs the worlds.
pub(crate) fn worlds(words: &[&str]) -> Command {
    let mut cargo = workspace::cargo(["run", "--quiet", "--release", "-p", "etcd3-sim"]);
    cargo.args(["--example", "worlds", "--"]).args(words);
    cargo
}
