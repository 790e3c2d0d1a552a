//! Messages as `Debug` shows them: without the values that they carry.

use crate::LeaseId;
use crate::key_value::Text;
use etcd3_proto::etcdserverpb as pb;
use etcd3_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use etcd3_proto::etcdserverpb::request_op::Request;
use std::fmt;

/// A message, shown without values.
pub(super) struct Show<'a, M>(pub(super) &'a M);

/// The messages of a list, shown without values.
struct List<'a, M>(&'a [M]);

impl<'a, M> fmt::Debug for List<'a, M>
where
    Show<'a, M>: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(Show)).finish()
    }
}

impl fmt::Debug for Show<'_, pb::PutRequest> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pb::PutRequest { key, value, lease, prev_kv, ignore_value, ignore_lease } = self.0;
        f.debug_struct("Put")
            .field("key", &Text(key))
            .field("value", &format_args!("{} bytes", value.len()))
            .field("lease", &format_args!("{}", LeaseId(*lease)))
            .field("prev_kv", prev_kv)
            .field("ignore_value", ignore_value)
            .field("ignore_lease", ignore_lease)
            .finish()
    }
}

impl fmt::Debug for Show<'_, pb::Compare> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pb::Compare { result, target, key, range_end, target_union } = self.0;
        let operand: &dyn fmt::Debug = match target_union {
            Some(TargetUnion::Value(value)) => &format_args!("{} bytes", value.len()),
            Some(
                TargetUnion::Version(number)
                | TargetUnion::CreateRevision(number)
                | TargetUnion::ModRevision(number)
                | TargetUnion::Lease(number),
            ) => number,
            None => &(),
        };
        f.debug_struct("Compare")
            .field("key", &Text(key))
            .field("range_end", &Text(range_end))
            .field("target", &CompareTarget::try_from(*target).unwrap_or_default())
            .field("result", &CompareResult::try_from(*result).unwrap_or_default())
            .field("operand", operand)
            .finish()
    }
}

impl fmt::Debug for Show<'_, pb::RequestOp> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.request {
            Some(Request::RequestRange(range)) => range.fmt(f),
            Some(Request::RequestDeleteRange(delete)) => delete.fmt(f),
            Some(Request::RequestPut(put)) => Show(put).fmt(f),
            Some(Request::RequestTxn(txn)) => Show(txn).fmt(f),
            None => f.write_str("None"),
        }
    }
}

impl fmt::Debug for Show<'_, pb::TxnRequest> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pb::TxnRequest { compare, success, failure } = self.0;
        f.debug_struct("Txn")
            .field("when", &List(compare))
            .field("then", &List(success))
            .field("otherwise", &List(failure))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use crate::{key, ops, put, txn};

    #[test]
    fn no_value_of_a_request_is_shown() {
        let secret = "hunter2";
        let inner = txn().then([put("inner", secret)]);
        let whole = txn()
            .when([key("k").value().eq(secret)])
            .then(ops![put("k", secret), inner])
            .otherwise([put("other", secret)]);
        for shown in [format!("{:?}", put("k", secret)), format!("{whole:?} {whole:#?}")] {
            assert!(!shown.contains(secret) && !shown.contains("104, 117"), "{shown}");
            assert!(shown.contains("7 bytes") && shown.contains(r#"key: "k""#), "{shown}");
        }
    }
}
