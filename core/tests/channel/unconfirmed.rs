//! One connection is dead without a sign: the others may be, too.

use crate::rig::{Rig, ended, failed, settings};
use etcd3_core::channel::{
    ConnectionId, ConnectionState, EndpointId, HealthSignal, Input, Migration, Output, Settings,
    Want,
};
use std::time::Duration;

const fn id(n: u64) -> ConnectionId {
    ConnectionId(n)
}

fn heard(rig: &mut Rig, connection: u64) {
    let now = rig.now;
    rig.feed(Input::Heard(id(connection), now));
}

fn kinds(rig: &mut Rig) -> Vec<(u64, Output)> {
    let orders = rig.take_orders().into_iter();
    orders.filter(|(_, order)| !matches!(order, Output::Kill(..))).collect()
}

/// Three endpoints whose connections fall silent at 0 ms; the first one has a call, and is found
/// dead at 15 s.
fn one_is_dead() -> Rig {
    let mut rig = Rig::connected(3);
    rig.begin(1).until(15_000);
    rig
}

#[test]
fn no_call_goes_to_what_may_be_dead() {
    let mut rig = one_is_dead();
    assert_eq!(rig.route(Want::default()), None);
    let states: Vec<_> = rig.channel.health().iter().map(|it| it.state).collect();
    assert_eq!(states[1..], [ConnectionState::Unconfirmed; 2]);
    let dialled: Vec<_> = rig.dials[3..].iter().map(|(at, endpoint, _)| (*at, *endpoint)).collect();
    assert_eq!(
        dialled,
        [(15_000, 0), (15_000, 1), (15_000, 2)],
        "each beside the old one, at once"
    );
    let new = rig.dials[4].2;
    rig.feed(Input::Connected(id(new)));
    assert_eq!(rig.routes(3), [Some(1); 3], "a connection that was made since");
    assert!(kinds(&mut rig).contains(&(15_000, Output::Close(id(2)))), "the old one had no call");
}

#[test]
fn a_probe_goes_to_the_connection_that_it_is_about() {
    let mut rig = one_is_dead();
    let on = |n| Want { connection: Some(id(n)), ..Want::default() };
    assert_eq!(rig.route(on(2)).map(|route| route.connection), Some(id(2)));
    assert_eq!(rig.route(on(1)), None, "it is gone");
}

// One without calls is asked by a read, since no server likes a PING without one (H7).
#[test]
fn a_byte_clears_the_doubt() {
    let mut rig = one_is_dead();
    let orders = kinds(&mut rig);
    let probes = [2, 3].map(|n| Output::Probe(EndpointId(n - 1), id(n.into())));
    assert_eq!(orders[1..], probes.map(|probe| (15_000, probe)), "{orders:?}");
    rig.begin(2);
    assert_eq!(kinds(&mut rig), [(15_000, Output::Ping(id(2)))], "with the call, at once");
    let changes = rig.changes;
    heard(&mut rig, 2);
    assert_eq!(rig.routes(2), [Some(1); 2]);
    assert!(rig.changes > changes, "calls that wait look again");
    let beside = id(rig.dials[4].2);
    assert_eq!(kinds(&mut rig), [(15_000, Output::Close(beside))], "no need for another one");
    rig.finish(2, HealthSignal::Healthy).feed(Input::Probed(id(2), true));
    rig.until(600_000);
    assert_eq!(rig.channel.health()[1].state, ConnectionState::Ready);
}

// It was only unconfirmed before, and is a suspect now: whoever looks at the health is told.
#[test]
fn a_probe_that_fails_is_news() {
    let mut rig = one_is_dead();
    let changes = rig.changes;
    rig.feed(Input::Probed(id(2), false));
    assert_eq!(rig.changes, changes + 1);
    rig.rest(1);
    heard(&mut rig, 2);
    assert_eq!(rig.channel.health()[1].state, ConnectionState::Suspect);
}

