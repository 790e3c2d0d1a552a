//! What a member refuses before it looks at its store.

// K25, K31–K33

use super::keys::Keys;
use super::personality::Personality;
use super::refusal::refuse;
use etcd3::proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use etcd3::proto::etcdserverpb::request_op::Request as Op;
use etcd3::proto::etcdserverpb::{
    DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};
use etcd3::{Bytes, ServerError, Status};
use std::collections::BTreeSet;

fn has_key(key: &Bytes) -> Result<(), Status> {
    if key.is_empty() { Err(refuse(ServerError::EmptyKey)) } else { Ok(()) }
}

/// What the form of a request is measured by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// The largest number of operations of a transaction.
    max_ops: usize,
    refuses_unknown_sort: bool,
}

impl Rules {
    pub(super) const fn new(personality: &Personality, max_ops: usize) -> Self {
        Self { max_ops, refuses_unknown_sort: personality.refuses_unknown_sort }
    }
}

pub(super) fn range(request: &RangeRequest, rules: Rules) -> Result<(), Status> {
    has_key(&request.key)?;
    let is_known = SortOrder::try_from(request.sort_order).is_ok()
        && SortTarget::try_from(request.sort_target).is_ok();
    if rules.refuses_unknown_sort && !is_known {
        return Err(refuse(ServerError::InvalidSortOption));
    }
    Ok(())
}

pub(super) fn put(request: &PutRequest) -> Result<(), Status> {
    has_key(&request.key)?;
    if request.ignore_value && !request.value.is_empty() {
        return Err(refuse(ServerError::ValueProvided));
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(refuse(ServerError::LeaseProvided));
    }
    Ok(())
}

pub(super) fn delete(request: &DeleteRangeRequest) -> Result<(), Status> {
    has_key(&request.key)
}

/// Checks a transaction: form and number of its operations in all depth first, then that no branch
/// writes a key twice.
pub(super) fn txn(request: &TxnRequest, rules: Rules) -> Result<(), Status> {
    form(request, rules)?;
    branch(&request.success)?;
    branch(&request.failure)?;
    Ok(())
}

/// A nested transaction may have what its parent leaves of the limit.
// K31
fn form(txn: &TxnRequest, rules: Rules) -> Result<(), Status> {
    let most = txn.compare.len().max(txn.success.len()).max(txn.failure.len());
    let Some(max_ops) = rules.max_ops.checked_sub(most) else {
        return Err(refuse(ServerError::TooManyOps));
    };
    let left = Rules { max_ops, ..rules };
    for compare in &txn.compare {
        has_key(&compare.key)?;
    }
    for op in txn.success.iter().chain(&txn.failure) {
        match &op.request {
            Some(Op::RequestRange(request)) => range(request, rules)?,
            Some(Op::RequestPut(request)) => put(request)?,
            Some(Op::RequestDeleteRange(request)) => delete(request)?,
            Some(Op::RequestTxn(nested)) => form(nested, left)?,
            None => return Err(refuse(ServerError::KeyNotFound)),
        }
    }
    Ok(())
}

/// What one branch writes: keys that are put, ranges that are deleted.
#[derive(Debug, Default)]
struct Writes {
    puts: BTreeSet<Bytes>,
    deletes: Vec<Keys>,
}

impl Writes {
    fn put(&mut self, key: &Bytes) -> Result<(), Status> {
        if self.deletes.iter().any(|keys| keys.contains(key)) || !self.puts.insert(key.clone()) {
            return Err(refuse(ServerError::DuplicateKey));
        }
        Ok(())
    }
}

/// Finds a key that a branch would write twice.
// K32
fn branch(ops: &[RequestOp]) -> Result<Writes, Status> {
    let mut writes = Writes::default();
    for op in ops {
        if let Some(Op::RequestDeleteRange(delete)) = &op.request {
            // To this check an open end, a zero byte, is an end before the start.
            if delete.range_end[..] != [0] {
                writes.deletes.push(Keys::new(&delete.key, &delete.range_end));
            }
        }
    }
    for op in ops {
        if let Some(Op::RequestTxn(nested)) = &op.request {
            let then = branch(&nested.success)?;
            let otherwise = branch(&nested.failure)?;
            // Only one of the two runs, so that they may both put a key.
            for key in then.puts.union(&otherwise.puts) {
                writes.put(key)?;
            }
            // Seen only by what follows: a put by an earlier nested transaction is let through.
            writes.deletes.extend(then.deletes);
            writes.deletes.extend(otherwise.deletes);
        }
    }
    for op in ops {
        if let Some(Op::RequestPut(put)) = &op.request {
            writes.put(&put.key)?;
        }
    }
    Ok(writes)
}
