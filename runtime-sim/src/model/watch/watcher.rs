//! One watcher: what it wants and how far it has come.

use crate::model::keys::Keys;
use crate::model::store::Store;
use etcd3::proto::etcdserverpb::ResponseHeader;
use etcd3::proto::etcdserverpb::{
    WatchCreateRequest, WatchResponse, watch_create_request::FilterType,
};
use etcd3::proto::mvccpb::KeyValue;
use etcd3::proto::mvccpb::{Event, event::EventType};

/// Where a watcher stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Past events are still to be sent.
    Unsynced,
    /// Events are sent as they happen.
    Synced,
    /// Its start is compacted; it is about to be cancelled.
    // W8
    Compacted,
}

#[derive(Debug, Clone)]
pub(super) struct Watcher {
    keys: Keys,
    /// Events that it does not want.
    // W11
    without: Vec<EventType>,
    pub(super) has_prev_kv: bool,
    pub(super) wants_fragments: bool,
    /// The start that was asked for; 0 for none.
    pub(super) start: i64,
    /// The next revision that is news.
    pub(super) next: i64,
    pub(super) state: State,
    /// Whether the next round of progress notifications is for this watcher too; `None` when it
    /// did not ask for them.
    pub(super) is_armed: Option<bool>,
    /// How many of its next messages go out without being cut.
    pub(super) whole: usize,
}

fn without(filter: FilterType) -> EventType {
    match filter {
        FilterType::Noput => EventType::Put,
        FilterType::Nodelete => EventType::Delete,
    }
}

fn kv(event: &Event) -> KeyValue {
    event.kv.clone().unwrap_or_default()
}

impl Watcher {
    pub(super) fn new(create: &WatchCreateRequest, keys: Keys, current: i64) -> Self {
        let start = create.start_revision;
        let is_past = start != 0 && start <= current;
        Self {
            keys,
            without: create.filters().map(without).collect(),
            has_prev_kv: create.prev_kv,
            wants_fragments: create.fragment,
            start,
            next: if is_past { start } else { start.max(current + 1) },
            state: if is_past { State::Unsynced } else { State::Synced },
            is_armed: create.progress_notify.then_some(true),
            whole: 0,
        }
    }

    /// Those events of a new revision that this watcher is to hear of.
    pub(super) fn news(&self, events: &[Event]) -> Vec<Event> {
        if self.state != State::Synced {
            return Vec::new();
        }
        let is_news = |event: &&Event| {
            let kv = event.kv.as_ref();
            kv.is_some_and(|kv| kv.mod_revision >= self.next && self.keys.contains(&kv.key))
        };
        events.iter().filter(is_news).cloned().collect()
    }

    /// Returns the next past events, of at most so many revisions. `keeps_start` says whether a
    /// start in the future survives.
    pub(super) fn catch_up(&mut self, store: &Store, max: usize, keeps_start: bool) -> Vec<Event> {
        let current = store.revision();
        let mut batch = Vec::new();
        let mut revisions = 0;
        // A server before the check of W7 finds no past events for a start below zero.
        let from = if self.next < 0 { current + 1 } else { self.next };
        for (revision, events) in store.log.range(from.min(current + 1)..=current.max(from)) {
            let mut wanted = events.iter().filter(|event| self.keys.contains(&kv(event).key));
            let Some(first) = wanted.next() else { continue };
            if revisions == max {
                self.next = *revision;
                return batch;
            }
            revisions += 1;
            batch.push(first.clone());
            batch.extend(wanted.cloned());
        }
        self.state = State::Synced;
        self.next = if keeps_start { self.next.max(current + 1) } else { current + 1 };
        batch
    }

    /// Returns the message that carries events; none when the filters leave nothing.
    // W11
    pub(super) fn message(
        &self,
        id: i64,
        header: ResponseHeader,
        mut events: Vec<Event>,
    ) -> Option<WatchResponse> {
        events.retain(|event| !self.without.contains(&event.r#type()));
        let header = Some(header);
        let message = WatchResponse { header, watch_id: id, events, ..WatchResponse::default() };
        (!message.events.is_empty()).then_some(message)
    }
}

/// Adds the pair before a change, if it can still be read.
// W10
pub(super) fn add_prev_kv(store: &Store, event: &mut Event) {
    let kv = kv(event);
    let is_put = event.r#type() == EventType::Put;
    if is_put && kv.create_revision == kv.mod_revision {
        return;
    }
    let before = store.read(&Keys::one(&kv.key), kv.mod_revision - 1);
    event.prev_kv = before.ok().and_then(|mut kvs| kvs.pop());
}
