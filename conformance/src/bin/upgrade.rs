//! An upgrade of a real cluster under load, member by member: `cargo xtask upgrade`.
#![forbid(unsafe_code)]

use etcd3_conformance::load::{self, Args, BlockingRuntime, Error};
use etcd3_conformance::upgrade;
use std::process::ExitCode;

fn main() -> ExitCode {
    load::exit_code(run())
}

/// Runs everything that was asked for; tells whether all limits held.
fn run() -> Result<bool, Error> {
    let args = Args::from_env(&["--runtime"], &["--short"])?;
    let rungs = upgrade::ladder()?;
    let journey = upgrade::journey(&rungs, !args.has("--short"));
    let Some(start) = rungs.first().filter(|_| !journey.is_empty()) else {
        println!("!!! there are no two minor versions from 3.5 on to go from one to the other");
        return Ok(true);
    };
    let mut is_good = true;
    for name in args.runtimes()? {
        is_good &= upgrade::run(&BlockingRuntime::named(name)?, start, &journey)?;
    }
    Ok(is_good)
}
