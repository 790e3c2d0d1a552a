//! What only time brings out: `cargo xtask soak`.
//!
//! - An idle client and a busy one, each on one connection to a real etcd: no call fails, and the
//!   connection is the first and only one. A server that took the client's pings for an attack
//!   would have closed it (etcd sends GOAWAY `too_many_pings`), and there would be a second one.
//! - Callers that wait for a server that always fails: few connects, and an idle CPU.

mod failing;
mod steady;

use crate::load::{Error, Host};
use etcd3_lab::etcd::Binary;
use std::time::Duration;

/// How a soak is made.
#[derive(Debug, Clone, Copy)]
pub struct Soak {
    /// How long the idle and the busy client are watched.
    pub time: Duration,
    /// Whether encrypted connections are watched, too.
    pub tls: bool,
}

/// Runs everything on one runtime, all versions at once; tells whether all limits held.
///
/// # Errors
///
/// When a server fails, so that nothing can be said about the client.
pub fn run(host: &Host, binaries: &[Binary], soak: Soak) -> Result<bool, Error> {
    println!("soak on {} for {:.1} min", host.name, soak.time.as_secs_f64() / 60.0);
    let mut held = steady::run(host, binaries, soak.time)?;
    if soak.tls {
        held &= encrypted(host, binaries, soak.time).unwrap_or_else(|| {
            println!("BROKEN encrypted: not available, the client does not speak TLS yet");
            Ok(false)
        })?;
    }
    held &= failing::run(host, soak.time)?;
    println!();
    Ok(held)
}

/// The place for the same over TLS: servers with certificates, `https` endpoints and a client that
/// trusts them, then [`steady::run`] with both. `None` as long as there is no TLS.
fn encrypted(_host: &Host, _binaries: &[Binary], _time: Duration) -> Option<Result<bool, Error>> {
    None
}
