//! Which endpoints a client has, which of them are connected, and when to dial again.
//!
//! For each endpoint:
//!
//! ```text
//!          Wanted            Connected
//!   Idle ─────────► Dialing ──────────► Ready
//!                    ▲    │               │
//!         poll: Dial │    │ Failed        │ Retired, Ended
//!                    │    ▼               │
//!                   Backoff ◄─────────────┘
//! ```
//!
//! Connections are numbered, so that news about an old one does not touch its successor. Once a
//! call wanted a connection, every endpoint is kept connected.

use crate::backoff::Backoff;
use crate::error::{Cause, ConnectFailure};
use crate::rng::Rng;
use crate::{Instant, Machine, Next};
use std::time::Duration;

/// An endpoint, by its position in the list of the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u32);

impl EndpointId {
    /// The position in the list.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One connection of the channel; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// Why an endpoint is not connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// What kind of failure it was.
    pub failure: ConnectFailure,
    /// The underlying error.
    pub cause: Option<Cause>,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// A call needs a connection and there is none.
    Wanted,
    /// The connection can take calls.
    Connected(ConnectionId),
    /// The connection could not be made.
    Failed(ConnectionId, Broken),
    /// The connection takes no new calls, though those under way may still end well (GOAWAY).
    Retired(ConnectionId),
    /// The connection is gone.
    Ended(ConnectionId, Broken),
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Connect to the endpoint, and report how it went under this number.
    Dial(EndpointId, ConnectionId),
    /// Let the calls that wait for a connection look again.
    Changed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Idle,
    Dialing(ConnectionId),
    Ready { connection: ConnectionId, since: Instant },
    Backoff { until: Instant },
}

#[derive(Debug, Clone)]
struct Slot {
    state: State,
    /// Failures in a row; a connection that held for [`PROVEN`] starts anew.
    failures: u32,
    last: Option<Broken>,
}

/// How long a connection must hold to be called a good one.
const PROVEN: Duration = Duration::from_secs(5);

/// The connections of a client; see the [module](self).
#[derive(Debug, Clone)]
pub struct Channel {
    slots: Vec<Slot>,
    backoff: Backoff,
    rng: Rng,
    /// Where `route` looks first.
    cursor: usize,
    wanted: bool,
    changed: bool,
    dialled: u64,
    ignored: u64,
}

impl Channel {
    /// Makes a channel to this many endpoints, none of them connected.
    #[must_use]
    pub fn new(endpoints: u32, backoff: Backoff, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let cursor = usize::try_from(rng.below(u64::from(endpoints))).unwrap_or_default();
        let slot = Slot { state: State::Idle, failures: 0, last: None };
        Self {
            slots: vec![slot; endpoints as usize],
            backoff,
            rng,
            cursor,
            wanted: false,
            changed: false,
            dialled: 0,
            ignored: 0,
        }
    }

    /// Picks the connection for a call: the next one in turn, another than `avoid` if there is
    /// one. `None` when none is ready: say [`Input::Wanted`] and wait for [`Output::Changed`].
    pub fn route(&mut self, avoid: Option<EndpointId>) -> Option<(EndpointId, ConnectionId)> {
        self.route_where(avoid, |_| true)
    }

    /// As [`route`](Self::route), among the connections that have a place for one more call.
    pub fn route_where(
        &mut self,
        avoid: Option<EndpointId>,
        has_place: impl Fn(ConnectionId) -> bool,
    ) -> Option<(EndpointId, ConnectionId)> {
        let count = self.slots.len();
        let mut second_best = None;
        for step in 0..count {
            let index = (self.cursor + step) % count;
            let State::Ready { connection, .. } = self.slots[index].state else { continue };
            if !has_place(connection) {
                continue;
            }
            let endpoint = EndpointId(u32::try_from(index).unwrap_or(u32::MAX));
            if Some(endpoint) != avoid {
                self.cursor = (index + 1) % count;
                return Some((endpoint, connection));
            }
            second_best = Some((endpoint, connection));
        }
        second_best
    }

    /// Why there is no connection, once every endpoint has been tried and failed; the failure of
    /// the last one in the list. `None` while one is connected or has yet to be tried.
    #[must_use]
    pub fn broken(&self) -> Option<&Broken> {
        let down = |slot: &Slot| match slot.state {
            State::Ready { .. } | State::Idle => false,
            State::Dialing(_) | State::Backoff { .. } => slot.failures > 0,
        };
        if self.slots.iter().all(down) { self.last_failure() } else { None }
    }

    /// The failure of the last endpoint in the list that has one.
    #[must_use]
    pub fn last_failure(&self) -> Option<&Broken> {
        self.slots.iter().rev().find_map(|slot| slot.last.as_ref())
    }

    /// Whether some endpoint is connected.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.slots.iter().any(|slot| matches!(slot.state, State::Ready { .. }))
    }

    /// How many inputs did not fit the state and were ignored.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    fn current(&mut self, connection: ConnectionId) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| match slot.state {
            State::Dialing(current) | State::Ready { connection: current, .. } => {
                current == connection
            }
            State::Idle | State::Backoff { .. } => false,
        })
    }

    fn on_connected(&mut self, now: Instant, connection: ConnectionId) {
        match self.current(connection) {
            Some(slot) if slot.state == State::Dialing(connection) => {
                slot.state = State::Ready { connection, since: now };
                slot.last = None;
                self.changed = true;
            }
            _ => self.ignored += 1,
        }
    }

    fn on_down(&mut self, now: Instant, connection: ConnectionId, broken: Option<Broken>) {
        let Some(slot) = self.current(connection) else {
            self.ignored += 1;
            return;
        };
        let proven = match slot.state {
            State::Ready { since, .. } => now.saturating_since(since) >= PROVEN,
            _ => false,
        };
        let failures = if proven { 0 } else { slot.failures.saturating_add(1) };
        slot.failures = failures;
        slot.last = broken.or(slot.last.take());
        let until = now + self.backoff.after(failures, &mut self.rng);
        if let Some(slot) = self.current(connection) {
            slot.state = State::Backoff { until };
        }
        self.changed = true;
    }

    fn is_due(&self, slot: &Slot, now: Instant) -> bool {
        match slot.state {
            State::Idle => self.wanted,
            State::Backoff { until } => until <= now,
            State::Dialing(_) | State::Ready { .. } => false,
        }
    }
}

impl Machine for Channel {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Wanted => self.wanted = true,
            Input::Connected(connection) => self.on_connected(now, connection),
            Input::Failed(connection, broken) | Input::Ended(connection, broken) => {
                self.on_down(now, connection, Some(broken));
            }
            Input::Retired(connection) => self.on_down(now, connection, None),
        }
    }

    fn poll(&mut self, now: Instant) -> Next<Output> {
        if std::mem::take(&mut self.changed) {
            return Next::Do(Output::Changed);
        }
        if let Some(index) = self.slots.iter().position(|slot| self.is_due(slot, now)) {
            self.dialled += 1;
            let connection = ConnectionId(self.dialled);
            self.slots[index].state = State::Dialing(connection);
            let endpoint = EndpointId(u32::try_from(index).unwrap_or(u32::MAX));
            return Next::Do(Output::Dial(endpoint, connection));
        }
        let until = |slot: &Slot| match slot.state {
            State::Backoff { until } => Some(until),
            State::Idle | State::Dialing(_) | State::Ready { .. } => None,
        };
        Next::Wait(self.slots.iter().filter_map(until).min())
    }
}
