//! The long runs against real clusters: `cargo xtask failover`, `soak` and `rolling`.
//!
//! Each is a program of the conformance crate, which prints its figures and fails when a limit did
//! not hold. All their options are handed through.

use crate::options::Options;
use crate::{Outcome, shell, workspace};
use std::process::Command;

pub(crate) fn failover(options: &Options) -> Outcome {
    shell::show(run("failover", options, &["--runtime", "--version"], &["--short"]))
}

pub(crate) fn soak(options: &Options) -> Outcome {
    shell::show(run("soak", options, &["--runtime", "--version", "--minutes"], &["--tls"]))
}

pub(crate) fn rolling(options: &Options) -> Outcome {
    shell::show(run("rolling", options, &["--runtime", "--version"], &[]))
}

/// Makes the command lines of the short forms, with what each is called.
///
/// To have them in `cargo xtask test`, add a step for each to `run_tests` in `test.rs`, after
/// "model against etcd", that captures the command and shows its output, as `worlds` does there.
#[cfg_attr(not(test), expect(dead_code, reason = "for the steps of `cargo xtask test`"))]
pub(crate) fn short() -> [(&'static str, Command); 2] {
    let mut failover = program("failover");
    failover.arg("--short");
    let mut soak = program("soak");
    soak.args(["--minutes", "0.2"]);
    [("failover", failover), ("soak", soak)]
}

fn run(name: &str, options: &Options, valued: &[&str], plain: &[&str]) -> Command {
    let mut cargo = program(name);
    for name in valued {
        cargo.args(options.value(name).into_iter().flat_map(|value| [*name, value]));
    }
    cargo.args(plain.iter().filter(|name| options.has(name)));
    cargo
}

fn program(name: &str) -> Command {
    let mut cargo = workspace::cargo(["run", "--locked", "--release", "--quiet"]);
    cargo.args(["--package", "etcd3-conformance", "--bin", name, "--"]);
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_forms_are_programs_of_the_conformance_crate() {
        for (name, command) in short() {
            let words: Vec<_> = command.get_args().map(|it| it.to_string_lossy()).collect();
            assert!(words.windows(2).any(|pair| pair == ["--bin", name]), "{words:?}");
        }
    }
}
