//! Everything there is at one revision, then what each later revision changed.
//!
//! ```text
//!   without a position ──► Listing ── lost ──► Idle ──► Listing, if it was not complete
//!                             ▲                 │
//!                   compacted │                 ▼
//!   with a position ──► Following ◄──── with the position until then
//! ```

// Y4, I-D3

use super::super::retry::pause;
use crate::runtime::Instant;
use crate::{
    Bytes, Client, Difference, Error, ErrorKind, Event, KeyRange, KeyValue, ListWatch,
    ListWatchItem, ResumeToken, WatchBatch, WatchItem, WatchItems,
};
use std::collections::VecDeque;
use std::fmt;

/// The state of a range at one revision, then the changes of every later revision, for those who
/// keep a copy of it.
///
/// What clientv3 calls *base* and *updates*. Unlike there, it can go on where it was in an earlier
/// life, each revision comes whole and alone, and it survives a compaction: the range is listed
/// again, in a way that tells also which keys are gone.
///
/// Where the copy is another etcd, take [`Mirror`](super::Mirror), which does all of this.
///
/// # Examples
///
/// A copy in memory, whatever the items are:
///
/// ```
/// use etcd3::recipes::mirror::{SyncItem, Syncer};
/// use etcd3::{Bytes, Difference, prefix};
/// use std::collections::BTreeMap;
///
/// # etcd3_sim::example(|client| async move {
/// # client.put("app/a", "1").await?;
/// let mut copy: BTreeMap<Bytes, Bytes> = BTreeMap::new();
/// let mut syncer = Syncer::new(&client, prefix("app/"));
/// loop {
///     match syncer.next().await? {
///         // All there is in this part of the range: what else the copy has there is gone.
///         SyncItem::Page { range, pairs } => {
///             copy.retain(|key, _| !range.contains(key));
///             copy.extend(pairs.into_iter().map(|pair| (pair.key, pair.value)));
///         }
///         SyncItem::Revision { events, .. } => {
///             for event in events {
///                 match event.value() {
///                     Some(value) => copy.insert(event.key().clone(), value.clone()),
///                     None => copy.remove(event.key()),
///                 };
///             }
///         }
///         SyncItem::Differences(differences) => {
///             for difference in differences {
///                 match difference {
///                     Difference::Put(pair) => copy.insert(pair.key, pair.value),
///                     other => copy.remove(other.key()),
///                 };
///             }
///         }
///         // The copy is that of one revision: the moment to store the position.
///         SyncItem::Synced(position) => {
///             println!("synced: {position}");
/// #           break;
///         }
///         _ => {}
///     }
/// }
/// # assert_eq!(copy.len(), 1);
/// # Ok(())
/// # });
/// ```
///
/// # Keys with leases
///
/// A pair tells its lease by [`KeyValue::lease`], and nothing of its time to live. A key whose
/// lease ends is deleted, and comes as such. Where the source is gone for good, no deletion comes:
/// the copy decides what becomes of such keys.
// Case 23
///
/// # Errors
///
/// Those of [`ListWatch`], but for compaction. A failure ends nothing: the next call goes on, after
/// a wait of up to three seconds that grows with each consecutive failure.
///
/// # Cancel safety
///
/// Dropping the future of `next` loses nothing. Dropping the syncer cancels its watch.
#[must_use = "a syncer does nothing until it is asked for items"]
pub struct Syncer {
    range: KeyRange,
    state: State,
    /// From where the watch goes on; `None` before the end of a listing.
    position: Option<ResumeToken>,
    /// The last key of the pages of the listing.
    listed: Option<Bytes>,
    /// What is to be delivered before anything else is asked for, each with the position after it.
    items: VecDeque<(SyncItem, Option<ResumeToken>)>,
    failures: u32,
    /// Nothing is asked for until then, after a failure.
    not_before: Option<Instant>,
    /// Declared last so that it is dropped last.
    client: Client,
}

enum State {
    Idle,
    /// Boxed, since it has the pages and the keys.
    Listing(Box<ListWatch>),
    Following(WatchItems),
}

