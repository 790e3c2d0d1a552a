//! The rules of transactions, written a second time: plainly, with lists and without haste.

use super::model::{Node, Tree};
use etcd3_core::proto::etcdserverpb as pb;
use etcd3_core::proto::etcdserverpb::{request_op::Request, response_op::Response};
use etcd3_core::{ErrorKind, KeyRange, ServerError};

/// K31: no list is longer than what the levels above leave. And no revision is negative. The first
/// error counts, from the outside in.
pub(super) fn form(tree: &Tree, left: usize) -> Option<ErrorKind> {
    let longest = tree.compares.max(tree.then.len()).max(tree.otherwise.len());
    if longest > left {
        return Some(ErrorKind::Server(ServerError::TooManyOps));
    }
    tree.nodes().find_map(|node| match node {
        Node::Get(_, ..0) => Some(ErrorKind::InvalidRequest),
        Node::Txn(nested) => form(nested, left - longest),
        _ => None,
    })
}

/// etcd#18667: a branch reads at a revision, and writes there or further down.
pub(super) fn divides(tree: &Tree) -> bool {
    [&tree.then, &tree.otherwise].into_iter().any(|branch| {
        let reads =
            branch.iter().any(|node| matches!(node, Node::Get(_, revision) if *revision != 0));
        let writes = |node: &Node| match node {
            Node::Get(..) => false,
            Node::Put(_) | Node::Delete(_) => true,
            Node::Txn(tree) => !only_reads(tree),
        };
        reads && branch.iter().any(writes)
    })
}

/// I-R3.
pub(super) fn only_reads(tree: &Tree) -> bool {
    tree.nodes().all(|node| match node {
        Node::Get(..) => true,
        Node::Put(_) | Node::Delete(_) => false,
        Node::Txn(tree) => only_reads(tree),
    })
}

/// K32.
pub(super) fn writes_twice(tree: &Tree) -> bool {
    writes(&tree.then).is_none() || writes(&tree.otherwise).is_none()
}

/// What a branch puts and deletes.
type Writes<'a> = (Vec<&'a [u8]>, Vec<&'a KeyRange>);

/// `None` if the branch writes a key twice, as a server sees it: the deletions of a level count
/// before its nested transactions, those in turn before its puts; the deletions of a nested
/// transaction count for what comes after it.
fn writes(nodes: &[Node]) -> Option<Writes<'_>> {
    let mut puts: Vec<&[u8]> = Vec::new();
    let mut deletes: Vec<&KeyRange> = Vec::new();
    for node in nodes {
        if let Node::Delete(range) = node {
            deletes.push(range);
        }
    }
    for node in nodes {
        let Node::Txn(tree) = node else { continue };
        let (mut within, gone) = writes(&tree.then)?;
        let (otherwise, gone_otherwise) = writes(&tree.otherwise)?;
        within.extend(otherwise);
        if within.iter().any(|key| puts.contains(key) || is_deleted(&deletes, key)) {
            return None;
        }
        puts.extend(within);
        deletes.extend(gone);
        deletes.extend(gone_otherwise);
    }
    for node in nodes {
        let Node::Put(key) = node else { continue };
        if puts.contains(&&key[..]) || is_deleted(&deletes, key) {
            return None;
        }
        puts.push(key);
    }
    Some((puts, deletes))
}

/// A deletion with an open end meets no put: servers take both.
fn is_deleted(deletes: &[&KeyRange], key: &[u8]) -> bool {
    deletes.iter().any(|range| range.range_end() != &b"\0"[..] && range.contains(key))
}

/// K30: whether these are answers to the operations of the branch that was taken, one by one.
pub(super) fn answers(tree: &Tree, answer: &pb::TxnResponse) -> bool {
    let asked = if answer.succeeded { &tree.then } else { &tree.otherwise };
    let is_range =
        |answer: &pb::ResponseOp| matches!(answer.response, Some(Response::ResponseRange(_)));
    if tree.needs_barrier() {
        return matches!(&answer.responses[..], [one] if is_range(one));
    }
    let fits = |(node, answer): (&Node, &pb::ResponseOp)| match (node, &answer.response) {
        (Node::Get(..), Some(Response::ResponseRange(_)))
        | (Node::Put(_), Some(Response::ResponsePut(_)))
        | (Node::Delete(_), Some(Response::ResponseDeleteRange(_))) => true,
        (Node::Txn(tree), Some(Response::ResponseTxn(answer))) => answers_nested(tree, answer),
        _ => false,
    };
    asked.len() == answer.responses.len() && asked.iter().zip(&answer.responses).all(fits)
}

/// Only the outermost transaction gets a read of its own.
fn answers_nested(tree: &Tree, answer: &pb::TxnResponse) -> bool {
    if tree.needs_barrier() { answer.responses.is_empty() } else { answers(tree, answer) }
}

/// Returns how many operations a message holds, at any depth.
pub(super) fn count(message: &pb::TxnRequest) -> usize {
    let ops = message.success.iter().chain(&message.failure);
    ops.map(|op| match &op.request {
        Some(Request::RequestTxn(nested)) => 1 + count(nested),
        _ => 1,
    })
    .sum()
}
