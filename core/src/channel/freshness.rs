//! Which cluster a channel talks to, and how far it has been seen.
//!
//! The floor is the highest revision of any answer. An answer that is linearizable, or that is to
//! be in order, comes from the past when it is below the floor that held when its attempt was sent.
//! The floor belongs to a cluster id: another id starts anew.

// I-R8, B26

use crate::header::ResponseHeader;
use crate::signal::Freshness;

/// How far a cluster had been seen when an attempt was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct RevisionFloor {
    /// The id of the cluster; 0 before the first answer.
    pub cluster_id: u64,
    /// The highest revision seen.
    pub revision: i64,
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
