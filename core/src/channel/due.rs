//! What is due on the endpoints and their connections, and when: each rule is stated once.

use super::connection::Connection;
use super::ends::Draining;
use super::liveness::Due;
use super::slot::{DownReason, Listed, Replacement, Slot, State};
use super::{Channel, ConnectionError, ConnectionId, Migration, Output};
use crate::Instant;
use crate::error::{Cause, ConnectFailure};

/// What a channel does next; numbers are those of slots.
#[derive(Debug, Clone, Copy)]
pub(super) enum Action {
    TellChanged,
    Close,
    Dial(usize),
    /// Beside a connection that may be dead.
    DialReplacement(usize),
    Suspect(usize),
    Probe(usize, ConnectionId),
    Migrate(ConnectionId, Migration),
    Ping(ConnectionId),
    /// Gives up a connection whose PING was to be answered by now.
    GiveUp(ConnectionId),
}

impl Channel {
    /// Returns when `poll` will want something; the past, if it does already.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        Schedule(self).actions().map(|(at, _)| at).min()
    }

    /// Returns [`next_due`](Self::next_due) if that may be sooner than was said last, which is
    /// cheaper to know: a driver that sleeps until then is to be woken.
    #[must_use]
    pub fn due_sooner(&mut self) -> Option<Instant> {
        let sooner = self.sooner.take();
        if std::mem::take(&mut self.is_sooner) { self.next_due() } else { sooner }
    }

    /// Notes that something of this endpoint may be due sooner than was said last.
    pub(super) fn note_sooner(&mut self, index: usize) {
        let due = Schedule(self).actions_of_slot(index).into_iter().flatten().map(|(at, _)| at);
        self.sooner = due.chain(self.sooner).min();
    }

    /// Returns what is due at this moment, one at a time.
    pub(super) fn due(&self, now: Instant) -> Option<Action> {
        Schedule(self).actions().find(|(at, _)| *at <= now).map(|(_, action)| action)
    }

    /// Does what is due, and returns what the driver is to do for it.
    pub(super) fn act(&mut self, now: Instant, action: Action) -> Option<Output> {
        match action {
            Action::TellChanged => {
                self.changed = false;
                Some(Output::Changed)
            }
            Action::Close => self.closing.pop_front().map(Output::Close),
            Action::Dial(index) => {
                let connection = self.next_connection();
                let slot = self.slots.get_mut(index)?;
                slot.enter(now, State::Dialing(connection));
                Some(Output::Dial(slot.id, connection))
            }
            Action::DialReplacement(index) => {
                let connection = self.next_connection();
                let slot = self.slots.get_mut(index)?;
                slot.replacement = Replacement::Dialing(connection);
                Some(Output::Dial(slot.id, connection))
            }
            Action::Suspect(index) => {
                let slot = self.slots.get_mut(index)?;
                slot.suspect(now, self.settings.suspect, &mut self.rng);
                Some(Output::Changed)
            }
            Action::Probe(index, connection) => {
                let slot = self.slots.get_mut(index)?;
                slot.probing = Some(connection);
                Some(Output::Probe(slot.id, connection))
            }
            Action::Migrate(id, scope) => {
                self.connection_mut(id)?.note_migrating(scope);
                Some(Output::Migrate(id, scope))
            }
            Action::Ping(id) => {
                self.connection_mut(id)?.liveness.pinged(now);
                Some(Output::Ping(id))
            }
            Action::GiveUp(id) => self.give_up(now, id),
        }
    }

    fn next_connection(&mut self) -> ConnectionId {
        self.dialled += 1;
        ConnectionId(self.dialled)
    }

    fn give_up(&mut self, now: Instant, id: ConnectionId) -> Option<Output> {
        let ping = self.ping_policy.ping;
        let liveness = &mut self.connection_mut(id)?.liveness;
        let due = liveness.dead_at(ping)?;
        if liveness.extend(due, now) {
            return None;
        }
        let pinged = liveness.pending().unwrap_or(now);
        let cause = format!("a PING was not answered within {:?}", ping.timeout);
        let cause = Some(Cause::new(cause));
        let error = ConnectionError { failure: ConnectFailure::Unresponsive, cause };
        self.on_down(now, id, DownReason::Failed(error.clone()));
        self.mark_others_unconfirmed(pinged);
        Some(Output::Kill(id, error))
    }

    /// Takes all connections for unconfirmed on which nothing has come since this PING, which was
    /// not answered on another one: whatever lies between may have forgotten all of them (NAT, for
    /// example). Each is asked for a sign of life, and its replacement is dialled meanwhile.
    fn mark_others_unconfirmed(&mut self, pinged: Instant) {
        for slot in &mut self.slots {
            if slot.ready_mut().is_some_and(|ready| ready.mark_unconfirmed(pinged)) {
                slot.replacement = Replacement::Wanted;
            }
        }
        for connection in self.draining.iter_mut().filter_map(Draining::living_mut) {
            connection.mark_unconfirmed(pinged);
        }
    }
}

