//! `cargo xtask model`: the model etcd of the simulator against real ones.

use crate::options::Options;
use crate::{ExitResult, shell, workspace};
use std::process::Command;

/// What `cargo xtask test` compares for each version: enough to notice a change of the model.
const SHORT: &str = "8000";

pub(crate) fn run(options: &Options) -> ExitResult {
    let mut cargo = comparison();
    for name in ["--ops", "--seed", "--version"] {
        if let Some(value) = options.value(name) {
            cargo.args([name, value]);
        }
    }
    shell::show(cargo)
}

/// Makes the command line of a short comparison.
pub(crate) fn short() -> Command {
    let mut cargo = comparison();
    cargo.args(["--ops", SHORT]);
    cargo
}

fn comparison() -> Command {
    let mut cargo = workspace::cargo(["run", "--locked", "--release", "--quiet"]);
    cargo.args(["--package", "etcd3-conformance", "--bin", "model", "--"]);
    cargo
}
