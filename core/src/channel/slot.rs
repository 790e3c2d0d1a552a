//! One endpoint of a channel, and its connection.

use super::liveness::Liveness;
use super::{Broken, ConnectionId, EndpointId, Impression};
use crate::Instant;
use crate::backoff::Backoff;
use crate::endpoint::Endpoint;
use crate::rng::Rng;
use std::time::Duration;

/// Why an endpoint is known to the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listed {
    /// It is one of those that calls go to.
    Primary,
    /// It was given by the user, and the cluster does not name it: for when no other works (I-C7).
    Fallback,
    /// Only calls that name it go there.
    No,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Idle,
    Dialing(ConnectionId),
    Ready(Connection),
    Backoff { until: Instant },
}

/// A connection that is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    since: Instant,
    /// The calls that it carries.
    pub(super) calls: u32,
    /// Since when a call waits and no other was answered.
    waiting: Option<Instant>,
    /// When it answered well last.
    good: Option<Instant>,
    pub(super) liveness: Liveness,
    /// The cluster that answered on it, 0 before.
    pub(super) cluster: u64,
}

impl Connection {
    pub(super) const fn new(id: ConnectionId, now: Instant) -> Self {
        let liveness = Liveness::new(now);
        Self { id, since: now, calls: 0, waiting: None, good: None, liveness, cluster: 0 }
    }

    pub(super) fn begin(&mut self, now: Instant) {
        self.calls += 1;
        self.waiting = self.waiting.or(Some(now));
    }

    /// Ends a call that began at `since`; says what it tells of the endpoint.
    pub(super) fn finish(
        &mut self,
        now: Instant,
        since: Instant,
        impression: Impression,
    ) -> Impression {
        // Whatever was wrong then, it has done well since.
        let is_old = impression == Impression::Bad && self.good.is_some_and(|good| good > since);
        match impression {
            Impression::Good => self.good(now),
            Impression::Answered => self.answer(now),
            Impression::Bad | Impression::None => {}
        }
        self.calls = self.calls.saturating_sub(1);
        if self.calls == 0 {
            self.waiting = None;
        }
        if is_old { Impression::None } else { impression }
    }

    /// It answered something: the calls that wait do so anew.
    fn answer(&mut self, now: Instant) {
        self.waiting = self.waiting.map(|_| now);
    }

    /// It answered something as it should.
    pub(super) fn good(&mut self, now: Instant) {
        self.answer(now);
        self.good = Some(now);
    }

    /// When its calls will all have waited for so long.
    pub(super) fn mute_at(&self, limit: Duration) -> Option<Instant> {
        self.waiting.map(|since| since + limit)
    }

    /// Whether its calls wait longer than those of others should.
    pub(super) fn is_slow(&self, now: Instant, limit: Duration) -> bool {
        self.waiting.is_some_and(|since| now.saturating_since(since) >= limit)
    }
}

/// An endpoint that does not do what it should, though it is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Suspicion {
    /// How often in a row it failed.
    strikes: u32,
    /// When to look again.
    pub(super) until: Instant,
    /// The connection that is being looked at.
    pub(super) probing: Option<ConnectionId>,
}

#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) id: EndpointId,
    pub(super) endpoint: Endpoint,
    pub(super) listed: Listed,
    /// How many users named it.
    pub(super) pins: u32,
    pub(super) state: State,
    /// Since when it is in this state.
    pub(super) since: Instant,
    /// Failures in a row; a connection that held for [`PROVEN`] starts anew.
    pub(super) failures: u32,
    pub(super) last: Option<Broken>,
    /// The connection that it had last.
    pub(super) lost: Option<ConnectionId>,
    pub(super) suspicion: Option<Suspicion>,
    /// Whether it answered for another cluster last.
    pub(super) foreign: bool,
}

/// How long a connection must hold to be called a good one.
const PROVEN: Duration = Duration::from_secs(5);

impl Slot {
    pub(super) const fn new(id: EndpointId, endpoint: Endpoint, now: Instant) -> Self {
        Self {
            id,
            endpoint,
            listed: Listed::No,
            pins: 0,
            state: State::Idle,
            since: now,
            failures: 0,
            last: None,
            lost: None,
            suspicion: None,
            foreign: false,
        }
    }

    pub(super) const fn ready(&self) -> Option<&Connection> {
        match &self.state {
            State::Ready(connection) => Some(connection),
            State::Idle | State::Dialing(_) | State::Backoff { .. } => None,
        }
    }

    pub(super) const fn ready_mut(&mut self) -> Option<&mut Connection> {
        match &mut self.state {
            State::Ready(connection) => Some(connection),
            State::Idle | State::Dialing(_) | State::Backoff { .. } => None,
        }
    }

    /// The connection that it has or is making.
    pub(super) fn current(&self) -> Option<ConnectionId> {
        match &self.state {
            State::Dialing(id) => Some(*id),
            State::Ready(connection) => Some(connection.id),
            State::Idle | State::Backoff { .. } => None,
        }
    }

    pub(super) fn enter(&mut self, now: Instant, state: State) -> State {
        self.since = now;
        std::mem::replace(&mut self.state, state)
    }

    /// Takes leave of the connection that it has or was making, and plans the next one.
    pub(super) fn lose(
        &mut self,
        now: Instant,
        broken: Option<Broken>,
        (backoff, rng): (Backoff, &mut Rng),
    ) -> State {
        let is_proven =
            self.ready().is_some_and(|ready| now.saturating_since(ready.since) >= PROVEN);
        self.failures = if is_proven { 0 } else { self.failures.saturating_add(1) };
        self.last = broken.or(self.last.take());
        self.lost = self.current();
        if let Some(suspicion) = &mut self.suspicion {
            suspicion.probing = None;
        }
        let until = now + backoff.after(self.failures, rng);
        self.enter(now, State::Backoff { until })
    }

    /// Whether it is down: tried, and failed.
    pub(super) const fn is_down(&self) -> bool {
        match self.state {
            State::Ready(_) | State::Idle => false,
            State::Dialing(_) | State::Backoff { .. } => self.failures > 0,
        }
    }

    /// Notes that it did not do what it should; says whether that is news.
    pub(super) fn suspect(&mut self, now: Instant, (backoff, rng): (Backoff, &mut Rng)) -> bool {
        // The calls that fail together with the first one, or with the probe, tell nothing new.
        if self.suspicion.is_some_and(|known| known.probing.is_some() || now < known.until) {
            return false;
        }
        let strikes = self.suspicion.map_or(0, |known| known.strikes).saturating_add(1);
        let until = now + backoff.after(strikes, rng).max(Duration::from_nanos(1));
        let is_news = self.suspicion.is_none();
        self.suspicion = Some(Suspicion { strikes, until, probing: None });
        is_news
    }
}
