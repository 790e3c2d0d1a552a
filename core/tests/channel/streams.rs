//! Streams: they stay open, and nobody waits for them.

use crate::rig::{Rig, admission, ended, endpoint, settings};
use etcd3_core::channel::{
    Admission, AttemptKind, ConnectionId, ConnectionState, EndpointId, HealthSignal, Input,
    Migration, Output, Retirement, Settings, Want,
};
use std::collections::BTreeMap;
use std::time::Duration;

const ONE: ConnectionId = ConnectionId(1);

/// What an idle stream would upset if its response were waited for.
fn impatient() -> Settings {
    Settings { stalled_after: Duration::from_secs(3), burst: 4, ..settings() }
}

fn connected(endpoints: u32) -> Rig {
    let mut rig = Rig::with(endpoints, impatient());
    rig.feed(Input::Wanted);
    for n in 1..=endpoints {
        rig.feed(Input::Connected(ConnectionId(n.into())));
    }
    rig
}

fn stream(rig: &mut Rig) -> Admission {
    let want = Want { kind: AttemptKind::Stream, ..Want::default() };
    rig.admit(want).expect("there is a connection")
}

/// Returns the endpoint of one more call, which is answered at once.
fn call(rig: &mut Rig) -> EndpointId {
    let admission = rig.admit(Want::default()).expect("there is a connection");
    rig.release(&admission, HealthSignal::Healthy);
    admission.endpoint
}

fn migrations(rig: &mut Rig) -> Vec<(ConnectionId, Migration)> {
    let orders = rig.take_orders().into_iter();
    orders
        .filter_map(|(_, order)| match order {
            Output::Migrate(id, scope) => Some((id, scope)),
            _ => None,
        })
        .collect()
}

// I-C6: for an hour, with two endpoints: no suspect, no probe; PINGs as often as for any stream.
#[test]
fn an_idle_stream_makes_no_suspect() {
    let mut rig = connected(2);
    let open = stream(&mut rig);
    for at_s in 1..=3_600 {
        rig.until(at_s * 1_000);
        rig.feed(Input::Heard(open.connection, rig.now));
        call(&mut rig);
        assert!(rig.channel.health().iter().all(|it| it.state == ConnectionState::Ready));
    }
    assert_eq!(rig.take_orders(), [], "bytes come all the time");
    rig.rest(60_000);
    let orders = rig.take_orders();
    assert!(
        matches!(orders[..], [(3_610_000, Output::Ping(_)), (_, Output::Kill(..)), ..]),
        "{orders:?}"
    );
}

// A call that waits beside a stream is what it was without one.
#[test]
fn a_call_is_waited_for_beside_a_stream() {
    let mut rig = connected(2);
    rig.begin_of(AttemptKind::Stream, 1).begin(1).rest(3_000);
    assert_eq!(rig.channel.health()[0].state, ConnectionState::Suspect);
    let ping = rig.take_orders();
    assert!(matches!(ping[..], [(1_500, Output::Ping(ONE))]), "{ping:?}");
}

// H7: with neither calls nor streams there are no PINGs; a stream alone is reason enough.
#[test]
fn a_stream_counts_for_pings() {
    let mut rig = connected(1);
    rig.rest(60_000);
    assert_eq!(rig.take_orders(), []);
    let open = stream(&mut rig);
    rig.drain();
    rig.rest(0);
    assert!(matches!(rig.take_orders()[..], [(60_000, Output::Ping(ONE))]));
    rig.feed(Input::Heard(ONE, rig.now)).rest(9_999);
    assert_eq!(rig.take_orders(), []);
    rig.rest(1);
    assert!(matches!(rig.take_orders()[..], [(70_000, Output::Ping(ONE))]));
    rig.feed(Input::Heard(ONE, rig.now)).release(&open, HealthSignal::None).rest(3_600_000);
    assert_eq!(rig.take_orders(), []);
}

// Streams are spread over the endpoints; the calls between them go in bursts as ever.
#[test]
fn streams_are_spread() {
    let mut rig = connected(3);
    let mut on: BTreeMap<EndpointId, u32> = BTreeMap::new();
    let mut calls = Vec::new();
    let mut open = Vec::new();
    for _ in 0..30 {
        let admission = stream(&mut rig);
        *on.entry(admission.endpoint).or_default() += 1;
        open.push(admission);
        calls.push(call(&mut rig));
    }
    assert_eq!(on.values().copied().collect::<Vec<_>>(), [10, 10, 10]);
    let bursts: Vec<usize> = calls.chunk_by(|a, b| a == b).map(<[_]>::len).collect();
    assert!(bursts.iter().all(|burst| *burst <= 4) && bursts.len() <= 9, "{bursts:?}");
    // Where some have ended, others begin.
    for admission in open.iter().filter(|it| it.endpoint == EndpointId(1)) {
        rig.release(admission, HealthSignal::None);
    }
    let next: Vec<_> = (0..10).map(|_| stream(&mut rig).endpoint).collect();
    assert!(next.iter().all(|endpoint| *endpoint == EndpointId(1)), "{next:?}");
}

