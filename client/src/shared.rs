//! What the handles, the calls and the tasks of one client share.

use crate::bell::Bell;
use crate::config::Config;
use crate::link::Link;
use crate::place::Place;
use crate::runtime::Runtime;
use crate::timers::Timers;
use etcd3_core::channel::{
    Channel, Checked, ConnectionId, EndpointId, Floor, Impression, Input, Output, Want,
};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::header::Header;
use etcd3_core::{Instant, Machine, Next};
use event_listener::{Event, EventListener};
use pin_project_lite::pin_project;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

pub(crate) struct Shared {
    pub(crate) rt: Arc<dyn Runtime>,
    pub(crate) config: Config,
    pub(crate) timers: Timers,
    state: Mutex<State>,
    /// A connection came or went, or has a place again. Only calls listen: some news is for one.
    changed: Event,
    /// The same for calls that name their endpoint. All are told, since each may wait for another.
    changed_for_named: Event,
    /// The state of an endpoint changed.
    health: Event,
    /// Whether there is another endpoint to go to.
    has_choice: AtomicBool,
    /// The control task must look.
    kick: Bell,
    /// The client closed, or a task ended after that.
    closing: Event,
    seed: AtomicU64,
}

struct State {
    channel: Channel,
    connections: BTreeMap<ConnectionId, Connection>,
    /// The endpoints that the user gave.
    seeds: Arc<[Endpoint]>,
    closed: bool,
    tasks: usize,
}

struct Connection {
    link: Arc<Link>,
    /// What the channel was told of it last.
    told: Instant,
}

/// Why there is no place.
pub(crate) enum NoPlace {
    NotYet,
    Closed,
}

impl Shared {
    pub(crate) fn new(rt: Arc<dyn Runtime>, config: Config, endpoints: Vec<Endpoint>) -> Self {
        let seed = rt.seed();
        let seeds = Arc::from(&endpoints[..]);
        let has_choice = endpoints.len() > 1;
        let channel = Channel::new(endpoints, config.channel_settings(), seed);
        let connections = BTreeMap::new();
        let state = State { channel, connections, seeds, closed: false, tasks: 0 };
        Self {
            rt,
            config,
            timers: Timers::default(),
            state: Mutex::new(state),
            changed: Event::new(),
            changed_for_named: Event::new(),
            health: Event::new(),
            has_choice: AtomicBool::new(has_choice),
            kick: Bell::default(),
            closing: Event::new(),
            seed: AtomicU64::new(seed),
        }
    }

    /// A seed for the jitter of one call.
    pub(crate) fn next_seed(&self) -> u64 {
        self.seed.fetch_add(1, Ordering::Relaxed)
    }

    /// Looks at the channel under the lock.
    pub(crate) fn channel<T>(&self, look: impl FnOnce(&mut Channel) -> T) -> T {
        look(&mut self.lock().channel)
    }

    /// The endpoints that the user gave.
    pub(crate) fn seeds(&self) -> Arc<[Endpoint]> {
        Arc::clone(&self.lock().seeds)
    }

    /// Replaces the endpoints that the user gave.
    pub(crate) fn set_seeds(&self, seeds: Vec<Endpoint>) {
        let mut state = self.lock();
        state.seeds = Arc::from(&seeds[..]);
        self.set_endpoints(state, seeds, Vec::new());
    }

    /// Takes over the members of the cluster, unless the user has given other endpoints since they
    /// were asked for.
    pub(crate) fn set_members(&self, members: Vec<Endpoint>, seeds: &Arc<[Endpoint]>) {
        let state = self.lock();
        if Arc::ptr_eq(&state.seeds, seeds) {
            self.set_endpoints(state, members, seeds.to_vec());
        }
    }

    fn set_endpoints(
        &self,
        mut state: MutexGuard<'_, State>,
        primary: Vec<Endpoint>,
        fallback: Vec<Endpoint>,
    ) {
        let now = self.rt.now();
        state.channel.handle(now, Input::Endpoints { primary, fallback });
        self.has_choice.store(state.channel.choices() > 1, Ordering::Relaxed);
        drop(state);
        self.kick();
    }

    /// Whether there is another endpoint to go to.
    pub(crate) fn has_choice(&self) -> bool {
        self.has_choice.load(Ordering::Relaxed)
    }

    /// Names an endpoint that is to be kept connected.
    pub(crate) fn pin(&self, endpoint: &Endpoint) -> EndpointId {
        let now = self.rt.now();
        let id = self.channel(|channel| {
            channel.handle(now, Input::Pinned(endpoint.clone()));
            channel.find(endpoint)
        });
        self.kick();
        // The channel has just been told of it.
        id.unwrap_or(EndpointId(u32::MAX))
    }

    /// Tells the channel what happened, and the control task to look.
    pub(crate) fn tell(&self, input: Input) {
        let now = self.rt.now();
        self.channel(|channel| channel.handle(now, input));
        self.kick();
    }

    /// Tells the channel what came on the connections, and asks what is to be done.
    pub(crate) fn poll_channel(&self, now: Instant) -> Next<Output> {
        let mut state = self.lock();
        let State { channel, connections, .. } = &mut *state;
        for (id, connection) in connections {
            let heard = connection.link.heard();
            if heard > connection.told {
                connection.told = heard;
                channel.handle(now, Input::Heard(*id, heard));
            }
        }
        channel.poll(now)
    }

