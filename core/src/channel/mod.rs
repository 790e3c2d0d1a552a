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

mod budget;
mod due;
mod ends;
mod health;
mod lineage;
mod list;
mod liveness;
mod route;
mod slot;

pub use health::{EndpointHealth, EndpointState};
pub use lineage::{Checked, Floor};
pub use liveness::{Keepalive, MIN_INTERVAL};
pub use route::{Route, Want};
pub use slot::Listed;

use crate::backoff::Backoff;
use crate::endpoint::Endpoint;
use crate::error::{Cause, ConnectFailure};
use crate::header::Header;
use crate::rng::Rng;
use crate::{Instant, Machine, Next};
use budget::Budget;
use ends::Draining;
use liveness::PingPolicy;
use slot::{Beside, Connection, End, Slot, State};
use std::collections::VecDeque;
use std::time::Duration;

/// An endpoint of a channel; a number is never used for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u32);

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

/// What an attempt of a call told of its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Impression {
    /// Nothing: it was dropped, or its fate says nothing of the endpoint.
    None,
    /// It was answered, though not with what takes a cluster: the member may be alone.
    Answered,
    /// It was answered.
    Good,
    /// It was left without an answer, or the answer was that the member cannot serve it.
    Bad,
}

/// How a server says that a connection takes no new calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Goodbye {
    /// By a GOAWAY with the code `NO_ERROR`.
    Orderly,
    /// With another code, or not at all.
    Other,
}

/// How a channel goes about its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The wait between dials of one endpoint.
    pub backoff: Backoff,
    /// When connections are probed by PINGs.
    pub keepalive: Keepalive,
    /// The wait between probes of a suspect.
    pub suspect: Backoff,
    /// How long the calls of a connection may all wait before others are preferred.
    pub slow_after: Duration,
    /// How long they may all wait before the endpoint is a suspect, if there is another one. After
    /// half of that without a byte the connection is pinged, but not before one second.
    pub mute_after: Duration,
    /// How many calls may go to one endpoint in a row.
    pub in_a_row: u32,
    /// How long the first endpoint has to connect before the others are dialled, too: who makes one
    /// call and goes needs no other connection. One that fails ends the wait.
    pub stagger: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            backoff: Backoff { first: Duration::from_millis(100), cap: Duration::from_secs(5) },
            keepalive: Keepalive::default(),
            suspect: Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(10) },
            slow_after: Duration::from_millis(300),
            mute_after: Duration::from_secs(3),
            in_a_row: 16,
            stagger: Duration::from_millis(50),
        }
    }
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// A call needs a connection and there is none.
    Wanted,
    /// These are the endpoints from now on. Connections of others drain.
    Endpoints {
        /// Those that calls go to.
        primary: Vec<Endpoint>,
        /// Those for when none of the others works.
        fallback: Vec<Endpoint>,
    },
    /// Somebody names this endpoint; it is kept connected until as many said
    /// [`Unpinned`](Self::Unpinned).
    Pinned(Endpoint),
    /// Somebody no longer does.
    Unpinned(EndpointId),
    /// The connection can take calls.
    Connected(ConnectionId),
    /// The connection could not be made.
    Failed(ConnectionId, Broken),
    /// The connection takes no new calls, though those under way may still end well (GOAWAY).
    Retired(ConnectionId, Goodbye),
    /// The connection is gone.
    Ended(ConnectionId, Broken),
    /// The server finds that it is pinged too often (`ENHANCE_YOUR_CALM`).
    TooManyPings,
    /// The last byte from the server came at this moment.
    Heard(ConnectionId, Instant),
    /// A call was opened on the connection.
    Began(ConnectionId),
    /// A call that began at this moment is over.
    Finished(ConnectionId, Instant, Impression),
    /// The probe is over; says whether it was answered well.
    Probed(ConnectionId, bool),
    /// The revision that was seen is not to be expected any more.
    ForgetFloor,
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Connect to the endpoint, and report how it went under this number.
    Dial(EndpointId, ConnectionId),
    /// Send a PING.
    Ping(ConnectionId),
    /// Make a linearizable read, and report with [`Input::Probed`] how it went.
    Probe(EndpointId, ConnectionId),
    /// End the connection, or the attempt to make it; nobody uses it.
    Close(ConnectionId),
    /// End the connection: it is dead. The calls on it are lost for this reason.
    Kill(ConnectionId, Broken),
    /// Let the calls on this connection that may be repeated go to another one, which is there.
    Migrate(ConnectionId),
    /// Let the calls that wait for a connection look again.
    Changed,
}

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
    /// Where `route` looks first.
    cursor: usize,
    /// How many calls went in a row to the endpoint before that.
    row: u32,
    lineage: Floor,
    budget: Budget,
    /// When a call wanted a connection first.
    wanted: Option<Instant>,
    changed: bool,
    endpoints: u32,
    dialled: u64,
    ignored: u64,
}

