//! The counters of a client, which all of its threads add to.

use super::{
    CallClass, CallMetrics, ConnectionMetrics, Latencies, LeaseMetrics, Metrics, WatchMetrics,
};
use etcd3_core::watch::Item;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const CLASSES: usize = CallClass::ALL.len();

/// A number that grows. Nothing hangs on its order with others.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of the calls of one class: what a call that ends well adds to lies in one cache
/// line, which it shares with no other class.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct CallCounters {
    pub(crate) started: Counter,
    pub(crate) succeeded: Counter,
    pub(crate) attempts: Counter,
    pub(crate) not_sent: Counter,
    pub(crate) rejected: Counter,
    pub(crate) unknown: Counter,
    pub(crate) dropped: Counter,
    pub(crate) timed_out: Counter,
    pub(crate) retries: Counter,
}

/// The bounds of a histogram, and the numbers below them.
#[derive(Debug, Default)]
struct Histogram {
    counts: [Counter; Latencies::BUCKETS],
    nanos: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct ConnectionCounters {
    pub(crate) dialed: Counter,
    pub(crate) failed: Counter,
    pub(crate) made: Counter,
    pub(crate) ended: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct WatchCounters {
    pub(crate) streams: Counter,
    pub(crate) reopened: Counter,
    pub(crate) batches: Counter,
    pub(crate) events: Counter,
    pub(crate) resumed: Counter,
    pub(crate) failed: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct LeaseCounters {
    pub(crate) streams: Counter,
    pub(crate) reopened: Counter,
    pub(crate) renewed: Counter,
    pub(crate) late: Counter,
    pub(crate) lost: Counter,
}

/// All counters of a client.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    calls: [CallCounters; CLASSES],
    /// Where latencies are measured.
    latencies: Option<Box<[Histogram; CLASSES]>>,
    pub(crate) connections: ConnectionCounters,
    pub(crate) watches: WatchCounters,
    pub(crate) leases: LeaseCounters,
}

impl WatchCounters {
    /// Counts what is delivered to a watch.
    pub(crate) fn count(&self, item: &Item) {
        match item {
            Item::Events(batch, _) => {
                self.batches.add(1);
                self.events.add(u64::try_from(batch.events.len()).unwrap_or(u64::MAX));
            }
            Item::Resumed(_) => self.resumed.add(1),
            Item::Created(_) | Item::Progress(_) => {}
        }
    }
}

impl Counters {
    pub(crate) fn new(measure_latencies: bool) -> Self {
        Self { latencies: measure_latencies.then(Box::default), ..Self::default() }
    }

    pub(crate) fn of(&self, class: CallClass) -> &CallCounters {
        &self.calls[class as usize]
    }

    /// Notes how long a call took that ended well, where that is wanted.
    pub(crate) fn note_latency(&self, class: CallClass, took: Duration) {
        if let Some(latencies) = &self.latencies {
            let histogram = &latencies[class as usize];
            histogram.counts[Latencies::bucket(took)].add(1);
            histogram.nanos.add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    pub(super) fn read(&self) -> Metrics {
        let Self { connections, watches, leases, .. } = self;
        Metrics {
            calls: CallClass::ALL.into_iter().map(|class| self.read_calls(class)).collect(),
            connections: ConnectionMetrics {
                // What ends a thing before what begins it, so that fewer end than began.
                ended: connections.ended.get(),
                made: connections.made.get(),
                failed: connections.failed.get(),
                dialed: connections.dialed.get(),
            },
            watches: WatchMetrics {
                streams: watches.streams.get(),
                reopened: watches.reopened.get(),
                batches: watches.batches.get(),
                events: watches.events.get(),
                resumed: watches.resumed.get(),
                failed: watches.failed.get(),
            },
            leases: LeaseMetrics {
                streams: leases.streams.get(),
                reopened: leases.reopened.get(),
                renewed: leases.renewed.get(),
                late: leases.late.get(),
                lost: leases.lost.get(),
            },
        }
    }

    fn read_calls(&self, class: CallClass) -> CallMetrics {
        let calls = self.of(class);
        let latencies = self.latencies.as_ref().map(|all| {
            let Histogram { counts, nanos } = &all[class as usize];
            Latencies {
                counts: std::array::from_fn(|bucket| counts[bucket].get()),
                sum: Duration::from_nanos(nanos.get()),
            }
        });
        CallMetrics {
            class,
            succeeded: calls.succeeded.get(),
            not_sent: calls.not_sent.get(),
            rejected: calls.rejected.get(),
            unknown: calls.unknown.get(),
            dropped: calls.dropped.get(),
            timed_out: calls.timed_out.get(),
            attempts: calls.attempts.get(),
            retries: calls.retries.get(),
            started: calls.started.get(),
            latencies,
        }
    }
}
