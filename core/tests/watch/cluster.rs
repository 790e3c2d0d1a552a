//! Another cluster, or the same in an earlier state.

use crate::rig::{CLUSTER, Rig, created, events, header, progress, settings};
use etcd3_core::proto::etcdserverpb::{ResponseHeader, WatchResponse};
use etcd3_core::watch::{Input, Output, WatcherKey, watch};
use etcd3_core::{Error, ErrorKind, ResponseHeader as Header};

/// What a read of this cluster found at this revision.
fn found(cluster_id: u64, revision: i64) -> Input {
    let header = ResponseHeader { cluster_id, ..header(revision).expect("a header") };
    Input::Confirmed(Ok(Header::from(header)))
}

fn foreign(response: WatchResponse) -> WatchResponse {
    let header = response.header.map(|it| ResponseHeader { cluster_id: CLUSTER + 1, ..it });
    WatchResponse { header, ..response }
}

/// A watch that has seen revision 20, on another stream whose member tells of revision 9.
fn lagging() -> (Rig, i64) {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5));
    rig.answer(events(id, "k", &[20])).lose().reopen();
    let id = rig.creations()[0].watch_id;
    rig.take();
    rig.answer(created(id, 9));
    assert!(rig.took(&Output::Confirm));
    rig.take();
    (rig, id)
}

// W64: a member that lags is waited for.
#[test]
fn a_member_that_lags_is_waited_for() {
    let (mut rig, id) = lagging();
    rig.feed(found(CLUSTER, 20));
    rig.answer(progress(id, 9)).answer(events(id, "k", &[9])).answer(events(id, "k", &[21]));
    assert_eq!(rig.delivered(), [(1, "events [21]".into())]);
    rig.rest(14_000);
    assert_eq!(rig.take(), []);
}

// W62, W-20, I-W15: a cluster that was restored from an older snapshot.
#[test]
fn a_cluster_that_went_back_is_reported() {
    let (mut rig, _) = lagging();
    rig.watch(2, watch("j").from_revision(3));
    rig.feed(found(CLUSTER, 12));
    let ends = rig.ends();
    assert_eq!(ends.iter().map(|it| it.0).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(ends[0].1.kind(), ErrorKind::StaleRead { revision: 12, seen: 20 });
    assert!(rig.took(&Output::Close));
    // What is watched from now on is of the cluster as it is.
    rig.take();
    rig.watch(3, watch("k").from_revision(5)).reopen();
    rig.create_all(12);
    assert_eq!(rig.delivered(), [(3, "created".into())]);
    assert!(!rig.took(&Output::Confirm));
}

// I-W15: the read is repeated until it says something.
#[test]
fn a_read_that_fails_is_made_again() {
    let (mut rig, _) = lagging();
    for _ in 0..3 {
        rig.feed(Input::Confirmed(Err(Error::new(ErrorKind::ConnectionLost))));
        rig.rest(4_999);
        assert!(!rig.took(&Output::Confirm));
        rig.rest(1);
        assert!(rig.took(&Output::Confirm));
    }
    let stale = ErrorKind::StaleRead { revision: 12, seen: 20 };
    rig.feed(Input::Confirmed(Err(Error::new(stale))));
    assert_eq!(rig.the_end().kind(), stale);
    rig.feed(found(CLUSTER, 1));
    assert_eq!(rig.watches.ignored(), 1, "nothing was asked");
}

// I-W15: one wrong endpoint does not make the client change sides.
#[test]
fn a_member_of_another_cluster_is_left() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5));
    rig.answer(foreign(events(id, "k", &[7])));
    assert_eq!(rig.delivered(), []);
    assert!(rig.took(&Output::Confirm));
    rig.rest_until_attempt();
    assert_eq!(rig.attempt().want.avoid, Some(etcd3_core::channel::EndpointId(1)));
    rig.feed(found(CLUSTER, 1_000)).open();
    assert_eq!(rig.create_all(9)[0].start_revision, 5);
}

// I-W15
#[test]
fn a_cluster_that_was_replaced_is_reported() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5));
    rig.answer(foreign(progress(id, 7)));
    rig.feed(found(CLUSTER + 1, 1_000));
    let changed = ErrorKind::ClusterChanged { expected: CLUSTER, found: CLUSTER + 1 };
    assert_eq!(rig.the_end().kind(), changed);
    rig.take();
    rig.watch(2, watch("k").from_revision(5)).reopen();
    let id = rig.creations()[0].watch_id;
    rig.answer(foreign(created(id, 9)));
    assert_eq!(rig.delivered(), [(2, "created".into())]);
}

// Nothing is known of the cluster from headers without its id: then it cannot have changed.
#[test]
fn without_a_cluster_id_nothing_changes() {
    let anonymous = |response: WatchResponse| {
        let header = response.header.map(|it| ResponseHeader { cluster_id: 0, ..it });
        WatchResponse { header, ..response }
    };
    let mut rig = Rig::new(settings());
    rig.watch(1, watch("k").from_revision(5)).open();
    let id = rig.creations()[0].watch_id;
    rig.answer(anonymous(created(id, 9))).answer(anonymous(events(id, "k", &[20])));
    rig.take();
    rig.lose().reopen();
    let id = rig.creations()[0].watch_id;
    rig.answer(anonymous(created(id, 9)));
    assert!(rig.took(&Output::Confirm));
    rig.feed(found(CLUSTER, 1_000));
    assert!(rig.ends().is_empty());
    assert_eq!(rig.watches.position(WatcherKey(1)), Some(21));
}

#[test]
fn nothing_is_read_for_a_client_that_was_closed() {
    let (mut rig, _) = lagging();
    rig.feed(Input::Confirmed(Err(Error::new(ErrorKind::ConnectionLost))));
    rig.feed(Input::Closed(ErrorKind::Closed));
    rig.take();
    rig.rest(60_000);
    assert_eq!(rig.take(), []);
}