/// A look at what a channel has to do: each rule is stated here, once.
#[derive(Clone, Copy)]
struct Schedule<'a>(&'a Channel);

impl<'a> Schedule<'a> {
    /// Returns all that is to be done, and when.
    fn actions(self) -> impl Iterator<Item = (Instant, Action)> + 'a {
        let changed = self.0.changed.then_some((Instant::ORIGIN, Action::TellChanged));
        let closing = (!self.0.closing.is_empty()).then_some((Instant::ORIGIN, Action::Close));
        let slots = (0..self.0.slots.len()).flat_map(move |index| self.actions_of_slot(index));
        let draining = self.0.draining.iter().filter_map(Draining::living);
        let draining = draining.filter_map(move |connection| self.action_of_connection(connection));
        changed.into_iter().chain(closing).chain(slots.flatten()).chain(draining)
    }

    fn actions_of_slot(self, index: usize) -> [Option<(Instant, Action)>; 3] {
        let only = |action| [action, None, None];
        let slot = &self.0.slots[index];
        let connection = match &slot.state {
            State::Idle => return only(self.dial_due(index).map(|at| (at, Action::Dial(index)))),
            State::Backoff { until } => return only(Some((*until, Action::Dial(index)))),
            State::Dialing(_) => return only(None),
            State::Ready(connection) => connection,
        };
        if slot.replacement == Replacement::Wanted {
            return only(Some((Instant::ORIGIN, Action::DialReplacement(index))));
        }
        let stalled = self.stalled_due(slot, connection).map(|at| (at, Action::Suspect(index)));
        let probe = slot.probe_due().map(|at| (at, Action::Probe(index, connection.id)));
        [stalled, probe, self.action_of_connection(connection)]
    }

    /// Returns when an endpoint that was never dialled is to be.
    fn dial_due(self, index: usize) -> Option<Instant> {
        let wanted = self.0.wanted?;
        let is_idle = |slot: &Slot| matches!(slot.state, State::Idle);
        let is_alone = self.0.slots.iter().all(is_idle)
            && self.0.round_robin.first_dialled(&self.0.slots) == index;
        let is_urgent = self.0.slots[index].pins > 0 || self.0.slots.iter().any(Slot::is_down);
        Some(if is_alone || is_urgent { Instant::ORIGIN } else { wanted + self.0.settings.stagger })
    }

    /// Returns when an endpoint will have left all its calls waiting for too long. Writes are not
    /// given up as reads are: by them alone nobody would be suspected. Where calls cannot go
    /// elsewhere that would be for nothing.
    fn stalled_due(self, slot: &Slot, connection: &Connection) -> Option<Instant> {
        let stalled_at = connection.stalled_at(self.0.settings.stalled_after)?;
        (slot.suspicion.is_none() && self.0.choices() > 1).then_some(stalled_at)
    }

    fn action_of_connection(self, connection: &Connection) -> Option<(Instant, Action)> {
        let id = connection.id;
        if let Some(scope) = connection.to_migrate()
            && self.has_usable()
        {
            return Some((Instant::ORIGIN, Action::Migrate(id, scope)));
        }
        connection.liveness_due(self.0.ping_policy).map(|(at, due)| match due {
            Due::Ping => (at, Action::Ping(id)),
            Due::Dead => (at, Action::GiveUp(id)),
        })
    }

    /// Returns whether attempts can go to some endpoint.
    fn has_usable(self) -> bool {
        self.0.slots.iter().any(|slot| slot.listed != Listed::No && slot.usable().is_some())
    }
}
