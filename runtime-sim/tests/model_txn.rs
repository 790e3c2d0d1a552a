//! Transactions and ranges beyond the fifty-one facts (K12, K18–K20, K31–K37, K43).
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod model_support;

use etcd3::Code::{Internal, InvalidArgument, NotFound, OutOfRange};
use etcd3::ServerError;
use etcd3::proto::etcdserverpb as pb;
use etcd3_sim::model::{Call, ClusterConfig, Delays};
use model_support::*;
use pb::compare::{CompareResult, TargetUnion};
use pb::range_request::{SortOrder, SortTarget};
use pb::request_op::Request::{RequestDeleteRange, RequestPut, RequestRange, RequestTxn};
use pb::response_op::Response as Done;

fn exists(key: &str) -> pb::Compare {
    compare(key, CompareResult::Greater, TargetUnion::Version(0))
}

/// Keys a, b, c with the versions 1, 3, 2 and the values z, x, y.
fn three(etcd: &mut Alone) {
    for (key, value) in [("b", "0"), ("a", "z"), ("b", "1"), ("c", "0"), ("b", "x"), ("c", "y")] {
        etcd.put(key, value);
    }
}

fn keys(etcd: &mut Alone, request: pb::RangeRequest) -> (String, bool) {
    let read = etcd.call(request).unwrap();
    let keys = read.kvs.iter().map(|kv| String::from_utf8(kv.key.to_vec()).unwrap()).collect();
    (keys, read.more)
}

// K10.5, K12
#[test]
fn every_order_and_target() {
    let etcd = &mut Alone::new(NEW);
    three(etcd);
    let table = [
        (SortTarget::Key, "abc"),
        (SortTarget::Version, "acb"),
        (SortTarget::Create, "bac"),
        (SortTarget::Mod, "abc"),
        (SortTarget::Value, "bca"),
    ];
    for (target, ascending) in table {
        let sorted = |order: SortOrder| pb::RangeRequest {
            sort_order: order.into(),
            sort_target: target.into(),
            ..range("a", "z")
        };
        let descending: String = ascending.chars().rev().collect();
        assert_eq!(keys(etcd, sorted(SortOrder::Ascend)).0, ascending, "{target:?}");
        assert_eq!(keys(etcd, sorted(SortOrder::Descend)).0, descending, "{target:?}");
        assert_eq!(keys(etcd, sorted(SortOrder::None)).0, ascending, "{target:?}");
    }
}

// K12: without an order the limit comes before the sorting, plus one key.
#[test]
fn a_limit_without_an_order_sorts_the_first_keys_only() {
    let etcd = &mut Alone::new(NEW);
    three(etcd);
    let first =
        pb::RangeRequest { limit: 1, sort_target: SortTarget::Value.into(), ..range("a", "z") };
    assert_eq!(keys(etcd, first.clone()), ("b".into(), true), "of a and b");
    let first = pb::RangeRequest { sort_order: SortOrder::Descend.into(), ..first };
    assert_eq!(keys(etcd, first), ("a".into(), true), "of all");
}

// K18, K19, K20
#[test]
fn filters_come_before_the_limit() {
    let etcd = &mut Alone::new(NEW);
    three(etcd);
    let limited = |limit| pb::RangeRequest { limit, min_mod_revision: 6, ..range("a", "z") };
    assert_eq!(keys(etcd, limited(1)), ("b".into(), true));
    assert_eq!(keys(etcd, limited(2)), ("bc".into(), false));
    assert_eq!(keys(etcd, limited(-1)), ("bc".into(), false));
    let created =
        pb::RangeRequest { min_create_revision: 3, max_create_revision: 4, ..range("a", "z") };
    assert_eq!(keys(etcd, created).0, "a");
    let bare = etcd.call(pb::RangeRequest { keys_only: true, ..get("a") }).unwrap();
    assert_eq!((bare.kvs[0].value.len(), bare.kvs[0].version), (0, 1));
}

// CFG-057: it would end a real server.
#[test]
fn an_unknown_sort_target_is_said_to_end_the_server() {
    let etcd = &mut Alone::new(NEW);
    let bad = pb::RangeRequest { sort_target: 9, ..get("a") };
    assert_eq!(etcd.call(bad).unwrap_err().code, Internal);
}

