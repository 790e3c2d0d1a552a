//! A bank of transactions in memory, in worlds and on real members: `cargo xtask bank`.
#![forbid(unsafe_code)]

use etcd3_conformance::bank::{self, Scene};
use etcd3_conformance::load::{self, Args, BlockingRuntime, Error, RUNTIMES, versions};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// How many worlds there are, and how long real members suffer, without being told and in short.
const SEEDS: u64 = 2000;
const SECONDS: u64 = 60;
const SHORT_SEEDS: u64 = 60;
const SHORT_SECONDS: u64 = 5;
/// The variable with the number of the turn: the number of commits, for example.
const TURN: &str = "ETCD3_TURN";
/// Where drawings go to.
const DRAWINGS: &str = "target/sim";

fn main() -> ExitCode {
    load::exit_code(run())
}

/// Runs everything that was asked for; tells whether all held.
fn run() -> Result<bool, Error> {
    let valued = ["--runtime", "--version", "--seconds", "--seeds", "--seed"];
    let args = Args::from_env(&valued, &["--short"])?;
    let number = |name: &str, default: u64| {
        let given = args.value(name).map_or(Ok(default), str::parse);
        given.map_err(|_| format!("{name} takes a number."))
    };
    if args.value("--seed").is_some() {
        return Ok(bank::again(number("--seed", 0)?, Path::new(DRAWINGS)));
    }
    let is_short = args.has("--short");
    let (seeds, seconds) = if is_short { (SHORT_SEEDS, SHORT_SECONDS) } else { (SEEDS, SECONDS) };
    let mut is_good = bank::run_worlds(number("--seeds", seeds)?);
    let lasts = Duration::from_secs(number("--seconds", seconds)?);
    if lasts.is_zero() {
        return Ok(is_good);
    }
    let turn = std::env::var(TURN).ok().and_then(|turn| turn.parse().ok()).unwrap_or(0_u64);
    let (mut binaries, mut runtimes) = (versions(args.value("--version"))?, args.runtimes()?);
    if is_short {
        let turn = usize::try_from(turn)?;
        binaries = vec![binaries.swap_remove(turn / RUNTIMES.len() % binaries.len())];
        runtimes = vec![RUNTIMES[turn % RUNTIMES.len()]];
    }
    for name in runtimes {
        let runtime = BlockingRuntime::named(name)?;
        for etcd in &binaries {
            is_good &= bank::run(&runtime, etcd, &Scene { lasts, seed: turn + 1 })?;
        }
    }
    Ok(is_good)
}
