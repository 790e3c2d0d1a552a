//! Creations that are refused, in every shape.

use crate::rig::{Rig, created, events, refused, settings};
use etcd3_core::auth::{Generation, StaleToken, TokenReason};
use etcd3_core::proto::etcdserverpb::WatchResponse;
use etcd3_core::watch::{WatcherKey, watch};
use etcd3_core::{Code, ErrorKind, Outcome, ServerError};

const DUPLICATE: &str = "mvcc: duplicate watch ID provided on the WatchStream";
const DENIED: &str = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
const STALE: &str = "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token";

/// Three watches: the first is live, the creations of the others are under way; returns their ids.
fn three() -> (Rig, [i64; 3]) {
    let mut rig = Rig::new(settings());
    for key in 1..=3 {
        rig.watch(key, watch(format!("k{key}")).from_revision(5));
    }
    rig.open_with(Some(Generation(1)));
    let first = rig.creations()[0].watch_id;
    rig.answer(created(first, 9));
    let more = rig.creations();
    rig.take();
    (rig, [first, more[0].watch_id, more[1].watch_id])
}

// W4, W14, W17, I-W8: refusals have no id and come in the order of the creations.
#[test]
fn a_refusal_is_of_the_oldest_creation() {
    let (mut rig, [first, _, third]) = three();
    rig.answer(refused(DENIED)).answer(created(third, 9));
    let ends = rig.ends();
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[0].0, 2);
    assert_eq!(ends[0].1.kind(), ErrorKind::Server(ServerError::PermissionDenied));
    assert_eq!(ends[0].1.outcome(), Outcome::Rejected);
    rig.answer(events(first, "k1", &[5])).answer(events(third, "k3", &[6]));
    let expected = [(3, "created"), (1, "events [5]"), (3, "events [6]")];
    assert_eq!(rig.delivered(), expected.map(|(key, it)| (key, it.to_owned())));
    assert!(rig.requests().is_empty(), "W15: nothing is to be cancelled");
}

// W-40: old servers answer a denial with the id 0, which may be somebody's.
#[test]
fn a_denial_with_the_id_of_another_watch_hurts_only_its_own() {
    let (mut rig, [first, _, third]) = three();
    for watch_id in [0, first] {
        rig.answer(WatchResponse { watch_id, ..refused(DENIED) });
        assert_eq!(rig.ends().len(), 1, "{watch_id}");
    }
    assert_eq!(rig.watches.len(), 1, "{third} was refused, too");
    rig.answer(events(first, "k1", &[5]));
    assert_eq!(rig.delivered(), [(1, "events [5]".into())]);
}

// W3: another id is tried, but not for ever.
#[test]
fn a_duplicate_id_is_replaced() {
    let (mut rig, [first, second, third]) = three();
    rig.answer(refused(DUPLICATE));
    let again = rig.creations();
    assert_eq!(again.len(), 1);
    assert!(![first, second, third].contains(&again[0].watch_id));
    rig.answer(created(third, 9)).answer(refused(DUPLICATE));
    assert_eq!(rig.creations().len(), 1);
    rig.answer(refused(DUPLICATE));
    assert_eq!(rig.the_end().kind(), ErrorKind::Protocol);
    rig.answer(events(first, "k1", &[5]));
    assert_eq!(rig.delivered().last(), Some(&(1, "events [5]".to_owned())), "it is unharmed");
}

// W7, W13, I-W13
#[test]
fn each_reason_becomes_its_error() {
    let unknown = "rpc error: code = ResourceExhausted desc = enough";
    let compacted = ErrorKind::WatchCompacted { requested: 5, compacted: 0 };
    for (reason, kind) in [
        ("etcdserver: mvcc: required revision has been compacted", compacted),
        ("mvcc: watcher range is empty", ErrorKind::WatchRefused),
        ("", ErrorKind::WatchRefused),
        ("not today", ErrorKind::WatchRefused),
        (unknown, ErrorKind::Status(Code::ResourceExhausted)),
        (DENIED, ErrorKind::Server(ServerError::PermissionDenied)),
    ] {
        let (mut rig, _) = three();
        rig.answer(refused(reason));
        let error = rig.the_end();
        assert_eq!((error.kind(), error.outcome()), (kind, Outcome::Rejected), "{reason}");
        if kind == ErrorKind::WatchRefused && !reason.is_empty() {
            assert!(error.to_string().contains(reason) || format!("{error:?}").contains(reason));
        }
    }
}

