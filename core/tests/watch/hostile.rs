//! Servers that break the rules.

use crate::rig::{Rig, canceled, created, events, framed, progress, put, refused, settings};
use bytes::Bytes;
use etcd3_core::ErrorKind;
use etcd3_core::proto::etcdserverpb::WatchResponse;
use etcd3_core::transport::Event;
use etcd3_core::watch::{EventKind, Input, Item, Output, Previous, WatcherKey, watch};

// I-W2, W66, W74
#[test]
fn events_that_come_again_are_dropped_and_counted() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5));
    rig.answer(events(id, "k", &[1, 4, 5, 5, 6])).answer(events(id, "k", &[5, 6]));
    assert_eq!(rig.delivered(), [(1, "events [5, 5, 6]".into())]);
    assert_eq!(rig.watches.anomalies(), 4);
    rig.answer(WatchResponse { fragment: true, ..events(id, "k", &[5, 6]) });
    rig.answer(events(id, "k", &[6, 7]));
    assert_eq!((rig.delivered(), rig.watches.anomalies()), (vec![(1, "events [7]".into())], 7));
}

// I-W8, I-W14: whoever gets what it did not ask for ends, and the others do not.
#[test]
fn a_broken_event_ends_its_watch_alone() {
    let no_pair = etcd3_core::proto::mvccpb::Event { kv: None, ..put("k", 6) };
    let odd = etcd3_core::proto::mvccpb::Event { r#type: 9, ..put("k", 6) };
    let delete = etcd3_core::proto::mvccpb::Event { r#type: 1, ..put("k", 6) };
    let last = put("k", i64::MAX);
    for (broken, why) in [
        (vec![put("k", 7), put("k", 6)], "order"),
        (vec![put("j", 6)], "W16, W22: another key"),
        (vec![delete], "filtered"),
        (vec![no_pair], "no pair"),
        (vec![odd], "no known kind"),
        (vec![last], "no revision can follow"),
    ] {
        let mut rig = Rig::new(settings());
        let id = rig.live(watch("k").from_revision(5).without_deletes());
        rig.watch(2, watch("i").from_revision(5));
        let other = rig.create_all(9)[0].watch_id;
        rig.take();
        rig.answer(WatchResponse { events: broken, ..events(id, "k", &[]) });
        assert_eq!(rig.the_end().kind(), ErrorKind::Protocol, "{why}");
        assert_eq!(rig.cancels(), [id], "{why}");
        rig.answer(events(other, "i", &[5]));
        assert_eq!(rig.delivered(), [(2, "events [5]".into())], "{why}");
    }
}

// W10: unavailable, empty and none are three things.
#[test]
fn what_was_before_is_told_apart() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5).prev_kv());
    let modified = put("k", 5);
    let mut with_prev = put("k", 6);
    with_prev.prev_kv = put("k", 5).kv;
    let mut first = put("k", 7);
    first.kv.as_mut().expect("a pair").create_revision = 7;
    let delete = etcd3_core::proto::mvccpb::Event { r#type: 1, ..put("k", 8) };
    let all = vec![modified, with_prev, first, delete];
    rig.answer(WatchResponse { events: all, ..events(id, "k", &[]) });
    let batch = rig.take().into_iter().find_map(|output| match output {
        Output::Deliver(_, Item::Events(batch, _)) => Some(batch),
        _ => None,
    });
    let events = batch.expect("a batch").events;
    let [modified, with_prev, first, delete] = &events[..] else { panic!("{events:?}") };
    assert_eq!(modified.prev_kv(), Previous::Unavailable);
    assert!(modified.is_modify() && !modified.is_create());
    assert_eq!(with_prev.prev_kv().pair().map(|it| it.mod_revision), Some(5));
    assert_eq!((first.prev_kv(), first.is_create()), (Previous::Absent, true));
    assert_eq!((delete.prev_kv(), delete.kind), (Previous::Unavailable, EventKind::Delete));
}

/// Has three streams in a row say this, each after a creation; returns whether all ended.
fn thrice(mut say: impl FnMut(&mut Rig, i64)) -> bool {
    let mut rig = Rig::new(settings());
    for round in 0..3 {
        let id = if round == 0 {
            rig.live(watch("k").from_revision(5))
        } else {
            rig.reopen();
            rig.create_all(9)[0].watch_id
        };
        assert!(rig.ends().is_empty());
        rig.take();
        say(&mut rig, id);
        assert!(!rig.watches.is_streaming(), "{round}: it goes on");
    }
    let ends = rig.ends();
    ends.len() == 1 && ends[0].1.kind() == ErrorKind::Protocol
}

