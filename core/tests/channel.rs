//! The `Channel` machine: when it dials, whom it picks, what it says is broken.

use etcd3_core::backoff::Backoff;
use etcd3_core::channel::{Broken, Channel, ConnectionId, EndpointId, Input, Output};
use etcd3_core::error::ConnectFailure;
use etcd3_core::rng::Rng;
use etcd3_core::{Instant, Machine, Next, laws};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), cap: Duration::from_secs(5) };

/// Drives one channel by hand, in milliseconds, and checks what must hold at every step.
struct Rig {
    channel: Channel,
    now: Instant,
    wake: Option<Instant>,
    wanted: bool,
    /// The dials under way, and all there ever were.
    dialling: BTreeMap<EndpointId, ConnectionId>,
    dials: Vec<(u64, u32, u64)>,
    changes: u32,
}

impl Rig {
    fn new(endpoints: u32, seed: u64) -> Self {
        let mut rig = Self {
            channel: Channel::new(endpoints, BACKOFF, seed),
            now: Instant::ORIGIN,
            wake: None,
            wanted: false,
            dialling: BTreeMap::new(),
            dials: vec![],
            changes: 0,
        };
        rig.drain();
        rig
    }

    /// A channel that was wanted and connected to all its endpoints, as connections 1, 2, ….
    fn connected(endpoints: u32) -> Self {
        let mut rig = Self::new(endpoints, 1);
        rig.feed(Input::Wanted);
        for n in 1..=endpoints {
            rig.feed(Input::Connected(ConnectionId(n.into())));
        }
        rig
    }

    /// Feeds an input that must be taken, and be followed by `Changed` exactly if it is news.
    fn feed(&mut self, input: Input) -> &mut Self {
        let (what, news) = (format!("{input:?}"), !matches!(input, Input::Wanted));
        let (changes, ignored) = (self.changes, self.channel.ignored());
        self.handle(input);
        assert_eq!(self.channel.ignored(), ignored, "{what} is ignored");
        assert_eq!(self.changes, changes + u32::from(news), "{what}");
        self
    }

    /// Feeds an input that must be ignored, and change nothing.
    fn feed_stale(&mut self, input: Input) {
        let what = format!("{input:?}");
        let before = (self.changes, self.dials.len(), self.wake, self.channel.ignored() + 1);
        self.handle(input);
        let after = (self.changes, self.dials.len(), self.wake, self.channel.ignored());
        assert_eq!(before, after, "{what} is not ignored");
    }

    fn handle(&mut self, input: Input) {
        self.wanted |= matches!(input, Input::Wanted);
        match &input {
            Input::Wanted => {}
            Input::Connected(id)
            | Input::Failed(id, _)
            | Input::Retired(id)
            | Input::Ended(id, _) => self.dialling.retain(|_, current| current != id),
        }
        self.channel.handle(self.now, input);
        self.drain();
    }

    fn until(&mut self, at_ms: u64) -> &mut Self {
        let end = Instant::from_origin(Duration::from_millis(at_ms));
        while let Some(wake) = self.wake.filter(|wake| *wake <= end) {
            self.now = wake;
            self.drain();
        }
        self.now = end;
        self
    }

    fn rest(&mut self, for_ms: u64) -> &mut Self {
        let end = self.now_ms() + for_ms;
        self.until(end)
    }

    fn now_ms(&self) -> u64 {
        self.now.as_nanos() / 1_000_000
    }

    fn drain(&mut self) {
        loop {
            match self.channel.poll(self.now) {
                Next::Do(Output::Changed) => self.changes += 1,
                Next::Do(Output::Dial(endpoint, connection)) => {
                    assert!(self.wanted, "dials though nobody wanted it");
                    let before = self.dialling.insert(endpoint, connection);
                    assert_eq!(before, None, "I-C11: two dials to one endpoint");
                    let known = self.dials.iter().any(|(.., id)| *id == connection.0);
                    assert!(!known, "a connection number is used twice");
                    self.dials.push((self.now_ms(), endpoint.0, connection.0));
                }
                Next::Wait(wake) => {
                    assert!(wake.is_none_or(|wake| wake > self.now), "would spin");
                    self.wake = wake;
                    return;
                }
            }
        }
    }

