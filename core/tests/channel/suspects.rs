//! Members that are connected and do not serve (B27, I-C7).

use crate::rig::{Rig, admission, settings};
use etcd3_core::channel::{
    AttemptKind, ConnectionId, ConnectionState, EndpointId, HealthSignal, Input, Output, Settings,
    Want,
};
use etcd3_core::{Instant, Machine};
use std::time::Duration;

fn probes(rig: &mut Rig) -> Vec<u64> {
    let orders = rig.take_orders().into_iter();
    orders.filter(|(_, order)| matches!(order, Output::Probe(..))).map(|(at, _)| at).collect()
}

/// Ends a call that began at 0 ms, and does not look at the channel.
fn release(rig: &mut Rig, connection: u64, signal: HealthSignal) {
    let admission = admission(AttemptKind::Call, ConnectionId(connection), Instant::ORIGIN);
    rig.channel.release(rig.now, &admission, signal);
}

fn heard(rig: &mut Rig, connection: u64) {
    let now = rig.now;
    rig.feed(Input::Heard(ConnectionId(connection), now));
}

/// Three endpoints, of which the first has left a call without an answer at 0 ms.
fn suspected() -> Rig {
    let mut rig = Rig::connected(3);
    rig.begin(1).finish(1, HealthSignal::Unhealthy);
    rig
}

#[test]
fn a_suspect_gets_no_calls_while_there_is_another() {
    let mut rig = suspected();
    assert!(!rig.routes(9).contains(&Some(0)));
    assert_eq!(rig.channel.health()[0].state, ConnectionState::Suspect);
    rig.until(600_000);
    assert!(!rig.routes(9).contains(&Some(0)), "time alone does not clear it");
}

// I-C7: all grey means to try anyway.
#[test]
fn suspects_get_calls_when_there_is_nothing_else() {
    let mut rig = suspected();
    for n in [2, 3] {
        rig.begin(n).finish(n, HealthSignal::Unhealthy);
    }
    let mut picked = rig.routes(3);
    picked.sort();
    assert_eq!(picked, [0, 1, 2].map(Some), "in turn");
    rig.begin(1).finish(1, HealthSignal::Healthy);
    rig.begin(2).finish(2, HealthSignal::Alive);
    assert_eq!(rig.routes(2), [Some(0), Some(0)], "only one that serves is cleared");
}

#[test]
fn a_suspect_is_probed_until_it_answers() {
    let mut rig = suspected();
    rig.until(2_000);
    let first = probes(&mut rig);
    assert_eq!(first.len(), 1, "one at a time");
    assert!((800..=1_200).contains(&first[0]), "{first:?}");
    rig.feed(Input::Probed(ConnectionId(1), false)).rest(5_000);
    let second = probes(&mut rig);
    assert_eq!(second.len(), 1);
    rig.feed(Input::Probed(ConnectionId(1), true));
    assert!(rig.routes(3).contains(&Some(0)));
    rig.rest(600_000);
    assert_eq!(rig.take_orders(), []);
}

// Whoever waits for a connection, or for a change of health, is told when there is one.
#[test]
fn what_a_probe_finds_is_told_when_it_is_news() {
    let mut rig = suspected();
    rig.until(2_000);
    let changes = rig.changes;
    rig.feed(Input::Probed(ConnectionId(1), false));
    assert_eq!(rig.changes, changes, "it is a suspect as before");
    rig.rest(5_000);
    rig.feed(Input::Probed(ConnectionId(1), true));
    assert_eq!(rig.changes, changes + 1);
}

// Several things may happen before the channel is looked at.
#[test]
fn what_is_no_news_does_not_take_back_what_is() {
    type NoNews = fn(&mut Rig);
    let no_news: [NoNews; 4] = [
        |rig| rig.channel.handle(rig.now, Input::Probed(ConnectionId(1), false)),
        |rig| release(rig, 1, HealthSignal::Unhealthy),
        |rig| release(rig, 3, HealthSignal::Healthy),
        |rig| release(rig, 3, HealthSignal::None),
    ];
    for (index, no_news) in no_news.into_iter().enumerate() {
        let mut rig = suspected();
        rig.begin(1).begin(2).begin(3).until(2_000);
        assert_eq!(probes(&mut rig).len(), 1);
        let changes = rig.changes;
        release(&mut rig, 2, HealthSignal::Unhealthy);
        no_news(&mut rig);
        rig.drain();
        assert_eq!(rig.changes, changes + 1, "the second is a suspect, too: {index}");
    }
}

// Grey-listing decays to a probe every ten seconds and no rarer: nobody is banned for good.
#[test]
fn probes_are_ten_seconds_apart_at_most() {
    let mut rig = suspected();
    let mut times = vec![];
    while times.len() < 20 {
        rig.rest(100);
        for at in probes(&mut rig) {
            times.push(at);
            rig.feed(Input::Probed(ConnectionId(1), false));
        }
    }
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= 12_200), "{times:?}");
    assert!(times.windows(2).skip(8).all(|pair| pair[1] - pair[0] >= 7_800), "{times:?}");
}

// The calls that were under way together count as one failure.
#[test]
fn many_failures_at_once_are_one() {
    let mut rig = Rig::connected(2);
    for _ in 0..50 {
        rig.begin(1);
    }
    for _ in 0..50 {
        rig.finish(1, HealthSignal::Unhealthy);
    }
    rig.until(1_300);
    assert_eq!(probes(&mut rig).len(), 1, "a second and not ten");
}

