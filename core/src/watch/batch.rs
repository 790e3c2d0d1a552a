//! What a watch delivers: events, in batches of whole revisions.

use crate::header::ResponseHeader;
use crate::key_value::KeyValue;
use crate::proto::mvccpb;
use std::fmt;

/// One change of one key.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Event {
    /// What happened to the key.
    pub kind: EventKind,
    /// The pair after the change. Of a deletion, only the key and the revision of the deletion
    /// (`mod_revision`) are known.
    // W10
    pub kv: KeyValue,
    prev: Option<KeyValue>,
    is_prev_requested: bool,
}

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// It was written.
    Put,
    /// It was deleted, or its lease expired.
    Delete,
}

/// The pair as it was before a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Previous<'a> {
    /// The watch did not ask for it.
    NotRequested,
    /// There was none: the change created the key.
    Absent,
    /// There was one, and the server could not read it any more: its revision was compacted before
    /// the event was sent.
    Unavailable,
    /// This pair, whose value may be empty.
    Pair(&'a KeyValue),
}

impl<'a> Previous<'a> {
    /// Returns the pair, if it is known.
    #[must_use]
    pub const fn pair(self) -> Option<&'a KeyValue> {
        match self {
            Self::Pair(pair) => Some(pair),
            Self::NotRequested | Self::Absent | Self::Unavailable => None,
        }
    }
}

impl Event {
    /// Makes an event of what the server sent; `None` if it lacks its pair, or is of no known kind.
    pub(super) fn new(event: mvccpb::Event, is_prev_requested: bool) -> Option<Self> {
        let kind = match event.r#type {
            0 => EventKind::Put,
            1 => EventKind::Delete,
            _ => return None,
        };
        let prev = event.prev_kv.map(KeyValue::from);
        Some(Self { kind, kv: event.kv?.into(), prev, is_prev_requested })
    }

    /// Returns the revision that the change made.
    #[must_use]
    pub const fn revision(&self) -> i64 {
        self.kv.mod_revision
    }

    /// Returns whether the change created the key.
    #[must_use]
    pub const fn is_create(&self) -> bool {
        matches!(self.kind, EventKind::Put) && self.kv.create_revision == self.kv.mod_revision
    }

    /// Returns whether the change wrote a key that was there before.
    #[must_use]
    pub const fn is_modify(&self) -> bool {
        matches!(self.kind, EventKind::Put) && self.kv.create_revision != self.kv.mod_revision
    }

    /// Returns whether the change deleted the key.
    #[must_use]
    pub const fn is_delete(&self) -> bool {
        matches!(self.kind, EventKind::Delete)
    }

    /// Returns the pair before the change, for a watch that asks for it.
    #[must_use]
    pub const fn prev_kv(&self) -> Previous<'_> {
        match &self.prev {
            _ if !self.is_prev_requested => Previous::NotRequested,
            Some(pair) => Previous::Pair(pair),
            None if self.is_create() => Previous::Absent,
            None => Previous::Unavailable,
        }
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("kind", &self.kind)
            .field("kv", &self.kv)
            .field("prev_kv", &self.prev_kv())
            .finish_non_exhaustive()
    }
}

/// Events of one or more revisions, each of them whole.
///
/// All matching changes of a revision are in one batch, and its revisions are in order: whoever has
/// taken a batch has seen all up to its last revision, and nothing of a later one.
// I-W3
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchBatch {
    /// The header of the response. Its revision is that of the store when the response was made,
    /// which may be far ahead of the events.
    // W9
    pub header: ResponseHeader,
    /// The events, in the order of their revisions; never empty.
    pub events: Vec<Event>,
}

impl WatchBatch {
    /// Makes a batch of events of whole revisions, in their order; `None` of none.
    #[must_use]
    pub fn new(header: ResponseHeader, events: Vec<Event>) -> Option<Self> {
        (!events.is_empty()).then_some(Self { header, events })
    }

    /// Returns the revision of the last event: all that matched up to it has been delivered.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.events.last().map_or(0, Event::revision)
    }

    /// Returns from where a later watch of the same keys goes on after this batch.
    #[must_use]
    pub fn resume_token(&self) -> ResumeToken {
        ResumeToken { revision: self.revision() + 1, cluster_id: self.header.cluster_id }
    }

    /// Returns the events of each revision.
    pub fn revisions(&self) -> impl Iterator<Item = &[Event]> {
        self.events.chunk_by(|a, b| a.revision() == b.revision())
    }
}

impl IntoIterator for WatchBatch {
    type Item = Event;
    type IntoIter = std::vec::IntoIter<Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.events.into_iter()
    }
}

/// From where a watch goes on: a revision, of a cluster.
///
/// Both are public, so that a program can store them. A watch that is begun with a token ends in
/// [`ClusterChanged`](crate::ErrorKind::ClusterChanged) where the cluster is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResumeToken {
    /// The first revision that has not been delivered.
    pub revision: i64,
    /// The id of the cluster; 0 where it is not known.
    pub cluster_id: u64,
}
