//! When a channel dials, how calls are spread, what it says is broken.

use crate::rig::{Rig, broken, ended, endpoint, failed, settings};
use etcd3_core::channel::{
    Admission, Channel, ConnectionId, Denied, EndpointId, HealthSignal, Input, Output, Retirement,
    Settings, Want,
};
use etcd3_core::error::ConnectFailure;
use etcd3_core::{Instant, Machine, Next};
use std::collections::BTreeSet;
use std::time::Duration;

// I-C7: a client that is not used does not connect; one that is keeps every endpoint connected.
#[test]
fn dials_every_endpoint_once_it_is_wanted() {
    let mut rig = Rig::new(3, 1);
    rig.until(60_000);
    assert_eq!(rig.dials, []);
    assert_eq!(rig.route(Want::default()), None);
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
        assert!(rig.dials.len() < 10_000, "dials without a wait");
        let connection = rig.last_dial();
        end(&mut rig, connection);
        if rig.last_dial() == connection {
            let wake = rig.wake.expect("a dial to come");
            rig.until(wake.as_nanos().div_ceil(1_000_000));
        }
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
        for goodbye in [Retirement::NoError, Retirement::Other] {
            let dials = most_dials(seed, |rig, connection| {
                rig.feed(Input::Connected(connection)).feed(Input::Retired(connection, goodbye));
            });
            assert!(dials <= 10, "accepts and retires: {dials} dials");
        }
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
fn one_endpoint_is_dialled_before_the_others() {
    let stagger = Duration::from_millis(50);
    let wanted = || {
        let mut rig = Rig::with(3, Settings { stagger, ..settings() });
        rig.rest(1_000).feed(Input::Wanted).feed(Input::Wanted);
        rig
    };
    let times = |rig: &Rig| rig.dials.iter().map(|(at, ..)| *at).collect::<Vec<_>>();
    let mut rig = wanted();
    assert_eq!(times(&rig), [1_000]);
    rig.feed(Input::Connected(ConnectionId(1))).until(1_049);
    assert_eq!(times(&rig), [1_000]);
    rig.until(1_050);
    assert_eq!(times(&rig), [1_000, 1_050, 1_050]);

    // One that fails, or is named, waits for nobody.
    let mut rig = wanted();
    rig.rest(10).feed(failed(ConnectionId(1)));
    assert_eq!(times(&rig), [1_000, 1_010, 1_010]);
    let mut rig = wanted();
    rig.rest(10).feed(Input::Pinned(endpoint("e0"))).feed(Input::Pinned(endpoint("e1")));
    rig.feed(Input::Pinned(endpoint("e2")));
    assert_eq!(times(&rig), [1_000, 1_010, 1_010]);
}

fn in_rows_of_four() -> Rig {
    let mut rig = Rig::with(3, Settings { burst: 4, ..settings() });
    rig.feed(Input::Wanted);
    for n in 1..=3 {
        rig.feed(Input::Connected(ConnectionId(n)));
    }
    rig
}

#[test]
fn some_calls_go_to_the_same_endpoint_in_a_row() {
    let mut rig = in_rows_of_four();
    let mut call = |waits_ms: u64| {
        let admission = rig.admit(Want::default()).expect("all are ready");
        rig.rest(waits_ms);
        admission.endpoint.0
    };
    let together: Vec<u32> = (0..24).map(|_| call(0)).collect();
    let groups: Vec<&[u32]> = together.chunk_by(|a, b| a == b).collect();
    assert!(groups.iter().all(|group| group.len() == 4), "{together:?}");
    let waiting: Vec<u32> = (0..24).map(|_| call(10)).collect();
    assert!(waiting.windows(2).all(|pair| pair[0] != pair[1]), "{waiting:?}");
}

#[test]
fn a_call_that_was_not_answered_ends_a_row() {
    let mut rig = in_rows_of_four();
    let mut call = |signal: HealthSignal| {
        let admission = rig.admit(Want::default()).expect("all are ready");
        rig.release(&admission, signal);
        admission.endpoint.0
    };
    let failing: Vec<u32> = (0..24).map(|_| call(HealthSignal::None)).collect();
    assert!(failing.windows(2).all(|pair| pair[0] != pair[1]), "{failing:?}");
    let answered: Vec<u32> = (0..4).map(|_| call(HealthSignal::Healthy)).collect();
    assert!(answered.windows(2).all(|pair| pair[0] == pair[1]), "{answered:?}");
}

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

fn avoiding(endpoint: EndpointId) -> Want {
    Want { avoid: Some(endpoint), ..Want::default() }
}

// I-C7: the endpoint that failed last is avoided, unless there is no other.
#[test]
fn route_avoids_an_endpoint_if_it_can() {
    let mut rig = Rig::connected(3);
    for avoid in [0, 1, 2].map(EndpointId) {
        let picked: BTreeSet<_> =
            (0..6).filter_map(|_| rig.route(avoiding(avoid))).map(|route| route.endpoint).collect();
        assert_eq!(picked.len(), 2);
        assert!(!picked.contains(&avoid));
    }
    rig.feed(ended(ConnectionId(1))).feed(ended(ConnectionId(2)));
    for avoid in [2, 99].map(EndpointId) {
        let route = rig.route(avoiding(avoid)).unwrap();
        assert_eq!((route.endpoint, route.connection), (EndpointId(2), ConnectionId(3)));
    }
    rig.feed(ended(ConnectionId(3)));
    assert_eq!(rig.route(Want::default()), None);
    assert!(!rig.channel.is_ready());
}

// I-C3: a connection that goes away takes no new calls; its successor is dialled meanwhile.
#[test]
fn a_retired_connection_takes_no_new_calls() {
    let mut rig = Rig::connected(1);
    rig.until(60_000).feed(Input::Retired(ConnectionId(1), Retirement::Other));
    assert_eq!(rig.route(Want::default()), None);
    assert_eq!(rig.dials.last(), Some(&(60_000, 0, 2)));
    assert_eq!(
        rig.channel.connection_error(),
        None,
        "a server that is going away politely is not broken"
    );
    rig.feed_stale(ended(ConnectionId(1)));
    rig.feed(Input::Connected(ConnectionId(2)));
    assert_eq!(rig.route(Want::default()).unwrap().connection, ConnectionId(2));
}

// Rule 4 of the machines: news about an old connection do not touch its successor.
#[test]
fn stale_connection_numbers_are_ignored() {
    let mut rig = Rig::connected(1);
    rig.feed(ended(ConnectionId(1))).until(10_000).feed(Input::Connected(ConnectionId(2)));
    for stale in [0, 1, 3, u64::MAX].map(ConnectionId) {
        rig.feed_stale(Input::Connected(stale));
        rig.feed_stale(failed(stale));
        rig.feed_stale(Input::Retired(stale, Retirement::Other));
        rig.feed_stale(ended(stale));
    }
    rig.feed_stale(Input::Connected(ConnectionId(2)));
    assert_eq!(rig.route(Want::default()).unwrap().connection, ConnectionId(2));
}

// C39, E20: there is a reason only once everything was tried and failed.
#[test]
fn broken_says_why_nothing_is_connected() {
    let mut rig = Rig::new(2, 1);
    assert_eq!(rig.channel.connection_error(), None, "nothing was tried");
    rig.feed(Input::Wanted);
    assert_eq!(rig.channel.connection_error(), None, "both are being tried");
    rig.feed(Input::Failed(ConnectionId(1), broken(ConnectFailure::Resolve)));
    assert_eq!(rig.channel.connection_error(), None, "one is being tried");
    assert_eq!(
        rig.channel.health()[0].last.as_ref().map(|last| last.failure),
        Some(ConnectFailure::Resolve)
    );
    rig.feed(Input::Failed(ConnectionId(2), broken(ConnectFailure::NoAnswer)));
    let reason = |rig: &Rig| rig.channel.connection_error().map(|b| b.failure);
    assert_eq!(reason(&rig), Some(ConnectFailure::NoAnswer));
    rig.until(1_000);
    assert_eq!(rig.dials.len(), 4);
    assert_eq!(reason(&rig), Some(ConnectFailure::NoAnswer), "tried again, not yet well");
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
    assert_eq!(rig.channel.connection_error(), None, "before the dial is asked for");
    rig.drain();
    assert_eq!(rig.channel.connection_error(), None, "and after it");
    rig.feed(failed(rig.last_dial()));
    assert!(rig.channel.connection_error().is_some());
}

// B27: when the last endpoint that was ready goes, those that were down before are tried soon.
#[test]
fn the_others_are_dialled_sooner_when_none_is_left() {
    let mut rig = Rig::new(2, 1);
    rig.feed(Input::Wanted).feed(Input::Connected(ConnectionId(1)));
    while rig.now_ms() < 60_000 {
        rig.feed(failed(rig.last_dial()));
        let wake = rig.wake.expect("a dial to come").as_nanos().div_ceil(1_000_000);
        rig.until(wake);
    }
    let last = rig.last_dial();
    rig.feed(failed(last)).rest(500);
    let (dials, at) = (rig.dials.len(), rig.now_ms());
    rig.feed(ended(ConnectionId(1))).rest(1_500);
    let soon = rig.dials[dials..].iter().any(|(_, endpoint, _)| *endpoint == 1);
    assert!(soon, "within two seconds of its last failure, at {at}: {:?}", &rig.dials[dials..]);
}

// One that is ready is dialled first among those that calls go to: a fallback is for later.
#[test]
fn the_first_dial_goes_to_the_endpoint_whose_turn_it_is() {
    let stagger = Duration::from_millis(50);
    for seed in 0..40 {
        let settings = Settings { stagger, ..settings() };
        let mut rig = Rig::seeded(3, settings, seed);
        rig.feed(Input::Wanted);
        let first = rig.dials[0].1;
        rig.feed(Input::Connected(ConnectionId(1)));
        assert_eq!(rig.routes(1), [Some(first)], "seed {seed}");
        // The one in turn after that is not listed first, but as a fallback.
        let mut rig = Rig::seeded(3, settings, seed);
        let primary = vec![endpoint("e7")];
        rig.feed(Input::Endpoints { primary, fallback: crate::rig::endpoints(3) });
        rig.feed(Input::Wanted);
        let id = rig.channel.find(&endpoint("e7")).unwrap();
        assert_eq!(rig.dials.iter().map(|(_, id, _)| *id).collect::<Vec<_>>(), [id.0]);
        rig.until(49);
        assert_eq!(rig.dials.len(), 1);
        rig.until(50);
        assert_eq!(rig.dials.len(), 4);
    }
}

// B27: while none is ready, each is tried two seconds after its last failure at the latest, and
// not at once.
#[test]
fn dials_come_two_seconds_after_a_failure_when_none_is_left() {
    let mut rig = Rig::new(2, 1);
    rig.feed(Input::Wanted).feed(Input::Connected(ConnectionId(1)));
    while rig.now_ms() < 60_000 {
        rig.feed(failed(rig.last_dial()));
        let wake = rig.wake.expect("a dial to come").as_nanos().div_ceil(1_000_000);
        rig.until(wake);
    }
    let since = rig.now_ms();
    rig.feed(failed(rig.last_dial())).rest(500);
    rig.feed(ended(ConnectionId(1)));
    let dials = rig.dials.len();
    let other = |rig: &Rig| rig.dials[dials..].iter().find(|(_, id, _)| *id == 1).copied();
    rig.until(since + 1_999);
    assert_eq!(other(&rig), None);
    rig.until(since + 2_000);
    assert_eq!(other(&rig).map(|(at, ..)| at), Some(since + 2_000));
    // One that failed longer ago than that is tried at once, and the one that was lost as planned.
    let mut rig = Rig::new(2, 1);
    rig.feed(Input::Wanted).feed(Input::Connected(ConnectionId(1)));
    while rig.now_ms() < 60_000 {
        rig.feed(failed(rig.last_dial()));
        let wake = rig.wake.expect("a dial to come").as_nanos().div_ceil(1_000_000);
        rig.until(wake);
    }
    rig.feed(failed(rig.last_dial())).rest(3_000);
    let (dials, now) = (rig.dials.len(), rig.now_ms());
    rig.feed(ended(ConnectionId(1)));
    let dialled: Vec<_> = rig.dials[dials..].iter().map(|(at, id, _)| (*at, *id)).collect();
    assert_eq!(dialled, [(now, 0), (now, 1)]);
}

// What h2 would queue goes to another connection, or waits here.
#[test]
fn a_call_goes_to_a_connection_with_a_permit_to_spare() {
    let mut rig = Rig::connected(3);
    let (now, want) = (rig.now, Want::default());
    let connection_of = |it: Admission| it.connection;
    for free in 1..=3 {
        let admitted = rig.channel.admit(now, want, |id| id == ConnectionId(free));
        assert_eq!(admitted.map(connection_of), Ok(ConnectionId(free)));
    }
    assert_eq!(rig.channel.admit(now, want, |_| false), Err(Denied::NoConnection));
    let only = Want { only: Some(EndpointId(0)), ..Want::default() };
    let denied = rig.channel.admit(now, only, |id| id != ConnectionId(1));
    assert_eq!(denied, Err(Denied::NoConnection));
    // Nor does one of which less is expected wait behind a full one.
    rig.finish(1, HealthSignal::Unhealthy);
    let admitted = rig.channel.admit(now, want, |id| id == ConnectionId(1));
    assert_eq!(admitted.map(connection_of), Ok(ConnectionId(1)));
}

// News that has not been told is not lost to what comes after it.
#[test]
fn news_add_up() {
    let mut channel = Channel::new(crate::rig::endpoints(1), settings(), 1);
    let now = Instant::ORIGIN;
    channel.handle(now, Input::Wanted);
    while let Next::Do(_) = channel.poll(now) {}
    channel.handle(now, Input::Connected(ConnectionId(1)));
    let want = Want::default();
    let _open = channel.admit(now, want, |_| true);
    for signal in [HealthSignal::Healthy, HealthSignal::Unhealthy, HealthSignal::Unhealthy] {
        let admission = channel.admit(now, want, |_| true).expect("it is connected");
        channel.release(now, &admission, signal);
        assert_eq!(channel.next_due(), Some(Instant::ORIGIN), "it is connected");
    }
    assert_eq!(channel.poll(now), Next::Do(Output::Changed));
    assert_ne!(channel.next_due(), Some(Instant::ORIGIN));
}
