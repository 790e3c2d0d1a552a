//! Going on after a loss.

use crate::rig::{Rig, compacted, events, progress, settings};
use etcd3_core::channel::{Denied, EndpointId, HealthSignal};
use etcd3_core::transport::{Event, Lost};
use etcd3_core::watch::{Input, Output, WatcherKey, watch};
use etcd3_core::{Code, ErrorKind, Outcome, ServerError, prefix};
use std::time::Duration;

// W9, W63, W84, I-W4: the position is behind the last event, whatever the header says.
#[test]
fn a_watch_goes_on_behind_the_last_event() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5));
    rig.answer(events(id, "k", &[5, 6])).answer(events(id, "k", &[6, 9]));
    let expected = ["events [5, 6]", "events [9]"].map(|it| (1, it.to_owned()));
    assert_eq!(rig.delivered(), expected);
    rig.lose().reopen();
    let again = rig.create_all(20);
    assert_eq!((again.len(), again[0].start_revision), (1, 10));
    assert_eq!(rig.delivered(), [(1, "resumed 10".into())]);
}

// W47, W84: any number of failures, and all that was watched goes on, in the order of the keys.
#[test]
fn all_watches_go_on_whatever_number_of_losses() {
    let mut rig = Rig::new(settings());
    for key in 1..=5 {
        rig.watch(key, watch(format!("k{key}")).from_revision(5));
    }
    rig.open();
    rig.create_all(3);
    for round in 0..20 {
        rig.lose().reopen();
        if round % 3 == 0 {
            // Lost while the first is being created.
            assert_eq!(rig.creations().len(), 1);
            rig.lose().reopen();
        }
        assert_eq!(rig.create_all(3).len(), 5);
    }
    let delivered = rig.delivered();
    assert_eq!(delivered.iter().filter(|it| it.1 == "created").count(), 5);
    assert_eq!(delivered.iter().filter(|it| it.1 == "resumed 5").count(), 100);
}

// I-W6, W8: once, with both revisions, and without a jump.
#[test]
fn compaction_is_told_once() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5));
    rig.answer(events(id, "k", &[5, 6]));
    rig.take();
    rig.lose().reopen();
    let id = rig.create_all(90)[0].watch_id;
    rig.answer(compacted(id, 40));
    let error = rig.the_end();
    assert_eq!(error.kind(), ErrorKind::WatchCompacted { requested: 7, compacted: 40 });
    assert_eq!(error.outcome(), Outcome::Rejected);
    // It is kept there until it is cancelled, and keeps the server from telling progress (W23).
    assert_eq!(rig.cancels(), [id]);
    rig.answer(crate::rig::canceled(id)).answer(compacted(id, 40));
    assert!(rig.ends().is_empty());
}

// I-W12, W-33: opened, taken, ended at once, for ever.
#[test]
fn a_server_that_always_fails_is_not_stormed() {
    for seed in 0..50 {
        let opens = opens_of(seed, 600, |rig| {
            let id = rig.create_all(3).first().map(|it| it.watch_id);
            rig.answer(progress(id.unwrap_or(1), 3));
            rig.end_with(Code::Unavailable, "gone");
        });
        assert_rate(&opens);
    }
}

// I-W12: nor one that says something useful before it fails.
#[test]
fn a_server_that_fails_after_each_event_is_not_stormed() {
    let mut revision = 5;
    let opens = opens_of(1, 600, |rig| {
        if let Some(create) = rig.create_all(3).first() {
            rig.answer(events(create.watch_id, "k", &[revision]));
            revision += 1;
        }
        rig.lose();
    });
    assert_rate(&opens);
}

/// Opens a stream over and over for so many seconds, and has `answer` do what the server does;
/// returns the milliseconds of each opening.
fn opens_of(seed: u64, seconds: u64, mut answer: impl FnMut(&mut Rig)) -> Vec<u64> {
    let mut settings = settings();
    settings.seed = seed;
    let mut rig = Rig::new(settings);
    rig.watch(1, watch("k").from_revision(5));
    let mut opens = vec![];
    loop {
        let at = rig.rest_until_attempt().now.as_nanos() / 1_000_000;
        if at > seconds * 1_000 {
            return opens;
        }
        opens.push(at);
        assert!(opens.len() < 10_000, "a storm");
        rig.open();
        answer(&mut rig);
    }
}

