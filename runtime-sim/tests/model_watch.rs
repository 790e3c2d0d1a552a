//! The server's side of watch streams, one test a rule (W1–W28).

#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod model_support;

use etcd3::proto::etcdserverpb as pb;
use etcd3::proto::mvccpb::event::EventType;
use etcd3_sim::model::{ClusterConfig, Delays, ProgressPolicy};
use model_support::*;
use pb::request_op::Request::{RequestDeleteRange, RequestPut};
use pb::watch_create_request::FilterType;
use std::time::Duration;

/// Long enough to catch up, short enough for no progress notification.
const SOON: Duration = Duration::from_millis(500);

fn revisions(messages: &[pb::WatchResponse]) -> Vec<i64> {
    let events = messages.iter().flat_map(|message| &message.events);
    events.map(|event| event.kv.as_ref().unwrap().mod_revision).collect()
}

fn header_revision(message: &pb::WatchResponse) -> i64 {
    message.header.unwrap().revision
}

fn from(start_revision: i64) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest { start_revision, ..create("a") }
}

fn with_id(watch_id: i64) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest { watch_id, ..create("a") }
}

fn is_refusal(message: &pb::WatchResponse, reason: &str) -> bool {
    message.created
        && message.canceled
        && message.watch_id == -1
        && message.compact_revision == 0
        && message.cancel_reason == reason
}

#[test]
fn w1_orders_without_content_are_ignored() {
    let etcd = &mut Alone::new(NEW);
    let stream = etcd.open();
    let empty = pb::WatchRequest { request_union: None };
    let messages = etcd.watch(stream, [empty, order(create("a"))], SOON);
    assert_eq!(messages.len(), 1);
    assert!(messages[0].created);
}

#[test]
fn w2_ids_count_up_skip_those_in_use_and_never_go_back() {
    for version in VERSIONS {
        let etcd = &mut Alone::new(version);
        let stream = etcd.open();
        let orders = [
            order(with_id(0)),
            order(with_id(1)),
            order(with_id(0)),
            cancel(0),
            order(with_id(0)),
            order(with_id(-1)),
            cancel(-1),
        ];
        let messages = etcd.watch(stream, orders, SOON);
        let ids: Vec<_> = messages.iter().map(|m| (m.watch_id, m.created)).collect();
        let made = [(0, true), (1, true), (2, true), (0, false), (3, true), (-1, true)];
        assert_eq!(ids[..6], made);
        assert_eq!(ids[6], (-1, false), "-1 is an id like any other");
    }
}

#[test]
fn w3_a_duplicate_id_is_refused_and_the_watcher_lives_on() {
    let etcd = &mut Alone::new(NEW);
    let stream = etcd.open();
    let messages = etcd.watch(stream, [order(with_id(7)), order(with_id(7))], SOON);
    let reason = "mvcc: duplicate watch ID provided on the WatchStream";
    assert!(is_refusal(&messages[1], reason), "{messages:?}");
    etcd.put("a", "1");
    let messages = etcd.watch(stream, [], SOON);
    assert_eq!((messages[0].watch_id, revisions(&messages)), (7, vec![2]));
}

#[test]
fn w4_creates_are_answered_in_order_and_before_their_events() {
    for version in VERSIONS {
        let mut config = ClusterConfig::new(1, personality(version), 7);
        config.delays = Delays { created: (ms(5), ms(5)), ..Delays::NONE };
        let etcd = &mut Alone::with(config);
        etcd.put("a", "1");
        let stream = etcd.open();
        let orders = (1..=50).map(|id| order(pb::WatchCreateRequest { watch_id: id, ..from(2) }));
        for order in orders {
            etcd.cluster.watch(etcd.now, stream, order);
        }
        etcd.put("a", "2");
        let messages = etcd.watch(stream, [], SOON);
        let created: Vec<_> = messages.iter().filter(|m| m.created).map(|m| m.watch_id).collect();
        assert_eq!(created, (1..=50).collect::<Vec<_>>());
        for id in 1..=50 {
            let of_id: Vec<_> = messages.iter().filter(|m| m.watch_id == id).cloned().collect();
            assert!(of_id[0].created);
            assert_eq!(revisions(&of_id), [2, 3]);
        }
    }
}

