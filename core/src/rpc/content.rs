//! What transactions hold: writes, reads of the present, and reads at a revision.

use etcd3_proto::etcdserverpb as pb;
use pb::request_op::Request;

/// What a transaction holds, in either branch, at any depth.
#[derive(Default)]
pub(super) struct Content {
    /// A write, or an operation that is none of those known.
    // I-R3
    pub(super) writes: bool,
    /// A read that is linearizable, which makes all reads beside it so.
    pub(super) reads_the_present: bool,
    /// The highest revision that is read at; 0 if all read what is current.
    pub(super) revision: i64,
}

impl Content {
    pub(super) fn of(txn: &pb::TxnRequest) -> Self {
        let mut content = Self::default();
        let mut pending = vec![txn];
        while let Some(txn) = pending.pop() {
            for op in txn.success.iter().chain(&txn.failure) {
                match &op.request {
                    Some(Request::RequestRange(range)) => {
                        content.reads_the_present |= !range.serializable;
                        content.revision = content.revision.max(range.revision);
                    }
                    Some(Request::RequestTxn(nested)) => pending.push(nested),
                    Some(Request::RequestPut(_) | Request::RequestDeleteRange(_)) | None => {
                        content.writes = true;
                    }
                }
            }
        }
        content
    }
}

/// Returns whether a branch of a transaction holds a read at a revision, and beside it, or nested
/// in what stands beside it, a write.
///
/// Before etcd 3.7 only the member that was asked looks at such a revision; the others leave the
/// reads of the branch out. Reads of nested transactions are left out by none (etcd#18667).
pub(super) fn pins_reads(branch: &[pb::RequestOp]) -> bool {
    let is_pinned = |op: &pb::RequestOp| match &op.request {
        // Below zero, too: to a transaction that is a revision that may be compacted.
        Some(Request::RequestRange(range)) => range.revision != 0,
        _ => false,
    };
    let writes = |op: &pb::RequestOp| match &op.request {
        Some(Request::RequestRange(_)) => false,
        Some(Request::RequestTxn(nested)) => Content::of(nested).writes,
        Some(Request::RequestPut(_) | Request::RequestDeleteRange(_)) | None => true,
    };
    branch.iter().any(is_pinned) && branch.iter().any(writes)
}
