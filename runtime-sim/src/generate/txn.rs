//! Transactions: compares, operations, nesting.

// K30–K43

use super::{Generator, KEYS, MAX_OPS};
use etcd3::Bytes;
use etcd3::proto::etcdserverpb as pb;
use pb::compare::TargetUnion;
use pb::request_op::Request as Op;

/// An operation of a transaction.
fn op(request: Op) -> pb::RequestOp {
    pb::RequestOp { request: Some(request) }
}

impl Generator {
    pub(super) fn txn(&mut self) -> pb::TxnRequest {
        self.unused = KEYS.to_vec();
        // One kind of mistake in a transaction: the first that is found hides the others.
        self.doubles = self.wild && self.percent(50);
        self.wild &= !self.doubles;
        match self.below(20) {
            0 => return self.wide_txn(),
            1 => return pb::TxnRequest::default(),
            _ => {}
        }
        let depth = match self.below(100) {
            0..=59 => 1,
            60..=79 => 2,
            80..=90 => 3,
            _ => 4,
        };
        let mut txn = self.deep_txn(depth);
        if self.slip(30) {
            // In a transaction that is a revision which may be compacted, and not the current one.
            let revision = self.one_of(&[-1, -2, i64::MIN]);
            let read = op(Op::RequestRange(pb::RangeRequest { revision, ..self.range() }));
            let branch = if self.percent(70) { &mut txn.success } else { &mut txn.failure };
            branch.push(read);
        }
        txn
    }

    /// A transaction that is nested so deep: one path leads all the way down.
    fn deep_txn(&mut self, depth: u32) -> pb::TxnRequest {
        let compare = (0..self.below(3)).map(|_| self.compare()).collect();
        let mut txn = pb::TxnRequest { compare, success: self.ops(depth), failure: Vec::new() };
        if self.percent(60) {
            txn.failure = self.ops(depth);
        }
        if depth > 1 {
            let nested = op(Op::RequestTxn(self.deep_txn(depth - 1)));
            let branch = if self.percent(60) { &mut txn.success } else { &mut txn.failure };
            branch.push(nested);
        }
        txn
    }

    fn ops(&mut self, depth: u32) -> Vec<pb::RequestOp> {
        let is_read_only = depth == 1 && self.percent(15);
        (0..self.below(4))
            .map(|_| if is_read_only { op(Op::RequestRange(self.range())) } else { self.op() })
            .collect()
    }

    fn op(&mut self) -> pb::RequestOp {
        if self.slip(4) {
            return pb::RequestOp::default();
        }
        match self.below(10) {
            0..=3 => op(Op::RequestRange(self.range())),
            4..=7 => match self.unused_key() {
                Some(key) => op(Op::RequestPut(self.put(Some(key)))),
                None => op(Op::RequestRange(self.range())),
            },
            _ => op(Op::RequestDeleteRange(self.inner_delete())),
        }
    }

    /// A key that the transaction does not write yet; sometimes one that it does.
    // K32
    fn unused_key(&mut self) -> Option<Bytes> {
        if self.doubles || self.unused.is_empty() {
            return self.doubles.then(|| self.key());
        }
        let index = self.below(u64::try_from(self.unused.len()).unwrap_or(1));
        Some(Bytes::from_static(self.unused.swap_remove(usize::try_from(index).unwrap_or(0))))
    }

    /// A deletion that mostly leaves alone what the transaction puts. An open end escapes the check
    /// for doubled keys.
    fn inner_delete(&mut self) -> pb::DeleteRangeRequest {
        let is_open = self.percent(20);
        let mut delete = self.delete();
        if is_open {
            delete.range_end = Bytes::from_static(b"\0");
        } else if !self.doubles {
            if let Some(key) = self.unused_key() {
                delete.key = key;
            }
            delete.range_end = Bytes::new();
        }
        delete
    }

    fn compare(&mut self) -> pb::Compare {
        let target = self.one_of(&[0, 1, 2, 3, 4]);
        let union = match if self.percent(6) { self.below(6) } else { target } {
            0 => Some(TargetUnion::Version(self.number(4))),
            1 => Some(TargetUnion::CreateRevision(self.compared())),
            2 => Some(TargetUnion::ModRevision(self.compared())),
            3 => Some(TargetUnion::Value(format!("v{}", self.below(5)).into())),
            4 => Some(TargetUnion::Lease(if self.percent(50) { 0 } else { self.lease() })),
            _ => None,
        };
        let (key, range_end) =
            if self.percent(30) { self.span() } else { (self.key(), Bytes::new()) };
        pb::Compare {
            result: self.one_of(&[0, 1, 2, 3]),
            target: i32::try_from(target).unwrap_or(0),
            key,
            range_end,
            target_union: union,
        }
    }

    /// A revision to compare with: near the newest, or that of a key that is not there.
    fn compared(&mut self) -> i64 {
        if self.percent(30) { 0 } else { self.at.revision - self.number(8) }
    }

    /// A transaction with as many operations as there may be, or with one too many.
    // K31
    fn wide_txn(&mut self) -> pb::TxnRequest {
        let range = || {
            let key = Bytes::from_static(KEYS[0]);
            op(Op::RequestRange(pb::RangeRequest { key, ..pb::RangeRequest::default() }))
        };
        let len = MAX_OPS + usize::from(self.percent(50));
        let mut txn = pb::TxnRequest::default();
        match self.below(4) {
            0 => txn.compare = vec![self.compare(); len],
            1 => txn.success = vec![range(); len],
            2 => txn.failure = vec![range(); len],
            _ => {
                // What the outer level has is missing in the inner one.
                let compare = vec![self.compare(); 100];
                let success = vec![range(); len - 100];
                let nested = pb::TxnRequest { success, ..pb::TxnRequest::default() };
                let failure = vec![op(Op::RequestTxn(nested))];
                txn = pb::TxnRequest { compare, success: Vec::new(), failure };
            }
        }
        txn
    }
}
