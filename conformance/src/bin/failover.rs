//! Faults on a real cluster under load: `cargo xtask failover`.
#![forbid(unsafe_code)]

use etcd3_conformance::failover;
use etcd3_conformance::load::{self, Args, BlockingRuntime, Error, versions};
use std::process::ExitCode;

fn main() -> ExitCode {
    load::exit_code(run())
}

/// Runs everything that was asked for; tells whether all limits held.
fn run() -> Result<bool, Error> {
    let args = Args::from_env(&["--runtime", "--version"], &["--short"])?;
    let short = args.has("--short");
    let mut binaries = versions(args.value("--version"))?;
    let mut runtimes = args.runtimes()?;
    if short {
        binaries.drain(..binaries.len() - 1);
        runtimes.truncate(1);
    }
    let mut is_good = true;
    for name in runtimes {
        let runtime = BlockingRuntime::named(name)?;
        for etcd in &binaries {
            is_good &= failover::run(&runtime, etcd, short)?;
        }
    }
    Ok(is_good)
}
