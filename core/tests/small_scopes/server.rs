//! One member, as far as one stream of watches sees it.
//!
//! What it answers requests with and what it tells of events go through two queues, which are sent
//! in any order: only within each the order is kept, and no event is sent before the answer to the
//! creation of its watcher.

use super::history::Events;
use etcd3_core::proto::etcdserverpb::watch_request::RequestUnion;
use etcd3_core::proto::etcdserverpb::{ResponseHeader, WatchResponse};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};

/// What the store has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    pub(crate) head: i64,
    pub(crate) compacted: i64,
}

/// A request that is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Request {
    Create { id: i64, watcher: usize, start: i64 },
    Cancel(i64),
    Progress,
}

impl Request {
    pub(crate) fn read(union: &RequestUnion) -> Self {
        match union {
            RequestUnion::CreateRequest(create) => Self::Create {
                id: create.watch_id,
                watcher: usize::from(create.key == "b"),
                start: create.start_revision,
            },
            RequestUnion::CancelRequest(cancel) => Self::Cancel(cancel.watch_id),
            RequestUnion::ProgressRequest(_) => Self::Progress,
        }
    }
}

/// A response that is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Response {
    Created { id: i64, revision: i64 },
    Refused,
    Canceled(i64),
    Compacted { id: i64, at: i64 },
    Events { id: i64, events: Events, has_more: bool, revision: i64 },
    Progress(i64),
}

impl Response {
    /// Returns it with an id that counts down from the last one.
    fn relative_to(self, last_id: i64) -> Self {
        let mut relative = self;
        match &mut relative {
            Self::Created { id, .. }
            | Self::Canceled(id)
            | Self::Compacted { id, .. }
            | Self::Events { id, .. } => *id = last_id - *id,
            Self::Refused | Self::Progress(_) => {}
        }
        relative
    }

    pub(crate) fn on_the_wire(self) -> WatchResponse {
        let header =
            |revision| Some(ResponseHeader { cluster_id: 7, revision, ..Default::default() });
        let empty = WatchResponse::default();
        match self {
            Self::Created { id: watch_id, revision } => {
                WatchResponse { header: header(revision), watch_id, created: true, ..empty }
            }
            Self::Refused => WatchResponse { watch_id: -1, created: true, canceled: true, ..empty },
            Self::Canceled(watch_id) => WatchResponse { watch_id, canceled: true, ..empty },
            Self::Compacted { id: watch_id, at } => {
                WatchResponse { watch_id, canceled: true, compact_revision: at, ..empty }
            }
            Self::Events { id: watch_id, events, has_more: fragment, revision } => WatchResponse {
                header: header(revision),
                watch_id,
                events: events.on_the_wire(),
                fragment,
                ..empty
            },
            Self::Progress(revision) => {
                WatchResponse { header: header(revision), watch_id: -1, ..empty }
            }
        }
    }
}

/// What it has of a watcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Watcher {
    who: usize,
    next: i64,
    /// Whether it has caught up with the past.
    is_synced: bool,
    /// Whether it was told that it cannot: it is kept until it is cancelled, and keeps the server
    /// from telling progress (W8, W23).
    is_compacted: bool,
}

/// The server's end of a stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Server {
    pub(crate) requests: VecDeque<Request>,
    answers: VecDeque<Response>,
    news: VecDeque<Response>,
    watchers: BTreeMap<i64, Watcher>,
    /// The ids whose creation was answered.
    announced: BTreeSet<i64>,
}

