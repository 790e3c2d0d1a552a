//! Watches on a real cluster under faults: `cargo xtask watch-torture`.
#![forbid(unsafe_code)]

use etcd3_conformance::load::{self, BlockingRuntime, Error, TortureArgs};
use etcd3_conformance::torture::{self, Scene, Schedule};
use std::process::ExitCode;

/// How long things go wrong without `--seconds`, and in the short form.
const SECONDS: u64 = 120;
const SHORT_SECONDS: u64 = 12;

fn main() -> ExitCode {
    load::exit_code(run())
}

/// Runs everything that was asked for; tells whether all limits held.
fn run() -> Result<bool, Error> {
    let args = TortureArgs::from_env(SECONDS, SHORT_SECONDS)?;
    let seed = args.seed;
    let mut is_good = true;
    for name in args.runtimes {
        let runtime = BlockingRuntime::named(name)?;
        for etcd in &args.binaries {
            println!("watch torture on {name} against etcd {}, seed {seed}", etcd.version);
            let scene = Scene::torture(seed);
            let report = torture::run(&runtime, etcd, &scene, &Schedule::Drawn(args.lasts))?;
            println!("{report}");
            is_good &= report.is_good();
        }
    }
    Ok(is_good)
}
