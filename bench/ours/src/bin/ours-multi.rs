//! This client on tokio, two threads.
#![forbid(unsafe_code)]

use etcd3_bench::TokioMulti;
use std::process::ExitCode;

fn main() -> ExitCode {
    etcd3_bench::main::<ours::Ours<ours::Tokio>, TokioMulti>()
}