impl Server {
    /// Takes the next request; `refuses` says whether a creation is refused.
    pub(crate) fn take(&mut self, head: i64, refuses: bool, is_ordered: bool) {
        match self.requests.pop_front() {
            Some(Request::Create { .. }) if refuses => self.answers.push_back(Response::Refused),
            Some(Request::Create { id, watcher, start }) => {
                // W6
                let next = if start == 0 { head + 1 } else { start };
                let is_synced = next > head;
                let watcher = Watcher { who: watcher, next, is_synced, is_compacted: false };
                self.watchers.insert(id, watcher);
                self.answers.push_back(Response::Created { id, revision: head });
            }
            Some(Request::Cancel(id)) => {
                let is_known = self.watchers.remove(&id).is_some();
                if is_known {
                    // What was not sent yet is sent no more (W12).
                    self.news
                        .retain(|it| !matches!(it, Response::Events { id: of, .. } if *of == id));
                    self.answers.push_back(Response::Canceled(id));
                }
            }
            Some(Request::Progress) => {
                let is_behind = self.watchers.values().any(|it| it.is_behind(head));
                if !is_ordered {
                    self.answers.push_back(Response::Progress(head));
                } else if !self.watchers.is_empty() && !is_behind {
                    self.news.push_back(Response::Progress(head));
                }
            }
            None => {}
        }
    }

    /// Returns the watchers that have not caught up, and how many events they are to hear of.
    pub(crate) fn unsent(&self, head: i64) -> impl Iterator<Item = (i64, u32)> + '_ {
        let behind =
            self.watchers.iter().filter(move |(_, it)| it.is_behind(head) && !it.is_compacted);
        behind.map(move |(id, it)| (*id, it.unsent(head).len()))
    }

    /// Sends a watcher its next events, those of one revision or all, cut after so many.
    pub(crate) fn send(&mut self, id: i64, all: bool, cut: Option<u32>, store: Store) {
        let Store { head, compacted } = store;
        let Some(watcher) = self.watchers.get_mut(&id) else { return };
        if !watcher.is_synced && watcher.next < compacted {
            watcher.is_compacted = true;
            self.news.push_back(Response::Compacted { id, at: compacted });
            return;
        }
        let mut events = watcher.unsent(head);
        if !all {
            let first = events.lowest().unwrap_or(head);
            events = Events::of(watcher.who, first, first);
        }
        watcher.next = if all { head } else { events.highest().unwrap_or(head) } + 1;
        watcher.is_synced |= watcher.next > head || watcher.unsent(head).is_empty();
        let mut rest = events;
        if rest.is_empty() {
            return;
        }
        if let Some(cut) = cut {
            let part = events.first(cut);
            rest = events.without(part);
            self.news.push_back(Response::Events {
                id,
                events: part,
                has_more: true,
                revision: head,
            });
        }
        self.news.push_back(Response::Events { id, events: rest, has_more: false, revision: head });
    }

    /// Takes the next response of either queue; events wait for the answer to their creation.
    pub(crate) fn deliver(&mut self, is_news: bool) -> Option<Response> {
        if !is_news {
            let response = self.answers.pop_front()?;
            if let Response::Created { id, .. } = response {
                self.announced.insert(id);
            }
            return Some(response);
        }
        let place = self.deliverable()?;
        self.news.remove(place)
    }

    pub(crate) fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    pub(crate) fn has_news(&self) -> bool {
        self.deliverable().is_some()
    }

    fn deliverable(&self) -> Option<usize> {
        self.news.iter().position(|it| match it {
            Response::Events { id, .. } | Response::Compacted { id, .. } => {
                self.announced.contains(id)
            }
            _ => true,
        })
    }

    /// Feeds it to a hasher, with ids that count down from the last one.
    pub(crate) fn digest(&self, last_id: i64, hasher: &mut impl Hasher) {
        for request in &self.requests {
            let relative = match *request {
                Request::Create { id, watcher, start } => {
                    Request::Create { id: last_id - id, watcher, start }
                }
                Request::Cancel(id) => Request::Cancel(last_id - id),
                Request::Progress => Request::Progress,
            };
            relative.hash(hasher);
        }
        for queue in [&self.answers, &self.news] {
            queue.len().hash(hasher);
            for response in queue {
                response.relative_to(last_id).hash(hasher);
            }
        }
        for (id, watcher) in &self.watchers {
            (last_id - id, watcher, self.announced.contains(id)).hash(hasher);
        }
    }
}

impl Watcher {
    /// Returns the events that it has not heard of.
    fn unsent(&self, head: i64) -> Events {
        Events::of(self.who, self.next, head)
    }

    fn is_behind(&self, head: i64) -> bool {
        !self.is_synced || !self.unsent(head).is_empty()
    }
}