    fn last_dial(&self) -> ConnectionId {
        ConnectionId(self.dials.last().map_or(0, |(.., id)| *id))
    }

    fn routes(&mut self, count: usize) -> Vec<Option<u32>> {
        (0..count).map(|_| self.channel.route(None).map(|(endpoint, _)| endpoint.0)).collect()
    }
}

fn broken(failure: ConnectFailure) -> Broken {
    Broken { failure, cause: None }
}

fn failed(connection: ConnectionId) -> Input {
    Input::Failed(connection, broken(ConnectFailure::Refused))
}

fn ended(connection: ConnectionId) -> Input {
    Input::Ended(connection, broken(ConnectFailure::ClosedByPeer))
}

// I-C7: a client that is not used does not connect; one that is keeps every endpoint connected.
#[test]
fn dials_every_endpoint_once_it_is_wanted() {
    let mut rig = Rig::new(3, 1);
    rig.until(60_000);
    assert_eq!(rig.dials, []);
    assert_eq!(rig.channel.route(None), None);
    rig.feed(Input::Wanted).feed(Input::Wanted);
    let endpoints: BTreeSet<_> = rig.dials.iter().map(|(_, endpoint, _)| *endpoint).collect();
    assert_eq!((rig.dials.len(), endpoints), (3, BTreeSet::from([0, 1, 2])));
    rig.until(3_600_000).feed(Input::Wanted);
    assert_eq!(rig.dials.len(), 3, "a dial takes as long as its driver lets it");
}

// I-C11, I-R5
#[test]
fn the_waits_between_dials_grow_up_to_the_cap() {
    let mut rig = Rig::new(1, 5);
    rig.feed(Input::Wanted);
    for base in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
        let from = rig.now_ms();
        rig.feed(failed(rig.last_dial()));
        let wake = rig.wake.expect("a dial to come").as_nanos() / 1_000_000;
        assert!((base * 4 / 5..=base * 6 / 5).contains(&(wake - from)), "{base}: {}", wake - from);
        rig.until(wake + 1);
    }
    assert_eq!(rig.dials.len(), 9);
}

// I-C11: only a connection that held makes up for the failures before it.
#[test]
fn backoff_starts_anew_only_after_a_connection_that_held() {
    for (held_ms, most_ms) in [(5_000, 0), (3_600_000, 0), (4_999, 2_000), (0, 2_000)] {
        let mut rig = Rig::new(1, 5);
        rig.feed(Input::Wanted);
        for _ in 0..3 {
            rig.feed(failed(rig.last_dial())).rest(10_000);
        }
        let connection = rig.last_dial();
        rig.feed(Input::Connected(connection)).rest(held_ms);
        let (from, dials) = (rig.now_ms(), rig.dials.len());
        rig.feed(ended(connection)).until(from + 10_000);
        let waited = rig.dials[dials].0 - from;
        assert!(waited <= most_ms, "held {held_ms} ms, waited {waited} ms");
        assert_eq!(waited == 0, most_ms == 0, "held {held_ms} ms, waited {waited} ms");
    }
}

/// The most dials in any ten seconds of ten minutes, if every dial ends as `end` has it.
fn most_dials(seed: u64, end: impl Fn(&mut Rig, ConnectionId)) -> usize {
    let mut rig = Rig::new(1, seed);
    rig.feed(Input::Wanted);
    while rig.now_ms() < 600_000 {
        let connection = rig.last_dial();
        end(&mut rig, connection);
        let wake = rig.wake.expect("a dial to come");
        rig.until(wake.as_nanos().div_ceil(1_000_000));
    }
    let times: Vec<_> = rig.dials.iter().map(|(at, ..)| *at).collect();
    let within =
        |from: &u64| times.iter().filter(|at| (*from..from + 10_000).contains(*at)).count();
    times.iter().map(within).max().unwrap_or(0)
}

