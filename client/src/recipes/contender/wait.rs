//! Waiting for others, and for the loss of the own key.

use super::super::RecipeError;
use super::super::race::race;
use super::super::retry::{self, Backoff, passes};
use super::{Contender, FURTHER, Owner, is_contender};
use crate::{
    Bytes, Client, Error, ErrorKind, Get, GetResponse, KeyRange, LeaseId, LeaseLost, LossReason,
    ResponseHeader, ResumeToken, SortOrder, SortTarget, get, key, ops, prefix,
};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long the question may take why a key is gone. That it is, is known, and is told in time.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads the keys under a prefix that are older than this create revision, the immediate
/// predecessor first.
// X15
fn before(under: &Bytes, create_revision: i64) -> Get {
    get(prefix(under.clone()))
        .sort(SortTarget::Create, SortOrder::Descend)
        .max_create_revision(create_revision - 1)
        .keys_only()
}

impl Contender {
    /// Waits until no contender under this prefix is older. Returns the header of the read that
    /// showed so.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    // X14, X15
    pub(in super::super) async fn wait_to_lead(
        &self,
        under: &Bytes,
    ) -> Result<ResponseHeader, RecipeError> {
        self.wait_to_be_first(under, |key| is_contender(under, key)).await
    }

    /// The same, where the keys that count are those that this says take part.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    // Case 18
    pub(in super::super) async fn wait_to_be_first(
        &self,
        under: &Bytes,
        takes_part: impl Fn(&[u8]) -> bool,
    ) -> Result<ResponseHeader, RecipeError> {
        let nearest = |found: &GetResponse| {
            let older = found.kvs.iter().find(|pair| takes_part(&pair.key));
            older.map(|pair| key(pair.key.clone()))
        };
        self.wait_for(&before(under, self.create_revision), 1, nearest).await
    }

