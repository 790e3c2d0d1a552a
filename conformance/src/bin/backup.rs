//! Backs up a database of hundreds of megabytes, and restores it: `cargo xtask backup`.
#![forbid(unsafe_code)]

use etcd3_conformance::backup;
use etcd3_conformance::load::{self, Args, BlockingRuntime, Error};
use std::process::ExitCode;

/// The size of the database, unless it is told, in megabytes.
const MEGABYTES: u64 = 300;

fn main() -> ExitCode {
    load::exit_code(run())
}

/// Runs everything that was asked for; tells whether all limits held.
fn run() -> Result<bool, Error> {
    let args = Args::from_env(&["--runtime", "--version", "--megabytes"], &[])?;
    let megabytes = args.value("--megabytes").map_or(Ok(MEGABYTES), str::parse)?;
    let mut is_good = true;
    for name in args.runtimes()? {
        for etcd in load::versions(args.value("--version"))? {
            is_good &= backup::run(&BlockingRuntime::named(name)?, &etcd, megabytes)?;
        }
    }
    Ok(is_good)
}
