//! Reading a range page by page, as a stream.

// K21, K24, I-D2

mod key_values;
mod size;

pub use key_values::KeyValues;

use crate::call::CallOptions;
use crate::range_stream::{Pieces, StreamOptions};
use crate::request::RequestFuture;
use crate::{Client, Error, ErrorKind, KeyValue, Phase, ServerError};
use etcd3_core::channel::EndpointId;
use etcd3_core::method::{self, Effect};
use etcd3_core::request::GetResponse;
use etcd3_core::{Get, KeyRange, ResponseHeader, get};
use futures_core::Stream;
use size::PageSize;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// How many calls for all that is left may end without a page before there is no further one.
const STREAMS: u8 = 3;

/// A range, read page by page: a stream of [`GetResponse`]s that holds each key once.
///
/// All pages show the store as it was at one revision, which the first page pins unless
/// [`revision`](Self::revision) did. Keys come in ascending order. `more` is false on the last page
/// only, unless a [`limit`](Self::limit) cut it; `count` is that of what was left when the page was
/// read.
///
/// Where the member that answers the first page has `RangeStream`, as those of etcd 3.7 have, all
/// that follows comes by one such call: the member need not count what is left for every page, and
/// decides how large a page is, about 1.5 MiB. It is held back from one who is slow to take them.
/// When the call breaks, the next page is read by itself, from any member, and the one that answers
/// is asked for the rest.
///
/// Other pages grow and shrink towards 4 MiB each, or a tenth of the range, by the keys and values
/// of the page before: a server counts what is left of the range for every page, so that many small
/// ones take long. They aim at a quarter of `Config::max_response_bytes` at most; one that would be
/// larger than all of it is read again as several. With [`page_size`](Self::page_size) each page is
/// read by itself and has that number of keys. One page is held in memory at a time.
///
/// # Errors
///
/// A failure ends the stream. `Compacted` means that the pinned revision went away meanwhile: begin
/// again.
///
/// # Cancel safety
///
/// Dropping the future of one `next` loses nothing; the page under way is kept.
///
/// # Examples
///
/// ```
/// use etcd3::prefix;
///
/// # etcd3_sim::example(|client| async move {
/// # for n in 0..5 {
/// #     client.put(format!("users/{n}"), "").await?;
/// # }
/// let mut pages = client.pages(prefix("users/")).keys_only().page_size(2);
/// while let Some(page) = pages.next().await {
///     for pair in page?.kvs {
///         println!("{}", pair.key_str()?);
///     }
/// }
///
/// // The same without the pages.
/// let mut users = client.pages(prefix("users/")).keys_only().key_values();
/// while let Some(user) = users.next().await {
///     println!("{}", user?.key_str()?);
/// }
/// # Ok(())
/// # });
/// ```
#[must_use = "a stream does nothing until it is polled"]
pub struct Pages {
    options: CallOptions,
    page: PageOptions,
    /// How many calls for all that is left may yet end without a page.
    streams: u8,
    /// The header of the last page, and how many keys were left after it.
    last: (ResponseHeader, u64),
    state: State,
    /// Declared last so that it is dropped last.
    client: Client,
}

#[derive(Debug, Clone, Copy)]
struct PageOptions {
    size: PageSize,
    keys_only: bool,
    is_serializable: bool,
    is_ordered: bool,
    revision: i64,
    /// How many keys may yet be read.
    limit: Option<u64>,
}

enum State {
    /// The page from here on is the next one to ask for.
    Idle(KeyRange),
    Reading(KeyRange, Box<RequestFuture<Get>>),
    /// The pages from here on come by one call.
    Streaming(KeyRange, Box<Pieces>),
    Done,
}

impl Pages {
    pub(crate) fn new(client: Client, range: KeyRange) -> Self {
        let size = PageSize::adaptive(client.shared().config.max_response_bytes);
        let page = PageOptions {
            size,
            keys_only: false,
            is_serializable: false,
            is_ordered: false,
            revision: 0,
            limit: None,
        };
        let (options, last) = (CallOptions::default(), (ResponseHeader::default(), 0));
        Self { options, page, streams: STREAMS, last, state: State::Idle(range), client }
    }

