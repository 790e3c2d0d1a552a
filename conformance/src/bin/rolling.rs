//! A rolling restart of a real cluster under load: `cargo xtask rolling`.
#![forbid(unsafe_code)]

use etcd3_conformance::load::{Args, Error, Host, versions};
use etcd3_conformance::rolling;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
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
    println!("{}", if is_good { "all limits held" } else { "limits are BROKEN, see above" });
    Ok(is_good)
}
