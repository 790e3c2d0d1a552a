//! Transactions: conditions, and what to do when they hold or not.

// K30–K38

use super::show::Show;
use super::txn_check;
use super::{GetResponse, Limits, Op, OpResponse, operation};
use crate::ResponseHeader;
use crate::error::Error;
use crate::method::Effect;
use crate::request::Compare;
use crate::rpc::UnaryRequest;
use etcd3_proto::etcdserverpb::{self as pb, RequestOp, ResponseOp, TxnRequest};
use etcd3_proto::etcdserverpb::{request_op::Request, response_op::Response};
use std::fmt;
use std::marker::PhantomData;

/// How deep transactions may lie in one another: what every server and every decoder can take.
pub const NESTING_LIMIT: u32 = 32;

/// A transaction: if all compares hold, one list of operations, else the other; all at one
/// revision.
///
/// Built in this order, each part at most once, any of them left out: [`when`](Self::when),
/// [`then`](Self::then), [`otherwise`](Self::otherwise). The type parameter says which of them may
/// still follow; misuse does not compile:
///
/// ```
/// # use etcd3_core as etcd3;
/// use etcd3::{get, key, put, txn};
///
/// let create = txn().when([key("k").version().eq(0)]).then([put("k", "v")]).otherwise([get("k")]);
/// # let _ = create;
/// ```
///
/// ```compile_fail
/// # use etcd3_core as etcd3;
/// use etcd3::{get, key, put, txn};
///
/// let create = txn().when([key("k").version().eq(0)]).otherwise([get("k")]).then([put("k", "v")]);
/// ```
///
/// Without a compare the first list is executed. A transaction that holds nothing but compares also
/// reads a key of theirs without returning it: servers would answer it from data that may be stale
/// otherwise.
///
/// One that writes and ends in an error whose outcome is *unknown* may have been executed whole or
/// not at all, never in part.
///
/// # Reads at a revision
///
/// A transaction is refused before it is sent when one of its two lists holds a read at a
/// [`revision`](super::Get::revision) and also a write, be it in a transaction nested there: were
/// that revision compacted or yet to come, the members of the cluster would differ from then on
/// (see [`dangerously_allow_pinned_reads_in_writes`]). Read at the revision first, then write. What
/// is sent: transactions that only read; those whose write and read lie in different lists; and
/// those whose read lies in a nested transaction.
///
/// [`dangerously_allow_pinned_reads_in_writes`]: Self::dangerously_allow_pinned_reads_in_writes
// K34, K37
#[derive(Clone, PartialEq)]
pub struct Txn<Stage = Whole> {
    request: TxnRequest,
    /// How many transactions lie in one another here, this one included.
    depth: u32,
    /// Whether [`Txn::request`] added a read that the caller must not see.
    barrier: bool,
    /// Whether it is sent though it may make members differ.
    allows_pinned_reads: bool,
    /// Whether it may not show less than what was seen.
    is_ordered: bool,
    stage: PhantomData<fn() -> Stage>,
}

/// Stage of a [`Txn`]: nothing is given yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {}

/// Stage of a [`Txn`]: the compares are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {}

/// Stage of a [`Txn`]: at most the operations for the case that the compares do not hold are yet
/// to be given; or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {}

/// Stage of a [`Txn`]: all that it will hold is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {}

/// Begins a transaction.
#[must_use]
pub fn txn() -> Txn<When> {
    Txn {
        request: TxnRequest::default(),
        depth: 1,
        barrier: false,
        allows_pinned_reads: false,
        is_ordered: false,
        stage: PhantomData,
    }
}

impl<Stage> fmt::Debug for Txn<Stage> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Show(&self.request).fmt(f)
    }
}

impl Txn<When> {
    /// Sets the conditions; all of them must hold.
    #[must_use]
    pub fn when(mut self, compares: impl IntoIterator<Item = Compare>) -> Txn<Then> {
        self.request.compare = compares.into_iter().map(|compare| compare.message).collect();
        self.at()
    }

    /// Sets what to do if the conditions hold.
    #[must_use]
    pub fn then<O: Into<Op>>(self, ops: impl IntoIterator<Item = O>) -> Txn<Otherwise> {
        self.at::<Then>().then(ops)
    }

