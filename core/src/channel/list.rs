//! The endpoints that a channel has, and how they come and go.

use super::slot::{Listed, Slot, State};
use super::{Channel, EndpointId};
use crate::Instant;
use crate::endpoint::Endpoint;

impl Channel {
    /// Takes over a list of endpoints; those that stay keep their connections.
    pub(super) fn list(&mut self, now: Instant, primary: Vec<Endpoint>, fallback: Vec<Endpoint>) {
        for slot in &mut self.slots {
            slot.listed = Listed::No;
        }
        let fallback = fallback.into_iter().map(|endpoint| (endpoint, Listed::Fallback));
        let all = primary.into_iter().map(|endpoint| (endpoint, Listed::Primary)).chain(fallback);
        for (endpoint, listed) in all {
            let slot = self.slot_for(now, endpoint);
            if slot.listed == Listed::No {
                slot.listed = listed;
            }
        }
        self.sweep(now);
        self.changed = true;
    }

    pub(super) fn slot_for(&mut self, now: Instant, endpoint: Endpoint) -> &mut Slot {
        let known = self.slots.iter().position(|slot| slot.endpoint.is_same(&endpoint));
        let index = known.unwrap_or_else(|| {
            self.slots.push(Slot::new(EndpointId(self.endpoints), endpoint, now));
            self.endpoints += 1;
            self.slots.len() - 1
        });
        &mut self.slots[index]
    }

    /// Forgets the endpoints that nobody names any more.
    pub(super) fn sweep(&mut self, now: Instant) {
        let is_kept = |slot: &Slot| slot.listed != Listed::No || slot.pins > 0;
        let (kept, gone) = std::mem::take(&mut self.slots).into_iter().partition(is_kept);
        self.slots = kept;
        let gone: Vec<Slot> = gone;
        for mut slot in gone {
            self.closing.extend(slot.replacement_id());
            match slot.enter(now, State::Idle) {
                State::Dialing(id) => self.closing.push_back(id),
                State::Ready(connection) => self.drain(connection, false),
                State::Idle | State::Backoff { .. } => {}
            }
        }
        self.round_robin.note_count(self.slots.len());
    }

    pub(super) fn on_unpinned(&mut self, now: Instant, id: EndpointId) {
        match self.slots.iter_mut().find(|slot| slot.id == id && slot.pins > 0) {
            None => self.ignored += 1,
            Some(slot) => {
                slot.pins -= 1;
                self.sweep(now);
            }
        }
    }
}
