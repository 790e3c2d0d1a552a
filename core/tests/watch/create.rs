//! Creating, resuming, cancelling.

use crate::rig::{Rig, canceled, events, settings};
use etcd3_core::proto::etcdserverpb::watch_request::RequestUnion;
use etcd3_core::watch::{Input, WatcherKey, watch};

// W70, W71: the first goes alone, to see whether the server takes its id; the others together.
#[test]
fn creations_are_pipelined_once_the_server_takes_their_ids() {
    let mut rig = Rig::new(settings());
    for key in 1..=4 {
        rig.watch(key, watch("k").from_revision(5));
    }
    rig.open();
    let first = rig.creations();
    assert_eq!(first.len(), 1);
    rig.answer(crate::rig::created(first[0].watch_id, 9));
    assert_eq!(rig.creations().len(), 3);
    assert_eq!(rig.delivered(), [(1, "created".into())]);
}

// W9, W63, W84: the position is behind the last event, whatever the header says.
#[test]
fn a_watch_goes_on_behind_the_last_event() {
    let mut rig = Rig::new(settings());
    rig.watch(1, watch("k").from_revision(5)).open();
    let id = rig.create_all(4)[0].watch_id;
    rig.answer(events(id, "k", &[5, 6])).answer(events(id, "k", &[6, 9]));
    let expected = ["created", "events [5, 6]", "events [9]"].map(|it| (1, it.to_owned()));
    assert_eq!(rig.delivered(), expected);
    rig.lose().open();
    let again = rig.create_all(20);
    assert_eq!((again.len(), again[0].start_revision), (1, 10));
    assert_eq!(rig.delivered(), [(1, "resumed 10".into())]);
}

// W80, W82
#[test]
fn a_cancelled_watch_is_cancelled_at_once() {
    let mut rig = Rig::new(settings());
    rig.watch(1, watch("k").from_revision(5)).open();
    let id = rig.create_all(4)[0].watch_id;
    rig.feed(Input::Cancel(WatcherKey(1)));
    assert!(matches!(&rig.requests()[..], [RequestUnion::CancelRequest(it)] if it.watch_id == id));
    rig.answer(events(id, "k", &[5])).answer(canceled(id));
    assert_eq!(rig.delivered(), [(1, "created".into())]);
    assert!(rig.requests().is_empty());
}
