//! What was asked for on the stream and is not answered.

use crate::{Instant, LeaseId};
use std::collections::{BTreeMap, VecDeque};
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
    /// Whether the answer counts for nothing: the cluster has let the lease go since.
    pub(super) is_void: bool,
}

/// The requests that are not answered, in the order in which they were sent, at most one for each
/// lease.
///
/// A server answers them in this order, but etcd's grpc-proxy does so for each lease alone.
// L10
#[derive(Debug, Clone)]
pub(super) struct Unanswered {
    /// `None` for one that was answered before an older one; the first is not.
    requests: VecDeque<Option<Asked>>,
    /// The number of the first of them; each has the next number.
    first: u64,
    by_lease: BTreeMap<LeaseId, u64>,
}

impl Unanswered {
    pub(super) const fn new() -> Self {
        Self { requests: VecDeque::new(), first: 0, by_lease: BTreeMap::new() }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Asked> {
        self.requests.iter().flatten()
    }

    /// Adds the newest request, for a lease that was not asked for.
    pub(super) fn push(&mut self, asked: Asked) {
        let number = self.first + self.requests.len() as u64;
        let before = self.by_lease.insert(asked.lease, number);
        debug_assert!(before.is_none(), "one request for a lease at a time");
        self.requests.push_back(Some(asked));
    }

    /// Takes the request for a lease: the one that an answer is to.
    pub(super) fn answered(&mut self, lease: LeaseId) -> Option<Asked> {
        let number = self.by_lease.remove(&lease)?;
        let index = usize::try_from(number - self.first).ok()?;
        let asked = self.requests.get_mut(index)?.take();
        while let Some(None) = self.requests.front() {
            self.requests.pop_front();
            self.first += 1;
        }
        asked
    }

    /// Returns whether a lease was asked for.
    pub(super) fn contains(&self, lease: LeaseId) -> bool {
        self.by_lease.contains_key(&lease)
    }

    /// Has the answer to the request for a lease count for nothing.
    pub(super) fn void(&mut self, lease: LeaseId) {
        let number = self.by_lease.get(&lease);
        let index = number.and_then(|number| usize::try_from(number - self.first).ok());
        if let Some(Some(asked)) = index.and_then(|index| self.requests.get_mut(index)) {
            asked.is_void = true;
        }
    }

    pub(super) fn oldest(&self) -> Option<&Asked> {
        self.requests.front()?.as_ref()
    }

    /// Takes all of them, in their order.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Asked> + use<> {
        self.by_lease.clear();
        std::mem::take(&mut self.requests).into_iter().flatten()
    }

    /// Counts the time that the machine was suspended.
    pub(super) fn age(&mut self, by: Duration) {
        for asked in self.requests.iter_mut().flatten() {
            asked.sent.suspended = asked.sent.suspended.saturating_add(by);
        }
    }
}
