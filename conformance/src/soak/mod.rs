//! What only time brings out: `cargo xtask soak`.
//!
//! - An idle client, a busy one and one whose server is silent again and again, each on one
//!   connection to a real etcd, in plain and over TLS: no call fails, and the connection is the
//!   first and only one. A server that took the client's pings for an attack would have closed it
//!   (etcd sends GOAWAY `too_many_pings`), and there would be a second one. In each silence exactly
//!   one PING is sent.
//! - Callers that wait for a server that always fails: few connects, and an idle CPU.

mod calls;
mod failing;
mod silence;
mod steady;

use crate::load::{BlockingRuntime, Error};
use etcd3_lab::etcd::Binary;
use std::time::Duration;

/// How a soak is made.
#[derive(Debug, Clone, Copy)]
pub struct Soak {
    /// How long the clients are watched.
    pub time: Duration,
    /// Whether encrypted connections are watched, too, at the same time.
    pub tls: bool,
}

/// Runs everything on one runtime, all versions at once; tells whether all limits held.
///
/// # Errors
///
/// When a server fails, so that nothing can be said about the client.
pub fn run(runtime: &BlockingRuntime, binaries: &[Binary], soak: Soak) -> Result<bool, Error> {
    println!("soak on {} for {:.1} min", runtime.name, soak.time.as_secs_f64() / 60.0);
    let mut held = steady::run(runtime, binaries, soak.time, soak.tls)?;
    held &= failing::run(runtime, soak.time)?;
    println!();
    Ok(held)
}