// etcd's proxy: neither header nor reason, and ids of its own.
#[test]
fn a_proxy_refuses_without_header_and_reason() {
    let mut rig = Rig::new(settings());
    for key in 1..=3 {
        rig.watch(key, watch(format!("k{key}")).from_revision(5));
    }
    rig.open();
    assert_eq!(rig.creations().len(), 1);
    rig.answer(refused(""));
    assert_eq!(rig.the_end().kind(), ErrorKind::WatchRefused);
    assert_eq!(rig.creations().len(), 1);
    rig.answer(WatchResponse { header: None, ..created(0, 0) });
    assert_eq!(rig.creations().len(), 1);
    rig.answer(refused(""));
    assert_eq!(rig.the_end().kind(), ErrorKind::WatchRefused);
    assert_eq!(rig.watches.len(), 1);
    rig.answer(events(0, "k2", &[5]));
    assert_eq!(rig.delivered(), [(2, "created".into()), (2, "events [5]".into())]);
}

// W-39: some servers read no more requests after a denial.
#[test]
fn a_server_that_answers_no_creation_after_a_denial_is_left() {
    let (mut rig, [first, ..]) = three();
    rig.answer(refused(DENIED));
    rig.take();
    rig.rest(4_999);
    assert!(rig.watches.is_streaming());
    rig.answer(events(first, "k1", &[5]));
    rig.rest(1);
    assert!(!rig.watches.is_streaming());
    assert!(matches!(
        rig.watches.last_error().map(etcd3_core::Error::kind),
        Some(ErrorKind::TimedOut(_))
    ));
    rig.take_all_but_attempt();
    rig.reopen();
    let again = rig.create_all(9);
    assert_eq!(again.iter().map(|it| it.start_revision).collect::<Vec<_>>(), [6, 5]);
}

fn stale(generation: u64) -> StaleToken {
    StaleToken { generation: Generation(generation), reason: TokenReason::Invalid }
}

// H8, W14, I-W16: the token of a stream is that of its head, so there has to be another stream.
#[test]
fn a_token_that_is_too_old_is_renewed_by_another_stream() {
    let (mut rig, [first, ..]) = three();
    rig.answer(events(first, "k1", &[5])).answer(refused(STALE));
    rig.take_all_but_attempt();
    rig.rest_until_attempt();
    let attempt = rig.take_attempt().expect("an attempt");
    assert_eq!(attempt.stale_token, Some(stale(1)));
    rig.feed(etcd3_core::watch::Input::Denied(etcd3_core::channel::Denied::Throttled));
    rig.rest_until_attempt().open_with(Some(Generation(2)));
    let create = rig.creations().remove(0);
    assert_eq!(create.start_revision, 6);
    rig.answer(created(create.watch_id, 9));
    let more = rig.creations();
    assert_eq!(more.iter().map(|it| &it.key[..]).collect::<Vec<_>>(), [b"k3", b"k2"]);
    rig.answer(created(more[0].watch_id, 9)).answer(refused(STALE));
    assert!(rig.ends().is_empty());
    rig.rest_until_attempt();
    assert_eq!(rig.attempt().stale_token, Some(stale(2)));
    assert_eq!(rig.watches.len(), 3);
}

// R24, I-W16: users and roles may change many times while a watch is created again.
#[test]
fn a_watch_that_is_refused_with_three_new_tokens_as_well_ends_alone() {
    let mut rig = Rig::new(settings());
    rig.watch(1, watch("k").from_revision(5)).open_with(Some(Generation(1)));
    for generation in 1..=4 {
        assert_eq!(rig.creations().len(), 1);
        assert!(rig.ends().is_empty(), "{generation}");
        rig.answer(refused(STALE));
        if generation < 4 {
            rig.rest_until_attempt();
            assert_eq!(rig.attempt().stale_token, Some(stale(generation)));
            rig.open_with(Some(Generation(generation + 1)));
        }
    }
    assert_eq!(rig.the_end().kind(), ErrorKind::Server(ServerError::InvalidAuthToken));
    assert!(rig.watches.is_streaming());
}

// I-W16: a later one is another one.
#[test]
fn a_token_is_renewed_again_after_the_watch_was_taken() {
    let mut rig = Rig::new(settings());
    rig.watch(1, watch("k").from_revision(5)).open_with(Some(Generation(1)));
    for generation in 2..10 {
        assert_eq!(rig.creations().len(), 1);
        rig.answer(refused(STALE));
        assert!(rig.ends().is_empty(), "{generation}");
        rig.rest_until_attempt().open_with(Some(Generation(generation)));
        rig.create_all(9);
        rig.rest(6_000).lose();
        rig.rest_until_attempt().take_all_but_attempt();
        rig.open_with(Some(Generation(generation)));
    }
}

