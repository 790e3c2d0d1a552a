//! Which cluster a channel talks to, and how far it has been seen.
//!
//! The floor is the highest revision of any answer. A linearizable answer below the floor that held
//! when its attempt was sent comes from the past. The floor belongs to a cluster id: another id
//! starts anew.

// I-R8, B26

use super::slot::{Listed, Slot};
use super::{Channel, ConnectionId};
use crate::header::ResponseHeader;

/// How far a cluster had been seen when an attempt was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct RevisionFloor {
    /// The id of the cluster; 0 before the first answer.
    pub cluster_id: u64,
    /// The highest revision seen.
    pub revision: i64,
}

/// What an answer is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Freshness {
    /// It may be handed out.
    Fresh,
    /// It is older than what the client had seen before it asked.
    Stale {
        /// The revision that the answer should have reached.
        floor: i64,
    },
    /// It comes from another cluster than the rest of the endpoints.
    Foreign {
        /// The cluster that the client belongs to.
        expected: u64,
    },
    /// The endpoints have become another cluster; said once.
    Changed {
        /// The cluster as it was.
        expected: u64,
    },
}

impl RevisionFloor {
    /// Judges an answer and remembers it; `is_foreign` tells whether the others still belong to the
    /// cluster that is known.
    pub(crate) fn judge(
        &mut self,
        header: &ResponseHeader,
        sent_at: Option<Self>,
        is_foreign: impl FnOnce(u64) -> bool,
    ) -> Freshness {
        let expected = self.cluster_id;
        if header.cluster_id != expected && expected != 0 {
            if is_foreign(expected) {
                return Freshness::Foreign { expected };
            }
            *self = Self { cluster_id: header.cluster_id, revision: header.revision };
            return Freshness::Changed { expected };
        }
        self.cluster_id = header.cluster_id;
        self.revision = self.revision.max(header.revision);
        match sent_at {
            Some(Self { cluster_id, revision })
                if cluster_id == header.cluster_id && header.revision < revision =>
            {
                Freshness::Stale { floor: revision }
            }
            _ => Freshness::Fresh,
        }
    }
}

impl Channel {
    /// Judges a response that came on this connection, and remembers how far the cluster is.
    /// `sent_at` is the floor that it must not be below.
    pub(super) fn judge(
        &mut self,
        connection: ConnectionId,
        header: &ResponseHeader,
        sent_at: Option<RevisionFloor>,
    ) -> Freshness {
        let others = || {
            let listed = self.slots.iter().filter(|slot| slot.listed != Listed::No);
            listed.filter(|slot| slot.current() != Some(connection))
        };
        let was_foreign =
            self.slots.iter().any(|it| it.current() == Some(connection) && it.foreign);
        // One that was foreign before does not speak for those that were not, unless they are down.
        let is_foreign = |cluster| {
            let mut witnesses = others().filter_map(Slot::ready);
            witnesses.any(|other| other.cluster == cluster)
                || (was_foreign && others().any(|slot| !slot.foreign && !slot.is_down()))
        };
        let freshness = self.freshness.judge(header, sent_at, is_foreign);
        if let Some(connection) = self.connection_mut(connection) {
            connection.cluster = header.cluster_id;
        }
        if let Some(slot) = self.slot_of(connection) {
            slot.foreign = matches!(freshness, Freshness::Foreign { .. });
        }
        freshness
    }

    /// Returns the cluster as far as it has been seen.
    #[must_use]
    pub const fn floor(&self) -> RevisionFloor {
        self.freshness
    }
}
