//! One endpoint of a channel.

use super::connection::Connection;
use super::{ConnectionError, ConnectionId, EndpointId, Retirement};
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
    /// It was given by the user, and the cluster does not name it: for when no other works.
    // I-C7
    Fallback,
    /// Only calls that name it go there.
    No,
}

/// How an endpoint lost its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DownReason {
    /// The server takes no new calls on it.
    Retired(Retirement),
    /// It is gone, or could not be made.
    Failed(ConnectionError),
}

impl DownReason {
    /// Returns whether the server said that there was nothing wrong.
    fn is_orderly(&self) -> bool {
        *self == Self::Retired(Retirement::NoError)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Idle,
    Dialing(ConnectionId),
    Ready(Connection),
    Backoff { until: Instant },
}

/// An endpoint that does not do what it should, though it is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Suspicion {
    consecutive_failures: u32,
    /// When to look again.
    pub(super) until: Instant,
}

/// A connection that is made beside one that may be dead, to take its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replacement {
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
    /// Consecutive failures; a stable connection starts anew.
    pub(super) failures: u32,
    pub(super) last: Option<ConnectionError>,
    /// The connection that it had last.
    pub(super) lost: Option<ConnectionId>,
    pub(super) suspicion: Option<Suspicion>,
    /// The connection that a probe is under way on.
    pub(super) probing: Option<ConnectionId>,
    pub(super) replacement: Replacement,
    /// Whether it answered for another cluster last.
    pub(super) foreign: bool,
}

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
            replacement: Replacement::None,
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

    /// Returns the connection that is being made beside the one that it has.
    pub(super) const fn replacement_id(&self) -> Option<ConnectionId> {
        match self.replacement {
            Replacement::Dialing(id) => Some(id),
            Replacement::None | Replacement::Wanted => None,
        }
    }

    /// Returns the connection that attempts may go to.
    pub(super) fn usable(&self) -> Option<&Connection> {
        self.ready().filter(|ready| ready.unconfirmed.is_none())
    }

    /// Returns the connection that it has or is making.
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

    /// Gives up the connection that it has or was making, and plans the next one: at once if it was
    /// stable, or the server ended it in an orderly way for the first time.
    pub(super) fn lose(
        &mut self,
        now: Instant,
        end: DownReason,
        backoff: Backoff,
        rng: &mut Rng,
    ) -> State {
        let is_stable = self.ready().is_some_and(|ready| ready.is_stable(now));
        self.failures = if is_stable { 0 } else { self.failures.saturating_add(1) };
        let waits = self.failures.saturating_sub(u32::from(end.is_orderly()));
        if let DownReason::Failed(broken) = end {
            self.last = Some(broken);
        }
        self.lost = self.current();
        self.probing = None;
        if let Replacement::Dialing(id) =
            std::mem::replace(&mut self.replacement, Replacement::None)
        {
            return self.enter(now, State::Dialing(id));
        }
        let until = now + backoff.after(waits, rng);
        self.enter(now, State::Backoff { until })
    }

    /// Returns when its connection is to be probed: a suspect after its backoff, one that may be
    /// dead at once, unless it carries something that a PING can go with.
    pub(super) fn probe_due(&self) -> Option<Instant> {
        let ready = self.ready().filter(|_| self.probing.is_none())?;
        let must_confirm = ready.unconfirmed.is_some() && ready.is_unused();
        let unconfirmed = must_confirm.then_some(Instant::ORIGIN);
        unconfirmed.or_else(|| self.suspicion.map(|suspicion| suspicion.until))
    }

    /// Returns whether it is down: tried, and failed.
    pub(super) const fn is_down(&self) -> bool {
        match self.state {
            State::Ready(_) | State::Idle => false,
            State::Dialing(_) | State::Backoff { .. } => self.failures > 0,
        }
    }

    /// Notes that it did not do what it should; returns whether that is news.
    pub(super) fn suspect(&mut self, now: Instant, backoff: Backoff, rng: &mut Rng) -> bool {
        // The calls that fail together with the first one, or with the probe, tell nothing new.
        let is_known =
            self.suspicion.is_some_and(|known| self.probing.is_some() || now < known.until);
        if is_known {
            return false;
        }
        let before = self.suspicion.map_or(0, |known| known.consecutive_failures);
        let consecutive_failures = before.saturating_add(1);
        let until = now + backoff.after(consecutive_failures, rng).max(Duration::from_nanos(1));
        let is_news = self.suspicion.is_none();
        self.suspicion = Some(Suspicion { consecutive_failures, until });
        is_news
    }
}
