//! What the handles, the calls and the tasks of one client share.

use crate::config::Config;
use crate::link::Link;
use crate::place::Place;
use crate::runtime::Runtime;
use crate::task::Task;
use crate::wakeups::Wakeups;
use etcd3_core::channel::{
    Channel, Checked, ConnectionId, EndpointId, Floor, Impression, Input, Output, Want,
};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::header::Header;
use etcd3_core::{ErrorKind, Instant, Machine, Next};
use event_listener::{Event, EventListener};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) struct Shared {
    pub(crate) rt: Arc<dyn Runtime>,
    pub(crate) config: Config,
    pub(crate) wakeups: Wakeups,
    state: Mutex<State>,
    /// A connection came or went, or has a place again. Only calls listen: some news is for one.
    changed: Event,
    /// The same for calls that name their endpoint. All are told, since each may wait for another.
    changed_for_named: Event,
    /// The state of an endpoint changed.
    health: Event,
    /// Whether there is another endpoint to go to.
    has_choice: AtomicBool,
    /// The client closed, or a task ended after that.
    closing: Event,
    /// Whether the client is closed, for a quick look.
    is_closing: AtomicBool,
    seed: AtomicU64,
}

struct State {
    channel: Channel,
    connections: BTreeMap<ConnectionId, Connection>,
    /// The endpoints that the user gave.
    seeds: Arc<[Endpoint]>,
    /// Why the client is closed, if it is.
    closed: Option<ErrorKind>,
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
    Closed(ErrorKind),
}

