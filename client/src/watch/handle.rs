//! The user's end of a watch.

use super::inbox::{Inbox, Known};
use super::registry::{Command, Mailbox};
use super::status::WatchStatus;
use crate::either::either;
use crate::runtime::Runtime;
use crate::{Client, Error, ErrorKind};
use etcd3_core::error::Phase;
use etcd3_core::method::{self, Effect};
use etcd3_core::watch::{Item, WatchBatch, WatcherKey};
use etcd3_core::{Instant, Outcome, ResponseHeader};
use futures_core::Stream;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// A watch: a stream of what changes, in batches of whole revisions. Made by
/// [`Client::watch`](crate::Client::watch).
///
/// Delivers every matching change once and in the order of the revisions, whatever happens to
/// connections and members: when its stream is lost, it goes on behind the last revision that was
/// delivered, on another member if need be, for as long as it takes. It ends in an error, once, and
/// then in `None`.
///
/// What was delivered and is not taken waits in memory, up to
/// [`max_buffered_bytes`](crate::Request::max_buffered_bytes); beyond, the watch is suspended at
/// the server and goes on later. Nobody else is held up by a watch that is not read.
///
/// # Errors
///
/// - [`WatchCompacted`](ErrorKind::WatchCompacted): what was to come next has been compacted away,
///   while the watch was cut off, was suspended, or before it began.
/// - [`WatchCanceled`](ErrorKind::WatchCanceled): the server or a proxy ended it.
/// - [`ClusterChanged`](ErrorKind::ClusterChanged) and [`StaleRead`](ErrorKind::StaleRead): the
///   cluster was replaced, or restored from an older snapshot.
/// - [`ResponseOverLimit`](ErrorKind::ResponseOverLimit): an event is larger than
///   `Config::max_response_bytes`.
/// - [`Protocol`](ErrorKind::Protocol): the server breaks the rules, as by events that were not
///   asked for.
/// - [`Server`](ErrorKind::Server): the member refuses the watch where it goes on, for lack of
///   permission, for instance.
/// - [`Closed`](ErrorKind::Closed): the client was closed.
///
/// # Cancel safety
///
/// Dropping the future of one `next` loses nothing. Dropping the watch cancels it at the server at
/// once. A watch keeps its client open.
#[must_use = "a watch that is dropped is cancelled"]
pub struct Watch {
    handle: WatchHandle,
    /// Declared last so that it is dropped last.
    _client: Client,
}

/// What a watch delivers besides events, and events.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchItem {
    /// The server took the watch: the first item, which comes only once. The header is that of the
    /// answer; its revision is not where the watch begins.
    // I-W5
    Created(ResponseHeader),
    /// Events.
    Events(WatchBatch),
    /// Everything up to this revision has been delivered: the answer to
    /// [`request_progress`](Watch::request_progress), or what
    /// [`progress_notify`](crate::Request::progress_notify) asks for.
    // I-W7
    Progress(i64),
    /// The watch goes on, at this revision, after its stream was lost, or after it was suspended
    /// since too much was not taken.
    Resumed(i64),
}

impl Watch {
    pub(super) const fn new(handle: WatchHandle, client: Client) -> Self {
        Self { handle, _client: client }
    }

    /// Waits for the next batch of events; `None` after the end was told.
    ///
    /// # Errors
    ///
    /// Why the watch ended, once.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<WatchBatch, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    pub(crate) fn poll_item(&self, cx: &mut Context<'_>) -> Poll<Option<Result<WatchItem, Error>>> {
        self.handle.poll_item(cx)
    }

    /// Waits for the next batch of events, or other news; `None` after the end was told.
    ///
    /// # Errors
    ///
    /// Why the watch ended, once.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next_item(&mut self) -> Option<Result<WatchItem, Error>> {
        poll_fn(|cx| self.handle.poll_item(cx)).await
    }

    /// Turns into a stream that yields other news, too.
    pub const fn into_items(self) -> WatchItems {
        WatchItems(self)
    }

    /// Returns how the watch does.
    #[must_use]
    pub fn status(&self) -> WatchStatus {
        self.handle.status()
    }

    /// Asks the server up to which revision everything has been delivered, and waits for the
    /// answer, which also comes as an [item](WatchItem::Progress), behind the events that it
    /// covers.
    ///
    /// Servers answer only when none of the watches of the stream is catching up or begins in the
    /// future, and proxies never do. Those before 3.4.25 and 3.5.8 may answer before they have sent
    /// all events up to the revision that they name; there the answer is taken when it was given
    /// twice.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](ErrorKind::TimedOut) after `Config::request_timeout`, and why the watch ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops waiting.
    // W23, W24, W25
    pub async fn request_progress(&self) -> Result<i64, Error> {
        self.handle.request_progress().await
    }

    /// Cancels the watch at the server, and waits until its task knows; what waits to be taken is
    /// dropped. Takes no time to speak of, also when no server can be reached.
    ///
    /// # Cancel safety
    ///
    /// The watch is cancelled as soon as this is called.
    // I-W9
    pub async fn cancel(self) {
        self.handle.cancel().await;
    }

    /// Returns a handle by which others can look at the watch, ask for progress, or cancel it.
    #[must_use]
    pub fn handle(&self) -> WatchHandle {
        self.handle.clone()
    }
}

