//! The fifty-one facts that real servers agree on (reliability register 3.5), one test each.

#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod model_support;

use etcd3::Code::{FailedPrecondition, InvalidArgument, NotFound, OutOfRange, ResourceExhausted};
use etcd3::proto::etcdserverpb as pb;
use etcd3::proto::mvccpb::event::EventType;
use etcd3_sim::model::{min_ttl, rpc};
use model_support::*;
use pb::compare::{CompareResult, TargetUnion};
use pb::request_op::Request::{RequestDeleteRange, RequestPut, RequestRange};
use pb::response_op::Response as Done;
use std::time::Duration;

const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";
const FUTURE: &str = "etcdserver: mvcc: required revision is a future revision";
const DUPLICATE: &str = "etcdserver: duplicate key given in txn request";
const NO_LEASE: &str = "etcdserver: requested lease not found";

/// One test of a fact, on each version.
macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident: |$etcd:ident| $body:block)*) => {
        $($(#[$doc])* #[test] fn $name() {
            for version in VERSIONS {
                let $etcd = &mut Alone::new(version);
                $body
            }
        })*
    };
}

/// Five keys, k1 to k5, at the revisions 2 to 6.
fn five_keys(etcd: &mut Alone) {
    for n in 1..=5 {
        etcd.put(&format!("k{n}"), "v");
    }
}

fn five() -> pb::RangeRequest {
    range("k", "l")
}

/// A store with the revisions 2 to 4, compacted at 3.
fn compacted(etcd: &mut Alone) {
    for value in ["1", "2", "3"] {
        etcd.put("a", value);
    }
    etcd.compact(3).unwrap();
}

fn holds(etcd: &mut Alone, compare: pb::Compare) -> bool {
    etcd.call(txn(vec![compare], vec![], vec![])).unwrap().succeeded
}

