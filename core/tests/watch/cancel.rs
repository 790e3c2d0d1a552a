//! Cancelling, and what is left of the stream.

use crate::rig::{Rig, canceled, created, events, progress, refused, settings};
use etcd3_core::ErrorKind;
use etcd3_core::proto::etcdserverpb::watch_request::RequestUnion;
use etcd3_core::watch::{Input, Output, WatcherKey, watch};

fn cancel(rig: &mut Rig, key: u64) -> &mut Rig {
    rig.feed(Input::Cancel(WatcherKey(key)))
}

// W80, W82, I-W9
#[test]
fn a_cancelled_watch_is_cancelled_at_once() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5));
    cancel(&mut rig, 1);
    assert_eq!(rig.cancels(), [id]);
    rig.answer(events(id, "k", &[5])).answer(progress(id, 9)).answer(canceled(id));
    rig.answer(events(id, "k", &[6]));
    assert_eq!((rig.delivered(), rig.cancels()), (vec![], vec![]), "I7: once");
    cancel(&mut rig, 1);
    assert_eq!((rig.watches.ignored(), rig.cancels()), (1, vec![]));
}

// W81: a server that takes our id knows whom to cancel before it has answered.
#[test]
fn a_creation_under_way_is_cancelled_at_once() {
    let mut rig = Rig::new(settings());
    rig.live(watch("k").from_revision(5));
    rig.watch(2, watch("j").from_revision(5)).watch(3, watch("i").from_revision(5));
    let ids: Vec<i64> = rig.creations().iter().map(|it| it.watch_id).collect();
    cancel(&mut rig, 2);
    assert_eq!(rig.cancels(), [ids[0]]);
    rig.answer(created(ids[0], 9)).answer(events(ids[0], "j", &[5])).answer(canceled(ids[0]));
    rig.answer(created(ids[1], 9));
    assert_eq!((rig.delivered(), rig.cancels()), (vec![(3, "created".into())], vec![]));
}

// W81, W38: others learn of it when they have told the id.
#[test]
fn a_creation_under_way_at_a_proxy_is_cancelled_when_it_is_answered() {
    let mut rig = Rig::new(settings());
    rig.watch(1, watch("k").from_revision(5)).watch(2, watch("j").from_revision(5)).open();
    assert_eq!(rig.creations().len(), 1);
    cancel(&mut rig, 1);
    assert!(rig.cancels().is_empty(), "which id is not known");
    rig.answer(created(0, 9));
    let requests = rig.requests();
    let [RequestUnion::CancelRequest(cancel), RequestUnion::CreateRequest(_)] = &requests[..]
    else {
        panic!("{requests:?}");
    };
    assert_eq!(cancel.watch_id, 0);
    rig.answer(events(0, "k", &[5])).answer(canceled(0)).answer(created(1, 9));
    rig.answer(events(1, "j", &[6]));
    let expected = [(2, "created".to_owned()), (2, "events [6]".to_owned())];
    assert_eq!((rig.delivered(), rig.cancels()), (expected.to_vec(), vec![]));
}

#[test]
fn a_cancelled_creation_may_be_refused() {
    let mut rig = Rig::new(settings());
    rig.live(watch("k").from_revision(5));
    rig.watch(2, watch("j").from_revision(5)).watch(3, watch("i").from_revision(5));
    let ids: Vec<i64> = rig.creations().iter().map(|it| it.watch_id).collect();
    cancel(&mut rig, 2).answer(refused("mvcc: watcher range is empty"));
    assert!(rig.ends().is_empty());
    rig.answer(created(ids[1], 9));
    assert_eq!(rig.delivered(), [(3, "created".into())]);
}

// W12: a cancellation that crosses the end is answered by nothing.
#[test]
fn an_end_that_crosses_the_cancellation_is_not_told() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5));
    cancel(&mut rig, 1).answer(crate::rig::compacted(id, 9)).answer(canceled(id));
    assert_eq!(rig.delivered(), []);
}