/// What a [`Syncer`] delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SyncItem {
    /// A listing begins, and its pages follow. One before it that did not come to
    /// [`Synced`](Self::Synced) counts for nothing.
    Listing,
    /// All pairs there are in a part of the range, in the order of the keys, at the revision of the
    /// listing. The parts of one listing follow each other, and make up the whole range; there may
    /// be no pair in one.
    Page {
        /// The part of the range.
        range: KeyRange,
        /// The pairs, all there are.
        pairs: Vec<KeyValue>,
    },
    /// All that one revision changed within the range, whole. No two events are about one key.
    Revision {
        /// The events, one at least.
        events: Vec<Event>,
        /// From where to go on after it.
        position: ResumeToken,
    },
    /// Changes from `requested` on have been compacted away, up to `compacted`, or to an unknown
    /// revision if that is 0. Either [`Differences`](Self::Differences) or a
    /// [`Listing`](Self::Listing) follows; until [`Synced`](Self::Synced) the copy has the keys of
    /// several revisions.
    Compacted {
        /// The first revision that was not delivered.
        requested: i64,
        /// The oldest revision that can be watched.
        compacted: i64,
    },
    /// A part of what became different while changes were compacted away: keys that were written,
    /// and keys that are gone.
    Differences(Vec<Difference>),
    /// The copy is complete, and that of one revision, the one before this position.
    Synced(ResumeToken),
    /// Nothing changed up to the revision before this position.
    Progress(ResumeToken),
}

impl Syncer {
    /// Makes a syncer that begins with a listing of the range. Asks for nothing yet.
    pub fn new(client: &Client, range: impl Into<KeyRange>) -> Self {
        Self {
            range: range.into(),
            state: State::Idle,
            position: None,
            listed: None,
            items: VecDeque::new(),
            failures: 0,
            not_before: None,
            client: client.clone(),
        }
    }

    /// Makes a syncer that goes on from a position that was stored; with a listing, if it was
    /// compacted away. A position of the cluster 0 fits every cluster.
    pub fn resume(client: &Client, range: impl Into<KeyRange>, position: ResumeToken) -> Self {
        Self { position: Some(position), ..Self::new(client, range) }
    }

    /// Returns from where to go on after all that was delivered; `None` as long as a listing is not
    /// complete.
    #[must_use]
    pub const fn position(&self) -> Option<ResumeToken> {
        self.position
    }

    /// Returns the range.
    #[must_use]
    pub const fn range(&self) -> &KeyRange {
        &self.range
    }