fn assert_rate(opens: &[u64]) {
    for (first, eleventh) in opens.iter().zip(&opens[10.min(opens.len())..]) {
        assert!(eleventh - first >= 10_000, "more than 10 in 10 s, from {first} ms on: {opens:?}");
    }
    assert!(opens.len() > 60, "it goes on: {}", opens.len());
}

// I-W12: what was of use goes on at once, elsewhere if there is somewhere.
#[test]
fn after_a_stream_that_was_of_use_the_next_is_opened_at_once() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5));
    rig.rest(14_000).answer(events(id, "k", &[5])).lose();
    let attempt = rig.take_attempt().expect("an attempt at once");
    assert_eq!(attempt.want.avoid, Some(EndpointId(1)));
    assert_eq!(rig.watches.signal(), HealthSignal::Unhealthy);
}

#[test]
fn a_draining_connection_is_left_at_once() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5));
    rig.answer(events(id, "k", &[7]));
    rig.take();
    rig.feed(Input::Migrate);
    let attempt = rig.take_attempt().expect("an attempt at once");
    assert_eq!((attempt.want.avoid, rig.watches.signal()), (None, HealthSignal::None));
}

// W18, W20, W47, W84, W85: what may pass is tried elsewhere.
#[test]
fn what_may_pass_is_tried_elsewhere() {
    for (code, text) in [
        (Code::Unavailable, ServerError::NoLeader.text()),
        (Code::Unavailable, ServerError::NotSupportedForLearner.text()),
        (Code::FailedPrecondition, ServerError::NotSupportedForLearner.text()),
        (Code::Unavailable, "error reading from server: EOF"),
        (Code::Internal, "stream terminated by RST_STREAM"),
        (Code::Canceled, ""),
        (Code::Unknown, ""),
    ] {
        let mut rig = Rig::new(settings());
        rig.live(watch("k").from_revision(5));
        for _ in 0..5 {
            rig.end_with(code, text);
            assert_eq!(rig.watches.signal(), HealthSignal::Unhealthy, "{code:?} {text}");
            rig.rest_until_attempt();
            rig.open();
            assert_eq!(rig.create_all(9)[0].start_revision, 5, "{code:?} {text}");
        }
        assert!(rig.ends().is_empty(), "{code:?} {text}");
    }
}

// I-W13: what the server refuses for good ends all, with its reason.
#[test]
fn what_does_not_pass_ends_all() {
    let mut rig = Rig::new(settings());
    rig.watch(2, watch("j").from_revision(5));
    rig.watch(1, watch("k").from_revision(5)).open();
    rig.create_all(3);
    rig.end_with(Code::Unimplemented, "unknown service etcdserverpb.Watch");
    let ends = rig.ends();
    assert_eq!(ends.iter().map(|it| it.0).collect::<Vec<_>>(), [1, 2]);
    assert!(ends.iter().all(|it| it.1.kind() == ErrorKind::Status(Code::Unimplemented)));
    assert!(rig.took(&Output::Close));
}

// The signal of a stream that ended for good is read when the stream is dropped.
#[test]
fn the_signal_of_a_stream_outlives_the_end_of_all() {
    let mut rig = Rig::new(settings());
    for round in 0..3 {
        if round == 0 {
            rig.live(watch("k").from_revision(5));
        } else {
            rig.reopen();
            rig.create_all(3);
        }
        rig.feed(Input::Stream(Event::Data(b"\x01what is that".as_slice().into())));
        assert_eq!(rig.watches.signal(), HealthSignal::Unhealthy, "{round}");
    }
    assert_eq!(rig.the_end().kind(), ErrorKind::Protocol);
}

