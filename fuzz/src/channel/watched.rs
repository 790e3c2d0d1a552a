//! A channel, and what one who sees only its inputs and outputs knows about it.

use etcd3_core::channel::{
    AttemptKind, Channel, ConnectionId, ConnectionState, EndpointId, Input, MIN_INTERVAL,
    Migration, Output, Settings, Want,
};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::{Instant, Machine, Next};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Dialing,
    Ready,
    /// It takes no new calls, and is to be closed after the last one.
    Draining,
    /// It is to be closed at once.
    Doomed,
    /// It is gone, and its calls have yet to say how they ended.
    Gone,
}

/// A connection that was dialled and has not gone.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) endpoint: EndpointId,
    pub(super) name: Endpoint,
    pub(super) state: State,
    pub(super) calls: u32,
    pub(super) streams: u32,
    /// Since when calls wait and none was answered.
    pub(super) waiting: Option<Instant>,
    /// When it did well last.
    pub(super) healthy: Option<Instant>,
    pub(super) heard: Instant,
    /// The PING that was not answered, and the last one.
    pub(super) pending: Option<Instant>,
    pub(super) pinged: Option<Instant>,
    /// The PING of another connection, found dead, since which nothing has come on this one.
    pub(super) unconfirmed: Option<Instant>,
    /// What was told to go elsewhere.
    pub(super) migrating: Option<Migration>,
    pub(super) is_probed: bool,
}

impl Connection {
    fn doom(&mut self) {
        self.state = State::Doomed;
    }

    fn carried(&self) -> u32 {
        self.calls + self.streams
    }

    /// What is to go elsewhere, if there is another connection.
    fn to_migrate(&self) -> Option<Migration> {
        let is_in_doubt = self.is_made() && self.unconfirmed.is_some() && self.carried() > 0;
        let is_draining = self.state == State::Draining && self.streams > 0;
        let scope = if is_in_doubt { Migration::All } else { Migration::Streams };
        (is_in_doubt || is_draining).then_some(scope)
    }

    fn is_made(&self) -> bool {
        matches!(self.state, State::Ready | State::Draining)
    }
}

pub(super) struct Watched {
    pub(super) channel: Channel,
    settings: Settings,
    pub(super) now: Instant,
    wake: Option<Instant>,
    is_wanted: bool,
    primary: Vec<Endpoint>,
    fallback: Vec<Endpoint>,
    pins: Vec<Endpoint>,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    dialled: u64,
    /// Calls and retries since the beginning.
    pub(super) began: usize,
    pub(super) retries: usize,
}

impl Watched {
    pub(super) fn new(channel: Channel, primary: Vec<Endpoint>, settings: Settings) -> Self {
        let mut watched = Self {
            channel,
            settings,
            now: Instant::ORIGIN,
            wake: None,
            is_wanted: false,
            primary,
            fallback: vec![],
            pins: vec![],
            connections: BTreeMap::new(),
            dialled: 0,
            began: 0,
            retries: 0,
        };
        watched.drain();
        watched
    }

    /// The number of the last connection.
    pub(super) fn dialled(&self) -> u64 {
        self.dialled
    }

    pub(super) fn find(&self, endpoint: &Endpoint) -> Option<EndpointId> {
        self.channel.find(endpoint)
    }

    pub(super) fn advance(&mut self, at: Instant) {
        while let Some(wake) = self.wake.filter(|wake| *wake <= at) {
            self.now = wake;
            self.drain();
        }
        self.now = at;
    }

    pub(super) fn feed(&mut self, input: &Input) {
        let ignored = self.channel.ignored();
        let was_pinned = match input {
            Input::Unpinned(id) => Some(self.note_unpinned(*id)),
            _ => None,
        };
        self.channel.handle(self.now, input.clone());
        let is_taken = self.channel.ignored() == ignored;
        let fits = was_pinned.or_else(|| self.note(input));
        assert!(fits.is_none_or(|fits| fits == is_taken), "{input:?}: taken {is_taken}");
        self.drain();
    }

