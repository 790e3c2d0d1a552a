//! What is due on the endpoints and their connections, and when.

use super::ends::Draining;
use super::liveness::Due;
use super::slot::{Beside, Connection, End, Listed, Slot, State};
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
        let draining = self.draining.iter().filter_map(Draining::living);
        let draining = draining.filter_map(|connection| self.connection_due(connection));
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
                if slot.beside == Beside::Wanted {
                    return Some(Instant::ORIGIN);
                }
                let due = earlier(self.connection_due(connection), slot.probe_due());
                earlier(due, self.mute_due(slot, connection))
            }
        }
    }

    /// When an endpoint will have left its calls waiting for too long.
    fn mute_due(&self, slot: &Slot, connection: &Connection) -> Option<Instant> {
        let mute_at = connection.mute_at(self.settings.mute_after)?;
        (slot.suspicion.is_none() && self.choices() > 1).then_some(mute_at)
    }

    /// When a PING is due on a connection, or its end, or its calls are to be told to leave.
    fn connection_due(&self, connection: &Connection) -> Option<Instant> {
        if connection.wants_to_migrate() && self.has_usable() {
            return Some(Instant::ORIGIN);
        }
        connection.liveness_due(self.ping_policy).map(|(at, _)| at)
    }

    /// Whether calls can go to some endpoint.
    fn has_usable(&self) -> bool {
        self.slots.iter().any(|slot| slot.listed != Listed::No && slot.usable().is_some())
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
        if slot.beside == Beside::Wanted {
            self.dialled += 1;
            let connection = ConnectionId(self.dialled);
            slot.beside = Beside::Dialing(connection);
            return Some(Output::Dial(endpoint, connection));
        }
        let mute_at = slot.ready()?.mute_at(self.settings.mute_after);
        let is_mute = mute_at.is_some_and(|mute_at| mute_at <= now);
        if has_choice && is_mute && slot.suspicion.is_none() {
            // Writes are not given up as reads are: by them alone nobody would be suspected. Where
            // calls cannot go elsewhere that would be for nothing.
            slot.suspect(now, (self.settings.suspect, &mut self.rng));
            return Some(Output::Changed);
        }
        if slot.probe_due().is_some_and(|due| due <= now) {
            slot.probing = Some(id);
            return Some(Output::Probe(endpoint, id));
        }
        self.poll_connection(now, id)
    }

    pub(super) fn poll_connection(&mut self, now: Instant, id: ConnectionId) -> Option<Output> {
        let policy = self.ping_policy;
        let has_usable = self.has_usable();
        let connection = self.connection_mut(id)?;
        if connection.wants_to_migrate() && has_usable {
            connection.is_migrated = true;
            return Some(Output::Migrate(id));
        }
        let (at, due) = connection.liveness_due(policy)?;
        match due {
            _ if at > now => None,
            Due::Ping => {
                connection.liveness.pinged(now);
                Some(Output::Ping(id))
            }
            Due::Dead if connection.liveness.extend(at, now) => None,
            Due::Dead => {
                let pinged = connection.liveness.pending().unwrap_or(now);
                let timeout = policy.keepalive.timeout;
                let cause = format!("a PING was not answered within {timeout:?}");
                let cause = Some(Cause::new(cause));
                let broken = Broken { failure: ConnectFailure::Unresponsive, cause };
                self.on_down(now, id, End::Broken(broken.clone()));
                self.doubt_others(pinged);
                Some(Output::Kill(id, broken))
            }
        }
    }

    /// Doubts all connections on which nothing has come since this PING, which was not answered on
    /// another one: whatever lies between may have forgotten all of them (NAT, for example). Each
    /// is asked for a sign of life, and its successor is dialled meanwhile.
    fn doubt_others(&mut self, pinged: Instant) {
        for slot in &mut self.slots {
            if slot.ready_mut().is_some_and(|ready| ready.doubt(pinged)) {
                slot.beside = Beside::Wanted;
            }
        }
        for connection in self.draining.iter_mut().filter_map(Draining::living_mut) {
            connection.doubt(pinged);
        }
    }
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
