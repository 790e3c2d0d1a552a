//! Transactions as values: how they are built and checked before they are sent.

mod answers;
mod duplicates;
mod freshness;
mod golden;
mod revisions;

use etcd3_core::method::Effect;
use etcd3_core::proto::etcdserverpb::{RequestOp, TxnRequest, request_op::Request};
use etcd3_core::request::NESTING_LIMIT;
use etcd3_core::{
    Compare, Error, ErrorKind, Limits, Op, Operation, Outcome, ServerError, Txn, delete, get, key,
    prefix, put, txn,
};
use prost::Message;

/// The message that would be sent.
fn request<S>(mut txn: Txn<S>) -> Result<TxnRequest, Error> {
    txn.request(&Limits::default()).cloned()
}

/// The error of the server that was foreseen; nothing was sent for it.
fn foreseen<S>(txn: Txn<S>) -> Option<ServerError> {
    let error = request(txn).err()?;
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert!(error.server_error().is_some(), "{error}");
    error.server_error()
}

fn op(op: impl Into<Op>) -> Op {
    op.into()
}

fn puts(range: std::ops::Range<usize>) -> Vec<Op> {
    range.map(|n| op(put(format!("k{n}"), "v"))).collect()
}

fn compares(count: usize) -> Vec<Compare> {
    (0..count).map(|n| key(format!("k{n}")).version().eq(0)).collect()
}

// K30, K34: any part may be left out, and each lands where it belongs.
#[test]
fn the_parts_of_a_transaction() {
    let message = request(txn().when(compares(2)).then(puts(0..3)).otherwise([get("k")])).unwrap();
    assert_eq!((message.compare.len(), message.success.len(), message.failure.len()), (2, 3, 1));
    let message = request(txn().then(puts(0..3))).unwrap();
    assert_eq!((message.compare.len(), message.success.len(), message.failure.len()), (0, 3, 0));
    let message = request(txn().otherwise([delete("k")])).unwrap();
    assert_eq!((message.compare.len(), message.success.len(), message.failure.len()), (0, 0, 1));
    let message = request(txn().when(compares(1)).otherwise([delete("k")])).unwrap();
    assert_eq!((message.compare.len(), message.success.len(), message.failure.len()), (1, 0, 1));
    assert_eq!(request(txn()).unwrap(), TxnRequest::default());
    let mixed = [op(get("a")), op(put("b", "v")), op(delete("c")), op(txn())];
    assert_eq!(request(txn().then(mixed)).unwrap().success.len(), 4);
}

// I-R3
#[test]
fn what_only_reads_is_a_read() {
    let reads = || [op(get("a")), op(get(prefix("b")))];
    let nested = |inner: Op| txn().then([op(txn().otherwise([op(txn().then([inner]))]))]);
    assert_eq!(txn().effect(), Effect::Read);
    assert_eq!(txn().when(compares(1)).effect(), Effect::Read);
    assert_eq!(txn().then(reads()).otherwise(reads()).effect(), Effect::Read);
    assert_eq!(nested(op(get("a"))).effect(), Effect::Read);
    for write in [op(put("a", "v")), op(delete("a"))] {
        assert_eq!(txn().then([write.clone()]).effect(), Effect::Write);
        assert_eq!(txn().then(reads()).otherwise([write.clone()]).effect(), Effect::Write);
        assert_eq!(nested(write.clone()).effect(), Effect::Write);
        assert_eq!(op(nested(write.clone())).rpc().effect, Effect::Write);
    }
}

// K31, TXN-002, TXN-013, TXN-014, TXN-015
#[test]
fn a_list_may_have_128_entries() {
    for n in [127, 128, 129, 138] {
        let expected = (n > 128).then_some(ServerError::TooManyOps);
        assert_eq!(foreseen(txn().when(compares(n)).then([get("k")])), expected, "{n} compares");
        assert_eq!(foreseen(txn().when(compares(n))), expected, "{n} compares and nothing else");
        assert_eq!(foreseen(txn().then(puts(0..n))), expected, "{n} operations");
        assert_eq!(foreseen(txn().otherwise(puts(0..n))), expected, "{n} operations otherwise");
    }
    // Not the sum but the longest list counts.
    let full = txn().when(compares(128)).then(puts(0..128)).otherwise(puts(0..128));
    assert_eq!(foreseen(full), None);
}

// K31: what lies within may have what the level above leaves.
#[test]
fn a_nested_transaction_has_the_remainder_of_the_limit() {
    // One nested transaction beside `above - 1` puts, in either branch.
    let nested = |above: usize, within: usize| {
        let inner = || op(txn().then(puts(1_000..1_000 + within)));
        let ops = || [puts(1..above), vec![inner()]].concat();
        let then = foreseen(txn().then(ops()));
        assert_eq!(foreseen(txn().otherwise(ops())), then);
        then
    };
    for above in [1, 64, 100, 127] {
        assert_eq!(nested(above, 128 - above), None, "{above}");
        assert_eq!(nested(above, 129 - above), Some(ServerError::TooManyOps), "{above}");
    }
    assert_eq!(nested(128, 0), None);
    assert_eq!(nested(128, 1), Some(ServerError::TooManyOps));
    // The compares of the level above count, too, and so does every level.
    let inner = |n| op(txn().then(puts(0..n)));
    assert_eq!(foreseen(txn().when(compares(100)).then([inner(28)])), None);
    let over = foreseen(txn().when(compares(100)).then([inner(29)]));
    assert_eq!(over, Some(ServerError::TooManyOps));
    let middle = |n| op(txn().when(compares(20)).then([inner(n)]));
    assert_eq!(foreseen(txn().when(compares(100)).then([middle(8)])), None);
    let over = foreseen(txn().when(compares(100)).then([middle(9)]));
    assert_eq!(over, Some(ServerError::TooManyOps));
}

