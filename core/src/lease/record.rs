//! What is known of one lease, and when something is to be done about it.

use super::events::Known;
use super::timers::Timers;
use crate::error::Error;
use crate::rng::Rng;
use crate::{Instant, LeaseId};
use std::collections::BTreeSet;
use std::time::Duration;

/// The time to live of a lease of which it is not known, for the time that answers may take.
const ASSUMED_TTL: Duration = Duration::from_secs(6);
/// A request that was not answered for so long is repeated, whatever the time to live.
// I-L3
const MAX_PATIENCE: Duration = Duration::from_secs(2);
/// A renewal that takes less time than this is not late, whatever the time to live.
const MIN_LATENESS: Duration = Duration::from_millis(200);
/// Renewals are never closer than this, unless the time to live is shorter than twice this.
// L46
const MIN_INTERVAL: u64 = NANOS / 2;

/// How many slots there are in a third of the time to live.
const SLOTS: u64 = 50;
/// The nanoseconds of a second.
const NANOS: u64 = 1_000_000_000;

/// Returns the length of the slots in which renewals are sent together, one wake-up for all, in
/// nanoseconds, of a third of the time to live; `None` if that would make them closer than they may
/// be.
fn slot(third: u64) -> Option<u64> {
    (third / 10 * 9 >= MIN_INTERVAL).then_some(third / SLOTS)
}

/// Where a lease is between two renewals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Turn {
    /// To be renewed at this moment.
    Resting(Instant),
    /// To be asked for on the stream when it is open and its pace allows.
    Queued,
    /// Asked for on the stream.
    Asked,
    /// Renewed by calls of its own.
    Single,
    /// A member did not know it, and it is asked whether another one does.
    Confirming,
}

/// One lease.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// The time to live that was told last.
    pub(super) ttl: Option<Duration>,
    /// Until when it is valid; `None` until that is known.
    pub(super) until: Option<Instant>,
    /// When the newest request was sent that was acknowledged, by the clock that does not count
    /// the time that the machine was suspended.
    pub(super) acknowledged: Instant,
    /// Whether it was granted here, and no renewal has been acknowledged.
    pub(super) is_new: bool,
    pub(super) turn: Turn,
    /// Since when it is to be renewed.
    pub(super) since: Option<Instant>,
    /// Whether the renewal that is due has been asked for.
    pub(super) is_asked: bool,
    /// When it is to be told that it is late.
    pub(super) late_at: Option<Instant>,
    pub(super) is_late: bool,
    /// When it is to be renewed by a call of its own.
    pub(super) single_at: Option<Instant>,
    /// Its place among those that wait for their turn on the stream.
    pub(super) queued: Option<Instant>,
    /// Its place among those that wait for such a call.
    pub(super) waits: Option<Instant>,
    /// How many such calls are under way.
    pub(super) singles: u32,
    pub(super) round: u32,
    /// How many acknowledgements it needs before it goes back to the stream; 0 if it is there.
    pub(super) isolated: u8,
    /// Why the last renewal failed.
    pub(super) error: Option<Error>,
    /// Where it stands among the timers.
    timer: Option<Instant>,
}

impl Record {
    pub(super) fn new(now: Instant, known: Known, round: u32, rng: &mut Rng) -> Self {
        let Known { ttl, until, is_new, .. } = known;
        let mut record = Self {
            ttl,
            until,
            acknowledged: Instant::ORIGIN,
            is_new,
            turn: Turn::Resting(now),
            since: None,
            is_asked: false,
            late_at: None,
            is_late: false,
            single_at: None,
            queued: None,
            waits: None,
            singles: 0,
            round,
            isolated: 0,
            error: None,
            timer: None,
        };
        if let (Some(ttl), Some(until)) = (ttl, until) {
            record.acknowledged = until - ttl;
            record.rest(record.acknowledged + record.interval(rng));
        }
        record
    }

    /// Returns its time to live in nanoseconds: in a number, since this is asked again and again.
    fn nanos(&self) -> u64 {
        let ttl = self.ttl.unwrap_or(ASSUMED_TTL);
        ttl.as_secs().saturating_mul(NANOS).saturating_add(u64::from(ttl.subsec_nanos()))
    }

