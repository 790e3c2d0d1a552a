//! Which requests must be answered with no less than was seen before.

use etcd3_core::method;
use etcd3_core::namespace::KeyPrefix;
use etcd3_core::proto::etcdserverpb as pb;
use etcd3_core::request::Raw;
use etcd3_core::{
    Bytes, Error, Limits, Op, Operation, Rpc, all, compact, delete, get, key, put, txn,
};

fn expect_linearizable(expected: bool, operation: impl Into<Op>) {
    let operation = operation.into();
    assert_eq!(operation.rpc().is_linearizable, expected, "{operation:?}");
}

// I-R8
#[test]
fn a_read_is_linearizable_unless_it_is_told_not_to_be() {
    expect_linearizable(true, get("k"));
    expect_linearizable(true, get(all()).revision(7));
    expect_linearizable(false, get("k").serializable());
    for serializable in [false, true] {
        let range = pb::RangeRequest { serializable, ..pb::RangeRequest::default() };
        assert_eq!(Raw(range).rpc().is_linearizable, !serializable);
    }
}

// One read that is linearizable makes those beside it so; a transaction without a read of its own
// may be answered with what the member that was asked has.
#[test]
fn a_transaction_is_linearizable_if_it_only_reads_and_one_of_its_reads_is() {
    let stale = || get("k").serializable();
    expect_linearizable(true, txn().then([get("k")]));
    expect_linearizable(true, txn().then([stale(), get("k")]));
    expect_linearizable(
        true,
        txn().when([key("k").version().eq(1)]).then([stale()]).otherwise([get("k")]),
    );
    expect_linearizable(true, txn().then([txn().then([get("k")])]));
    expect_linearizable(false, txn().then([stale()]).otherwise([txn().then([stale()])]));
}

// The answer to a write has the revision that the write made.
#[test]
fn a_write_is_not_a_read() {
    expect_linearizable(false, put("k", "v"));
    expect_linearizable(false, delete("k"));
    assert!(!compact(7).rpc().is_linearizable);
    expect_linearizable(false, txn().then([Op::from(get("k")), Op::from(put("l", "v"))]));
    expect_linearizable(false, txn().then([get("k")]).otherwise([delete("k")]));
    expect_linearizable(
        false,
        txn().then([Op::from(get("k")), Op::from(txn().then([put("l", "v")]))]),
    );
    assert!(!Raw(pb::PutRequest::default()).rpc().is_linearizable);
}

// Y2: a transaction that writes is carried out by all, and has no need of it.
#[test]
fn what_may_not_go_back_says_so() {
    let ordered = |operation: Op| operation.rpc().is_ordered;
    let stale = || get("k").serializable();
    let newer = || stale().not_older();
    assert!(!ordered(get("k").into()) && !ordered(stale().into()));
    assert!(ordered(newer().into()) && ordered(get("k").not_older().into()));
    let plain = txn().then([stale()]);
    assert!(!ordered(plain.clone().into()) && ordered(plain.not_older().into()));
    assert!(ordered(txn().when([]).not_older().then([stale()]).otherwise([stale()]).into()));
    assert!(ordered(txn().then([stale(), newer()]).into()));
    assert!(ordered(txn().otherwise([txn().then([newer()])]).into()));
    assert!(!ordered(txn().then([Op::from(newer()), put("l", "v").into()]).into()));
    assert!(!ordered(txn().then([newer()]).otherwise([delete("l")]).into()));
}

// a member that answers by itself may lack a revision; one that asks the cluster has it.
#[test]
fn what_a_member_reads_by_itself_says_at_which_revision() {
    let revision = |operation: Op| operation.rpc().local_revision;
    let local = |revision| get("k").serializable().revision(revision);
    assert_eq!(revision(local(7).into()), 7);
    assert_eq!(revision(get("k").serializable().into()), 0);
    assert_eq!(revision(get("k").revision(7).into()), 0);
    let range = pb::RangeRequest { serializable: true, revision: 7, ..Default::default() };
    assert_eq!(Raw(range).rpc().local_revision, 7);

    assert_eq!(revision(txn().then([local(7), local(9), local(8)]).into()), 9);
    assert_eq!(revision(txn().then([local(7)]).otherwise([local(9), local(0)]).into()), 9);
    assert_eq!(revision(txn().then([txn().then([local(7)])]).into()), 7);
    assert_eq!(revision(txn().when([key("k").version().eq(1)]).then([local(7)]).into()), 7);
    assert_eq!(revision(txn().then([local(7), get("k")]).into()), 0, "all ask the cluster");
    assert_eq!(revision(txn().then([local(7)]).otherwise([put("k", "v")]).into()), 0);
    assert_eq!(revision(txn().when([key("k").version().eq(1)]).into()), 0);
    assert_eq!(revision(put("k", "v").into()), 0);
}

/// An operation of a program's own, which says nothing of its answer.
struct Own;

impl Operation for Own {
    type Response = ();

    fn rpc(&self) -> Rpc {
        Rpc::new(&method::RANGE)
    }

    fn encode(&mut self, _: &Limits, _: Option<&KeyPrefix>) -> Result<Bytes, Error> {
        Ok(Bytes::new())
    }

    fn decode(self, _: Bytes, _: Option<&KeyPrefix>) -> Result<(), Error> {
        Ok(())
    }
}

#[test]
fn an_operation_that_says_nothing_takes_any_answer() {
    assert!(!Own.rpc().is_linearizable);
    assert_eq!(Own.rpc().effect, method::RANGE.effect);
}
