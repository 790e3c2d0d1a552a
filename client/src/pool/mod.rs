//! The connections of a client, and who may use them: the channel under its lock.
//!
//! Calls and tasks [`admit`](Pool::admit) their attempts here, and tell what they saw; the control
//! task asks what is to be done. After every change it is woken if it would look too late.

mod closing;
mod connection;
mod facts;
mod leases;
mod notify;
mod permit;
mod wakeups;

pub(crate) use connection::ConnectionHandle;
pub(crate) use permit::Permit;
pub(crate) use wakeups::{Sleeper, WakeupKey, Wakeups};

use closing::Closed;

use crate::runtime::Runtime;
use crate::telemetry::Telemetry;
use crate::tokens::Tokens;
use etcd3_core::channel::{
    Admission, Channel, ConnectionId, Denied, EndpointId, Finished, Freshness, HealthSignal, Input,
    Output, Settings, Want,
};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::{ErrorKind, Instant, Machine, Next, Version};
use event_listener::{Event, EventListener};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) struct Pool {
    pub(crate) rt: Arc<dyn Runtime>,
    pub(crate) wakeups: Wakeups,
    /// What requests carry, of a client with credentials.
    pub(crate) tokens: Option<Arc<Tokens>>,
    pub(crate) telemetry: Arc<Telemetry>,
    state: Mutex<State>,
    /// A connection came or went, or has a permit again. Some news is for one attempt.
    changed: Event,
    /// The same for attempts that name their endpoint. All are notified, since each may wait for
    /// another.
    changed_for_named: Event,
    /// The state of an endpoint changed.
    health: Event,
    closing: Event,
    /// Whether the client is closed, for a quick look.
    is_closing: AtomicBool,
}

struct State {
    channel: Channel,
    connections: BTreeMap<ConnectionId, Connection>,
    /// The endpoints that the user gave.
    given: Arc<[Endpoint]>,
    /// How often the endpoints were set.
    generation: u64,
    closed: Option<Closed>,
    /// The pool of the leases, once there is one: closed with this one, with the same endpoints.
    leases: Option<Arc<Pool>>,
}

struct Connection {
    handle: Arc<ConnectionHandle>,
    /// The last byte that the channel was told of.
    told: Instant,
}

/// Why there is no permit.
pub(crate) enum NoPermit {
    Denied(Denied),
    Closed(ErrorKind),
}

impl Pool {
    pub(crate) fn new(
        rt: Arc<dyn Runtime>,
        given: Vec<Endpoint>,
        settings: Settings,
        tokens: Option<Arc<Tokens>>,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let copy = Arc::from(&given[..]);
        let channel = Channel::new(given, settings, rt.seed());
        let state = State {
            channel,
            connections: BTreeMap::new(),
            given: copy,
            generation: 0,
            closed: None,
            leases: None,
        };
        Self {
            rt,
            wakeups: Wakeups::default(),
            tokens,
            telemetry,
            state: Mutex::new(state),
            changed: Event::new(),
            changed_for_named: Event::new(),
            health: Event::new(),
            closing: Event::new(),
            is_closing: AtomicBool::new(false),
        }
    }

    /// Admits an attempt to a connection. h2 would queue streams over the server's limit, and
    /// nobody could tell whether they left; so they wait here, where it is certain that they did
    /// not.
    pub(crate) fn admit(
        self: &Arc<Self>,
        now: Instant,
        want: Want,
        is_cleanup: bool,
    ) -> Result<Permit, NoPermit> {
        let permit = self.update(now, |state| {
            if let Some(kind) = state.refuses(is_cleanup) {
                return Err(NoPermit::Closed(kind));
            }
            let State { channel, connections, .. } = state;
            let has_permit = |id| {
                let connection: Option<&Connection> = connections.get(&id);
                connection.is_some_and(|it| it.handle.has_permit())
            };
            let admission = channel.admit(now, want, has_permit).map_err(NoPermit::Denied)?;
            let endpoint = channel.endpoint(admission.endpoint).cloned();
            let handle = connections.get(&admission.connection).map(|it| Arc::clone(&it.handle));
            let (Some(endpoint), Some(handle)) = (endpoint, handle) else {
                // Neither is forgotten while it is in use.
                channel.release(now, &admission, HealthSignal::None);
                return Err(NoPermit::Denied(Denied::NoConnection));
            };
            handle.begin(want.kind);
            Ok((admission, endpoint, handle))
        });
        permit.map(|(admission, endpoint, handle)| {
            Permit::new(Arc::clone(self), admission, endpoint, handle)
        })
    }

    /// Ends what was admitted, and judges its response. The permit goes to another attempt if one
    /// `is_awaited`.
    fn release(
        &self,
        now: Instant,
        admission: &Admission,
        finished: Finished,
        is_awaited: bool,
    ) -> Freshness {
        let freshness = self.update(now, |state| state.channel.release(now, admission, finished));
        if is_awaited {
            // One more may go now; whoever is notified and does not need it notifies the next.
            self.changed.notify_additional(1);
            notify_all(&self.changed_for_named);
        }
        freshness
    }

    /// Tells the channel what happened.
    pub(crate) fn feed(&self, input: Input) {
        let now = self.rt.now();
        self.update(now, |state| state.channel.handle(now, input));
    }

