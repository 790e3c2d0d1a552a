//! A key prefix goes before all keys of a request, and off all keys of its answer (Y1).

use etcd3_core::namespace::KeyPrefix;
use etcd3_core::proto::etcdserverpb::{self as pb, compare::TargetUnion, request_op, response_op};
use etcd3_core::proto::v3electionpb::{
    CampaignRequest, LeaderRequest, ProclaimRequest, ResignRequest,
};
use etcd3_core::proto::v3lockpb::{LockRequest, UnlockRequest};
use etcd3_core::proto::{mvccpb, v3electionpb, v3lockpb};
use etcd3_core::request::{services, watch};
use etcd3_core::{
    Bytes, ErrorKind, KeyRange, Limits, Op, Operation, Outcome, Raw, ServerError, UnaryRequest,
    all, delete, frame, from_key, get, key, prefix, put, txn,
};
use prost::Message;

fn under(prefix: &'static [u8]) -> KeyPrefix {
    KeyPrefix::new(prefix).expect("a prefix of some bytes")
}

/// The message that is sent for this operation.
fn sent<M: Message + Default>(mut operation: impl Operation, prefix: &KeyPrefix) -> M {
    let frame = operation.encode(&Limits::default(), Some(prefix)).expect("it can be sent");
    let again = operation.encode(&Limits::default(), Some(prefix)).expect("it can be sent");
    assert_eq!(frame, again, "the prefix is put there once an encoding");
    M::decode(&frame[frame::HEAD..]).expect("a message")
}

/// Every key of up to two bytes out of a small alphabet with the edges.
fn small_keys() -> Vec<Vec<u8>> {
    let alphabet = [0u8, 1, b'a', 0xfe, 0xff];
    let mut keys: Vec<Vec<u8>> = alphabet.iter().map(|&a| vec![a]).collect();
    keys.extend(alphabet.iter().flat_map(|&a| alphabet.iter().map(move |&b| vec![a, b])));
    keys
}

fn small_ranges() -> Vec<KeyRange> {
    let mut ranges = vec![all()];
    for a in small_keys() {
        ranges.extend([key(a.clone()), prefix(a.clone()), from_key(a.clone())]);
        ranges.extend(small_keys().into_iter().map(|b| KeyRange::from(a.clone()..b)));
    }
    ranges
}

#[test]
fn a_range_holds_the_same_keys_behind_the_prefix_and_no_others() {
    let mut strangers = small_keys();
    strangers.extend([b"n".to_vec(), b"n0".to_vec(), b"n.".to_vec(), vec![0xff; 3], vec![]]);
    for bytes in [&b"n/"[..], b"\0", b"\xff", b"\xff\xff", b"n\xff", b"\x01"] {
        let namespace = under(bytes);
        for range in small_ranges() {
            let message: pb::RangeRequest = sent(get(range.clone()), &namespace);
            let moved = KeyRange::from_wire(message.key.clone(), message.range_end.clone());
            for key in small_keys() {
                let behind = [bytes, &key].concat();
                assert_eq!(moved.contains(&behind), range.contains(&key), "{range:?} {key:?}");
            }
            for stranger in strangers.iter().filter(|it| !it.starts_with(bytes)) {
                assert!(!moved.contains(stranger), "{range:?} under {bytes:?}: {stranger:?}");
            }
            let message: pb::DeleteRangeRequest = sent(delete(range.clone()), &namespace);
            assert_eq!((&message.key, &message.range_end), (moved.start(), moved.range_end()));
        }
    }
}

#[test]
fn no_prefix_changes_nothing() {
    assert_eq!(KeyPrefix::new(""), None);
    let mut operation = put("k", "v");
    let frame = operation.encode(&Limits::default(), None).expect("it can be sent");
    let message = pb::PutRequest { key: "k".into(), value: "v".into(), ..Default::default() };
    assert_eq!(frame[frame::HEAD..], message.encode_to_vec());
}

#[test]
fn transactions_are_moved_as_a_whole() {
    let inner = txn().when([prefix("c").version().eq(0)]).otherwise([get(all())]);
    let branch: [Op; 3] = [put("p", "v").into(), delete(from_key("d")).into(), inner.into()];
    let whole = txn().when([key("a").lease().eq(7)]).then([get("b")]).otherwise(branch);
    let message: pb::TxnRequest = sent(whole, &under(b"n/"));

    let compare = |key: &'static str, end: &'static str, union| pb::Compare {
        result: 0,
        target: if matches!(union, TargetUnion::Lease(_)) { 4 } else { 0 },
        key: key.into(),
        range_end: end.into(),
        target_union: Some(union),
    };
    let op = |request| pb::RequestOp { request: Some(request) };
    let range = |key: &'static str, end: &'static str| {
        let (key, range_end) = (key.into(), end.into());
        op(request_op::Request::RequestRange(pb::RangeRequest {
            key,
            range_end,
            ..Default::default()
        }))
    };
    let put = pb::PutRequest { key: "n/p".into(), value: "v".into(), ..Default::default() };
    let delete =
        pb::DeleteRangeRequest { key: "n/d".into(), range_end: "n0".into(), prev_kv: false };
    let inner = pb::TxnRequest {
        compare: vec![compare("n/c", "n/d", TargetUnion::Version(0))],
        success: vec![],
        failure: vec![range("n/\0", "n0")],
    };
    let expected = pb::TxnRequest {
        compare: vec![compare("n/a", "", TargetUnion::Lease(7))],
        success: vec![range("n/b", "")],
        failure: vec![
            op(request_op::Request::RequestPut(put)),
            op(request_op::Request::RequestDeleteRange(delete)),
            op(request_op::Request::RequestTxn(inner)),
        ],
    };
    assert_eq!(message, expected);
}

