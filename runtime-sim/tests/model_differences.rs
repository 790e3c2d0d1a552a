//! What `cargo xtask model` found to be different on real servers, each with its own test.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod model_support;

use etcd3_client::Code;
use model_support::*;
use pb::request_op::Request::{RequestDeleteRange, RequestPut};

use etcd3_client::proto::etcdserverpb as pb;

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
