//! The pairs of a range, kept in memory.
//!
//! A task takes what a [`ListWatch`] delivers and applies it to the store; readers, subscribers and
//! those who wait for a revision look at the store, under its lock.

// Y20–Y25

mod changes;
mod store;
mod view;

pub use changes::{CacheChanges, CacheItem};
pub use view::CachedValue;

use crate::call::CallOptions;
use crate::either::either;
use crate::list_watch::{ListWatch, ListWatchItem};
use crate::request::{Execute, Request, sealed};
use crate::runtime::BoxFuture;
use crate::watch::{WatchHandle, WatchStatus, timed_out};
use crate::{Client, Error, ErrorKind};
use etcd3_core::error::Phase;
use etcd3_core::{Instant, IntoBytes, KeyRange, KeyValue, get};
use event_listener::{Event, EventListener};
use futures_core::Stream;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::Store;

/// How many bytes of changes are remembered, unless a cache says otherwise.
const MAX_HISTORY_BYTES: usize = 8 << 20;
/// The time between two questions whether there is progress.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// The pairs of a range, kept in memory and up to date. Made by
/// [`Client::cache`](crate::Client::cache).
///
/// Reads come from memory and show the range as it was at one revision: never a part of a
/// revision, and never an older one than before. While the cluster cannot be reached they show the
/// last state; [`revision`](Self::revision) and [`age`](Self::age) tell how old it is. To see what
/// was written before, [wait for its revision](Self::wait_for), or [catch up](Self::catch_up).
///
/// Cheap to clone. Dropping the last clone ends the watch behind it. A cache keeps its client open.
///
/// # Examples
///
/// ```
/// use etcd3::prefix;
///
/// # etcd3_sim::example(|client| async move {
/// client.put("flags/dark", "on").await?;
/// let cache = client.cache(prefix("flags/")).await?;
///
/// // From memory, without waiting:
/// assert_eq!(cache.get("flags/dark")?.expect("it is there").value, "on");
/// assert_eq!(cache.range(prefix("flags/"))?.len(), 1);
///
/// // The state, and every change after it:
/// let (pairs, mut changes) = cache.range_and_changes(prefix("flags/"))?;
/// assert_eq!(pairs.len(), 1);
/// client.delete("flags/dark").await?;
/// let change = changes.next().await.expect("the cache goes on")?;
/// assert_eq!(change.into_differences()[0].key(), "flags/dark");
/// # Ok(())
/// # });
/// ```
///
/// # Errors
///
/// When the watch behind it ends for good, all that is asked of the cache ends in the reason of
/// that. Compaction is none: the range is listed again, and what is different is applied at once.
/// Nor is what passes, once there is a cache: it shows the last state meanwhile.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
    _alive: Arc<Alive>,
    /// Declared last so that it is dropped last.
    client: Client,
}

/// Ends the task when the last clone of the cache is dropped.
struct Alive(Arc<Inner>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.lock().is_dropped = true;
        self.0.dropped.notify(usize::MAX);
    }
}

struct Inner {
    state: Mutex<State>,
    changed: Event,
    dropped: Event,
}

struct State {
    store: Store,
    /// The watch behind it, if there is one now.
    watch: Option<WatchHandle>,
    is_dropped: bool,
}

/// The request that [`Client::cache`](crate::Client::cache) makes: a cache that is to be begun.
#[derive(Debug, Clone)]
pub struct BeginCache {
    pub(crate) range: KeyRange,
    pub(crate) max_history_bytes: usize,
}

impl BeginCache {
    pub(crate) const fn new(range: KeyRange) -> Self {
        Self { range, max_history_bytes: MAX_HISTORY_BYTES }
    }
}

impl Request<BeginCache> {
    /// Sets how many bytes of changes are remembered for those who [subscribe](Cache::changes); 8
    /// MiB unless this is called.
    pub fn max_history_bytes(self, bytes: usize) -> Self {
        self.map(|cache| BeginCache { max_history_bytes: bytes, ..cache })
    }
}

impl sealed::Sealed for BeginCache {}

impl Execute for BeginCache {
    type Output = Result<Cache, Error>;
    type Future = BoxFuture<'static, Self::Output>;

    fn execute(self, client: Client, options: CallOptions) -> Self::Future {
        Box::pin(begin(client, self, options))
    }
}

