//! Up to which revision everything was delivered.

use crate::rig::{Rig, created, events, progress, settings};
use etcd3_core::watch::{Input, WatcherKey, progress_is_ordered, watch};
use std::time::Duration;

fn ask(rig: &mut Rig, key: u64) -> &mut Rig {
    rig.feed(Input::RequestProgress(WatcherKey(key)))
}

/// A live watch on a server that answers in order; and its id.
fn ordered() -> (Rig, i64) {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5));
    rig.feed(Input::OrderedProgress(true));
    (rig, id)
}

fn position(rig: &Rig, key: u64) -> i64 {
    rig.watches.position(WatcherKey(key)).expect("a watch")
}

// W24
#[test]
fn versions_that_answer_in_order() {
    for version in ["3.4.25", "3.4.40", "3.5.8", "3.5.30", "3.6.0", "3.7.0-rc.0", "4.0.0"] {
        assert!(progress_is_ordered(version), "{version}");
    }
    for version in ["3.4.24", "3.5.7", "3.5.0-beta.1", "3.3.99", "2.9.9", "", "3.6", "x.y.z"] {
        assert!(!progress_is_ordered(version), "{version}");
    }
}

// W22, W76, I-W4, I-W7
#[test]
fn own_progress_moves_the_position_and_is_told_if_wanted() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5).progress_notify());
    rig.watch(2, watch("k").from_revision(5));
    let silent = rig.create_all(9)[0].watch_id;
    rig.take();
    rig.answer(progress(id, 8)).answer(progress(silent, 8));
    assert_eq!(rig.delivered(), [(1, "progress 8".into())]);
    assert_eq!((position(&rig, 1), position(&rig, 2)), (9, 9));
    rig.lose().reopen();
    assert!(rig.create_all(20).iter().all(|it| it.start_revision == 9), "W-05");
}

// W68, W65: a member that lags.
#[test]
fn progress_never_goes_back() {
    let (mut rig, id) = ordered();
    rig.answer(events(id, "k", &[7]));
    rig.take();
    rig.answer(progress(id, 3)).answer(progress(-1, 3));
    ask(&mut rig, 1).answer(progress(-1, 3)).answer(progress(id, 6));
    assert_eq!((rig.delivered(), position(&rig, 1)), (vec![], 8));
    rig.answer(progress(id, 7));
    assert_eq!((rig.delivered(), position(&rig, 1)), (vec![(1, "progress 7".into())], 8));
}

// W23, W77
#[test]
fn an_answer_is_of_all_watches() {
    let (mut rig, _) = ordered();
    rig.watch(2, watch("j").from_revision(5));
    rig.create_all(9);
    rig.take();
    ask(&mut rig, 2);
    assert_eq!(rig.progress_requests(), 1);
    rig.answer(progress(-1, 9));
    assert_eq!(rig.delivered(), [(2, "progress 9".into())], "the other did not ask");
    assert_eq!((position(&rig, 1), position(&rig, 2)), (10, 10));
}

// A server sends answers to creations past what waits for the watchers: an answer that was made
// before the creation may come after it.
// I-W1, I-W7, W4, W23
#[test]
fn progress_from_before_a_creation_is_not_of_that_watch() {
    let (mut rig, _) = ordered();
    ask(&mut rig, 1);
    assert_eq!(rig.progress_requests(), 1);
    rig.watch(2, watch("j").from_revision(5));
    ask(&mut rig, 2);
    let id = rig.create_all(9)[0].watch_id;
    rig.take();
    rig.answer(progress(-1, 9));
    assert_eq!(rig.delivered(), [(1, "progress 9".into())]);
    assert_eq!((position(&rig, 1), position(&rig, 2)), (10, 5));
    rig.answer(events(id, "j", &[6]));
    assert_eq!(rig.delivered(), [(2, "events [6]".into())]);
    // The one that was asked for after it was created, at once.
    assert_eq!(rig.progress_requests(), 1);
    rig.answer(progress(-1, 9));
    assert_eq!(rig.delivered(), [(2, "progress 9".into())]);
}

// The answer to a request from before a creation may come any time later: it waits behind events,
// and the stream may be slow.
// I-W1, I-W7, W4, W21, W23
#[test]
fn progress_from_before_a_creation_may_come_late() {
    let (mut rig, id) = ordered();
    ask(&mut rig, 1);
    assert_eq!(rig.progress_requests(), 1);
    rig.watch(2, watch("j").from_revision(5));
    ask(&mut rig, 2);
    let late = rig.create_all(9)[0].watch_id;
    rig.take();
    for revision in 5..9 {
        rig.rest(1_000).answer(events(id, "k", &[revision]));
    }
    assert!(rig.progress_requests() > 1, "the others come later still");
    rig.take();
    rig.answer(progress(-1, 9));
    assert_eq!(rig.delivered(), [(1, "progress 9".into())]);
    assert_eq!((position(&rig, 1), position(&rig, 2)), (10, 5));
    rig.answer(events(late, "j", &[6]));
    assert_eq!(rig.delivered(), [(2, "events [6]".into())]);
    rig.lose().reopen();
    let starts: Vec<i64> = rig.create_all(9).iter().map(|it| it.start_revision).collect();
    assert_eq!(starts, [10, 7]);
}