#[test]
fn what_was_heard_of_since_the_ping_is_not_in_doubt() {
    let mut rig = Rig::connected(3);
    rig.begin(1).until(10_001);
    heard(&mut rig, 2);
    rig.until(15_000);
    assert_eq!(rig.routes(2), [Some(1); 2]);
    assert!(rig.dials[3..].iter().all(|(_, endpoint, _)| *endpoint != 1), "{:?}", rig.dials);
    assert_eq!(rig.channel.health()[1].state, ConnectionState::Ready);
}

// Reads leave for a connection that is sure; what cannot be repeated stays until the PING decides.
#[test]
fn calls_are_told_to_leave_once_there_is_a_better_connection() {
    let mut rig = Rig::connected(3);
    rig.begin(1).until(4_000);
    heard(&mut rig, 2);
    rig.until(9_000).begin(2).until(15_000);
    let is_told = |orders: &[(u64, Output)]| {
        orders.iter().filter(|(_, order)| matches!(order, Output::Migrate(..))).count()
    };
    assert_eq!(is_told(&kinds(&mut rig)), 0, "there is nowhere to go yet");
    let new = id(rig.dials[3].2);
    rig.feed(Input::Connected(new));
    assert_eq!(kinds(&mut rig), [(15_000, Output::Migrate(id(2), Migration::All))]);
    let beside = id(rig.dials[4].2);
    rig.feed(Input::Connected(beside));
    assert_eq!(kinds(&mut rig), [], "told once, and kept for the call that stays");
    rig.until(60_000);
    assert!(matches!(rig.take_orders()[..], [(19_000, Output::Kill(ConnectionId(2), _))]));
}

#[test]
fn a_dial_beside_goes_on_when_the_old_connection_dies() {
    let mut rig = one_is_dead();
    let beside = id(rig.dials[4].2);
    rig.feed(ended(id(2)));
    assert_eq!(rig.channel.health()[1].state, ConnectionState::Connecting);
    rig.feed(Input::Connected(beside));
    assert_eq!(rig.routes(2), [Some(1); 2]);
    assert_eq!(rig.dials.len(), 6, "no further dial");
}

// Where no new connection can be made, as without DNS, the old ones are used once they are sure.
#[test]
fn a_dial_beside_that_fails_costs_nothing() {
    let mut rig = one_is_dead();
    for dial in 3..6 {
        let connection = id(rig.dials[dial].2);
        rig.feed(failed(connection));
    }
    assert_eq!(rig.route(Want::default()), None);
    heard(&mut rig, 3);
    assert_eq!(rig.routes(2), [Some(2); 2]);
}

#[test]
fn endpoints_that_go_take_both_connections_along() {
    let mut rig = one_is_dead();
    let besides = [4, 5].map(|dial| id(rig.dials[dial].2));
    rig.take_orders();
    rig.feed(Input::Endpoints { primary: crate::rig::endpoints(1), fallback: vec![] });
    let orders = kinds(&mut rig);
    let closed = |id| orders.contains(&(15_000, Output::Close(id)));
    assert!([besides[0], besides[1], id(2), id(3)].into_iter().all(closed), "{orders:?}");
}

// A call that waits brings a PING before it is given up: by then there is none to send it with.
#[test]
fn calls_that_wait_bring_a_ping_after_half_of_what_they_may_wait() {
    let mut settings = Settings { stalled_after: Duration::from_secs(3), ..settings() };
    let pinged = |settings| {
        let mut rig = Rig::with(1, settings);
        rig.feed(Input::Wanted).feed(Input::Connected(id(1))).until(500).begin(1).until(2_000);
        heard(&mut rig, 1);
        rig.until(9_999);
        let orders = kinds(&mut rig).into_iter();
        orders.map(|(at, order)| (at, order == Output::Ping(id(1)))).collect::<Vec<_>>()
    };
    assert_eq!(pinged(settings), [(2_000, true), (8_000, true)], "six seconds apart");
    settings.stalled_after = Duration::from_millis(10);
    assert_eq!(pinged(settings), [(1_500, true), (7_500, true)], "not before a second");
}
