//! What watches must survive, in its long form.
//!
//! `cargo run --release -p etcd3-conformance --bin watches -- --runtime smol --version 3.5.30`
#![forbid(unsafe_code)]

use etcd3_conformance::load::{self, Args, BlockingRuntime, Error, versions};
use etcd3_conformance::watching;
use std::process::ExitCode;

fn main() -> ExitCode {
    load::exit_code(run())
}

/// Runs everything that was asked for; fails where something is not as it must be.
fn run() -> Result<bool, Error> {
    let args = Args::from_env(&["--runtime", "--version"], &[])?;
    for name in args.runtimes()? {
        let runtime = BlockingRuntime::named(name)?;
        for etcd in &versions(args.value("--version"))? {
            watching::run(&runtime, etcd)?;
        }
    }
    Ok(true)
}
