//! PINGs, and connections that are given up (I-C1, I-C2).

use crate::rig::{Rig, admission, settings};
use etcd3_core::Instant;
use etcd3_core::channel::{
    AttemptKind, ConnectionId, HealthSignal, Input, MIN_INTERVAL, Output, Retirement, Want,
};
use etcd3_core::error::ConnectFailure;
use std::time::Duration;

const ONE: ConnectionId = ConnectionId(1);

fn heard(rig: &mut Rig) {
    let now = rig.now;
    rig.feed(Input::Heard(ONE, now));
}

fn pings(rig: &mut Rig) -> Vec<u64> {
    let orders = rig.take_orders().into_iter();
    orders.filter(|(_, order)| matches!(order, Output::Ping(_))).map(|(at, _)| at).collect()
}

#[test]
fn a_connection_without_calls_is_never_pinged() {
    let mut rig = Rig::connected(1);
    rig.until(3_600_000);
    rig.begin(1).finish(1, HealthSignal::None);
    rig.take_orders();
    rig.rest(4_000);
    heard(&mut rig);
    rig.rest(3_600_000);
    assert_eq!(rig.take_orders(), []);
    assert_eq!(rig.wake, None);
}

#[test]
fn an_open_call_that_is_silent_is_pinged_after_ten_seconds_and_given_up_after_five_more() {
    let mut rig = Rig::connected(1);
    rig.until(1_000).begin(1).until(60_000);
    let orders = rig.take_orders();
    let [(10_000, Output::Ping(ONE)), (15_000, Output::Kill(ONE, broken))] = &orders[..] else {
        panic!("{orders:?}");
    };
    assert_eq!(broken.failure, ConnectFailure::Unresponsive);
    assert!(rig.dials.len() > 1, "dialled again");
    rig.finish(1, HealthSignal::Unhealthy);
    let ignored = rig.channel.ignored();
    let over = admission(AttemptKind::Call, ONE, Instant::ORIGIN);
    rig.channel.release(rig.now, &over, HealthSignal::Unhealthy);
    assert_eq!(rig.channel.ignored(), ignored + 1);
}

#[test]
fn any_byte_is_a_sign_of_life() {
    let mut rig = Rig::connected(1);
    rig.begin(1);
    for at in [9_000, 18_000, 27_000] {
        rig.until(at);
        heard(&mut rig);
    }
    assert_eq!(pings(&mut rig), []);
    rig.until(41_000);
    assert_eq!(pings(&mut rig), [37_000]);
    heard(&mut rig);
    rig.until(50_999);
    assert_eq!(rig.take_orders(), [], "answered in time");
    rig.until(51_000);
    assert_eq!(pings(&mut rig), [51_000]);
}

// The machine is told late: what counts is when the byte came.
#[test]
fn a_byte_that_came_before_the_ping_does_not_answer_it() {
    let mut rig = Rig::connected(1);
    rig.begin(1).until(10_000);
    assert_eq!(pings(&mut rig), [10_000]);
    rig.feed(Input::Heard(ONE, Instant::from_origin(Duration::from_millis(9_999))));
    rig.until(15_000);
    assert!(matches!(rig.orders[..], [(15_000, Output::Kill(ONE, _))]));
}

#[test]
fn the_first_call_after_a_silence_brings_a_ping() {
    let mut rig = Rig::connected(1);
    rig.until(60_000).begin(1);
    assert_eq!(pings(&mut rig), [60_000]);
    rig.finish(1, HealthSignal::None).until(64_999);
    assert_eq!(rig.take_orders(), []);
    rig.until(65_000);
    assert!(
        matches!(rig.orders[..], [(65_000, Output::Kill(ONE, _))]),
        "the call is over, the \
        connection is dead all the same"
    );
}

// H7: etcd ends connections that are pinged more often than every five seconds.
#[test]
fn pings_are_never_closer_than_six_seconds() {
    let mut settings = settings();
    settings.ping.interval = Duration::from_millis(10);
    settings.ping.timeout = Duration::from_secs(60);
    let mut rig = Rig::with(1, settings);
    rig.feed(Input::Wanted).feed(Input::Connected(ONE)).begin(1);
    let mut all = vec![];
    for _ in 0..1_000 {
        rig.rest(100);
        heard(&mut rig);
        all.extend(pings(&mut rig));
        rig.finish(1, HealthSignal::Healthy).begin(1);
        all.extend(pings(&mut rig));
        rig.rest(6_000);
        all.extend(pings(&mut rig));
        heard(&mut rig);
    }
    let least = u64::try_from(MIN_INTERVAL.as_millis()).unwrap();
    assert!(all.len() > 100);
    assert!(all.windows(2).all(|pair| pair[1] - pair[0] >= least));
}

// C56
#[test]
fn too_many_pings_double_the_interval() {
    let mut rig = Rig::connected(1);
    rig.feed(Input::TooManyPings).begin(1).until(20_000);
    assert_eq!(pings(&mut rig), [20_000]);
}

// I-C1, I-C3: a connection that drains is watched like any other.
#[test]
fn a_draining_connection_is_given_up_when_it_is_silent() {
    let mut rig = Rig::connected(1);
    rig.begin(1).feed(Input::Retired(ONE, Retirement::Other));
    assert_eq!(rig.route(Want::default()), None);
    rig.until(60_000);
    let orders = rig.take_orders();
    let [(10_000, Output::Ping(ONE)), (15_000, Output::Kill(ONE, _))] = &orders[..] else {
        panic!("{orders:?}");
    };
}

#[test]
fn a_draining_connection_is_closed_after_its_last_call() {
    let mut rig = Rig::connected(1);
    rig.begin(1).begin(1).feed(Input::Retired(ONE, Retirement::Other));
    rig.finish(1, HealthSignal::Healthy);
    assert_eq!(rig.take_orders(), []);
    rig.finish(1, HealthSignal::Healthy);
    assert_eq!(rig.take_orders(), [(0, Output::Close(ONE))]);
}

// a process that was stopped has not read what came meanwhile.
#[test]
fn who_overslept_gives_the_answer_its_time_again_once() {
    let mut rig = Rig::connected(1);
    rig.begin(1).until(10_000);
    assert_eq!(pings(&mut rig), [10_000]);
    rig.oversleep(60_000);
    assert_eq!(rig.take_orders(), [], "the answer may be there to be read");
    rig.oversleep(120_000);
    assert!(matches!(rig.orders[..], [(120_000, Output::Kill(ONE, _))]), "but not for ever");
}