    /// The same as [`wait`](Self::wait), where no more is read than so many pairs, as long as they
    /// have to be waited for.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub(in super::super) async fn wait_for(
        &self,
        read: &Get,
        mut limit: u64,
        blocking: impl Fn(&GetResponse) -> Option<KeyRange>,
    ) -> Result<ResponseHeader, RecipeError> {
        loop {
            let goes_on = AtomicBool::new(false);
            let look = |found: &GetResponse| {
                let range = blocking(found);
                goes_on.store(range.is_none() && found.more, Ordering::Relaxed);
                range
            };
            let header = self.wait(&read.clone().limit(limit), look).await?;
            if !goes_on.load(Ordering::Relaxed) {
                return Ok(header);
            }
            limit = limit.saturating_mul(FURTHER);
        }
    }

    /// Looks once whether no contender is older; returns the header of the read that showed so.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    // X13
    pub(in super::super) async fn leads(
        &self,
        under: &Bytes,
    ) -> Result<Option<ResponseHeader>, RecipeError> {
        let client = &self.owner.client;
        let older = before(under, self.create_revision);
        let read = retry::read(client, || client.execute(older.clone()));
        let read = self.owner.unless_lost(read).await?;
        let is_first = !read.kvs.iter().any(|pair| is_contender(under, &pair.key));
        Ok(is_first.then_some(read.header))
    }

    /// Waits until nothing in what is read has to be waited for: `blocking` returns the keys of
    /// which one must be deleted before it is worth looking again. Returns the header of the
    /// read that showed that there are none, and that the own key was there.
    ///
    /// # Errors
    ///
    /// The session is lost, or the own key was deleted, whatever the others do; and those of reads
    /// and watches that do not pass.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops waiting.
    // X14, X18, I-S2, I-S3
    pub(in super::super) async fn wait(
        &self,
        read: &Get,
        blocking: impl Fn(&GetResponse) -> Option<KeyRange>,
    ) -> Result<ResponseHeader, RecipeError> {
        self.owner.unless_lost(Box::pin(self.wait_in_session(read, blocking))).await
    }

    async fn wait_in_session(
        &self,
        read: &Get,
        blocking: impl Fn(&GetResponse) -> Option<KeyRange>,
    ) -> Result<ResponseHeader, RecipeError> {
        let (client, own) = (&self.owner.client, &self.owner.key);
        let mut backoff = Backoff::new(client);
        loop {
            // Both at one revision, so that the own key was there when the others were not.
            let both = || client.txn().then(ops![get(own.clone()).keys_only(), read.clone()]);
            let answer = retry::read(client, both).await?;
            let (mine, others) = (answer.get(0), answer.get(1));
            let is_there = mine.and_then(GetResponse::first).map(|pair| pair.create_revision);
            if is_there != Some(self.create_revision) {
                self.gone();
                return Err(why_gone(&self.owner).await);
            }
            let Some(range) = others.and_then(&blocking) else { return Ok(answer.header) };
            let token = ResumeToken::after(&answer.header);
            let theirs = async { deleted(client, range, token).await.map(|_| false) };
            let ours = deleted(client, key(own.clone()), token);
            match race(ours, theirs).await {
                Ok(true) => {
                    self.gone();
                    return Err(why_gone(&self.owner).await);
                }
                Ok(false) => {}
                Err(error) if error.is_compacted() => {}
                Err(error) if passes(&error) || error.kind() == ErrorKind::WatchCanceled => {
                    backoff.rest().await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Waits until a key of a range is deleted, from this revision on; returns whether one was.
async fn deleted(client: &Client, range: KeyRange, token: ResumeToken) -> Result<bool, Error> {
    let mut watch = client.watch(range).resume(token).without_puts().await?;
    match watch.next().await {
        Some(batch) => batch.map(|_| true),
        // It ended, and said why to nobody: look again.
        None => Ok(false),
    }
}

/// Finds out why the own key is gone: with its lease, or by somebody who deleted it.
pub(super) async fn why_gone(owner: &Owner) -> RecipeError {
    let client = &owner.client;
    let asked = async { Ok(reason(client, owner.lease.id(), &owner.key).await) };
    match owner.unless_lost::<_, RecipeError>(asked).await {
        Ok(error) | Err(error) => error,
    }
}

async fn reason(client: &Client, lease: LeaseId, key: &Bytes) -> RecipeError {
    let rt = client.runtime();
    let too_late = async {
        rt.sleep_until(rt.now() + PATIENCE).await;
        RecipeError::KeyDeleted(key.clone())
    };
    let asked = async {
        match retry::read(client, || client.time_to_live(lease)).await {
            Ok(left) if left.ttl.is_none() => LeaseLost::new(LossReason::Expired).into(),
            _ => RecipeError::KeyDeleted(key.clone()),
        }
    };
    race(asked, too_late).await
}

/// Completes when a contender is none any more, with the reason.
// I-S2, S-05, cases 19, 20
pub(in super::super) fn lost_of(
    contender: &Contender,
) -> impl Future<Output = RecipeError> + Send + 'static {
    let (client, own) = (contender.owner.client.clone(), contender.owner.key.clone());
    let (lease, of_lease) = (contender.owner.lease.id(), contender.owner.lease.lost());
    let stage = Arc::clone(&contender.stage);
    let created = contender.create_revision;
    async move {
        // Boxed: futures that hold futures move them.
        let deleted = Box::pin(async {
            until_deleted(&client, &own, created).await;
            stage.gone();
            reason(&client, lease, &own).await
        });
        let given_up = async {
            stage.given_up().await;
            RecipeError::Released
        };
        let lost = async { RecipeError::SessionLost(of_lease.await) };
        race(lost, race(given_up, deleted)).await
    }
}

/// Completes when this incarnation of a key is gone; never while that cannot be told.
async fn until_deleted(client: &Client, own: &Bytes, created: i64) {
    let mut backoff = Backoff::new(client);
    let mut token = ResumeToken { revision: created + 1, cluster_id: 0 };
    loop {
        match deleted(client, key(own.clone()), token).await {
            // The first one after the creation is that of this incarnation.
            Ok(true) => return,
            Err(error) if !error.is_compacted() => backoff.rest().await,
            // History that is gone: the key itself tells.
            _ => {}
        }
        match client.get(own.clone()).keys_only().await {
            Ok(found) if found.first().map(|pair| pair.create_revision) != Some(created) => return,
            Ok(found) => token = ResumeToken::after(&found.header),
            Err(_) => backoff.rest().await,
        }
    }
}
