//! What a contender leaves behind, and its deletion in the background.
//!
//! ```text
//!   a call under way ─► the incarnation is known ─► deleted ──► over
//!                   └─► it is not ─► the key is read, deleted ─┬─► over: all is accounted for
//!                                                              └─► late ones are waited for
//! ```

use super::super::race::race;
use super::super::retry::Backoff;
use super::{Owner, may_have_been_applied};
use crate::runtime::BoxFuture;
use crate::{
    Error, LeaseStatus, LossReason, ResponseHeader, ResumeToken, Session, SessionTurn, TxnResponse,
    delete, key,
};

/// What may be left of a contender.
pub(super) struct Remains {
    /// Kept until the key is deleted, so that it is not there for as long as the lease would be.
    session: Option<Session>,
    owner: Owner,
    /// A transaction under way that may create the key.
    pub(super) call: Option<BoxFuture<'static, Result<TxnResponse, Error>>>,
    /// The incarnation that is there.
    pub(super) created: Option<i64>,
    /// How many transactions may have created the key, or may yet.
    unknown: u32,
    /// Given back when the key is deleted.
    pub(super) turn: Option<SessionTurn>,
}

impl Remains {
    pub(super) fn new(session: &Session, owner: &Owner, unknown: u32) -> Self {
        Self {
            session: Some(session.clone()),
            owner: Owner { client: owner.client.for_cleanup(), ..owner.clone() },
            call: None,
            created: None,
            unknown,
            turn: None,
        }
    }

    /// Waits for the call, then deletes the key, until that is known to be done.
    async fn clear(&mut self) {
        if let Some(call) = self.call.take() {
            match call.await {
                Ok(answer) if answer.succeeded => self.created = Some(answer.header.revision),
                Ok(answer) => {
                    let own = answer.get(0).and_then(|own| own.first());
                    self.found(own.map(|pair| pair.create_revision));
                }
                Err(error) => self.unknown += u32::from(may_have_been_applied(&error)),
            }
        }
        if !self.is_something() {
            return;
        }
        let Some(last) = self.delete().await else { return };
        (self.session, self.turn) = (None, None);
        // Nobody waits for that when the client is closed.
        let closed = self.owner.client.closed();
        race(async { drop(closed.await) }, self.clear_late(last)).await;
    }

    /// Deletes what members that were suspended may yet have carried out, when it comes.
    async fn clear_late(&mut self, mut last: ResponseHeader) {
        while self.unknown > 0 {
            written(&self.owner, &last).await;
            let turn = self.owner.turns.take().await;
            turn.announce_end();
            // Who had the turn meanwhile has deleted what was there.
            match self.delete().await {
                Some(header) => last = header,
                None => return,
            }
            drop(turn);
        }
    }

    /// Returns whether the key is there, or may be, or may come.
    pub(super) fn is_something(&self) -> bool {
        self.call.is_some() || self.created.is_some() || self.unknown > 0
    }

    /// Notes an incarnation that is there, of which nothing was known.
    fn found(&mut self, created: Option<i64>) {
        self.created = created;
        self.unknown = self.unknown.saturating_sub(u32::from(created.is_some()));
    }

    /// Deletes the key, if it is there, until that is known to be done. Returns the header of the
    /// last answer; `None` when the client is closed.
    async fn delete(&mut self) -> Option<ResponseHeader> {
        let mut backoff = Backoff::new(&self.owner.client);
        loop {
            match self.try_delete().await {
                Ok(header) => return Some(header),
                Err(error) if error.is_closed() => return None,
                // Also what does not pass by itself, such as a permission: it may be given back.
                Err(_) => backoff.rest().await,
            }
        }
    }

    async fn try_delete(&mut self) -> Result<ResponseHeader, Error> {
        let Owner { client, lease, key: own, .. } = &self.owner;
        let Some(created) = self.created else {
            let found = client.get(own.clone()).await?;
            // In the name of this lease nobody else writes there.
            let ours = found.first().filter(|pair| pair.lease == lease.id());
            if let Some(pair) = ours {
                self.found(Some(pair.create_revision));
                return Box::pin(self.try_delete()).await;
            }
            return Ok(found.header);
        };
        let is_ours = key(own.clone()).create_revision().eq(created);
        let done = client.txn().when([is_ours]).then([delete(own.clone())]).await?;
        self.created = None;
        Ok(done.header)
    }
}

/// Waits until the key is written by anybody.
async fn written(owner: &Owner, last: &ResponseHeader) {
    let Owner { client, key: own, .. } = owner;
    let mut backoff = Backoff::new(client);
    let mut token = ResumeToken::after(last);
    loop {
        let watch = client.watch(key(own.clone())).resume(token).without_deletes();
        if let Ok(mut watch) = watch.await
            && let Some(Ok(_)) = watch.next().await
        {
            return;
        }
        backoff.rest().await;
        match client.get(own.clone()).keys_only().await {
            Ok(found) if found.first().is_none() => token = ResumeToken::after(&found.header),
            Ok(_) => return,
            Err(_) => {}
        }
    }
}

/// Deletes what is left, in the background, until that is known to be done or the session is gone.
// I-S5
pub(super) fn spawn(mut remains: Remains) {
    if is_gone(&remains.owner) {
        return;
    }
    if let Some(turn) = &remains.turn {
        turn.announce_end();
    }
    let owner = remains.owner.clone();
    let client = owner.client.clone();
    client.spawn(async move {
        race(gone(owner), remains.clear()).await;
    });
}

/// Returns whether the keys of the session are gone, or go without us.
fn is_gone(owner: &Owner) -> bool {
    match owner.lease.status() {
        LeaseStatus::Lost(lost) => lost.reason != LossReason::Orphaned,
        _ => false,
    }
}

/// Completes when the keys of the session are gone, or go without us.
async fn gone(owner: Owner) {
    let lost = owner.lease.lost().await;
    if matches!(lost.reason, LossReason::Orphaned | LossReason::Closed) {
        // They stay for as long as the lease does.
        let rt = owner.client.runtime();
        rt.sleep_until(rt.now() + owner.lease.ttl()).await;
    }
}
