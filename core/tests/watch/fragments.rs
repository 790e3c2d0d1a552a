//! Responses that come in parts.

use crate::rig::{Rig, canceled, events, part, progress, settings};
use etcd3_core::ErrorKind;
use etcd3_core::watch::{Input, WatcherKey, watch};

// W26, W75, I-W3: one batch, and the position moves with it alone.
#[test]
fn parts_become_one_batch() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5));
    rig.answer(part(id, "k", &[5, 6])).answer(part(id, "k", &[6, 6])).answer(part(id, "k", &[]));
    assert_eq!((rig.delivered(), rig.watches.position(WatcherKey(1))), (vec![], Some(5)));
    rig.answer(events(id, "k", &[6, 7]));
    assert_eq!(rig.delivered(), [(1, "events [5, 6, 6, 6, 6, 7]".into())]);
    assert_eq!(rig.watches.position(WatcherKey(1)), Some(8));
}

// W63: what came of a response that was cut off comes again.
#[test]
fn parts_do_not_outlive_their_stream() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5));
    rig.answer(part(id, "k", &[5, 6])).lose().reopen();
    let again = rig.create_all(9);
    assert_eq!(again[0].start_revision, 5);
    rig.take();
    rig.answer(events(again[0].watch_id, "k", &[5, 6, 6]));
    assert_eq!(rig.delivered(), [(1, "events [5, 6, 6]".into())]);
    assert_eq!(rig.watches.anomalies(), 0);
}

// W26, E5: servers send the parts in a row; whatever comes between them completes nothing.
#[test]
fn progress_between_parts_completes_nothing() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5).progress_notify());
    rig.feed(Input::OrderedProgress(true));
    rig.feed(Input::RequestProgress(WatcherKey(1)));
    assert_eq!(rig.progress_requests(), 1);
    rig.answer(part(id, "k", &[5])).answer(progress(id, 5)).answer(progress(-1, 5));
    assert_eq!((rig.delivered(), rig.watches.position(WatcherKey(1))), (vec![], Some(5)));
    rig.answer(events(id, "k", &[5, 6]));
    assert_eq!(rig.delivered(), [(1, "events [5, 5, 6]".into())]);
}

// I-W8, E5
#[test]
fn parts_of_two_watches_are_kept_apart() {
    let mut rig = Rig::new(settings());
    let one = rig.live(watch("k").from_revision(5));
    rig.watch(2, watch("k").from_revision(5));
    let two = rig.create_all(9)[0].watch_id;
    rig.take();
    rig.answer(part(one, "k", &[5])).answer(part(two, "k", &[5]));
    rig.answer(events(one, "k", &[6])).answer(events(two, "k", &[5]));
    let expected = [(1, "events [5, 6]"), (2, "events [5, 5]")];
    assert_eq!(rig.delivered(), expected.map(|(key, it)| (key, it.to_owned())));
}

// X2, W75: parts without an end, of one watch and of many.
#[test]
fn parts_have_a_limit_together() {
    let mut settings = settings();
    settings.max_batch_bytes = 100_000;
    let mut rig = Rig::new(settings);
    let ids: Vec<i64> = {
        for key in 1..=50 {
            rig.watch(key, watch("k").from_revision(5));
        }
        rig.open();
        rig.create_all(3).iter().map(|it| it.watch_id).collect()
    };
    rig.take();
    let many = vec![5; 100];
    for id in &ids {
        rig.answer(part(*id, "k", &many));
    }
    let ends = rig.ends();
    assert!(ends.len() > 20, "{} ends", ends.len());
    for (_, error) in ends {
        assert!(matches!(error.kind(), ErrorKind::ResponseOverLimit { limit: 100_000, .. }));
    }
    // What ended or was cancelled leaves room for others.
    let last = u64::try_from(rig.watches.len()).unwrap();
    assert!(last > 1);
    rig.cancels();
}

#[test]
fn parts_of_a_cancelled_watch_leave_room() {
    let mut settings = settings();
    settings.max_batch_bytes = 100_000;
    let mut rig = Rig::new(settings);
    let many = vec![5; 200];
    for key in 1..=20 {
        rig.watch(key, watch("k").from_revision(5));
        if key == 1 {
            rig.open();
        }
        let id = rig.create_all(3)[0].watch_id;
        rig.answer(part(id, "k", &many));
        if key % 2 == 0 {
            rig.answer(canceled(id));
        } else {
            rig.feed(Input::Cancel(WatcherKey(key)));
        }
        assert_eq!(rig.ends().len(), usize::from(key % 2 == 0), "{key}");
        rig.cancels();
    }
}

// I-W17: one response in parts that is over the limit: its watch ends, others do not notice.
#[test]
fn parts_over_the_limit_end_their_watch() {
    let mut settings = settings();
    settings.max_batch_bytes = 20_000;
    let mut rig = Rig::new(settings);
    let id = rig.live(watch("k").from_revision(5));
    rig.watch(2, watch("j").from_revision(5));
    let other = rig.create_all(9)[0].watch_id;
    rig.take();
    let many = vec![5; 100];
    rig.answer(part(id, "k", &many)).answer(part(id, "k", &many));
    assert!(matches!(rig.the_end().kind(), ErrorKind::ResponseOverLimit { .. }));
    assert_eq!(rig.cancels(), [id]);
    rig.answer(part(id, "k", &many)).answer(events(other, "j", &[7]));
    assert_eq!(rig.delivered(), [(2, "events [7]".into())]);
}
