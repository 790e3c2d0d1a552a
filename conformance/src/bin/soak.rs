//! Idle and busy clients for minutes, and a server that always fails: `cargo xtask soak`.
#![forbid(unsafe_code)]

use etcd3_conformance::load::{self, Args, BlockingRuntime, Error, versions};
use etcd3_conformance::soak::{self, Soak};
use std::process::ExitCode;
use std::time::Duration;

/// How long it takes without `--minutes`.
const MINUTES: f64 = 10.0;

fn main() -> ExitCode {
    load::exit_code(run())
}

/// Runs everything that was asked for; tells whether all limits held.
fn run() -> Result<bool, Error> {
    let args = Args::from_env(&["--runtime", "--version", "--minutes"], &["--tls"])?;
    let minutes: f64 = match args.value("--minutes") {
        Some(minutes) => minutes.parse().map_err(|_| "--minutes takes a number.")?,
        None => MINUTES,
    };
    let time = Duration::try_from_secs_f64(minutes * 60.0)?;
    let binaries = versions(args.value("--version"))?;
    let soak = Soak { time, tls: args.has("--tls") };
    let mut is_good = true;
    for name in args.runtimes()? {
        is_good &= soak::run(&BlockingRuntime::named(name)?, &binaries, soak)?;
    }
    Ok(is_good)
}