    pub(crate) fn with_options(mut self, options: CallOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the number of keys of a page, which adapts otherwise; 0 counts as 1.
    pub fn page_size(mut self, keys: u64) -> Self {
        self.page.size = PageSize::fixed(keys);
        self.streams = 0;
        self
    }

    /// Reads each page by itself, also where a member could send all that is left by one call. For
    /// one who takes minutes between pages: such a call holds its stream, and a part of the window
    /// of its connection, until the last page is taken.
    pub fn separate(mut self) -> Self {
        self.streams = 0;
        self
    }

    /// Leaves the values out.
    pub fn keys_only(mut self) -> Self {
        self.page.keys_only = true;
        self
    }

    /// Ends after this many keys; 0 is no limit. `more` of the last page then tells whether the
    /// range has further ones.
    pub fn limit(mut self, keys: u64) -> Self {
        self.page.limit = (keys > 0).then_some(keys);
        self
    }

    /// Lets each member answer from its own data; see [`Get::serializable`]. The first page may
    /// then be stale, and the others are of its revision: a member that lacks it is passed over, as
    /// [`Get::revision`] says.
    pub fn serializable(mut self) -> Self {
        self.page.is_serializable = true;
        self
    }

    /// Has the first page of a [`serializable`](Self::serializable) stream show at least what the
    /// client had seen of the store before; see [`Get::not_older`]. The others are of its revision
    /// anyway.
    pub fn not_older(mut self) -> Self {
        self.page.is_ordered = true;
        self
    }

    /// Turns into a stream of the keys with their values, one by one.
    pub fn key_values(self) -> KeyValues {
        KeyValues::new(self)
    }

    /// Returns the next page; `None` after the last one, or after a failure.
    ///
    /// # Errors
    ///
    /// Those of any read; a failure ends the stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<GetResponse, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Reads at this revision; 0 is the revision at which the first page is read. A negative one is
    /// refused before anything is sent.
    pub fn revision(mut self, revision: i64) -> Self {
        self.page.revision = revision;
        self
    }

    /// Sets how long one call for a page may take, in place of `Config::request_timeout`; a page
    /// takes several where the first ones fail or bring too much. Zero ends the stream
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

    fn request(&self, range: KeyRange) -> Get {
        let PageOptions { keys_only, is_serializable, is_ordered, revision, limit, .. } = self.page;
        let mut request = get(range).revision(revision).limit(limit.unwrap_or(0));
        if keys_only {
            request = request.keys_only();
        }
        // A member that is behind has the pinned revision, or says that it has not.
        if is_ordered && revision == 0 {
            request = request.not_older();
        }
        if is_serializable { request.serializable() } else { request }
    }

    fn read(&self, range: KeyRange) -> Box<RequestFuture<Get>> {
        let keys = self.page.size.keys();
        let keys = self.page.limit.map_or(keys, |limit| limit.min(keys));
        let request = self.request(range).limit(keys);
        Box::new(self.client.clone().run(request, self.options))
    }

    /// Asks the member that answered a page for all that is left.
    fn stream(&self, range: KeyRange, member: EndpointId) -> Result<State, Error> {
        let CallOptions { timeout, require_leader, .. } = self.options;
        let options =
            StreamOptions { timeout, require_leader, only: Some(member), is_optional: true };
        let pieces = Pieces::new(&self.client, self.request(range.clone()), options)?;
        Ok(State::Streaming(range, Box::new(pieces)))
    }

    /// Takes a page in: where the next one begins, if there is one.
    fn advance(&mut self, range: &KeyRange, page: &GetResponse) -> Result<State, Error> {
        if self.page.revision == 0 {
            self.page.revision = page.header.revision;
        }
        self.page.size.learn(&page.kvs, page.count);
        self.last = (page.header, page.count.saturating_sub(page.kvs.len() as u64));
        if let Some(limit) = &mut self.page.limit {
            let left = limit.checked_sub(page.kvs.len() as u64);
            *limit = left.ok_or_else(|| broken("a page has more keys than were asked for"))?;
        }
        let is_within = |pair: Option<&KeyValue>| pair.is_none_or(|it| range.contains(&it.key));
        if !is_within(page.kvs.first()) || !is_within(page.kvs.last()) {
            return Err(broken("a page holds a key that was not asked for"));
        }
        if !page.kvs.is_sorted_by(|a, b| a.key < b.key) {
            return Err(broken("the keys of a page are not in ascending order"));
        }
        if !page.more || self.page.limit == Some(0) {
            return Ok(State::Done);
        }
        let Some(last) = page.kvs.last() else {
            return Err(broken("a page without keys says that there are more"));
        };
        if self.page.revision <= 0 {
            return Err(broken("a page does not tell its revision"));
        }
        Ok(State::Idle(range.after(&last.key)))
    }

    /// Takes in what was read by itself.
    fn on_page(
        &mut self,
        range: &KeyRange,
        result: Result<GetResponse, Error>,
        member: Option<EndpointId>,
    ) -> Option<Result<GetResponse, Error>> {
        if is_too_large(&result) && self.page.size.shrink(self.page.limit.unwrap_or(u64::MAX)) {
            self.state = State::Idle(range.clone());
            return None;
        }
        self.state = State::Done;
        Some(result.and_then(|page| {
            self.state = match (self.advance(range, &page)?, member) {
                (State::Idle(rest), Some(member)) if self.streams > 0 => {
                    self.stream(rest, member)?
                }
                (state, _) => state,
            };
            Ok(page)
        }))
    }

    /// Takes in what came by the call for all that is left. A page that is not the last one has
    /// the header of the one before.
    fn on_piece(
        &mut self,
        range: &KeyRange,
        piece: Option<Result<GetResponse, Error>>,
        is_begun: bool,
    ) -> Option<Result<GetResponse, Error>> {
        let (header, left) = self.last;
        let mut piece = match piece {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => return self.on_broken(range, is_begun, error),
            None => {
                self.state = State::Done;
                return Some(Err(broken("the pages end before the last one")));
            }
        };
        let is_last = piece.header != ResponseHeader::default();
        if !is_last {
            piece.header = header;
        }
        piece.more |= !is_last;
        piece.count = left;
        match self.advance(range, &piece) {
            Ok(State::Idle(rest)) => {
                if let State::Streaming(range, _) = &mut self.state {
                    *range = rest;
                }
                Some(Ok(piece))
            }
            Ok(State::Done) if !is_last => {
                self.state = State::Done;
                Some(Err(broken("the last page does not tell its revision")))
            }
            Ok(state) => {
                self.state = state;
                Some(Ok(piece))
            }
            Err(error) => {
                self.state = State::Done;
                Some(Err(error))
            }
        }
    }

    /// Makes the next page one that is read by itself; if that fails, too, it says why.
    fn on_broken(
        &mut self,
        range: &KeyRange,
        is_begun: bool,
        error: Error,
    ) -> Option<Result<GetResponse, Error>> {
        match error.kind() {
            ErrorKind::ClusterChanged { .. } => {
                self.state = State::Done;
                return Some(Err(error));
            }
            _ if error.server_error() == Some(ServerError::NotSupportedForLearner) => {
                self.streams = 0;
            }
            // Another member may have what this one lacks, or be there.
            ErrorKind::Unsupported { .. } | ErrorKind::TimedOut(Phase::Connection) => {}
            ErrorKind::ResponseOverLimit { .. } => self.streams = 0,
            ErrorKind::TimedOut(_) if is_begun => self.streams = self.streams.saturating_sub(1),
            _ if is_begun => {}
            // Something in between may let nothing through: that costs time once.
            ErrorKind::TimedOut(_) => self.streams = 0,
            _ => self.streams = self.streams.saturating_sub(1),
        }
        self.state = State::Idle(range.clone());
        None
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
            let next = match &mut self.state {
                State::Done => return Poll::Ready(None),
                State::Idle(range) => {
                    let range = range.clone();
                    self.state = State::Reading(range.clone(), self.read(range));
                    None
                }
                State::Reading(range, reading) => {
                    let result = ready!(Pin::new(&mut *reading).poll(cx));
                    let (range, member) = (range.clone(), reading.last_endpoint());
                    self.on_page(&range, result, member)
                }
                State::Streaming(range, pieces) => {
                    let piece = ready!(pieces.poll_next(cx));
                    let (range, is_begun) = (range.clone(), pieces.driver.machine.is_begun());
                    self.on_piece(&range, piece, is_begun)
                }
            };
            if let Some(page) = next {
                return Poll::Ready(Some(page));
            }
        }
    }
}
