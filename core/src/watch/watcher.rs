//! One watcher: what it wants, how far it has come, and where it stands.

use super::batch::{Event, WatchBatch};
use super::position::Position;
use crate::error::{Error, ErrorKind};
use crate::header::ResponseHeader;
use crate::proto::mvccpb;
use crate::request::WatchOptions;

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
    /// The last revision that it was told of as progress, which is no position where servers answer
    /// out of order.
    pub(super) told: i64,
    /// How often it was refused since the server last took it.
    pub(super) refusals: u8,
    /// How often a response was over the limit since something came for it.
    pub(super) strikes: u8,
    /// Whether the server is to be told the position, also where that is right behind its store: a
    /// watcher from now on began elsewhere.
    pub(super) is_exact: bool,
    /// The bytes that were delivered and not taken.
    pub(super) buffered: usize,
}

/// What became of a response with events.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// These are to be delivered, and take so many bytes.
    Batch(WatchBatch, usize),
    /// Nothing: all of it was delivered before.
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
            told: 0,
            refusals: 0,
            strikes: 0,
            is_exact: false,
            buffered: 0,
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
    pub(super) const fn is_at_head(&self, seen: i64) -> bool {
        let last = self.position.next() - 1;
        // A revision of which the cluster is known exists there.
        let exists = last == seen || (last > seen && self.options.cluster_id() != 0);
        exists && last > 0 && !self.is_exact
    }

    /// Returns whether progress up to this revision is news. Before the start that was asked for,
    /// or that of a member that lags, it is none.
    // W65, W68
    pub(super) const fn may_progress(&self, revision: i64) -> bool {
        revision >= self.position.next() - 1
    }

    /// Returns whether so little waits that it may go on.
    pub(super) const fn has_drained(&self) -> bool {
        self.buffered <= self.options.buffer_limit() / 2
    }

    /// Takes the events of a response, which take so many bytes; returns how many of them came
    /// again, too.
    pub(super) fn take(
        &mut self,
        header: ResponseHeader,
        events: Vec<mvccpb::Event>,
        bytes: usize,
    ) -> (Taken, usize) {
        let (count, has_prev_kv) = (events.len(), self.options.has_prev_kv());
        let mut events: Vec<Event> =
            events.into_iter().map_while(|event| Event::new(event, has_prev_kv)).collect();
        if events.len() < count {
            let error = Error::protocol("an event without its pair, or of no known kind");
            return (Taken::Broken(error), 0);
        }
        let Some(repeated) = self.position.remove_delivered(&mut events) else {
            return (Taken::Broken(Error::protocol("events that are not in order")), 0);
        };
        (self.take_new(header, events, bytes), repeated)
    }

    fn take_new(&mut self, header: ResponseHeader, mut events: Vec<Event>, bytes: usize) -> Taken {
        if events.is_empty() {
            return Taken::Nothing;
        }
        if !events.iter().all(|event| self.options.wants(event)) {
            return Taken::Broken(Error::protocol("an event that was not asked for"));
        }
        if let Err(error) = events.iter_mut().try_for_each(|event| self.options.strip(event)) {
            return Taken::Broken(error);
        }
        let waits = self.buffered.saturating_add(bytes);
        if !self.has_drained() && waits > self.options.buffer_limit() {
            return Taken::Full;
        }
        self.position.delivered(&events);
        self.buffered = waits;
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
