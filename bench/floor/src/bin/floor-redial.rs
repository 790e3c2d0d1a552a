//! The floor that connects again, on tokio, one thread.
#![forbid(unsafe_code)]

use etcd3_bench::TokioCurrent;
use std::process::ExitCode;

fn main() -> ExitCode {
    etcd3_bench::main::<floor::Redialling, TokioCurrent>()
}
