//! Servers that say nothing.

use crate::rig::{Rig, created, events, progress, settings};
use etcd3_core::ErrorKind;
use etcd3_core::channel::HealthSignal;
use etcd3_core::error::Phase;
use etcd3_core::proto::etcdserverpb::watch_request::RequestUnion;
use etcd3_core::watch::{Settings, watch};
use std::time::Duration;

// W87, I-W11: asked for progress, then to create a watcher, then left: 15 s, 5 s, 5 s.
#[test]
fn a_silent_server_is_asked_and_left() {
    let mut rig = Rig::new(settings());
    rig.live(watch("k").from_revision(5));
    rig.rest(14_999);
    assert!(rig.take().is_empty());
    rig.rest(1);
    assert_eq!(rig.progress_requests(), 1);
    rig.rest(4_999);
    assert!(rig.take().is_empty());
    rig.rest(1);
    let probe = rig.creations().remove(0);
    assert!(probe.start_revision > i64::MAX / 2, "it is to see nothing");
    rig.rest(4_999);
    assert!(rig.watches.is_streaming());
    rig.rest(1);
    assert!(!rig.watches.is_streaming());
    assert_eq!(rig.watches.signal(), HealthSignal::Unhealthy);
    let error = rig.watches.last_error().expect("an error").clone();
    assert_eq!(error.kind(), ErrorKind::TimedOut(Phase::Answer));
    rig.reopen();
    assert_eq!(rig.create_all(9)[0].start_revision, 5);
}

// W23, W25: a proxy passes no request for progress on, and servers need not answer.
#[test]
fn a_server_that_answers_creations_alone_is_kept() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5));
    for _ in 0..20 {
        rig.rest(15_000);
        assert_eq!(rig.progress_requests(), 1);
        rig.rest(5_000);
        let probe = rig.creations().remove(0).watch_id;
        rig.answer(created(probe, 9));
        assert_eq!(rig.cancels(), [probe], "it is not left behind");
        rig.answer(crate::rig::canceled(probe));
    }
    rig.answer(events(id, "k", &[5]));
    assert_eq!(rig.delivered(), [(1, "events [5]".into())]);
}

// I-W11: whatever comes is a sign of life.
#[test]
fn a_server_that_says_something_is_not_asked() {
    let mut rig = Rig::new(settings());
    let id = rig.live(watch("k").from_revision(5));
    for revision in 5..50 {
        rig.rest(14_000).answer(events(id, "k", &[revision]));
        assert!(rig.watches.is_streaming());
        assert!(rig.creations().is_empty());
    }
    assert_eq!(rig.watches.heard(), Some(rig.now));
}

#[test]
fn an_answer_to_the_request_for_progress_will_do() {
    let mut rig = Rig::new(settings());
    rig.live(watch("k").from_revision(5));
    for _ in 0..20 {
        rig.rest(15_000);
        assert_eq!(rig.progress_requests(), 1);
        rig.rest(1_000).answer(progress(-1, 9));
    }
}

// W-39, I-W11: a creation that is not answered; the patience grows, but not for ever.
#[test]
fn a_creation_that_is_not_answered_makes_the_stream_go_elsewhere() {
    let mut rig = Rig::new(settings());
    rig.watch(1, watch("k").from_revision(5));
    for round in 0..30 {
        rig.rest_until_attempt().open();
        assert_eq!(rig.creations().len(), 1);
        let since = rig.now;
        rig.rest_until_attempt();
        let waited = rig.now.saturating_since(since);
        assert!(waited >= Duration::from_secs(5), "{round}: {waited:?}");
        assert!(waited <= Duration::from_secs(45), "{round}: {waited:?}");
    }
    rig.open();
    let id = rig.creations()[0].watch_id;
    rig.answer(created(id, 9));
    rig.lose().reopen();
    rig.creations();
    rig.rest(5_000);
    assert!(!rig.watches.is_streaming(), "it was answered in between");
}

// X3: settings without sense make no busy loop.
#[test]
fn settings_of_nothing_do_not_spin() {
    let zero = Duration::ZERO;
    for ordered in [false, true] {
        let settings =
            Settings { probe_interval: zero, answer_timeout: zero, linger: zero, ..settings() };
        let mut rig = Rig::new(settings);
        rig.watch(1, watch("k").from_revision(5)).open();
        rig.feed(etcd3_core::watch::Input::OrderedProgress(ordered));
        for request in rig.requests() {
            if let RequestUnion::CreateRequest(create) = request {
                rig.answer(created(create.watch_id, 9));
            }
        }
        rig.rest(100);
        assert!(rig.take().len() < 50);
    }
}