#[test]
fn w5_a_created_message_has_the_revision_and_no_events() {
    let etcd = &mut Alone::new(NEW);
    etcd.put("a", "1");
    let stream = etcd.open();
    let messages = etcd.watch(stream, [order(create("a"))], SOON);
    assert_eq!(messages.len(), 1);
    assert_eq!((header_revision(&messages[0]), messages[0].events.len()), (2, 0));
    let header = messages[0].header.unwrap();
    assert_eq!((header.cluster_id, header.member_id), (etcd.cluster.id(), etcd.member));
    assert_eq!(header.raft_term, etcd.cluster.term());
}

#[test]
fn w6_a_start_is_inclusive_and_0_is_from_now_on() {
    for version in VERSIONS {
        let etcd = &mut Alone::new(version);
        etcd.put("a", "1");
        etcd.put("a", "2");
        let streams = [0, 3, 5].map(|start| (etcd.open(), start));
        for (stream, start) in streams {
            etcd.watch(stream, [order(from(start))], Duration::ZERO);
        }
        etcd.put("a", "3");
        etcd.put("a", "4");
        let seen = streams.map(|(stream, _)| revisions(&etcd.watch(stream, [], SOON)));
        assert_eq!(seen, [vec![4, 5], vec![3, 4, 5], vec![5]]);
    }
}

#[test]
fn w7_a_start_below_0_is_refused_or_taken_for_now() {
    let reason = "etcdserver: mvcc: required revision has been compacted";
    for start in [-1, -2] {
        let etcd = &mut Alone::new(NEW);
        let stream = etcd.open();
        let taken = pb::WatchCreateRequest { range_end: bytes("0"), ..from(start) };
        let messages = etcd.watch(stream, [order(taken)], SOON);
        assert!(is_refusal(&messages[0], reason), "even before the empty range: {messages:?}");
    }
    for version in [OLD, MIDDLE] {
        let etcd = &mut Alone::new(version);
        etcd.put("a", "1");
        let stream = etcd.open();
        let messages = etcd.watch(stream, [order(from(-1)), order(from(-2))], SOON);
        let cancelled = &messages[2];
        assert_eq!((messages.len(), cancelled.watch_id), (3, 1));
        assert_eq!((cancelled.canceled, cancelled.compact_revision), (true, -1));
        etcd.put("a", "2");
        assert_eq!(revisions(&etcd.watch(stream, [], SOON)), [3], "no history");
        etcd.compact(2).unwrap();
        let messages = etcd.watch(stream, [order(from(-1))], SOON);
        assert_eq!(messages[1].compact_revision, 2);
    }
}

#[test]
fn w8_a_compacted_start_is_created_then_cancelled() {
    for version in VERSIONS {
        let etcd = &mut Alone::new(version);
        for value in ["1", "2", "3"] {
            etcd.put("a", value);
        }
        etcd.compact(3).unwrap();
        let stream = etcd.open();
        let messages = etcd.watch(stream, [order(from(2)), order(from(3))], SOON);
        assert!(messages[0].created && !messages[0].canceled);
        let ended = &messages[2];
        assert_eq!((ended.watch_id, ended.canceled, ended.created), (0, true, false));
        assert_eq!((ended.compact_revision, header_revision(ended)), (3, 0));
        assert_eq!(ended.cancel_reason, "");
        assert_eq!(revisions(&messages[3..]), [3, 4], "the compacted revision itself is there");
        let messages = etcd.watch(stream, [cancel(0), cancel(0)], SOON);
        assert_eq!(messages.len(), 1, "a cancel is still answered, once");
        assert_eq!((messages[0].canceled, messages[0].compact_revision), (true, 0));
    }
}

