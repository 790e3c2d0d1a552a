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
const MIN_INTERVAL: Duration = Duration::from_millis(500);

/// How many slots there are in a third of the time to live.
const SLOTS: u32 = 50;

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

    fn assumed_ttl(&self) -> Duration {
        self.ttl.unwrap_or(ASSUMED_TTL)
    }

    /// Draws the time between two renewals: a third of the time to live, less up to a tenth.
    // I-L2
    pub(super) fn interval(&self, rng: &mut Rng) -> Duration {
        let ttl = self.assumed_ttl();
        let third = ttl / 3;
        let most = (third / 10).saturating_sub(self.slot().unwrap_or_default());
        let most = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        let interval = third.saturating_sub(Duration::from_nanos(rng.below(most)));
        interval.max(MIN_INTERVAL.min(ttl / 2))
    }

    /// Returns the length of the slots in which renewals are sent together, one wake-up for all;
    /// `None` if that would make them closer than they may be.
    fn slot(&self) -> Option<Duration> {
        let third = self.assumed_ttl() / 3;
        (third / 10 * 9 >= MIN_INTERVAL).then_some(third / SLOTS)
    }

    /// Has it rest until this moment, or the beginning of its slot: part of the jitter.
    // I-L2
    pub(super) fn rest(&mut self, due: Instant) {
        let slot = self.slot().and_then(|slot| u64::try_from(slot.as_nanos()).ok());
        let since = slot.map_or(0, |slot| due.as_nanos() % slot.max(1));
        self.turn = Turn::Resting(due - Duration::from_nanos(since));
    }

    /// Returns the time between two calls of its own.
    pub(super) fn single_interval(&self) -> Duration {
        (self.assumed_ttl() / 6).max(MIN_LATENESS)
    }

    /// Returns for how long a request may go unanswered.
    // I-L3
    pub(super) fn patience(&self) -> Duration {
        self.single_interval().min(MAX_PATIENCE)
    }

    /// Returns for how long a renewal may take until it is late.
    pub(super) fn lateness(&self) -> Duration {
        (self.assumed_ttl() / 20).max(MIN_LATENESS)
    }

    /// Returns how often it is to be renewed in a thousand seconds.
    pub(super) fn rate(&self) -> u64 {
        let Some(ttl) = self.ttl else { return 0 };
        let interval = (ttl / 3).max(MIN_INTERVAL);
        1_000_000_000_000 / u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Returns when a call of its own is to be given up.
    pub(super) fn give_up_at(&self, now: Instant) -> Instant {
        self.until.unwrap_or_else(|| now + self.assumed_ttl())
    }

    /// Returns when something is to be done about it.
    fn due(&self) -> Option<Instant> {
        let turn = match self.turn {
            Turn::Resting(due) => Some(due),
            Turn::Queued | Turn::Asked | Turn::Single | Turn::Confirming => None,
        };
        [turn, self.until, self.late_at, self.single_at].into_iter().flatten().min()
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
