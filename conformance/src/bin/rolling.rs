//! A rolling restart of a real cluster under load: `cargo xtask rolling`.
#![forbid(unsafe_code)]

use etcd3_conformance::load::{self, Args, Error, Host, versions};
use etcd3_conformance::rolling;
use std::process::ExitCode;

fn main() -> ExitCode {
    load::verdict(run())
}

/// Runs everything that was asked for; tells whether all limits held.
fn run() -> Result<bool, Error> {
    let args = Args::from_env(&["--runtime", "--version"], &[])?;
    let binaries = versions(args.value("--version"))?;
    let mut is_good = true;
    for name in args.runtimes()? {
        let host = Host::named(name)?;
        for etcd in &binaries {
            is_good &= rolling::run(&host, etcd)?;
        }
    }
    Ok(is_good)
}
