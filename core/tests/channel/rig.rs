//! Drives one channel by hand, in milliseconds.

use etcd3_core::backoff::Backoff;
use etcd3_core::channel::{
    Admission, AttemptKind, Channel, ConnectionError, ConnectionId, Denied, EndpointId,
    HealthSignal, Input, Output, Settings, Want,
};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::error::ConnectFailure;
use etcd3_core::{Instant, Machine, Next};
use std::collections::BTreeMap;
use std::time::Duration;

/// Drives one channel, and checks what must hold at every step.
pub(crate) struct Rig {
    pub(crate) channel: Channel,
    pub(crate) now: Instant,
    pub(crate) wake: Option<Instant>,
    wanted: bool,
    /// The dials under way, and all there ever were: when, whither, and the number.
    dialling: BTreeMap<EndpointId, ConnectionId>,
    pub(crate) dials: Vec<(u64, u32, u64)>,
    pub(crate) changes: u32,
    /// Everything else that was asked for, and when.
    pub(crate) orders: Vec<(u64, Output)>,
}

pub(crate) fn settings() -> Settings {
    let backoff = Backoff { first: Duration::from_millis(100), cap: Duration::from_secs(5) };
    // Most tests are not about connections on which all calls wait, nor about rows and staggers.
    let stalled_after = Duration::from_secs(1_000_000);
    Settings { backoff, stalled_after, burst: 1, stagger: Duration::ZERO, ..Settings::default() }
}

/// Endpoints `e0`, `e1`, ….
pub(crate) fn endpoints(count: u32) -> Vec<Endpoint> {
    (0..count).map(|n| endpoint(&format!("e{n}"))).collect()
}

pub(crate) fn endpoint(text: &str) -> Endpoint {
    text.parse().expect("an endpoint")
}

impl Rig {
    pub(crate) fn new(count: u32, seed: u64) -> Self {
        Self::of(Channel::new(endpoints(count), settings(), seed))
    }

    pub(crate) fn with(count: u32, settings: Settings) -> Self {
        Self::of(Channel::new(endpoints(count), settings, 1))
    }

    pub(crate) fn seeded(count: u32, settings: Settings, seed: u64) -> Self {
        Self::of(Channel::new(endpoints(count), settings, seed))
    }

    fn of(channel: Channel) -> Self {
        let mut rig = Self {
            channel,
            now: Instant::ORIGIN,
            wake: None,
            wanted: false,
            dialling: BTreeMap::new(),
            dials: vec![],
            changes: 0,
            orders: vec![],
        };
        rig.drain();
        rig
    }

    /// A channel that was wanted and connected to all its endpoints, as connections 1, 2, ….
    pub(crate) fn connected(endpoints: u32) -> Self {
        let mut rig = Self::new(endpoints, 1);
        rig.feed(Input::Wanted);
        for n in 1..=endpoints {
            rig.feed(Input::Connected(ConnectionId(n.into())));
        }
        rig
    }

    /// Feeds an input that must be taken.
    pub(crate) fn feed(&mut self, input: Input) -> &mut Self {
        let what = format!("{input:?}");
        let ignored = self.channel.ignored();
        self.handle(input);
        assert_eq!(self.channel.ignored(), ignored, "{what} is ignored");
        self
    }

    /// Feeds an input that must be ignored, and change nothing.
    pub(crate) fn feed_stale(&mut self, input: Input) {
        let what = format!("{input:?}");
        self.drain();
        let before = (self.changes, self.dials.len(), self.wake, self.channel.ignored() + 1);
        self.handle(input);
        let after = (self.changes, self.dials.len(), self.wake, self.channel.ignored());
        assert_eq!(before, after, "{what} is not ignored");
    }

    pub(crate) fn handle(&mut self, input: Input) {
        self.wanted |= matches!(input, Input::Wanted);
        if let Input::Connected(id)
        | Input::Failed(id, _)
        | Input::Retired(id, _)
        | Input::Ended(id, _) = &input
        {
            self.dialling.retain(|_, current| current != id);
        }
        self.channel.handle(self.now, input);
        self.drain();
    }

    pub(crate) fn until(&mut self, at_ms: u64) -> &mut Self {
        let end = Instant::from_origin(Duration::from_millis(at_ms));
        while let Some(wake) = self.wake.filter(|wake| *wake <= end) {
            self.now = wake;
            self.drain();
        }
        self.now = end;
        self
    }

    /// Lets time pass without a look at the channel, and then looks.
    pub(crate) fn oversleep(&mut self, at_ms: u64) {
        self.now = Instant::from_origin(Duration::from_millis(at_ms));
        self.drain();
    }

    pub(crate) fn rest(&mut self, for_ms: u64) -> &mut Self {
        let end = self.now_ms() + for_ms;
        self.until(end)
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now.as_nanos() / 1_000_000
    }

