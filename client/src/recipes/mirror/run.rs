//! A range of one cluster, kept the same in another one.

// Y4, I-D3, cases 23 and 16431

use super::super::race::race;
use super::super::retry::{Backoff, passes};
use super::applied::{Applied, Step};
use super::changes::{Capacity, Change};
use super::leases::{Attached, Renewal};
use super::options::{Leased, Occupied};
use super::prefixes::Prefixes;
use super::target::Target;
use super::{MirrorError, SyncItem, Syncer};
use crate::{
    Bytes, Client, Difference, Event, IntoBytes, KeyRange, KeyValue, LeaseId, ResumeToken,
    ServerError,
};
use std::collections::BTreeMap;

/// What one transaction of etcd may hold, unless its servers are told otherwise.
const MAX_TXN_OPS: usize = 128;
/// The bytes of changes in a transaction; a server takes requests of 1.5 MiB.
const MAX_TXN_BYTES: usize = 1_408 << 10;

/// Keeps the keys with a prefix the same in another cluster, as `etcdctl make-mirror` does, and
/// across restarts, compactions and lost answers.
///
/// | `make-mirror` | here |
/// |---|---|
/// | `--prefix` | `prefix` of [`new`](Self::new) |
/// | `--dest-prefix` | [`dest_prefix`](Self::dest_prefix) |
/// | `--no-dest-prefix` | [`no_dest_prefix`](Self::no_dest_prefix) |
/// | `--rev` | [`first_revision`](Self::first_revision) |
/// | `--max-txn-ops` | [`max_txn_ops`](Self::max_txn_ops) |
///
/// First everything there is is copied, page by page; then each revision of the source becomes one
/// transaction in the target. Only a revision that changed more than a transaction of the target
/// may hold takes several; [`Applied::transactions`] says so.
///
/// Each transaction stores under a key of your choice how far the copy has come. A mirror that is
/// started again goes on there. One whose answer was lost is settled by that key, so that none is
/// made twice; and of two mirrors that store under the same key, only one at a time makes changes.
///
/// If changes were compacted away while the mirror was not there, everything is compared, and what
/// is different is changed, deletions included. Until that is done, and during the first copy, the
/// copy has keys of several revisions.
///
/// # Examples
///
/// ```
/// use etcd3::recipes::mirror::Mirror;
///
/// # etcd3_sim::example(|source| async move {
/// # let target = source.clone();
/// source.put("app/colour", "red").await?;
///
/// let mut mirror = Mirror::new(&source, &target, "app/", "mirrors/app").dest_prefix("copy/app/");
/// // The loop of a program has no end.
/// while mirror.position().is_none() {
///     let applied = mirror.next().await?;
///     println!("{:?}: {} put, {} deleted", applied.step, applied.puts, applied.deletes);
/// }
/// let copy = target.get("copy/app/colour").await?;
/// assert_eq!(copy.kvs[0].value, "red");
/// # Ok(())
/// # });
/// ```
///
/// # Keys with leases
///
/// [`Leased`] says what becomes of them.
///
/// # Errors
///
/// See [`MirrorError`]. A failure ends nothing: a later call goes on. Once something was applied,
/// failures that pass are waited out.
///
/// # Cancel safety
///
/// Dropping the future of `next` loses nothing. What is being applied then is applied again, with
/// the same result.
#[derive(Debug)]
#[must_use = "a mirror does nothing until it is asked for what is next"]
pub struct Mirror {
    source: Client,
    target: Target,
    options: Options,
    syncer: Option<Syncer>,
    /// What is being applied.
    item: Option<SyncItem>,
    attached: Option<Attached>,
    /// Whether something was applied, so that failures that pass are waited out.
    has_begun: bool,
}

#[derive(Debug)]
struct Options {
    prefixes: Prefixes,
    from_revision: i64,
    leased: Leased,
    occupied: Occupied,
    capacity: Capacity,
}

impl Mirror {
    /// Makes a mirror of the keys with a prefix, which may be empty, and stores its position under
    /// the key `position` of the target. Asks for nothing yet. The keys keep their names.
    pub fn new(
        source: &Client,
        target: &Client,
        prefix: impl IntoBytes,
        position: impl IntoBytes,
    ) -> Self {
        let prefix = prefix.into_bytes();
        let options = Options {
            prefixes: Prefixes { target: prefix.clone(), source: prefix },
            from_revision: 0,
            leased: Leased::default(),
            occupied: Occupied::default(),
            capacity: Capacity { ops: MAX_TXN_OPS, bytes: MAX_TXN_BYTES },
        };
        Self {
            source: source.clone(),
            target: Target::new(target.clone(), position.into_bytes()),
            options,
            syncer: None,
            item: None,
            attached: None,
            has_begun: false,
        }
    }