async fn begin(client: Client, cache: BeginCache, options: CallOptions) -> Result<Cache, Error> {
    let BeginCache { range, max_history_bytes } = cache;
    let timeout = options.timeout.unwrap_or(client.shared().config.request_timeout);
    let deadline = client.shared().now() + timeout;
    let store = Store::new(range.clone(), max_history_bytes);
    let state = Mutex::new(State { store, watch: None, is_dropped: false });
    let inner = Arc::new(Inner { state, changed: Event::new(), dropped: Event::new() });
    let list = ListWatch::new(client.clone(), range).with_options(options);
    client.spawn(feed(Arc::clone(&inner), list));
    let cache = Cache { _alive: Arc::new(Alive(Arc::clone(&inner))), inner, client };
    cache.until(deadline, |store| store.revision() > 0).await?;
    Ok(cache)
}

/// Applies what the watch delivers, until it ends or the cache is dropped.
async fn feed(inner: Arc<Inner>, mut list: ListWatch) {
    loop {
        let dropped = inner.dropped.listen();
        if inner.lock().is_dropped {
            return;
        }
        let next = either(async { Some(next(&inner, &mut list).await) }, async {
            dropped.await;
            None
        });
        let Some(next) = next.await else { return };
        let mut state = inner.lock();
        let is_over = !matches!(next, Some(Ok(_)));
        match next {
            Some(Ok(item)) => state.store.take(item),
            Some(Err(error)) => state.store.fail(error),
            None => state.store.fail(Error::new(ErrorKind::Closed)),
        }
        drop(state);
        inner.changed.notify(usize::MAX);
        if is_over {
            return;
        }
    }
}

/// Waits for the next item, and notes the watch as soon as there is one, or none any more: it may
/// have nothing to deliver.
async fn next(inner: &Inner, list: &mut ListWatch) -> Option<Result<ListWatchItem, Error>> {
    poll_fn(|cx| {
        let polled = Pin::new(&mut *list).poll_next(cx);
        let mut watch = list.handle();
        let mut state = inner.lock();
        if state.watch.is_some() != watch.is_some() {
            std::mem::swap(&mut state.watch, &mut watch);
        }
        drop(state);
        polled
    })
    .await
}

impl Store {
    fn take(&mut self, item: ListWatchItem) {
        match item {
            ListWatchItem::Page(pairs) => self.load(pairs),
            ListWatchItem::Listed(revision) => self.listed(revision),
            ListWatchItem::Events(batch) => self.apply(batch),
            ListWatchItem::Differences(differences) => self.stage(differences),
            ListWatchItem::Resynced(revision) => self.resynced(revision),
            ListWatchItem::Progress(revision) => self.progressed(revision),
            ListWatchItem::Compacted { .. } | ListWatchItem::Resumed(_) => {}
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self) -> EventListener {
        self.changed.listen()
    }
}

impl Cache {
    /// Returns one pair; `None` for a key that is not there.
    ///
    /// # Errors
    ///
    /// Kind [`InvalidRequest`](ErrorKind::InvalidRequest) for a key that is not within the range of
    /// the cache, and why the cache has ended.
    pub fn get(&self, key: impl IntoBytes) -> Result<Option<KeyValue>, Error> {
        let key = key.into_bytes();
        self.read(&KeyRange::key(key.clone()), |store| store.get(&key).cloned())
    }

    /// Returns the pairs of a range, in the order of their keys.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    pub fn range(&self, range: impl Into<KeyRange>) -> Result<Vec<KeyValue>, Error> {
        let range = range.into();
        self.read(&range, |store| store.pairs(&range))
    }

