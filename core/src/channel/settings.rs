//! How a channel goes about its work.

use super::liveness::PingSettings;
use crate::backoff::Backoff;
use std::time::Duration;

/// How a channel goes about its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The wait between dials of one endpoint.
    pub backoff: Backoff,
    /// When connections are probed by PINGs.
    pub ping: PingSettings,
    /// The wait between probes of a suspect.
    pub suspect: Backoff,
    /// How long the calls of a connection may all wait before others are preferred.
    pub slow_after: Duration,
    /// How long they may all wait before the endpoint is a suspect, if there is another one. After
    /// half of that without a byte the connection is pinged, but not before one second.
    pub stalled_after: Duration,
    /// How many calls may go to one endpoint in a row.
    pub burst: u32,
    /// How long the first endpoint has to connect before the others are dialled, too: a program
    /// that makes one call needs no other connection. A failure ends the wait.
    pub stagger: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            backoff: Backoff { first: Duration::from_millis(100), cap: Duration::from_secs(5) },
            ping: PingSettings::default(),
            suspect: Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(10) },
            slow_after: Duration::from_millis(300),
            stalled_after: Duration::from_secs(3),
            burst: 16,
            stagger: Duration::from_millis(50),
        }
    }
}