// I-W12, I-W13: the stream is left, and after three in a row all ends.
#[test]
fn a_server_that_breaks_the_rules_is_left_and_at_last_believed() {
    let bytes = |bytes: &'static [u8]| Input::Stream(Event::Data(Bytes::from_static(bytes)));
    assert!(thrice(|rig, _| {
        rig.feed(bytes(b"\x00\x00\x00\x00\x03\x0a\xff\xff"));
    }));
    assert!(thrice(|rig, _| {
        rig.feed(bytes(b"\x01\x00\x00\x00\x00"));
    }));
    assert!(thrice(|rig, id| {
        rig.answer(created(id, 9));
    }));
    assert!(thrice(|rig, _| {
        rig.answer(created(500, 9));
    }));
    assert!(thrice(|rig, _| {
        rig.answer(refused("mvcc: watcher range is empty"));
    }));
}

// E1, W2, W37: -1 is nobody.
#[test]
fn minus_one_is_no_id() {
    let mut rig = Rig::new(settings());
    rig.watch(1, watch("k").from_revision(5)).open();
    rig.creations();
    rig.answer(created(-1, 9));
    assert!(!rig.watches.is_streaming());
    assert_eq!(rig.delivered(), []);
}

// W4: events before the answer to their creation, which servers hold back.
#[test]
fn events_before_the_creation_do_not_end_in_silence() {
    let mut rig = Rig::new(settings());
    rig.live(watch("k").from_revision(5));
    rig.watch(2, watch("j").from_revision(5));
    let id = rig.creations()[0].watch_id;
    rig.answer(events(id, "j", &[5]));
    assert!(!rig.watches.is_streaming(), "who knows what else was left out");
    rig.take_all_but_attempt();
    rig.reopen();
    assert_eq!(rig.create_all(9).len(), 2);
}

// W44: an id that was cancelled as nobody's becomes that of a watch, at a proxy.
#[test]
fn an_id_that_was_nobodys_may_be_given_out() {
    let mut rig = Rig::new(settings());
    rig.watch(1, watch("k").from_revision(5)).watch(2, watch("j").from_revision(5)).open();
    rig.creations();
    rig.answer(created(0, 9));
    rig.take();
    rig.answer(events(1, "j", &[5]));
    assert_eq!(rig.cancels(), [1]);
    rig.answer(created(1, 9)).answer(events(1, "j", &[5]));
    assert_eq!(rig.delivered(), [(2, "created".into()), (2, "events [5]".into())]);
    rig.answer(canceled(1));
    assert_eq!(rig.the_end().kind(), ErrorKind::WatchCanceled, "not in silence");
}

// X2, X3: a server that makes up watchers.
#[test]
fn a_server_that_makes_up_watchers_is_left() {
    let mut rig = Rig::new(settings());
    rig.live(watch("k").from_revision(5));
    let mut sent = 0;
    for id in 100_000.. {
        rig.answer(events(id, "k", &[5]));
        sent += rig.requests().len();
        if !rig.watches.is_streaming() {
            break;
        }
        assert!(sent <= 10_000, "it is answered for ever");
    }
}

#[test]
fn revisions_at_the_end_of_numbers_overflow_nothing() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5).progress_notify());
    rig.answer(progress(id, i64::MIN)).answer(progress(-1, i64::MIN)).answer(progress(-1, -1));
    rig.answer(events(id, "k", &[i64::MIN, -1, 0]));
    assert_eq!(rig.delivered(), []);
    rig.answer(progress(id, i64::MAX)).answer(events(id, "k", &[i64::MAX - 1]));
    assert_eq!(rig.delivered(), [(1, format!("progress {}", i64::MAX))]);
    rig.feed(Input::RequestProgress(WatcherKey(1)));
    rig.lose().reopen();
    rig.watch(2, watch("k").from_revision(i64::MAX));
    rig.create_all(i64::MAX);
}

// The end of the stream without an error, which no server has a reason for.
#[test]
fn a_stream_that_ends_well_is_opened_again() {
    let mut rig = Rig::new(settings());
    rig.live(watch("k").from_revision(5));
    for _ in 0..5 {
        rig.end_with(etcd3_core::Code::Ok, "");
        rig.reopen();
        rig.create_all(9);
    }
    assert!(rig.ends().is_empty());
}

// Several messages in one piece of the stream, and one message in many.
#[test]
fn messages_need_no_pieces_of_their_own() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5));
    let all: Vec<u8> = (5..9).flat_map(|it| framed(&events(id, "k", &[it])).to_vec()).collect();
    rig.feed(Input::Stream(Event::Data(all.into())));
    for byte in framed(&events(id, "k", &[9])) {
        rig.feed(Input::Stream(Event::Data(vec![byte].into())));
    }
    let expected: Vec<_> = (5..10).map(|it| (1, format!("events [{it}]"))).collect();
    assert_eq!(rig.delivered(), expected);
}