    /// Sets what to do if a condition does not hold.
    #[must_use]
    pub fn otherwise<O: Into<Op>>(self, ops: impl IntoIterator<Item = O>) -> Txn {
        self.at::<Otherwise>().otherwise(ops)
    }
}

impl Txn<Then> {
    /// Sets what to do if the conditions hold.
    #[must_use]
    pub fn then<O: Into<Op>>(mut self, ops: impl IntoIterator<Item = O>) -> Txn<Otherwise> {
        self.request.success = self.take_in(ops);
        self.at()
    }

    /// Sets what to do if a condition does not hold.
    #[must_use]
    pub fn otherwise<O: Into<Op>>(self, ops: impl IntoIterator<Item = O>) -> Txn {
        self.at::<Otherwise>().otherwise(ops)
    }
}

impl Txn<Otherwise> {
    /// Sets what to do if a condition does not hold.
    #[must_use]
    pub fn otherwise<O: Into<Op>>(mut self, ops: impl IntoIterator<Item = O>) -> Txn {
        self.request.failure = self.take_in(ops);
        self.at()
    }
}

impl<Stage> Txn<Stage> {
    /// Returns what the transaction may do to the store: one that only reads, in both branches and
    /// at any depth, is a read and may be repeated.
    // I-R3
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.request.rpc().effect
    }

    /// Sends the transaction although one of its branches writes and, beside that, reads at a
    /// [`revision`](super::Get::revision).
    ///
    /// Without this, such a transaction is refused before it is sent. When the revision turns out
    /// to be compacted or in the future, the member that was asked changes nothing and answers
    /// `Compacted` or `FutureRev`, while members before etcd 3.7 carry out the writes all the same:
    /// the cluster differs from then on, in its data and in the number of every later revision, and
    /// nothing mends that by itself (etcd#18667). The outcome of such a refusal is therefore
    /// *unknown*. Use this only where every member is of 3.7 or later, or where it is certain that
    /// the revision can be read; better, read it before the transaction.
    #[must_use]
    pub fn dangerously_allow_pinned_reads_in_writes(mut self) -> Self {
        self.allows_pinned_reads = true;
        self
    }

    /// Has a transaction of nothing but [serializable](super::Get::serializable) reads show at
    /// least what the client had seen of the store before, as
    /// [`Get::not_older`](super::Get::not_older) does; set by such a read within it, too. Other
    /// transactions are that way always.
    // I-R8, Y2
    #[must_use]
    pub fn not_older(mut self) -> Self {
        self.is_ordered = true;
        self
    }

    /// One that writes is carried out by the whole cluster.
    fn is_ordered(&self) -> bool {
        self.is_ordered && self.effect() == Effect::Read
    }

    /// Forgets the stage: nothing more can be added.
    #[must_use]
    pub fn into_whole(self) -> Txn {
        self.at()
    }

    pub(super) fn into_message(self) -> TxnRequest {
        self.request
    }

    fn at<Next>(self) -> Txn<Next> {
        let Self { request, depth, barrier, allows_pinned_reads, is_ordered, stage: _ } = self;
        Txn { request, depth, barrier, allows_pinned_reads, is_ordered, stage: PhantomData }
    }

    /// Takes operations in. What lies too deep is noted and dropped at once, so that nothing
    /// recurses further than the limit, not even the destructor; the transaction is then refused.
    fn take_in<O: Into<Op>>(&mut self, ops: impl IntoIterator<Item = O>) -> Vec<RequestOp> {
        let mut messages = Vec::new();
        for op in ops {
            let op = op.into();
            match &op {
                Op::Txn(nested) => {
                    self.depth = self.depth.max(nested.depth.saturating_add(1));
                    self.is_ordered |= nested.is_ordered;
                }
                Op::Get(get) => self.is_ordered |= get.is_ordered,
                Op::Put(_) | Op::Delete(_) => {}
            }
            if self.depth <= NESTING_LIMIT {
                messages.push(op.into_message());
            }
        }
        messages
    }

    /// Returns whether a server would answer from its own data though nobody allowed it to.
    // K37
    fn needs_barrier(&self) -> bool {
        let TxnRequest { compare, success, failure } = &self.request;
        !compare.is_empty() && success.is_empty() && failure.is_empty()
    }

    /// Adds a read of a key that the compares read anyway, so that no further permission is needed.
    fn add_barrier(&mut self) {
        let Some(first) = self.request.compare.first() else { return };
        let read = pb::RangeRequest {
            key: first.key.clone(),
            range_end: first.range_end.clone(),
            count_only: true,
            ..Default::default()
        };
        let op = RequestOp { request: Some(Request::RequestRange(read)) };
        self.request.success = vec![op.clone()];
        self.request.failure = vec![op];
        self.barrier = true;
    }
}