impl Channel {
    /// Makes a channel to these endpoints, none of them connected.
    #[must_use]
    pub fn new(endpoints: Vec<Endpoint>, settings: Settings, seed: u64) -> Self {
        let mut channel = Self {
            settings,
            ping_policy: PingPolicy::new(settings.keepalive, settings.mute_after),
            slots: Vec::new(),
            draining: Vec::new(),
            closing: VecDeque::new(),
            rng: Rng::new(seed),
            cursor: 0,
            row: u32::MAX,
            lineage: Floor::default(),
            budget: Budget::full(),
            wanted: None,
            changed: false,
            endpoints: 0,
            dialled: 0,
            ignored: 0,
        };
        let count = u64::try_from(endpoints.len()).unwrap_or_default();
        channel.list(Instant::ORIGIN, endpoints, Vec::new());
        channel.cursor = usize::try_from(channel.rng.below(count)).unwrap_or_default();
        channel.changed = false;
        channel
    }

    /// The endpoint with this number, if it is still known.
    #[must_use]
    pub fn endpoint(&self, id: EndpointId) -> Option<&Endpoint> {
        self.slots.iter().find(|slot| slot.id == id).map(|slot| &slot.endpoint)
    }

    /// The number of this endpoint, if it is known.
    #[must_use]
    pub fn find(&self, endpoint: &Endpoint) -> Option<EndpointId> {
        self.slots.iter().find(|slot| slot.endpoint.is_same(endpoint)).map(|slot| slot.id)
    }

    /// Judges an answer that came on this connection, and remembers how far the cluster is.
    /// `sent_at` is the floor of the [`Route`], for an answer that must not be older than that.
    pub fn check(
        &mut self,
        connection: ConnectionId,
        header: &Header,
        sent_at: Option<Floor>,
    ) -> Checked {
        let others = || {
            let listed = self.slots.iter().filter(|slot| slot.listed != Listed::No);
            listed.filter(|slot| slot.current() != Some(connection))
        };
        let was_foreign =
            self.slots.iter().any(|it| it.current() == Some(connection) && it.foreign);
        // One that was foreign before does not speak for those that were not, unless they are down.
        let is_foreign = |cluster| {
            let mut witnesses = others().filter_map(Slot::ready);
            witnesses.any(|other| other.cluster == cluster)
                || (was_foreign && others().any(|slot| !slot.foreign && !slot.is_down()))
        };
        let checked = self.lineage.judge(header, sent_at, is_foreign);
        if let Some(connection) = self.connection_mut(connection) {
            connection.cluster = header.cluster_id;
        }
        if let Some(slot) = self.slot_of(connection) {
            slot.foreign = matches!(checked, Checked::Foreign { .. });
        }
        checked
    }

    /// Whether one more retry may be sent now; if not, it is to wait long.
    pub fn spend_retry(&mut self) -> bool {
        self.budget.spend()
    }

    /// The cluster as far as it has been seen.
    #[must_use]
    pub const fn floor(&self) -> Floor {
        self.lineage
    }

    /// Why there is no connection, once every endpoint has been tried and failed; the failure of
    /// the last one in the list. `None` while one is connected or has yet to be tried.
    #[must_use]
    pub fn broken(&self) -> Option<&Broken> {
        if self.slots.iter().all(Slot::is_down) { self.last_failure() } else { None }
    }