// I-C11: a dead server is not hammered, nor is one that accepts and dies.
#[test]
fn at_most_ten_dials_in_any_ten_seconds() {
    for seed in 0..50 {
        let dials = most_dials(seed, |rig, connection| {
            rig.feed(failed(connection));
        });
        assert!(dials <= 10, "always fails: {dials} dials");
        let dials = most_dials(seed, |rig, connection| {
            rig.feed(Input::Connected(connection)).feed(ended(connection));
        });
        assert!(dials <= 10, "accepts and dies: {dials} dials");
        let dials = most_dials(seed, |rig, connection| {
            rig.feed(Input::Connected(connection)).feed(Input::Retired(connection));
        });
        assert!(dials <= 10, "accepts and retires: {dials} dials");
    }
}

// I-C7: calls are spread over what is connected.
#[test]
fn route_takes_turns() {
    let mut rig = Rig::connected(3);
    let first = rig.routes(3);
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 3);
    assert_eq!(rig.routes(3), first);
    rig.feed(ended(ConnectionId(2)));
    let left: BTreeSet<_> = rig.routes(4).into_iter().collect();
    assert_eq!(left, BTreeSet::from([Some(0), Some(2)]));
}

// I-C7: two clients of one cluster do not all begin with the same member.
#[test]
fn the_first_turn_depends_on_the_seed() {
    let first = |seed| {
        let mut rig = Rig::new(3, seed);
        rig.feed(Input::Wanted);
        for n in 1..=3 {
            rig.feed(Input::Connected(ConnectionId(n)));
        }
        rig.routes(1)[0]
    };
    let firsts: BTreeSet<_> = (0..20).map(first).collect();
    assert_eq!(firsts.len(), 3);
}

// I-C7: the endpoint that failed last is avoided, unless there is no other.
#[test]
fn route_avoids_an_endpoint_if_it_can() {
    let mut rig = Rig::connected(3);
    for avoid in [0, 1, 2].map(EndpointId) {
        let picked: BTreeSet<_> =
            (0..6).filter_map(|_| rig.channel.route(Some(avoid))).map(|(e, _)| e).collect();
        assert_eq!(picked.len(), 2);
        assert!(!picked.contains(&avoid));
    }
    rig.feed(ended(ConnectionId(1))).feed(ended(ConnectionId(2)));
    let only = Some((EndpointId(2), ConnectionId(3)));
    assert_eq!(rig.channel.route(Some(EndpointId(2))), only);
    assert_eq!(rig.channel.route(Some(EndpointId(99))), only);
    rig.feed(ended(ConnectionId(3)));
    assert_eq!(rig.channel.route(None), None);
    assert!(!rig.channel.is_ready());
}

// I-C3: a connection that goes away takes no new calls; its successor is dialled meanwhile.
#[test]
fn a_retired_connection_takes_no_new_calls() {
    let mut rig = Rig::connected(1);
    rig.until(60_000).feed(Input::Retired(ConnectionId(1)));
    assert_eq!(rig.channel.route(None), None);
    assert_eq!(rig.dials.last(), Some(&(60_000, 0, 2)));
    assert_eq!(rig.channel.broken(), None, "a server that is going away politely is not broken");
    rig.feed_stale(ended(ConnectionId(1)));
    rig.feed(Input::Connected(ConnectionId(2)));
    assert_eq!(rig.channel.route(None), Some((EndpointId(0), ConnectionId(2))));
}