// Those that fail before the probe is due count as one with the first; at that time it is another.
#[test]
fn a_failure_when_the_probe_is_due_puts_it_off() {
    let mut rig = suspected();
    rig.begin(1);
    rig.now = rig.wake.expect("a probe is due");
    rig.finish(1, HealthSignal::Unhealthy);
    assert_eq!(probes(&mut rig), [0; 0]);
    rig.rest(5_000);
    assert_eq!(probes(&mut rig).len(), 1);
}

// A probe that is under way when its connection ends is made again on the next one.
#[test]
fn a_suspect_that_reconnects_is_probed_before_it_gets_calls() {
    let mut rig = suspected();
    rig.until(2_000);
    assert_eq!(probes(&mut rig).len(), 1);
    rig.feed(crate::rig::ended(ConnectionId(1))).rest(1_000);
    let connection = rig.last_dial();
    rig.feed(Input::Connected(connection));
    assert_eq!(
        rig.take_orders().last().map(|(_, order)| order.clone()),
        Some(Output::Probe(EndpointId(0), connection))
    );
    assert!(!rig.routes(6).contains(&Some(0)));
    rig.feed_stale(Input::Probed(ConnectionId(1), true));
    rig.feed(Input::Probed(connection, true));
    assert!(rig.routes(6).contains(&Some(0)));
}

// A member whose calls all wait is passed over before anybody gives up.
#[test]
fn the_slow_are_passed_over() {
    let mut rig = Rig::connected(3);
    rig.begin(1).rest(299);
    assert!(rig.routes(3).contains(&Some(0)));
    rig.rest(1);
    assert!(!rig.routes(9).contains(&Some(0)));
    rig.begin(1).finish(1, HealthSignal::Alive);
    assert!(rig.routes(3).contains(&Some(0)), "it answers");
    rig.rest(300).begin(2).begin(3).rest(300);
    assert_eq!(rig.routes(6).iter().flatten().count(), 6, "all are slow");
}

#[test]
fn an_endpoint_to_avoid_comes_after_suspects() {
    let mut rig = suspected();
    rig.feed(crate::rig::ended(ConnectionId(3)));
    let want = Want { avoid: Some(EndpointId(1)), ..Want::default() };
    assert_eq!(rig.route(want).unwrap().endpoint, EndpointId(0));
}

// A call that is lost while the member is being probed does not make a second probe go out.
#[test]
fn one_probe_at_a_time() {
    let mut rig = suspected();
    rig.until(2_000);
    assert_eq!(probes(&mut rig).len(), 1);
    rig.begin(1).finish(1, HealthSignal::Unhealthy).rest(600_000);
    assert_eq!(probes(&mut rig), []);
    rig.feed(Input::Probed(ConnectionId(1), false)).rest(20_000);
    assert_eq!(probes(&mut rig).len(), 1);
}

// B14: on a member that is cut off only writes may hang, which nobody gives up.
#[test]
fn a_member_that_leaves_all_its_calls_waiting_is_a_suspect() {
    let mut rig = Rig::with(3, Settings { stalled_after: Duration::from_secs(3), ..settings() });
    rig.feed(Input::Wanted);
    for n in 1..=3 {
        rig.feed(Input::Connected(ConnectionId(n)));
    }
    rig.begin(1).begin(1).rest(2_000);
    rig.finish(1, HealthSignal::Alive);
    heard(&mut rig, 1);
    rig.rest(2_999);
    assert_eq!(rig.channel.health()[0].state, ConnectionState::Ready, "it answered another one");
    rig.rest(1);
    assert_eq!(rig.channel.health()[0].state, ConnectionState::Suspect);
    for n in [2, 3] {
        rig.begin(n).finish(n, HealthSignal::Unhealthy);
    }
    assert_eq!(rig.routes(3).iter().flatten().count(), 3, "no better than other suspects");
    rig.rest(1_300);
    assert_eq!(probes(&mut rig).len(), 3);
    heard(&mut rig, 1);
    rig.feed(Input::Probed(ConnectionId(1), true)).rest(2_999);
    assert_eq!(rig.channel.health()[0].state, ConnectionState::Ready, "it answered the probe");
    rig.rest(1);
    assert_eq!(rig.channel.health()[0].state, ConnectionState::Suspect);
}

#[test]
fn where_there_is_no_other_nobody_is_a_suspect_for_leaving_calls_waiting() {
    let mut rig = Rig::with(1, Settings { stalled_after: Duration::from_secs(3), ..settings() });
    rig.feed(Input::Wanted).feed(Input::Connected(ConnectionId(1))).begin(1).rest(6_499);
    assert!(matches!(rig.take_orders()[..], [(1_500, Output::Ping(_))]), "the PING will tell");
    assert_eq!(rig.channel.health()[0].state, ConnectionState::Ready);
}

// An election, or a pause, that is over: etcd ends writes that it made hang after seven seconds.
#[test]
fn what_went_wrong_before_it_did_well_does_not_count() {
    let mut rig = Rig::connected(2);
    let before = rig.begin(1).begin(1).now;
    rig.rest(7_000).begin(1).rest(1).finish(1, HealthSignal::Healthy);
    rig.finish_since(1, before, HealthSignal::Unhealthy);
    assert_eq!(rig.channel.health()[0].state, ConnectionState::Ready);
    rig.finish(1, HealthSignal::Unhealthy);
    assert_eq!(rig.channel.health()[0].state, ConnectionState::Suspect);
}