    /// Draws the time between two renewals: a third of the time to live, less up to a tenth.
    // I-L2
    pub(super) fn interval(&self, rng: &mut Rng) -> Duration {
        let nanos = self.nanos();
        let third = nanos / 3;
        let most = (third / 10).saturating_sub(slot(third).unwrap_or_default());
        let interval = third.saturating_sub(rng.below(most));
        Duration::from_nanos(interval.max(MIN_INTERVAL.min(nanos / 2)))
    }

    /// Has it rest until this moment, or the beginning of its slot: part of the jitter.
    // I-L2
    pub(super) fn rest(&mut self, due: Instant) {
        let since = slot(self.nanos() / 3).map_or(0, |slot| due.as_nanos() % slot.max(1));
        self.turn = Turn::Resting(due - Duration::from_nanos(since));
    }

    /// Returns the time between two calls of its own.
    pub(super) fn single_interval(&self) -> Duration {
        Duration::from_nanos(self.nanos() / 6).max(MIN_LATENESS)
    }

    /// Returns for how long a request may go unanswered.
    // I-L3
    pub(super) fn patience(&self) -> Duration {
        self.single_interval().min(MAX_PATIENCE)
    }

    /// Returns for how long a renewal may take until it is late.
    pub(super) fn lateness(&self) -> Duration {
        Duration::from_nanos(self.nanos() / 20).max(MIN_LATENESS)
    }

    /// Returns how often it is to be renewed in a thousand seconds.
    pub(super) fn rate(&self) -> u64 {
        if self.ttl.is_none() {
            return 0;
        }
        1_000 * NANOS / (self.nanos() / 3).max(MIN_INTERVAL)
    }

    /// Returns when a call of its own is to be given up.
    pub(super) fn give_up_at(&self, now: Instant) -> Instant {
        self.until.unwrap_or_else(|| now + Duration::from_nanos(self.nanos()))
    }

    /// Returns when something is to be done about it.
    fn due(&self) -> Option<Instant> {
        let mut due = match self.turn {
            Turn::Resting(due) => Some(due),
            Turn::Queued | Turn::Asked | Turn::Single | Turn::Confirming => None,
        };
        for moment in [self.until, self.late_at, self.single_at].into_iter().flatten() {
            due = Some(due.map_or(moment, |due| due.min(moment)));
        }
        due
    }

    /// Counts the time that the machine was suspended.
    // I-L8
    pub(super) fn age(&mut self, by: Duration) {
        if let Turn::Resting(due) = &mut self.turn {
            *due = *due - by;
        }
        for moment in [&mut self.until, &mut self.late_at, &mut self.single_at] {
            *moment = moment.map(|moment| moment - by);
        }
    }

    /// Has it wait for its turn on the stream, since this moment.
    pub(super) fn enqueue(
        &mut self,
        since: Instant,
        id: LeaseId,
        queue: &mut BTreeSet<(Instant, LeaseId)>,
    ) {
        self.dequeue(id, queue);
        let by = since + self.single_interval();
        let by = self.until.map_or(by, |until| until.min(by));
        self.turn = Turn::Queued;
        self.queued = Some(by);
        queue.insert((by, id));
    }

    /// Takes it out of the queue for the stream, if it is there.
    pub(super) fn dequeue(&mut self, id: LeaseId, queue: &mut BTreeSet<(Instant, LeaseId)>) {
        if let Some(by) = self.queued.take() {
            queue.remove(&(by, id));
        }
    }

    /// Moves it among the timers to where it belongs now.
    pub(super) fn set_timer(&mut self, timers: &mut Timers, id: LeaseId) {
        let due = self.due();
        if due == self.timer {
            return;
        }
        self.clear_timer(timers, id);
        if let Some(due) = due {
            timers.insert(due, id);
        }
        self.timer = due;
    }

    /// Notes that its timer is over, and was taken from the timers; returns whether that was this
    /// one.
    pub(super) fn timer_is_over(&mut self, at: Instant) -> bool {
        let is_it = self.timer == Some(at);
        if is_it {
            self.timer = None;
        }
        is_it
    }

    /// Takes it out of the timers.
    pub(super) fn clear_timer(&self, timers: &mut Timers, id: LeaseId) {
        if let Some(old) = self.timer {
            timers.remove(old, id);
        }
    }
}
