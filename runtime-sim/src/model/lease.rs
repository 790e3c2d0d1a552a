//! Leases: time to live, the keys attached, expiry.
//!
//! Time passes for leases on the leader alone. The other members know the time to live that was
//! granted, and the keys; when one of them becomes the leader, every lease starts anew.

// L1–L7, C52, L5

use super::refusal::refuse;
use etcd3::runtime::Instant;
use etcd3::{Bytes, ServerError, Status};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The longest time to live, in seconds.
const MAX_TTL: i64 = 9_000_000_000;

/// One lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    ttl: i64,
    keys: BTreeSet<Bytes>,
    /// When it runs out; known only where time passes.
    expiry: Option<Instant>,
}

impl Lease {
    /// Returns the time to live that was granted, in seconds.
    #[must_use]
    pub fn ttl(&self) -> i64 {
        self.ttl
    }

    /// Returns the keys attached, in order. Servers list them in no order.
    pub fn keys(&self) -> impl Iterator<Item = &Bytes> {
        self.keys.iter()
    }

    /// Returns when it runs out; `None` where time does not pass for it.
    #[must_use]
    pub fn expiry(&self) -> Option<Instant> {
        self.expiry
    }

    /// Returns the whole seconds that remain.
    #[must_use]
    pub fn remaining(&self, now: Instant) -> i64 {
        let left = self.expiry.map_or(Duration::MAX, |expiry| expiry.saturating_since(now));
        i64::try_from(left.as_secs()).unwrap_or(i64::MAX)
    }

    /// Tells whether it has run out and waits to be revoked.
    #[must_use]
    pub fn is_expired(&self, now: Instant) -> bool {
        self.expiry.is_some_and(|expiry| expiry <= now)
    }
}

/// All leases of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leases {
    by_id: BTreeMap<i64, Lease>,
    min_ttl: i64,
    /// Whether time passes here.
    is_primary: bool,
}

/// Returns the shortest time to live, in whole seconds, for an election timeout.
// C52
#[must_use]
pub fn min_ttl(election_timeout: Duration) -> i64 {
    let nanos = election_timeout.as_nanos().saturating_mul(3) / 2;
    i64::try_from(nanos.div_ceil(1_000_000_000)).unwrap_or(i64::MAX)
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or(0))
}

impl Leases {
    /// Makes an empty set of leases.
    #[must_use]
    pub fn new(min_ttl: i64) -> Self {
        Self { by_id: BTreeMap::new(), min_ttl, is_primary: false }
    }

    /// Returns the lease with this id.
    #[must_use]
    pub fn find(&self, id: i64) -> Option<&Lease> {
        self.by_id.get(&id)
    }

    /// Returns all ids, in order.
    pub fn ids(&self) -> impl Iterator<Item = i64> {
        self.by_id.keys().copied()
    }

    /// Grants a lease and returns its time to live, in seconds.
    ///
    /// # Errors
    ///
    /// `OutOfRange` above 9,000,000,000 seconds, `FailedPrecondition` when the id is taken,
    /// `NotFound` for the id 0.
    pub fn grant(&mut self, now: Instant, id: i64, ttl: i64) -> Result<i64, Status> {
        if id == 0 {
            return Err(refuse(ServerError::LeaseNotFound));
        }
        if ttl > MAX_TTL {
            return Err(refuse(ServerError::LeaseTtlTooLarge));
        }
        if self.by_id.contains_key(&id) {
            return Err(refuse(ServerError::LeaseExist));
        }
        let ttl = ttl.max(self.min_ttl);
        let expiry = self.is_primary.then(|| now + seconds(ttl));
        self.by_id.insert(id, Lease { ttl, keys: BTreeSet::new(), expiry });
        Ok(ttl)
    }

    /// Renews a lease and returns its time to live; `None` when there is none or it has run out.
    pub fn renew(&mut self, now: Instant, id: i64) -> Option<i64> {
        let lease = self.by_id.get_mut(&id).filter(|lease| !lease.is_expired(now))?;
        lease.expiry = self.is_primary.then(|| now + seconds(lease.ttl));
        Some(lease.ttl)
    }

    /// Removes a lease and returns its keys, in order.
    pub(super) fn remove(&mut self, id: i64) -> Option<BTreeSet<Bytes>> {
        self.by_id.remove(&id).map(|lease| lease.keys)
    }

    pub(super) fn attach(&mut self, id: i64, key: &Bytes) {
        if let Some(lease) = self.by_id.get_mut(&id) {
            lease.keys.insert(key.clone());
        }
    }

    pub(super) fn detach(&mut self, id: i64, key: &Bytes) {
        if let Some(lease) = self.by_id.get_mut(&id) {
            lease.keys.remove(key);
        }
    }

    /// Starts the clock: every lease gets its full time to live and `extend` on top.
    // L5
    pub fn promote(&mut self, now: Instant, extend: Duration) {
        self.is_primary = true;
        for lease in self.by_id.values_mut() {
            lease.expiry = Some(now + seconds(lease.ttl) + extend);
        }
    }

    /// Stops the clock.
    pub fn demote(&mut self) {
        self.is_primary = false;
        for lease in self.by_id.values_mut() {
            lease.expiry = None;
        }
    }

    /// Returns the leases that have run out.
    pub fn expired(&self, now: Instant) -> impl Iterator<Item = i64> {
        self.by_id.iter().filter(move |(_, lease)| lease.is_expired(now)).map(|(id, _)| *id)
    }

    /// Returns when each lease runs out.
    pub(super) fn expiries(&self) -> impl Iterator<Item = (i64, Instant)> {
        self.by_id.iter().filter_map(|(id, lease)| Some((*id, lease.expiry?)))
    }
}
