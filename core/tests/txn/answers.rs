//! Answers to transactions, right and wrong (K30, I-X1).

use crate::{compares, op};
use etcd3_core::proto::etcdserverpb::response_op::Response;
use etcd3_core::proto::{etcdserverpb as pb, mvccpb};
use etcd3_core::request::TxnResponse;
use etcd3_core::{
    Error, ErrorKind, KeyValue, LeaseId, Limits, Op, OpResponse, Operation, Outcome,
    ResponseHeader, Txn, compact, delete, get, put, txn,
};
use prost::Message;

fn answer(succeeded: bool, responses: Vec<Response>) -> pb::TxnResponse {
    let responses = responses.into_iter().map(|r| pb::ResponseOp { response: Some(r) }).collect();
    pb::TxnResponse { header: None, succeeded, responses }
}

fn range(count: i64) -> Response {
    Response::ResponseRange(pb::RangeResponse { count, ..Default::default() })
}

fn put_done() -> Response {
    Response::ResponsePut(pb::PutResponse::default())
}

fn deleted(deleted: i64) -> Response {
    Response::ResponseDeleteRange(pb::DeleteRangeResponse { deleted, ..Default::default() })
}

fn nested(answer: pb::TxnResponse) -> Response {
    Response::ResponseTxn(answer)
}

/// Sends the transaction, as it were, and reads this answer, as it comes over the wire.
fn read<S>(mut txn: Txn<S>, answer: &pb::TxnResponse) -> Result<TxnResponse, Error> {
    let _ = txn.encode(&Limits::default(), None)?;
    txn.decode(answer.encode_to_vec().into(), None)
}

/// A transaction with every kind of operation, in one branch, and a deletion in the other.
fn sample() -> Txn {
    let inner = txn().then([get("i")]).otherwise([put("i", "v")]);
    let ops: [Op; 4] = [op(get("g")), op(put("p", "v")), op(delete("d")), op(inner)];
    txn().when(compares(1)).then(ops).otherwise([delete("x")])
}

fn sample_answers() -> Vec<Response> {
    vec![range(7), put_done(), deleted(2), nested(answer(false, vec![put_done()]))]
}

// K30: one answer an operation, in order, of the branch that was taken.
#[test]
fn answers_are_typed_by_what_was_asked() {
    let response = read(sample(), &answer(true, sample_answers())).unwrap();
    assert!(response.succeeded);
    assert_eq!(response.get(0).map(|get| get.count), Some(7));
    assert_eq!(response.get(1), None, "that one is a put");
    assert!(response.responses[1].as_put().is_some());
    assert_eq!(response.responses[2].as_delete().map(|d| d.deleted), Some(2));
    let inner = response.responses[3].as_txn().unwrap();
    assert!(!inner.succeeded && matches!(inner.responses[..], [OpResponse::Put(_)]));

    let response = read(sample(), &answer(false, vec![deleted(1)])).unwrap();
    assert!(!response.succeeded);
    assert_eq!(response.responses.len(), 1);
}

fn assert_refused(name: &str, result: Result<TxnResponse, Error>) {
    let error = result.expect_err(name);
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Protocol, Outcome::Unknown), "{name}");
}

// I-X1: an answer that does not fit is an error that says "unknown", and never a panic.
#[test]
fn answers_that_do_not_fit_are_errors() {
    let with = |index: usize, response: Response| {
        let mut answers = sample_answers();
        answers[index] = response;
        answer(true, answers)
    };
    let mut long = sample_answers();
    long.push(range(0));
    let mut empty = answer(true, sample_answers());
    empty.responses[1].response = None;
    for (name, wrong) in [
        ("none at all", answer(true, vec![])),
        ("one too few", answer(true, sample_answers()[..3].to_vec())),
        ("one too many", answer(true, long)),
        ("those of the other branch", answer(false, sample_answers())),
        ("another kind, first", with(0, put_done())),
        ("another kind, last", with(3, range(0))),
        ("no kind", empty),
        ("nested: none", with(3, nested(answer(false, vec![])))),
        ("nested: one too many", with(3, nested(answer(false, vec![put_done(), put_done()])))),
        ("nested: another kind", with(3, nested(answer(true, vec![put_done()])))),
        ("nested too deep", with(3, nested(answer(true, vec![nested(answer(true, vec![]))])))),
    ] {
        assert_refused(name, read(sample(), &wrong));
    }
    assert_refused("not a message", sample().decode(b"\xff\xff\xff"[..].into(), None));
    // Fields that a later version adds are no error.
    let mut wire = answer(false, vec![deleted(1)]).encode_to_vec();
    wire.extend(b"\xf8\x07\x01");
    assert!(sample().decode(wire.into(), None).is_ok());
}