    /// The failure of the last endpoint in the list that has one.
    #[must_use]
    pub fn last_failure(&self) -> Option<&Broken> {
        let mut listed = self.slots.iter().rev().filter(|slot| slot.listed != Listed::No);
        listed.find_map(|slot| slot.last.as_ref())
    }

    /// The last failure of this endpoint.
    #[must_use]
    pub fn failure_of(&self, id: EndpointId) -> Option<&Broken> {
        self.slots.iter().find(|slot| slot.id == id).and_then(|slot| slot.last.as_ref())
    }

    /// Whether some endpoint is connected.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.slots.iter().any(|slot| slot.ready().is_some())
    }

    /// How many endpoints calls may go to.
    #[must_use]
    pub fn choices(&self) -> usize {
        self.slots.iter().filter(|slot| slot.listed != Listed::No).count()
    }

    /// How many inputs did not fit the state and were ignored.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    fn slot_of(&mut self, connection: ConnectionId) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.current() == Some(connection))
    }

    fn connection_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let ready = self.slots.iter_mut().filter_map(Slot::ready_mut);
        let draining = self.draining.iter_mut().filter_map(Draining::living_mut);
        ready.chain(draining).find(|connection| connection.id == id)
    }

    fn on_connected(&mut self, now: Instant, id: ConnectionId) {
        let is_it =
            |slot: &&mut Slot| slot.state == State::Dialing(id) || slot.dialed_beside() == Some(id);
        let Some(slot) = self.slots.iter_mut().find(is_it) else {
            self.ignored += 1;
            return;
        };
        slot.beside = Beside::None;
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

    /// A connection that was in doubt is alive: no other needs to be made in its place.
    fn on_confirmed(&mut self, id: ConnectionId) {
        let Some(slot) = self.slot_of(id) else { return };
        let beside = slot.dialed_beside();
        slot.beside = Beside::None;
        self.closing.extend(beside);
        self.changed = true;
    }

    fn on_probed(&mut self, now: Instant, id: ConnectionId, is_well: bool) {
        let random = (self.settings.suspect, &mut self.rng);
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.probing == Some(id)) else {
            self.ignored += 1;
            return;
        };
        slot.probing = None;
        if !is_well {
            self.changed |= slot.suspect(now, random);
            return;
        }
        if let Some(connection) = slot.ready_mut() {
            connection.good(now);
        }
        self.changed |= slot.suspicion.take().is_some();
    }
}

impl Machine for Channel {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
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
            Input::Failed(connection, broken) | Input::Ended(connection, broken) => {
                self.on_down(now, connection, End::Broken(broken));
            }
            Input::Retired(connection, goodbye) => {
                self.on_down(now, connection, End::Retired(goodbye));
            }
            Input::TooManyPings => self.ping_policy.keepalive.slow_down(),
            Input::Heard(connection, at) => self.on_heard(now, connection, at),
            Input::Began(connection) => match self.connection_mut(connection) {
                Some(connection) => {
                    connection.begin(now);
                    self.budget.earn();
                }
                None => self.ignored += 1,
            },
            Input::Finished(connection, since, impression) => {
                self.on_finished(now, connection, (since, impression));
            }
            Input::Probed(connection, is_well) => self.on_probed(now, connection, is_well),
            Input::ForgetFloor => self.lineage.revision = 0,
        }
    }

    fn poll(&mut self, now: Instant) -> Next<Output> {
        if std::mem::take(&mut self.changed) {
            return Next::Do(Output::Changed);
        }
        if let Some(connection) = self.closing.pop_front() {
            return Next::Do(Output::Close(connection));
        }
        for index in 0..self.slots.len() {
            if let Some(output) = self.poll_slot(now, index) {
                return Next::Do(output);
            }
        }
        let draining: Vec<_> = self.draining.iter().map(Draining::id).collect();
        for id in draining {
            if let Some(output) = self.poll_connection(now, id) {
                return Next::Do(output);
            }
        }
        Next::Wait(self.next_due())
    }
}
