//! Whose turn it is: which endpoint an attempt goes to.

use super::ConnectionId;
use super::admission::Want;
use super::settings::Settings;
use super::slot::{Listed, Slot};
use crate::Instant;
use crate::rng::Rng;
use crate::signal::HealthSignal;
use std::time::Duration;

/// The turn of the endpoints, as numbers of slots.
#[derive(Debug, Clone)]
pub(super) struct RoundRobin {
    /// The slot that calls go to next.
    cursor: usize,
    /// How many calls went in a row to the slot before that.
    burst: u32,
}

/// What is picked from, and by which measure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Endpoints<'a> {
    pub(super) slots: &'a [Slot],
    pub(super) settings: &'a Settings,
}

/// How little is expected of a connection; the one with the least is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Penalty {
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

/// The longest that calls may have waited where others follow them in a burst.
const BURST_WAIT: Duration = Duration::from_millis(10);

impl RoundRobin {
    /// Begins with any of so many slots.
    pub(super) fn new(count: usize, rng: &mut Rng) -> Self {
        let count = u64::try_from(count).unwrap_or_default();
        let cursor = usize::try_from(rng.below(count)).unwrap_or_default();
        Self { cursor, burst: u32::MAX }
    }

    /// Notes that there are so many slots now.
    pub(super) fn note_count(&mut self, count: usize) {
        self.cursor %= count.max(1);
    }

    /// Notes what a call told of its endpoint: after one that was not answered, what follows had
    /// better go elsewhere.
    pub(super) fn note_signal(&mut self, signal: HealthSignal) {
        if matches!(signal, HealthSignal::None | HealthSignal::Unhealthy) {
            self.burst = u32::MAX;
        }
    }

    /// Returns the slot that is dialled first.
    pub(super) fn first_dialled(&self, slots: &[Slot]) -> usize {
        let count = slots.len();
        let mut turn = (0..count).map(|step| (self.cursor + step) % count);
        turn.find(|index| slots[*index].listed == Listed::Primary).unwrap_or(self.cursor)
    }

    /// Picks the slot of a call, and moves the turn. Calls go to one slot in bursts, unless they
    /// wait: what leaves together costs less.
    pub(super) fn pick_for_call(
        &mut self,
        endpoints: Endpoints<'_>,
        now: Instant,
        want: Want,
        has_permit: impl Fn(ConnectionId) -> bool,
    ) -> Option<usize> {
        let Endpoints { slots, settings } = endpoints;
        let count = slots.len();
        let before = (self.cursor + count.saturating_sub(1)).checked_rem(count)?;
        let may_stay = self.burst < settings.burst
            && slots[before].ready().is_some_and(|ready| !ready.is_slow(now, BURST_WAIT));
        let first = if may_stay { before } else { self.cursor };
        let mut best: Option<(Penalty, usize)> = None;
        for step in 0..count {
            let index = (first + step) % count;
            let slot = &slots[index];
            let Some(connection) = slot.candidate(want) else { continue };
            let penalty = slot.penalty(now, want, settings);
            if best.is_none_or(|(least, _)| penalty < least) && has_permit(connection) {
                best = Some((penalty, index));
                if penalty == Penalty::None {
                    break;
                }
            }
        }
        let (penalty, index) = best?;
        if penalty != Penalty::Avoided && want.accepts_any() {
            self.burst = if index == before { self.burst.saturating_add(1) } else { 1 };
            self.cursor = (index + 1) % count;
        }
        Some(index)
    }

    /// Picks the slot of a stream: the one with the fewest. The turn of the calls stays.
    pub(super) fn pick_for_stream(
        &self,
        endpoints: Endpoints<'_>,
        now: Instant,
        want: Want,
        has_permit: impl Fn(ConnectionId) -> bool,
    ) -> Option<usize> {
        let Endpoints { slots, settings } = endpoints;
        let count = slots.len();
        let turn = (0..count).map(|step| (self.cursor + step) % count);
        let candidates = turn.filter_map(|index| {
            let slot = &slots[index];
            slot.candidate(want).filter(|id| has_permit(*id))?;
            let streams = slot.ready().map_or(0, |ready| ready.streams);
            Some(((slot.penalty(now, want, settings), streams), index))
        });
        candidates.min_by_key(|(rank, _)| *rank).map(|(_, index)| index)
    }
}

impl Slot {
    /// Returns the connection that an attempt may go to here.
    fn candidate(&self, want: Want) -> Option<ConnectionId> {
        if let Some(wanted) = want.connection {
            return self.ready().map(|ready| ready.id).filter(|id| *id == wanted);
        }
        let is_meant = want.only.map_or(self.listed != Listed::No, |only| only == self.id);
        self.usable().filter(|_| is_meant).map(|ready| ready.id)
    }

    fn penalty(&self, now: Instant, want: Want, settings: &Settings) -> Penalty {
        if want.avoid == Some(self.id) {
            return Penalty::Avoided;
        }
        if self.suspicion.is_some() {
            return Penalty::Suspect;
        }
        if self.listed == Listed::Fallback {
            return Penalty::Fallback;
        }
        let is_slow = |ready: &super::Connection| ready.is_slow(now, settings.slow_after);
        if self.ready().is_some_and(is_slow) { Penalty::Slow } else { Penalty::None }
    }
}
