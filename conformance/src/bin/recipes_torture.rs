//! Recipes on a real cluster under faults: `cargo xtask recipes-torture`.
#![forbid(unsafe_code)]

use etcd3_conformance::load::{self, BlockingRuntime, Error, TortureArgs};
use etcd3_conformance::recipes_torture::{self, Scene};
use std::process::ExitCode;

/// How long things go wrong without `--seconds`, and in the short form.
const SECONDS: u64 = 120;
const SHORT_SECONDS: u64 = 10;

fn main() -> ExitCode {
    load::exit_code(run())
}

/// Runs everything that was asked for; tells whether all limits held.
fn run() -> Result<bool, Error> {
    let args = TortureArgs::from_env(SECONDS, SHORT_SECONDS)?;
    let (seed, lasts) = (args.seed, args.lasts);
    let mut is_good = true;
    for name in args.runtimes {
        let runtime = BlockingRuntime::named(name)?;
        for etcd in &args.binaries {
            println!("recipes torture on {name} against etcd {}, seed {seed}", etcd.version);
            let report = recipes_torture::run(&runtime, etcd, &Scene { lasts, seed })?;
            println!("{report}");
            is_good &= report.is_good();
        }
    }
    Ok(is_good)
}