    /// Notes an input, and tells whether it fits; `None` if that cannot be told from outside.
    fn note(&mut self, input: &Input) -> Option<bool> {
        match input {
            Input::Wanted => self.is_wanted = true,
            Input::ForgetFloor => assert_eq!(self.channel.floor().revision, 0),
            Input::TooManyPings => {
                let interval = &mut self.settings.ping.interval;
                *interval = (*interval).max(MIN_INTERVAL).saturating_mul(2);
            }
            Input::Endpoints { primary, .. } if primary.is_empty() => return Some(false),
            Input::Endpoints { primary, fallback } => {
                (self.primary, self.fallback) = (primary.clone(), fallback.clone());
                self.leave();
            }
            Input::Pinned(endpoint) => self.pins.push(endpoint.clone()),
            // Noted before it was handled.
            Input::Unpinned(_) => return None,
            Input::Failed(id, _) | Input::Ended(id, _) => return Some(self.note_gone(*id)),
            Input::Retired(id, _) => return Some(self.note_retired(*id)),
            Input::Probed(id, is_well) => {
                if let Some(connection) = self.connections.get_mut(id) {
                    if connection.is_probed && *is_well {
                        connection.waiting = connection.waiting.map(|_| self.now);
                        connection.healthy = Some(self.now);
                    }
                    connection.is_probed = false;
                }
                return None;
            }
            Input::Connected(_) | Input::Heard(..) => return Some(self.note_used(input)),
        }
        Some(true)
    }

    /// Before the input is handled, which may make the endpoint unknown.
    fn note_unpinned(&mut self, id: EndpointId) -> bool {
        let name = self.channel.endpoint(id);
        let pin = name.and_then(|name| self.pins.iter().position(|it| it.is_same(name)));
        if let Some(index) = pin {
            self.pins.swap_remove(index);
            self.leave();
        }
        pin.is_some()
    }

    fn note_gone(&mut self, id: ConnectionId) -> bool {
        match self.connections.get_mut(&id).map(|it| (it.state, it)) {
            None | Some((State::Gone, _)) => false,
            Some((_, it)) => {
                (it.state, it.is_probed) = (State::Gone, false);
                self.forget_gone(id);
                true
            }
        }
    }

    /// Forgets a connection that is gone, once its calls are over.
    pub(super) fn forget_gone(&mut self, id: ConnectionId) {
        if self.connections.get(&id).is_some_and(|it| it.state == State::Gone && it.carried() == 0)
        {
            self.connections.remove(&id);
        }
    }

    fn note_retired(&mut self, id: ConnectionId) -> bool {
        match self.connections.get_mut(&id).map(|it| (it.state, it)) {
            Some((State::Dialing, _)) => self.connections.remove(&id).is_some(),
            Some((State::Ready, connection)) => {
                (connection.state, connection.is_probed) = (State::Draining, false);
                true
            }
            _ => false,
        }
    }

    /// What happens to one connection.
    fn note_used(&mut self, input: &Input) -> bool {
        let now = self.now;
        let (Input::Connected(id) | Input::Heard(id, _)) = input else { return false };
        let Some(it) = self.connections.get_mut(id) else { return false };
        let (endpoint, was_ready) = (it.endpoint, it.state == State::Ready);
        match input {
            Input::Connected(_) if it.state == State::Dialing => {
                (it.state, it.heard) = (State::Ready, now);
                self.replace(*id, endpoint);
            }
            Input::Heard(_, at) if it.is_made() => {
                it.heard = it.heard.max(*at);
                it.pending = it.pending.filter(|pinged| pinged > at);
                if it.unconfirmed.is_some_and(|since| it.heard >= since) {
                    it.unconfirmed = None;
                    let is_draining = it.state == State::Draining;
                    it.migrating = it.migrating.filter(|_| is_draining).map(|_| Migration::Streams);
                    let beside = |it: &&mut Connection| {
                        was_ready && it.endpoint == endpoint && it.state == State::Dialing
                    };
                    self.connections.values_mut().filter(beside).for_each(Connection::doom);
                }
            }
            _ => return false,
        }
        true
    }

    /// One that was made beside another takes its place.
    fn replace(&mut self, new: ConnectionId, endpoint: EndpointId) {
        for (id, it) in &mut self.connections {
            if *id != new && it.endpoint == endpoint && it.state == State::Ready {
                (it.state, it.is_probed) = (State::Draining, false);
            }
        }
    }

