//! The state of the machine as a number, for searches through all of its states.
//!
//! Two machines with the same digest, the same settings and the same inputs do the same from then
//! on, jitter apart: instants count from now on, ids from the last one that was chosen, and what is
//! only counted or told to nobody is left out.

use super::open::{Creating, Open};
use super::watcher::{State, Watcher};
use super::{Confirmation, Stream, Watches};
use crate::Instant;
use std::hash::{Hash, Hasher};

/// Where the digest goes, and what it counts from.
pub(super) struct Digest<'a, H> {
    pub(super) hasher: &'a mut H,
    now: Instant,
    last_id: i64,
}

impl<H: Hasher> Digest<'_, H> {
    pub(super) fn put(&mut self, value: impl Hash) {
        value.hash(self.hasher);
    }

    pub(super) fn at(&mut self, at: Option<Instant>) {
        self.put(at.map(|at| at.as_nanos().wrapping_sub(self.now.as_nanos())));
    }

    /// Takes a moment that counts no more once it has passed.
    fn until(&mut self, at: Option<Instant>) {
        self.at(at.map(|at| at.max(self.now)));
    }

    pub(super) fn id(&mut self, id: i64) {
        self.put(self.last_id.wrapping_sub(id));
    }
}

impl Watches {
    /// Feeds the state of the machine to a hasher.
    pub fn digest<H: Hasher>(&self, now: Instant, hasher: &mut H) {
        let mut digest = Digest { hasher, now, last_id: self.last_id };
        for (key, watcher) in &self.watchers {
            digest.put(key);
            watcher.digest(&mut digest);
        }
        for key in self.queue.iter().filter(|key| self.is_in_queue(**key)) {
            digest.put(key);
        }
        match &self.stream {
            Stream::Idle => digest.put(0_u8),
            Stream::Waiting(until) => {
                digest.put(1_u8);
                digest.until(*until);
            }
            Stream::Acquiring => digest.put(2_u8),
            Stream::Open(open) => {
                digest.put(3_u8);
                open.digest(&mut digest);
            }
            Stream::Closed(kind) => digest.put((4_u8, kind)),
        }
        match self.confirmation {
            Confirmation::NotNeeded => digest.put(0_u8),
            Confirmation::Asked(revision) => digest.put((1_u8, revision)),
            Confirmation::Later(revision, at) => {
                digest.put((2_u8, revision));
                digest.until(Some(at));
            }
        }
        digest.at(self.idle_since);
        self.opening.digest(now, digest.hasher);
        digest.put((self.cluster_id, self.seen, self.unanswered, self.strikes));
        digest.put(self.outputs.len());
    }
}

impl Watcher {
    fn digest(&self, digest: &mut Digest<'_, impl Hasher>) {
        match self.state {
            State::Queued => digest.put(0_u8),
            State::Paused => digest.put(1_u8),
            State::Creating(id) => {
                digest.put(2_u8);
                digest.id(id);
            }
            State::Live(id) => {
                digest.put(3_u8);
                digest.id(id);
            }
        }
        digest.put((&self.options, self.position, self.is_created, self.awaits_progress));
        digest.put((self.refusals, self.strikes, self.is_exact, self.told, self.buffered));
    }
}

impl Open {
    fn digest(&self, digest: &mut Digest<'_, impl Hasher>) {
        digest.put((self.inbound.has_head(), self.inbound.rest()));
        let token = self.sent.token.map(|token| token.generation);
        digest.put((self.sent.endpoint, token, self.takes_ids, self.is_useful));
        self.digest_times(digest);
        let sent = self.asking.sent();
        for (id, live) in &self.ids {
            digest.id(*id);
            digest.put((live.key, live.revision, sent - live.asked));
        }
        for creating in &self.creating {
            digest.id(creating.id);
            let Creating { key, is_canceled, is_from_now, asked, .. } = *creating;
            digest.put((key, is_canceled, is_from_now, sent - asked));
        }
        self.parts.digest(digest);
        self.asking.digest(digest);
    }
}
