//! Putting responses together that come in parts.
//!
//! Servers send the parts of a response in a row, all but the last marked; what was cut belongs
//! together, since one revision may be spread over several parts. All that is incomplete counts
//! against one limit. It goes with the stream, whose successor delivers it again.

// W26, W63, W75, I-W3

use super::batch::Event;
use crate::proto::mvccpb;
use prost::Message;
use std::collections::BTreeMap;

/// What an event takes in memory beside its bytes.
const EVENT_BYTES: usize = size_of::<Event>();

/// The first parts of responses that are not complete, by the id of their watcher.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Parts {
    incomplete: BTreeMap<i64, Incomplete>,
    /// How many bytes they take together.
    bytes: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Incomplete {
    events: Vec<mvccpb::Event>,
    bytes: usize,
}

impl Incomplete {
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

/// What a response with events comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It is complete, and takes so many bytes.
    Complete(Vec<mvccpb::Event>, usize),
    /// More is to come.
    Incomplete,
    /// All that is incomplete would take so many bytes, which is too much.
    OverLimit(usize),
}

impl Parts {
    /// Returns whether a response for this watcher is incomplete.
    pub(super) fn contains(&self, id: i64) -> bool {
        self.incomplete.contains_key(&id)
    }

    /// Takes the events of a message of so many bytes, of which more parts follow or not.
    pub(super) fn put(
        &mut self,
        id: i64,
        events: Vec<mvccpb::Event>,
        len: usize,
        has_more: bool,
        limit: usize,
    ) -> Put {
        let bytes = len.saturating_add(events.len().saturating_mul(EVENT_BYTES));
        if !has_more && !self.contains(id) {
            return Put::Complete(events, bytes);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        let (together, is_over) = (self.bytes, self.bytes > limit);
        let incomplete = self.incomplete.entry(id).or_default();
        incomplete.bytes += bytes;
        incomplete.events.extend(events);
        if is_over && incomplete.is_of_one_revision() {
            self.forget(id);
            return Put::OverLimit(together);
        }
        if !has_more {
            let Incomplete { events, bytes } = self.forget(id);
            return Put::Complete(events, bytes);
        }
        if !is_over {
            return Put::Incomplete;
        }
        // A response that catches up may be of any size: what is whole of it is delivered.
        let Incomplete { events, bytes } = incomplete.remove_whole_revisions();
        self.bytes = self.bytes.saturating_sub(bytes);
        Put::Complete(events, bytes)
    }

    /// Takes out what there is for this watcher.
    pub(super) fn forget(&mut self, id: i64) -> Incomplete {
        let incomplete = self.incomplete.remove(&id).unwrap_or_default();
        self.bytes -= incomplete.bytes;
        incomplete
    }
}

#[cfg(feature = "laws")]
impl Parts {
    pub(super) fn digest(&self, digest: &mut super::digest::Digest<'_, impl std::hash::Hasher>) {
        for (id, incomplete) in &self.incomplete {
            digest.id(*id);
            digest.put(incomplete);
        }
    }
}