    /// Replaces the prefix by this one in the target.
    pub fn dest_prefix(mut self, prefix: impl IntoBytes) -> Self {
        self.options.prefixes.target = prefix.into_bytes();
        self
    }

    /// Removes the prefix in the target. Every key there counts as one of the copy then, but for
    /// the key of the position; see [`Occupied`].
    pub fn no_dest_prefix(self) -> Self {
        self.dest_prefix("")
    }

    /// Copies the changes of this revision and of later ones alone, and not what was there before;
    /// 0 copies everything. A position that is stored counts more. If the revision was compacted
    /// away, everything is compared, or refused; see [`Occupied`].
    pub fn first_revision(mut self, revision: i64) -> Self {
        self.options.from_revision = revision;
        self
    }

    /// Sets what becomes of keys that are attached to a lease. Those that were copied already stay
    /// as they are until they change, or everything is compared.
    pub fn leased(mut self, leased: Leased) -> Self {
        self.options.leased = leased;
        self
    }

    /// Sets what becomes of keys that the target has where the copy is to be.
    pub fn occupied(mut self, occupied: Occupied) -> Self {
        self.options.occupied = occupied;
        self
    }

    /// Sets how many operations a transaction of the target may have, that for the position
    /// included; 2 at least, and 128 unless its servers are told otherwise. Where the target takes
    /// fewer, they become fewer by themselves.
    pub fn max_txn_ops(mut self, ops: usize) -> Self {
        self.options.capacity.ops = ops.max(2);
        self
    }

    /// Returns from where the mirror goes on after all that the target has; `None` as long as the
    /// copy is not complete, or it is not known yet.
    #[must_use]
    pub fn position(&self) -> Option<ResumeToken> {
        self.target.stored.and_then(|stored| stored.token)
    }