// K27: the header of a deletion that deletes nothing.
#[test]
fn previous_pairs_come_on_request() {
    let etcd = &mut Alone::new(NEW);
    three(etcd);
    let written = etcd.call(pb::PutRequest { prev_kv: true, ..put("a", "n") }).unwrap();
    assert_eq!(written.prev_kv.unwrap().value, "z");
    let gone = pb::DeleteRangeRequest { prev_kv: true, ..delete_range("b", "z") };
    let gone = etcd.call(gone).unwrap();
    assert_eq!((gone.deleted, gone.prev_kvs.len()), (2, 2));
}

// K35: compares, those of nested transactions too, are judged before anything is written.
#[test]
fn nested_compares_see_the_store_before_the_transaction() {
    let etcd = &mut Alone::new(NEW);
    let nested = txn(vec![exists("a")], vec![], vec![RequestPut(put("b", "1"))]);
    let ops = vec![RequestPut(put("a", "1")), RequestTxn(nested)];
    let done = etcd.txn(ops).unwrap();
    assert_eq!(done.header.unwrap().revision, 2);
    let Some(Done::ResponseTxn(inner)) = &done.responses[1].response else { panic!() };
    assert!(!inner.succeeded);
    assert_eq!(inner.header, Some(pb::ResponseHeader::default()), "the inner header is empty");
    assert_eq!(etcd.get("b").unwrap().mod_revision, 2);
}

// K36: a nested transaction is a write to servers, but moves nothing when nothing changes.
#[test]
fn a_nested_read_moves_nothing() {
    let etcd = &mut Alone::new(NEW);
    let nested = txn(vec![], vec![RequestRange(get("a"))], vec![]);
    assert_eq!(etcd.txn(vec![RequestTxn(nested)]).unwrap().header.unwrap().revision, 1);
}

// K31: a nested transaction has what its parent leaves.
#[test]
fn nested_transactions_share_the_limit() {
    let etcd = &mut Alone::new(NEW);
    let reads = |n| (0..n).map(|_| RequestRange(get("a"))).collect::<Vec<_>>();
    let nest = |outer: usize, inner| {
        let mut ops = reads(outer - 1);
        ops.push(RequestTxn(txn(vec![], reads(inner), vec![])));
        ops
    };
    etcd.txn(nest(100, 28)).unwrap();
    let text = "etcdserver: too many operations in txn request";
    refused(etcd.txn(nest(100, 29)), InvalidArgument, text);
}

// K32, as measured.
#[test]
fn what_counts_as_a_doubled_key() {
    let put_a = || RequestPut(put("a", "1"));
    let delete_a = || RequestDeleteRange(delete("a"));
    let then = |op| RequestTxn(txn(vec![], vec![op], vec![]));
    let both = || RequestTxn(txn(vec![], vec![put_a()], vec![put_a()]));
    let table = [
        (vec![both()], true, "then and else of one"),
        (vec![both(), both()], false, "two nested ones"),
        (vec![put_a(), then(put_a())], false, "a level apart"),
        (vec![delete_a(), then(put_a())], false, "deleted outside, put inside"),
        (vec![put_a(), then(delete_a())], false, "put outside, deleted inside"),
        (vec![then(put_a()), then(delete_a())], true, "put, then deleted by another"),
        (vec![then(delete_a()), then(put_a())], false, "deleted, then put by another"),
        (vec![RequestDeleteRange(delete_range("a", "\0")), put_a()], true, "an open end"),
    ];
    for (ops, is_fine, what) in table {
        let done = Alone::new(NEW).txn(ops);
        let error = (!is_fine).then_some(ServerError::DuplicateKey);
        assert_eq!(done.err().and_then(|s| ServerError::from_status(&s)), error, "{what}");
    }
}

// The order of the checks, as measured on the three versions.
#[test]
fn the_first_check_that_fails_names_the_error() {
    let etcd = &mut Alone::new(NEW);
    etcd.put("a", "1");
    let many = (0..129).map(|_| RequestRange(get("a"))).collect::<Vec<_>>();
    let too_many = etcd.call(txn(vec![exists("")], many, vec![]));
    refused(too_many, InvalidArgument, "etcdserver: too many operations in txn request");
    let doubled = vec![RequestPut(put("q", "")), RequestPut(put("q", ""))];
    let form_first = etcd.call(txn(vec![], doubled, vec![RequestPut(put("", ""))]));
    refused(form_first, InvalidArgument, "etcdserver: key is not provided");
    let without_content =
        pb::TxnRequest { success: vec![pb::RequestOp { request: None }], ..Default::default() };
    refused(etcd.call(without_content), InvalidArgument, "etcdserver: key not found");

    let keep = pb::PutRequest { ignore_value: true, lease: 7, ..put("nope", "") };
    refused(etcd.call(keep.clone()), NotFound, "etcdserver: requested lease not found");
    refused(etcd.txn(vec![RequestPut(keep)]), InvalidArgument, "etcdserver: key not found");
    let writes_first = vec![
        RequestRange(pb::RangeRequest { revision: 99, ..get("a") }),
        RequestPut(pb::PutRequest { lease: 7, ..put("b", "") }),
    ];
    refused(etcd.txn(writes_first), NotFound, "etcdserver: requested lease not found");
    let both = pb::PutRequest { ignore_lease: true, ignore_value: true, lease: 7, ..put("a", "1") };
    refused(etcd.call(both), InvalidArgument, "etcdserver: value is provided");
}

