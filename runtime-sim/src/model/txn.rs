//! Puts, deletions and transactions.
//!
//! A transaction runs in three steps. All compares, those of nested transactions too, are judged
//! before anything is written; then every operation on the way taken is checked; then they run, and
//! nothing can fail any more.

// K25–K27, K30–K37, K40–K43

use super::keys::Keys;
use super::range::{View, header, range, sort_target};
use super::refusal::{crash, refuse};
use super::store::{Store, WriteTxn};
use etcd3::proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use etcd3::proto::etcdserverpb::request_op::Request as Op;
use etcd3::proto::etcdserverpb::response_op::Response as Done;
use etcd3::proto::etcdserverpb::{
    Compare, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, RequestOp,
    ResponseOp, TxnRequest, TxnResponse,
};
use etcd3::proto::mvccpb::KeyValue;
use etcd3::{ServerError, Status};
use std::cmp::Ordering;

impl Store {
    /// Writes one key.
    pub(super) fn put(&mut self, request: &PutRequest) -> Result<PutResponse, Status> {
        // In this order, unlike in a transaction before 3.7.
        self.has_lease(request.lease)?;
        if request.ignore_value || request.ignore_lease {
            self.has_key(request)?;
        }
        let mut change = self.begin();
        let response = put(&mut change, request);
        change.finish();
        Ok(response)
    }

    /// Deletes a range.
    pub(super) fn delete_range(&mut self, request: &DeleteRangeRequest) -> DeleteRangeResponse {
        let mut change = self.begin();
        let response = delete(&mut change, request);
        change.finish();
        response
    }

    /// Runs a transaction: whole, or not at all.
    pub(super) fn txn(&mut self, request: &TxnRequest) -> Result<TxnResponse, Status> {
        let path = judge(self, request);
        if self.personality.checks_txn_in_order {
            each_op(request, &path, &mut |op| {
                self.check_put(op).and_then(|()| self.check_read(op))
            })?;
        } else {
            each_op(request, &path, &mut |op| self.check_put(op))?;
            each_op(request, &path, &mut |op| self.check_read(op))?;
        }
        if !keeps_nothing_deleted(request, &path) {
            return Err(crash("a put in a transaction keeps the value of a key that it deletes"));
        }
        let mut change = self.begin();
        let mut response = run(&mut change, request, &path)?;
        response.header = Some(header(change.revision()));
        change.finish();
        Ok(response)
    }

    fn has_lease(&self, id: i64) -> Result<(), Status> {
        if id == 0 || self.leases.find(id).is_some() {
            return Ok(());
        }
        Err(refuse(ServerError::LeaseNotFound))
    }

    fn has_key(&self, request: &PutRequest) -> Result<(), Status> {
        if self.read(&Keys::one(&request.key), 0)?.is_empty() {
            return Err(refuse(ServerError::KeyNotFound));
        }
        Ok(())
    }

    fn check_put(&self, op: &Op) -> Result<(), Status> {
        let Op::RequestPut(request) = op else { return Ok(()) };
        if self.personality.checks_lease_first {
            self.has_lease(request.lease)?;
        }
        if request.ignore_value || request.ignore_lease {
            self.has_key(request)?;
        }
        self.has_lease(request.lease)
    }

    fn check_read(&self, op: &Op) -> Result<(), Status> {
        let Op::RequestRange(request) = op else { return Ok(()) };
        if request.revision > self.revision() {
            return Err(refuse(ServerError::FutureRev));
        }
        // Unlike outside of a transaction, below zero is not "now".
        if request.revision != 0 && request.revision < self.compacted() {
            return Err(refuse(ServerError::Compacted));
        }
        sort_target(request).map(drop)
    }
}

/// A deletion with an open end gets past the check for doubled keys. If a put then keeps the
/// value or lease of a key that was deleted, a server ends.
fn keeps_nothing_deleted(txn: &TxnRequest, path: &Path) -> bool {
    let mut deleted: Vec<Keys> = Vec::new();
    let mut is_fine = true;
    let _: Result<(), Status> = each_op(txn, path, &mut |op| {
        match op {
            Op::RequestDeleteRange(d) => deleted.push(Keys::new(&d.key, &d.range_end)),
            Op::RequestPut(put) if put.ignore_value || put.ignore_lease => {
                is_fine &= !deleted.iter().any(|keys| keys.contains(&put.key));
            }
            _ => {}
        }
        Ok(())
    });
    is_fine
}

/// Returns what a member applies of a transaction whose answer nobody waits for there: reads are
/// left out, though not nested ones, and with them the check of their revisions (etcd#18667).
pub(super) fn without_reads(txn: &TxnRequest) -> TxnRequest {
    let writes = |ops: &[RequestOp]| {
        let writes = ops.iter().filter(|op| !matches!(op.request, Some(Op::RequestRange(_))));
        writes.cloned().collect()
    };
    let (success, failure) = (writes(&txn.success), writes(&txn.failure));
    TxnRequest { compare: txn.compare.clone(), success, failure }
}

/// Tells whether nothing in a transaction writes, as servers see it: a nested one counts as a
/// write.
// K36
pub(super) fn is_read_only(txn: &TxnRequest) -> bool {
    let mut ops = txn.success.iter().chain(&txn.failure);
    ops.all(|op| matches!(op.request, Some(Op::RequestRange(_))))
}

