//! A listing of keys, and every change after it.
//!
//! ```text
//!             the last page              the server took it
//!   Listing ───────────────► Beginning ─────────────────────► Watching
//!      ▲ │ compacted             │ compacted                     │ compacted
//!      └─┴───────────────────────┴───────────────────────────────┘
//!
//!   any state ── any other failure ──► Done
//!
//!   Listing, Beginning ── a failure that passes, after the first listing ──► Waiting ──► it again
//! ```
//!
//! The first listing delivers pairs; each further one delivers what is different from what had been
//! delivered until then.

// I-W6, I-D2, I-D3

use crate::call::CallOptions;
use crate::request::Execute;
use crate::runtime::BoxFuture;
use crate::watch::{BeginWatch, Watch, WatchHandle, WatchItem, WatchStatus};
use crate::{Client, Error, ErrorKind, Pages};
use etcd3_core::rng::Rng;
use etcd3_core::watch::{EventKind, ResumeToken, WatchBatch, WatchOptions, watch};
use etcd3_core::{Difference, KeyRange, KeyValue, KnownKeys, ResponseHeader};
use futures_core::Stream;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// A listing of a range at one revision, then every change after it: a stream of
/// [`ListWatchItem`]s. Made by [`Client::list_watch`](crate::Client::list_watch).
///
/// What is delivered adds up to the state of the range, at every moment and whatever happens: a
/// watch goes on after a loss, and where changes have been compacted away meanwhile, the range is
/// listed again and what is different is delivered. For that, the keys and their revisions are kept
/// in memory, without the values.
///
/// To have the pairs in memory, take a [`Cache`](crate::Cache) instead.
///
/// # Examples
///
/// A map that follows the keys, whatever the items are:
///
/// ```
/// use etcd3::{Difference, prefix};
/// use std::collections::BTreeMap;
///
/// # etcd3_sim::example(|client| async move {
/// # client.put("services/a", "10.0.0.1").await?;
/// # client.put("services/b", "10.0.0.2").await?;
/// let mut services = BTreeMap::new();
/// let mut list = client.list_watch(prefix("services/"));
/// # let mut left = 2;
/// while let Some(item) = list.next().await {
///     for difference in item?.into_differences() {
///         match difference {
///             Difference::Put(pair) => services.insert(pair.key, pair.value),
///             Difference::Delete(key) => services.remove(&key),
///             _ => None,
///         };
///     }
/// #   left -= 1;
/// #   if left == 0 { break; }
/// }
/// # assert_eq!(services.len(), 2);
/// # Ok(())
/// # });
/// ```
///
/// # Errors
///
/// Those of [`Pages`] and of [`Watch`], but for compaction. A failure ends the stream. Those that
/// pass do not, once the first listing is complete: the watch goes on after them, and a listing
/// that meets one is made again, for as long as it takes.
///
/// # Cancel safety
///
/// Dropping the future of one `next` loses nothing. Dropping the stream cancels the watch.
#[must_use = "a stream does nothing until it is polled"]
pub struct ListWatch {
    watch: WatchOptions,
    options: CallOptions,
    known: KnownKeys,
    /// Whether the first listing is complete.
    is_listed: bool,
    /// The header of the first page of the listing, whose revision all pages are of.
    header: Option<ResponseHeader>,
    /// From where a watch goes on after what was delivered, once a listing is complete.
    position: Option<ResumeToken>,
    /// What is to be delivered before anything else.
    next: Option<ListWatchItem>,
    /// Consecutive failures of listings, and of watches to begin.
    failures: u32,
    state: State,
    /// Declared last so that it is dropped last.
    client: Client,
}

enum State {
    Listing(Box<Pages>),
    /// A watch is being begun there. In a mutex that nobody locks, since the future alone cannot be
    /// shared between threads.
    Beginning(ResumeToken, Mutex<BoxFuture<'static, Result<Watch, Error>>>),
    Watching(Watch),
    /// Before the watch is begun there again; before another listing where there is nothing.
    Waiting(Option<ResumeToken>, Mutex<BoxFuture<'static, ()>>),
    Done,
}

/// What a [`ListWatch`] delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListWatchItem {
    /// A part of the first listing, in the order of the keys; never empty.
    Page(Vec<KeyValue>),
    /// The first listing is complete: all there was at this revision. Comes also where there was
    /// nothing.
    Listed(i64),
    /// Changes of one or more revisions, each of them whole.
    Events(WatchBatch),
    /// Changes from the revision `requested` on have been compacted away, up to `compacted`, or to
    /// an unknown revision if that is 0. What follows until [`Resynced`](Self::Resynced) is what is
    /// different from what was delivered, without the steps between.
    Compacted {
        /// The first revision that was not delivered.
        requested: i64,
        /// The oldest revision that can be watched.
        compacted: i64,
    },
    /// A part of what is different.
    Differences(Vec<Difference>),
    /// All is delivered that was different at this revision.
    Resynced(i64),
    /// Everything up to this revision has been delivered.
    Progress(i64),
    /// The watch goes on, at this revision.
    Resumed(i64),
}

impl ListWatchItem {
    /// Returns what the item does to the pairs, in order: for those who keep the state and do not
    /// care how it came about. A page is pairs that are put, and so is an event that wrote a key;
    /// news without pairs are nothing.
    #[must_use]
    pub fn into_differences(self) -> Vec<Difference> {
        match self {
            Self::Page(pairs) => pairs.into_iter().map(Difference::Put).collect(),
            Self::Events(batch) => differences_of(batch),
            Self::Differences(differences) => differences,
            Self::Listed(_)
            | Self::Compacted { .. }
            | Self::Resynced(_)
            | Self::Progress(_)
            | Self::Resumed(_) => Vec::new(),
        }
    }
}

/// Returns what events do to the pairs.
pub(crate) fn differences_of(batch: WatchBatch) -> Vec<Difference> {
    let events = batch.into_iter();
    let differences = events.map(|event| match event.kind {
        EventKind::Put => Difference::Put(event.kv),
        EventKind::Delete => Difference::Delete(event.kv.key),
    });
    differences.collect()
}

impl ListWatch {
    pub(crate) fn new(client: Client, range: KeyRange) -> Self {
        let (watch, options) = (watch(range), CallOptions::default());
        let pages = pages(&client, &watch, options);
        Self {
            watch,
            options,
            known: KnownKeys::default(),
            is_listed: false,
            header: None,
            position: None,
            next: None,
            failures: 0,
            state: State::Listing(pages),
            client,
        }
    }

