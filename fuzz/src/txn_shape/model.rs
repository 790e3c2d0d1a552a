//! Transactions as plain trees, made from bytes.

use arbitrary::{Result, Unstructured};
use etcd3_core::proto::etcdserverpb as pb;
use etcd3_core::proto::etcdserverpb::response_op::Response;
use etcd3_core::{KeyRange, Op, Txn, all, delete, from_key, get, key, prefix, put, txn};

/// A transaction.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) compares: usize,
    pub(super) then: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// An operation of one.
#[derive(Debug)]
pub(super) enum Node {
    Get(KeyRange, i64),
    Put(Vec<u8>),
    Delete(KeyRange),
    Txn(Tree),
}

/// No tree is deeper than this: more than the limit of the client, and no danger to the stack.
const DEEPEST: u32 = 40;

/// Makes a tree; sometimes one that lies deep in others.
pub(super) fn tree(bytes: &mut Unstructured<'_>) -> Result<Tree> {
    let wrapped = if bytes.ratio(1, 16)? { bytes.int_in_range(0..=DEEPEST)? } else { 0 };
    let mut tree = level(bytes, 4)?;
    for _ in 0..wrapped {
        tree = Tree { then: vec![Node::Txn(tree)], ..Tree::default() };
    }
    Ok(tree)
}

fn level(bytes: &mut Unstructured<'_>, below: u32) -> Result<Tree> {
    let compares = if bytes.ratio(1, 64)? { 129 } else { bytes.int_in_range(0..=5)? };
    Ok(Tree { compares, then: nodes(bytes, below)?, otherwise: nodes(bytes, below)? })
}

fn nodes(bytes: &mut Unstructured<'_>, below: u32) -> Result<Vec<Node>> {
    let count = bytes.int_in_range(0..=5)?;
    (0..count).map(|_| node(bytes, below)).collect()
}

fn node(bytes: &mut Unstructured<'_>, below: u32) -> Result<Node> {
    Ok(match bytes.int_in_range(0..=7)? {
        0 => Node::Get(range(bytes)?, revision(bytes)?),
        1..=3 => Node::Put(name(bytes)?),
        4..=5 => Node::Delete(range(bytes)?),
        _ if below == 0 => Node::Put(name(bytes)?),
        _ => Node::Txn(level(bytes, below - 1)?),
    })
}

/// A revision to read at: mostly the current one.
fn revision(bytes: &mut Unstructured<'_>) -> Result<i64> {
    Ok(match bytes.int_in_range(0..=9)? {
        0 => -1,
        1 => i64::MIN,
        2 | 3 => 7,
        _ => 0,
    })
}

/// A key out of few, so that keys meet.
fn name(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let len = bytes.int_in_range(1..=2)?;
    (0..len).map(|_| bytes.choose(b"\0ab\xff").copied()).collect()
}

fn range(bytes: &mut Unstructured<'_>) -> Result<KeyRange> {
    Ok(match bytes.int_in_range(0..=5)? {
        0 => prefix(name(bytes)?),
        1 => from_key(name(bytes)?),
        2 => all(),
        3 => KeyRange::from(name(bytes)?..name(bytes)?),
        _ => key(name(bytes)?),
    })
}

impl Tree {
    pub(super) fn txn(&self) -> Txn {
        let compares = (0..self.compares).map(|n| key(n.to_string()).version().eq(0));
        let ops = |nodes: &[Node]| nodes.iter().map(Node::op).collect::<Vec<_>>();
        txn().when(compares).then(ops(&self.then)).otherwise(ops(&self.otherwise))
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.then.iter().chain(&self.otherwise)
    }

    pub(super) fn nested(&self) -> impl Iterator<Item = &Self> {
        self.nodes().filter_map(|node| if let Node::Txn(tree) = node { Some(tree) } else { None })
    }

    pub(super) fn depth(&self) -> u32 {
        1 + self.nested().map(Self::depth).max().unwrap_or(0)
    }

    /// Returns how many operations it holds, at any depth.
    pub(super) fn count(&self) -> usize {
        self.nodes().count() + self.nested().map(Self::count).sum::<usize>()
    }

    pub(super) fn needs_barrier(&self) -> bool {
        self.compares > 0 && self.nodes().next().is_none()
    }
}

impl Node {
    fn op(&self) -> Op {
        match self {
            Self::Get(range, revision) => get(range.clone()).revision(*revision).into(),
            Self::Put(key) => put(key, "v").into(),
            Self::Delete(range) => delete(range.clone()).into(),
            Self::Txn(tree) => tree.txn().into(),
        }
    }
}

/// Makes an answer: mostly the one that fits, here and there not.
pub(super) fn answer(bytes: &mut Unstructured<'_>, tree: &Tree) -> Result<pb::TxnResponse> {
    let succeeded = bytes.arbitrary()?;
    let nodes = if succeeded { &tree.then } else { &tree.otherwise };
    let mut responses: Vec<_> =
        nodes.iter().map(|node| response(bytes, Some(node))).collect::<Result<_>>()?;
    if tree.needs_barrier() {
        responses.push(response(bytes, Some(&Node::Get(all(), 0)))?);
    }
    match bytes.int_in_range(0..=31)? {
        30 => responses.push(response(bytes, None)?),
        31 => drop(responses.pop()),
        _ => {}
    }
    Ok(pb::TxnResponse { header: None, succeeded, responses })
}

fn response(bytes: &mut Unstructured<'_>, node: Option<&Node>) -> Result<pb::ResponseOp> {
    let fits = bytes.int_in_range(0..=31)? != 31;
    let response = match node.filter(|_| fits) {
        Some(Node::Get(..)) => Some(Response::ResponseRange(pb::RangeResponse::default())),
        Some(Node::Put(_)) => Some(Response::ResponsePut(pb::PutResponse::default())),
        Some(Node::Delete(_)) => {
            Some(Response::ResponseDeleteRange(pb::DeleteRangeResponse::default()))
        }
        Some(Node::Txn(tree)) => Some(Response::ResponseTxn(answer(bytes, tree)?)),
        None => match bytes.int_in_range(0..=4)? {
            0 => None,
            1 => Some(Response::ResponseRange(pb::RangeResponse::default())),
            2 => Some(Response::ResponsePut(pb::PutResponse::default())),
            3 => Some(Response::ResponseDeleteRange(pb::DeleteRangeResponse::default())),
            _ => Some(Response::ResponseTxn(pb::TxnResponse::default())),
        },
    };
    Ok(pb::ResponseOp { response })
}
