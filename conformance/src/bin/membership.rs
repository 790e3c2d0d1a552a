//! A cluster built by the client's own calls under load: `cargo xtask membership`.
#![forbid(unsafe_code)]

use etcd3_conformance::load::{self, Args, BlockingRuntime, Error, versions};
use etcd3_conformance::membership;
use std::process::ExitCode;

/// The variable with the number of the turn: the number of commits, for example.
const TURN: &str = "ETCD3_TURN";

fn main() -> ExitCode {
    load::exit_code(run())
}

/// Runs everything that was asked for; tells whether all limits held.
fn run() -> Result<bool, Error> {
    let args = Args::from_env(&["--runtime", "--version"], &["--short"])?;
    let mut binaries = versions(args.value("--version"))?;
    if args.has("--short") {
        let turn = std::env::var(TURN).ok().and_then(|turn| turn.parse::<usize>().ok());
        binaries = vec![binaries.swap_remove(turn.unwrap_or_default() % binaries.len())];
    }
    let mut is_good = true;
    for name in args.runtimes()? {
        let runtime = BlockingRuntime::named(name)?;
        for etcd in &binaries {
            is_good &= membership::run(&runtime, etcd)?;
        }
    }
    Ok(is_good)
}
