//! Which endpoints a client has, which of them can be used, and when to dial or to probe them.
//!
//! For each endpoint:
//!
//! ```text
//!          Wanted            Connected
//!   Idle ─────────► Dialing ──────────► Ready ◄────────► Ready, suspect
//!                    ▲    │               │    Finished,      │
//!         poll: Dial │    │ Failed        │    Probed         │
//!                    │    ▼               │                   │
//!                   Backoff ◄─────────────┴───────────────────┘
//!                          Retired, Ended, or silent for too long
//! ```
//!
//! Connections are numbered, so that news about an old one does not touch its successor. One that
//! takes no new calls *drains*: it is kept until its last call is over. Once a call wanted a
//! connection, every endpoint is kept connected, one of them a little before the others.
//!
//! An endpoint that leaves a call unanswered until that is given up, or all its calls for a while,
//! or says that it cannot serve them, is a *suspect*: calls go elsewhere as long as there is
//! another, and it is probed with a read now and then until it answers. A connection with open
//! calls that is silent is pinged, and given up when that is not answered either. Those on which
//! nothing has come since that PING may be dead, too: no call goes there until a byte comes, for
//! which they are asked, and another connection is dialled beside each.

mod admission;
mod admit;
mod budget;
mod connection;
mod due;
mod ends;
mod events;
mod explain;
mod freshness;
mod health;
mod list;
mod liveness;
mod round_robin;
mod settings;
mod slot;

pub use crate::signal::{Freshness, HealthSignal};
pub use admission::{Admission, AttemptKind, Denied, Finished, Want};
pub use events::{ConnectionError, Input, Migration, Output, Retirement};
pub use freshness::RevisionFloor;
pub use health::{ConnectionState, EndpointView};
pub use liveness::{MIN_INTERVAL, PingSettings};
pub use settings::Settings;
pub use slot::Listed;

use crate::endpoint::Endpoint;
use crate::rng::Rng;
use crate::{Instant, Machine, Next};
use budget::Budget;
use connection::Connection;
use ends::Draining;
use liveness::PingPolicy;
use round_robin::RoundRobin;
use slot::{DownReason, Replacement, Slot, State};
use std::collections::VecDeque;

/// An endpoint of a channel; a number is never used for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u32);

/// One connection of the channel; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// The connections of a client; see the [module](self).
#[derive(Debug, Clone)]
pub struct Channel {
    settings: Settings,
    ping_policy: PingPolicy,
    slots: Vec<Slot>,
    /// Connections that take no new calls.
    draining: Vec<Draining>,
    closing: VecDeque<ConnectionId>,
    rng: Rng,
    round_robin: RoundRobin,
    freshness: RevisionFloor,
    budget: Budget,
    /// When a call wanted a connection first.
    wanted: Option<Instant>,
    changed: bool,
    /// Whether anything may be due sooner than was said last.
    is_sooner: bool,
    /// When something of one endpoint is due since, perhaps sooner than was said last.
    sooner: Option<Instant>,
    endpoints: u32,
    dialled: u64,
    ignored: u64,
}

impl Channel {
    /// Makes a channel to these endpoints, none of them connected.
    #[must_use]
    pub fn new(endpoints: Vec<Endpoint>, settings: Settings, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let round_robin = RoundRobin::new(endpoints.len(), &mut rng);
        let mut channel = Self {
            settings,
            ping_policy: PingPolicy::new(settings.ping, settings.stalled_after),
            slots: Vec::new(),
            draining: Vec::new(),
            closing: VecDeque::new(),
            rng,
            round_robin,
            freshness: RevisionFloor::default(),
            budget: Budget::full(),
            wanted: None,
            changed: false,
            is_sooner: false,
            sooner: None,
            endpoints: 0,
            dialled: 0,
            ignored: 0,
        };
        channel.list(Instant::ORIGIN, endpoints, Vec::new());
        channel.changed = false;
        channel
    }
}

