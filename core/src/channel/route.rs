//! Which connection a call goes to.

use super::lineage::Floor;
use super::slot::{Listed, Slot};
use super::{Channel, ConnectionId, EndpointId};
use crate::Instant;
use std::time::Duration;

/// What a call wants of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Want {
    /// The endpoint that failed last: take another one if there is one.
    pub avoid: Option<EndpointId>,
    /// The only endpoint that will do.
    pub only: Option<EndpointId>,
    /// The only connection that will do, also one that may be dead: for a probe.
    pub connection: Option<ConnectionId>,
}

impl Want {
    /// Whether any endpoint will do.
    const fn is_open(&self) -> bool {
        self.only.is_none() && self.connection.is_none()
    }
}

impl Slot {
    /// The connection that a call may go to here.
    fn candidate(&self, want: Want) -> Option<ConnectionId> {
        if let Some(wanted) = want.connection {
            return self.ready().map(|ready| ready.id).filter(|id| *id == wanted);
        }
        let is_meant = want.only.map_or(self.listed != Listed::No, |only| only == self.id);
        self.usable().filter(|_| is_meant).map(|ready| ready.id)
    }
}

/// The connection for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Its connection.
    pub connection: ConnectionId,
    /// How far the cluster has been seen; `None` for an endpoint that may be of another cluster.
    pub floor: Option<Floor>,
}

/// How little is expected of a connection; the least is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Doubt {
    None,
    /// Its calls wait longer than they should.
    Slow,
    /// It is there for when no other works.
    Fallback,
    /// It did not do what it should.
    Suspect,
    /// It failed the call that asks.
    Avoided,
}

/// How long calls may wait where others follow them.
const BRISK: Duration = Duration::from_millis(10);

impl Channel {
    /// Picks the connection for a call: the next one in turn of those of which most can be
    /// expected, and that have a place for one more call. Some go to the same one in a row, unless
    /// its calls wait or one failed: what leaves together costs less.
    ///
    /// `None` when there is none: say [`Input::Wanted`](super::Input::Wanted) and wait for
    /// [`Output::Changed`](super::Output::Changed).
    ///
    /// Suspects, and the endpoint to avoid, are taken when there is nothing else (I-C7).
    pub fn route(
        &mut self,
        now: Instant,
        want: Want,
        has_place: impl Fn(ConnectionId) -> bool,
    ) -> Option<Route> {
        let count = self.slots.len();
        let before = (self.cursor + count.saturating_sub(1)).checked_rem(count)?;
        let may_stay = self.row < self.settings.in_a_row
            && self.slots[before].ready().is_some_and(|ready| !ready.is_slow(now, BRISK));
        let first = if may_stay { before } else { self.cursor };
        let mut best: Option<(Doubt, usize, ConnectionId)> = None;
        for step in 0..count {
            let index = (first + step) % count;
            let slot = &self.slots[index];
            let Some(connection) = slot.candidate(want) else { continue };
            let doubt = self.doubt(now, slot, want);
            if best.is_none_or(|(least, ..)| doubt < least) && has_place(connection) {
                best = Some((doubt, index, connection));
                if doubt == Doubt::None {
                    break;
                }
            }
        }
        let (doubt, index, connection) = best?;
        if doubt != Doubt::Avoided && want.is_open() {
            self.row = if index == before { self.row.saturating_add(1) } else { 1 };
            self.cursor = (index + 1) % count;
        }
        let slot = &self.slots[index];
        let floor = (slot.listed != Listed::No).then_some(self.lineage);
        Some(Route { endpoint: slot.id, connection, floor })
    }

    fn doubt(&self, now: Instant, slot: &Slot, want: Want) -> Doubt {
        if want.avoid == Some(slot.id) {
            return Doubt::Avoided;
        }
        if slot.suspicion.is_some() {
            return Doubt::Suspect;
        }
        if slot.listed == Listed::Fallback {
            return Doubt::Fallback;
        }
        let limit = self.settings.slow_after;
        if slot.ready().is_some_and(|ready| ready.is_slow(now, limit)) {
            Doubt::Slow
        } else {
            Doubt::None
        }
    }
}