impl Shared {
    pub(crate) fn new(rt: Arc<dyn Runtime>, config: Config, endpoints: Vec<Endpoint>) -> Self {
        let seed = rt.seed();
        let seeds = Arc::from(&endpoints[..]);
        let has_choice = endpoints.len() > 1;
        let channel = Channel::new(endpoints, config.channel_settings(), seed);
        let connections = BTreeMap::new();
        let state = State { channel, connections, seeds, closed: None, tasks: 0 };
        Self {
            rt,
            config,
            wakeups: Wakeups::default(),
            state: Mutex::new(state),
            changed: Event::new(),
            changed_for_named: Event::new(),
            health: Event::new(),
            has_choice: AtomicBool::new(has_choice),
            closing: Event::new(),
            is_closing: AtomicBool::new(false),
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
        self.wakeups.notify(now);
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
        self.wakeups.notify(now);
        // The channel has just been told of it.
        id.unwrap_or(EndpointId(u32::MAX))
    }

    /// Tells the channel what happened, and the control task to look.
    pub(crate) fn tell(&self, input: Input) {
        let now = self.rt.now();
        self.channel(|channel| channel.handle(now, input));
        self.wakeups.notify(now);
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
        if let Some(kind) = state.closed {
            return Err(NoPlace::Closed(kind));
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
            self.hurry(now, channel.due_on(route.endpoint));
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
            self.hurry(now, state.channel.next_due());
        }
        drop(state);
        if is_awaited {
            // One more call may go now; whoever is told and does not need it tells the next.
            self.changed.notify_additional(1);
            tell_all(&self.changed_for_named);
        }
    }

    /// Lets the control task look at this moment, if it would not.
    fn hurry(&self, now: Instant, due: Option<Instant>) {
        if let Some(due) = due {
            self.wakeups.notify_at(now, due);
        }
    }

    /// Makes a connection known that is being made.
    pub(crate) fn add_connection(&self, id: ConnectionId) -> Arc<Link> {
        let link = Arc::new(Link::default());
        let connection = Connection { link: Arc::clone(&link), told: Instant::ORIGIN };
        let mut state = self.lock();
        if state.closed.is_some() {
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

    pub(crate) fn is_closed(&self) -> bool {
        self.closed_kind().is_some()
    }

    /// Why the client is closed, if it is.
    pub(crate) fn closed_kind(&self) -> Option<ErrorKind> {
        self.lock().closed
    }

    /// The same without the lock as long as it is not; the client may just have been closed.
    pub(crate) fn quick_closed_kind(&self) -> Option<ErrorKind> {
        if self.is_closing.load(Ordering::Relaxed) { self.closed_kind() } else { None }
    }

    /// Ends everything: tasks end by themselves, calls end in an error of this kind. The first kind
    /// counts.
    pub(crate) fn close(&self, kind: ErrorKind) {
        let connections = {
            let mut state = self.lock();
            state.closed.get_or_insert(kind);
            self.is_closing.store(true, Ordering::Relaxed);
            std::mem::take(&mut state.connections)
        };
        for connection in connections.values() {
            connection.link.shut();
            connection.link.end(None);
        }
        tell_all(&self.closing);
        self.notify_changed();
        // Calls that wait for their stream alone: that may be on its way to them or not.
        self.wakeups.wake_all();
        self.wakeups.notify(self.rt.now());
    }

    /// Notified when the client is closed.
    pub(crate) fn closing(&self) -> EventListener {
        self.closing.listen()
    }

    /// Completes once the client is closed.
    pub(crate) async fn closed(&self) {
        self.wait_closing(|state| state.closed.is_some()).await;
    }

    /// Completes once the client is closed and its tasks have ended.
    pub(crate) async fn ended(&self) {
        self.wait_closing(|state| state.closed.is_some() && state.tasks == 0).await;
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
        self.rt.spawn(Box::pin(Task::new(self, task)));
    }

    /// Counts one more task, or one less.
    pub(crate) fn count_task(&self, begins: bool) {
        let mut state = self.lock();
        state.tasks = if begins { state.tasks + 1 } else { state.tasks - 1 };
        drop(state);
        if !begins {
            tell_all(&self.closing);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::still::Still;
    use futures_lite::future::{block_on, poll_once};
    use std::collections::BTreeSet;

    #[test]
    fn each_call_has_a_jitter_of_its_own() {
        let shared = Still::shared(&["http://a"]);
        let seeds: BTreeSet<_> = (0..100).map(|_| shared.next_seed()).collect();
        assert_eq!(seeds.len(), 100);
    }

    #[test]
    fn connections_that_are_gone_are_forgotten() {
        let shared = Still::shared(&["http://a"]);
        for n in 1..=1_000 {
            let link = shared.add_connection(ConnectionId(n));
            assert!(shared.link(ConnectionId(n)).is_some());
            shared.remove_connection(ConnectionId(n));
            assert!(shared.link(ConnectionId(n)).is_none());
            assert_eq!(Arc::strong_count(&link), 1);
        }
        assert_eq!(shared.lock().connections.len(), 0);
    }

    #[test]
    fn there_is_a_choice_where_there_is_another_endpoint() {
        let shared = Still::shared(&["http://a"]);
        assert!(!shared.has_choice());
        assert!(Still::shared(&["http://a", "http://b"]).has_choice());
        let endpoint = |text: &str| text.parse::<Endpoint>().unwrap();
        shared.set_seeds(vec![endpoint("http://a"), endpoint("http://b")]);
        assert!(shared.has_choice());
        shared.set_seeds(vec![endpoint("http://b")]);
        assert!(!shared.has_choice());
    }

    // Whoever waits for the end of the client is told of it, and of its last task.
    #[test]
    fn the_end_is_that_of_the_last_task() {
        let shared = Still::shared(&["http://a"]);
        shared.count_task(true);
        let (mut closed, mut ended) = (Box::pin(shared.closed()), Box::pin(shared.ended()));
        assert!(block_on(poll_once(&mut closed)).is_none());
        assert!(block_on(poll_once(&mut ended)).is_none());
        shared.close(ErrorKind::RuntimeEnded);
        shared.close(ErrorKind::Closed);
        assert_eq!(shared.closed_kind(), Some(ErrorKind::RuntimeEnded), "the first one counts");
        assert!(block_on(poll_once(&mut closed)).is_some());
        assert!(block_on(poll_once(&mut ended)).is_none());
        shared.count_task(false);
        assert!(block_on(poll_once(&mut ended)).is_some());
    }
}
