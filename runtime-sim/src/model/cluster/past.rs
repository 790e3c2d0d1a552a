//! All that the store of a cluster went through, what has been compacted included.

use super::log::Command;
use crate::model::rpc::Request;
use crate::model::store::Store;
use etcd3::proto::mvccpb::Event;
use etcd3::runtime::Instant;

/// The end of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseEnd {
    /// The lease.
    pub lease: i64,
    /// When the first member deleted it, and its keys.
    pub at: Instant,
    /// When its time was over for the leader; `None` if it was revoked.
    pub expired: Option<Instant>,
    /// Whether the leader for which its time was over led no more when the lease was deleted: a
    /// later one may have renewed it in between.
    // L-10
    pub is_by_former_leader: bool,
}

/// A lease that an entry is about to end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending {
    lease: i64,
    /// When its time was over, and in which term.
    expired: Option<(Instant, u64)>,
}

/// Every change and every compaction, and the end of every lease, as the member noted them that was
/// the first to apply them.
#[derive(Debug, Clone, Default)]
pub(super) struct Past {
    /// The last revision that was noted.
    revision: i64,
    /// How many entries some member has applied.
    entries: usize,
    pub(super) events: Vec<Event>,
    pub(super) compactions: Vec<i64>,
    pub(super) lease_ends: Vec<LeaseEnd>,
}

impl Past {
    /// Notes what the entry did that was just applied; it made one revision at most.
    pub(super) fn note(&mut self, store: &Store) {
        if store.revision() > self.revision {
            self.revision = store.revision();
            self.events.extend(store.log.get(&self.revision).into_iter().flatten().cloned());
        }
        let compacted = store.compacted();
        if compacted > 0 && self.compactions.last().is_none_or(|last| *last < compacted) {
            self.compactions.push(compacted);
        }
    }

    /// Returns which lease an entry may end that is about to be applied for the first time.
    pub(super) fn ending(&mut self, at: usize, command: &Command, store: &Store) -> Option<Ending> {
        if at < self.entries {
            return None;
        }
        self.entries = at + 1;
        let ending = match command {
            Command::Expire { lease, since, term } => {
                Ending { lease: *lease, expired: Some((*since, *term)) }
            }
            Command::Request(Request::LeaseRevoke(revoke)) => {
                Ending { lease: revoke.id, expired: None }
            }
            _ => return None,
        };
        store.leases().find(ending.lease).map(|_| ending)
    }

    /// Notes the end of a lease, if the entry that was just applied did end it.
    pub(super) fn end_lease(
        &mut self,
        now: Instant,
        term: u64,
        ending: Option<Ending>,
        store: &Store,
    ) {
        let Some(Ending { lease, expired }) = ending else { return };
        if store.leases().find(lease).is_some() {
            return;
        }
        self.lease_ends.push(LeaseEnd {
            lease,
            at: now,
            expired: expired.map(|(since, _)| since),
            is_by_former_leader: expired.is_some_and(|(_, of)| of != term),
        });
    }
}
