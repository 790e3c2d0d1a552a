//! This client on async-std.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    etcd3_bench::main::<ours::Ours<ours::AsyncStd>, ours::AsyncStd>()
}