// K37: nobody sees the read that nobody asked for; but it must have been answered.
#[test]
fn the_answer_to_the_added_read_is_hidden() {
    for succeeded in [true, false] {
        let alone = || txn().when(compares(1));
        let response = read(alone(), &answer(succeeded, vec![range(1)])).unwrap();
        assert_eq!((response.succeeded, response.responses), (succeeded, vec![]));
        assert_refused("no answer", read(alone(), &answer(succeeded, vec![])));
        assert_refused("another kind", read(alone(), &answer(succeeded, vec![put_done()])));
        // One that was asked for is shown.
        let asked = alone().then([get("k").count_only()]).otherwise([get("k").count_only()]);
        let response = read(asked, &answer(succeeded, vec![range(1)])).unwrap();
        assert_eq!(response.get(0).map(|get| get.count), Some(1));
    }
}

// K51: a header that is missing reads as zeros.
#[test]
fn headers_may_be_missing() {
    let response = read(txn(), &pb::TxnResponse::default()).unwrap();
    assert_eq!(response, TxnResponse::default());
}

/// Reads this answer, as it comes over the wire.
fn decode<O: Operation>(operation: O, answer: &impl Message) -> O::Response {
    operation.decode(answer.encode_to_vec().into(), None).expect("an answer")
}

#[test]
fn the_answer_to_each_operation_is_read_whole() {
    let header = pb::ResponseHeader { cluster_id: 1, member_id: 2, revision: 3, raft_term: 4 };
    let some = Some(header);
    let header = ResponseHeader::from(header);
    assert_eq!((header.cluster_id, header.member_id), (1, 2));
    assert_eq!((header.revision, header.raft_term), (3, 4));
    let sent = |key: &'static str| mvccpb::KeyValue {
        key: key.into(),
        create_revision: 5,
        mod_revision: 6,
        version: 7,
        value: "v".into(),
        lease: 8,
    };
    let pair = |key| KeyValue::from(sent(key));

    let kvs = vec![sent("a"), sent("b")];
    let answer = pb::RangeResponse { header: some, kvs: kvs.clone(), more: true, count: 7 };
    let got = decode(get("a"), &answer);
    assert_eq!((got.header, got.more, got.count), (header, true, 7));
    assert_eq!(got.kvs, [pair("a"), pair("b")]);
    let last = &got.kvs[1];
    assert_eq!((&last.key[..], &last.value[..], last.lease), (&b"b"[..], &b"v"[..], LeaseId(8)));
    assert_eq!((last.create_revision, last.mod_revision, last.version), (5, 6, 7));

    let answer = pb::PutResponse { header: some, prev_kv: Some(sent("a")) };
    let got = decode(put("a", "v"), &answer);
    assert_eq!((got.header, got.prev_kv), (header, Some(pair("a"))));

    let answer = pb::DeleteRangeResponse { header: some, deleted: 2, prev_kvs: kvs };
    let got = decode(delete("a"), &answer);
    assert_eq!((got.header, got.deleted), (header, 2));
    assert_eq!(got.prev_kvs, [pair("a"), pair("b")]);

    let got = decode(compact(3), &pb::CompactionResponse { header: some });
    assert_eq!(got.header, header);
}