    pub(crate) fn with_options(mut self, options: CallOptions) -> Self {
        self.options = options;
        self.restart()
    }

    /// Delivers with each event the pair as it was before.
    pub fn prev_kv(mut self) -> Self {
        self.watch = self.watch.prev_kv();
        self
    }

    /// Has the server say now and then up to which revision everything has been delivered, while
    /// there are no events.
    pub fn progress_notify(mut self) -> Self {
        self.watch = self.watch.progress_notify();
        self
    }

    /// Sets how many bytes of events may wait to be taken, as for a watch.
    pub fn max_buffered_bytes(mut self, limit: usize) -> Self {
        self.watch = self.watch.max_buffered_bytes(limit);
        self
    }

    /// Watches on a stream of its own, as for a watch.
    pub fn own_stream(mut self) -> Self {
        self.watch = self.watch.own_stream();
        self
    }

    /// Sets how long one page may take, and how long it may take until a server has taken the
    /// watch, in place of `Config::request_timeout`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self.restart()
    }

    /// Sets whether a member that knows no leader is to refuse the pages and the watch; in place of
    /// `Config::require_leader` for the pages, and of true for the watch.
    pub fn require_leader(mut self, is_required: bool) -> Self {
        self.options.require_leader = Some(is_required);
        self.restart()
    }

    /// Begins with these options; nothing was sent yet.
    fn restart(mut self) -> Self {
        self.state = State::Listing(pages(&self.client, &self.watch, self.options));
        self
    }

    /// Waits for the next item; `None` after a failure.
    ///
    /// # Errors
    ///
    /// Those of the stream; a failure ends it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<ListWatchItem, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Returns how the watch does; `None` as long as the range is being listed.
    #[must_use]
    pub fn status(&self) -> Option<WatchStatus> {
        match &self.state {
            State::Watching(watch) => Some(watch.status()),
            State::Listing(_) | State::Beginning(..) | State::Waiting(..) | State::Done => None,
        }
    }

    /// Returns from where a later watch goes on after all that was delivered; `None` as long as a
    /// listing is not complete, the later ones included.
    #[must_use]
    pub const fn resume_token(&self) -> Option<ResumeToken> {
        // Of the last two items of a listing, the first one does not complete it.
        if self.next.is_some() { None } else { self.position }
    }

    /// Returns a handle of the watch that there is.
    pub(crate) fn handle(&self) -> Option<WatchHandle> {
        match &self.state {
            State::Watching(watch) => Some(watch.handle()),
            State::Listing(_) | State::Beginning(..) | State::Waiting(..) | State::Done => None,
        }
    }

    /// Takes a page of a listing.
    fn take_page(&mut self, header: ResponseHeader, page: Vec<KeyValue>) -> Option<ListWatchItem> {
        self.header.get_or_insert(header);
        if self.is_listed {
            let differences = self.known.take_page(page);
            return (!differences.is_empty()).then_some(ListWatchItem::Differences(differences));
        }
        let differences = self.known.take_page(page);
        let pairs = differences.into_iter().filter_map(|difference| match difference {
            Difference::Put(pair) => Some(pair),
            _ => None,
        });
        let pairs: Vec<KeyValue> = pairs.collect();
        (!pairs.is_empty()).then_some(ListWatchItem::Page(pairs))
    }

    /// The listing is complete: watches from there on.
    fn end_listing(&mut self) -> Option<ListWatchItem> {
        let header = self.header.take().unwrap_or_default();
        let (revision, gone) = (header.revision, self.known.end_listing());
        let is_first = !std::mem::replace(&mut self.is_listed, true);
        self.position = Some(ResumeToken::after(&header));
        self.begin(ResumeToken::after(&header));
        if is_first {
            return Some(ListWatchItem::Listed(revision));
        }
        self.next = Some(ListWatchItem::Resynced(revision));
        if gone.is_empty() { self.next.take() } else { Some(ListWatchItem::Differences(gone)) }
    }