// K31: the limit is that of the server's flag.
#[test]
fn the_limit_can_be_set() {
    let limits = |max_txn_ops| Limits::default().max_txn_ops(max_txn_ops);
    assert!(txn().then(puts(0..200)).request(&limits(200)).is_ok());
    assert!(txn().then(puts(0..3)).request(&limits(2)).is_err());
    assert!(txn().then(puts(0..1)).request(&limits(0)).is_err());
    assert!(txn().request(&limits(0)).is_ok());
}

// K37: nothing but compares would be answered from data that may be stale.
#[test]
fn compares_alone_get_a_read_that_makes_them_linearizable() {
    let both = [prefix("a").version().gt(0), key("z").version().eq(0)];
    let mut alone = txn().when(both);
    let message = alone.request(&Limits::default()).unwrap().clone();
    assert_eq!(message.success, message.failure);
    let [RequestOp { request: Some(Request::RequestRange(read)) }] = &message.success[..] else {
        panic!("{message:?}");
    };
    assert_eq!((&read.key[..], &read.range_end[..]), (&b"a"[..], &b"b"[..]));
    assert!(read.count_only && !read.serializable);
    assert_eq!(alone.effect(), Effect::Read);
    assert_eq!(alone.request(&Limits::default()).unwrap(), &message, "asked again, it is the same");
}

// K37: what has operations is left as it is.
#[test]
fn operations_need_no_further_read() {
    let compare = || compares(1);
    for built in [
        txn().when(compare()).then([get("k").serializable()]).into_whole(),
        txn().when(compare()).then([put("k", "v")]).into_whole(),
        txn().when(compare()).otherwise([get("k")]),
        txn().then([op(txn().when(compare()))]).into_whole(),
        txn().into_whole(),
    ] {
        let reads = |ops: &[RequestOp]| {
            let is_count = |op: &RequestOp| match &op.request {
                Some(Request::RequestRange(range)) => range.count_only,
                _ => false,
            };
            ops.iter().any(is_count)
        };
        let message = request(built).unwrap();
        assert!(!reads(&message.success) && !reads(&message.failure));
    }
}

// C41, X6: a request over the client's own limit is not sent, and the error names the limit.
#[test]
fn a_request_over_the_limit_is_not_sent() {
    let limits = Limits::default().max_request_bytes(12);
    assert!(txn().then([put("k", "123")]).encode(&limits, None).is_ok());
    let error = txn().then([put("k", "1234")]).encode(&limits, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RequestOverLimit { len: 13, limit: 12 });
    assert_eq!(error.outcome(), Outcome::NotSent);
}

fn nest(depth: u32, innermost: Op) -> Op {
    (0..depth).fold(innermost, |inner, _| op(txn().then([inner])))
}

// I-X4: as deep as the limit is fine, for this side's decoder too.
#[test]
fn transactions_may_lie_as_deep_as_the_limit() {
    let mut deep = nest(NESTING_LIMIT, op(put("k", "v")));
    let frame = deep.encode(&Limits::default(), None).unwrap();
    let mut message = TxnRequest::decode(&frame[5..]).unwrap();
    for _ in 1..NESTING_LIMIT {
        let Some(Request::RequestTxn(inner)) = message.success.remove(0).request else {
            panic!("{message:?}");
        };
        message = inner;
    }
    assert!(matches!(message.success[0].request, Some(Request::RequestPut(_))));

    let mut deeper = nest(NESTING_LIMIT + 1, op(put("k", "v")));
    let error = deeper.encode(&Limits::default(), None).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::InvalidRequest, Outcome::NotSent));
    assert!(error.report().to_string().contains("33 deep"), "{}", error.report());
}

// I-X4: nothing recurses with the input: not building, copying, printing, checking or dropping.
#[test]
fn a_hundred_thousand_levels_do_not_overflow_the_stack() {
    let body = || {
        let mut deep = nest(100_000, op(put("k", "v")));
        assert!(format!("{:?}", deep.clone()).len() < 1_000_000);
        let error = deep.encode(&Limits::default(), None).unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::InvalidRequest, Outcome::NotSent));
        let beside = txn().then([op(get("k")), deep, op(put("k", "v"))]);
        assert_eq!(request(beside).unwrap_err().kind(), ErrorKind::InvalidRequest);
    };
    std::thread::Builder::new().stack_size(512 << 10).spawn(body).unwrap().join().unwrap();
}
