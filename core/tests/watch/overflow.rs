//! Readers that are slow, and responses that are too large.

use crate::rig::{Rig, events, framed, progress, put, settings};
use bytes::Bytes;
use etcd3_core::ErrorKind;
use etcd3_core::channel::HealthSignal;
use etcd3_core::proto::etcdserverpb::WatchResponse;
use etcd3_core::transport::Event;
use etcd3_core::watch::{Input, WatcherKey, watch};

fn taken(rig: &mut Rig, bytes: usize) -> &mut Rig {
    rig.feed(Input::Taken(WatcherKey(1), bytes))
}

// W83, I-W10, W59
#[test]
fn a_watch_with_too_much_waiting_is_paused_and_goes_on() {
    let mut rig = Rig::new(settings());
    let mut id = rig.live(watch("k").from_revision(5).max_buffered_bytes(2_000));
    rig.watch(2, watch("j").from_revision(5));
    let other = rig.create_all(9)[0].watch_id;
    rig.take();
    let (mut next, mut waiting) = (5, 0);
    for _ in 0..10 {
        // Until the server is told to stop; it may have sent more before it hears of that.
        while rig.cancels().is_empty() {
            rig.answer(events(id, "k", &[next]));
            let bytes = rig.bytes_delivered(1);
            next += i64::from(bytes > 0);
            waiting += bytes;
            assert!(waiting <= 2_000, "{waiting}");
        }
        rig.answer(events(id, "k", &[next])).answer(crate::rig::canceled(id));
        rig.answer(events(other, "j", &[next]));
        assert_eq!(rig.delivered(), [(2, format!("events [{next}]"))], "the other is not held up");
        rig.rest(10_000);
        rig.requests();
        taken(&mut rig, waiting - 1_001);
        assert!(rig.creations().is_empty(), "not half is taken");
        taken(&mut rig, 1);
        let again = rig.create_all(next);
        assert_eq!((again.len(), again[0].start_revision), (1, next));
        assert_eq!(rig.delivered(), [(1, format!("resumed {next}"))]);
        (id, waiting) = (again[0].watch_id, 1_000);
    }
}

// I-W10: a batch larger than the buffer, again and again: each is taken, and there is no loop.
#[test]
fn a_batch_larger_than_the_buffer_is_taken_when_enough_was() {
    for limit in [0, 1, 10] {
        let mut rig = Rig::new(settings());
        let mut id = rig.live(watch("k").from_revision(5).max_buffered_bytes(limit));
        for revision in 5..20 {
            rig.answer(events(id, "k", &[revision, revision, revision]));
            let bytes = rig.bytes_delivered(1);
            assert!(bytes > limit, "{limit}");
            // One more than there is room for.
            rig.answer(events(id, "k", &[revision + 1]));
            assert_eq!((rig.bytes_delivered(1), rig.cancels()), (0, vec![id]));
            rig.rest(600_000);
            assert!(rig.requests().is_empty(), "not before it is taken");
            taken(&mut rig, bytes);
            let again = rig.create_all(100);
            assert_eq!((again.len(), again[0].start_revision), (1, revision + 1));
            id = again[0].watch_id;
            rig.take();
        }
    }
}

// I-W10: a stream is lost while a watch is paused.
#[test]
fn a_paused_watch_outlives_its_stream() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5).max_buffered_bytes(1));
    rig.answer(events(id, "k", &[5])).answer(events(id, "k", &[6]));
    let bytes = rig.bytes_delivered(1);
    rig.requests();
    rig.lose().rest(600_000);
    assert!(rig.take_attempt().is_none(), "nothing is to be watched");
    taken(&mut rig, bytes).open();
    assert_eq!(rig.create_all(9)[0].start_revision, 6);
    assert_eq!(rig.delivered(), [(1, "resumed 6".into())]);
}