/// Tells whether a read-only transaction is answered without asking the other members; one without
/// operations is, too.
// K37
pub(super) fn is_serializable(txn: &TxnRequest) -> bool {
    let mut ops = txn.success.iter().chain(&txn.failure);
    ops.all(|op| matches!(&op.request, Some(Op::RequestRange(range)) if range.serializable))
}

/// Which branch a transaction takes, and each nested one in that branch.
#[derive(Debug)]
struct Path {
    succeeded: bool,
    nested: Vec<Path>,
}

fn taken<'a>(txn: &'a TxnRequest, path: &Path) -> &'a [RequestOp] {
    if path.succeeded { &txn.success } else { &txn.failure }
}

fn judge(view: &impl View, txn: &TxnRequest) -> Path {
    let succeeded = txn.compare.iter().all(|compare| holds(view, compare));
    let mut path = Path { succeeded, nested: Vec::new() };
    for op in taken(txn, &path) {
        if let Some(Op::RequestTxn(nested)) = &op.request {
            path.nested.push(judge(view, nested));
        }
    }
    path
}

/// Visits the operations on the way taken, nested ones in their place.
fn each_op<E>(
    txn: &TxnRequest,
    path: &Path,
    visit: &mut impl FnMut(&Op) -> Result<(), E>,
) -> Result<(), E> {
    let mut nested_paths = path.nested.iter();
    for op in taken(txn, path).iter().filter_map(|op| op.request.as_ref()) {
        match op {
            Op::RequestTxn(nested) => {
                if let Some(path) = nested_paths.next() {
                    each_op(nested, path, visit)?;
                }
            }
            op => visit(op)?,
        }
    }
    Ok(())
}

fn run(change: &mut WriteTxn<'_>, txn: &TxnRequest, path: &Path) -> Result<TxnResponse, Status> {
    let mut nested_paths = path.nested.iter();
    let mut responses = Vec::new();
    for op in taken(txn, path).iter().filter_map(|op| op.request.as_ref()) {
        let done = match op {
            Op::RequestRange(request) => Done::ResponseRange(range(change, request)?),
            Op::RequestPut(request) => Done::ResponsePut(put(change, request)),
            Op::RequestDeleteRange(request) => Done::ResponseDeleteRange(delete(change, request)),
            Op::RequestTxn(nested) => {
                let Some(path) = nested_paths.next() else { continue };
                Done::ResponseTxn(run(change, nested, path)?)
            }
        };
        responses.push(ResponseOp { response: Some(done) });
    }
    // The header of a nested transaction stays empty.
    Ok(TxnResponse { header: Some(header(0)), succeeded: path.succeeded, responses })
}

fn put(change: &mut WriteTxn<'_>, request: &PutRequest) -> PutResponse {
    let previous = change.read(&Keys::one(&request.key), 0).ok().and_then(|mut kvs| kvs.pop());
    let kept = previous.clone().unwrap_or_default();
    let value = if request.ignore_value { kept.value } else { request.value.clone() };
    let lease = if request.ignore_lease { kept.lease } else { request.lease };
    change.put(&request.key, value, lease);
    PutResponse {
        header: Some(header(change.revision())),
        prev_kv: previous.filter(|_| request.prev_kv),
    }
}

fn delete(change: &mut WriteTxn<'_>, request: &DeleteRangeRequest) -> DeleteRangeResponse {
    let gone = change.delete(&Keys::new(&request.key, &request.range_end));
    DeleteRangeResponse {
        header: Some(header(change.revision())),
        deleted: i64::try_from(gone.len()).unwrap_or(i64::MAX),
        prev_kvs: if request.prev_kv { gone } else { Vec::new() },
    }
}

/// Judges a compare: every key of its range must satisfy it, and when there is none, a key that
/// does not exist.
// K42, K43
fn holds(view: &impl View, compare: &Compare) -> bool {
    let Ok(kvs) = view.read(&Keys::new(&compare.key, &compare.range_end), 0) else { return false };
    if kvs.is_empty() {
        return compare.target != i32::from(CompareTarget::Value)
            && holds_for(compare, &KeyValue::default());
    }
    kvs.iter().all(|kv| holds_for(compare, kv))
}

fn holds_for(compare: &Compare, kv: &KeyValue) -> bool {
    let union = compare.target_union.as_ref();
    // A union of another kind than the target counts as zero.
    let order = match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Version) => kv.version.cmp(&match union {
            Some(TargetUnion::Version(version)) => *version,
            _ => 0,
        }),
        Ok(CompareTarget::Create) => kv.create_revision.cmp(&match union {
            Some(TargetUnion::CreateRevision(revision)) => *revision,
            _ => 0,
        }),
        Ok(CompareTarget::Mod) => kv.mod_revision.cmp(&match union {
            Some(TargetUnion::ModRevision(revision)) => *revision,
            _ => 0,
        }),
        Ok(CompareTarget::Lease) => kv.lease.cmp(&match union {
            Some(TargetUnion::Lease(lease)) => *lease,
            _ => 0,
        }),
        Ok(CompareTarget::Value) => kv.value[..].cmp(match union {
            Some(TargetUnion::Value(value)) => &value[..],
            _ => &[],
        }),
        Err(_) => Ordering::Equal,
    };
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => order.is_eq(),
        Ok(CompareResult::Greater) => order.is_gt(),
        Ok(CompareResult::Less) => order.is_lt(),
        Ok(CompareResult::NotEqual) => order.is_ne(),
        Err(_) => true,
    }
}