/// The answer to a [`Txn`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct TxnResponse {
    /// Which cluster and member answered, at which revision; the answers within have a header of
    /// which only the revision is set.
    // K51
    pub header: ResponseHeader,
    /// Whether all compares held: which of the lists was executed.
    pub succeeded: bool,
    /// The answers to the operations of that list, in its order.
    pub responses: Vec<OpResponse>,
}

impl TxnResponse {
    /// The answer at this position, if it is that of a read.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&GetResponse> {
        self.responses.get(index).and_then(OpResponse::as_get)
    }
}

impl<Stage> Txn<Stage> {
    /// Checks and completes the message that is sent.
    ///
    /// # Errors
    ///
    /// What no server would take, negative revisions, and what would make the members of a cluster
    /// differ; outcome not sent.
    pub fn request(&mut self, limits: &Limits) -> Result<&TxnRequest, Error> {
        if self.depth > NESTING_LIMIT {
            let depth = self.depth;
            return Err(Error::invalid_request(format!(
                "transactions lie {depth} deep in one another; {NESTING_LIMIT} is the limit"
            )));
        }
        if self.needs_barrier() {
            self.add_barrier();
        }
        txn_check::check_txn(&self.request, limits.max_txn_ops)?;
        if !self.allows_pinned_reads {
            txn_check::check_pinned_reads(&self.request)?;
        }
        Ok(&self.request)
    }

    /// Reads the message that answers it.
    ///
    /// # Errors
    ///
    /// Kind [`Protocol`](crate::ErrorKind::Protocol) when it is no answer to this request.
    pub fn response(self, answer: pb::TxnResponse) -> Result<TxnResponse, Error> {
        let mut response = read(&self.request, answer)?;
        if self.barrier {
            response.responses.clear();
        }
        Ok(response)
    }
}

operation!(Txn<Stage>, (Stage), TxnRequest => TxnResponse; ordered);

/// Reads an answer, against the request that it should answer.
fn read(request: &TxnRequest, answer: pb::TxnResponse) -> Result<TxnResponse, Error> {
    let pb::TxnResponse { header, succeeded, responses } = answer;
    let asked = if succeeded { &request.success } else { &request.failure };
    if asked.len() != responses.len() {
        let (asked, answered) = (asked.len(), responses.len());
        return Err(Error::protocol(format!("{answered} answers to {asked} operations")));
    }
    let pairs = asked.iter().zip(responses);
    let responses = pairs.map(|(op, answer)| read_op(op, answer)).collect::<Result<_, _>>()?;
    Ok(TxnResponse { header: header.into(), succeeded, responses })
}

/// Recursion is bounded by [`NESTING_LIMIT`], by way of the request.
fn read_op(op: &RequestOp, answer: ResponseOp) -> Result<OpResponse, Error> {
    match (&op.request, answer.response) {
        (Some(Request::RequestRange(_)), Some(Response::ResponseRange(answer))) => {
            Ok(OpResponse::Get(answer.into()))
        }
        (Some(Request::RequestPut(_)), Some(Response::ResponsePut(answer))) => {
            Ok(OpResponse::Put(answer.into()))
        }
        (Some(Request::RequestDeleteRange(_)), Some(Response::ResponseDeleteRange(answer))) => {
            Ok(OpResponse::Delete(answer.into()))
        }
        (Some(Request::RequestTxn(nested)), Some(Response::ResponseTxn(answer))) => {
            Ok(OpResponse::Txn(read(nested, answer)?))
        }
        _ => Err(Error::protocol("an answer of another kind than its operation")),
    }
}
