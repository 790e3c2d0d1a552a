//! Leases on a real cluster under faults: `cargo xtask lease-torture`.
#![forbid(unsafe_code)]

use etcd3_conformance::lease_torture::{self, Scene};
use etcd3_conformance::load::{self, BlockingRuntime, Error, TortureArgs};
use std::process::ExitCode;

/// How long one endpoint after the other fails without `--seconds`, and in the short form.
const SECONDS: u64 = 120;
const SHORT_SECONDS: u64 = 16;

fn main() -> ExitCode {
    load::exit_code(run())
}

/// Runs everything that was asked for; tells whether all limits held.
fn run() -> Result<bool, Error> {
    let args = TortureArgs::from_env(SECONDS, SHORT_SECONDS)?;
    let (seed, lasts) = (args.seed, args.lasts);
    // A time that was asked for is kept; otherwise each fault has its turn.
    let is_whole = lasts.as_secs() >= SECONDS;
    let mut is_good = true;
    for name in args.runtimes {
        let runtime = BlockingRuntime::named(name)?;
        for etcd in &args.binaries {
            println!("lease torture on {name} against etcd {}, seed {seed}", etcd.version);
            let report = lease_torture::run(&runtime, etcd, &Scene { lasts, is_whole, seed })?;
            println!("{report}");
            is_good &= report.is_good();
        }
    }
    Ok(is_good)
}