// An endpoint that was not reached has nothing to do with the one before.
#[test]
fn the_signal_is_that_of_the_last_attempt() {
    let mut rig = Rig::new(settings());
    rig.live(watch("k").from_revision(5));
    rig.lose();
    assert_eq!(rig.watches.signal(), HealthSignal::Unhealthy);
    rig.rest_until_attempt().take_attempt();
    let lost = Lost { outcome: Outcome::NotSent, reset: None, cause: None };
    rig.feed(Input::Stream(Event::Lost(lost)));
    assert_eq!(rig.watches.signal(), HealthSignal::None);
}

// W38, I-W9: nothing answers, and one who waits is not held up.
#[test]
fn what_is_not_admitted_is_tried_again_and_can_be_cancelled() {
    let mut rig = Rig::new(settings());
    rig.watch(1, watch("k").from_revision(5)).watch(2, watch("j").from_revision(5));
    for _ in 0..5 {
        rig.rest_until_attempt().take_attempt();
        rig.feed(Input::Denied(Denied::Throttled));
    }
    rig.rest_until_attempt().take_attempt();
    rig.feed(Input::Denied(Denied::NoConnection));
    rig.feed(Input::Cancel(WatcherKey(1))).feed(Input::Cancel(WatcherKey(2)));
    assert!(rig.watches.is_empty());
    rig.rest(1_000);
    assert!(rig.took(&Output::Close), "the attempt is given up");
    rig.rest(600_000);
    assert_eq!(rig.take(), []);
}

#[test]
fn a_password_over_plaintext_ends_all() {
    let mut rig = Rig::new(settings());
    rig.watch(1, watch("k").from_revision(5)).take_attempt();
    let endpoint = "http://a.example:2379".parse().expect("an endpoint");
    rig.feed(Input::Denied(Denied::Plaintext(endpoint)));
    assert_eq!(rig.the_end().kind(), ErrorKind::PlaintextPassword);
}

// I-W1: a watch of everything, and of much, cut at each place.
#[test]
fn nothing_is_lost_or_repeated_wherever_the_stream_is_cut() {
    let revisions: Vec<i64> = (5..15).collect();
    for cut in 0..revisions.len() {
        let mut rig = Rig::new(settings());
        let mut id = rig.live(watch(prefix("k")).from_revision(5));
        let mut told = vec![];
        for (at, revision) in revisions.iter().enumerate() {
            if at == cut {
                rig.lose().reopen();
                let again = rig.create_all(100);
                assert_eq!(again[0].start_revision, *revision);
                id = again[0].watch_id;
                rig.take();
            }
            // Some servers send again what they sent before (W66).
            rig.answer(events(id, "k", &[*revision])).answer(events(id, "k", &[*revision]));
            told.extend(rig.delivered());
        }
        let expected: Vec<_> = revisions.iter().map(|it| (1, format!("events [{it}]"))).collect();
        assert_eq!(told, expected, "cut at {cut}");
        assert_eq!(rig.watches.anomalies(), 10);
    }
}

// W49: what was delivered and not taken stays with the reader; only what may follow is bounded.
#[test]
fn a_loss_does_not_forget_what_waits() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5).max_buffered_bytes(1));
    rig.answer(events(id, "k", &[5]));
    let bytes = rig.bytes_delivered(1);
    rig.lose().reopen();
    let id = rig.create_all(9)[0].watch_id;
    rig.take();
    rig.answer(events(id, "k", &[6]));
    assert_eq!((rig.delivered(), rig.cancels()), (vec![], vec![id]), "no room");
    rig.feed(Input::Taken(WatcherKey(1), bytes));
    assert_eq!(rig.create_all(9)[0].start_revision, 6);
}

#[test]
fn the_wait_between_attempts_has_a_bound() {
    let mut rig = Rig::new(settings());
    rig.watch(1, watch("k").from_revision(5));
    for _ in 0..100 {
        let before = rig.now;
        rig.rest_until_attempt();
        assert!(rig.now.saturating_since(before) <= Duration::from_secs(4));
        rig.open().lose();
    }
}
