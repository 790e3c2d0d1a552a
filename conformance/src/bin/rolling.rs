//! A rolling restart of a real cluster under load: `cargo xtask rolling`.
#![forbid(unsafe_code)]

use etcd3_conformance::load::{self, Args, BlockingRuntime, Error, versions};
use etcd3_conformance::rolling;
use std::process::ExitCode;

fn main() -> ExitCode {
    load::exit_code(run())
}

/// Runs everything that was asked for; tells whether all limits held.
fn run() -> Result<bool, Error> {
    let args = Args::from_env(&["--runtime", "--version"], &[])?;
    let binaries = versions(args.value("--version"))?;
    let mut is_good = true;
    for name in args.runtimes()? {
        let runtime = BlockingRuntime::named(name)?;
        for etcd in &binaries {
            is_good &= rolling::run(&runtime, etcd)?;
        }
    }
    Ok(is_good)
}
