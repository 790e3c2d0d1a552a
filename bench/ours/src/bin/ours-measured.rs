//! This client on tokio, one thread, which measures how long its calls take.
#![forbid(unsafe_code)]

use etcd3_bench::TokioCurrent;
use std::process::ExitCode;

fn main() -> ExitCode {
    etcd3_bench::main::<ours::Ours<ours::Measured>, TokioCurrent>()
}
