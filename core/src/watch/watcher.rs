//! One watcher: what it wants, how far it has come, and where it stands.

use super::batch::{Event, WatchBatch};
use super::position::Position;
use crate::error::{Error, ErrorKind};
use crate::header::ResponseHeader;
use crate::proto::etcdserverpb::WatchRequest;
use crate::proto::etcdserverpb::watch_request::RequestUnion;
use crate::proto::mvccpb;
use crate::request::WatchOptions;
use prost::Message;

/// What an event takes in memory beside its bytes.
const EVENT_BYTES: usize = size_of::<Event>();

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum State {
    /// To be created when its turn comes.
    Queued,
    /// Its creation was sent under this id.
    Creating(i64),
    /// The server has it under this id.
    Live(i64),
    /// Cancelled at the server until more has been taken.
    Paused,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Watcher {
    pub(super) options: WatchOptions,
    pub(super) position: Position,
    pub(super) state: State,
    /// Whether it was told of its creation.
    pub(super) is_created: bool,
    /// Whether it waits for the answer to a request for progress.
    pub(super) awaits_progress: bool,
    /// How often it was refused, or had a response over the limit, since something came for it.
    pub(super) strikes: u8,
    /// Whether the server is to be told the position, also where that is right behind its store: a
    /// watcher from now on began elsewhere.
    pub(super) is_exact: bool,
    /// The bytes that were delivered and not taken.
    pub(super) buffered: usize,
    /// The first parts of a response that is not complete.
    partial: Option<Box<Partial>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Partial {
    events: Vec<mvccpb::Event>,
    bytes: usize,
}

impl Partial {
    /// Returns whether there is only one revision, the rest of which may be yet to come.
    fn is_of_one_revision(&self) -> bool {
        self.events.first().map(revision) == self.events.last().map(revision)
    }

    /// Removes all but the last revision, the rest of which may be yet to come.
    // I-W3
    fn remove_whole_revisions(&mut self) -> Self {
        let last = self.events.last().map(revision);
        let place = self.events.iter().rposition(|event| Some(revision(event)) != last);
        let rest = self.events.split_off(place.map_or(0, |place| place + 1));
        let len = |event: &mvccpb::Event| event.encoded_len() + EVENT_BYTES;
        let kept = Self { bytes: rest.iter().map(len).sum(), events: rest };
        let mut whole = std::mem::replace(self, kept);
        whole.bytes = whole.bytes.saturating_sub(self.bytes);
        whole
    }
}

/// Returns the revision of an event as it came; 0 if it lacks its pair.
fn revision(event: &mvccpb::Event) -> i64 {
    event.kv.as_ref().map_or(0, |kv| kv.mod_revision)
}

/// What became of a response with events.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// These are to be delivered.
    Batch(WatchBatch, usize),
    /// Nothing: it was delivered before, or is not complete.
    Nothing,
    /// There is no room for them.
    Full,
    /// The server breaks the rules.
    Broken(Error),
}

impl Watcher {
    pub(super) const fn new(options: WatchOptions) -> Self {
        Self {
            position: Position::new(options.start()),
            options,
            state: State::Queued,
            is_created: false,
            awaits_progress: false,
            strikes: 0,
            is_exact: false,
            buffered: 0,
            partial: None,
        }
    }

    /// Returns the id under which the server has it, or is about to.
    pub(super) const fn id(&self) -> Option<i64> {
        match self.state {
            State::Creating(id) | State::Live(id) => Some(id),
            State::Queued | State::Paused => None,
        }
    }

    pub(super) const fn is_live(&self) -> bool {
        matches!(self.state, State::Live(_))
    }

    /// Returns whether the position is right behind what is known of the store, so that the server
    /// is asked to begin with what comes next: to one that is to begin at a later revision, and to
    /// all on its stream, it tells no progress until the store is there.
    // W23
    pub(super) fn is_at_head(&self, seen: i64) -> bool {
        let last = self.position.next() - 1;
        // A revision of which the cluster is known exists there.
        let exists = last == seen || (last > seen && self.options.cluster_id() != 0);
        exists && last > 0 && !self.is_exact
    }

    /// Returns whether a response is incomplete.
    pub(super) const fn is_partial(&self) -> bool {
        self.partial.is_some()
    }

    /// Returns whether progress up to this revision is news. Before the start that was asked for,
    /// or that of a member that lags, it is none.
    // W65, W68
    pub(super) const fn may_progress(&self, revision: i64) -> bool {
        !self.is_partial() && revision >= self.position.next() - 1
    }

    /// Leaves the stream: what is incomplete is delivered again by the next one.
    // W63
    pub(super) fn leave(&mut self, state: State) {
        self.partial = None;
        self.state = state;
    }

    /// Returns whether so little waits that it may go on.
    pub(super) const fn has_drained(&self) -> bool {
        self.buffered <= self.options.buffer_limit() / 2
    }

    /// Takes the events of a response, of which more parts follow or not.
    pub(super) fn take(
        &mut self,
        header: ResponseHeader,
        events: Vec<mvccpb::Event>,
        bytes: usize,
        has_more: bool,
        max_bytes: usize,
    ) -> Taken {
        let bytes = bytes + events.len() * EVENT_BYTES;
        if !has_more && !self.is_partial() {
            return self.take_whole(header, events, bytes);
        }
        let mut partial = self.partial.take().unwrap_or_default();
        partial.bytes += bytes;
        partial.events.extend(events);
        let is_over = partial.bytes > max_bytes;
        if is_over && partial.is_of_one_revision() {
            return Taken::Broken(self.over_limit(partial.bytes, max_bytes));
        }
        if !has_more {
            return self.take_whole(header, partial.events, partial.bytes);
        }
        // A response that catches up may be of any size: what is whole of it is delivered.
        let whole = if is_over { partial.remove_whole_revisions() } else { Partial::default() };
        self.partial = Some(partial);
        if whole.events.is_empty() {
            return Taken::Nothing;
        }
        self.take_whole(header, whole.events, whole.bytes)
    }

    fn take_whole(
        &mut self,
        header: ResponseHeader,
        events: Vec<mvccpb::Event>,
        bytes: usize,
    ) -> Taken {
        let (count, has_prev_kv) = (events.len(), self.options.has_prev_kv());
        let mut events: Vec<Event> =
            events.into_iter().map_while(|event| Event::new(event, has_prev_kv)).collect();
        if events.len() < count {
            return Taken::Broken(Error::protocol(
                "an event without its pair, or of no known kind",
            ));
        }
        if self.position.remove_delivered(&mut events).is_none() {
            return Taken::Broken(Error::protocol("events that are not in order"));
        }
        if events.is_empty() {
            return Taken::Nothing;
        }
        if !events.iter().all(|event| self.options.wants(event)) {
            return Taken::Broken(Error::protocol("an event that was not asked for"));
        }
        let waits = self.buffered.saturating_add(bytes);
        if !self.has_drained() && waits > self.options.buffer_limit() {
            return Taken::Full;
        }
        self.position.delivered(&events);
        self.buffered += bytes;
        self.strikes = 0;
        Taken::Batch(WatchBatch { header, events }, bytes)
    }

    /// Makes the error of a response that is larger than what is taken.
    // I-W17
    pub(super) fn over_limit(&self, len: usize, limit: usize) -> Error {
        let next = self.position.next();
        let cause = format!("a response of the watch, at revision {next} or after it");
        Error::new(ErrorKind::ResponseOverLimit { len, limit })
            .with_outcome(crate::Outcome::Unknown)
            .with_cause(crate::error::Cause::new(cause))
    }
}

/// Returns the most bytes that a creation with these options takes.
pub(super) fn create_len(options: &WatchOptions) -> usize {
    let create = RequestUnion::CreateRequest(options.create(i64::MAX, i64::MAX));
    WatchRequest { request_union: Some(create) }.encoded_len()
}
