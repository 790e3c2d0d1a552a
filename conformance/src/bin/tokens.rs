//! Tokens that live for two seconds, for a minute of cuts every second.
//!
//! `cargo run --release -p etcd3-conformance --bin tokens -- --runtime smol --version 3.5.30`
#![forbid(unsafe_code)]

use etcd3_conformance::load::{self, Args, BlockingRuntime, Error, versions};
use etcd3_conformance::short_tokens;
use std::process::ExitCode;

fn main() -> ExitCode {
    load::exit_code(run())
}

/// Runs everything that was asked for; tells whether all limits held.
fn run() -> Result<bool, Error> {
    let args = Args::from_env(&["--runtime", "--version"], &[])?;
    let mut is_good = true;
    for name in args.runtimes()? {
        let runtime = BlockingRuntime::named(name)?;
        for etcd in &versions(args.value("--version"))? {
            is_good &= short_tokens::long(&runtime, etcd)?;
        }
    }
    Ok(is_good)
}