    /// A connection was found dead: others on which nothing has come since its PING may be, too.
    fn mark_others_unconfirmed(&mut self, pinged: Instant) {
        for it in self.connections.values_mut().filter(|it| it.is_made() && it.heard < pinged) {
            it.unconfirmed = it.unconfirmed.or(Some(pinged));
        }
    }

    /// Whether some endpoint that is listed has a connection that is sure.
    fn has_usable(&self) -> bool {
        let mut ready = self.connections.values().filter(|it| it.state == State::Ready);
        ready.any(|it| it.unconfirmed.is_none() && self.is_listed(&it.name))
    }

    /// Lets go of the connections of endpoints that nobody names.
    fn leave(&mut self) {
        let all = [&self.primary, &self.fallback, &self.pins];
        for connection in self.connections.values_mut() {
            let name = &connection.name;
            if all.iter().any(|list| list.iter().any(|it| it.is_same(name))) {
                continue;
            }
            connection.state = match connection.state {
                State::Dialing | State::Doomed => State::Doomed,
                State::Ready | State::Draining => State::Draining,
                State::Gone => State::Gone,
            };
        }
    }

    pub(super) fn is_suspect(&self, id: EndpointId) -> bool {
        let health = self.channel.health();
        health.iter().any(|it| it.id == id && it.state == ConnectionState::Suspect)
    }

    /// The connections that left all their calls waiting for too long.
    fn mute(&self) -> impl Iterator<Item = &Connection> {
        let limit = self.settings.stalled_after;
        let has_choice = self.channel.choices() > 1;
        let is_stalled = move |since| self.now.saturating_since(since) >= limit;
        let ready = self.connections.values().filter(|it| it.state == State::Ready);
        ready.filter(move |it| has_choice && it.waiting.is_some_and(is_stalled))
    }

    pub(super) fn drain(&mut self) {
        let (mut outputs, mut changes, mut kills) = (Vec::new(), 0, 0);
        let news = self.mute().filter(|it| !self.is_suspect(it.endpoint)).count();
        loop {
            match self.channel.poll(self.now) {
                Next::Do(Output::Changed) => changes += 1,
                Next::Do(output) => {
                    assert!(!outputs.contains(&output), "{output:?} twice at one instant");
                    kills += usize::from(matches!(output, Output::Kill(..)));
                    self.judge(&output);
                    outputs.push(output);
                }
                Next::Wait(wake) => {
                    assert!(wake.is_none_or(|wake| wake > self.now), "would spin");
                    self.wake = wake;
                    break;
                }
            }
            assert!(changes <= 1 + kills + news, "Changed without a change");
        }
        assert!(self.mute().all(|it| self.is_suspect(it.endpoint)), "mute, and trusted");
        let stays = self.connections.values().any(|it| it.to_migrate() > it.migrating);
        assert!(!stays || !self.has_usable(), "not told to go elsewhere");
        for (id, it) in &self.connections {
            assert!(it.state != State::Doomed, "{id:?} is not closed");
            assert!(it.state != State::Draining || it.carried() > 0, "{id:?} is not closed");
        }
        let idle = |state| self.is_wanted && state == ConnectionState::Idle;
        assert!(self.channel.health().iter().all(|it| !idle(it.state)), "not dialled");
    }