    /// Returns the revision up to which every change is in the cache.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.inner.lock().store.revision()
    }

    /// Returns how long ago the server of the watch last said something; `None` while there is no
    /// watch.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.status().and_then(|status| status.age)
    }

    /// Returns how the watch behind the cache does; `None` while there is none: the range is being
    /// listed.
    #[must_use]
    pub fn status(&self) -> Option<WatchStatus> {
        let watch = self.inner.lock().watch.clone();
        watch.map(|watch| watch.status())
    }

    /// Waits until every change up to this revision is in the cache. The server is asked for
    /// progress meanwhile, since the changes may be of other keys: one question at a time, 100 ms
    /// after the answer to the one before.
    ///
    /// # Errors
    ///
    /// Kind [`TimedOut`](ErrorKind::TimedOut) after `Config::request_timeout`, as for a revision
    /// that does not exist yet and behind proxies, which tell of no progress; and why the cache has
    /// ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops waiting.
    // W23, W25
    pub async fn wait_for(&self, revision: i64) -> Result<(), Error> {
        let deadline = self.deadline();
        let arrived = self.until(deadline, |store| store.revision() >= revision);
        either(arrived, self.ask_progress(revision)).await
    }

    /// Waits until everything is in the cache that was written before this was called; returns the
    /// revision that a linearizable read showed.
    ///
    /// # Errors
    ///
    /// Those of a read, and of [`wait_for`](Self::wait_for).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops waiting.
    // Y21
    pub async fn catch_up(&self) -> Result<i64, Error> {
        let key = self.inner.lock().store.start();
        let read = get(key).keys_only();
        let found = self.client.clone().run(read, CallOptions::default()).await?;
        self.wait_for(found.header.revision).await?;
        Ok(found.header.revision)
    }

    /// Returns a stream of the changes of a range, from the next one on. To have the pairs that
    /// they change, take [`range_and_changes`](Self::range_and_changes).
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    pub fn changes(&self, range: impl Into<KeyRange>) -> Result<CacheChanges, Error> {
        let range = range.into();
        let next = self.read(&range, |store| store.revision() + 1)?;
        Ok(CacheChanges::new(self.clone(), range, next))
    }

    /// Returns the pairs of a range, in the order of their keys, and a stream of every change after
    /// that state.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    pub fn range_and_changes(
        &self,
        range: impl Into<KeyRange>,
    ) -> Result<(Vec<KeyValue>, CacheChanges), Error> {
        let range = range.into();
        let read = |store: &Store| (store.pairs(&range), store.revision() + 1);
        let (pairs, next) = self.read(&range, read)?;
        Ok((pairs, CacheChanges::new(self.clone(), range, next)))
    }

    /// Returns a stream of the changes of a range, from this revision on, that included, and from
    /// the next one on if it is 0. What the cache does not remember ends it, in kind
    /// [`WatchCompacted`](ErrorKind::WatchCompacted): a watch may still have it.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get), and kind [`InvalidRequest`](ErrorKind::InvalidRequest) for a
    /// revision below 0.
    // Case 24
    pub fn changes_from(
        &self,
        range: impl Into<KeyRange>,
        revision: i64,
    ) -> Result<CacheChanges, Error> {
        match revision {
            0 => return self.changes(range),
            ..0 => return Err(Error::invalid_request("no revision is negative")),
            1.. => {}
        }
        let range = range.into();
        self.read(&range, |_| ())?;
        Ok(CacheChanges::new(self.clone(), range, revision))
    }

    /// Returns a view of one key whose value is read by a function, once for each change.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    pub fn value<T>(
        &self,
        key: impl IntoBytes,
        read: impl Fn(&KeyValue) -> T + Send + Sync + 'static,
    ) -> Result<CachedValue<T>, Error> {
        let key = key.into_bytes();
        self.read(&KeyRange::key(key.clone()), |_| ())?;
        Ok(CachedValue::new(self.clone(), key, Box::new(read)))
    }

    fn read<T>(&self, range: &KeyRange, read: impl FnOnce(&Store) -> T) -> Result<T, Error> {
        let state = self.inner.lock();
        if let Some(error) = state.store.error() {
            return Err(error.clone());
        }
        state.store.check(range)?;
        Ok(read(&state.store))
    }

    fn deadline(&self) -> Instant {
        self.client.shared().now() + self.client.shared().config.request_timeout
    }

    /// Waits until the store is as it should be.
    async fn until(
        &self,
        deadline: Instant,
        mut is_so: impl FnMut(&Store) -> bool,
    ) -> Result<(), Error> {
        let mut timer = self.client.runtime().sleep_until(deadline);
        loop {
            let changed = self.inner.listen();
            {
                let state = self.inner.lock();
                if let Some(error) = state.store.error() {
                    return Err(error.clone());
                }
                if is_so(&state.store) {
                    return Ok(());
                }
            }
            let is_late = either(
                async {
                    changed.await;
                    false
                },
                async {
                    timer.as_mut().await;
                    true
                },
            );
            if is_late.await {
                return Err(timed_out(Phase::Answer));
            }
        }
    }

    /// Asks the server for progress again and again; does not end.
    async fn ask_progress(&self, revision: i64) -> Result<(), Error> {
        loop {
            let watch = self.inner.lock().watch.clone();
            let is_behind = self.revision() < revision;
            if let Some(watch) = watch.filter(|_| is_behind) {
                // Whatever comes of it, the store tells.
                let _ = watch.request_progress().await;
            }
            let again = self.client.shared().now() + ASK_AGAIN;
            self.client.runtime().sleep_until(again).await;
        }
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("revision", &self.revision()).finish_non_exhaustive()
    }
}