#[test]
fn w9_a_batch_has_whole_revisions_and_the_current_one_in_its_header() {
    let etcd = &mut Alone::new(NEW);
    for n in 0..1500 {
        let ops = vec![RequestPut(put("a", "1")), RequestPut(put("ab", &n.to_string()))];
        etcd.txn(ops).unwrap();
    }
    let stream = etcd.open();
    let all = pb::WatchCreateRequest { range_end: bytes("b"), ..from(2) };
    let messages = etcd.watch(stream, [order(all)], SOON);
    let events: Vec<_> = messages.iter().map(|m| m.events.len()).collect();
    assert_eq!(events, [0, 2000, 1000]);
    assert!(messages.iter().all(|message| header_revision(message) == 1501));
    let all: Vec<_> = (2..=1501).flat_map(|revision| [revision, revision]).collect();
    assert_eq!(revisions(&messages), all);
}

#[test]
fn w10_the_previous_pair_comes_on_request_but_not_for_a_creation() {
    for version in VERSIONS {
        let etcd = &mut Alone::new(version);
        let stream = etcd.open();
        let watch = pb::WatchCreateRequest { prev_kv: true, ..create("a") };
        etcd.watch(stream, [order(watch)], SOON);
        etcd.put("a", "1");
        etcd.put("a", "2");
        etcd.delete("a");
        etcd.put("a", "3");
        // A deletion with an open end and a put of the same key get past the check for doubles.
        let ops = vec![RequestDeleteRange(delete_range("a", "\0")), RequestPut(put("a", "4"))];
        etcd.txn(ops).unwrap();
        let messages = etcd.watch(stream, [], SOON);
        let previous: Vec<_> = messages
            .iter()
            .flat_map(|message| &message.events)
            .map(|event| event.prev_kv.as_ref().map(|kv| kv.value.clone()))
            .collect();
        let value = |text| Some(bytes(text));
        assert_eq!(previous, [None, value("1"), value("2"), None, value("3"), None]);
    }
}