    fn judge(&mut self, output: &Output) {
        let now = self.now;
        match output {
            Output::Changed => {}
            Output::Dial(endpoint, id) => self.judge_dial(*endpoint, *id),
            Output::Close(id) => {
                let gone = self.connections.remove(id).expect("closes what is there");
                assert_eq!(gone.carried(), 0, "closes a connection in use");
                assert!(matches!(gone.state, State::Draining | State::Doomed), "{gone:?}");
            }
            Output::Ping(id) => {
                let ping = self.settings.ping;
                let it = self.connections.get_mut(id).expect("pings what is there");
                assert!(it.is_made() && it.carried() > 0, "H7: a PING without a call");
                assert_eq!(it.pending, None, "a second PING before the answer");
                let patience = (self.settings.stalled_after / 2).max(Duration::from_secs(1));
                let waits = it.waiting.is_some_and(|it_waits| now >= it_waits + patience)
                    && now >= it.heard + patience;
                let is_silent = now >= it.heard + ping.interval.max(MIN_INTERVAL);
                assert!(is_silent || waits || it.unconfirmed.is_some(), "no reason for a PING");
                let since = it.pinged.map(|last| now.saturating_since(last));
                assert!(since.is_none_or(|since| since >= MIN_INTERVAL), "H7: {since:?}");
                (it.pending, it.pinged) = (Some(now), Some(now));
            }
            Output::Kill(id, _) => {
                let gone = self.connections.get_mut(id).expect("kills what is there");
                assert!(gone.is_made(), "{gone:?}");
                let pinged = gone.pending.expect("kills only after a PING without an answer");
                (gone.state, gone.is_probed) = (State::Gone, false);
                self.forget_gone(*id);
                let timeout = self.settings.ping.timeout.max(Duration::from_secs(1));
                assert_eq!(now, pinged + timeout);
                self.mark_others_unconfirmed(pinged);
            }
            Output::Migrate(id, scope) => {
                assert!(self.has_usable(), "there is nowhere to go");
                let it = self.connections.get_mut(id).expect("something to move");
                assert_eq!(it.to_migrate(), Some(*scope), "no reason");
                assert!(it.migrating < Some(*scope), "told twice");
                it.migrating = Some(*scope);
            }
            Output::Probe(endpoint, id) => {
                let others = self.connections.values().filter(|it| it.endpoint == *endpoint);
                assert!(others.filter(|it| it.is_probed).count() == 0, "two probes");
                let it = self.connections.get_mut(id).expect("probes what is there");
                assert_eq!((it.endpoint, it.state), (*endpoint, State::Ready));
                it.is_probed = true;
                let is_in_doubt = it.unconfirmed.is_some() && it.carried() == 0;
                assert!(is_in_doubt || self.is_suspect(*endpoint));
            }
        }
    }

    fn judge_dial(&mut self, endpoint: EndpointId, id: ConnectionId) {
        assert!(self.is_wanted, "dials though nobody wanted it");
        assert!(id.0 > self.dialled, "a number is used twice");
        self.dialled = id.0;
        // One that may be dead gets a successor beside it.
        let current = |it: &&Connection| {
            let is_sure = it.state == State::Ready && it.unconfirmed.is_none();
            it.endpoint == endpoint && (is_sure || it.state == State::Dialing)
        };
        assert_eq!(self.connections.values().filter(current).count(), 0, "I-C11");
        let name = self.channel.endpoint(endpoint).expect("an endpoint that is known").clone();
        let connection = Connection {
            endpoint,
            name,
            state: State::Dialing,
            calls: 0,
            streams: 0,
            waiting: None,
            healthy: None,
            heard: self.now,
            pending: None,
            pinged: None,
            unconfirmed: None,
            migrating: None,
            is_probed: false,
        };
        self.connections.insert(id, connection);
    }

    pub(super) fn is_listed(&self, name: &Endpoint) -> bool {
        self.primary.iter().chain(&self.fallback).any(|it| it.is_same(name))
    }

    pub(super) fn is_meant(&self, it: &Connection, want: Want) -> bool {
        want.only.map_or_else(|| self.is_listed(&it.name), |only| only == it.endpoint)
    }

    /// How little is to be expected of a connection.
    pub(super) fn penalty(&self, it: &Connection, want: Want) -> (u8, u32) {
        let streams = if want.kind == AttemptKind::Stream { it.streams } else { 0 };
        (self.rank(it, want), streams)
    }

    fn rank(&self, it: &Connection, want: Want) -> u8 {
        let is_slow = |since| self.now.saturating_since(since) >= self.settings.slow_after;
        let is_primary = self.primary.iter().any(|name| name.is_same(&it.name));
        match () {
            () if want.avoid == Some(it.endpoint) => 4,
            () if self.is_suspect(it.endpoint) => 3,
            () if self.is_listed(&it.name) && !is_primary => 2,
            () if it.waiting.is_some_and(is_slow) => 1,
            () => 0,
        }
    }
}
