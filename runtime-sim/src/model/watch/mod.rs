//! The server's side of one watch stream.
//!
//! ```text
//!   create ──▶ Unsynced ──▶ Synced ──▶ cancel, end of the stream
//!                 │  ▲         │
//!      compacted  │  └─────────┘ the member was brought up to date by a snapshot
//!                 ▼
//!             Compacted ──▶ cancel
//! ```
//!
//! A synced watcher hears of each revision as it happens. One that began in the past is unsynced:
//! it is served from the log of the store, in batches, until it has caught up. Orders and changes
//! go in by [`WatchStream::handle`] and [`WatchStream::notify`], answers come out of
//! [`WatchStream::poll`] in the order of the wire. Buffers have no bounds here.

// W1–W28, W21

mod fragment;
mod watcher;

use super::keys::Keys;
use super::personality::{Personality, ProgressPolicy};
use super::refusal::refuse;
use super::store::Store;
use etcd3::proto::etcdserverpb::ResponseHeader;
use etcd3::proto::etcdserverpb::{
    WatchCreateRequest, WatchRequest, WatchResponse, watch_request::RequestUnion,
};
use etcd3::proto::mvccpb::Event;
use etcd3::runtime::Instant;
use etcd3::{ServerError, Status};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use watcher::{State, Watcher};

/// What no watcher has as its id.
const NONE: i64 = -1;

/// Sizes and times of a watch stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchConfig {
    /// The most revisions in one message of a watcher that catches up; 1000.
    // W9
    pub batch_revisions: usize,
    /// The time between two messages to watchers that catch up; 100 ms.
    pub sync_interval: Duration,
    /// The time between two progress notifications; 10 minutes.
    // W22
    pub progress_interval: Duration,
    /// The size from which on a message is cut into fragments, in bytes.
    // W26
    pub fragment_limit: usize,
    /// The time from the registration of a watcher until its created message is sent, for servers
    /// that read the header late.
    // H1
    pub created_delay: Duration,
}

impl Default for WatchConfig {
    fn default() -> Self {
        Self {
            batch_revisions: 1000,
            sync_interval: Duration::from_millis(100),
            progress_interval: Duration::from_secs(600),
            fragment_limit: 2 * 1024 * 1024,
            created_delay: Duration::ZERO,
        }
    }
}

/// What a stream reads from: the store of its member, and who that is.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The store.
    pub store: &'a Store,
    /// The header of a response; the revision is filled in where it belongs.
    pub header: ResponseHeader,
}

impl Source<'_> {
    fn header(&self, revision: i64) -> ResponseHeader {
        ResponseHeader { revision, ..self.header }
    }

    fn current(&self) -> ResponseHeader {
        self.header(self.store.revision())
    }
}

/// A response that waits to be sent.
#[derive(Debug, Clone)]
struct Item {
    response: WatchResponse,
    /// Not to be sent before.
    at: Instant,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A watcher was created.
    Created,
    /// Anything else that is no news of keys.
    Control,
    /// Events, or progress that belongs behind events.
    News,
}

/// One watch stream.
#[derive(Debug, Clone)]
pub struct WatchStream {
    personality: Personality,
    config: WatchConfig,
    watchers: BTreeMap<i64, Watcher>,
    /// The next id for a watcher that leaves the choice to the server.
    // W2
    next_id: i64,
    queue: VecDeque<Item>,
    fragments: VecDeque<WatchResponse>,
    sync_due: Option<Instant>,
    progress_due: Instant,
}

impl WatchStream {
    /// Opens a stream.
    #[must_use]
    pub fn new(now: Instant, personality: Personality, config: WatchConfig) -> Self {
        Self {
            personality,
            watchers: BTreeMap::new(),
            next_id: 0,
            queue: VecDeque::new(),
            fragments: VecDeque::new(),
            sync_due: None,
            progress_due: now + config.progress_interval,
            config,
        }
    }

