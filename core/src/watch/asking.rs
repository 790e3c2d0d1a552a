//! Requests for progress, and what their answers are good for.
//!
//! A server answers a request for progress with one revision for all watchers of the stream, or,
//! while one of them catches up, with nothing. Which request an answer belongs to is not said. It
//! waits behind the events of the watchers, and what answers a creation does not: so the answer to
//! a request from before a creation may come after it, however late, and is no news of that
//! watcher, whose events are still to come.
//!
//! An answer that was made after a creation is news of that watcher, whose events came before the
//! answer. When it comes says nothing of that; the order does that servers keep: they take requests
//! one by one, make at most one answer for each, and send answers as they made them. So an answer
//! is newer than a creation if its revision is higher, and if as many answers came before it as
//! requests were sent before the creation, since no more can be older. A revision before the
//! position of a watcher is true whenever it was made.
//!
//! Requests that stay unanswered would put that off, by one more answer each. So an answer that
//! leaves a doubt is followed at once by as many requests as dispel it. Where the revision shows
//! that an answer is newer than a creation, all that are older have come, and what was asked before
//! counts as answered: but for one request, since 3.4.25 to 3.4.30 and 3.5.8 to 3.5.12 keep one
//! while a watcher catches up, and answer it then.
//!
//! Servers before 3.4.25 and 3.5.8 always answer, and past the events. There, a revision counts
//! when it is answered again a while later and no event below it came meanwhile.

// W23, W24, I-W7

use super::open::Live;
use crate::Instant;
use std::time::Duration;

/// The time between two requests, and between two answers of which the second confirms the first.
/// Watchers that catch up are served every 100 ms.
// W21, W24
const REPEAT: Duration = Duration::from_millis(250);
/// While somebody waits for an answer, the request is repeated after this time.
const AWAITED: Duration = Duration::from_secs(1);
/// How many requests that are to dispel doubts may be under way. Servers hold 128 responses for a
/// stream, and drop answers beyond.
// W21
const MAX_AT_ONCE: u64 = 100;

/// The requests for progress on the stream that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asking {
    opened: Instant,
    /// Whether the server answers behind the events that came before.
    pub(super) is_ordered: bool,
    /// How many requests were sent.
    sent: u64,
    /// How many of them were answered, or will not be.
    answered: u64,
    /// When the last one was sent.
    last: Option<Instant>,
    /// How many will be answered, if all of those are that were sent to dispel doubts.
    expected: u64,
    /// Whether another one is to be sent as soon as it may.
    is_wanted: bool,
    /// An answer that may have overtaken events, and when to ask again.
    unconfirmed: Option<(Answer, Instant)>,
}

/// An answer that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Answer {
    pub(super) revision: i64,
    /// The first request that it may belong to, counted from 1.
    request: u64,
}

impl Answer {
    /// Returns whether it is certain to be newer than the creation of this watcher.
    pub(super) const fn covers(&self, live: &Live) -> bool {
        self.revision > live.revision || self.revision == live.revision && self.request > live.asked
    }
}

impl Asking {
    pub(super) const fn new(opened: Instant) -> Self {
        Self {
            opened,
            is_ordered: false,
            sent: 0,
            answered: 0,
            last: None,
            expected: 0,
            is_wanted: false,
            unconfirmed: None,
        }
    }

    /// Returns how many requests were sent.
    pub(super) const fn sent(&self) -> u64 {
        self.sent
    }

    /// Notes that a request is wanted; returns whether it is to be sent at once.
    pub(super) fn want(&mut self, now: Instant) -> bool {
        self.is_wanted = self.last.is_some_and(|last| now < last + REPEAT);
        !self.is_wanted
    }

    /// Notes that what was answered before counts no more.
    pub(super) const fn begin_anew(&mut self) {
        self.unconfirmed = None;
    }

    /// Notes that a request is sent.
    pub(super) const fn ask(&mut self, now: Instant) {
        // Those that were sent to dispel doubts may have been dropped.
        self.expected = 0;
        self.send(now, 1);
    }

    const fn send(&mut self, now: Instant, count: u64) {
        self.sent = self.sent.saturating_add(count);
        self.last = Some(now);
        self.is_wanted = false;
    }

    /// Notes that an answer may be older than a creation before which so many requests were sent;
    /// returns how many are to be sent to find out.
    pub(super) fn doubt(&mut self, now: Instant, asked: u64) -> u64 {
        let expected = self.expected.max(self.answered);
        let needed = asked.saturating_add(1).min(self.answered.saturating_add(MAX_AT_ONCE));
        self.expected = expected.max(needed);
        let count = self.expected - expected;
        if count > 0 {
            self.send(now, count);
        }
        count
    }

    /// Notes that the answer that comes is newer than a creation before which so many requests were
    /// sent.
    pub(super) fn settle(&mut self, asked: u64) {
        self.answered = self.answered.max(asked.saturating_sub(1));
    }

    /// Notes that events from this revision on came for a watcher.
    pub(super) fn on_events(&mut self, first: i64) {
        if self.unconfirmed.is_some_and(|(answer, _)| first <= answer.revision) {
            self.unconfirmed = None;
        }
    }

    /// Takes an answer; returns the one that counts now, if any does.
    pub(super) fn take(&mut self, now: Instant, revision: i64) -> Option<Answer> {
        if self.answered == self.sent {
            return None;
        }
        self.answered += 1;
        let answer = Answer { revision, request: self.answered };
        if self.is_ordered {
            return Some(answer);
        }
        match self.unconfirmed {
            Some((_, again)) if now < again => None,
            before => {
                self.unconfirmed = Some((answer, now + REPEAT));
                before.map(|before| before.0).filter(|before| before.revision <= revision)
            }
        }
    }

    /// Returns when to ask. `is_awaited` says whether somebody waits, `refresh` how often else.
    pub(super) fn due(&self, is_awaited: bool, refresh: Duration) -> Option<Instant> {
        let last = self.last.unwrap_or(self.opened);
        let soon = match self.unconfirmed {
            _ if self.is_wanted => Some(last + REPEAT),
            Some((_, again)) if is_awaited && last < again => Some(again),
            _ if is_awaited => Some(last + AWAITED),
            _ => None,
        };
        let later = self.is_ordered.then(|| last + refresh);
        soon.into_iter().chain(later).min()
    }
}

#[cfg(feature = "laws")]
impl Asking {
    pub(super) fn digest(&self, digest: &mut super::digest::Digest<'_, impl std::hash::Hasher>) {
        digest.put((self.is_ordered, self.is_wanted, self.sent - self.answered));
        digest.put(self.expected.saturating_sub(self.answered));
        for at in [Some(self.opened), self.last, self.unconfirmed.map(|it| it.1)] {
            digest.at(at);
        }
        let unconfirmed = self.unconfirmed.map(|it| it.0);
        digest.put(unconfirmed.map(|it| (it.revision, self.sent - it.request)));
    }
}