// Rule 4 of the machines: news about an old connection do not touch its successor.
#[test]
fn stale_connection_numbers_are_ignored() {
    let mut rig = Rig::connected(1);
    rig.feed(ended(ConnectionId(1))).until(10_000).feed(Input::Connected(ConnectionId(2)));
    for stale in [0, 1, 3, u64::MAX].map(ConnectionId) {
        rig.feed_stale(Input::Connected(stale));
        rig.feed_stale(failed(stale));
        rig.feed_stale(Input::Retired(stale));
        rig.feed_stale(ended(stale));
    }
    rig.feed_stale(Input::Connected(ConnectionId(2)));
    assert_eq!(rig.channel.route(None), Some((EndpointId(0), ConnectionId(2))));
}

// C39, E20: there is a reason only once everything was tried and failed.
#[test]
fn broken_says_why_nothing_is_connected() {
    let mut rig = Rig::new(2, 1);
    assert_eq!(rig.channel.broken(), None, "nothing was tried");
    rig.feed(Input::Wanted);
    assert_eq!(rig.channel.broken(), None, "both are being tried");
    rig.feed(Input::Failed(ConnectionId(1), broken(ConnectFailure::Resolve)));
    assert_eq!(rig.channel.broken(), None, "one is being tried");
    assert_eq!(rig.channel.last_failure().map(|b| b.failure), Some(ConnectFailure::Resolve));
    rig.feed(Input::Failed(ConnectionId(2), broken(ConnectFailure::TimedOut)));
    let reason = |rig: &Rig| rig.channel.broken().map(|b| b.failure);
    assert_eq!(reason(&rig), Some(ConnectFailure::TimedOut));
    rig.until(1_000);
    assert_eq!(rig.dials.len(), 4);
    assert_eq!(reason(&rig), Some(ConnectFailure::TimedOut), "tried again, not yet well");
    let second = rig.last_dial();
    rig.feed(Input::Connected(second));
    assert_eq!(reason(&rig), None);
    rig.feed(ended(second));
    assert!(reason(&rig).is_some());
}

// A connection that held and ends is no failed try: calls wait for the dial that follows at once.
#[test]
fn the_end_of_a_proven_connection_is_not_broken() {
    let mut rig = Rig::connected(2);
    rig.feed(ended(ConnectionId(1)));
    rig.until(60_000);
    rig.feed(failed(rig.last_dial()));
    rig.channel.handle(rig.now, ended(ConnectionId(2)));
    assert_eq!(rig.channel.broken(), None, "before the dial is asked for");
    rig.drain();
    assert_eq!(rig.channel.broken(), None, "and after it");
    rig.feed(failed(rig.last_dial()));
    assert!(rig.channel.broken().is_some());
}

fn random_input(rng: &mut Rng) -> Input {
    let connection = ConnectionId(rng.below(12));
    match rng.below(8) {
        0 => Input::Wanted,
        1..=3 => Input::Connected(connection),
        4 => failed(connection),
        5 => Input::Retired(connection),
        _ => ended(connection),
    }
}

// The laws of every machine, `route` included: it obeys them and changes nothing but the turn.
#[test]
fn a_channel_obeys_the_laws() {
    for seed in 0..5_000 {
        let endpoints = u32::try_from(seed % 5).unwrap();
        let channel = Channel::new(endpoints, BACKOFF, seed);
        let spread = Duration::from_millis(1 << (seed % 14));
        let script = laws::script(seed, 40, spread, random_input);
        laws::check(&channel, &script);

        let mut rig = Rig::new(endpoints, seed);
        for (at, input) in script {
            rig.until(at.as_nanos() / 1_000_000);
            rig.handle(input);
            let (before, ready) = (rig.wake, rig.channel.is_ready());
            let picked = rig.channel.route(None);
            assert_eq!(picked.is_some(), ready);
            assert!(!ready || rig.channel.broken().is_none());
            rig.drain();
            assert_eq!(rig.wake, before, "route changed more than the turn");
        }
    }
}

// A channel without endpoints has nothing to do and nothing to say.
#[test]
fn no_endpoints() {
    let mut rig = Rig::new(0, 1);
    rig.feed(Input::Wanted).until(60_000);
    assert_eq!((rig.channel.route(None), rig.channel.broken()), (None, None));
}