    /// Returns the endpoints that the user gave.
    pub(crate) fn given(&self) -> Arc<[Endpoint]> {
        Arc::clone(&self.lock().given)
    }

    /// Replaces the endpoints that the user gave.
    pub(crate) fn set_given(&self, endpoints: Vec<Endpoint>) {
        let now = self.rt.now();
        self.update(now, |state| {
            state.given = Arc::from(&endpoints[..]);
            state.generation += 1;
            let input = Input::Endpoints { primary: endpoints, fallback: Vec::new() };
            state.channel.handle(now, input);
        });
        self.share_endpoints();
    }

    /// Takes over the members of the cluster, unless the user has given other endpoints than these
    /// since.
    pub(crate) fn set_members(&self, members: Vec<Endpoint>, expected: &Arc<[Endpoint]>) {
        let now = self.rt.now();
        self.update(now, |state| {
            if Arc::ptr_eq(&state.given, expected) {
                state.generation += 1;
                let fallback = expected.to_vec();
                state.channel.handle(now, Input::Endpoints { primary: members, fallback });
            }
        });
        self.share_endpoints();
    }

    /// Changes the channel, or looks at it.
    pub(crate) fn channel<T>(&self, act: impl FnOnce(&mut Channel) -> T) -> T {
        self.update(self.rt.now(), |state| act(&mut state.channel))
    }

    /// Changes what is under the lock, and wakes the control task if it would look too late: the
    /// one place that decides so.
    fn update<T>(&self, now: Instant, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = act(&mut state);
        let due = state.channel.due_sooner();
        drop(state);
        if let Some(due) = due {
            self.wakeups.arm_earlier(now, due);
        }
        result
    }

    /// Tells the channel what came on the connections, and asks what is to be done.
    pub(crate) fn poll_channel(&self, now: Instant) -> Next<Output> {
        let mut state = self.lock();
        let State { channel, connections, .. } = &mut *state;
        for (id, connection) in connections {
            let heard = connection.handle.heard();
            if heard > connection.told {
                connection.told = heard;
                channel.handle(now, Input::Heard(*id, heard));
            }
        }
        channel.poll(now)
    }

    /// Makes a connection known that is being made.
    pub(crate) fn add_connection(&self, id: ConnectionId) -> Arc<ConnectionHandle> {
        let handle = Arc::new(ConnectionHandle::default());
        let connection = Connection { handle: Arc::clone(&handle), told: Instant::ORIGIN };
        let mut state = self.lock();
        state.connections.insert(id, connection);
        let is_over = state.refuses(true).is_some();
        drop(state);
        if is_over {
            handle.end(None);
        }
        handle
    }

    pub(crate) fn remove_connection(&self, id: ConnectionId) {
        let gone = self.lock().connections.remove(&id);
        // What it holds may need the lock to go.
        if let Some(gone) = gone {
            gone.handle.shut();
        }
    }

    pub(crate) fn connection(&self, id: ConnectionId) -> Option<Arc<ConnectionHandle>> {
        self.lock().connections.get(&id).map(|connection| Arc::clone(&connection.handle))
    }

    /// Notes the version of the server that the connection to this endpoint leads to.
    pub(crate) fn note_version(&self, endpoint: Option<EndpointId>, version: Version) {
        let id = endpoint.and_then(|endpoint| self.lock().channel.connection_to(endpoint));
        if let Some(connection) = id.and_then(|id| self.connection(id)) {
            connection.facts.note_version(version);
        }
    }

    /// Returns the version of the server that the connection to this endpoint leads to, if it told
    /// it.
    pub(crate) fn version_of(&self, endpoint: EndpointId) -> Option<Version> {
        let id = self.lock().channel.connection_to(endpoint);
        id.and_then(|id| self.connection(id))?.facts.version()
    }

    /// Notified when attempts that want this should look for a connection again.
    pub(crate) fn changed_for(&self, want: Want) -> EventListener {
        if want.only.is_some() { self.changed_for_named.listen() } else { self.changed.listen() }
    }

    /// Notified when the state of an endpoint may have changed.
    pub(crate) fn health_changed(&self) -> EventListener {
        self.health.listen()
    }

    pub(crate) fn notify_changed(&self) {
        notify_all(&self.changed);
        notify_all(&self.changed_for_named);
        notify_all(&self.health);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notifies all who listen, if somebody does. Whoever begins to listen meanwhile misses nothing:
/// it looks after that, under the lock, and what is told of has changed under it, or is told
/// because a listener noted that it found no permit.
pub(crate) fn notify_all(event: &Event) {
    if event.total_listeners() > 0 {
        event.notify(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::still::Still;

    #[test]
    fn connections_that_are_gone_are_forgotten() {
        let pool = &Still::shared(&["http://a"]).pool;
        for n in 1..=1_000 {
            let handle = pool.add_connection(ConnectionId(n));
            assert!(pool.connection(ConnectionId(n)).is_some());
            pool.remove_connection(ConnectionId(n));
            assert!(pool.connection(ConnectionId(n)).is_none());
            assert_eq!(Arc::strong_count(&handle), 1);
        }
        assert_eq!(pool.lock().connections.len(), 0);
    }
}
