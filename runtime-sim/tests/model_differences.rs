//! What `cargo xtask model` found to be different on real servers, each with its own test.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod model_support;

use etcd3::{Code, ServerError};
use model_support::*;
use pb::range_request::SortTarget;
use pb::request_op::Request::{RequestDeleteRange, RequestPut, RequestRange};
use pb::response_op::Response::ResponseRange;

use etcd3::proto::etcdserverpb as pb;

// Seed 99 on 3.5.16: "range failed to find revision pair" in the log of the server that ended.
#[test]
fn a_compaction_that_loses_a_key_is_not_carried_out() {
    for version in VERSIONS {
        let etcd = &mut Alone::new(version);
        etcd.put("k", "old");
        let open = RequestDeleteRange(delete_range("k", "\0"));
        let at = etcd.txn(vec![open, RequestPut(put("k", "new"))]).unwrap();
        let at = at.header.unwrap().revision;
        assert_eq!(etcd.put("other", ""), at + 1);
        let compacted = etcd.compact(at);
        if version == OLD {
            compacted.unwrap();
        } else {
            let refused = compacted.unwrap_err();
            assert_eq!(refused.code, Code::Internal);
            assert!(refused.message.starts_with("model: "), "{}", refused.message);
            etcd.compact(at + 1).unwrap();
        }
        assert_eq!(etcd.get("k").unwrap().value, "new");
    }
}

// Seed 6 on 3.6.16: of two faults it names the one that comes first.
#[test]
fn a_transaction_is_checked_in_its_order_since_3_6() {
    let past = || RequestRange(pb::RangeRequest { revision: 1, ..get("k") });
    let unleased = || RequestPut(pb::PutRequest { lease: 9, ..put("k", "v") });
    for version in VERSIONS {
        let etcd = &mut Alone::new(version);
        let at = etcd.put("k", "v");
        etcd.compact(at).unwrap();
        let mut refusal = |ops| ServerError::from_status(&etcd.txn(ops).unwrap_err());
        let first =
            if version < V3_6 { ServerError::LeaseNotFound } else { ServerError::Compacted };
        assert_eq!(refusal(vec![past(), unleased()]), Some(first), "{version:?}");
        let put_first = vec![unleased(), past()];
        assert_eq!(refusal(put_first), Some(ServerError::LeaseNotFound), "{version:?}");
    }
}

// Seed 1 on 3.7.3
#[test]
fn a_lease_is_looked_for_before_a_key_since_3_7() {
    for version in VERSIONS {
        let etcd = &mut Alone::new(version);
        let both = pb::PutRequest { lease: 9, ignore_value: true, ..put("k", "") };
        let refusal = |status| ServerError::from_status(&status);
        let alone = etcd.call(both.clone()).map_err(refusal);
        assert_eq!(alone, Err(Some(ServerError::LeaseNotFound)), "{version:?}");
        let within = etcd.txn(vec![RequestPut(both)]).map_err(refusal);
        let is_first = version >= V3_7;
        let first = if is_first { ServerError::LeaseNotFound } else { ServerError::KeyNotFound };
        assert_eq!(within, Err(Some(first)), "{version:?}");
    }
}

// Seed 2 on 3.7.3: keys alone come from the index, which knows nothing of leases.
#[test]
fn keys_alone_are_told_without_their_leases_since_3_7() {
    for version in VERSIONS {
        let etcd = &mut Alone::new(version);
        etcd.grant(7, 100).unwrap();
        etcd.call(pb::PutRequest { lease: 7, ..put("k", "v") }).unwrap();
        for (target, is_told) in [(SortTarget::Key, version < V3_7), (SortTarget::Value, true)] {
            let sort_target = target.into();
            let range = pb::RangeRequest { keys_only: true, sort_target, ..get("k") };
            let alone = etcd.call(range.clone()).unwrap().kvs.remove(0);
            let done = etcd.txn(vec![RequestRange(range)]).unwrap().responses.remove(0);
            let Some(ResponseRange(mut within)) = done.response else { panic!("{done:?}") };
            assert_eq!(alone, within.kvs.remove(0));
            assert_eq!((&alone.value[..], alone.lease), (&b""[..], 7 * i64::from(is_told)));
            assert_eq!((alone.version, alone.mod_revision), (1, 2));
        }
    }
}

// CFG-057
#[test]
fn an_unknown_sort_is_refused_since_3_6() {
    for version in VERSIONS {
        let etcd = &mut Alone::new(version);
        etcd.put("k", "v");
        for range in [
            pb::RangeRequest { sort_target: 9, ..get("k") },
            pb::RangeRequest { sort_order: 9, ..get("k") },
        ] {
            let is_target = range.sort_target == 9;
            for answer in
                [etcd.call(range.clone()).map(drop), etcd.txn(vec![RequestRange(range)]).map(drop)]
            {
                let error = answer.as_ref().err().and_then(ServerError::from_status);
                if version >= V3_6 {
                    assert_eq!(error, Some(ServerError::InvalidSortOption), "{version:?}");
                } else {
                    assert_eq!((answer.is_err(), error), (is_target, None), "{version:?}");
                }
            }
        }
    }
}