fn pair(key: &'static str) -> mvccpb::KeyValue {
    mvccpb::KeyValue { key: key.into(), ..Default::default() }
}

fn wire(answer: &impl Message) -> Bytes {
    answer.encode_to_vec().into()
}

#[test]
fn answers_lose_the_prefix_at_any_depth() {
    let namespace = under(b"n/");
    let range = pb::RangeResponse { kvs: vec![pair("n/a"), pair("n/b")], ..Default::default() };
    let got = get(all()).decode(wire(&range), Some(&namespace)).expect("an answer");
    assert_eq!(got.kvs.iter().map(|pair| &pair.key[..]).collect::<Vec<_>>(), [b"a", b"b"]);

    let op = |response| pb::ResponseOp { response: Some(response) };
    let put_done = pb::PutResponse { prev_kv: Some(pair("n/p")), ..Default::default() };
    let deleted = pb::DeleteRangeResponse { prev_kvs: vec![pair("n/d")], ..Default::default() };
    let nested = pb::TxnResponse {
        responses: vec![
            op(response_op::Response::ResponsePut(put_done)),
            op(response_op::Response::ResponseDeleteRange(deleted)),
        ],
        ..Default::default()
    };
    let answer = pb::TxnResponse {
        responses: vec![
            op(response_op::Response::ResponseRange(range)),
            op(response_op::Response::ResponseTxn(nested)),
        ],
        ..Default::default()
    };
    let answer = Raw(pb::TxnRequest::default()).decode(wire(&answer), Some(&namespace));
    let text = format!("{:?}", answer.expect("an answer"));
    assert!(!text.contains("n/"), "{text}");
    for key in ["a", "b", "p", "d"] {
        assert!(text.contains(&format!("key: b\"{key}\"")), "{key}: {text}");
    }

    // Other programs may attach keys of theirs to the same lease. The bare prefix is one of those.
    let keys = ["n/a", "m/b", "n", "n/"].map(Bytes::from).into();
    let mut lease = pb::LeaseTimeToLiveResponse { keys, ..Default::default() };
    pb::LeaseTimeToLiveRequest::strip_prefix(&mut lease, &namespace).expect("an answer");
    assert_eq!(lease.keys, ["a"]);
}

#[test]
fn a_key_that_is_not_there_is_no_answer() {
    for stranger in ["m/a", "n", "n/", ""] {
        let answer = pb::RangeResponse { kvs: vec![pair(stranger)], ..Default::default() };
        let error = get("a").decode(wire(&answer), Some(&under(b"n/"))).expect_err("another's key");
        assert_eq!(error.kind(), ErrorKind::Protocol, "{stranger}");
    }
}

// NS-003, NS-004, NS-005, NS-006
#[test]
fn ranges_on_the_wire() {
    let moved = |prefix: &'static [u8], range: KeyRange| {
        let message: pb::RangeRequest = sent(get(range), &under(prefix));
        (message.key.to_vec(), message.range_end.to_vec())
    };
    let wire = |key: &[u8], end: &[u8]| (key.to_vec(), end.to_vec());
    assert_eq!(moved(b"pfx/", key("a")), wire(b"pfx/a", b""));
    assert_eq!(moved(b"pfx/", ("abc".."def").into()), wire(b"pfx/abc", b"pfx/def"));
    assert_eq!(moved(b"pfx/", from_key("abc")), wire(b"pfx/abc", b"pfx0"));
    assert_eq!(moved(b"pfx/", all()), wire(b"pfx/\0", b"pfx0"));
    assert_eq!(moved(b"\xff\xff", from_key("abc")), wire(b"\xff\xffabc", b"\0"));
    assert_eq!(under(b"pfx/").range(), prefix("pfx/"));
}

#[test]
fn a_namespace_in_a_namespace_has_both_prefixes() {
    let outer = under(b"a/");
    assert_eq!(KeyPrefix::nested(Some(&outer), "b/"), Some(under(b"a/b/")));
    assert_eq!(KeyPrefix::nested(Some(&outer), ""), Some(outer));
    assert_eq!(KeyPrefix::nested(None, "b/"), Some(under(b"b/")));
    assert_eq!(KeyPrefix::nested(None, ""), None);
}

