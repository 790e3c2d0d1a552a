//! Transactions that are written once and sent both ways: by the typed builder, which checks them
//! first, and as they are.

use super::kv_expect::Refusal;
use etcd3::proto::etcdserverpb::{self as pb, request_op::Request};
use etcd3::{Client, Error, Op, Txn, TxnResponse, delete, get, put, txn};

/// One operation of a transaction.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Get(&'static str),
    /// A read at a revision.
    GetAt(&'static str, i64),
    Put(&'static str),
    Delete(&'static str),
    DeleteRange(&'static str, &'static str),
    DeleteFrom(&'static str),
    Txn(Branches),
}

/// A transaction without compares; those of nested ones hold, since there are none.
#[derive(Debug, Clone, Default)]
pub(super) struct Branches {
    pub(super) then: Vec<Step>,
    pub(super) otherwise: Vec<Step>,
}

pub(super) fn nested(then: impl Into<Vec<Step>>, otherwise: impl Into<Vec<Step>>) -> Step {
    Step::Txn(Branches { then: then.into(), otherwise: otherwise.into() })
}

impl Step {
    fn typed(&self) -> Op {
        match self {
            Self::Get(key) => get(*key).into(),
            Self::GetAt(key, revision) => get(*key).revision(*revision).into(),
            Self::Put(key) => put(*key, *key).into(),
            Self::Delete(key) => delete(*key).into(),
            Self::DeleteRange(key, end) => delete(*key..*end).into(),
            Self::DeleteFrom(key) => delete(*key..).into(),
            Self::Txn(branches) => branches.typed().into(),
        }
    }

    pub(super) fn raw(&self) -> pb::RequestOp {
        let request = match self {
            Self::Get(key) => Request::RequestRange(read(key, 0)),
            Self::GetAt(key, revision) => Request::RequestRange(read(key, *revision)),
            Self::Put(key) => Request::RequestPut(pb::PutRequest {
                key: (*key).into(),
                value: (*key).into(),
                ..pb::PutRequest::default()
            }),
            Self::Delete(key) => Request::RequestDeleteRange(deletion(key, "")),
            Self::DeleteRange(key, end) => Request::RequestDeleteRange(deletion(key, end)),
            Self::DeleteFrom(key) => Request::RequestDeleteRange(deletion(key, "\0")),
            Self::Txn(branches) => Request::RequestTxn(branches.raw()),
        };
        pb::RequestOp { request: Some(request) }
    }
}

fn read(key: &'static str, revision: i64) -> pb::RangeRequest {
    pb::RangeRequest { key: key.into(), revision, ..pb::RangeRequest::default() }
}

fn deletion(key: &'static str, end: &'static str) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest { key: key.into(), range_end: end.into(), prev_kv: false }
}

impl Branches {
    /// By the typed builder.
    pub(super) fn typed(&self) -> Txn {
        let ops = |steps: &[Step]| steps.iter().map(Step::typed).collect::<Vec<_>>();
        txn().then(ops(&self.then)).otherwise(ops(&self.otherwise))
    }

    /// As it is on the wire.
    pub(super) fn raw(&self) -> pb::TxnRequest {
        let ops = |steps: &[Step]| steps.iter().map(Step::raw).collect();
        pb::TxnRequest {
            compare: Vec::new(),
            success: ops(&self.then),
            failure: ops(&self.otherwise),
        }
    }

    /// Asserts that a server refuses this, and that the client knows without asking.
    pub(super) async fn is_refused(&self, client: &Client, refusal: Refusal) {
        let here = client.execute(self.typed()).await.unwrap_err();
        refusal.is_foreseen(&here);
        let there = client.rpc(self.raw()).await.unwrap_err();
        refusal.is_answered(&there);
        assert_eq!(here.kind(), there.kind());
        assert_eq!(here.method(), there.method());
    }

    /// Asserts that a server takes this, and that the client lets it through.
    pub(super) async fn is_taken(&self, client: &Client) -> Result<TxnResponse, Error> {
        let raw = client.rpc(self.raw()).await?;
        let typed = client.execute(self.typed()).await?;
        assert_eq!((raw.succeeded, raw.responses.len()), (typed.succeeded, typed.responses.len()));
        Ok(typed)
    }
}