// W44, I-W8: whom nobody knows is cancelled, once.
#[test]
fn an_unknown_watcher_is_cancelled_once() {
    let mut rig = Rig::new(settings());
    rig.live(watch("k").from_revision(5));
    for id in [77, 78, 77, -5] {
        rig.answer(events(id, "k", &[5]));
    }
    assert_eq!(rig.cancels(), [77, 78, -5]);
    assert_eq!(rig.delivered(), []);
    rig.answer(canceled(77)).answer(canceled(99));
    assert!(rig.ends().is_empty());
}

// I-W9: a hundred thousand at once are no reason to suspect the server.
#[test]
fn any_number_of_watches_is_cancelled_at_once() {
    const COUNT: u64 = 30_000;
    let mut rig = Rig::new(settings());
    for key in 0..=COUNT {
        rig.watch(key, watch("k").from_revision(5));
    }
    rig.open();
    let created = rig.create_all(3).len();
    assert_eq!(created, 30_001);
    rig.take();
    for key in 0..COUNT {
        cancel(&mut rig, key);
    }
    assert_eq!(rig.cancels().len(), 30_000);
    assert!(rig.watches.is_streaming(), "the last is still watched");
    assert_eq!(rig.watches.len(), 1);
}

// W88: the stream is kept for a moment, and given back by a reset, not by a half-close.
#[test]
fn the_stream_is_given_back_when_nothing_is_watched_for_a_while() {
    let mut rig = Rig::new(settings());
    rig.live(watch("k").from_revision(5));
    cancel(&mut rig, 1).rest(500);
    rig.cancels();
    rig.watch(2, watch("j").from_revision(5));
    assert_eq!(rig.create_all(9).len(), 1, "on the same stream");
    rig.rest(10_000);
    assert_eq!(rig.delivered(), [(2, "created".into())]);
    assert!(rig.watches.is_streaming());
    cancel(&mut rig, 2);
    rig.cancels();
    rig.rest(999);
    assert_eq!(rig.take(), []);
    rig.rest(1);
    assert_eq!((rig.take(), rig.watches.is_streaming()), (vec![Output::Close], false));
    rig.watch(3, watch("k").from_revision(5)).open();
    assert_eq!(rig.creations().len(), 1);
}

// X2: whoever begins and gives up while no server is there leaves nothing behind.
#[test]
fn what_was_given_up_while_no_server_was_there_is_forgotten() {
    let mut rig = Rig::new(settings());
    rig.watch(0, watch("k").from_revision(5));
    let small = format!("{:?}", rig.watches).len();
    for key in 1..20_000 {
        rig.watch(key, watch("k").from_revision(5));
        cancel(&mut rig, key);
    }
    let after = format!("{:?}", rig.watches).len();
    assert!(after < small + 10_000, "{small} bytes became {after}");
    rig.open();
    assert_eq!(rig.create_all(3).len(), 1);
}

// I4: exactly one end.
#[test]
fn closing_ends_each_watch_once() {
    let mut rig = Rig::new(settings());
    rig.live(watch("k").from_revision(5));
    rig.watch(2, watch("j").from_revision(5));
    cancel(&mut rig, 1);
    rig.feed(Input::Closed(ErrorKind::Closed)).feed(Input::Closed(ErrorKind::RuntimeEnded));
    assert_eq!(rig.ends().iter().map(|it| it.0).collect::<Vec<_>>(), [2]);
    cancel(&mut rig, 2);
    assert!(rig.ends().is_empty());
}

// I-W13, W79, W51: never silent.
#[test]
fn a_watch_that_the_server_ends_says_so() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5));
    let mut end = canceled(id);
    end.cancel_reason = "the server is tired".to_owned();
    rig.answer(end);
    let error = rig.the_end();
    assert_eq!(error.kind(), ErrorKind::WatchCanceled);
    assert!(format!("{error:?}").contains("tired"), "{error:?}");
    assert!(rig.cancels().is_empty());
    // W60: the reason is not that of the next.
    rig.watch(2, watch("k").from_revision(5));
    let id = rig.create_all(9)[0].watch_id;
    rig.take();
    rig.answer(canceled(id));
    assert!(!format!("{:?}", rig.the_end()).contains("tired"));
}