impl Stream for Watch {
    type Item = Result<WatchBatch, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(self.handle.poll_item(cx)) {
                Some(Ok(WatchItem::Events(batch))) => return Poll::Ready(Some(Ok(batch))),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let WatchHandle { mailbox, key, .. } = &self.handle;
        mailbox.command(Command::Cancel(*key));
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// A watch as a stream of everything that it delivers; made by [`Watch::into_items`].
#[derive(Debug)]
#[must_use = "a watch that is dropped is cancelled"]
pub struct WatchItems(Watch);

impl WatchItems {
    /// Turns back into a stream of events.
    pub fn into_watch(self) -> Watch {
        self.0
    }
}

impl Stream for WatchItems {
    type Item = Result<WatchItem, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.handle.poll_item(cx)
    }
}

/// A handle of a [`Watch`], for others than the one who reads it; made by [`Watch::handle`].
///
/// Does not keep the watch alive.
#[derive(Clone)]
pub struct WatchHandle {
    pub(super) inbox: Arc<Inbox>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) key: WatcherKey,
    pub(super) rt: Arc<dyn Runtime>,
    /// How long progress is waited for.
    pub(super) timeout: Duration,
}

impl WatchHandle {
    /// Returns how the watch does.
    #[must_use]
    pub fn status(&self) -> WatchStatus {
        let (known, stream) = (self.inbox.known(), self.mailbox.status());
        let heard = stream.heard.map(Instant::from_nanos);
        WatchStatus {
            is_live: known.is_live,
            endpoint: stream.endpoint,
            revision: known.next - 1,
            age: heard.map(|heard| self.rt.now().saturating_since(heard)),
            last_error: known.error.or(stream.last_error),
        }
    }

    /// Asks the server for progress; see [`Watch::request_progress`].
    ///
    /// # Errors
    ///
    /// Those of [`Watch::request_progress`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops waiting.
    pub async fn request_progress(&self) -> Result<i64, Error> {
        let (before, _) = self.inbox.known().progress;
        self.mailbox.command(Command::RequestProgress(self.key));
        let told = self.until(self.rt.now() + self.timeout, |known| {
            let (count, revision) = known.progress;
            (count > before).then_some(revision)
        });
        told.await.map_err(|error| error.unwrap_or_else(|| timed_out(Phase::Answer)))
    }

    /// Cancels the watch; see [`Watch::cancel`]. Whoever reads it gets `None` next.
    pub async fn cancel(&self) {
        self.mailbox.command(Command::Cancel(self.key));
        // It waits for nothing else than the end.
        let _ = self.until::<()>(self.rt.now() + self.timeout, |_| None).await;
        // Of a watch that ended before, the task knows no more, and items may wait to be taken.
        self.inbox.cancel();
    }

    /// Waits until something is known of the watch; why not, if it ended before or it is too late.
    pub(super) async fn until<T>(
        &self,
        deadline: Instant,
        mut find: impl FnMut(&Known) -> Option<T>,
    ) -> Result<T, Option<Error>> {
        let mut timer = None;
        loop {
            let changed = self.inbox.listen();
            let known = self.inbox.known();
            if let Some(found) = find(&known) {
                return Ok(found);
            }
            if known.is_over {
                let over = || Error::new(ErrorKind::WatchCanceled);
                return Err(Some(known.error.unwrap_or_else(over)));
            }
            if self.rt.now() >= deadline {
                return Err(None);
            }
            let timer = timer.get_or_insert_with(|| self.rt.sleep_until(deadline));
            either(changed, timer.as_mut()).await;
        }
    }

    /// Takes the next item.
    fn poll_item(&self, cx: &mut Context<'_>) -> Poll<Option<Result<WatchItem, Error>>> {
        Poll::Ready(match ready!(self.inbox.poll_take(cx)) {
            None => None,
            Some(Err(error)) => Some(Err(error)),
            Some(Ok((item, taken))) => {
                if taken > 0 {
                    self.mailbox.command(Command::Taken(self.key, taken));
                }
                Some(Ok(match item {
                    Item::Created(header) => WatchItem::Created(header),
                    Item::Events(batch, _) => WatchItem::Events(batch),
                    Item::Progress(revision) => WatchItem::Progress(revision),
                    Item::Resumed(revision) => WatchItem::Resumed(revision),
                }))
            }
        })
    }
}

impl fmt::Debug for WatchHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchHandle").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// Makes the error of a watch that waited too long.
pub(super) fn timed_out(phase: Phase) -> Error {
    Error::new(ErrorKind::TimedOut(phase))
        .with_outcome(Outcome::Unknown)
        .with_method(method::WATCH.path)
        .with_effect(Effect::Read)
}
