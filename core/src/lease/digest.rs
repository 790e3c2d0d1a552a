//! The state of the machine as a number, for searches through all of its states.
//!
//! Two machines with the same digest, the same settings and the same inputs do the same from then
//! on, jitter apart: instants count from now on, rounds from the last one, and what is only counted
//! or told to nobody is left out.

use super::record::{Record, Turn};
use super::{KeepAlive, Stream};
use crate::Instant;
use std::hash::{Hash, Hasher};

/// Where the digest goes, and what it counts from.
struct Digest<'a, H> {
    hasher: &'a mut H,
    now: Instant,
    rounds: u32,
}

impl<H: Hasher> Digest<'_, H> {
    fn put(&mut self, value: impl Hash) {
        value.hash(self.hasher);
    }

    fn at(&mut self, at: Option<Instant>) {
        self.put(at.map(|at| at.as_nanos().wrapping_sub(self.now.as_nanos())));
    }

    /// Takes a moment that counts no more once it has passed.
    fn until(&mut self, at: Instant) {
        self.at(Some(at.max(self.now)));
    }
}

impl KeepAlive {
    /// Feeds the state of the machine to a hasher.
    pub fn digest<H: Hasher>(&self, now: Instant, hasher: &mut H) {
        let mut digest = Digest { hasher, now, rounds: self.rounds };
        for (id, record) in &self.leases {
            digest.put(id);
            record.digest(&mut digest);
        }
        for asked in self.unanswered.iter() {
            digest.put((asked.lease, asked.sent.suspended, asked.patience, asked.is_void));
            digest.at(Some(asked.sent.time));
        }
        for (at, by) in &self.suspensions {
            digest.at(Some(*at));
            digest.put(by);
        }
        match &self.stream {
            Stream::Idle => digest.put(0_u8),
            Stream::Waiting(until) => {
                digest.put(1_u8);
                digest.until(until.unwrap_or(now));
            }
            Stream::Acquiring => digest.put(2_u8),
            Stream::Open { inbound, is_answered } => {
                digest.put((3_u8, inbound.has_head(), inbound.rest(), is_answered));
                self.opening.digest_open(now, digest.hasher);
            }
            Stream::Closed => digest.put(4_u8),
        }
        digest.at(self.idle_since);
        digest.until(self.pace.next());
        self.opening.digest(now, digest.hasher);
        digest.put((self.on_stream, self.singles, self.left, self.silent, self.cluster_id));
        digest.put(self.outputs.len());
    }
}

impl Record {
    fn digest(&self, digest: &mut Digest<'_, impl Hasher>) {
        match self.turn {
            Turn::Resting(due) => {
                digest.put(0_u8);
                digest.at(Some(due));
            }
            Turn::Queued => digest.put(1_u8),
            Turn::Asked => digest.put(2_u8),
            Turn::Single => digest.put(3_u8),
            Turn::Confirming => digest.put(4_u8),
        }
        digest.put((self.ttl, self.is_new, self.is_asked, self.is_late));
        for at in [self.until, self.since, self.late_at, self.single_at, self.queued, self.waits] {
            digest.at(at);
        }
        digest.at(Some(self.acknowledged));
        digest.put(self.error.as_ref().map(crate::Error::is_permission_denied));
        digest.put((self.singles, digest.rounds.wrapping_sub(self.round), self.isolated));
    }
}
