//! The long runs: `cargo xtask failover`, `soak`, `rolling`, `upgrade`, `membership`,
//! `watch-torture`, `lease-torture`, `bank`, `interop`, `pages`, `backup` and `cancel`.
//!
//! Each is a program of the conformance crate, which prints its figures and fails when a limit did
//! not hold. All their options are handed through.

use crate::options::Options;
use crate::{ExitResult, shell, workspace};
use std::process::Command;

/// The options of a torture that have a value.
pub(crate) const TORTURE: [&str; 4] = ["--runtime", "--version", "--seconds", "--seed"];

/// The options of a bank that have a value.
pub(crate) const BANK: [&str; 5] = ["--runtime", "--version", "--seconds", "--seeds", "--seed"];

pub(crate) fn failover(options: &Options) -> ExitResult {
    shell::show(run("failover", options, &["--runtime", "--version"], &["--short"]))
}

pub(crate) fn soak(options: &Options) -> ExitResult {
    shell::show(run("soak", options, &["--runtime", "--version", "--minutes"], &["--tls"]))
}

pub(crate) fn watch_torture(options: &Options) -> ExitResult {
    shell::show(run("watch_torture", options, &TORTURE, &["--short"]))
}

pub(crate) fn lease_torture(options: &Options) -> ExitResult {
    shell::show(run("lease_torture", options, &TORTURE, &["--short"]))
}

pub(crate) fn bank(options: &Options) -> ExitResult {
    shell::show(run("bank", options, &BANK, &["--short"]))
}

pub(crate) fn rolling(options: &Options) -> ExitResult {
    shell::show(run("rolling", options, &["--runtime", "--version"], &[]))
}

pub(crate) fn upgrade(options: &Options) -> ExitResult {
    shell::show(run("upgrade", options, &["--runtime"], &["--short"]))
}

pub(crate) fn membership(options: &Options) -> ExitResult {
    shell::show(run("membership", options, &["--runtime", "--version"], &["--short"]))
}

pub(crate) fn pages(options: &Options) -> ExitResult {
    shell::show(run("pages", options, &["--runtime", "--version"], &["--fixed"]))
}

pub(crate) fn backup(options: &Options) -> ExitResult {
    shell::show(run("backup", options, &["--runtime", "--version", "--megabytes"], &[]))
}

pub(crate) fn interop(options: &Options) -> ExitResult {
    shell::show(run("interop", options, &["--runtime", "--version"], &["--short"]))
}

pub(crate) fn cancel(options: &Options) -> ExitResult {
    shell::show(run("cancel", options, &["--calls", "--runtime"], &[]))
}

/// Makes the command line of a short failover.
pub(crate) fn short_failover() -> Command {
    short("failover", &["--short"])
}

/// Makes the command line of a short torture of watches, on the runtime whose turn it is.
pub(crate) fn short_watch_torture() -> Command {
    short("watch_torture", &["--short"])
}

/// Makes the command line of a short torture of leases, on the runtime whose turn it is.
pub(crate) fn short_lease_torture() -> Command {
    short("lease_torture", &["--short"])
}

/// Makes the command line of some worlds with a bank, and a short one on real members.
pub(crate) fn short_bank() -> Command {
    short("bank", &["--short"])
}

/// Makes the command line of a short soak, in plain and over TLS.
pub(crate) fn short_soak() -> Command {
    short("soak", &["--minutes", "0.2", "--tls"])
}

/// Makes the command line of a short upgrade, which does not go back.
pub(crate) fn short_upgrade() -> Command {
    short("upgrade", &["--short"])
}

/// Makes the command line of a cluster that is built on the version whose turn it is.
pub(crate) fn short_membership() -> Command {
    short("membership", &["--short"])
}

/// Makes the command line of a short run of cancelled calls.
pub(crate) fn short_cancel() -> Command {
    short("cancel", &["--calls", "50000"])
}

/// Makes the command line of a few contenders beside as many of etcd's own tool.
pub(crate) fn short_interop() -> Command {
    short("interop", &["--short"])
}

fn short(name: &str, words: &[&str]) -> Command {
    let mut cargo = program(name);
    cargo.args(words);
    cargo
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
