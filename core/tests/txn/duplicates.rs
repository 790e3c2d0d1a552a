//! Which transactions would write a key twice (K32).

use crate::{foreseen, op, request};
use etcd3_core::{Op, ServerError, all, delete, from_key, get, key, ops, prefix, put, txn};

fn in_a() -> Op {
    op(put("abc", "v"))
}

fn then(ops: impl IntoIterator<Item = Op>) -> Op {
    op(txn().then(ops))
}

/// Both branches of a nested transaction.
fn both(then: Op, otherwise: Op) -> Op {
    op(txn().then([then]).otherwise([otherwise]))
}

/// Returns whether either branch, given these operations, is found to write a key twice.
fn is_duplicate(ops: Vec<Op>) -> bool {
    let found = foreseen(txn().then(ops.clone()));
    assert_eq!(foreseen(txn().otherwise(ops.clone())), found, "the branches are alike");
    assert_eq!(foreseen(txn().then([then(ops)])), found, "and so is every depth");
    assert!(found.is_none_or(|error| error == ServerError::DuplicateKey));
    found.is_some()
}

// K32, TXN-001, TXN-017 to TXN-022
#[test]
fn what_writes_a_key_twice_is_refused() {
    for (name, ops) in [
        ("TXN-017", vec![in_a(), in_a()]),
        ("TXN-018", vec![in_a(), op(delete("abc"))]),
        ("TXN-018, the other way round", vec![op(delete("abc")), in_a()]),
        ("TXN-019", vec![in_a(), op(delete("a".."b"))]),
        ("TXN-020", vec![in_a(), then([op(delete("a".."b"))])]),
        ("TXN-021", vec![op(delete("a".."b")), then([in_a()])]),
        ("TXN-022", vec![both(in_a(), in_a()), both(in_a(), in_a())]),
        ("a put above and below", vec![in_a(), then([in_a()])]),
        ("a put above and in the other branch", vec![in_a(), op(txn().otherwise([in_a()]))]),
        (
            "two nested ones, different branches",
            vec![then([in_a()]), op(txn().otherwise([in_a()]))],
        ),
        ("a deletion two levels down", vec![in_a(), then([then([op(delete(prefix("a")))])])]),
        ("a put two levels down", vec![op(delete(prefix("a"))), then([then([in_a()])])]),
        ("a nested deletion before a nested put", vec![then([op(delete("abc"))]), then([in_a()])]),
        ("the first key of a range", vec![in_a(), op(delete("abc".."b"))]),
        ("overlapping deletions", {
            vec![op(delete("a".."abd")), op(delete("abb".."b")), op(delete("x")), in_a()]
        }),
    ] {
        assert!(is_duplicate(ops), "{name}");
    }
}

// K32, TXN-024, TXN-025
#[test]
fn what_looks_like_it_but_is_not_is_sent() {
    let range = || op(delete("a".."b"));
    for (name, ops) in [
        ("TXN-024", vec![then([op(delete("abc"))]), both(op(delete("abc")), op(delete("abc")))]),
        ("TXN-025", vec![op(delete("abc")), range(), op(delete("abc")), range()]),
        ("different keys", vec![in_a(), op(put("abd", "v"))]),
        ("both branches of one", vec![both(in_a(), in_a())]),
        ("the key behind a range", vec![in_a(), op(delete("a".."abc"))]),
        ("a range that is empty", vec![in_a(), op(delete("b".."a"))]),
        ("a prefix that is longer", vec![in_a(), op(delete("abca"))]),
        ("reads do not count", vec![in_a(), op(get("abc")), op(get("abc"))]),
        ("put in one branch, deleted in the other", vec![both(in_a(), op(delete("abc")))]),
        // Servers do not see this one: deletions of a nested transaction meet only what follows.
        ("a nested put before a nested deletion", vec![then([in_a()]), then([range()])]),
    ] {
        assert!(!is_duplicate(ops), "{name}");
    }
}

// K32: servers from 3.4 to 3.5 take puts together with a deletion that has an open end, and so
// "replace everything" can be one transaction.
#[test]
fn a_deletion_with_an_open_end_may_go_with_puts() {
    for range in [all(), from_key("a"), from_key("abc"), prefix("\u{0}"), prefix(b"\xff")] {
        let open = range.range_end() == &b"\0"[..];
        assert!(!is_duplicate(vec![op(delete(range.clone())), in_a()]), "{range:?}");
        assert!(!is_duplicate(vec![in_a(), then([op(delete(range.clone()))])]), "{range:?}");
        assert!(!open || !is_duplicate(vec![then([op(delete(range.clone()))]), in_a()]));
    }
    // Replacement one, other deletions count as ever.
    assert!(is_duplicate(vec![op(delete(all())), op(delete("abc")), in_a()]));
}

// K31 comes before K32, and the first list before the second.
#[test]
fn the_first_error_is_that_of_the_server() {
    let many: Vec<_> = (0..129).map(|_| in_a()).collect();
    assert_eq!(foreseen(txn().then(many)), Some(ServerError::TooManyOps));
    let error = request(txn().then([in_a(), in_a()])).unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), error.status()),
        (ServerError::DuplicateKey.text(), None)
    );
}

// E10.1: servers look for empty keys first, and name the first thing that is wrong.
#[test]
fn an_empty_key_is_told_before_a_key_that_is_written_twice() {
    let twice = || [Op::from(put("k", "v")), put("k", "v").into()];
    let with = |empty: Op| twice().into_iter().chain([empty]);
    let nested = txn().when([prefix("a").exists()]).otherwise([get("")]);
    for empty in [get("").into(), put("", "v").into(), delete("").into(), nested.into()] {
        assert_eq!(foreseen(txn().then(with(empty))), Some(ServerError::EmptyKey));
    }
    let compared = txn().when([key("").missing()]).then(twice());
    assert_eq!(foreseen(compared), Some(ServerError::EmptyKey));
    let many = (0..129).map(|_| get("k"));
    let first = ops![put("", "v"), txn().then(many.clone())];
    assert_eq!(foreseen(txn().then(first)), Some(ServerError::EmptyKey));
    let last = ops![txn().then(many), put("", "v")];
    assert_eq!(foreseen(txn().then(last)), Some(ServerError::TooManyOps));
}