// A suspect gets streams only when there is nothing else.
#[test]
fn streams_avoid_suspects() {
    let mut rig = connected(2);
    rig.begin(1).finish(1, HealthSignal::Unhealthy);
    for _ in 0..4 {
        assert_eq!(stream(&mut rig).endpoint, EndpointId(1));
    }
    let only = Want { kind: AttemptKind::Stream, only: Some(EndpointId(0)), ..Want::default() };
    assert_eq!(rig.admit(only).map(|it| it.connection), Ok(ONE));
}

// B1, I-W: a watch must not pin a connection that its server, or the list, has given up.
#[test]
fn a_connection_that_drains_tells_its_streams_to_migrate() {
    let retired = |rig: &mut Rig| {
        rig.feed(Input::Retired(ONE, Retirement::NoError));
    };
    let unlisted = |rig: &mut Rig| {
        rig.feed(Input::Endpoints { primary: vec![endpoint("e1")], fallback: vec![] });
    };
    for drain in [&retired as &dyn Fn(&mut Rig), &unlisted] {
        let mut rig = connected(2);
        rig.begin_of(AttemptKind::Stream, 1).begin(1).begin(2);
        drain(&mut rig);
        assert_eq!(migrations(&mut rig), [(ONE, Migration::Streams)]);
        rig.rest(1_000);
        assert_eq!(migrations(&mut rig), [], "told once");
        let left = admission(AttemptKind::Stream, ONE, rig.now);
        rig.release(&left, HealthSignal::None);
        assert_eq!(rig.take_orders(), [], "its call ends there");
        rig.finish(1, HealthSignal::Healthy);
        assert!(matches!(rig.take_orders()[..], [(_, Output::Close(ONE))]), "closed after it");
    }
}

// It is told once there is somewhere to go.
#[test]
fn streams_stay_until_there_is_another_connection() {
    let mut rig = connected(1);
    rig.begin_of(AttemptKind::Stream, 1).feed(Input::Retired(ONE, Retirement::NoError));
    assert_eq!(migrations(&mut rig), []);
    let connection = rig.last_dial();
    rig.feed(Input::Connected(connection));
    assert_eq!(migrations(&mut rig), [(ONE, Migration::Streams)]);
}

// Without streams a draining connection has nobody to tell.
#[test]
fn calls_are_not_told_to_leave_a_connection_that_drains() {
    let mut rig = connected(2);
    rig.begin(1).feed(Input::Retired(ONE, Retirement::NoError)).rest(1_000);
    assert_eq!(migrations(&mut rig), []);
}

// What may be dead is left by all that may leave it; what was told is not told again.
#[test]
fn a_connection_in_doubt_is_left_by_streams_and_calls() {
    let mut rig = connected(2);
    rig.begin_of(AttemptKind::Stream, 1)
        .begin_of(AttemptKind::Stream, 2)
        .begin_of(AttemptKind::Stream, 2);
    rig.until(5_000);
    rig.feed(Input::Heard(ConnectionId(2), rig.now));
    rig.until(10_000);
    assert!(matches!(rig.take_orders()[..], [(10_000, Output::Ping(ONE))]));
    rig.until(15_000);
    // The second one was heard before that PING.
    let killed = rig.take_orders();
    assert!(killed.iter().any(|(_, it)| matches!(it, Output::Kill(ONE, _))), "{killed:?}");
    assert!(!killed.iter().any(|(_, it)| matches!(it, Output::Migrate(..))), "nowhere to go");
    let replacement = rig.dials.iter().rev().find(|(_, endpoint, _)| *endpoint == 0);
    let replacement = ConnectionId(replacement.map_or(0, |(.., id)| *id));
    rig.feed(Input::Connected(replacement));
    assert_eq!(migrations(&mut rig), [(ConnectionId(2), Migration::All)]);
    rig.feed(ended(ConnectionId(2))).rest(1_000);
    assert_eq!(migrations(&mut rig), []);
}

// A stream that was lost is no call that was not answered: the next call goes where it would have.
#[test]
fn the_end_of_a_stream_does_not_end_a_burst() {
    let mut rig = connected(3);
    let first = call(&mut rig);
    let open = stream(&mut rig);
    rig.release(&open, HealthSignal::None);
    assert_eq!(call(&mut rig), first);
}