// E10.1: behind a prefix an empty key would be one that no client of the namespace can name.
// Servers answer the same to a key that is empty without one.
#[test]
fn an_empty_key_stays_refused() {
    let refused = |mut operation: Op| {
        let error = operation.encode(&Limits::default(), Some(&under(b"n/"))).expect_err("refused");
        let expected = ErrorKind::Server(ServerError::EmptyKey);
        assert_eq!((error.kind(), error.outcome()), (expected, Outcome::NotSent));
    };
    refused(put("", "v").into());
    refused(get("").into());
    refused(delete("").into());
    refused(txn().when([key("").version().eq(0)]).into());
    refused(txn().then([txn().otherwise([put("", "v")])]).into());
}

// The limit is that of the message that is sent.
#[test]
fn the_prefix_counts_against_the_limit() {
    let mut write = put("k", "v");
    let limits = Limits::default().max_request_bytes(7);
    assert!(write.encode(&limits, None).is_ok());
    let error = write.encode(&limits, Some(&under(b"n/"))).expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::RequestOverLimit { len: 8, limit: 7 });
}

// X36: the names of locks and elections are what keys begin with, and may be empty.
#[test]
fn locks_and_elections_lie_in_the_namespace() {
    let namespace = under(b"n/");
    for (name, whole) in [("l", "n/l"), ("", "n/")] {
        let message: LockRequest = sent(services::lock(name, 7), &namespace);
        assert_eq!(message, LockRequest { name: whole.into(), lease: 7 });
        let message: LeaderRequest = sent(services::leader(name), &namespace);
        assert_eq!(message.name, whole);
        let message: CampaignRequest = sent(services::campaign(name, 7, "v"), &namespace);
        assert_eq!((&message.name[..], &message.value[..]), (whole.as_bytes(), &b"v"[..]));
        let frame = services::observe(&name.into(), &Limits::default(), Some(&namespace));
        let message = LeaderRequest::decode(&frame.expect("it can be sent")[frame::HEAD..]);
        assert_eq!(message.expect("a message").name, whole);
    }
    let message: UnlockRequest = sent(services::unlock("l/7"), &namespace);
    assert_eq!(message.key, "n/l/7");
    let error = services::unlock("").encode(&Limits::default(), Some(&namespace)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server(ServerError::EmptyKey));

    let held = v3lockpb::LockResponse { key: "n/l/7".into(), ..Default::default() };
    let lock = services::lock("l", 7);
    assert_eq!(lock.decode(wire(&held), Some(&namespace)).expect("an answer").key, "l/7");
    let (name, key) = ("n/e".into(), "n/e/7".into());
    let leader = v3electionpb::LeaderKey { name, key, rev: 5, lease: 7 };
    let won = v3electionpb::CampaignResponse { leader: Some(leader.clone()), ..Default::default() };
    let won = services::campaign("e", 7, "v").decode(wire(&won), Some(&namespace));
    let elected = won.expect("an answer").elected;
    assert_eq!((&elected.name[..], &elected.key[..]), (&b"e"[..], &b"e/7"[..]));
    let message: ProclaimRequest = sent(services::proclaim(elected.clone(), "w"), &namespace);
    assert_eq!(message.leader, Some(leader.clone()));
    let message: ResignRequest = sent(services::resign(elected), &namespace);
    assert_eq!(message.leader, Some(leader));

    let seen = v3electionpb::LeaderResponse { kv: Some(pair("n/e/7")), ..Default::default() };
    let asked = services::leader("e").decode(wire(&seen), Some(&namespace)).expect("an answer");
    assert_eq!(asked.kv.key, "e/7");
    let told = services::observed(wire(&seen), Some(&namespace)).expect("an answer");
    assert_eq!(told, asked);
    let other = v3electionpb::LeaderResponse { kv: Some(pair("m/e/7")), ..Default::default() };
    assert!(services::observed(wire(&other), Some(&namespace)).is_err());
}

// NS-002, W-25
#[test]
fn watches_lie_in_the_namespace() {
    for bytes in [&b"n/"[..], b"\0", b"\xff", b"\xff\xff", b"n\xff"] {
        for range in small_ranges() {
            let message: pb::RangeRequest = sent(get(range.clone()), &under(bytes));
            let moved = watch(range).under(Some(&under(bytes))).expect("it has a key");
            let create = moved.create(1, 1);
            assert_eq!((create.key, create.range_end), (message.key, message.range_end));
        }
    }
    // Servers take an empty key as the lowest one.
    let lowest = watch("").under(Some(&under(b"n/"))).expect("it has a key");
    assert_eq!(lowest.create(1, 1).key, "n/\0");
    let plain = watch(all());
    assert_eq!(plain.clone().under(None).expect("as it is"), plain);
}