    /// Begins a watch.
    fn begin(&mut self, token: ResumeToken) {
        let watch = BeginWatch(self.watch.clone().resume(token));
        let begun = watch.execute(self.client.clone(), self.options);
        self.state = State::Beginning(token, Mutex::new(begun));
    }

    /// Begins another listing. What was delivered of the one before counts as known.
    fn list(&mut self) {
        self.header = None;
        self.position = None;
        self.known.begin_listing();
        self.state = State::Listing(pages(&self.client, &self.watch, self.options));
    }

    /// Lists again if it is a compaction that ended what was under way, and waits if the failure
    /// passes; what is to be delivered of it.
    fn fail(&mut self, error: Error) -> Result<Option<ListWatchItem>, Error> {
        let (requested, compacted) = match error.kind() {
            ErrorKind::WatchCompacted { requested, compacted } => (requested, compacted),
            _ if error.is_compacted() => (self.header.unwrap_or_default().revision, 0),
            _ => return self.wait(error).map(|()| None),
        };
        self.is_listed = true;
        self.list();
        Ok(Some(ListWatchItem::Compacted { requested, compacted }))
    }

    /// Waits before it goes on, unless the failure is of the first listing, or does not pass.
    fn wait(&mut self, error: Error) -> Result<(), Error> {
        // A linearizable read shows the past of a store that went back, for good.
        let passes = error.is_retryable() && !matches!(error.kind(), ErrorKind::StaleRead { .. });
        let token = match &self.state {
            State::Listing(_) if passes && self.is_listed => None,
            State::Beginning(token, _) if passes => Some(*token),
            _ => {
                self.state = State::Done;
                return Err(error);
            }
        };
        let shared = self.client.shared();
        self.failures = self.failures.saturating_add(1);
        let wait =
            shared.config.reconnect_backoff.after(self.failures, &mut Rng::new(shared.next_seed()));
        let sleep = self.client.runtime().sleep_until(shared.now() + wait);
        self.state = State::Waiting(token, Mutex::new(sleep));
        Ok(())
    }

    fn take_item(&mut self, item: WatchItem) -> Option<ListWatchItem> {
        match item {
            WatchItem::Created(_) => None,
            WatchItem::Events(batch) => {
                self.known.apply(&batch);
                self.position = Some(batch.resume_token());
                Some(ListWatchItem::Events(batch))
            }
            WatchItem::Progress(revision) => {
                if let Some(position) = &mut self.position {
                    position.revision = position.revision.max(revision.saturating_add(1));
                }
                Some(ListWatchItem::Progress(revision))
            }
            WatchItem::Resumed(revision) => Some(ListWatchItem::Resumed(revision)),
        }
    }

    /// Takes one step; what it comes to, if that is to be delivered.
    fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Option<ListWatchItem>, Error>>> {
        if let Some(item) = self.next.take() {
            return Poll::Ready(Some(Ok(Some(item))));
        }
        let step = match &mut self.state {
            State::Done => return Poll::Ready(None),
            State::Listing(pages) => match ready!(Pin::new(&mut **pages).poll_next(cx)) {
                Some(Ok(page)) => Ok(self.take_page(page.header, page.kvs)),
                Some(Err(error)) => self.fail(error),
                None => Ok(self.end_listing()),
            },
            State::Beginning(_, begun) => match ready!(poll_shared(begun, cx)) {
                Ok(watch) => {
                    self.failures = 0;
                    self.state = State::Watching(watch);
                    Ok(None)
                }
                Err(error) => self.fail(error),
            },
            State::Waiting(token, sleep) => {
                ready!(poll_shared(sleep, cx));
                match token.take() {
                    Some(token) => self.begin(token),
                    None => self.list(),
                }
                Ok(None)
            }
            State::Watching(watch) => match ready!(watch.poll_item(cx)) {
                Some(Ok(item)) => Ok(self.take_item(item)),
                Some(Err(error)) => self.fail(error),
                None => {
                    self.state = State::Done;
                    return Poll::Ready(None);
                }
            },
        };
        Poll::Ready(Some(step))
    }
}

fn poll_shared<T>(future: &mut Mutex<BoxFuture<'static, T>>, cx: &mut Context<'_>) -> Poll<T> {
    future.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll(cx)
}

fn pages(client: &Client, watch: &WatchOptions, options: CallOptions) -> Box<Pages> {
    Box::new(Pages::new(client.clone(), watch.range().clone()).with_options(options))
}

impl Stream for ListWatch {
    type Item = Result<ListWatchItem, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(self.poll_step(cx)) {
                Some(Ok(None)) => {}
                Some(Ok(Some(item))) => return Poll::Ready(Some(Ok(item))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl fmt::Debug for ListWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListWatch")
            .field("range", self.watch.range())
            .field("keys", &self.known.len())
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
