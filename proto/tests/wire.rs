//! The generated code reads and writes the wire format.
#![allow(clippy::unwrap_used)]

use std::fmt::Debug;

use etcd3_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use etcd3_proto::etcdserverpb::request_op::Request;
use etcd3_proto::etcdserverpb::watch_create_request::FilterType;
use etcd3_proto::etcdserverpb::watch_request::RequestUnion;
use etcd3_proto::etcdserverpb::{
    Compare, LeaseKeepAliveResponse, Member, MemberListResponse, PutRequest, RangeRequest,
    RequestOp, ResponseHeader, TxnRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest,
    WatchResponse,
};
use etcd3_proto::health::{HealthCheckResponse, health_check_response::ServingStatus};
use etcd3_proto::mvccpb::{Event, KeyValue, event::EventType};
use etcd3_proto::v3electionpb::{CampaignResponse, LeaderKey};
use etcd3_proto::v3lockpb::LockRequest;
use prost::bytes::Bytes;
use prost::{Message, Name};

fn key_value() -> KeyValue {
    KeyValue {
        key: Bytes::from_static(b"\x00key\xff"),
        create_revision: 2,
        mod_revision: i64::MAX,
        version: 3,
        value: Bytes::from_static(b"value"),
        lease: -1,
    }
}

fn header() -> ResponseHeader {
    ResponseHeader { cluster_id: u64::MAX, member_id: 1, revision: 7, raft_term: 2 }
}

fn txn() -> TxnRequest {
    let compare = Compare {
        result: CompareResult::NotEqual.into(),
        target: CompareTarget::Lease.into(),
        key: "a".into(),
        range_end: "b".into(),
        target_union: Some(TargetUnion::Lease(0)),
    };
    let put = PutRequest { key: "a".into(), ignore_value: true, ..Default::default() };
    let nested = TxnRequest {
        success: vec![RequestOp { request: Some(Request::RequestPut(put)) }],
        ..Default::default()
    };
    TxnRequest {
        compare: vec![compare],
        success: vec![RequestOp { request: Some(Request::RequestTxn(nested)) }],
        failure: vec![RequestOp { request: None }],
    }
}

fn watch_response() -> WatchResponse {
    WatchResponse {
        header: Some(header()),
        watch_id: -1,
        cancel_reason: "why".into(),
        events: vec![
            Event {
                r#type: EventType::Delete.into(),
                kv: Some(key_value()),
                prev_kv: Some(key_value()),
            },
            Event::default(),
        ],
        ..Default::default()
    }
}

#[track_caller]
fn assert_round_trip<M: Message + Name + Default + PartialEq + Debug>(message: &M) {
    let wire = Bytes::from(message.encode_to_vec());
    assert!(!wire.is_empty(), "{}", M::full_name());
    assert_eq!(&M::decode(wire).unwrap(), message, "{}", M::full_name());
}

#[test]
fn decode_inverts_encode() {
    assert_round_trip(&key_value());
    assert_round_trip(&txn());
    assert_round_trip(&watch_response());
    assert_round_trip(&WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(WatchCreateRequest {
            key: "a".into(),
            filters: vec![0, 1],
            ..Default::default()
        })),
    });
    assert_round_trip(&MemberListResponse {
        header: Some(header()),
        members: vec![Member {
            id: u64::MAX,
            peer_urls: vec!["http://peer:2380".into()],
            client_urls: vec!["http://client:2379".into()],
            is_learner: true,
            ..Default::default()
        }],
    });
    assert_round_trip(&LeaseKeepAliveResponse { header: Some(header()), id: 1, ttl: 60 });
    assert_round_trip(&LockRequest { name: "lock".into(), lease: 1 });
    assert_round_trip(&CampaignResponse {
        header: None,
        leader: Some(LeaderKey { name: "n".into(), key: "k".into(), rev: 5, lease: 6 }),
    });
    assert_round_trip(&HealthCheckResponse { status: ServingStatus::NotServing.into() });
}

#[test]
fn bytes_on_the_wire_are_those_of_the_schema() {
    let request = RangeRequest { key: "k".into(), max_create_revision: 1, ..Default::default() };
    assert_eq!(request.encode_to_vec(), b"\x0a\x01k\x68\x01");

    // A field of a oneof is written even if it has its default: here lease 0, and a message
    // without fields.
    let compare = Compare {
        target_union: Some(TargetUnion::Lease(0)),
        range_end: "z".into(),
        ..Default::default()
    };
    assert_eq!(compare.encode_to_vec(), b"\x40\x00\x82\x04\x01z");
    let progress = WatchRequest {
        request_union: Some(RequestUnion::ProgressRequest(WatchProgressRequest {})),
    };
    assert_eq!(progress.encode_to_vec(), b"\x1a\x00");

    // Repeated numbers are packed; field 11 of a response is an event.
    let filters = WatchCreateRequest { filters: vec![0, 1], ..Default::default() };
    assert_eq!(filters.encode_to_vec(), b"\x2a\x02\x00\x01");
    let events = WatchResponse { events: vec![Event::default()], ..Default::default() };
    assert_eq!(events.encode_to_vec(), b"\x5a\x00");
}

#[test]
fn repeated_numbers_may_come_unpacked() {
    let create = WatchCreateRequest::decode(&b"\x28\x00\x28\x01"[..]).unwrap();
    assert_eq!(create.filters, [0, 1]);
}

#[test]
fn unknown_fields_are_ignored() {
    let unknown: [&[u8]; 4] = [
        b"\xf8\x3f\x2a",                             // field 1023, varint
        b"\xfa\x3f\x03abc",                          // field 1023, length-delimited
        b"\xfd\x3f\x00\x00\x00\x00",                 // field 1023, 32 bits
        b"\xf9\x3f\x00\x00\x00\x00\x00\x00\x00\x00", // field 1023, 64 bits
    ];
    let known = watch_response();
    let mut wire = unknown.concat();
    wire.extend(known.encode_to_vec());
    wire.extend(unknown.concat());
    assert_eq!(WatchResponse::decode(wire.as_slice()).unwrap(), known);
    assert_eq!(WatchProgressRequest::decode(wire.as_slice()).unwrap(), WatchProgressRequest {});
}

#[test]
fn unknown_enum_values_survive() {
    let event = Event { r#type: 99, ..Default::default() };
    let decoded = Event::decode(event.encode_to_vec().as_slice()).unwrap();
    assert_eq!(decoded.r#type, 99);
    assert!(EventType::try_from(decoded.r#type).is_err());
    assert_eq!(decoded.r#type(), EventType::default());
}

#[test]
fn enum_fields_are_read_and_written_as_enums() {
    let mut event = Event::default();
    event.set_type(EventType::Delete);
    assert_eq!((event.r#type, event.r#type()), (1, EventType::Delete));

    let mut create = WatchCreateRequest { filters: vec![99], ..Default::default() };
    create.push_filters(FilterType::Nodelete);
    assert_eq!(create.filters, [99, 1]);
    assert_eq!(create.filters().collect::<Vec<_>>(), [FilterType::Nodelete]);
}

#[test]
fn decoding_shares_the_buffer() {
    let wire = Bytes::from(key_value().encode_to_vec());
    let decoded = KeyValue::decode(wire.clone()).unwrap();
    assert!(wire.as_ptr_range().contains(&decoded.value.as_ptr()));
}

#[test]
fn truncated_messages_are_errors() {
    let wire = key_value().encode_to_vec();
    assert!(KeyValue::decode(&wire[..wire.len() - 1]).is_err());
}
