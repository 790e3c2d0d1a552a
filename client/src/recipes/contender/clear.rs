//! What a contender leaves behind, and its deletion in the background.

use super::super::race::race;
use super::super::retry::Backoff;
use super::{Owner, may_have_been_applied};
use crate::runtime::BoxFuture;
use crate::{Error, LossReason, SessionTurn, TxnResponse, delete, key};

/// What may be left of a contender.
pub(super) struct Remains {
    owner: Owner,
    /// A transaction under way that may create the key.
    pub(super) call: Option<BoxFuture<'static, Result<TxnResponse, Error>>>,
    /// The incarnation that is there.
    pub(super) created: Option<i64>,
    /// How many transactions may have created the key, or may yet.
    unknown: u32,
    /// Given back when the key is known to be gone.
    _turn: Option<SessionTurn>,
}

impl Remains {
    pub(super) fn late(owner: &Owner, unknown: u32, turn: Option<SessionTurn>) -> Self {
        Self { owner: owner.clone(), call: None, created: None, unknown, _turn: turn }
    }

    /// Waits for the call, then deletes the key, until that is known to be done.
    async fn clear(&mut self) {
        if let Some(call) = self.call.take() {
            match call.await {
                Ok(answer) if answer.succeeded => self.created = Some(answer.header.revision),
                Ok(answer) => {
                    let own = answer.responses.first().and_then(|it| it.as_get());
                    self.created = own.and_then(|own| own.first()).map(|it| it.create_revision);
                    self.unknown = self.unknown.saturating_sub(u32::from(self.created.is_some()));
                }
                Err(error) => self.unknown += u32::from(may_have_been_applied(&error)),
            }
        }
        let mut backoff = Backoff::new(self.owner.client());
        while self.created.is_some() || self.unknown > 0 {
            match self.delete().await {
                Ok(()) => return,
                Err(error) if error.is_closed() => return,
                // Also what does not pass by itself, such as a permission: it may be given back.
                Err(_) => backoff.rest().await,
            }
        }
    }

    /// Deletes the key, if it is there.
    async fn delete(&mut self) -> Result<(), Error> {
        let Owner { key: own, lease, .. } = &self.owner;
        if self.created.is_none() {
            let found = self.owner.client().get(own.clone()).await?;
            // Nobody else writes there in the name of this lease.
            let ours = found.into_first().filter(|pair| pair.lease == lease.id());
            self.created = ours.map(|pair| pair.create_revision);
            self.unknown = self.unknown.saturating_sub(u32::from(self.created.is_some()));
        }
        if let Some(created) = self.created {
            let is_ours = key(own.clone()).create_revision().eq(created);
            let deletion = delete(own.clone());
            self.owner.client().txn().when([is_ours]).then([deletion]).await?;
        }
        Ok(())
    }
}

/// Deletes what is left, in the background, until that is known to be done or the session is gone.
// I-S5
pub(super) fn spawn(mut remains: Remains) {
    let owner = remains.owner.clone();
    if is_gone(&owner) {
        return;
    }
    let client = owner.client().clone();
    client.spawn(async move {
        race(gone(owner), remains.clear()).await;
    });
}

/// Returns whether the keys of the session are gone, or go without us.
fn is_gone(owner: &Owner) -> bool {
    match owner.lease.status() {
        crate::LeaseStatus::Lost(lost) => lost.reason != LossReason::Orphaned,
        _ => false,
    }
}

/// Completes when the keys of the session are gone, or go without us.
async fn gone(owner: Owner) {
    let lost = owner.lease.lost().await;
    if lost.reason == LossReason::Orphaned {
        // They stay for as long as the lease does.
        let rt = owner.client().runtime();
        rt.sleep_until(rt.now() + owner.lease.ttl()).await;
    }
}
