//! How soon an endpoint is dialled again after its connection ended well, or did its work.

use crate::rig::{Rig, ended, failed};
use etcd3_core::channel::{ConnectionId, HealthSignal, Input, Output, Retirement};

fn retired(connection: ConnectionId, goodbye: Retirement) -> Input {
    Input::Retired(connection, goodbye)
}

/// A connection on which so many calls were answered in this way, and that ends so; how long the
/// next dial waits, in milliseconds.
fn wait_after(calls: &[HealthSignal], end: fn(ConnectionId) -> Input) -> u64 {
    let mut rig = Rig::connected(1);
    for signal in calls {
        rig.begin(1).finish(1, *signal);
    }
    let (from, dials) = (rig.now_ms(), rig.dials.len());
    rig.feed(end(ConnectionId(1))).until(from + 10_000);
    rig.dials[dials].0 - from
}

// Proxies end connections after so many requests, or so much time: that is no failure.
#[test]
fn a_connection_that_carried_an_answered_call_is_dialled_again_at_once() {
    let ends: [fn(ConnectionId) -> Input; 3] =
        [ended, |id| retired(id, Retirement::Other), |id| retired(id, Retirement::NoError)];
    for end in ends {
        for signal in [HealthSignal::Healthy, HealthSignal::Alive] {
            assert_eq!(wait_after(&[signal], end), 0);
        }
    }
    for unanswered in [&[][..], &[HealthSignal::Unhealthy], &[HealthSignal::None]] {
        assert!(wait_after(unanswered, ended) >= 80);
        assert!(wait_after(unanswered, |id| retired(id, Retirement::Other)) >= 80);
        assert_eq!(wait_after(unanswered, |id| retired(id, Retirement::NoError)), 0);
    }
}

// A server may say goodbye in two steps; its calls go on after either.
#[test]
fn a_connection_that_drains_is_told_so_once() {
    let mut rig = Rig::connected(1);
    let one = ConnectionId(1);
    rig.begin(1).feed(retired(one, Retirement::NoError));
    rig.feed_stale(retired(one, Retirement::NoError));
    rig.finish(1, HealthSignal::Healthy);
    assert!(rig.take_orders().contains(&(rig.now_ms(), Output::Close(one))));
}

// A server that does nothing but say goodbye is no working one.
#[test]
fn goodbyes_without_an_answer_in_between_are_backed_off() {
    let mut rig = Rig::connected(1);
    for _ in 0..6 {
        let connection = rig.last_dial();
        rig.feed(retired(connection, Retirement::NoError));
        while rig.last_dial() == connection {
            let wake = rig.wake.expect("a dial to come").as_nanos().div_ceil(1_000_000);
            rig.until(wake);
        }
        let connection = rig.last_dial();
        rig.feed(Input::Connected(connection));
    }
    let waits: Vec<_> = rig.dials.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert_eq!(waits[0], 0);
    assert!(waits.windows(2).all(|pair| pair[0] < pair[1]), "{waits:?}");
    let connection = rig.last_dial();
    rig.begin(connection.0).finish(connection.0, HealthSignal::Healthy);
    let from = rig.now_ms();
    rig.feed(retired(connection, Retirement::NoError));
    assert_eq!(rig.dials.last().map(|(at, ..)| *at), Some(from), "it works again");
}

// A GOAWAY may come before the response to the call that it is about.
#[test]
fn an_answer_after_the_goodbye_counts() {
    let mut rig = Rig::connected(1);
    for n in 0..20 {
        let connection = rig.last_dial();
        rig.begin(connection.0).feed(retired(connection, Retirement::NoError));
        rig.finish(connection.0, HealthSignal::Healthy);
        assert_eq!(rig.now_ms(), 0, "without a wait");
        assert_eq!(rig.dials.len(), n + 2);
        let next = rig.last_dial();
        rig.feed(Input::Connected(next));
    }
    // Nor need the connection live until it is read.
    for n in 20..40 {
        let connection = rig.last_dial();
        rig.begin(connection.0).feed(ended(connection)).finish(connection.0, HealthSignal::Alive);
        assert_eq!((rig.now_ms(), rig.dials.len()), (0, n + 2));
        let next = rig.last_dial();
        rig.feed(Input::Connected(next));
    }
    let connection = rig.last_dial();
    rig.begin(connection.0).feed(retired(connection, Retirement::Other));
    assert_eq!(rig.last_dial(), connection, "backed off");
    rig.finish(connection.0, HealthSignal::None);
    assert_eq!(rig.last_dial(), connection, "it was not answered");
}

#[test]
fn a_dial_that_fails_after_a_goodbye_is_backed_off() {
    let mut rig = Rig::connected(1);
    rig.begin(1)
        .finish(1, HealthSignal::Healthy)
        .feed(retired(ConnectionId(1), Retirement::NoError));
    let from = rig.now_ms();
    rig.feed(failed(rig.last_dial())).until(from + 10_000);
    assert!(rig.dials.last().expect("a dial").0 >= from + 80);
}
