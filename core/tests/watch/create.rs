//! Creating watches.

use crate::rig::{CLUSTER, Rig, canceled, created, events, header, progress, settings};
use etcd3_core::proto::etcdserverpb::WatchResponse;
use etcd3_core::proto::etcdserverpb::watch_request::RequestUnion;
use etcd3_core::watch::{Input, ResumeToken, WatcherKey, watch};
use etcd3_core::{ErrorKind, Outcome, prefix};

// W70, W71, I6: the first goes alone, to see whether the server takes its id; the others together.
#[test]
fn creations_are_pipelined_once_the_server_takes_their_ids() {
    let mut rig = Rig::new(settings());
    for key in 1..=400 {
        rig.watch(key, watch("k").from_revision(5));
    }
    rig.open();
    let first = rig.creations();
    assert_eq!(first.len(), 1);
    rig.answer(created(first[0].watch_id, 9));
    let more = rig.creations();
    assert_eq!(more.len(), 256, "W70: a window");
    assert_eq!(rig.delivered(), [(1, "created".into())]);
    rig.answer(created(more[0].watch_id, 9));
    assert_eq!(rig.creations().len(), 1, "one answered, one more sent");
    let ids: std::collections::BTreeSet<_> = more.iter().map(|it| it.watch_id).collect();
    assert_eq!((ids.len(), ids.contains(&-1), ids.contains(&0)), (256, false, false), "W2");
}

// W71, E1
#[test]
fn creations_that_are_answered_out_of_order_are_told_apart_by_their_ids() {
    let mut rig = Rig::new(settings());
    for key in 1..=3 {
        rig.watch(key, watch(format!("k{key}")).from_revision(5));
    }
    rig.open();
    let first = rig.creations()[0].watch_id;
    rig.answer(created(first, 9));
    let more = rig.creations();
    rig.answer(created(more[1].watch_id, 9)).answer(created(more[0].watch_id, 9));
    let expected = [1, 3, 2].map(|key| (key, "created".to_owned()));
    assert_eq!(rig.delivered(), expected);
    rig.answer(crate::rig::events(more[1].watch_id, "k3", &[6]));
    assert_eq!(rig.delivered(), [(3, "events [6]".into())]);
}

// etcd's proxy counts ids from 0 by itself, and may answer out of order: one creation at a time.
#[test]
fn a_server_that_chooses_ids_itself_gets_one_creation_at_a_time() {
    let mut rig = Rig::new(settings());
    for key in 1..=3 {
        rig.watch(key, watch(format!("k{key}")).from_revision(5));
    }
    rig.open();
    for id in 0..3 {
        assert_eq!(rig.creations().len(), 1);
        let mut answer = created(id, 9);
        answer.header = None;
        rig.answer(answer);
    }
    assert!(rig.creations().is_empty());
    let expected = [1, 2, 3].map(|key| (key, "created".to_owned()));
    assert_eq!(rig.delivered(), expected);
    rig.answer(crate::rig::events(2, "k3", &[6])).answer(crate::rig::events(0, "k1", &[7]));
    assert_eq!(rig.delivered(), [(3, "events [6]".into()), (1, "events [7]".into())]);
}

// I-W5, W46, H1: the header of the answer to a creation is no position.
#[test]
fn the_revision_at_the_creation_is_no_position() {
    let mut rig = Rig::new(settings());
    rig.live(watch("k").from_revision(5));
    assert_eq!(rig.watches.position(WatcherKey(1)), Some(5));
    rig.lose().reopen();
    let again = rig.create_all(50);
    assert_eq!(again[0].start_revision, 5);
    assert_eq!(rig.delivered(), [(1, "resumed 5".into())], "created is told once");
}

// I-W5: where "now" is, somebody else has to find out before.
#[test]
fn a_watch_without_a_start_is_refused_here() {
    for start in [0, -1, i64::MIN] {
        let mut rig = Rig::new(settings());
        rig.watch(1, watch("k").from_revision(start));
        let error = rig.the_end();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::InvalidRequest, Outcome::NotSent));
        assert!(rig.watches.is_empty() && rig.take_attempt().is_none());
    }
}

#[test]
fn a_creation_over_the_limit_is_refused_here() {
    let mut settings = settings();
    settings.max_request_bytes = 50;
    let mut rig = Rig::new(settings);
    rig.watch(1, watch("a key that is too long for that, with all the rest").from_revision(1));
    assert!(matches!(rig.the_end().kind(), ErrorKind::RequestOverLimit { limit: 50, .. }));
    rig.watch(2, watch("k").from_revision(1)).open();
    assert_eq!(rig.creations().len(), 1);
}

#[test]
fn a_number_that_is_in_use_is_not_taken_again() {
    let mut rig = Rig::new(settings());
    rig.watch(1, watch("k").from_revision(5)).watch(1, watch("other").from_revision(9));
    assert_eq!((rig.watches.len(), rig.watches.ignored()), (1, 1));
    assert_eq!(rig.watches.position(WatcherKey(1)), Some(5));
}

