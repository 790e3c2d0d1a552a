//! One endpoint of a channel, and its connection.

use super::liveness::{Due, Liveness, PingPolicy};
use super::{Broken, ConnectionId, EndpointId, Goodbye, Impression};
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

/// How an endpoint lost its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The server takes no new calls on it.
    Retired(Goodbye),
    /// It is gone, or could not be made.
    Broken(Broken),
}

impl End {
    fn is_orderly(&self) -> bool {
        *self == Self::Retired(Goodbye::Orderly)
    }
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
    /// Whether a call was answered on it.
    is_answered: bool,
    pub(super) liveness: Liveness,
    /// When the PING was sent by whose lack of an answer another connection was found dead, if
    /// nothing has come on this one since: it may be dead, too.
    pub(super) unconfirmed: Option<Instant>,
    /// Whether the calls on it have been told to go elsewhere if they may.
    pub(super) is_migrated: bool,
    /// The cluster that answered on it, 0 before.
    pub(super) cluster: u64,
}

impl Connection {
    pub(super) const fn new(id: ConnectionId, now: Instant) -> Self {
        Self {
            id,
            since: now,
            calls: 0,
            waiting: None,
            good: None,
            is_answered: false,
            liveness: Liveness::new(now),
            unconfirmed: None,
            is_migrated: false,
            cluster: 0,
        }
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
        self.is_answered |= matches!(impression, Impression::Good | Impression::Answered);
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

    /// Notes when the last byte came; says whether the connection was in doubt until then.
    pub(super) fn hear(&mut self, at: Instant) -> bool {
        self.liveness.hear(at);
        let is_confirmed = self.unconfirmed.is_some_and(|since| self.liveness.heard() >= since);
        if is_confirmed {
            (self.unconfirmed, self.is_migrated) = (None, false);
        }
        is_confirmed
    }

    /// Doubts that it is alive, since another connection was found dead by a PING of this moment,
    /// unless something has come since.
    pub(super) fn doubt(&mut self, pinged: Instant) -> bool {
        let is_new = self.unconfirmed.is_none() && self.liveness.heard() < pinged;
        if is_new {
            self.unconfirmed = Some(pinged);
        }
        is_new
    }

    /// Whether its calls had better go to another one, if there is one.
    pub(super) const fn wants_to_migrate(&self) -> bool {
        self.unconfirmed.is_some() && !self.is_migrated && self.calls > 0
    }

    /// When to send a PING, or to give it up, and which of the two; no PING without calls.
    pub(super) fn liveness_due(&self, policy: PingPolicy) -> Option<(Instant, Due)> {
        if let Some(dead_at) = self.liveness.dead_at(policy.keepalive) {
            return Some((dead_at, Due::Dead));
        }
        // Calls are open exactly if one waits.
        let since = self.waiting?.max(self.liveness.heard());
        let sooner = self.unconfirmed.unwrap_or(since + policy.patience);
        Some((self.liveness.ping_at(sooner, policy.keepalive), Due::Ping))
    }

    /// Whether it did its work: it carried a call that was answered, or held for long.
    fn is_proven(&self, now: Instant) -> bool {
        self.is_answered || now.saturating_since(self.since) >= PROVEN
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
}

/// A connection that is made beside one that may be dead, to take its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    /// There is no need of it, or it could not be made.
    None,
    Wanted,
    Dialing(ConnectionId),
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
    /// The connection that a probe is under way on.
    pub(super) probing: Option<ConnectionId>,
    pub(super) beside: Beside,
    /// Whether it answered for another cluster last.
    pub(super) foreign: bool,
}

/// How long a connection that answered nothing must hold to be called a good one.
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
            probing: None,
            beside: Beside::None,
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

    /// The connection that is being made beside the one that it has.
    pub(super) const fn dialed_beside(&self) -> Option<ConnectionId> {
        match self.beside {
            Beside::Dialing(id) => Some(id),
            Beside::None | Beside::Wanted => None,
        }
    }

    /// The connection that calls may go to.
    pub(super) fn usable(&self) -> Option<&Connection> {
        self.ready().filter(|ready| ready.unconfirmed.is_none())
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

    /// Takes leave of the connection that it has or was making, and plans the next one: at once if
    /// it did its work, or said goodbye as it should the first time.
    pub(super) fn lose(
        &mut self,
        now: Instant,
        end: End,
        (backoff, rng): (Backoff, &mut Rng),
    ) -> State {
        let is_proven = self.ready().is_some_and(|ready| ready.is_proven(now));
        let unproven = if is_proven { 0 } else { self.failures.saturating_add(1) };
        let waits = if end.is_orderly() { unproven.saturating_sub(1) } else { unproven };
        self.failures = unproven;
        if let End::Broken(broken) = end {
            self.last = Some(broken);
        }
        self.lost = self.current();
        self.probing = None;
        if let Beside::Dialing(id) = std::mem::replace(&mut self.beside, Beside::None) {
            return self.enter(now, State::Dialing(id));
        }
        let until = now + backoff.after(waits, rng);
        self.enter(now, State::Backoff { until })
    }

    /// When its connection is to be probed: a suspect after its backoff, one that may be dead at
    /// once, unless it has a call that a PING can go with.
    pub(super) fn probe_due(&self) -> Option<Instant> {
        let ready = self.ready().filter(|_| self.probing.is_none())?;
        let is_in_doubt = ready.unconfirmed.is_some() && ready.calls == 0;
        let in_doubt = is_in_doubt.then_some(Instant::ORIGIN);
        in_doubt.or_else(|| self.suspicion.map(|suspicion| suspicion.until))
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
        let is_known =
            self.suspicion.is_some_and(|known| self.probing.is_some() || now < known.until);
        if is_known {
            return false;
        }
        let strikes = self.suspicion.map_or(0, |known| known.strikes).saturating_add(1);
        let until = now + backoff.after(strikes, rng).max(Duration::from_nanos(1));
        let is_news = self.suspicion.is_none();
        self.suspicion = Some(Suspicion { strikes, until });
        is_news
    }
}