    /// Takes an order of the client. `allowed` says whether a creation is permitted; it is asked
    /// for nothing else. An order without content is ignored.
    // W1
    pub fn handle(
        &mut self,
        now: Instant,
        source: &Source<'_>,
        request: WatchRequest,
        allowed: Result<(), Status>,
    ) {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => self.create(now, source, create, allowed),
            Some(RequestUnion::CancelRequest(cancel)) => {
                self.cancel(now, source, cancel.watch_id);
            }
            Some(RequestUnion::ProgressRequest(_)) => self.request_progress(now, source),
            None => {}
        }
    }

    /// Tells of a revision that was just added to the store. To be called for each, in order.
    pub fn notify(&mut self, now: Instant, source: &Source<'_>, revision: i64, events: &[Event]) {
        let header = source.header(revision);
        let mut messages = Vec::new();
        for (id, watcher) in &mut self.watchers {
            let news = watcher.news(events);
            if news.is_empty() {
                continue;
            }
            if !self.personality.restore_replays {
                watcher.next = revision + 1;
            }
            messages.extend(watcher.message(*id, header, news));
        }
        for message in messages {
            self.push(now, Kind::News, message);
        }
    }

    /// Tells that the store has jumped ahead without a notice of each revision: the member was
    /// brought up to date by a snapshot.
    pub fn restore(&mut self, now: Instant) {
        for watcher in self.watchers.values_mut().filter(|w| w.state == State::Synced) {
            watcher.state = State::Unsynced;
            self.sync_due.get_or_insert(now + self.config.sync_interval);
        }
    }

    /// Returns the next response, until `None`.
    pub fn poll(&mut self, now: Instant, source: &Source<'_>) -> Option<WatchResponse> {
        if let Some(fragment) = self.fragments.pop_front() {
            return Some(fragment);
        }
        if self.sync_due.is_some_and(|due| due <= now) {
            self.sync(now, source);
        }
        if self.progress_due <= now {
            self.notify_progress(now, source);
        }
        if self.queue.front().is_none_or(|item| item.at > now) {
            return None;
        }
        let item = self.queue.pop_front()?;
        Some(self.send(source, item))
    }

    /// Returns when to poll next, if nothing goes in before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let notifies = self.watchers.values().any(|watcher| watcher.is_armed.is_some());
        let progress = notifies.then_some(self.progress_due);
        let queued = self.queue.front().map(|item| item.at);
        [self.sync_due, progress, queued].into_iter().flatten().min()
    }

    /// Returns the number of watchers.
    #[must_use]
    pub fn watcher_count(&self) -> usize {
        self.watchers.len()
    }

    fn create(
        &mut self,
        now: Instant,
        source: &Source<'_>,
        mut create: WatchCreateRequest,
        allowed: Result<(), Status>,
    ) {
        if create.key.is_empty() {
            create.key = vec![0].into();
        }
        let keys = Keys::new(&create.key, &create.range_end);
        let is_negative = create.start_revision < 0;
        let refusal = match allowed {
            Err(status) => {
                Some(format!("rpc error: code = {:?} desc = {}", status.code, status.message))
            }
            Ok(()) if is_negative && self.personality.refuses_negative_start => {
                Some(refuse(ServerError::Compacted).message)
            }
            Ok(()) if keys.is_empty() => Some("mvcc: watcher range is empty".to_owned()),
            Ok(()) if create.watch_id != 0 && self.watchers.contains_key(&create.watch_id) => {
                Some("mvcc: duplicate watch ID provided on the WatchStream".to_owned())
            }
            Ok(()) => None,
        };
        let created = WatchResponse {
            header: Some(source.current()),
            created: true,
            ..WatchResponse::default()
        };
        if let Some(cancel_reason) = refusal {
            let refused =
                WatchResponse { watch_id: NONE, canceled: true, cancel_reason, ..created };
            return self.push(now, Kind::Control, refused);
        }
        let id = self.choose_id(create.watch_id);
        let watcher = Watcher::new(&create, keys, source.store.revision());
        if watcher.state == State::Unsynced {
            self.sync_due.get_or_insert(now + self.config.sync_interval);
        }
        self.watchers.insert(id, watcher);
        let is_late = self.personality.created_header_after_registration;
        let at = if is_late { now + self.config.created_delay } else { now };
        self.push(at, Kind::Created, WatchResponse { watch_id: id, ..created });
    }

    fn cancel(&mut self, now: Instant, source: &Source<'_>, watch_id: i64) {
        if self.watchers.remove(&watch_id).is_none() {
            return;
        }
        let canceled = WatchResponse {
            header: Some(source.current()),
            watch_id,
            canceled: true,
            ..WatchResponse::default()
        };
        self.push(now, Kind::Control, canceled);
    }

    fn choose_id(&mut self, asked: i64) -> i64 {
        if asked != 0 {
            return asked;
        }
        while self.watchers.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        self.next_id - 1
    }

    fn request_progress(&mut self, now: Instant, source: &Source<'_>) {
        let progress = WatchResponse {
            header: Some(source.current()),
            watch_id: NONE,
            ..WatchResponse::default()
        };
        if self.personality.progress == ProgressPolicy::Always {
            // Past the events that wait (W24).
            let is_news = |item: &Item| item.kind == Kind::News;
            let place = self.queue.iter().rposition(|item| !is_news(item)).map_or(0, |at| at + 1);
            let item = Item { response: progress, at: now, kind: Kind::Control };
            return self.queue.insert(place, item);
        }
        let revision = source.store.revision();
        let all = self.watchers.values().all(|w| self.has_progress(w, revision));
        if all && !self.watchers.is_empty() {
            self.push(now, Kind::News, progress);
        }
    }

    /// Tells whether it can be said of a watcher that it has seen all up to the revision.
    fn has_progress(&self, watcher: &Watcher, revision: i64) -> bool {
        let is_future = watcher.start > revision;
        watcher.state == State::Synced
            && !(is_future && self.personality.progress == ProgressPolicy::Started)
    }

    /// The progress of watchers that asked for notifications and had no events since the last time.
    // W22
    fn notify_progress(&mut self, now: Instant, source: &Source<'_>) {
        self.progress_due = now + self.config.progress_interval;
        let revision = source.store.revision();
        let mut messages = Vec::new();
        for (id, watcher) in &self.watchers {
            if watcher.is_armed == Some(true) && self.has_progress(watcher, revision) {
                let header = Some(source.current());
                messages.push(WatchResponse { header, watch_id: *id, ..WatchResponse::default() });
            }
        }
        for watcher in self.watchers.values_mut() {
            watcher.is_armed = watcher.is_armed.map(|_| true);
        }
        for message in messages {
            self.push(now, Kind::News, message);
        }
    }

    /// Serves all unsynced watchers one batch.
    fn sync(&mut self, now: Instant, source: &Source<'_>) {
        let mut messages = Vec::new();
        let keeps_start = !self.personality.restore_forgets_future_start;
        let unsynced = self.watchers.iter_mut().filter(|(_, w)| w.state == State::Unsynced);
        for (id, watcher) in unsynced {
            let compacted = source.store.compacted();
            if watcher.next < compacted {
                watcher.state = State::Compacted;
                messages.push(WatchResponse {
                    header: Some(source.header(0)),
                    watch_id: *id,
                    canceled: true,
                    compact_revision: compacted,
                    ..WatchResponse::default()
                });
                continue;
            }
            let batch = watcher.catch_up(source.store, self.config.batch_revisions, keeps_start);
            messages.extend(watcher.message(*id, source.current(), batch));
        }
        for message in messages {
            self.push(now, Kind::News, message);
        }
        let is_busy = self.watchers.values().any(|watcher| watcher.state == State::Unsynced);
        self.sync_due = is_busy.then(|| now + self.config.sync_interval);
    }

    fn push(&mut self, at: Instant, kind: Kind, response: WatchResponse) {
        self.queue.push_back(Item { response, at, kind });
    }

    /// Completes a response as it goes out: the late header, previous pairs, fragments.
    fn send(&mut self, source: &Source<'_>, item: Item) -> WatchResponse {
        let mut response = item.response;
        let limit = self.config.fragment_limit;
        let watcher = self.watchers.get_mut(&response.watch_id);
        match (item.kind, watcher) {
            (Kind::Created, watcher) => {
                if self.personality.created_header_after_registration {
                    response.header = Some(source.current());
                }
                if let Some(watcher) = watcher {
                    // What waited for this message is sent whole (W28).
                    watcher.whole = self
                        .queue
                        .iter()
                        .filter(|i| {
                            i.kind == Kind::News && i.response.watch_id == response.watch_id
                        })
                        .count();
                }
            }
            (Kind::News, Some(watcher)) => {
                if watcher.has_prev_kv {
                    response.events.iter_mut().for_each(|e| watcher::add_prev_kv(source.store, e));
                }
                if !response.events.is_empty() {
                    watcher.is_armed = watcher.is_armed.map(|_| false);
                }
                let is_whole = watcher.whole > 0;
                watcher.whole = watcher.whole.saturating_sub(1);
                if watcher.wants_fragments && !is_whole {
                    self.fragments = fragment::cut(response, limit);
                    return self.fragments.pop_front().unwrap_or_default();
                }
            }
            (Kind::News | Kind::Control, _) => {}
        }
        response
    }
}
