//! What a watch delivers: events, in batches of whole revisions.

use crate::error::Error;
use crate::header::ResponseHeader;
use crate::key_value::KeyValue;
use crate::proto::mvccpb;
use bytes::Bytes;
use std::fmt;
use std::str::FromStr;

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

/// Shows "put" or "delete".
impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Put => "put",
            Self::Delete => "delete",
        })
    }
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

    /// Returns the key in each of its pairs.
    pub(crate) fn keys_mut(&mut self) -> impl Iterator<Item = &mut Bytes> {
        let prev = self.prev.as_mut().map(|pair| &mut pair.key);
        std::iter::once(&mut self.kv.key).chain(prev)
    }

    /// Returns the key that was changed.
    #[must_use]
    pub const fn key(&self) -> &Bytes {
        &self.kv.key
    }

    /// Returns the value that was written; `None` of a deletion.
    #[must_use]
    pub const fn value(&self) -> Option<&Bytes> {
        match self.kind {
            EventKind::Put => Some(&self.kv.value),
            EventKind::Delete => None,
        }
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

    /// Returns the events, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Event> {
        self.events.iter()
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

impl<'a> IntoIterator for &'a WatchBatch {
    type Item = &'a Event;
    type IntoIter = std::slice::Iter<'a, Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// From where a watch goes on: a revision, of a cluster.
///
/// A program stores it once it has done what a batch is for, and begins with it when it is started
/// again: as text, which can be read back, or by its two fields. A watch that is begun with a token
/// ends in [`ClusterChanged`](crate::ErrorKind::ClusterChanged) where the cluster is another one.
///
/// ```
/// use etcd3_core::watch::ResumeToken;
///
/// let token = ResumeToken { revision: 42, cluster_id: 0xcdf8_1819_4e3a_8c32 };
/// let text = token.to_string();
/// assert_eq!(text, "42@cdf818194e3a8c32");
/// assert_eq!(text.parse(), Ok(token));
/// assert!("now".parse::<ResumeToken>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResumeToken {
    /// The first revision that has not been delivered.
    pub revision: i64,
    /// The id of the cluster; 0 where it is not known.
    pub cluster_id: u64,
}

impl ResumeToken {
    /// Returns from where a watch delivers all that a response does not show yet: the revision
    /// after that of its header.
    #[must_use]
    pub const fn after(header: &ResponseHeader) -> Self {
        Self { revision: header.revision.saturating_add(1), cluster_id: header.cluster_id }
    }
}

/// Shows the revision and, in hexadecimal, the id of the cluster: `42@cdf818194e3a8c32`.
impl fmt::Display for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{:x}", self.revision, self.cluster_id)
    }
}

/// Reads what `Display` shows.
///
/// # Errors
///
/// Kind [`InvalidRequest`](crate::ErrorKind::InvalidRequest) for everything else, and for a
/// revision below 1, from which no watch goes on.
impl FromStr for ResumeToken {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parse = || {
            let (revision, cluster_id) = text.split_once('@')?;
            let revision = revision.parse().ok().filter(|revision| *revision > 0)?;
            let cluster_id = u64::from_str_radix(cluster_id, 16).ok()?;
            let token = Self { revision, cluster_id };
            // Signs and leading zeros are not written.
            (token.to_string() == text).then_some(token)
        };
        parse().ok_or_else(|| Error::invalid_request("a resume token that cannot be read"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn event(kind: i32) -> Event {
        let kv = mvccpb::KeyValue { key: "k".into(), mod_revision: 7, ..Default::default() };
        let event = mvccpb::Event { r#type: kind, kv: Some(kv), prev_kv: None };
        Event::new(event, false).unwrap()
    }

    // W10: an empty value that was written is not a deletion.
    #[test]
    fn an_event_tells_its_key_and_what_was_written() {
        assert_eq!((event(0).key(), event(0).value()), (&"k".into(), Some(&Bytes::new())));
        assert_eq!((event(1).key(), event(1).value()), (&"k".into(), None));
        assert_eq!(format!("{:>4} {}", event(0).kind, event(1).kind), " put delete");
        let header = ResponseHeader { revision: 9, cluster_id: 0xab, ..Default::default() };
        let batch = WatchBatch::new(header, vec![event(0)]).unwrap();
        assert_eq!((&batch).into_iter().count(), 1);
        assert_eq!(batch.resume_token().to_string(), "8@ab");
        assert_eq!(ResumeToken::after(&header).to_string(), "10@ab");
    }

    #[test]
    fn a_token_is_read_back_and_nothing_else_is_one() {
        for revision in [1, 42, i64::MAX] {
            for cluster_id in [0, 0xab, u64::MAX] {
                let token = ResumeToken { revision, cluster_id };
                assert_eq!(token.to_string().parse(), Ok(token));
            }
        }
        for text in
            ["", "42", "@", "42@", "@ab", "0@ab", "-1@ab", "42@xy", "42@ab@1", " 42@ab", "+4@ab"]
        {
            let error = text.parse::<ResumeToken>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{text}");
        }
    }
}
