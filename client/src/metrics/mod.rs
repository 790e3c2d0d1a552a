//! What the client counts, as plain numbers.

mod counters;
mod histogram;

pub(crate) use counters::{ConnectionCounters, Counters};
pub use histogram::Latencies;

use crate::{Client, Config};
use etcd3_core::method::{self, Method};
use std::fmt;

/// What a client has counted since it was made; see [`Client::metrics`].
///
/// Plain numbers that only grow, for whatever collects them. What is counted while they are read
/// may be in one of them and not yet in another.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// The calls of each class, in the order of [`CallClass::ALL`].
    pub calls: Vec<CallMetrics>,
    /// The connections, those of leases included.
    pub connections: ConnectionMetrics,
    /// The watches, those of caches and listings included.
    pub watches: WatchMetrics,
    /// The leases that are kept alive.
    pub leases: LeaseMetrics,
}

/// The calls of one class, those included that the client makes for itself: reads that probe a
/// suspect, for example.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallMetrics {
    /// What the calls do.
    pub class: CallClass,
    /// The number of calls that were begun.
    pub started: u64,
    /// The number of those that ended well.
    pub succeeded: u64,
    /// The number of those that failed and of which the outcome is *not sent*.
    pub not_sent: u64,
    /// The number of those that failed and of which the outcome is *rejected*.
    pub rejected: u64,
    /// The number of those that failed and of which the outcome is *unknown*: for writes, what was
    /// written may have been applied.
    pub unknown: u64,
    /// The number of those that were dropped before they were over.
    pub dropped: u64,
    /// The number of those that ran out of time, which also count as failed.
    pub timed_out: u64,
    /// The number of requests that were handed to a connection, by calls that are over.
    pub attempts: u64,
    /// The number of those that were not the first of their call.
    pub retries: u64,
    /// How long calls took that ended well; `None` unless they are
    /// [measured](Config::measure_latencies).
    pub latencies: Option<Latencies>,
}

/// The connections of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ConnectionMetrics {
    /// The number of connections that were begun to be made.
    pub dialed: u64,
    /// The number of those that could not be made.
    pub failed: u64,
    /// The number of those that were made.
    pub made: u64,
    /// The number of those that ended, whoever ended them.
    pub ended: u64,
}

/// The watches of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WatchMetrics {
    /// The number of attempts to open a stream; many watches share one.
    pub streams: u64,
    /// The number of those that followed one that was lost, or failed.
    pub reopened: u64,
    /// The number of batches of events that were delivered to watches.
    pub batches: u64,
    /// The number of events in them.
    pub events: u64,
    /// How often a watch went on after it was interrupted, or suspended since it was not read.
    pub resumed: u64,
    /// The number of watches that ended in an error.
    pub failed: u64,
}

/// The leases that a client keeps alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LeaseMetrics {
    /// The number of attempts to open the stream of renewals.
    pub streams: u64,
    /// The number of those that followed one that was lost, or failed.
    pub reopened: u64,
    /// The number of renewals that were acknowledged.
    pub renewed: u64,
    /// How often a renewal was overdue.
    pub late: u64,
    /// The number of leases that were lost, other than by a revocation of this client.
    pub lost: u64,
}

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CallClass {
    /// Reads keys.
    Read,
    /// Writes a key.
    Put,
    /// Deletes keys.
    Delete,
    /// Runs a transaction.
    Txn,
    /// Grants, renews, revokes or looks at leases, but for the renewals on a stream.
    Lease,
    /// Trades a password for a token.
    Login,
    /// Any other call.
    Other,
}

impl CallClass {
    /// All classes.
    pub const ALL: [Self; 7] =
        [Self::Read, Self::Put, Self::Delete, Self::Txn, Self::Lease, Self::Login, Self::Other];

    /// Returns its name, in lower case, as labels have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::Txn => "txn",
            Self::Lease => "lease",
            Self::Login => "login",
            Self::Other => "other",
        }
    }

    /// Returns the class of the calls of a method.
    pub(crate) fn of(method: &Method) -> Self {
        let known = [
            (&method::RANGE, Self::Read),
            (&method::PUT, Self::Put),
            (&method::TXN, Self::Txn),
            (&method::DELETE_RANGE, Self::Delete),
            (&method::RANGE_STREAM, Self::Read),
            (&method::AUTHENTICATE, Self::Login),
        ];
        // By the path only where a program has a method of its own: it is far dearer.
        let same = known.iter().find(|(known, _)| std::ptr::eq(*known, method));
        let class = same.or_else(|| known.iter().find(|(known, _)| known.path == method.path));
        match class {
            Some((_, class)) => *class,
            None if method.path.starts_with("/etcdserverpb.Lease/") => Self::Lease,
            None => Self::Other,
        }
    }
}

impl fmt::Display for CallClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl CallMetrics {
    /// Returns the number of calls that are under way.
    #[must_use]
    pub const fn in_flight(&self) -> u64 {
        self.started.saturating_sub(self.succeeded + self.failed() + self.dropped)
    }

    /// Returns the number of calls that ended in an error.
    #[must_use]
    pub const fn failed(&self) -> u64 {
        self.not_sent + self.rejected + self.unknown
    }
}

impl ConnectionMetrics {
    /// Returns the number of connections that are open.
    #[must_use]
    pub const fn open(&self) -> u64 {
        self.made.saturating_sub(self.ended)
    }
}

impl Metrics {
    /// Returns the calls of a class.
    #[must_use]
    pub fn of(&self, class: CallClass) -> Option<&CallMetrics> {
        self.calls.iter().find(|calls| calls.class == class)
    }
}

impl Client {
    /// Returns what the client has counted since it was made: all of its clones, and the clients
    /// that are [pinned](Self::pinned_to) to one member, together.
    ///
    /// To export them, read them whenever they are asked for, as the example `metrics` of
    /// `etcd3-tokio` does for Prometheus.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::CallClass;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// client.put("k", "v").await?;
    /// let metrics = client.metrics();
    /// let puts = metrics.of(CallClass::Put).expect("every class is there");
    /// assert_eq!((puts.started, puts.succeeded, puts.in_flight()), (1, 1, 0));
    /// assert_eq!(metrics.connections.open(), 1);
    /// # Ok(())
    /// # });
    /// ```
    // OBS-001, OBS-002
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.shared().pool.telemetry.counters.read()
    }
}

impl Config {
    /// Sets whether [`Client::metrics`] tells how long calls take: off by default, since it takes
    /// two kilobytes a client, and two additions more a call.
    #[must_use]
    pub fn measure_latencies(mut self, is_wanted: bool) -> Self {
        self.measure_latencies = is_wanted;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcd3_core::method::{Effect, Shape};

    #[test]
    fn methods_have_a_class_also_those_of_a_program() {
        for (method, class) in [
            (&method::RANGE, CallClass::Read),
            (&method::RANGE_STREAM, CallClass::Read),
            (&method::PUT, CallClass::Put),
            (&method::DELETE_RANGE, CallClass::Delete),
            (&method::TXN, CallClass::Txn),
            (&method::LEASE_GRANT, CallClass::Lease),
            (&method::AUTHENTICATE, CallClass::Login),
            (&method::STATUS, CallClass::Other),
            (&method::SNAPSHOT, CallClass::Other),
            (&Method::new("/etcdserverpb.KV/Put", Effect::Write, Shape::Unary), CallClass::Put),
        ] {
            assert_eq!(CallClass::of(method), class, "{}", method.path);
        }
        for (index, class) in CallClass::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, index, "counters are found by it");
        }
    }
}
