//! The changes of a cache, as a stream.

use super::Cache;
use super::store::Changes;
use crate::Error;
use crate::list_watch::differences_of;
use etcd3_core::watch::{Event, WatchBatch};
use etcd3_core::{Difference, KeyRange};
use event_listener::EventListener;
use futures_core::Stream;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The changes of a range within a [`Cache`]: a stream of [`CacheItem`]s. Made by
/// [`Cache::changes`].
///
/// Read from what the cache remembers, so that any number of streams takes no more memory. One that
/// is read so slowly that its next change is forgotten ends in
/// [`WatchCompacted`](crate::ErrorKind::WatchCompacted): begin another by
/// [`Cache::range_and_changes`]. Keeps the cache alive.
///
/// # Cancel safety
///
/// Dropping the future of one `next` loses nothing.
#[must_use = "a stream does nothing until it is polled"]
pub struct CacheChanges {
    cache: Cache,
    range: KeyRange,
    /// The first revision that was not delivered.
    next: i64,
    listener: Option<EventListener>,
    is_over: bool,
}

/// What has changed in a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheItem {
    /// Changes of one or more revisions, each of them whole.
    Events(WatchBatch),
    /// What was different as of this revision, after the changes themselves had been compacted;
    /// empty where that is nothing of the range.
    Differences(i64, Vec<Difference>),
}

impl CacheItem {
    /// Returns the last revision of it.
    #[must_use]
    pub fn revision(&self) -> i64 {
        match self {
            Self::Events(batch) => batch.revision(),
            Self::Differences(revision, _) => *revision,
        }
    }

    /// Returns what the item does to the pairs, in order: for those who keep the state and do not
    /// care how it came about.
    #[must_use]
    pub fn into_differences(self) -> Vec<Difference> {
        match self {
            Self::Events(batch) => differences_of(batch),
            Self::Differences(_, differences) => differences,
        }
    }
}

impl CacheChanges {
    pub(super) const fn new(cache: Cache, range: KeyRange, next: i64) -> Self {
        Self { cache, range, next, listener: None, is_over: false }
    }

    /// Waits for the next changes; `None` after a failure.
    ///
    /// # Errors
    ///
    /// Why the cache has ended, or that it does not remember the next change.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<CacheItem, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Looks for the next changes of the range.
    fn look(&mut self) -> Result<Option<CacheItem>, Error> {
        let state = self.cache.inner.lock();
        loop {
            let Some(update) = state.store.update_from(self.next)? else {
                return match state.store.error() {
                    Some(error) => Err(error.clone()),
                    None => Ok(None),
                };
            };
            let first = std::mem::replace(&mut self.next, update.revision + 1);
            if let Some(item) = within(&self.range, first, update.revision, update.changes) {
                return Ok(Some(item));
            }
        }
    }
}

/// Returns what of an update is of a range, and not before this revision.
fn within(range: &KeyRange, first: i64, revision: i64, changes: Changes) -> Option<CacheItem> {
    match changes {
        Changes::Events(batch) => {
            let is_of_range =
                |event: &&Event| event.revision() >= first && range.contains(&event.kv.key);
            let events: Vec<Event> = batch.events.iter().filter(is_of_range).cloned().collect();
            WatchBatch::new(batch.header, events).map(CacheItem::Events)
        }
        Changes::Differences(differences) => {
            let is_of_range = |difference: &&Difference| range.contains(difference.key());
            let some: Vec<Difference> = differences.iter().filter(is_of_range).cloned().collect();
            // Also of none: what was changed and changed back is missing all the same.
            Some(CacheItem::Differences(revision, some))
        }
    }
}

impl Stream for CacheChanges {
    type Item = Result<CacheItem, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if this.is_over {
                return Poll::Ready(None);
            }
            if let Some(listener) = &mut this.listener {
                ready!(Pin::new(listener).poll(cx));
            }
            // Made before the look, so that no change is missed.
            this.listener = Some(this.cache.inner.listen());
            match this.look() {
                Ok(None) => {}
                Ok(Some(item)) => {
                    this.listener = None;
                    return Poll::Ready(Some(Ok(item)));
                }
                Err(error) => {
                    this.is_over = true;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

impl fmt::Debug for CacheChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheChanges").field("next", &self.next).finish_non_exhaustive()
    }
}