#[test]
fn the_creation_says_all_that_was_asked_for() {
    let mut rig = Rig::new(settings());
    let options = watch(prefix("k")).from_revision(5).prev_kv().without_puts().progress_notify();
    rig.watch(1, options).open();
    let create = rig.creations().remove(0);
    assert_eq!((&create.key[..], &create.range_end[..]), (&b"k"[..], &b"l"[..]));
    assert!(create.prev_kv && create.progress_notify && create.fragment);
    assert_eq!((create.filters.len(), create.start_revision), (1, 5));
}

// I-W15: a token names the cluster that its revision is of.
#[test]
fn a_token_of_another_cluster_ends_the_watch() {
    let token = ResumeToken { revision: 5, cluster_id: CLUSTER + 1 };
    let changed = ErrorKind::ClusterChanged { expected: CLUSTER + 1, found: CLUSTER };
    // Nothing is known of the cluster when the watch is begun.
    let mut rig = Rig::new(settings());
    rig.watch(1, watch("k").resume(token)).watch(2, watch("k").from_revision(5)).open();
    let creations = rig.creations();
    rig.answer(created(creations[0].watch_id, 9));
    assert_eq!(rig.the_end().kind(), changed);
    let requests = rig.requests();
    assert_eq!(requests.len(), 2, "the watch is cancelled, the other created: {requests:?}");
    assert!(rig.delivered().is_empty());
    // It is known.
    rig.watch(3, watch("k").resume(token));
    assert_eq!(rig.the_end().kind(), changed);
    // The same cluster will do.
    rig.watch(4, watch("k").resume(ResumeToken { cluster_id: CLUSTER, ..token }));
    assert!(rig.ends().is_empty());
}

// W6: a start in the future is waited for.
#[test]
fn a_watch_may_begin_in_the_future() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(100));
    rig.answer(progress(id, 50)).answer(crate::rig::events(id, "k", &[60]));
    assert_eq!(rig.delivered(), [], "W65: what is before the start");
    assert_eq!((rig.watches.position(WatcherKey(1)), rig.watches.anomalies()), (Some(100), 1));
    rig.answer(crate::rig::events(id, "k", &[100]));
    assert_eq!(rig.delivered(), [(1, "events [100]".into())]);
}

// I-W8: a creation is no news of another watch.
#[test]
fn creating_one_leaves_the_others_alone() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5));
    rig.watch(2, watch("j").from_revision(5));
    let other = rig.create_all(9)[0].watch_id;
    assert_eq!(rig.delivered(), [(2, "created".into())]);
    rig.answer(WatchResponse { header: header(9), ..canceled(other) });
    assert_eq!(rig.ends().len(), 1);
    rig.answer(crate::rig::events(id, "k", &[5]));
    assert_eq!(rig.delivered(), [(1, "events [5]".into())]);
}

#[test]
fn nothing_is_created_after_the_client_was_closed() {
    let mut rig = Rig::new(settings());
    rig.live(watch("k").from_revision(5));
    rig.feed(Input::Closed(ErrorKind::Closed));
    assert_eq!(rig.the_end().kind(), ErrorKind::Closed);
    rig.watch(2, watch("k").from_revision(5));
    assert_eq!(rig.the_end().kind(), ErrorKind::Closed);
    rig.take();
    rig.rest(600_000);
    assert_eq!(rig.take(), []);
}

// W6, W23: a server tells no progress on a stream with a watcher that begins in the future; so one
// that begins right behind the store begins with what comes next, if that is the same.
#[test]
fn a_watch_right_behind_the_store_begins_with_what_comes_next() {
    let mut rig = Rig::new(settings());
    rig.live(watch("k").from_revision(5));
    // Of this cluster, so that there is a revision 9.
    rig.watch(2, watch("j").resume(ResumeToken { revision: 10, cluster_id: CLUSTER }));
    let first = rig.creations();
    assert_eq!((first.len(), first[0].start_revision), (1, 0));
    rig.take();
    // The store went on before: what it wrote at 10 would be missed.
    rig.answer(created(first[0].watch_id, 10));
    assert_eq!(rig.delivered(), []);
    let requests = rig.requests();
    let [RequestUnion::CancelRequest(cancel), RequestUnion::CreateRequest(second)] = &requests[..]
    else {
        panic!("{requests:?}")
    };
    assert_eq!((cancel.watch_id, second.start_revision), (first[0].watch_id, 10));
    rig.answer(events(first[0].watch_id, "j", &[11])).answer(created(second.watch_id, 11));
    rig.answer(events(second.watch_id, "j", &[10, 11]));
    assert_eq!(rig.delivered(), [(2, "created".into()), (2, "events [10, 11]".into())]);
    // The same, and it is.
    rig.watch(3, watch("i").from_revision(1_001));
    let third = rig.creations();
    assert_eq!(third[0].start_revision, 0);
    rig.answer(created(third[0].watch_id, 1_000));
    assert_eq!(rig.delivered(), [(3, "created".into())]);
}
