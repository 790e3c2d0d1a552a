//! How connections end, and what becomes of what they carry.

use super::connection::Connection;
use super::slot::{DownReason, Replacement, State};
use super::{Channel, ConnectionId};
use crate::Instant;
use std::time::Duration;

/// The longest that an endpoint waits since its last failure while none is ready.
const MAX_BACKOFF_WITHOUT_READY: Duration = Duration::from_secs(2);

/// A connection that takes no new calls; kept until the last of its calls and streams is over.
#[derive(Debug, Clone)]
pub(super) struct Draining {
    pub(super) connection: Connection,
    /// Whether the connection itself is gone, and what it carried has yet to say how it ended: a
    /// response that came before may be read after that.
    pub(super) is_gone: bool,
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
    pub(super) fn drain(&mut self, mut connection: Connection, is_gone: bool) {
        if !connection.is_unused() {
            connection.is_draining = true;
            self.draining.push(Draining { connection, is_gone });
        } else if !is_gone {
            self.closing.push_back(connection.id);
        }
    }

    pub(super) fn on_down(&mut self, now: Instant, id: ConnectionId, end: DownReason) {
        if let Some(it) = self.draining.iter_mut().find(|it| it.id() == id && !it.is_gone) {
            // Told again that it takes no new calls, it goes on draining.
            match end {
                DownReason::Failed(_) => it.is_gone = true,
                DownReason::Retired(_) => self.ignored += 1,
            }
            return;
        }
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.replacement_id() == Some(id)) {
            // The unconfirmed one will be confirmed soon, or given up.
            slot.replacement = Replacement::None;
            if let DownReason::Failed(broken) = end {
                slot.last = Some(broken);
            }
            return;
        }
        let is_gone = matches!(end, DownReason::Failed(_));
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.current() == Some(id)) else {
            self.ignored += 1;
            return;
        };
        let lost = slot.lose(now, end, self.settings.backoff, &mut self.rng);
        if let State::Ready(connection) = lost {
            self.drain(connection, is_gone);
            self.shorten_backoffs(now, id);
        }
        self.changed = true;
    }

    /// Dials the others sooner when the last endpoint that was ready is gone: those that have
    /// failed before may be back.
    fn shorten_backoffs(&mut self, now: Instant, lost: ConnectionId) {
        if self.is_ready() {
            return;
        }
        for slot in self.slots.iter_mut().filter(|slot| slot.lost != Some(lost)) {
            if let State::Backoff { until } = &mut slot.state {
                *until = (*until).min(slot.since + MAX_BACKOFF_WITHOUT_READY).max(now);
            }
        }
    }

    /// A connection that is over did its work all the same: the next one of its endpoint need not
    /// wait.
    pub(super) fn on_late_response(&mut self, now: Instant, id: ConnectionId) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.lost == Some(id)) else { return };
        slot.failures = 0;
        if let State::Backoff { until } = &mut slot.state {
            *until = (*until).min(now);
            self.changed = true;
        }
    }
}