facts! {
    // Fact 1
    a_fresh_store_is_at_revision_1: |etcd| {
        assert_eq!(etcd.revision(), 1);
    }
    // Fact 2
    the_first_put_is_revision_2: |etcd| {
        assert_eq!(etcd.put("a", "1"), 2);
    }
    // Fact 3
    deleting_a_missing_key_does_not_move_the_revision: |etcd| {
        assert_eq!(etcd.delete("a"), 1);
        assert_eq!(etcd.revision(), 1);
    }
    // Fact 4
    a_read_only_txn_does_not_move_the_revision: |etcd| {
        etcd.put("a", "1");
        let done = etcd.txn(vec![RequestRange(get("a"))]).unwrap();
        assert_eq!(done.header.unwrap().revision, 2);
        assert_eq!(etcd.revision(), 2);
    }
    // Fact 5
    an_empty_txn_does_not_move_the_revision: |etcd| {
        assert!(etcd.txn(vec![]).unwrap().succeeded);
        assert_eq!(etcd.revision(), 1);
    }
    // Fact 6
    all_operations_of_a_txn_share_one_revision: |etcd| {
        etcd.txn(vec![RequestPut(put("a", "1")), RequestPut(put("b", "1"))]).unwrap();
        assert_eq!(etcd.get("a").unwrap().mod_revision, 2);
        assert_eq!(etcd.get("b").unwrap().mod_revision, 2);
        assert_eq!(etcd.revision(), 2);
    }
    // Fact 7, K51
    inner_headers_carry_the_revision_and_nothing_else: |etcd| {
        let ops = vec![RequestPut(put("a", "1")), RequestRange(get("a"))];
        let done = etcd.txn(ops).unwrap();
        for response in done.responses {
            let header = match response.response.unwrap() {
                Done::ResponsePut(put) => put.header,
                Done::ResponseRange(range) => range.header,
                other => panic!("{other:?}"),
            };
            assert_eq!(header, Some(pb::ResponseHeader { revision: 2, ..Default::default() }));
        }
    }
    // Fact 8
    reads_in_a_txn_see_its_earlier_writes: |etcd| {
        let ops = vec![RequestPut(put("a", "1")), RequestRange(get("a"))];
        let done = etcd.txn(ops).unwrap();
        let Some(Done::ResponseRange(read)) = &done.responses[1].response else { panic!() };
        assert_eq!(read.kvs[0].value, "1");
    }
    // Fact 9
    reads_in_a_txn_see_its_earlier_deletions: |etcd| {
        etcd.put("a", "1");
        let ops = vec![RequestDeleteRange(delete("a")), RequestRange(get("a"))];
        let done = etcd.txn(ops).unwrap();
        let Some(Done::ResponseRange(read)) = &done.responses[1].response else { panic!() };
        assert_eq!((read.kvs.len(), read.count), (0, 0));
    }
    // Fact 10
    a_key_put_twice_in_a_txn_is_refused: |etcd| {
        let twice = etcd.txn(vec![RequestPut(put("a", "1")), RequestPut(put("a", "2"))]);
        refused(twice, InvalidArgument, DUPLICATE);
    }
    // Fact 11
    a_put_inside_of_a_deleted_range_is_refused: |etcd| {
        let ops = vec![RequestDeleteRange(delete_range("a", "c")), RequestPut(put("b", "2"))];
        refused(etcd.txn(ops), InvalidArgument, DUPLICATE);
    }
    // Fact 12
    a_key_deleted_twice_in_a_txn_is_fine: |etcd| {
        etcd.put("a", "1");
        let ops = vec![RequestDeleteRange(delete("a")), RequestDeleteRange(delete("a"))];
        let done = etcd.txn(ops).unwrap();
        let deleted: Vec<_> = done.responses.into_iter().map(|r| match r.response.unwrap() {
            Done::ResponseDeleteRange(delete) => delete.deleted,
            other => panic!("{other:?}"),
        }).collect();
        assert_eq!(deleted, [1, 0]);
    }
    // Fact 13
    a_key_made_again_begins_anew: |etcd| {
        etcd.put("a", "1");
        etcd.delete("a");
        etcd.put("a", "2");
        let kv = etcd.get("a").unwrap();
        assert_eq!((kv.version, kv.create_revision, kv.mod_revision), (1, 4, 4));
    }
    // Fact 14
    a_missing_key_compares_as_version_0: |etcd| {
        assert!(holds(etcd, compare("a", CompareResult::Equal, TargetUnion::Version(0))));
        assert!(!holds(etcd, compare("a", CompareResult::Greater, TargetUnion::Version(0))));
    }
    // Fact 15
    a_missing_key_compares_as_create_revision_0: |etcd| {
        assert!(holds(etcd, compare("a", CompareResult::Equal, TargetUnion::CreateRevision(0))));
        assert!(holds(etcd, compare("a", CompareResult::Less, TargetUnion::CreateRevision(1))));
    }
    // Fact 16
    a_missing_key_compares_as_mod_revision_0: |etcd| {
        assert!(holds(etcd, compare("a", CompareResult::Equal, TargetUnion::ModRevision(0))));
        assert!(!holds(etcd, compare("a", CompareResult::NotEqual, TargetUnion::ModRevision(0))));
    }
    // Fact 17
    a_missing_key_compares_as_lease_0: |etcd| {
        assert!(holds(etcd, compare("a", CompareResult::Equal, TargetUnion::Lease(0))));
        assert!(holds(etcd, compare("a", CompareResult::NotEqual, TargetUnion::Lease(5))));
    }
    // Fact 18, K42
    no_compare_of_the_value_of_a_missing_key_holds: |etcd| {
        use CompareResult::{Equal, Greater, Less, NotEqual};
        for result in [Equal, Greater, Less, NotEqual] {
            assert!(!holds(etcd, compare("a", result, TargetUnion::Value(bytes("")))));
        }
    }
    // Fact 19, K43
    no_key_of_an_empty_range_has_a_version: |etcd| {
        let mut compare = compare("a", CompareResult::Greater, TargetUnion::Version(0));
        compare.range_end = bytes("b");
        assert!(!holds(etcd, compare));
    }
    // Fact 20
    a_read_above_the_head_is_refused: |etcd| {
        let read = etcd.call(pb::RangeRequest { revision: 2, ..get("a") });
        refused(read, OutOfRange, FUTURE);
    }
    // Fact 21
    a_read_below_the_compacted_revision_is_refused: |etcd| {
        compacted(etcd);
        let read = etcd.call(pb::RangeRequest { revision: 2, ..get("a") });
        refused(read, OutOfRange, COMPACTED);
    }
    // Fact 22
    the_compacted_revision_itself_is_readable: |etcd| {
        compacted(etcd);
        let read = etcd.call(pb::RangeRequest { revision: 3, ..get("a") }).unwrap();
        assert_eq!(read.kvs[0].value, "2");
        assert_eq!(read.header.unwrap().revision, 4);
    }
    // Fact 23
    compacting_again_is_refused: |etcd| {
        compacted(etcd);
        for revision in [3, 2, -1] {
            refused(etcd.compact(revision), OutOfRange, COMPACTED);
        }
    }
    // Fact 24
    compacting_at_0_is_refused_after_a_compaction: |etcd| {
        etcd.compact(0).unwrap();
        refused(etcd.compact(0), OutOfRange, COMPACTED);
        assert_eq!(etcd.put("a", "1"), 2);
    }
    // Fact 25
    compacting_above_the_head_is_refused: |etcd| {
        refused(etcd.compact(2), OutOfRange, FUTURE);
    }
    // Fact 26
    a_limit_cuts_and_says_so: |etcd| {
        five_keys(etcd);
        let read = etcd.call(pb::RangeRequest { limit: 2, ..five() }).unwrap();
        assert_eq!((read.kvs.len(), read.count, read.more), (2, 5, true));
    }
    // Fact 27
    count_only_counts: |etcd| {
        five_keys(etcd);
        let count = pb::RangeRequest { count_only: true, limit: 2, ..five() };
        let read = etcd.call(count).unwrap();
        assert_eq!((read.kvs.len(), read.count, read.more), (0, 5, false));
    }
    // Fact 28
    the_count_ignores_limit_and_filters: |etcd| {
        five_keys(etcd);
        let read = pb::RangeRequest { limit: 1, min_mod_revision: 4, ..five() };
        let read = etcd.call(read).unwrap();
        assert_eq!((read.kvs.len(), read.count, read.more), (1, 5, true));
        assert_eq!(read.kvs[0].key, "k3");
    }
    // Fact 29
    a_reversed_range_is_empty: |etcd| {
        five_keys(etcd);
        let read = etcd.call(range("l", "k")).unwrap();
        assert_eq!((read.kvs.len(), read.count), (0, 0));
        assert_eq!(etcd.call(delete_range("l", "k")).unwrap().deleted, 0);
    }
    // Fact 30
    an_empty_key_is_refused: |etcd| {
        const TEXT: &str = "etcdserver: key is not provided";
        refused(etcd.call(get("")), InvalidArgument, TEXT);
        refused(etcd.call(put("", "")), InvalidArgument, TEXT);
        refused(etcd.call(delete("")), InvalidArgument, TEXT);
        let compare = compare("", CompareResult::Equal, TargetUnion::Version(0));
        refused(etcd.call(txn(vec![compare], vec![], vec![])), InvalidArgument, TEXT);
    }
    // Fact 31
    keeping_the_value_of_a_missing_key_is_refused: |etcd| {
        let keep = pb::PutRequest { ignore_value: true, ..put("a", "") };
        refused(etcd.call(keep), InvalidArgument, "etcdserver: key not found");
    }
    // Fact 32
    keeping_the_value_and_giving_one_is_refused: |etcd| {
        let keep = pb::PutRequest { ignore_value: true, ..put("a", "1") };
        refused(etcd.call(keep), InvalidArgument, "etcdserver: value is provided");
    }
    // Fact 33
    an_unknown_lease_is_refused: |etcd| {
        let leased = pb::PutRequest { lease: 5, ..put("a", "1") };
        refused(etcd.call(leased), NotFound, NO_LEASE);
        assert_eq!(etcd.revision(), 1);
    }
    // Fact 34
    a_time_to_live_of_1_is_raised: |etcd| {
        assert_eq!(etcd.grant(1, 1), Ok(2));
    }
    // Fact 35
    a_time_to_live_of_0_is_raised: |etcd| {
        assert_eq!(etcd.grant(1, 0), Ok(2));
    }
    // Fact 36
    a_time_to_live_below_0_is_raised: |etcd| {
        assert_eq!(etcd.grant(1, -5), Ok(2));
    }
    // Fact 38
    a_time_to_live_has_an_upper_limit: |etcd| {
        assert_eq!(etcd.grant(1, 9_000_000_000), Ok(9_000_000_000));
        refused(etcd.grant(2, 9_000_000_001), OutOfRange, "etcdserver: too large lease TTL");
    }
    // Fact 39
    a_grant_does_not_move_the_revision: |etcd| {
        etcd.grant(1, 60).unwrap();
        assert_eq!(etcd.revision(), 1);
    }
    // Fact 40
    revoking_a_lease_without_keys_does_not_move_the_revision: |etcd| {
        etcd.grant(1, 60).unwrap();
        etcd.call(pb::LeaseRevokeRequest { id: 1 }).unwrap();
        assert_eq!(etcd.revision(), 1);
    }
    // Fact 41
    revoking_a_lease_deletes_its_keys_in_one_revision: |etcd| {
        etcd.grant(1, 60).unwrap();
        for key in ["b", "a", "c"] {
            etcd.call(pb::PutRequest { lease: 1, ..put(key, "1") }).unwrap();
        }
        let revoked = etcd.call(pb::LeaseRevokeRequest { id: 1 }).unwrap();
        assert_eq!(revoked.header.unwrap().revision, 5);
        assert_eq!(etcd.call(range("a", "z")).unwrap().count, 0);
        assert_eq!(etcd.revision(), 5);
    }
    // Fact 42
    a_lease_id_is_granted_once: |etcd| {
        etcd.grant(1, 60).unwrap();
        refused(etcd.grant(1, 60), FailedPrecondition, "etcdserver: lease already exists");
    }
    // Fact 43
    renewing_an_unknown_lease_is_answered_with_0: |etcd| {
        let renewed = etcd.ask(pb::LeaseKeepAliveRequest { id: 5 }).unwrap();
        let renewed = pb::LeaseKeepAliveResponse::try_from(renewed).unwrap();
        assert_eq!((renewed.id, renewed.ttl, renewed.header.unwrap().revision), (5, 0, 1));
    }
    // Fact 44
    an_unknown_lease_has_minus_1_to_live: |etcd| {
        let left = etcd.call(pb::LeaseTimeToLiveRequest { id: 5, keys: true }).unwrap();
        assert_eq!((left.id, left.ttl, left.granted_ttl), (5, -1, 0));
    }
    // Fact 45
    revoking_an_unknown_lease_is_refused: |etcd| {
        refused(etcd.call(pb::LeaseRevokeRequest { id: 5 }), NotFound, NO_LEASE);
    }
    // Fact 46
    a_put_without_a_lease_detaches_the_key: |etcd| {
        etcd.grant(1, 60).unwrap();
        etcd.call(pb::PutRequest { lease: 1, ..put("a", "1") }).unwrap();
        etcd.put("a", "2");
        assert_eq!(etcd.get("a").unwrap().lease, 0);
        let left = etcd.call(pb::LeaseTimeToLiveRequest { id: 1, keys: true }).unwrap();
        assert!(left.keys.is_empty());
    }
    // Fact 47
    a_put_can_keep_the_lease: |etcd| {
        etcd.grant(1, 60).unwrap();
        etcd.call(pb::PutRequest { lease: 1, ..put("a", "1") }).unwrap();
        etcd.call(pb::PutRequest { ignore_lease: true, ..put("a", "2") }).unwrap();
        let kv = etcd.get("a").unwrap();
        assert_eq!((kv.lease, kv.value), (1, bytes("2")));
    }
    // Fact 48, K31
    a_txn_of_129_operations_is_refused: |etcd| {
        let ops = |n| (0..n).map(|_| RequestRange(get("a"))).collect::<Vec<_>>();
        etcd.txn(ops(128)).unwrap();
        let text = "etcdserver: too many operations in txn request";
        refused(etcd.txn(ops(129)), InvalidArgument, text);
    }
    // Fact 50, W10
    delete_events_carry_only_key_and_revision: |etcd| {
        etcd.put("a", "1");
        let stream = etcd.open();
        etcd.watch(stream, [order(create("a"))], Duration::ZERO);
        etcd.delete("a");
        let messages = etcd.watch(stream, [], Duration::ZERO);
        let event = &messages[0].events[0];
        assert_eq!(event.r#type(), EventType::Delete);
        let key = bytes("a");
        let kv = etcd3::proto::mvccpb::KeyValue { key, mod_revision: 3, ..Default::default() };
        assert_eq!((event.kv.clone(), event.prev_kv.clone()), (Some(kv), None));
    }
    // Fact 51, W10
    the_previous_pair_is_absent_once_it_is_compacted: |etcd| {
        etcd.put("a", "1");
        etcd.put("a", "2");
        etcd.put("a", "3");
        etcd.compact(3).unwrap();
        let stream = etcd.open();
        let watch = pb::WatchCreateRequest { prev_kv: true, start_revision: 3, ..create("a") };
        let messages = etcd.watch(stream, [order(watch)], ms(100));
        let previous: Vec<_> = messages[1].events.iter().map(|e| e.prev_kv.clone()).collect();
        assert_eq!(previous[0], None, "revision 2 is compacted");
        assert_eq!(previous[1].as_ref().unwrap().value, "2");
    }
}

// Fact 37, C52
#[test]
fn the_shortest_time_to_live_is_one_and_a_half_election_timeouts() {
    for (timeout, ttl) in [(1000, 2), (100, 1), (2000, 3), (2001, 4), (667, 2), (666, 1)] {
        assert_eq!(min_ttl(ms(timeout)), ttl, "{timeout}");
    }
}

// Fact 49, C41
#[test]
fn a_message_over_the_limit_of_grpc_is_refused() {
    let limit = 1536 * 1024;
    assert_eq!(rpc::check_size(2 * 1024 * 1024, limit), Ok(()));
    let text = "grpc: received message larger than max (2202019 vs. 2097152)";
    refused(rpc::check_size(2_202_019, limit), ResourceExhausted, text);
}