#[test]
fn w11_filters_drop_events_and_empty_messages() {
    let etcd = &mut Alone::new(NEW);
    let stream = etcd.open();
    let without =
        |filter: FilterType| pb::WatchCreateRequest { filters: vec![filter.into()], ..create("a") };
    let orders = [order(without(FilterType::Noput)), order(without(FilterType::Nodelete))];
    etcd.watch(stream, orders, SOON);
    etcd.put("a", "1");
    etcd.delete("a");
    let messages = etcd.watch(stream, [], SOON);
    let seen: Vec<_> = messages.iter().map(|m| (m.watch_id, m.events[0].r#type())).collect();
    assert_eq!(seen, [(1, EventType::Put), (0, EventType::Delete)]);
}

#[test]
fn w12_a_cancel_is_answered_only_for_a_known_id() {
    let etcd = &mut Alone::new(NEW);
    let stream = etcd.open();
    let orders = [order(create("a")), cancel(5), cancel(0), cancel(0)];
    let messages = etcd.watch(stream, orders, SOON);
    assert_eq!(messages.len(), 2);
    let ended = &messages[1];
    assert_eq!((ended.watch_id, ended.canceled, ended.cancel_reason.as_str()), (0, true, ""));
    etcd.put("a", "1");
    assert!(etcd.watch(stream, [], SOON).is_empty());
    assert_eq!(etcd.cluster.watch_counts(), (1, 0));
}

#[test]
fn w13_an_empty_range_is_refused() {
    for version in VERSIONS {
        let etcd = &mut Alone::new(version);
        let stream = etcd.open();
        let ends = ["a", "A"];
        let orders =
            ends.map(|end| order(pb::WatchCreateRequest { range_end: bytes(end), ..with_id(7) }));
        for message in etcd.watch(stream, orders, SOON) {
            assert!(is_refusal(&message, "mvcc: watcher range is empty"), "{message:?}");
        }
        let open = pb::WatchCreateRequest { range_end: bytes("\0"), ..create("") };
        assert!(!etcd.watch(stream, [order(open)], SOON)[0].canceled, "from the lowest key on");
    }
}

#[test]
fn w17_all_refusals_carry_the_id_minus_1() {
    let etcd = &mut Alone::new(NEW);
    let stream = etcd.open();
    let empty = pb::WatchCreateRequest { range_end: bytes("A"), watch_id: 9, ..create("a") };
    let orders = [order(empty), order(with_id(3)), order(with_id(3)), order(from(-1))];
    let messages = etcd.watch(stream, orders, SOON);
    let ids: Vec<_> = messages.iter().map(|message| message.watch_id).collect();
    assert_eq!(ids, [-1, 3, -1, -1], "in the order of the creates");
}

#[test]
fn w22_progress_is_told_when_there_were_no_events() {
    for version in VERSIONS {
        let etcd = &mut Alone::new(version);
        let stream = etcd.open();
        let notify = pb::WatchCreateRequest { progress_notify: true, ..create("a") };
        etcd.watch(stream, [order(notify), order(create("b"))], SOON);
        etcd.put("c", "1");
        // Ten minutes and up to a tenth more.
        let messages = etcd.watch(stream, [], Duration::from_secs(661));
        assert_eq!(messages.len(), 1, "{messages:?}");
        assert_eq!((messages[0].watch_id, header_revision(&messages[0])), (0, 2));
        etcd.put("a", "1");
        let messages = etcd.watch(stream, [], Duration::from_secs(600));
        assert_eq!(messages.len(), 1, "an event is progress enough: {messages:?}");
        assert_eq!(revisions(&messages), [3]);
    }
}

#[test]
fn w23_progress_on_request_is_told_when_all_are_caught_up() {
    for version in VERSIONS {
        let etcd = &mut Alone::new(version);
        etcd.put("a", "1");
        let stream = etcd.open();
        let without = etcd.watch(stream, [progress()], SOON);
        assert_eq!(without.len(), usize::from(version == OLD), "with no watcher");
        let caught_up = etcd.watch(stream, [order(create("a")), progress()], SOON);
        assert_eq!((caught_up[1].watch_id, header_revision(&caught_up[1])), (-1, 2));
        assert!(!caught_up[1].created && caught_up[1].events.is_empty());
        // Even the very next revision is the future.
        let future = etcd.watch(stream, [order(from(3)), progress()], SOON);
        assert_eq!(future.len(), if version >= NEW { 1 } else { 2 }, "with a future start");
        etcd.put("a", "2");
        let begun = etcd.watch(stream, [progress()], SOON);
        assert_eq!(begun.last().unwrap().watch_id, -1);
        let compacted = {
            etcd.compact(3).unwrap();
            etcd.watch(stream, [order(from(2))], SOON);
            etcd.watch(stream, [progress()], SOON)
        };
        assert_eq!(compacted.len(), usize::from(version == OLD), "with a compacted watcher");
    }
}

#[test]
fn w24_progress_overtakes_events_on_old_servers() {
    for version in VERSIONS {
        let etcd = &mut Alone::new(version);
        etcd.put("a", "1");
        let stream = etcd.open();
        let messages = etcd.watch(stream, [order(from(2)), progress()], SOON);
        if personality(version).progress == ProgressPolicy::Always {
            assert_eq!((messages[1].watch_id, header_revision(&messages[1])), (-1, 2));
            assert_eq!(revisions(&messages[2..]), [2], "after it was said to be known");
        } else {
            assert_eq!((messages.len(), revisions(&messages)), (2, vec![2]), "no answer");
        }
    }
}

/// Thirty events of 160 kB.
fn large_history(etcd: &mut Alone) {
    let value = "x".repeat(160_000);
    for _ in 0..30 {
        etcd.put("a", &value);
    }
}

#[test]
fn w26_a_large_response_is_cut_when_that_was_asked_for() {
    let etcd = &mut Alone::new(NEW);
    large_history(etcd);
    let stream = etcd.open();
    let watch = pb::WatchCreateRequest { fragment: true, ..from(2) };
    let messages = etcd.watch(stream, [order(watch)], SOON);
    let parts: Vec<_> = messages[1..].iter().map(|m| (m.events.len(), m.fragment)).collect();
    assert_eq!(parts, [(13, true), (13, true), (4, false)]);
    assert!(messages.iter().all(|message| message.watch_id == 0));
    assert!(messages.iter().all(|message| header_revision(message) == 31));
    assert_eq!(revisions(&messages), (2..=31).collect::<Vec<_>>());
}

#[test]
fn w27_a_large_response_is_sent_whole_otherwise() {
    let etcd = &mut Alone::new(NEW);
    large_history(etcd);
    let stream = etcd.open();
    let messages = etcd.watch(stream, [order(from(2))], SOON);
    assert_eq!((messages.len(), messages[1].events.len(), messages[1].fragment), (2, 30, false));
}

#[test]
fn w28_what_waited_for_the_created_message_is_sent_whole() {
    let mut config = ClusterConfig::new(1, personality(NEW), 7);
    config.delays = Delays { created: (ms(300), ms(300)), ..Delays::NONE };
    let etcd = &mut Alone::with(config);
    large_history(etcd);
    let stream = etcd.open();
    let watch = pb::WatchCreateRequest { fragment: true, ..from(2) };
    let messages = etcd.watch(stream, [order(watch)], SOON);
    assert!(messages[0].created);
    assert_eq!((messages.len(), messages[1].events.len(), messages[1].fragment), (2, 30, false));
}

// H1: the header is read late, so that events of the watch lie at or below its revision.
#[test]
fn h1_the_created_header_may_be_ahead_of_events() {
    for version in VERSIONS {
        let mut config = ClusterConfig::new(1, personality(version), 7);
        config.delays = Delays { created: (ms(5), ms(5)), ..Delays::NONE };
        let etcd = &mut Alone::with(config);
        let stream = etcd.open();
        etcd.cluster.watch(etcd.now, stream, order(create("a")));
        etcd.put("a", "1");
        etcd.put("a", "2");
        let messages = etcd.watch(stream, [], SOON);
        assert!(messages[0].created);
        assert_eq!(revisions(&messages), [2, 3]);
        let expected = if version >= NEW { 3 } else { 1 };
        assert_eq!(header_revision(&messages[0]), expected);
    }
}

// W67: on old servers a compaction at the revision of a deletion forgets the deletion.
#[test]
fn w67_a_deletion_at_the_compacted_revision() {
    for version in VERSIONS {
        let etcd = &mut Alone::new(version);
        etcd.put("a", "1");
        let deleted = etcd.delete("a");
        etcd.put("a", "2");
        etcd.compact(deleted).unwrap();
        let stream = etcd.open();
        let seen = revisions(&etcd.watch(stream, [order(from(deleted))], SOON));
        assert_eq!(seen, if version == OLD { vec![4] } else { vec![3, 4] });
    }
}

/// Two watchers on a member that gets five revisions as a snapshot: one from now on that has seen
/// revision 2, one from revision 9 on.
fn after_snapshot(version: (u16, u16, u16)) -> Vec<pb::WatchResponse> {
    let mut config = ClusterConfig::new(2, personality(version), 7);
    config.delays = Delays::NONE;
    let etcd = &mut Alone::with(config);
    let leader = etcd.cluster.leader().unwrap();
    let follower = etcd.cluster.member_ids().into_iter().find(|id| *id != leader).unwrap();
    etcd.member = follower;
    let stream = etcd.open();
    etcd.member = leader;
    etcd.watch(stream, [order(create("a")), order(from(9))], SOON);
    etcd.put("a", "1");
    assert_eq!(revisions(&etcd.watch(stream, [], SOON)), [2]);
    etcd.cluster.hold_applying(etcd.now, follower, true);
    for value in ["2", "3", "4", "5", "6"] {
        etcd.put("a", value);
    }
    etcd.cluster.send_snapshot(etcd.now, follower);
    let mut messages = etcd.watch(stream, [], SOON);
    etcd.put("a", "7");
    messages.extend(etcd.watch(stream, [], SOON));
    messages
}

// W-12, W-13: what a snapshot does to watchers.
#[test]
fn a_snapshot_is_followed_by_what_was_missed() {
    for version in VERSIONS {
        let messages = after_snapshot(version);
        let of = |id| {
            let of_id = messages.iter().filter(|message| message.watch_id == id).cloned();
            revisions(&of_id.collect::<Vec<_>>())
        };
        let replays = version == OLD;
        assert_eq!(of(0), (if replays { 2 } else { 3 }..=8).collect::<Vec<_>>(), "{version:?}");
        let forgets = version < NEW;
        assert_eq!(of(1), if forgets { vec![8] } else { vec![] }, "{version:?}");
    }
}
