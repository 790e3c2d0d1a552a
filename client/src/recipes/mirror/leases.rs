//! The lease of the target that copied keys are attached to, and its renewal.

use super::super::retry::passes;
use super::MirrorError;
use crate::runtime::{BoxFuture, Instant};
use crate::{Bytes, Client, LeaseId};
use std::time::Duration;

/// The lease of a mirror that attaches keys.
#[derive(Debug)]
pub(super) struct Attached {
    ttl: Duration,
    /// The lease; none before the first key needs one, and after it was lost.
    pub(super) id: LeaseId,
    /// When it is to be renewed.
    due: Instant,
}

/// What became of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renewal {
    Done,
    /// The lease is gone, with all keys that were attached to it.
    Lost,
}

impl Attached {
    /// Continues with this lease, which may be none; it is looked at first.
    pub(super) fn new(ttl: Duration, id: LeaseId, now: Instant) -> Self {
        Self { ttl, id, due: now }
    }

    /// Grants a lease where there is none.
    pub(super) async fn ensure(&mut self, target: &Client) -> Result<LeaseId, MirrorError> {
        if self.id == LeaseId::NONE {
            self.id = target.grant(self.ttl).await.map_err(MirrorError::Target)?.id;
            self.due = target.runtime().now() + self.ttl / 3;
        }
        Ok(self.id)
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.id != LeaseId::NONE && now >= self.due
    }

    /// Completes when the lease is to be renewed; never where there is none.
    pub(super) fn when_due(&self, target: &Client) -> Option<BoxFuture<'static, ()>> {
        (self.id != LeaseId::NONE).then(|| target.runtime().sleep_until(self.due))
    }

    /// Renews the lease, if the source answers. Whether it does is asked by reading one key of the
    /// range, which may be done by whoever may read the range.
    // Case 23: renewed only while the source is heard.
    pub(super) async fn renew(
        &mut self,
        source: &Client,
        key: &Bytes,
        target: &Client,
    ) -> Result<Renewal, MirrorError> {
        let limit = self.ttl / 3;
        self.due = target.runtime().now() + limit;
        let heard = source.get(key.clone()).keys_only().timeout(limit).await;
        if heard.is_err() {
            return Ok(Renewal::Done);
        }
        match target.keep_alive_once(self.id).timeout(limit).await {
            Ok(_) => Ok(Renewal::Done),
            Err(error) if error.is_lease_not_found() => {
                self.id = LeaseId::NONE;
                Ok(Renewal::Lost)
            }
            Err(error) if passes(&error) => Ok(Renewal::Done),
            Err(error) => Err(MirrorError::Target(error)),
        }
    }
}
