//! Watches that lie behind a prefix: asked for with it, delivered without it (Y1, NS-002).

use crate::rig::{Rig, events, put, settings};
use etcd3_core::ErrorKind;
use etcd3_core::namespace::KeyPrefix;
use etcd3_core::proto::mvccpb;
use etcd3_core::request::WatchOptions;
use etcd3_core::watch::{Item, Output, Previous, WatchBatch, watch};
use etcd3_core::{KeyRange, all};

fn within(range: impl Into<KeyRange>) -> WatchOptions {
    let outer = KeyPrefix::new("a/");
    let inner = watch(range).prev_kv().from_revision(5).under(KeyPrefix::new("b/").as_ref());
    inner.and_then(|it| it.under(outer.as_ref())).expect("it has a key")
}

fn batches(rig: &mut Rig) -> Vec<WatchBatch> {
    let outputs = rig.take();
    let batch = |it| match it {
        Output::Deliver(_, Item::Events(batch, _)) => Some(batch),
        _ => None,
    };
    outputs.into_iter().filter_map(batch).collect()
}

#[test]
fn events_come_without_the_prefix() {
    let mut rig = Rig::new(settings());
    let id = rig.live(within(all()));
    let prev_kv = Some(mvccpb::KeyValue { key: "a/b/k".into(), ..Default::default() });
    let mut response = events(id, "a/b/j", &[6]);
    response.events.push(mvccpb::Event { prev_kv, ..put("a/b/k", 7) });
    rig.answer(response);
    let [batch] = &batches(&mut rig)[..] else { panic!("one batch") };
    let keys: Vec<_> = batch.events.iter().map(|event| &event.kv.key[..]).collect();
    assert_eq!(keys, [b"j", b"k"]);
    let Previous::Pair(pair) = batch.events[1].prev_kv() else { panic!("a pair before") };
    assert_eq!(pair.key, "k");

    // A watch that begins again asks for the same.
    rig.lose().reopen();
    let again = rig.create_all(50);
    assert_eq!((&again[0].key[..], &again[0].range_end[..]), (&b"a/b/\0"[..], &b"a/b0"[..]));
    assert_eq!(again[0].start_revision, 8);
}

// I-W8
#[test]
fn an_event_of_another_key_ends_the_watch() {
    let strange = Some(mvccpb::KeyValue { key: "a/k".into(), ..Default::default() });
    for event in
        [put("a/c", 6), put("a/b/", 6), mvccpb::Event { prev_kv: strange, ..put("a/b/k", 6) }]
    {
        let mut rig = Rig::new(settings());
        let id = rig.live(within(all()));
        let mut response = events(id, "a/b/j", &[5]);
        response.events.push(event);
        rig.answer(response);
        assert_eq!(rig.the_end().kind(), ErrorKind::Protocol);
    }
}
