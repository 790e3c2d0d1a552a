//! Reads at a revision: what no store has, and what would make the members of a cluster differ.

use crate::{op, request};
use etcd3_core::method::Effect;
use etcd3_core::{
    Compact, Error, ErrorKind, Get, Limits, Op, Operation, Outcome, Txn, compact, delete, get, key,
    put, txn,
};
use std::error::Error as _;

/// Asserts that this is refused before it is sent, and returns the reason.
#[track_caller]
fn refused(sent: Result<impl Sized, Error>) -> String {
    let Err(error) = sent else { panic!("it was sent") };
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::InvalidRequest, Outcome::NotSent));
    error.source().expect("a reason").to_string()
}

fn sent(mut operation: impl Operation) -> Result<(), Error> {
    operation.encode(&Limits::default(), None).map(drop)
}

/// Every way to read at a revision, or to name one.
fn with_revision(n: i64) -> Vec<(&'static str, Get)> {
    vec![
        ("revision", get("k").revision(n)),
        ("revision", get("k").revision(n).serializable()),
        ("min_mod_revision", get("k").min_mod_revision(n)),
        ("max_mod_revision", get("k").max_mod_revision(n)),
        ("min_create_revision", get("k").min_create_revision(n)),
        ("max_create_revision", get("k").max_create_revision(n)),
    ]
}

// Servers take a negative revision for the current one, or for one that was compacted; a negative
// bound for none, or for one that nothing passes.
#[test]
fn a_negative_revision_is_not_sent() {
    let inner = |read: Get| op(txn().otherwise([read]));
    for n in [-1, -7, i64::MIN] {
        for (name, read) in with_revision(n) {
            let reason = format!("{name} is {n}");
            for it in [
                op(read.clone()),
                op(txn().then([read.clone()])),
                op(txn().otherwise([read.clone()])),
                op(txn().then([inner(read.clone())])),
                op(txn().then([op(put("a", "v")), op(read.clone())])),
                op(txn()
                    .then([op(put("a", "v")), op(read)])
                    .dangerously_allow_pinned_reads_in_writes()),
            ] {
                let told = refused(sent(it.clone()));
                assert!(told.contains(&reason) && told.contains("negative"), "{told}: {it:?}");
            }
        }
        assert!(refused(sent(compact(n))).contains(&format!("revision is {n}")));
    }
    for n in [0, 1, i64::MAX] {
        for (name, read) in with_revision(n) {
            sent(read.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
            sent(txn().then([read])).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let it: Compact = compact(n);
        sent(it).expect("a compaction");
    }
}

/// Transactions that servers of 3.4 and 3.5 carry out on some members only, if the revision that
/// they read at cannot be had; measured.
fn divisive() -> Vec<(&'static str, Txn)> {
    let past = || op(get("k").revision(3));
    let nested = |ops: Vec<Op>| op(txn().then(ops));
    let else_nested = |ops: Vec<Op>| op(txn().when([key("k").version().eq(0)]).otherwise(ops));
    let write = || op(put("a", "v"));
    vec![
        ("put, read", txn().then([write(), past()]).into_whole()),
        ("read, put", txn().then([past(), write()]).into_whole()),
        ("delete, read", txn().then([op(delete("a")), past()]).into_whole()),
        ("otherwise", txn().otherwise([past(), write()])),
        ("read, nested put", txn().then([past(), nested(vec![write()])]).into_whole()),
        ("read, put otherwise", txn().then([past(), else_nested(vec![write()])]).into_whole()),
        (
            "read, put two levels down",
            txn().then([nested(vec![nested(vec![write()])]), past()]).into_whole(),
        ),
        ("many", txn().then([op(get("b")), past(), write(), op(get("c"))]).into_whole()),
    ]
}

/// Transactions that all members carry out, or none does; measured.
fn harmless() -> Vec<(&'static str, Txn, Effect)> {
    let past = || op(get("k").revision(3));
    let now = || op(get("k").revision(0));
    let nested = |ops: Vec<Op>| op(txn().then(ops));
    let write = || op(put("a", "v"));
    let (read, writes) = (Effect::Read, Effect::Write);
    vec![
        ("reads", txn().then([past()]).otherwise([past()]), read),
        ("nested reads", txn().then([past(), nested(vec![past()])]).into_whole(), read),
        ("put, read of now", txn().then([write(), now()]).into_whole(), writes),
        ("put, nested read", txn().then([write(), nested(vec![past()])]).into_whole(), writes),
        ("nested together", txn().then([nested(vec![past(), write()])]).into_whole(), writes),
        (
            "nested apart",
            txn().then([nested(vec![past()]), nested(vec![write()])]).into_whole(),
            writes,
        ),
        ("read or put", txn().then([past()]).otherwise([write()]), writes),
        ("put or read", txn().then([write()]).otherwise([past()]), writes),
    ]
}

// Case 27, etcd#18667: members would differ for ever.
#[test]
fn what_would_make_members_differ_is_not_sent() {
    for (name, it) in divisive() {
        assert_eq!(it.effect(), Effect::PinnedWrite, "{name}");
        let told = refused(sent(it));
        assert!(told.contains("read first"), "{name}: {told}");
    }
}

// Case 27
#[test]
fn what_all_members_refuse_alike_is_sent() {
    for (name, it, effect) in harmless() {
        assert_eq!(it.effect(), effect, "{name}");
        sent(it).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn what_is_asked_for_by_name_is_sent() {
    for (name, it) in divisive() {
        let it = it.dangerously_allow_pinned_reads_in_writes();
        assert_eq!(it.effect(), Effect::PinnedWrite, "{name}: of unknown outcome when refused");
        assert!(request(it).is_ok(), "{name}");
    }
    let staged = txn().dangerously_allow_pinned_reads_in_writes();
    let staged = staged.then([op(put("a", "v")), op(get("k").revision(3))]);
    assert!(sent(op(staged)).is_ok(), "whenever it is said, and as part of an `Op`");
    // Only what is sent as a whole matters, so a nested one says nothing for the others.
    let nested = txn().then([put("a", "v")]).dangerously_allow_pinned_reads_in_writes();
    refused(sent(txn().then([op(nested), op(get("k").revision(3))])));
}
