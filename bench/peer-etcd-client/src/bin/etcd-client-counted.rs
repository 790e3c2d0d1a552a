//! etcd-client on tokio, one thread, with its allocations counted.
#![forbid(unsafe_code)]

use etcd3_bench::TokioCurrent;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    etcd3_bench::main::<peer_etcd_client::Peer, TokioCurrent>()
}