    /// Finds a place for an attempt. h2 would queue streams over the server's limit, and nobody
    /// could tell whether they left; so they wait here, where it is certain that they did not.
    pub(crate) fn place(self: &Arc<Self>, now: Instant, want: Want) -> Result<Place, NoPlace> {
        let mut state = self.lock();
        if state.closed {
            return Err(NoPlace::Closed);
        }
        let State { channel, connections, .. } = &mut *state;
        let has_place = |id| connections.get(&id).is_some_and(|it| it.link.has_place());
        let route = channel.route(now, want, has_place).ok_or(NoPlace::NotYet)?;
        let endpoint = channel.endpoint(route.endpoint).cloned().ok_or(NoPlace::NotYet)?;
        let connection = connections.get(&route.connection).ok_or(NoPlace::NotYet)?;
        let link = Arc::clone(&connection.link);
        let is_first = link.begin();
        channel.handle(now, Input::Began(route.connection));
        if is_first {
            // The others wait for what it waits for.
            self.hurry(channel.due_on(route.endpoint));
        }
        drop(state);
        Ok(Place::new(Arc::clone(self), now, route, (endpoint, link)))
    }

    /// Judges an answer that came on a connection; one that is good gives its place back.
    pub(crate) fn check(&self, id: ConnectionId, header: &Header, floor: Option<Floor>) -> Checked {
        self.channel(|channel| channel.check(id, header, floor))
    }

    /// Gives a place back that was taken at `since`.
    pub(crate) fn leave(
        &self,
        now: Instant,
        id: ConnectionId,
        (since, impression): (Instant, Impression),
        is_awaited: bool,
    ) {
        let mut state = self.lock();
        state.channel.handle(now, Input::Finished(id, since, impression));
        let news = state.channel.has_news() || impression == Impression::Bad;
        if news {
            self.hurry(state.channel.next_due());
        }
        drop(state);
        if is_awaited {
            // One more call may go now; whoever is told and does not need it tells the next.
            self.changed.notify_additional(1);
            tell_all(&self.changed_for_named);
        }
    }

    /// Lets the control task look at this moment, if it would not.
    fn hurry(&self, due: Option<Instant>) {
        if due.is_some_and(|due| self.timers.must_hurry(due)) {
            self.kick();
        }
    }

    /// Makes a connection known that is being made.
    pub(crate) fn add_connection(&self, id: ConnectionId) -> Arc<Link> {
        let link = Arc::new(Link::default());
        let connection = Connection { link: Arc::clone(&link), told: Instant::ORIGIN };
        let mut state = self.lock();
        if state.closed {
            link.end(None);
        }
        state.connections.insert(id, connection);
        link
    }

    pub(crate) fn remove_connection(&self, id: ConnectionId) {
        let gone = self.lock().connections.remove(&id);
        // What it holds may need the lock to go.
        if let Some(gone) = gone {
            gone.link.shut();
        }
    }

    pub(crate) fn link(&self, id: ConnectionId) -> Option<Arc<Link>> {
        self.lock().connections.get(&id).map(|connection| Arc::clone(&connection.link))
    }

    pub(crate) fn endpoint(&self, id: EndpointId) -> Option<Endpoint> {
        self.channel(|channel| channel.endpoint(id).cloned())
    }

    /// Notified when calls that wait for a connection should look again.
    pub(crate) fn changed(&self) -> EventListener {
        self.changed.listen()
    }

    /// The same for a call that wants this.
    pub(crate) fn changed_for(&self, want: Want) -> EventListener {
        if want.only.is_some() { self.changed_for_named.listen() } else { self.changed() }
    }

    /// Notified when the state of an endpoint may have changed.
    pub(crate) fn health_changed(&self) -> EventListener {
        self.health.listen()
    }

    pub(crate) fn notify_changed(&self) {
        tell_all(&self.changed);
        tell_all(&self.changed_for_named);
        tell_all(&self.health);
    }

    /// Looks whether the control task must look.
    pub(crate) fn poll_kicked(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.kick.poll_rung(cx)
    }

    pub(crate) fn kick(&self) {
        self.kick.ring();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Ends everything: tasks end by themselves, calls end in an error. Idempotent.
    pub(crate) fn close(&self) {
        let connections = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.connections)
        };
        for connection in connections.values() {
            connection.link.shut();
            connection.link.end(None);
        }
        tell_all(&self.closing);
        self.notify_changed();
        self.kick();
    }

    /// Notified when the client is closed.
    pub(crate) fn closing(&self) -> EventListener {
        self.closing.listen()
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
        self.rt.spawn(Box::pin(Task { task, running: Some(Running(Arc::clone(self))) }));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells all who listen, if somebody does. Who begins to listen meanwhile misses nothing: it looks
/// after that, under the lock, and what is told of has changed under it, or is told because a
/// listener noted that it found no place.
fn tell_all(event: &Event) {
    if event.total_listeners() > 0 {
        event.notify(usize::MAX);
    }
}

pin_project! {
    /// A task of the client. A struct, since an async block would hold the task twice.
    struct Task<F> {
        #[pin]
        task: F,
        // Goes last; with the end of the task, whatever the runtime does with it then.
        running: Option<Running>,
    }
}

impl<F: Future<Output = ()>> Future for Task<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        ready!(this.task.poll(cx));
        *this.running = None;
        Poll::Ready(())
    }
}

/// Counts a task for as long as it lives, also when its runtime drops it.
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.lock().tasks -= 1;
        tell_all(&self.0.closing);
    }
}
