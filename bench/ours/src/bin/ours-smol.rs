//! This client on smol.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    etcd3_bench::main::<ours::Ours<ours::Smol>, ours::Smol>()
}
