//! The cluster that a channel belongs to, and the revision that it has seen (I-R8, B26).

use crate::rig::{Rig, ended, endpoint, failed};
use etcd3_core::ResponseHeader;
use etcd3_core::call::Sent;
use etcd3_core::channel::{
    Admission, ConnectionId, ConnectionState, Denied, Finished, Freshness, HealthSignal, Input,
    RevisionFloor, Want,
};
use etcd3_core::proto::etcdserverpb as pb;

/// What a response of this cluster at this revision says of its origin.
fn header(cluster_id: u64, revision: i64) -> ResponseHeader {
    pb::ResponseHeader { cluster_id, member_id: 1, revision, raft_term: 1 }.into()
}

/// A response of this cluster at this revision, to a request that is sent now.
fn answer(rig: &mut Rig, connection: u64, cluster_id: u64, revision: i64) -> Freshness {
    let want = Want { connection: Some(ConnectionId(connection)), ..Want::default() };
    let admission = rig.admit(want).expect("it is connected");
    respond(rig, &admission, cluster_id, revision)
}

/// A response to a linearizable read.
fn respond(rig: &mut Rig, admission: &Admission, cluster_id: u64, revision: i64) -> Freshness {
    let header = Some(header(cluster_id, revision));
    let finished = Finished {
        signal: HealthSignal::Healthy,
        header,
        is_linearizable: true,
        is_ordered: false,
    };
    let freshness = rig.channel.release(rig.now, admission, finished);
    rig.drain();
    freshness
}

// ORD-005, ORD-006, ORD-007: as much as was seen, less, and more.
#[test]
fn an_answer_below_the_floor_is_stale() {
    let mut rig = Rig::connected(3);
    assert_eq!(answer(&mut rig, 1, 7, 100), Freshness::Fresh);
    assert_eq!(answer(&mut rig, 2, 7, 99), Freshness::Stale { floor: 100 });
    assert_eq!(answer(&mut rig, 2, 7, 100), Freshness::Fresh);
    assert_eq!(answer(&mut rig, 2, 7, 101), Freshness::Fresh);
    assert_eq!(answer(&mut rig, 1, 7, 100), Freshness::Stale { floor: 101 });
    let serializable = rig.admit(Want::default()).expect("it is connected");
    let header = Some(header(7, 1));
    let finished = Finished { header, ..HealthSignal::Healthy.into() };
    let freshness = rig.channel.release(rig.now, &serializable, finished);
    assert_eq!(freshness, Freshness::Fresh, "serializable, or a write");
    assert_eq!(rig.channel.floor().revision, 101);
}

// Y2: a member that answers by itself may be behind, and others are not preferred to it for that.
#[test]
fn an_answer_of_a_member_alone_may_be_behind_and_makes_no_suspect() {
    let mut rig = Rig::connected(2);
    assert_eq!(answer(&mut rig, 1, 7, 100), Freshness::Fresh);
    for (is_linearizable, expected) in [(false, true), (true, false)] {
        let want = Want { connection: Some(ConnectionId(2)), ..Want::default() };
        let admission = rig.admit(want).expect("it is connected");
        let (signal, header) = (HealthSignal::Alive, Some(header(7, 99)));
        let finished = Finished { signal, header, is_linearizable, is_ordered: true };
        let freshness = rig.channel.release(rig.now, &admission, finished);
        assert_eq!(freshness, Freshness::Stale { floor: 100 });
        rig.drain();
        let state = &rig.channel.health()[1].state;
        assert_eq!(*state == ConnectionState::Ready, expected, "{state:?}");
    }
}

// What was completed after a request was sent is no measure for its answer.
#[test]
fn the_floor_is_that_of_the_moment_of_sending() {
    let mut rig = Rig::connected(3);
    answer(&mut rig, 1, 7, 100);
    let [one, other] = [(); 2].map(|()| rig.admit(Want::default()).expect("it is connected"));
    answer(&mut rig, 2, 7, 200);
    assert_eq!(respond(&mut rig, &one, 7, 150), Freshness::Fresh);
    assert_eq!(respond(&mut rig, &other, 7, 99), Freshness::Stale { floor: 100 });
}

// I-R8: all endpoints have become another cluster: said once.
#[test]
fn a_new_cluster_resets_the_floor_once() {
    let mut rig = Rig::connected(2);
    answer(&mut rig, 1, 7, 100);
    answer(&mut rig, 2, 7, 100);
    for (old, new) in [(1, 3), (2, 4)] {
        rig.feed(ended(ConnectionId(old))).rest(10_000).feed(Input::Connected(ConnectionId(new)));
    }
    assert_eq!(answer(&mut rig, 3, 8, 5), Freshness::Changed { expected: 7 });
    assert_eq!(answer(&mut rig, 3, 8, 5), Freshness::Fresh);
    assert_eq!(answer(&mut rig, 4, 8, 6), Freshness::Fresh);
}

// B26: one endpoint of another cluster among ours does not make us change sides.
#[test]
fn a_foreign_endpoint_is_refused_while_another_shows_our_cluster() {
    let mut rig = Rig::connected(2);
    answer(&mut rig, 1, 7, 100);
    for _ in 0..3 {
        assert_eq!(answer(&mut rig, 2, 8, 5), Freshness::Foreign { expected: 7 });
    }
    assert_eq!(answer(&mut rig, 1, 7, 101), Freshness::Fresh);
    rig.feed(ended(ConnectionId(1)));
    assert_eq!(
        answer(&mut rig, 2, 8, 5),
        Freshness::Foreign { expected: 7 },
        "it may be back soon"
    );
    rig.feed(failed(rig.last_dial()));
    assert_eq!(answer(&mut rig, 2, 8, 5), Freshness::Changed { expected: 7 }, "no witness is left");
}

