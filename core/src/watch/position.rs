//! How far a watcher has come. Nothing else moves it.
//!
//! The position is the first revision that has not been delivered. It moves past whole revisions
//! only: behind the last event of a batch, or behind a revision that the server has said to have
//! sent everything of. The header of a response with events is no position, nor is that of the
//! response that tells of the creation.

// I-W2, I-W3, I-W4, W9, W63, W66, W68

use super::batch::Event;

/// The first revision that has not been delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Position {
    next: i64,
}

impl Position {
    pub(super) const fn new(start: i64) -> Self {
        Self { next: start }
    }

    /// Returns the first revision that has not been delivered.
    pub(super) const fn next(self) -> i64 {
        self.next
    }

    /// Removes what was delivered before from the events of a response, and returns how many that
    /// were; `None` if the rest is not in order.
    pub(super) fn remove_delivered(self, events: &mut Vec<Event>) -> Option<usize> {
        let before = events.len();
        if events.first().is_some_and(|event| event.revision() < self.next) {
            events.retain(|event| event.revision() >= self.next);
        }
        let is_ordered = events.is_sorted_by_key(Event::revision);
        // The revisions that a later batch must be above.
        let is_bounded = events.last().is_none_or(|event| event.revision() < i64::MAX);
        (is_ordered && is_bounded).then_some(before - events.len())
    }

    /// Moves behind the last of these events, which are delivered.
    pub(super) fn delivered(&mut self, events: &[Event]) {
        if let Some(last) = events.last() {
            self.next = self.next.max(last.revision().saturating_add(1));
        }
    }

    /// Moves behind a revision up to which everything has been sent.
    pub(super) fn progressed(&mut self, revision: i64) {
        self.next = self.next.max(revision.saturating_add(1));
    }
}
