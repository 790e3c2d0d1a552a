//! Requests byte by byte, as the protocol buffers of etcd's API have them.

use crate::op;
use etcd3_core::{
    IgnoreLease, IgnoreValue, Limits, Operation, SortOrder, SortTarget, delete, from_key, get, key,
    prefix, put, txn,
};

/// Encodes the request and takes its gRPC head off, which must fit.
fn wire(mut operation: impl Operation) -> Vec<u8> {
    let mut encode =
        || operation.encode(&Limits::default(), None).expect("a request that can be sent");
    let frame = encode();
    assert_eq!(encode(), frame, "the same for each attempt");
    let len = u32::try_from(frame.len() - 5).expect("a short one").to_be_bytes();
    assert_eq!(frame[..5], [0, len[0], len[1], len[2], len[3]]);
    frame[5..].to_vec()
}

// C33, K1, K13
#[test]
fn range_request() {
    assert_eq!(wire(get("k")), b"\x0a\x01k");
    let full = get(prefix("a"))
        .limit(300)
        .revision(7)
        .sort(SortTarget::Mod, SortOrder::Descend)
        .serializable()
        .keys_only()
        .count_only()
        .min_mod_revision(1)
        .max_mod_revision(2)
        .min_create_revision(3)
        .max_create_revision(4);
    let expected: [&[u8]; 13] = [
        b"\x0a\x01a",    // key
        b"\x12\x01b",    // range_end
        b"\x18\xac\x02", // limit
        b"\x20\x07",     // revision
        b"\x28\x02",     // sort_order
        b"\x30\x03",     // sort_target
        b"\x38\x01",     // serializable
        b"\x40\x01",     // keys_only
        b"\x48\x01",     // count_only
        b"\x50\x01",     // min_mod_revision
        b"\x58\x02",     // max_mod_revision
        b"\x60\x03",     // min_create_revision
        b"\x68\x04",     // max_create_revision
    ];
    assert_eq!(wire(full), expected.concat());
    // K12: ascending keys are what the server returns anyway.
    assert_eq!(wire(get("k").sort(SortTarget::Key, SortOrder::Ascend)), b"\x0a\x01k");
}

// K25
#[test]
fn put_request() {
    assert_eq!(wire(put("k", "v").lease(7).prev_kv()), b"\x0a\x01k\x12\x01v\x18\x07\x20\x01");
    assert_eq!(wire(put("k", IgnoreValue).lease(IgnoreLease)), b"\x0a\x01k\x28\x01\x30\x01");
    assert_eq!(wire(put("k", "").lease(3).lease(IgnoreLease)), b"\x0a\x01k\x30\x01");
    let negative = b"\x0a\x01k\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    assert_eq!(wire(put("k", "").lease(-1)), negative);
}

// K1
#[test]
fn delete_range_request() {
    assert_eq!(wire(delete(from_key("a")).prev_kv()), b"\x0a\x01a\x12\x01\0\x18\x01");
    assert_eq!(wire(delete("a".."c")), b"\x0a\x01a\x12\x01c");
}

// K40, K41: zero values of a union are sent; they say which member it is.
#[test]
fn txn_request() {
    let full = txn()
        .when([
            key("k").version().eq(1),
            key("k").create_revision().gt(2),
            key("k").mod_revision().lt(3),
            key("k").value().ne("v"),
            prefix("k").lease().eq(0),
        ])
        .then([op(get("k")), op(txn().then([delete("d")]))])
        .otherwise([put("k", "v")]);
    let expected: [&[u8]; 8] = [
        b"\x0a\x05\x1a\x01k\x20\x01",                    // version = 1
        b"\x0a\x09\x08\x01\x10\x01\x1a\x01k\x28\x02",    // create_revision > 2
        b"\x0a\x09\x08\x02\x10\x02\x1a\x01k\x30\x03",    // mod_revision < 3
        b"\x0a\x0a\x08\x03\x10\x03\x1a\x01k\x3a\x01v",   // value != "v"
        b"\x0a\x0b\x10\x04\x1a\x01k\x40\0\x82\x04\x01l", // lease = 0, up to "l"
        b"\x12\x05\x0a\x03\x0a\x01k",                    // then: range
        b"\x12\x09\x22\x07\x12\x05\x1a\x03\x0a\x01d",    // then: txn, then: delete_range
        b"\x1a\x08\x12\x06\x0a\x01k\x12\x01v",           // otherwise: put
    ];
    assert_eq!(wire(full), expected.concat());
}