// B26: what was foreign before does not win by answering first when all have to connect again.
#[test]
fn a_foreign_endpoint_stays_foreign_over_its_connections() {
    let mut rig = Rig::connected(3);
    answer(&mut rig, 1, 7, 100);
    answer(&mut rig, 2, 7, 100);
    assert_eq!(answer(&mut rig, 3, 8, 5), Freshness::Foreign { expected: 7 });
    for n in 1..=3 {
        rig.feed(ended(ConnectionId(n)));
    }
    rig.rest(10_000);
    for n in 4..=6 {
        rig.feed(Input::Connected(ConnectionId(n)));
    }
    let of_third = rig.dials.iter().rev().find(|(_, endpoint, _)| *endpoint == 2);
    let of_third = of_third.map_or(0, |(.., id)| *id);
    let of_first = if of_third == 4 { 5 } else { 4 };
    assert_eq!(answer(&mut rig, of_third, 8, 5), Freshness::Foreign { expected: 7 });
    assert_eq!(answer(&mut rig, of_first, 7, 100), Freshness::Fresh);
}

// F10: a cluster that was restored under its old id answers from the past until that is accepted.
#[test]
fn the_floor_can_be_forgotten() {
    let mut rig = Rig::connected(1);
    answer(&mut rig, 1, 7, 100);
    assert_eq!(answer(&mut rig, 1, 7, 50), Freshness::Stale { floor: 100 });
    rig.feed(Input::ForgetFloor);
    assert_eq!(answer(&mut rig, 1, 7, 50), Freshness::Fresh);
    assert_eq!(answer(&mut rig, 1, 7, 49), Freshness::Stale { floor: 50 });
}

// What comes from the past makes its endpoint a suspect; a new cluster is nobody's fault.
#[test]
fn a_stale_response_is_a_health_signal() {
    let mut rig = Rig::connected(2);
    let state = |rig: &Rig, index: usize| rig.channel.health()[index].state;
    answer(&mut rig, 1, 7, 100);
    answer(&mut rig, 2, 7, 99);
    assert_eq!(
        (state(&rig, 0), state(&rig, 1)),
        (ConnectionState::Ready, ConnectionState::Suspect)
    );
    let mut rig = Rig::connected(1);
    answer(&mut rig, 1, 7, 100);
    assert_eq!(answer(&mut rig, 1, 8, 1), Freshness::Changed { expected: 7 });
    assert_eq!(state(&rig, 0), ConnectionState::Ready);
}

// An endpoint that only a call names may be of another cluster.
#[test]
fn an_endpoint_that_is_only_named_is_not_compared_with_the_others() {
    let mut rig = Rig::connected(1);
    answer(&mut rig, 1, 7, 100);
    rig.feed(Input::Pinned(endpoint("other")));
    let connection = rig.last_dial();
    rig.feed(Input::Connected(connection));
    assert_eq!(answer(&mut rig, connection.0, 8, 1), Freshness::Fresh);
    assert_eq!(rig.channel.floor(), RevisionFloor { cluster_id: 7, revision: 100 });
}

// what was seen goes with each attempt, but to where another cluster may be.
#[test]
fn an_attempt_knows_what_had_been_seen() {
    let mut rig = Rig::connected(2);
    let seen = |rig: &mut Rig, connection| {
        let want = Want { connection: Some(ConnectionId(connection)), ..Want::default() };
        Sent::new(&rig.admit(want).expect("it is connected"), None).seen
    };
    assert_eq!(seen(&mut rig, 1), 0);
    answer(&mut rig, 1, 7, 100);
    assert_eq!([1, 2].map(|connection| seen(&mut rig, connection)), [100, 100]);
    rig.feed(Input::Pinned(endpoint("other")));
    let named = rig.last_dial();
    rig.feed(Input::Connected(named));
    assert_eq!(seen(&mut rig, named.0), 0);
    rig.feed(Input::ForgetFloor);
    assert_eq!(seen(&mut rig, 1), 0);
}

// I-R5: a tenth of the calls may be retries, and a thousand at once.
#[test]
fn retries_are_bounded() {
    let mut rig = Rig::connected(1);
    let retry = Want { is_retry: true, ..Want::default() };
    // Each that is made is a call, too.
    let made = (0..9_000).filter(|_| rig.admit(retry).is_ok()).count();
    assert_eq!(made, 1_111);
    assert_eq!(rig.admit(retry), Err(Denied::Throttled));
    for _ in 0..50 {
        rig.begin(1);
    }
    assert_eq!((0..1_000).filter(|_| rig.admit(retry).is_ok()).count(), 5);
}

// It is not spent by one that has to wait for its connection.
#[test]
fn a_retry_is_counted_when_it_is_admitted() {
    let mut rig = Rig::connected(1);
    let retry = Want { is_retry: true, ..Want::default() };
    for _ in 0..2_000 {
        let denied = rig.channel.admit(rig.now, retry, |_| false);
        assert_eq!(denied, Err(Denied::NoConnection));
    }
    assert!(rig.admit(retry).is_ok());
}

#[test]
fn a_secret_does_not_go_where_it_would_be_in_plain_text() {
    let secret = Want { is_secret: true, ..Want::default() };
    let mut rig = Rig::connected(1);
    let denied = rig.admit(secret);
    assert!(
        matches!(&denied, Err(Denied::Plaintext(it)) if it.text() == "e0".into()),
        "{denied:?}"
    );
    assert_eq!(rig.channel.health()[0].calls, 0, "it has not begun");
    rig.feed(Input::Endpoints { primary: vec![endpoint("https://e1")], fallback: vec![] });
    let connection = rig.last_dial();
    rig.feed(Input::Connected(connection));
    assert!(rig.admit(secret).is_ok());
}