// connections are cut, and by the time of the next stream the token has expired.
#[test]
fn tokens_that_expire_again_and_again_end_no_watch() {
    let mut rig = Rig::new(settings());
    rig.watch(1, watch("k").from_revision(5)).open_with(Some(Generation(1)));
    for generation in 2..10 {
        rig.rest(1_500);
        assert!(rig.creations().len() <= 1);
        rig.answer(refused(STALE));
        assert!(rig.ends().is_empty(), "{generation}");
        rig.rest_until_attempt().open_with(Some(Generation(generation)));
    }
}

// A-02, H8
#[test]
fn a_denial_is_doubted_once_unless_the_stream_shows_that_its_token_is_good() {
    const DENIED: &str = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
    let mut rig = Rig::new(settings());
    rig.watch(1, watch("k").from_revision(5)).open_with(Some(Generation(1)));
    rig.creations();
    rig.answer(refused(DENIED)).take_all_but_attempt();
    rig.rest_until_attempt();
    let stale = rig.attempt().stale_token;
    let expected = StaleToken { generation: Generation(1), reason: TokenReason::Denied };
    assert_eq!(stale, Some(expected));
    rig.open_with(Some(Generation(2)));
    rig.creations();
    rig.answer(refused(DENIED));
    assert!(rig.the_end().is_permission_denied());
    assert!(rig.watches.is_streaming());
    // And so is another one, without another stream, for a minute.
    rig.watch(2, watch("k").from_revision(5));
    rig.creations();
    rig.answer(refused(DENIED));
    assert!(rig.the_end().is_permission_denied());
    assert!(rig.watches.is_streaming());
}

// I-A2: nobody is asked again for what is known.
#[test]
fn without_a_token_all_watches_end() {
    let mut rig = Rig::new(settings());
    rig.watch(1, watch("k").from_revision(5));
    let login = etcd3_core::Error::new(ErrorKind::Server(ServerError::AuthFailed));
    rig.take_attempt().expect("an attempt");
    rig.feed(etcd3_core::watch::Input::NoToken(Some(login)));
    assert_eq!(rig.the_end().kind(), ErrorKind::Server(ServerError::AuthFailed));
    assert!(rig.watches.is_empty());
}

#[test]
fn without_a_token_there_is_none_to_renew() {
    let mut rig = Rig::new(settings());
    rig.watch(1, watch("k").from_revision(5)).open();
    rig.creations();
    rig.answer(refused(STALE));
    assert_eq!(rig.the_end().kind(), ErrorKind::Server(ServerError::InvalidAuthToken));
    assert!(rig.watches.is_streaming());
}

// I-W16: a token that is refused whenever it is new.
#[test]
fn a_stream_whose_every_token_is_refused_ends_all() {
    let mut rig = Rig::new(settings());
    rig.watch(1, watch("k").from_revision(5)).open_with(Some(Generation(1)));
    rig.end_with(Code::Unauthenticated, ServerError::InvalidAuthToken.text());
    assert!(rig.ends().is_empty());
    for generation in 2..10 {
        rig.rest_until_attempt();
        let stale = rig.attempt().stale_token;
        assert_eq!(stale, Some(self::stale(generation - 1)));
        rig.open_with(Some(Generation(generation)));
        rig.end_with(Code::Unauthenticated, ServerError::InvalidAuthToken.text());
        let ends = rig.ends();
        if let [(1, error)] = &ends[..] {
            assert_eq!(error.kind(), ErrorKind::Server(ServerError::InvalidAuthToken));
            assert!(generation <= 4, "after {generation} tokens");
            return;
        }
    }
    panic!("it never ends");
}

// I-W8: a refusal is an answer, and the stream is not silent.
#[test]
fn a_refusal_counts_as_an_answer() {
    let mut rig = Rig::new(settings());
    rig.watch(1, watch("k").from_revision(5)).open();
    rig.rest(5_000);
    assert!(!rig.watches.is_streaming(), "not answered");
    rig.take_all_but_attempt();
    rig.reopen();
    rig.creations();
    rig.answer(refused(DENIED));
    rig.watch(2, watch("k").from_revision(5));
    rig.creations();
    rig.rest(5_000);
    assert!(!rig.watches.is_streaming(), "the patience is that for a server that answers");
    assert_eq!(rig.watches.position(WatcherKey(2)), Some(5));
}
