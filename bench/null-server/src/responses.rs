//! What unary calls are answered.

use crate::grpc::framed;
use bytes::Bytes;
use etcd3_bench::Result;
use etcd3_proto::etcdserverpb::{
    CompactionResponse, LeaseGrantRequest, LeaseGrantResponse, LeaseRevokeResponse, Member,
    MemberListResponse, PutResponse, RangeRequest, RangeResponse, ResponseHeader, StatusResponse,
};
use etcd3_proto::mvccpb::KeyValue;
use prost::Message;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use tokio::sync::Notify;

/// The header of all responses, as of an etcd that has seen some writes.
pub(crate) const HEADER: ResponseHeader = ResponseHeader {
    cluster_id: 0xcdf8_181e_3292_7a04,
    member_id: 0x8e9e_05c5_2164_694d,
    revision: 1000,
    raft_term: 2,
};

/// The request for the key `created`.
const CREATED: &[u8] = b"\x0a\x07created";

/// The size of a value in a range, in bytes.
const RANGE_VALUE: usize = 16;

/// The responses that were sent before, encoded.
#[derive(Debug)]
pub(crate) struct Responses {
    put: Bytes,
    values: RefCell<HashMap<Bytes, Bytes>>,
    /// How many watchers were created.
    pub(crate) created: Cell<u64>,
    /// Ends all connections.
    pub(crate) cut: Notify,
}

impl Default for Responses {
    fn default() -> Self {
        let put = framed(&PutResponse { header: Some(HEADER), ..Default::default() });
        Self { put, values: RefCell::default(), created: Cell::new(0), cut: Notify::new() }
    }
}

impl Responses {
    /// Answers a call, with the prefix of the message; `None` when there is no such method.
    pub(crate) fn to(&self, path: &str, request: &Bytes) -> Result<Option<Bytes>> {
        let header = Some(HEADER);
        Ok(Some(match path {
            "/etcdserverpb.KV/Put" => self.put.clone(),
            "/etcdserverpb.KV/Range" if request.as_ref() == CREATED => self.count(),
            "/etcdserverpb.KV/Range" => self.range(&RangeRequest::decode(request.clone())?)?,
            "/etcdserverpb.Lease/LeaseGrant" => {
                let LeaseGrantRequest { ttl, id } = LeaseGrantRequest::decode(request.clone())?;
                let id = if id == 0 { 7 } else { id };
                framed(&LeaseGrantResponse { header, id, ttl, ..Default::default() })
            }
            "/etcdserverpb.KV/Compact" => framed(&CompactionResponse { header }),
            "/etcdserverpb.Lease/LeaseRevoke" => framed(&LeaseRevokeResponse { header }),
            "/etcdserverpb.Maintenance/Status" => framed(&StatusResponse {
                header,
                version: "3.6.0".to_owned(),
                leader: HEADER.member_id,
                raft_index: 2000,
                raft_term: HEADER.raft_term,
                ..Default::default()
            }),
            "/etcdserverpb.Cluster/MemberList" => {
                let member = Member { id: HEADER.member_id, ..Default::default() };
                framed(&MemberListResponse { header, members: vec![member] })
            }
            _ => return Ok(None),
        }))
    }

    /// Tells how many watchers were created.
    fn count(&self) -> Bytes {
        let value = self.created.get().to_string().into();
        let pair = KeyValue { value, ..kv(Bytes::from_static(b"created"), 0) };
        framed(&RangeResponse { header: Some(HEADER), kvs: vec![pair], more: false, count: 1 })
    }

    fn range(&self, request: &RangeRequest) -> Result<Bytes> {
        let key = str::from_utf8(&request.key)?;
        let (asked, _) = key.split_once('/').unwrap_or(("v0", ""));
        let number = asked.get(1..).unwrap_or_default();
        if asked.starts_with('n') {
            return page(request, number.parse()?);
        }
        let size = number.parse()?;
        let mut values = self.values.borrow_mut();
        let answer = values.entry(request.key.clone()).or_insert_with(|| {
            let kv = kv(request.key.clone(), size);
            framed(&RangeResponse { header: Some(HEADER), kvs: vec![kv], more: false, count: 1 })
        });
        Ok(answer.clone())
    }
}

/// Makes a page of a range of `total` keys that begins where the request does.
fn page(request: &RangeRequest, total: u64) -> Result<Bytes> {
    let key = str::from_utf8(&request.key)?;
    let (asked, number) = key.split_once('/').unwrap_or_default();
    // A page begins after the last key of the one before: the end of that key is a zero byte.
    let after = number.ends_with('\0');
    let first = number.trim_end_matches('\0').parse::<u64>().unwrap_or(0) + u64::from(after);
    let limit = u64::try_from(request.limit)?;
    let last = if limit == 0 { total } else { total.min(first + limit) };
    let keys = (first..last).map(|it| kv(format!("{asked}/{it:08}").into(), RANGE_VALUE));
    let (kvs, more) = (keys.collect(), last < total);
    let count = i64::try_from(total.saturating_sub(first))?;
    Ok(framed(&RangeResponse { header: Some(HEADER), kvs, more, count }))
}

fn kv(key: Bytes, size: usize) -> KeyValue {
    let value = vec![b'x'; size].into();
    KeyValue { key, value, create_revision: 10, mod_revision: 20, version: 3, lease: 0 }
}