    /// Waits for the next item.
    ///
    /// # Errors
    ///
    /// Those of the syncer; a later call goes on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<SyncItem, Error> {
        loop {
            if let Some((item, position)) = self.items.pop_front() {
                self.position = position;
                return Ok(item);
            }
            if let Some(at) = self.not_before {
                self.client.runtime().sleep_until(at).await;
                self.not_before = None;
            }
            match self.advance().await {
                Ok(()) => {}
                Err(error) => self.fail(error)?,
            }
        }
    }

    /// Takes one step towards the next item.
    async fn advance(&mut self) -> Result<(), Error> {
        match &mut self.state {
            State::Idle => self.begin().await,
            State::Listing(list) => {
                let Some(item) = list.next().await.transpose()? else {
                    return self.end();
                };
                let position = list.resume_token();
                self.failures = 0;
                self.take_listed(item, position);
                Ok(())
            }
            State::Following(watch) => {
                let Some(item) = watch.next().await.transpose()? else {
                    return self.end();
                };
                let position = watch.resume_token();
                self.failures = 0;
                match item {
                    WatchItem::Events(batch) => self.take_batch(batch),
                    WatchItem::Progress(_) => self.progress(Some(position)),
                    _ => {}
                }
                Ok(())
            }
        }
    }

    async fn begin(&mut self) -> Result<(), Error> {
        if let Some(position) = self.position {
            let watch = self.client.watch(self.range.clone()).progress_notify();
            self.state = State::Following(watch.resume(position).await?.into_items());
        } else {
            let list = self.client.list_watch(self.range.clone()).progress_notify();
            self.state = State::Listing(Box::new(list));
            self.listed = None;
            self.push(SyncItem::Listing, None);
        }
        Ok(())
    }

    /// A stream ended without a reason, as when it was cancelled by a handle: it begins anew.
    #[allow(clippy::unnecessary_wraps, reason = "one of the steps")]
    fn end(&mut self) -> Result<(), Error> {
        self.state = State::Idle;
        self.wait();
        Ok(())
    }

    /// Takes a failure: a compaction makes a listing, everything else is told.
    fn fail(&mut self, error: Error) -> Result<(), Error> {
        self.state = State::Idle;
        if !error.is_compacted() {
            self.wait();
            return Err(error);
        }
        let (requested, compacted) = match error.kind() {
            ErrorKind::WatchCompacted { requested, compacted } => (requested, compacted),
            _ => (self.position.map_or(0, |position| position.revision), 0),
        };
        self.push(SyncItem::Compacted { requested, compacted }, None);
        Ok(())
    }

    fn wait(&mut self) {
        let rt = self.client.runtime();
        self.not_before = Some(rt.now() + pause(&**rt, self.failures));
        self.failures = self.failures.saturating_add(1);
    }

    fn take_listed(&mut self, item: ListWatchItem, position: Option<ResumeToken>) {
        match item {
            ListWatchItem::Page(pairs) => self.take_page(pairs),
            ListWatchItem::Listed(_) => {
                let rest = match &self.listed {
                    Some(last) => self.range.after(last),
                    None => self.range.clone(),
                };
                self.push(SyncItem::Page { range: rest, pairs: Vec::new() }, None);
                self.synced(position);
            }
            ListWatchItem::Events(batch) => self.take_batch(batch),
            ListWatchItem::Compacted { requested, compacted } => {
                if self.position.is_none() {
                    // What follows is different from what was delivered, and tells nothing of the
                    // part of the range that was not.
                    self.state = State::Idle;
                }
                self.push(SyncItem::Compacted { requested, compacted }, None);
            }
            ListWatchItem::Differences(differences) => {
                self.push(SyncItem::Differences(differences), None);
            }
            ListWatchItem::Resynced(_) => self.synced(position),
            ListWatchItem::Progress(_) => self.progress(position),
            _ => {}
        }
    }

    /// Takes a page of a listing, which tells all from the end of the one before to its last key.
    fn take_page(&mut self, pairs: Vec<KeyValue>) {
        let Some(last) = pairs.last().map(|pair| pair.key.clone()) else { return };
        let rest = match &self.listed {
            Some(before) => self.range.after(before),
            None => self.range.clone(),
        };
        let range = up_to(rest, &last);
        self.listed = Some(last);
        self.push(SyncItem::Page { range, pairs }, None);
    }

    /// Takes events of one or more revisions.
    // D-08: a revision is neither torn nor joined with another one.
    fn take_batch(&mut self, batch: WatchBatch) {
        let cluster_id = batch.resume_token().cluster_id;
        let mut events = batch.into_iter().peekable();
        while let Some(first) = events.next() {
            let revision = first.revision();
            let mut whole = vec![first];
            while let Some(event) = events.next_if(|event| event.revision() == revision) {
                whole.push(event);
            }
            let position = ResumeToken { revision: revision.saturating_add(1), cluster_id };
            self.push(SyncItem::Revision { events: whole, position }, Some(position));
        }
    }

    fn synced(&mut self, position: Option<ResumeToken>) {
        if let Some(position) = position {
            self.push(SyncItem::Synced(position), Some(position));
        }
    }

    fn progress(&mut self, position: Option<ResumeToken>) {
        let is_new = |it: &ResumeToken| self.position.is_none_or(|old| it.revision > old.revision);
        if let Some(position) = position.filter(is_new) {
            self.push(SyncItem::Progress(position), Some(position));
        }
    }

    fn push(&mut self, item: SyncItem, position: Option<ResumeToken>) {
        self.items.push_back((item, position));
    }
}

/// Returns the part of a range that ends with this key.
fn up_to(range: KeyRange, last: &Bytes) -> KeyRange {
    if range.is_single_key() {
        return range;
    }
    let mut end = last.to_vec();
    end.push(0);
    KeyRange::from_wire(range.into_parts().0, end)
}

impl fmt::Debug for Syncer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Syncer")
            .field("range", &self.range)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
