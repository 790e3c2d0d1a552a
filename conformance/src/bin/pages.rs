//! How long it takes to read many keys, page by page and at once: `cargo xtask pages`.
#![forbid(unsafe_code)]

use etcd3_conformance::load::{self, Args, BlockingRuntime, Error};
use etcd3_conformance::paging;
use std::process::ExitCode;

fn main() -> ExitCode {
    load::exit_code(run())
}

/// Runs everything that was asked for; tells whether all limits held.
fn run() -> Result<bool, Error> {
    let args = Args::from_env(&["--runtime", "--version"], &["--fixed"])?;
    let mut binaries = load::versions(args.value("--version"))?;
    let etcd = binaries.pop().ok_or("There is no etcd to run against.")?;
    let mut is_good = true;
    for name in args.runtimes()? {
        is_good &= paging::run(&BlockingRuntime::named(name)?, &etcd, args.has("--fixed"))?;
    }
    Ok(is_good)
}
