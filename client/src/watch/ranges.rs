//! Several ranges as one stream, in the order of the revisions.
//!
//! A server sends the events of each range by themselves, and those of one range may come long
//! before those of another, though they are newer. So a revision is delivered once every range has
//! come that far, which is asked for by requests for progress.

use super::begin::{begin, pin_start};
use super::handle::Watch;
use crate::call::CallOptions;
use crate::request::{Execute, Request, sealed};
use crate::runtime::BoxFuture;
use crate::{Client, Error};
use etcd3_core::KeyRange;
use etcd3_core::watch::{ResumeToken, WatchBatch, WatchOptions, watch};
use futures_core::Stream;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// The time between two requests for progress of a range that is behind.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// A watch of several ranges: a stream of batches in the order of their revisions, each of which
/// has the changes of one revision in all of the ranges. Made by
/// [`Client::watch_ranges`](crate::Client::watch_ranges).
///
/// A revision is delivered when the server has said of every range that there is nothing before it:
/// it is asked for that, which takes a round trip. Behind a proxy, which does not answer, the
/// changes of one range wait for those of the others.
///
/// # Errors
///
/// Those of [`Watch`]; the first range that ends ends all.
///
/// # Cancel safety
///
/// Dropping the future of one `next` loses nothing. Dropping the stream cancels all.
#[must_use = "a watch that is dropped is cancelled"]
pub struct WatchRanges {
    parts: Vec<Part>,
    /// Progress that is asked for; in a mutex that nobody locks.
    asking: Mutex<Option<BoxFuture<'static, ()>>>,
    is_over: bool,
}

struct Part {
    watch: Watch,
    /// What was taken and not delivered, each of one revision.
    pending: VecDeque<WatchBatch>,
    /// Everything up to this revision is among these, or was.
    reached: i64,
}

/// The request that [`Client::watch_ranges`](crate::Client::watch_ranges) makes.
#[derive(Debug, Clone)]
pub struct BeginWatchRanges(Vec<WatchOptions>);

impl BeginWatchRanges {
    pub(crate) fn new(ranges: impl IntoIterator<Item = impl Into<KeyRange>>) -> Self {
        Self(ranges.into_iter().map(watch).collect())
    }
}

impl Request<BeginWatchRanges> {
    /// Delivers every change from this revision on, that included; see the option of a watch.
    pub fn from_revision(self, revision: i64) -> Self {
        self.each(|watch| watch.from_revision(revision))
    }

    /// Resumes where a batch of an earlier watch of the same ranges ended.
    pub fn resume(self, token: ResumeToken) -> Self {
        self.each(|watch| watch.resume(token))
    }

    /// Delivers with each event the pair as it was before.
    pub fn prev_kv(self) -> Self {
        self.each(WatchOptions::prev_kv)
    }

    /// Sets how many bytes of events of each range may wait to be taken; see the option of a watch.
    pub fn max_buffered_bytes(self, limit: usize) -> Self {
        self.each(|watch| watch.max_buffered_bytes(limit))
    }

    fn each(self, change: impl Fn(WatchOptions) -> WatchOptions) -> Self {
        self.map(|BeginWatchRanges(all)| BeginWatchRanges(all.into_iter().map(change).collect()))
    }
}

impl sealed::Sealed for BeginWatchRanges {}

impl Execute for BeginWatchRanges {
    type Output = Result<WatchRanges, Error>;
    type Future = BoxFuture<'static, Self::Output>;

    fn execute(self, client: Client, options: CallOptions) -> Self::Future {
        Box::pin(begin_all(client, self.0, options))
    }
}

async fn begin_all(
    client: Client,
    mut watches: Vec<WatchOptions>,
    options: CallOptions,
) -> Result<WatchRanges, Error> {
    let Some(first) = watches.first() else {
        return Err(Error::invalid_request("no range is named"));
    };
    if first.start() == 0 {
        // All begin at the same revision.
        let pinned = pin_start(&client, first.clone(), options).await?;
        let token = ResumeToken { revision: pinned.start(), cluster_id: pinned.cluster_id() };
        watches = watches.into_iter().map(|watch| watch.resume(token)).collect();
    }
    let mut parts = Vec::with_capacity(watches.len());
    for watch in watches {
        let watch = begin(client.clone(), watch, options).await?;
        parts.push(Part { watch, pending: VecDeque::new(), reached: 0 });
    }
    Ok(WatchRanges { parts, asking: Mutex::new(None), is_over: false })
}

impl Part {
    /// Takes all that has come.
    fn take(&mut self, cx: &mut Context<'_>) -> Result<(), Option<Error>> {
        // Looked at first: what comes in between is not among what is taken.
        let reached = self.watch.status().revision;
        while let Poll::Ready(next) = Pin::new(&mut self.watch).poll_next(cx) {
            let batch = next.ok_or(None)?.map_err(Some)?;
            let header = batch.header;
            let each = batch.revisions().filter_map(|it| WatchBatch::new(header, it.to_vec()));
            self.pending.extend(each);
        }
        let taken = self.pending.back().map_or(0, WatchBatch::revision);
        self.reached = self.reached.max(reached).max(taken);
        Ok(())
    }

    fn first(&self) -> Option<i64> {
        self.pending.front().map(WatchBatch::revision)
    }
}

impl WatchRanges {
    /// Waits for the changes of the next revision; `None` after the end was told.
    ///
    /// # Errors
    ///
    /// Why a range ended, once.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<WatchBatch, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Takes out the changes of this revision.
    fn deliver(&mut self, revision: i64) -> Option<WatchBatch> {
        let of_it = self.parts.iter_mut().filter(|part| part.first() == Some(revision));
        let batches: Vec<WatchBatch> = of_it.filter_map(|it| it.pending.pop_front()).collect();
        let header = batches.first()?.header;
        WatchBatch::new(header, batches.into_iter().flatten().collect())
    }

    /// Waits until progress of a range is known, or is to be asked for again.
    fn poll_asking(&mut self, behind: usize, cx: &mut Context<'_>) -> Poll<()> {
        let asking = self.asking.get_mut().unwrap_or_else(PoisonError::into_inner);
        let asked = asking.get_or_insert_with(|| {
            let handle = self.parts[behind].watch.handle();
            Box::pin(async move {
                // What comes of it, the status of the range tells.
                if handle.request_progress().await.is_err() {
                    handle.rest(ASK_AGAIN).await;
                }
            })
        });
        ready!(asked.as_mut().poll(cx));
        *asking = None;
        Poll::Ready(())
    }
}

impl Stream for WatchRanges {
    type Item = Result<WatchBatch, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.is_over {
                return Poll::Ready(None);
            }
            for part in &mut self.parts {
                if let Err(error) = part.take(cx) {
                    self.is_over = true;
                    return Poll::Ready(error.map(Err));
                }
            }
            let Some(next) = self.parts.iter().filter_map(Part::first).min() else {
                return Poll::Pending;
            };
            match self.parts.iter().position(|part| part.reached < next) {
                None => return Poll::Ready(self.deliver(next).map(Ok)),
                Some(behind) => ready!(self.poll_asking(behind, cx)),
            }
        }
    }
}

impl fmt::Debug for WatchRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchRanges").field("ranges", &self.parts.len()).finish_non_exhaustive()
    }
}
