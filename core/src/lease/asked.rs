//! What was asked for on the stream and is not answered.

use crate::{Instant, LeaseId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// When a request was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct SentAt {
    /// By the clock.
    pub(super) time: Instant,
    /// For how long the machine was suspended since, which the clock did not count.
    // I-L8
    pub(super) suspended: Duration,
}

impl SentAt {
    /// Returns the moment so long after it.
    pub(super) fn after(self, time: Duration) -> Instant {
        // In this order: it may have been sent before the clock began.
        (self.time + time) - self.suspended
    }
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) lease: LeaseId,
    pub(super) sent: SentAt,
    /// For how long it may go unanswered.
    pub(super) patience: Duration,
}

/// The requests that are not answered, in the order in which they were sent.
///
/// A server answers them in this order, but etcd's grpc-proxy does so for each lease alone.
// L10
#[derive(Debug, Clone)]
pub(super) struct Unanswered {
    requests: BTreeMap<u64, Asked>,
    by_lease: BTreeSet<(LeaseId, u64)>,
    last: u64,
}

impl Unanswered {
    pub(super) const fn new() -> Self {
        Self { requests: BTreeMap::new(), by_lease: BTreeSet::new(), last: 0 }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Asked> {
        self.requests.values()
    }

    pub(super) fn push(&mut self, asked: Asked) {
        self.last += 1;
        self.requests.insert(self.last, asked);
        self.by_lease.insert((asked.lease, self.last));
    }

    /// Takes the oldest request for a lease: the one that an answer is to.
    pub(super) fn answered(&mut self, lease: LeaseId) -> Option<Asked> {
        let key = self.first_of(lease)?;
        self.by_lease.remove(&key);
        self.requests.remove(&key.1)
    }

    /// Returns whether a lease was asked for.
    pub(super) fn contains(&self, lease: LeaseId) -> bool {
        self.first_of(lease).is_some()
    }

    pub(super) fn oldest(&self) -> Option<&Asked> {
        self.requests.values().next()
    }

    /// Takes all of them, in their order.
    pub(super) fn take(&mut self) -> impl DoubleEndedIterator<Item = Asked> + use<> {
        self.by_lease.clear();
        std::mem::take(&mut self.requests).into_values()
    }

    /// Counts the time that the machine was suspended.
    pub(super) fn age(&mut self, by: Duration) {
        for asked in self.requests.values_mut() {
            asked.sent.suspended = asked.sent.suspended.saturating_add(by);
        }
    }

    fn first_of(&self, lease: LeaseId) -> Option<(LeaseId, u64)> {
        self.by_lease.range((lease, 0)..=(lease, u64::MAX)).next().copied()
    }
}