// W23: how many were not answered makes no difference.
#[test]
fn unanswered_requests_do_not_delay_those_that_follow() {
    for unanswered in [0, 1, 10, 100, 1_000] {
        let mut rig = Rig::new(settings());
        rig.watch(1, watch("k").from_revision(5)).open();
        rig.create_all(9);
        rig.feed(Input::OrderedProgress(true));
        ask(&mut rig, 1);
        for _ in 0..unanswered {
            // Only whether it is there the server says.
            rig.rest(1_000).create_all(9);
        }
        rig.watch(2, watch("j").from_revision(5));
        ask(&mut rig, 2);
        rig.create_all(9);
        let begun = rig.now;
        let mut told = vec![];
        while told.len() < 2 {
            // A round trip.
            let sent = rig.progress_requests();
            rig.rest(20);
            for _ in 0..sent {
                rig.answer(progress(-1, 9));
            }
            told.extend(rig.delivered().into_iter().filter(|it| it.1 == "progress 9"));
        }
        let took = rig.now.saturating_since(begun);
        assert!(took <= Duration::from_millis(1_500), "{took:?} after {unanswered}");
    }
}

// W21: answers that do not fit into what the server holds for a stream are dropped.
#[test]
fn requests_that_were_dropped_are_made_again() {
    let (mut rig, _) = ordered();
    ask(&mut rig, 1).rest(4_900);
    assert_eq!(rig.progress_requests(), 5);
    rig.watch(2, watch("j").from_revision(5));
    rig.create_all(9);
    ask(&mut rig, 2);
    rig.take();
    rig.rest(500).answer(progress(-1, 9));
    assert_eq!(rig.progress_requests(), 5, "what dispels the doubt");
    rig.answer(progress(-1, 9)).answer(progress(-1, 9));
    assert_eq!(rig.progress_requests(), 0, "the others are under way");
    rig.rest(1_000).answer(progress(-1, 9));
    assert_eq!(rig.progress_requests(), 1 + 2);
    rig.answer(progress(-1, 9));
    assert_eq!(rig.delivered(), [(1, "progress 9".into())]);
    rig.answer(progress(-1, 9));
    assert_eq!(rig.delivered(), [(2, "progress 9".into())]);
}

// A watch of which nothing can be missing has no doubt.
#[test]
fn a_watch_from_now_on_needs_no_second_answer() {
    let (mut rig, _) = ordered();
    ask(&mut rig, 1);
    rig.watch(2, watch("j").from_revision(10));
    ask(&mut rig, 2);
    rig.create_all(9);
    rig.take();
    rig.answer(progress(-1, 9));
    assert_eq!(rig.delivered(), [(1, "progress 9".into()), (2, "progress 9".into())]);
    assert_eq!(rig.progress_requests(), 0);
}

// What is known to be answered delays those that follow no more; it is one less than were asked,
// since servers from 3.5.8 to 3.5.12 answer the first one when all have caught up.
// I-W1, I-W7, W24
#[test]
fn an_answer_may_be_put_off_beyond_a_creation() {
    let (mut rig, _) = ordered();
    ask(&mut rig, 1).rest(9_900);
    assert_eq!(rig.progress_requests(), 10);
    rig.watch(2, watch("j").from_revision(5));
    rig.create_all(9);
    // That of the first request, made when 2 had caught up, and that of the next.
    ask(&mut rig, 2).rest(500);
    assert_eq!(rig.progress_requests(), 1);
    rig.answer(progress(-1, 10));
    assert_eq!((position(&rig, 1), position(&rig, 2)), (11, 11));
    rig.watch(3, watch("l").from_revision(5));
    ask(&mut rig, 3);
    rig.create_all(10);
    rig.take();
    rig.answer(progress(-1, 10));
    assert_eq!((rig.delivered(), position(&rig, 3)), (vec![], 5));
    assert_eq!(rig.progress_requests(), 1);
    rig.answer(progress(-1, 10));
    assert_eq!((rig.delivered(), position(&rig, 3)), (vec![(3, "progress 10".into())], 11));
}

// The same, but the revision says that it was made later.
#[test]
fn progress_beyond_the_creation_is_of_that_watch() {
    let (mut rig, _) = ordered();
    ask(&mut rig, 1);
    rig.watch(2, watch("j").from_revision(5));
    rig.requests();
    let id = 2;
    rig.answer(created(id, 9)).answer(progress(-1, 10));
    assert_eq!((position(&rig, 1), position(&rig, 2)), (11, 11));
}

