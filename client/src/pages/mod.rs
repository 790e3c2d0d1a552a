//! Reading a range page by page, as a stream.

// K21, I-D2

mod size;

use crate::call::CallOptions;
use crate::runtime::BoxFuture;
use crate::{Client, Error, ErrorKind};
use etcd3_core::method::{self, Effect};
use etcd3_core::request::GetResponse;
use etcd3_core::{KeyRange, get};
use futures_core::Stream;
use size::PageSize;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// A range, read page by page: a stream of [`GetResponse`]s that holds each key once.
///
/// All pages show the store as it was at one revision, which the first page pins unless
/// [`revision`](Self::revision) did. Keys come in ascending order. `more` is false on the last page
/// only; `count` is that of what was left when the page was read.
///
/// Pages grow and shrink towards 4 MiB each, or a tenth of the range, by the keys and values of the
/// page before, unless [`page_size`](Self::page_size) sets a number of keys: a server counts what
/// is left of the range for every page, so that many small ones take long. They aim at a quarter of
/// `Config::max_response_bytes` at most; one that would be larger than all of it is read again as
/// several. One page is held in memory at a time.
///
/// # Errors
///
/// A failure ends the stream. `Compacted` means that the pinned revision went away meanwhile: begin
/// again.
///
/// # Cancel safety
///
/// Dropping the future of one `next` loses nothing; the page under way is kept.
#[must_use = "a stream does nothing until it is polled"]
pub struct Pages {
    client: Client,
    options: CallOptions,
    page: PageOptions,
    state: State,
}

#[derive(Debug, Clone, Copy)]
struct PageOptions {
    size: PageSize,
    keys_only: bool,
    revision: i64,
}

enum State {
    /// The page from here on is the next one to ask for.
    Idle(KeyRange),
    Reading(KeyRange, BoxFuture<'static, Result<GetResponse, Error>>),
    Done,
}

impl Pages {
    pub(crate) fn new(client: Client, range: KeyRange) -> Self {
        let size = PageSize::adaptive(client.shared().config.max_response_bytes);
        let page = PageOptions { size, keys_only: false, revision: 0 };
        Self { client, options: CallOptions::default(), page, state: State::Idle(range) }
    }

    /// Sets the number of keys of a page, which adapts otherwise; 0 counts as 1.
    pub fn page_size(mut self, keys: u64) -> Self {
        self.page.size = PageSize::fixed(keys);
        self
    }

    /// Leaves the values out.
    pub fn keys_only(mut self) -> Self {
        self.page.keys_only = true;
        self
    }

    /// Reads at this revision; 0 is the revision at which the first page is read. A negative one is
    /// refused before anything is sent.
    pub fn revision(mut self, revision: i64) -> Self {
        self.page.revision = revision;
        self
    }

    /// Sets how long one page may take, in place of `Config::request_timeout`. Zero ends the stream
    /// in [`TimedOut`](crate::ErrorKind::TimedOut), and nothing is sent.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Sets whether a member that knows no leader is to refuse each page, in place of
    /// `Config::require_leader`.
    pub fn require_leader(mut self, is_required: bool) -> Self {
        self.options.require_leader = Some(is_required);
        self
    }

    fn read(&self, range: KeyRange) -> BoxFuture<'static, Result<GetResponse, Error>> {
        let PageOptions { size, keys_only, revision } = self.page;
        let request = get(range).limit(size.keys()).revision(revision);
        let request = if keys_only { request.keys_only() } else { request };
        let (client, options) = (self.client.clone(), self.options);
        Box::pin(client.run(request, options))
    }

    /// Takes a page in: where the next one begins, if there is one.
    fn advance(&mut self, range: &KeyRange, page: &GetResponse) -> Result<State, Error> {
        if self.page.revision == 0 {
            self.page.revision = page.header.revision;
        }
        self.page.size.learn(&page.kvs, page.count);
        if !page.more {
            return Ok(State::Done);
        }
        let Some(last) = page.kvs.last() else {
            return Err(broken("a page without keys says that there are more"));
        };
        if !range.contains(&last.key) {
            return Err(broken("a page holds a key that was not asked for"));
        }
        if self.page.revision <= 0 {
            return Err(broken("a page does not tell its revision"));
        }
        Ok(State::Idle(range.after(&last.key)))
    }
}

fn is_too_large(result: &Result<GetResponse, Error>) -> bool {
    let kind = result.as_ref().err().map(Error::kind);
    matches!(kind, Some(ErrorKind::ResponseOverLimit { .. }))
}

fn broken(what: &str) -> Error {
    Error::protocol(what).with_method(method::RANGE.path).with_effect(Effect::Read)
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pages").field("page", &self.page).finish_non_exhaustive()
    }
}

impl Stream for Pages {
    type Item = Result<GetResponse, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut self.state {
                State::Done => return Poll::Ready(None),
                State::Idle(range) => {
                    let range = range.clone();
                    self.state = State::Reading(range.clone(), self.read(range));
                }
                State::Reading(range, reading) => {
                    let result = ready!(reading.as_mut().poll(cx));
                    let range = range.clone();
                    if is_too_large(&result) && self.page.size.shrink() {
                        self.state = State::Idle(range);
                        continue;
                    }
                    self.state = State::Done;
                    let page = result.and_then(|page| {
                        self.state = self.advance(&range, &page)?;
                        Ok(page)
                    });
                    return Poll::Ready(Some(page));
                }
            }
        }
    }
}