    pub(crate) fn drain(&mut self) {
        loop {
            let due = self.channel.next_due();
            let next = self.channel.poll(self.now);
            // Whoever looks only when something is due misses nothing.
            let is_due = due.is_some_and(|due| due <= self.now);
            assert!(is_due || matches!(next, Next::Wait(_)), "due at {due:?}, but {next:?}");
            match next {
                Next::Do(Output::Changed) => self.changes += 1,
                Next::Do(Output::Dial(endpoint, connection)) => {
                    assert!(self.wanted, "dials though nobody wanted it");
                    let before = self.dialling.insert(endpoint, connection);
                    assert_eq!(before, None, "I-C11: two dials to one endpoint");
                    let known = self.dials.iter().any(|(.., id)| *id == connection.0);
                    assert!(!known, "a connection number is used twice");
                    self.dials.push((self.now_ms(), endpoint.0, connection.0));
                }
                Next::Do(order) => {
                    if let Output::Close(id) | Output::Kill(id, _) = &order {
                        self.dialling.retain(|_, current| current != id);
                    }
                    self.orders.push((self.now_ms(), order));
                }
                Next::Wait(wake) => {
                    assert!(wake.is_none_or(|wake| wake > self.now), "would spin");
                    assert_eq!(self.channel.next_due(), wake);
                    self.wake = wake;
                    return;
                }
            }
        }
    }

    pub(crate) fn last_dial(&self) -> ConnectionId {
        ConnectionId(self.dials.last().map_or(0, |(.., id)| *id))
    }

    /// Admits an attempt, and ends it again in a way that says nothing of its endpoint.
    pub(crate) fn route(&mut self, want: Want) -> Option<Admission> {
        let admission = self.admit(want).ok()?;
        self.channel.release(self.now, &admission, HealthSignal::None);
        Some(admission)
    }

    pub(crate) fn admit(&mut self, want: Want) -> Result<Admission, Denied> {
        let admitted = self.channel.admit(self.now, want, |_| true);
        self.assert_awake();
        admitted
    }

    /// A driver that sleeps until the last wake-up is told if something is due sooner.
    fn assert_awake(&mut self) {
        let told = self.channel.due_sooner();
        self.wake = self.wake.into_iter().chain(told).min();
        let due = self.channel.next_due();
        let is_awake = due.is_none_or(|due| self.wake.is_some_and(|wake| wake <= due));
        assert!(is_awake, "due at {due:?} without a sound");
    }

    /// Where the next calls go.
    pub(crate) fn routes(&mut self, count: usize) -> Vec<Option<u32>> {
        let want = Want::default();
        (0..count).map(|_| self.route(want).map(|route| route.endpoint.0)).collect()
    }

    /// Opens a call on a connection.
    pub(crate) fn begin(&mut self, connection: u64) -> &mut Self {
        self.begin_of(AttemptKind::Call, connection)
    }

    pub(crate) fn begin_of(&mut self, kind: AttemptKind, connection: u64) -> &mut Self {
        let connection = Some(ConnectionId(connection));
        let admitted = self.admit(Want { kind, connection, ..Want::default() });
        assert!(admitted.is_ok(), "{admitted:?}");
        self.drain();
        self
    }

    /// Ends a call that began just now.
    pub(crate) fn finish(&mut self, connection: u64, signal: HealthSignal) -> &mut Self {
        self.finish_since(connection, self.now, signal)
    }

    /// Ends a call that began at this moment.
    pub(crate) fn finish_since(
        &mut self,
        connection: u64,
        since: Instant,
        signal: HealthSignal,
    ) -> &mut Self {
        let admission = admission(AttemptKind::Call, ConnectionId(connection), since);
        self.release(&admission, signal)
    }

    /// Ends an attempt, which must be known.
    pub(crate) fn release(&mut self, admission: &Admission, signal: HealthSignal) -> &mut Self {
        let ignored = self.channel.ignored();
        self.channel.release(self.now, admission, signal);
        self.assert_awake();
        self.drain();
        assert_eq!(self.channel.ignored(), ignored, "{admission:?} is not known");
        self
    }

    /// What was asked for since the last look, without the dials.
    pub(crate) fn take_orders(&mut self) -> Vec<(u64, Output)> {
        std::mem::take(&mut self.orders)
    }
}

pub(crate) fn broken(failure: ConnectFailure) -> ConnectionError {
    ConnectionError { failure, cause: None }
}

pub(crate) fn failed(connection: ConnectionId) -> Input {
    Input::Failed(connection, broken(ConnectFailure::Refused))
}

pub(crate) fn ended(connection: ConnectionId) -> Input {
    Input::Ended(connection, broken(ConnectFailure::ClosedByPeer))
}

/// What was admitted to a connection, as far as its end needs it.
pub(crate) fn admission(kind: AttemptKind, connection: ConnectionId, since: Instant) -> Admission {
    let (endpoint, floor) = (EndpointId(0), None);
    Admission { kind, endpoint, connection, since, floor, has_choice: false }
}