#[test]
fn a_paused_watch_can_be_cancelled() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5).max_buffered_bytes(1));
    rig.answer(events(id, "k", &[5])).answer(events(id, "k", &[6]));
    assert_eq!(rig.cancels(), [id]);
    rig.feed(Input::Cancel(WatcherKey(1)));
    assert!(rig.cancels().is_empty(), "I7: once");
    taken(&mut rig, 1_000_000);
    assert!(rig.creations().is_empty());
}

// Only events wait; progress is not held back, nor is more taken than was delivered.
#[test]
fn what_is_taken_twice_counts_once() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5).max_buffered_bytes(1).progress_notify());
    taken(&mut rig, usize::MAX);
    rig.answer(events(id, "k", &[5])).answer(progress(id, 7)).answer(events(id, "k", &[8]));
    let expected = ["events [5]", "progress 7"].map(|it| (1, it.to_owned()));
    assert_eq!(rig.delivered(), expected);
    assert_eq!(rig.cancels(), [id]);
}

/// Claims to be a response of so many bytes, of which only the beginning comes.
fn beginning(id: i64, len: u32) -> Input {
    let mut wire = framed(&WatchResponse {
        events: (0..20).map(|_| put("k", 7)).collect(),
        ..events(id, "k", &[])
    })
    .to_vec();
    wire[1..5].copy_from_slice(&len.to_be_bytes());
    Input::Stream(Event::Data(Bytes::from(wire)))
}

// I-W17, W86, I-W8: the watch whose response it was is to blame; the others go on.
#[test]
fn a_response_over_the_limit_ends_its_watch_after_one_more_try() {
    let mut rig = Rig::new(settings());
    rig.live(watch("k").from_revision(5).fragment(false));
    rig.watch(2, watch("j").from_revision(5));
    rig.create_all(9);
    rig.take();
    rig.feed(beginning(1, 3_000_000));
    assert!(!rig.watches.is_streaming());
    assert_ne!(rig.watches.signal(), HealthSignal::Unhealthy, "the endpoint is not to blame");
    assert!(rig.ends().is_empty());
    rig.reopen();
    let again = rig.create_all(9);
    assert!(again.iter().all(|it| it.start_revision == 5));
    rig.take();
    rig.feed(beginning(again[0].watch_id, 3_000_000));
    let ends = rig.ends();
    assert_eq!((ends.len(), ends[0].0), (1, 1));
    let kind = ErrorKind::ResponseOverLimit { len: 3_000_000, limit: 1 << 20 };
    assert_eq!(ends[0].1.kind(), kind);
    assert!(format!("{:?}", ends[0].1).contains("at revision 5"), "{:?}", ends[0].1);
    rig.reopen();
    let again = rig.create_all(9);
    assert_eq!(again.len(), 1);
    rig.take();
    rig.answer(events(again[0].watch_id, "j", &[6]));
    assert_eq!(rig.delivered(), [(2, "events [6]".into())]);
}

// I-W17: what came in between makes it another response.
#[test]
fn responses_over_the_limit_count_in_a_row() {
    let mut rig = Rig::new(settings());
    let mut id = rig.live(watch("k").from_revision(5));
    for revision in 5..15 {
        rig.answer(events(id, "k", &[revision])).feed(beginning(id, 3_000_000));
        assert!(rig.ends().is_empty());
        rig.take_all_but_attempt();
        rig.reopen();
        id = rig.create_all(9)[0].watch_id;
        rig.take();
    }
}

// I-W17: whose it is cannot be said.
#[test]
fn a_response_over_the_limit_of_nobody_is_the_servers() {
    let mut rig = Rig::new(settings());
    for round in 0..3 {
        if round == 0 {
            rig.live(watch("k").from_revision(5));
        } else {
            rig.reopen();
            rig.create_all(9);
            rig.take();
        }
        assert!(rig.ends().is_empty());
        rig.feed(beginning(500, 3_000_000));
    }
    assert!(matches!(rig.the_end().kind(), ErrorKind::ResponseOverLimit { .. }));
}