impl Machine for Channel {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        self.is_sooner = true;
        match input {
            Input::Wanted => {
                self.wanted.get_or_insert(now);
            }
            Input::Endpoints { primary, .. } if primary.is_empty() => self.ignored += 1,
            Input::Endpoints { primary, fallback } => self.list(now, primary, fallback),
            Input::Pinned(endpoint) => {
                let slot = self.slot_for(now, endpoint);
                slot.pins = slot.pins.saturating_add(1);
            }
            Input::Unpinned(endpoint) => self.on_unpinned(now, endpoint),
            Input::Connected(connection) => self.on_connected(now, connection),
            Input::Failed(connection, error) | Input::Ended(connection, error) => {
                self.on_down(now, connection, DownReason::Failed(error));
            }
            Input::Retired(connection, how) => {
                self.on_down(now, connection, DownReason::Retired(how));
            }
            Input::TooManyPings => self.ping_policy.ping.slow_down(),
            Input::Heard(connection, at) => self.on_heard(now, connection, at),
            Input::Probed(connection, is_well) => self.on_probed(now, connection, is_well),
            Input::ForgetFloor => self.freshness.revision = 0,
        }
    }

    fn poll(&mut self, now: Instant) -> Next<Output> {
        while let Some(action) = self.due(now) {
            if let Some(output) = self.act(now, action) {
                return Next::Do(output);
            }
        }
        (self.is_sooner, self.sooner) = (false, None);
        Next::Wait(self.next_due())
    }
}

impl Channel {
    /// Returns the endpoint with this number, if it is still known.
    #[must_use]
    pub fn endpoint(&self, id: EndpointId) -> Option<&Endpoint> {
        self.slots.iter().find(|slot| slot.id == id).map(|slot| &slot.endpoint)
    }

    /// Returns the number of this endpoint, if it is known.
    #[must_use]
    pub fn find(&self, endpoint: &Endpoint) -> Option<EndpointId> {
        self.slots.iter().find(|slot| slot.endpoint.is_same(endpoint)).map(|slot| slot.id)
    }

    /// Returns the connection to this endpoint, if it is made.
    #[must_use]
    pub fn connection_to(&self, id: EndpointId) -> Option<ConnectionId> {
        let slot = self.slots.iter().find(|slot| slot.id == id)?;
        slot.ready().map(|connection| connection.id)
    }

    /// Returns why there is no connection, once every endpoint has been tried and failed; the
    /// failure of the last one in the list. `None` while one is connected or has yet to be tried.
    #[must_use]
    pub fn connection_error(&self) -> Option<&ConnectionError> {
        if self.slots.iter().all(Slot::is_down) { self.last_failure() } else { None }
    }

    /// Returns the failure of the last endpoint in the list that has one.
    fn last_failure(&self) -> Option<&ConnectionError> {
        let mut listed = self.slots.iter().rev().filter(|slot| slot.listed != Listed::No);
        listed.find_map(|slot| slot.last.as_ref())
    }

    /// Returns whether some endpoint is connected.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.slots.iter().any(|slot| slot.ready().is_some())
    }

    /// Returns how many endpoints calls may go to.
    #[must_use]
    pub fn choices(&self) -> usize {
        self.slots.iter().filter(|slot| slot.listed != Listed::No).count()
    }

    /// Returns how many inputs did not fit the state and were ignored.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    fn on_connected(&mut self, now: Instant, id: ConnectionId) {
        let is_it = |slot: &&mut Slot| {
            slot.state == State::Dialing(id) || slot.replacement_id() == Some(id)
        };
        let Some(slot) = self.slots.iter_mut().find(is_it) else {
            self.ignored += 1;
            return;
        };
        slot.replacement = Replacement::None;
        slot.probing = None;
        slot.last = None;
        self.changed = true;
        if let State::Ready(old) = slot.enter(now, State::Ready(Connection::new(id, now))) {
            self.drain(old, false);
        }
    }

    /// A byte came.
    fn on_heard(&mut self, now: Instant, id: ConnectionId, at: Instant) {
        let Some(connection) = self.connection_mut(id) else {
            self.ignored += 1;
            return;
        };
        if connection.hear(at.min(now)) {
            self.on_confirmed(id);
        }
    }

    /// A connection that was unconfirmed is alive: no other needs to be made in its place.
    fn on_confirmed(&mut self, id: ConnectionId) {
        let Some(slot) = self.slot_of(id) else { return };
        let beside = slot.replacement_id();
        slot.replacement = Replacement::None;
        self.closing.extend(beside);
        self.changed = true;
    }

    fn on_probed(&mut self, now: Instant, id: ConnectionId, is_well: bool) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.probing == Some(id)) else {
            self.ignored += 1;
            return;
        };
        slot.probing = None;
        if !is_well {
            self.changed |= slot.suspect(now, self.settings.suspect, &mut self.rng);
            return;
        }
        if let Some(connection) = slot.ready_mut() {
            connection.note_healthy(now);
        }
        self.changed |= slot.suspicion.take().is_some();
    }

    fn slot_of(&mut self, connection: ConnectionId) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.current() == Some(connection))
    }

    fn connection_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let ready = self.slots.iter_mut().filter_map(Slot::ready_mut);
        let draining = self.draining.iter_mut().filter_map(Draining::living_mut);
        ready.chain(draining).find(|connection| connection.id == id)
    }
}