    /// Applies what is next, and says what it was. Waits for it as long as it takes.
    ///
    /// # Errors
    ///
    /// Those of the mirror; a later call goes on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Applied, MirrorError> {
        let mut backoff = Backoff::new(&self.target.client);
        loop {
            match self.step().await {
                Ok(Some(applied)) => {
                    self.has_begun |= !matches!(applied.step, Step::Resumed(_));
                    return Ok(applied);
                }
                Ok(None) => {}
                Err(error) => {
                    let passes = error.call().is_some_and(passes);
                    if error == MirrorError::Overtaken {
                        (self.syncer, self.item) = (None, None);
                    }
                    if !(passes && self.has_begun) {
                        return Err(error);
                    }
                    backoff.rest().await;
                }
            }
        }
    }

    /// Takes one step; `None` if nothing was applied by it.
    async fn step(&mut self) -> Result<Option<Applied>, MirrorError> {
        if self.syncer.is_none() {
            self.start().await?;
            if let Some(token) = self.position() {
                return Ok(Some(Applied::new(Step::Resumed(token.revision.saturating_sub(1)))));
            }
        }
        if !self.renew().await? {
            return Ok(None);
        }
        if self.item.is_none() {
            self.item = self.hear().await?;
        }
        let Some(item) = self.item.clone() else { return Ok(None) };
        match self.apply(&item).await {
            Err(MirrorError::Target(error)) if error.is_lease_not_found() => {
                self.lose_lease();
                Ok(None)
            }
            Err(MirrorError::Target(error)) if self.shrink(error.server_error()) => Ok(None),
            applied => {
                let applied = applied?;
                self.item = None;
                Ok(Some(applied))
            }
        }
    }

    /// Finds out where to go on.
    async fn start(&mut self) -> Result<(), MirrorError> {
        self.target.read().await?;
        let stored = self.target.stored;
        let lease = stored.map_or(LeaseId::NONE, |stored| stored.lease);
        let mut token = stored.and_then(|stored| stored.token);
        let now = self.source.runtime().now();
        self.attached = None;
        if let Leased::Attach(ttl) = self.options.leased {
            self.attached = Some(Attached::new(ttl, lease, now));
        } else if lease != LeaseId::NONE {
            // Keys that are still attached to it have to be written again.
            token = None;
        }
        let range = self.options.prefixes.source_range();
        if stored.is_none() && self.options.from_revision > 0 {
            let revision = self.options.from_revision;
            token = Some(ResumeToken { revision, cluster_id: 0 });
        } else {
            self.refuse_occupied().await?;
        }
        self.syncer = Some(match token {
            Some(token) => Syncer::resume(&self.source, range, token),
            None => Syncer::new(&self.source, range),
        });
        Ok(())
    }

    /// Fails if keys are where the copy is to be, unless it is the mirror's own.
    async fn refuse_occupied(&self) -> Result<(), MirrorError> {
        if self.target.stored.is_some() || self.options.occupied != Occupied::Refuse {
            return Ok(());
        }
        let range = self.options.prefixes.target_range();
        let found = self.target.client.get(range).keys_only().limit(2).await;
        let found = found.map_err(MirrorError::Target)?.kvs;
        let is_free = found.iter().all(|pair| pair.key == self.target.key);
        if is_free { Ok(()) } else { Err(MirrorError::Occupied) }
    }

    /// Waits for the next item; `None` where the lease is to be renewed before it comes.
    async fn hear(&mut self) -> Result<Option<SyncItem>, MirrorError> {
        let Some(syncer) = &mut self.syncer else { return Ok(None) };
        let due = self.attached.as_ref().and_then(|it| it.when_due(&self.target.client));
        let item = match due {
            Some(due) => {
                let due = async {
                    due.await;
                    Ok(None)
                };
                race(async { syncer.next().await.map(Some) }, due).await
            }
            None => syncer.next().await.map(Some),
        };
        item.map_err(MirrorError::Source)
    }

    /// Renews the lease, if that is due; false where it is gone.
    async fn renew(&mut self) -> Result<bool, MirrorError> {
        let now = self.source.runtime().now();
        let Some(attached) = self.attached.as_mut().filter(|it| it.is_due(now)) else {
            return Ok(true);
        };
        let range = self.options.prefixes.source_range();
        match attached.renew(&self.source, range.start(), &self.target.client).await? {
            Renewal::Done => Ok(true),
            Renewal::Lost => {
                self.lose_lease();
                Ok(false)
            }
        }
    }

    /// Has everything compared and written again, since keys are gone with their lease.
    fn lose_lease(&mut self) {
        if let Some(attached) = &mut self.attached {
            attached.id = LeaseId::NONE;
        }
        let range = self.options.prefixes.source_range();
        (self.syncer, self.item) = (Some(Syncer::new(&self.source, range)), None);
    }

    /// Makes do with smaller transactions, if the target refuses larger ones and any are left.
    fn shrink(&mut self, refusal: Option<ServerError>) -> bool {
        let capacity = &mut self.options.capacity;
        let (ops, bytes) = (capacity.ops / 2, capacity.bytes / 2);
        match refusal {
            Some(ServerError::TooManyOps) if ops >= 2 => capacity.ops = ops,
            Some(ServerError::RequestTooLarge) if bytes > 0 => capacity.bytes = bytes,
            _ => return false,
        }
        true
    }

    async fn apply(&mut self, item: &SyncItem) -> Result<Applied, MirrorError> {
        let before = |token: &ResumeToken| token.revision.saturating_sub(1);
        match item {
            SyncItem::Listing => Ok(Applied::new(Step::Listing)),
            SyncItem::Compacted { .. } => {
                // What is listed now is what the copy has to be.
                self.refuse_occupied().await?;
                Ok(Applied::new(Step::Compacted))
            }
            SyncItem::Page { range, pairs } => self.apply_page(range, pairs).await,
            SyncItem::Differences(differences) => self.apply_differences(differences).await,
            SyncItem::Revision { events, position } => self.apply_revision(events, *position).await,
            SyncItem::Synced(token) => {
                let applied = Applied::new(Step::Synced(before(token)));
                self.commit(Work::new(applied), Some(*token)).await
            }
            SyncItem::Progress(token) => {
                let applied = Applied::new(Step::Progress(before(token)));
                self.commit(Work::new(applied), Some(*token)).await
            }
        }
    }

    /// Makes a part of the target equal to a part of the source.
    async fn apply_page(
        &mut self,
        range: &KeyRange,
        pairs: &[KeyValue],
    ) -> Result<Applied, MirrorError> {
        let mut found = BTreeMap::new();
        let mut pages = self.target.client.pages(self.options.prefixes.range(range));
        while let Some(page) = pages.next().await {
            for pair in page.map_err(MirrorError::Target)?.kvs {
                found.insert(pair.key.clone(), pair);
            }
        }
        found.remove(&self.target.key);
        let mut work = Work::new(Applied::new(Step::Differences));
        for pair in pairs {
            let change = self.put(pair, &mut work).await?;
            match (&change, found.remove(change.key())) {
                (Change::Put(_, value, lease), Some(there))
                    if there.value == *value && there.lease == *lease => {}
                (Change::Delete(_), None) => {}
                _ => work.add(change),
            }
        }
        if self.options.occupied != Occupied::Keep {
            found.into_keys().map(Change::Delete).for_each(|change| work.add(change));
        }
        self.commit_some(work).await
    }

    async fn apply_differences(
        &mut self,
        differences: &[Difference],
    ) -> Result<Applied, MirrorError> {
        let mut work = Work::new(Applied::new(Step::Differences));
        for difference in differences {
            let change = match difference {
                Difference::Put(pair) => self.put(pair, &mut work).await?,
                other => Change::Delete(self.name(other.key())?),
            };
            work.add(change);
        }
        self.commit_some(work).await
    }

    async fn apply_revision(
        &mut self,
        events: &[Event],
        position: ResumeToken,
    ) -> Result<Applied, MirrorError> {
        let revision = events.last().map_or(0, Event::revision);
        self.target.refuse_own(revision)?;
        let mut work = Work::new(Applied::new(Step::Revision(revision)));
        for event in events {
            let change = if event.is_delete() {
                Change::Delete(self.name(event.key())?)
            } else {
                self.put(&event.kv, &mut work).await?
            };
            work.add(change);
        }
        self.commit(work, Some(position)).await
    }

    /// Returns what becomes of a pair of the source.
    // Case 23
    async fn put(&mut self, pair: &KeyValue, work: &mut Work) -> Result<Change, MirrorError> {
        let key = self.name(&pair.key)?;
        let mut lease = LeaseId::NONE;
        if pair.lease != LeaseId::NONE {
            work.applied.leased += 1;
            match (self.options.leased, &mut self.attached) {
                (Leased::Skip, _) => return Ok(Change::Delete(key)),
                (Leased::Attach(_), Some(attached)) => {
                    lease = attached.ensure(&self.target.client).await?;
                }
                _ => {}
            }
        }
        Ok(Change::Put(key, pair.value.clone(), lease))
    }

    fn name(&self, key: &Bytes) -> Result<Bytes, MirrorError> {
        let name = self.options.prefixes.key(key).filter(|name| *name != self.target.key);
        name.ok_or_else(|| MirrorError::NoPlace(key.clone()))
    }

    /// Makes changes of a listing that is not complete; nothing where there are none.
    async fn commit_some(&mut self, work: Work) -> Result<Applied, MirrorError> {
        if work.changes.is_empty() {
            return Ok(work.applied);
        }
        self.commit(work, None).await
    }

    /// Makes changes, in one transaction if the target takes so many.
    async fn commit(
        &mut self,
        work: Work,
        position: Option<ResumeToken>,
    ) -> Result<Applied, MirrorError> {
        let Work { mut applied, changes } = work;
        let parts = self.options.capacity.divide(&changes);
        // What is not whole is applied again from its beginning.
        let begun = position.map(|token| ResumeToken { revision: token.revision - 1, ..token });
        for (n, part) in parts.iter().enumerate() {
            let token = if n + 1 == parts.len() { position } else { begun };
            let lease = self.attached.as_ref().map_or(LeaseId::NONE, |attached| attached.id);
            self.target.commit(part, token, lease).await?;
            applied.transactions += 1;
            if !self.renew().await? {
                // The listing that follows makes up for the parts that are left.
                break;
            }
        }
        Ok(applied)
    }
}

/// Changes that are to be made, and what will be said of them.
#[derive(Debug)]
struct Work {
    applied: Applied,
    changes: Vec<Change>,
}

impl Work {
    const fn new(applied: Applied) -> Self {
        Self { applied, changes: Vec::new() }
    }

    fn add(&mut self, change: Change) {
        match &change {
            Change::Put(..) => self.applied.puts += 1,
            Change::Delete(_) => self.applied.deletes += 1,
        }
        self.changes.push(change);
    }
}
