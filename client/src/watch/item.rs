//! What a watch delivers besides batches of events.

use super::handle::{Watch, WatchHandle};
use super::status::WatchStatus;
use crate::Error;
use etcd3_core::ResponseHeader;
use etcd3_core::watch::{ResumeToken, WatchBatch};
use futures_core::Stream;
use std::pin::Pin;
use std::task::{Context, Poll};

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
    /// [`progress_notify`](crate::Request::progress_notify) asks for. Of several that wait to be
    /// taken without events between them, only the last is kept.
    // I-W7
    Progress(i64),
    /// The watch goes on, at this revision, after its stream was lost, or after it was suspended
    /// since too much was not taken.
    Resumed(i64),
}

impl WatchItem {
    /// Returns the events, if there are some.
    #[must_use]
    pub fn into_batch(self) -> Option<WatchBatch> {
        match self {
            Self::Events(batch) => Some(batch),
            Self::Created(_) | Self::Progress(_) | Self::Resumed(_) => None,
        }
    }
}

/// A watch as a stream of everything that it delivers; made by [`Watch::into_items`].
#[derive(Debug)]
#[must_use = "a watch that is dropped is cancelled"]
pub struct WatchItems(Watch);

impl WatchItems {
    pub(super) const fn new(watch: Watch) -> Self {
        Self(watch)
    }

    /// Waits for the next item; `None` after the end was told.
    ///
    /// # Errors
    ///
    /// Why the watch ended, once.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<WatchItem, Error>> {
        self.0.next_item().await
    }

    /// Returns how the watch does.
    #[must_use]
    pub fn status(&self) -> WatchStatus {
        self.0.status()
    }

    /// Returns from where a later watch goes on; see [`Watch::resume_token`].
    #[must_use]
    pub fn resume_token(&self) -> ResumeToken {
        self.0.resume_token()
    }

    /// Returns a handle by which others can look at the watch, ask for progress, or cancel it.
    #[must_use]
    pub fn handle(&self) -> WatchHandle {
        self.0.handle()
    }

    /// Turns back into a stream of events.
    pub fn into_watch(self) -> Watch {
        self.0
    }
}

impl Stream for WatchItems {
    type Item = Result<WatchItem, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_item(cx)
    }
}
