//! Transactions of any shape, and answers of any shape to them (K30–K32, K37, I-R3, I-X1).

mod model;
mod oracle;

use arbitrary::Unstructured;
use etcd3_core::method::Effect;
use etcd3_core::proto::etcdserverpb as pb;
use etcd3_core::request::NESTING_LIMIT;
use etcd3_core::{Error, ErrorKind, Limits, Operation, Outcome, ServerError, Txn};
use model::Tree;
use prost::Message;

/// Every transaction is sent or refused as the rules have it, and every answer is understood or
/// refused.
pub fn txn_shape(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let Ok(tree) = model::tree(&mut bytes) else { return };
    let max_txn_ops = if bytes.ratio(1, 4).unwrap_or(false) { 4 } else { 128 };
    let limits = Limits::default().max_txn_ops(max_txn_ops);
    let Some(txn) = check_request(&tree, &limits) else { return };
    if let Ok(answer) = model::answer(&mut bytes, &tree) {
        check_answer(&tree, txn.clone(), &answer);
    }
    if let Err(error) = txn.decode(bytes.take_rest().to_vec().into(), None) {
        assert_protocol(&error);
    }
}

/// Compares the checks with those of the oracle; the transaction, if it can be sent.
fn check_request(tree: &Tree, limits: &Limits) -> Option<Txn> {
    let mut txn = tree.txn();
    let is_shallow = tree.depth() <= NESTING_LIMIT;
    let effect = txn.effect();
    let sent = txn.encode(limits, None);
    let form = oracle::form(tree, limits.max_txn_ops);
    let expected = match () {
        () if !is_shallow => Some(ErrorKind::InvalidRequest),
        () if form.is_some() => form,
        () if oracle::writes_twice(tree) => Some(ErrorKind::Server(ServerError::DuplicateKey)),
        () if oracle::divides(tree) => Some(ErrorKind::InvalidRequest),
        () => None,
    };
    assert_eq!(!is_shallow || effect == Effect::PinnedWrite, !is_shallow || oracle::divides(tree));
    assert_eq!(sent.as_ref().err().map(Error::kind), expected, "{tree:?}");
    assert!(sent.as_ref().err().is_none_or(|error| error.outcome() == Outcome::NotSent));
    let frame = sent.ok()?;
    assert_eq!(effect == Effect::Read, oracle::only_reads(tree), "I-R3: {tree:?}");
    assert_eq!(txn.effect(), effect, "the added read changes nothing");
    assert_eq!(txn.encode(limits, None).ok().as_ref(), Some(&frame), "encoding is stable");
    let message = pb::TxnRequest::decode(&frame[5..]).expect("what was encoded");
    assert_eq!(message.encode_to_vec(), frame[5..]);
    assert_eq!(oracle::count(&message), tree.count() + 2 * usize::from(tree.needs_barrier()));
    Some(txn)
}

fn check_answer(tree: &Tree, txn: Txn, answer: &pb::TxnResponse) {
    let read = txn.clone().decode(answer.encode_to_vec().into(), None);
    assert_eq!(txn.response(answer.clone()), read);
    assert_eq!(read.is_ok(), oracle::answers(tree, answer), "{tree:?} {answer:?}");
    match read {
        Err(error) => assert_protocol(&error),
        Ok(response) => {
            let shown = if tree.needs_barrier() { 0 } else { answer.responses.len() };
            assert_eq!(response.responses.len(), shown);
            assert_eq!(response.succeeded, answer.succeeded);
        }
    }
}

fn assert_protocol(error: &Error) {
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Protocol, Outcome::Unknown));
}