// A read that fails inside of a transaction undoes all of it.
#[test]
fn a_read_that_fails_applies_nothing() {
    let etcd = &mut Alone::new(NEW);
    for value in ["1", "2", "3"] {
        etcd.put("a", value);
    }
    etcd.compact(3).unwrap();
    let compacted = "etcdserver: mvcc: required revision has been compacted";
    let future = "etcdserver: mvcc: required revision is a future revision";
    // Below zero is not "now" here.
    for (revision, text) in [(5, future), (2, compacted), (-1, compacted)] {
        let read = RequestRange(pb::RangeRequest { revision, ..get("a") });
        refused(etcd.txn(vec![RequestPut(put("b", "1")), read.clone()]), OutOfRange, text);
        refused(etcd.txn(vec![read]), OutOfRange, text);
    }
    assert_eq!(etcd.get("b"), None);
    assert_eq!(etcd.revision(), 4);
    let current = etcd.call(pb::RangeRequest { revision: -1, ..get("a") }).unwrap();
    assert_eq!(current.kvs[0].value, "3", "outside it is");
}

// It would end a real server: the key that is kept is gone.
#[test]
fn keeping_what_the_transaction_deleted_is_said_to_end_the_server() {
    let etcd = &mut Alone::new(NEW);
    etcd.put("a", "1");
    let keep = pb::PutRequest { ignore_value: true, ..put("a", "") };
    let ops = vec![RequestDeleteRange(delete_range("a", "\0")), RequestPut(keep)];
    assert_eq!(etcd.txn(ops).unwrap_err().code, Internal);
    assert_eq!(etcd.revision(), 2);
}

// K37: what asks nobody is answered without a quorum.
#[test]
fn compares_alone_are_answered_without_a_quorum() {
    let mut config = ClusterConfig::new(3, personality(NEW), 3);
    config.delays = Delays::NONE;
    let etcd = &mut Alone::with(config);
    etcd.cluster.isolate(etcd.now, etcd.member);
    assert!(!etcd.call(txn(vec![exists("a")], vec![], vec![])).unwrap().succeeded);
    assert!(etcd.txn(vec![]).unwrap().succeeded);
    let stale = pb::RangeRequest { serializable: true, ..get("a") };
    etcd.call(stale.clone()).unwrap();
    etcd.txn(vec![RequestRange(stale.clone())]).unwrap();
    let reads = txn(vec![], vec![RequestRange(stale), RequestRange(get("a"))], vec![]);
    let ticket = etcd.cluster.submit(etcd.now, Call::new(etcd.member, reads));
    assert!(answer(&mut etcd.cluster.poll(etcd.now), ticket).is_none());
}

// K43
#[test]
fn every_key_of_a_range_must_satisfy_a_compare() {
    let etcd = &mut Alone::new(NEW);
    three(etcd);
    let versions_above = |version| {
        let mut compare = compare("a", CompareResult::Greater, TargetUnion::Version(version));
        compare.range_end = bytes("z");
        txn(vec![compare], vec![], vec![])
    };
    assert!(etcd.call(versions_above(0)).unwrap().succeeded);
    assert!(!etcd.call(versions_above(1)).unwrap().succeeded);
}

// C40: the entry in the log is what counts, with its header.
#[test]
fn a_request_over_the_limit_is_refused() {
    let mut config = ClusterConfig::new(1, personality(NEW), 3);
    config.delays = Delays::NONE;
    config.max_request_bytes = 1000;
    let etcd = &mut Alone::with(config);
    let fits = (900..1000).take_while(|n| etcd.call(put("a", &"x".repeat(*n))).is_ok()).count();
    assert!((970..985).contains(&(900 + fits)), "{fits}");
    let large = etcd.call(put("a", &"x".repeat(1000)));
    refused(large, InvalidArgument, "etcdserver: request is too large");
}
