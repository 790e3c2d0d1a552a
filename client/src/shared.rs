//! What the handles, the calls and the tasks of one client share.

use crate::config::Config;
use crate::runtime::Runtime;
use crate::timers::Timers;
use bytes::Bytes;
use etcd3_core::Machine;
use etcd3_core::channel::{Channel, ConnectionId, EndpointId, Input};
use etcd3_core::endpoint::Endpoint;
use event_listener::{Event, EventListener};
use h2::client::SendRequest;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) struct Shared {
    pub(crate) rt: Arc<dyn Runtime>,
    pub(crate) config: Config,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) timers: Timers,
    state: Mutex<State>,
    /// A connection came or went.
    changed: Event,
    /// The control task must look.
    kick: Event,
    /// The client closed, or a task ended after that.
    closing: Event,
    seed: AtomicU64,
}

struct State {
    channel: Channel,
    connections: BTreeMap<ConnectionId, Connection>,
    closed: bool,
    tasks: usize,
}

struct Connection {
    requests: SendRequest<Bytes>,
    /// The calls that it carries.
    calls: usize,
}

/// A place on a connection for one attempt of a call; gives it back when dropped.
pub(crate) struct Route<'a> {
    shared: &'a Shared,
    pub(crate) endpoint: EndpointId,
    pub(crate) connection: ConnectionId,
    pub(crate) requests: SendRequest<Bytes>,
}

impl Drop for Route<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.shared.lock().connections.get_mut(&self.connection) {
            connection.calls -= 1;
        }
        // One more call may go now; whoever is told and does not need it tells the next.
        self.shared.changed.notify_additional(1);
    }
}

/// Why there is no route.
pub(crate) enum NoRoute {
    NotYet,
    Closed,
}

impl Shared {
    pub(crate) fn new(rt: Arc<dyn Runtime>, config: Config, endpoints: Vec<Endpoint>) -> Self {
        let seed = rt.seed();
        let count = u32::try_from(endpoints.len()).unwrap_or(u32::MAX);
        let channel = Channel::new(count, config.reconnect_backoff, seed);
        let state = State { channel, connections: BTreeMap::new(), closed: false, tasks: 0 };
        Self {
            rt,
            config,
            endpoints,
            timers: Timers::default(),
            state: Mutex::new(state),
            changed: Event::new(),
            kick: Event::new(),
            closing: Event::new(),
            seed: AtomicU64::new(seed),
        }
    }

    /// A seed for the jitter of one call.
    pub(crate) fn next_seed(&self) -> u64 {
        self.seed.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn endpoint(&self, id: EndpointId) -> Option<&Endpoint> {
        self.endpoints.get(id.index())
    }

    /// Looks at the channel under the lock.
    pub(crate) fn channel<T>(&self, look: impl FnOnce(&mut Channel) -> T) -> T {
        look(&mut self.lock().channel)
    }

    /// Tells the channel what happened, and the control task to look.
    pub(crate) fn tell(&self, input: Input) {
        let now = self.rt.now();
        self.channel(|channel| channel.handle(now, input));
        self.kick();
    }

    /// Finds a place for an attempt. h2 would queue streams over the server's limit, and nobody
    /// could tell whether they left; so they wait here, where it is certain that they did not.
    pub(crate) fn route(&self, avoid: Option<EndpointId>) -> Result<Route<'_>, NoRoute> {
        let mut state = self.lock();
        if state.closed {
            return Err(NoRoute::Closed);
        }
        let State { channel, connections, .. } = &mut *state;
        let has_place = |id: ConnectionId| {
            connections.get(&id).is_some_and(|c| c.calls < c.requests.current_max_send_streams())
        };
        let (endpoint, id) = channel.route_where(avoid, has_place).ok_or(NoRoute::NotYet)?;
        let connection = connections.get_mut(&id).ok_or(NoRoute::NotYet)?;
        connection.calls += 1;
        let requests = connection.requests.clone();
        Ok(Route { shared: self, endpoint, connection: id, requests })
    }

    /// Makes a connection known before the channel hears of it.
    pub(crate) fn add_connection(&self, id: ConnectionId, requests: SendRequest<Bytes>) {
        let mut state = self.lock();
        if !state.closed {
            state.connections.insert(id, Connection { requests, calls: 0 });
        }
    }

    pub(crate) fn remove_connection(&self, id: ConnectionId) {
        self.lock().connections.remove(&id);
    }

    /// Notified when calls that wait for a connection should look again.
    pub(crate) fn changed(&self) -> EventListener {
        self.changed.listen()
    }

    pub(crate) fn notify_changed(&self) {
        self.changed.notify(usize::MAX);
    }

    /// Notified when the control task should look.
    pub(crate) fn kicked(&self) -> EventListener {
        self.kick.listen()
    }

    pub(crate) fn kick(&self) {
        self.kick.notify(1);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Ends everything: tasks end by themselves, calls end in an error. Idempotent.
    pub(crate) fn close(&self) {
        {
            let mut state = self.lock();
            state.closed = true;
            state.connections.clear();
        }
        self.closing.notify(usize::MAX);
        self.notify_changed();
        self.kick();
    }

    /// Completes once the client is closed.
    pub(crate) async fn closed(&self) {
        self.wait_closing(|state| state.closed).await;
    }

    /// Completes once the client is closed and its tasks have ended.
    pub(crate) async fn ended(&self) {
        self.wait_closing(|state| state.closed && state.tasks == 0).await;
    }

    async fn wait_closing(&self, is_met: impl Fn(&State) -> bool) {
        loop {
            let listener = self.closing.listen();
            if is_met(&self.lock()) {
                return;
            }
            listener.await;
        }
    }

    /// Spawns a task that [`ended`](Self::ended) waits for.
    pub(crate) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        self.lock().tasks += 1;
        let running = Running(Arc::clone(self));
        self.rt.spawn(Box::pin(async move {
            let _running = running;
            task.await;
        }));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a task for as long as it lives, also when its runtime drops it.
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.lock().tasks -= 1;
        self.0.closing.notify(usize::MAX);
    }
}