// W24, I-W7: before 3.4.25 and 3.5.8 an answer may overtake events.
#[test]
fn progress_out_of_order_is_told_when_it_was_repeated() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5));
    ask(&mut rig, 1);
    assert_eq!(rig.progress_requests(), 1);
    rig.answer(progress(-1, 9));
    assert_eq!((rig.delivered(), position(&rig, 1)), (vec![], 5));
    rig.answer(progress(-1, 9));
    assert_eq!(rig.delivered(), [], "not before it was asked again");
    rig.answer(events(id, "k", &[9]));
    assert_eq!(rig.delivered(), [(1, "events [9]".into())]);
    rig.rest(1_000);
    assert!(rig.progress_requests() >= 1);
    rig.answer(progress(-1, 12)).rest(1_000);
    assert!(rig.progress_requests() >= 1);
    rig.answer(progress(-1, 12));
    assert_eq!(rig.delivered(), [(1, "progress 12".into())]);
    assert_eq!(position(&rig, 1), 10, "W24: it is not resumed from");
}

// W24, W21: a watch that catches up gets a batch every 100 ms; an old server answers all the same.
#[test]
fn progress_that_overtook_events_is_not_told() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5));
    ask(&mut rig, 1);
    for revision in 5..30 {
        rig.answer(progress(-1, 40)).answer(events(id, "k", &[revision]));
        rig.rest(if revision % 2 == 0 { 100 } else { 300 });
        rig.requests();
        assert_eq!(rig.delivered(), [(1, format!("events [{revision}]"))]);
    }
    for _ in 0..3 {
        rig.answer(progress(-1, 40)).rest(1_000);
        rig.requests();
    }
    assert_eq!(rig.delivered(), [(1, "progress 40".into())]);
}

// X3: ten thousand that ask at once are one request; what was not asked for is nothing.
#[test]
fn requests_are_sent_together_and_other_answers_ignored() {
    let (mut rig, _) = ordered();
    for key in 2..=1_000 {
        rig.watch(key, watch("k").from_revision(5));
    }
    rig.create_all(9);
    rig.take();
    for key in 1..=1_000 {
        ask(&mut rig, key);
    }
    let mut sent = rig.progress_requests();
    rig.rest(1_000);
    sent += rig.progress_requests();
    assert!((1..=3).contains(&sent), "{sent} requests");
    for _ in 0..sent {
        rig.answer(progress(-1, 9));
    }
    assert_eq!(rig.delivered().len(), 1_000);
    rig.answer(progress(-1, 50));
    assert_eq!(position(&rig, 1), 10, "nobody asked");
}

// W23, W-23: servers do not answer while one watcher catches up.
#[test]
fn a_request_without_an_answer_is_repeated_while_it_is_waited_for() {
    let (mut rig, _) = ordered();
    ask(&mut rig, 1);
    rig.rest(10_000);
    let sent = rig.progress_requests();
    assert!((5..=11).contains(&sent), "{sent} in 10 s");
    rig.answer(progress(-1, 9));
    assert_eq!(rig.delivered(), [(1, "progress 9".into())]);
    rig.rest(10_000);
    assert!(rig.progress_requests() <= 1, "nobody waits any more");
}

// I-W7, W47: a request survives the stream.
#[test]
fn a_request_is_made_again_on_the_next_stream() {
    let (mut rig, _) = ordered();
    ask(&mut rig, 1);
    rig.take();
    rig.lose().reopen();
    let id = rig.creations()[0].watch_id;
    rig.feed(Input::OrderedProgress(true)).answer(created(id, 9));
    rig.rest(100);
    assert_eq!(rig.progress_requests(), 1);
    rig.answer(progress(-1, 9));
    assert_eq!(rig.delivered(), [(1, "resumed 5".into()), (1, "progress 9".into())]);
}

// W11: positions move now and then while there are no events.
#[test]
fn positions_move_without_events() {
    let (mut rig, _) = ordered();
    let mut revision = 10;
    for _ in 0..20 {
        rig.rest(15_000);
        for _ in 0..rig.progress_requests() {
            revision += 1;
            rig.answer(progress(-1, revision));
        }
    }
    assert_eq!(position(&rig, 1), revision + 1);
    assert!(revision > 12);
    assert_eq!(rig.delivered(), []);
}

#[test]
fn a_request_of_a_watch_that_is_gone_is_ignored() {
    let (mut rig, _) = ordered();
    ask(&mut rig, 1).feed(Input::Cancel(WatcherKey(1)));
    ask(&mut rig, 1);
    assert_eq!(rig.watches.ignored(), 1);
    rig.take();
    rig.rest(999);
    assert_eq!(rig.take(), []);
}
