//! How connections end, and what becomes of the calls on them.

use super::slot::{Beside, Connection, End, State};
use super::{Channel, ConnectionId, Impression};
use crate::Instant;
use std::time::Duration;

/// While no endpoint is ready, none waits longer than this since its last failure.
const RUSH: Duration = Duration::from_secs(2);

/// A connection that takes no new calls; kept until the last of its calls is over.
#[derive(Debug, Clone)]
pub(super) struct Draining {
    connection: Connection,
    /// Whether the connection itself is gone, and its calls have yet to say how they ended: a
    /// response that came before may be read after that.
    is_gone: bool,
}

impl Draining {
    pub(super) const fn id(&self) -> ConnectionId {
        self.connection.id
    }

    pub(super) fn living(&self) -> Option<&Connection> {
        (!self.is_gone).then_some(&self.connection)
    }

    pub(super) fn living_mut(&mut self) -> Option<&mut Connection> {
        (!self.is_gone).then_some(&mut self.connection)
    }
}

impl Channel {
    /// Takes no new calls on a connection, which is gone or is to be closed after the last one.
    pub(super) fn drain(&mut self, connection: Connection, is_gone: bool) {
        if connection.calls > 0 {
            self.draining.push(Draining { connection, is_gone });
        } else if !is_gone {
            self.closing.push_back(connection.id);
        }
    }

    pub(super) fn on_down(&mut self, now: Instant, id: ConnectionId, end: End) {
        if let Some(it) = self.draining.iter_mut().find(|it| it.id() == id && !it.is_gone) {
            // Told again that it takes no new calls, it goes on draining.
            match end {
                End::Broken(_) => it.is_gone = true,
                End::Retired(_) => self.ignored += 1,
            }
            return;
        }
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.dialed_beside() == Some(id)) {
            // The one in doubt will be confirmed soon, or given up.
            slot.beside = Beside::None;
            if let End::Broken(broken) = end {
                slot.last = Some(broken);
            }
            return;
        }
        let is_gone = matches!(end, End::Broken(_));
        let random = (self.settings.backoff, &mut self.rng);
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.current() == Some(id)) else {
            self.ignored += 1;
            return;
        };
        let lost = slot.lose(now, end, random);
        if let State::Ready(connection) = lost {
            self.drain(connection, is_gone);
            self.rush(now, id);
        }
        self.changed = true;
    }

    /// Looks for another endpoint sooner when the last one that was ready is gone: those that have
    /// failed before may be back.
    fn rush(&mut self, now: Instant, lost: ConnectionId) {
        if self.is_ready() {
            return;
        }
        for slot in self.slots.iter_mut().filter(|slot| slot.lost != Some(lost)) {
            if let State::Backoff { until } = &mut slot.state {
                *until = (*until).min(slot.since + RUSH).max(now);
            }
        }
    }

    pub(super) fn on_finished(
        &mut self,
        now: Instant,
        id: ConnectionId,
        (since, impression): (Instant, Impression),
    ) {
        if matches!(impression, Impression::None | Impression::Bad) {
            // What follows had better go elsewhere.
            self.row = u32::MAX;
        }
        if let Some(index) = self.draining.iter().position(|it| it.id() == id) {
            return self.on_drained(now, index, (since, impression));
        }
        let random = (self.settings.suspect, &mut self.rng);
        let is_it = |ready: &Connection| ready.id == id && ready.calls > 0;
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.ready().is_some_and(is_it)) else {
            self.ignored += 1;
            return;
        };
        let told = slot.ready_mut().map(|ready| ready.finish(now, since, impression));
        match told.unwrap_or(Impression::None) {
            Impression::None | Impression::Answered => {}
            Impression::Good => self.changed |= slot.suspicion.take().is_some(),
            Impression::Bad => self.changed |= slot.suspect(now, random),
        }
    }

    /// A call is over on a connection that takes no new ones.
    fn on_drained(
        &mut self,
        now: Instant,
        index: usize,
        (since, impression): (Instant, Impression),
    ) {
        let Draining { connection, is_gone } = &mut self.draining[index];
        connection.finish(now, since, impression);
        let (id, calls, is_gone) = (connection.id, connection.calls, *is_gone);
        if calls == 0 {
            self.draining.swap_remove(index);
            if !is_gone {
                self.closing.push_back(id);
            }
        }
        if matches!(impression, Impression::Good | Impression::Answered) {
            self.on_late_answer(now, id);
        }
    }

    /// A connection that is over did its work all the same: the next one of its endpoint need not
    /// wait.
    fn on_late_answer(&mut self, now: Instant, id: ConnectionId) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.lost == Some(id)) else { return };
        slot.failures = 0;
        if let State::Backoff { until } = &mut slot.state {
            *until = (*until).min(now);
            self.changed = true;
        }
    }
}
