//! What is due on the endpoints and their connections, and when.

use super::liveness::Due;
use super::slot::{Connection, Listed, Slot, State};
use super::{Broken, Channel, ConnectionId, EndpointId, Output};
use crate::Instant;
use crate::error::{Cause, ConnectFailure};

impl Channel {
    /// Whether `poll` wants something now, whatever the time.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.changed || !self.closing.is_empty()
    }

    /// When `poll` will want something; the past, if it does already.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        if self.has_news() {
            return Some(Instant::ORIGIN);
        }
        let slots = (0..self.slots.len()).filter_map(|index| self.slot_due(index));
        let draining = self.draining.iter().filter_map(|connection| self.ping_due(connection));
        slots.chain(draining).min()
    }

    /// When `poll` will want something of this endpoint, as far as it is known now.
    #[must_use]
    pub fn due_on(&self, endpoint: EndpointId) -> Option<Instant> {
        self.slot_due(self.slots.iter().position(|slot| slot.id == endpoint)?)
    }

    /// When an endpoint that nobody dialled is to be.
    fn dial_due(&self, index: usize) -> Option<Instant> {
        let wanted = self.wanted?;
        let is_idle = |slot: &Slot| matches!(slot.state, State::Idle);
        let is_alone = self.slots.iter().all(is_idle) && self.first() == index;
        let is_urgent = self.slots[index].pins > 0 || self.slots.iter().any(Slot::is_down);
        Some(if is_alone || is_urgent { Instant::ORIGIN } else { wanted + self.settings.stagger })
    }

    /// The endpoint that is dialled first: the next in turn.
    fn first(&self) -> usize {
        let count = self.slots.len();
        let mut turn = (0..count).map(|step| (self.cursor + step) % count);
        turn.find(|index| self.slots[*index].listed == Listed::Primary).unwrap_or(self.cursor)
    }

    fn slot_due(&self, index: usize) -> Option<Instant> {
        let slot = &self.slots[index];
        match &slot.state {
            State::Idle => self.dial_due(index),
            State::Backoff { until } => Some(*until),
            State::Dialing(_) => None,
            State::Ready(connection) => {
                let probe = slot.suspicion.filter(|suspicion| suspicion.probing.is_none());
                let probe = probe.map(|suspicion| suspicion.until);
                let mute = connection.mute_at(self.settings.mute_after);
                let mute = mute.filter(|_| slot.suspicion.is_none() && self.choices() > 1);
                self.ping_due(connection).into_iter().chain(probe).chain(mute).min()
            }
        }
    }

    pub(super) fn ping_due(&self, connection: &Connection) -> Option<Instant> {
        let next = connection.liveness.next(connection.calls > 0, self.settings.keepalive);
        next.map(|(at, _)| at)
    }

    pub(super) fn poll_slot(&mut self, now: Instant, index: usize) -> Option<Output> {
        let (dial_due, has_choice) = (self.dial_due(index), self.choices() > 1);
        let slot = &mut self.slots[index];
        let endpoint = slot.id;
        let is_due = match &slot.state {
            State::Idle => dial_due.is_some_and(|due| due <= now),
            State::Backoff { until } => *until <= now,
            State::Dialing(_) | State::Ready(_) => false,
        };
        if is_due {
            self.dialled += 1;
            let connection = ConnectionId(self.dialled);
            slot.enter(now, State::Dialing(connection));
            return Some(Output::Dial(endpoint, connection));
        }
        let id = slot.ready()?.id;
        let mute_at = slot.ready()?.mute_at(self.settings.mute_after);
        let is_mute = mute_at.is_some_and(|mute_at| mute_at <= now);
        if has_choice && is_mute && slot.suspicion.is_none() {
            // Writes are not given up as reads are: by them alone nobody would be suspected. Where
            // calls cannot go elsewhere that would be for nothing.
            slot.suspect(now, (self.settings.suspect, &mut self.rng));
            return Some(Output::Changed);
        }
        if let Some(suspicion) = &mut slot.suspicion
            && suspicion.probing.is_none()
            && suspicion.until <= now
        {
            suspicion.probing = Some(id);
            return Some(Output::Probe(endpoint, id));
        }
        self.poll_liveness(now, id)
    }

    pub(super) fn poll_liveness(&mut self, now: Instant, id: ConnectionId) -> Option<Output> {
        let settings = self.settings.keepalive;
        let connection = self.connection_mut(id)?;
        let (at, due) = connection.liveness.next(connection.calls > 0, settings)?;
        match due {
            _ if at > now => None,
            Due::Ping => {
                connection.liveness.pinged(now);
                Some(Output::Ping(id))
            }
            Due::Dead if connection.liveness.extend(at, now) => None,
            Due::Dead => {
                let cause = format!("a PING was not answered within {:?}", settings.timeout);
                let cause = Some(Cause::new(cause));
                let broken = Broken { failure: ConnectFailure::Unresponsive, cause };
                self.on_down(now, id, Some(broken.clone()));
                Some(Output::Kill(id, broken))
            }
        }
    }
}
