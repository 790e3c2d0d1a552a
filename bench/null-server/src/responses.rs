//! What unary calls are answered.

use crate::grpc::framed;
use bytes::Bytes;
use etcd3_bench::Result;
use etcd3_proto::etcdserverpb::{
    CompactionResponse, LeaseGrantRequest, LeaseGrantResponse, LeaseRevokeRequest,
    LeaseRevokeResponse, Member, MemberListResponse, PutResponse, RangeRequest, RangeResponse,
    ResponseHeader, StatusResponse,
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

/// The id of the first lease whose id the server chooses: those of an etcd are as long.
const FIRST_LEASE: i64 = 0x694d_8e9e_05c5_0000;

/// The size of a value in a range, in bytes.
const RANGE_VALUE: usize = 16;

/// The responses that were sent before, encoded.
#[derive(Debug)]
pub(crate) struct Responses {
    put: Bytes,
    values: RefCell<HashMap<Bytes, Bytes>>,
    /// How many watchers were created.
    pub(crate) created: Cell<u64>,
    /// How many renewals of leases were acknowledged.
    pub(crate) renewed: Cell<u64>,
    /// How many streams of renewals were opened.
    pub(crate) renewing: Cell<u64>,
    /// The leases, with their times to live.
    leases: RefCell<HashMap<i64, i64>>,
    next_lease: Cell<i64>,
    /// Ends all connections.
    pub(crate) cut: Notify,
}

impl Default for Responses {
    fn default() -> Self {
        let put = framed(&PutResponse { header: Some(HEADER), ..Default::default() });
        Self {
            put,
            values: RefCell::default(),
            created: Cell::new(0),
            renewed: Cell::new(0),
            renewing: Cell::new(0),
            leases: RefCell::default(),
            next_lease: Cell::new(FIRST_LEASE),
            cut: Notify::new(),
        }
    }
}

impl Responses {
    /// Answers a call, with the prefix of the message; `None` when there is no such method.
    pub(crate) fn to(&self, path: &str, request: &Bytes) -> Result<Option<Bytes>> {
        let header = Some(HEADER);
        Ok(Some(match path {
            "/etcdserverpb.KV/Put" => self.put.clone(),
            "/etcdserverpb.KV/Range" => self.range(&RangeRequest::decode(request.clone())?)?,
            "/etcdserverpb.Lease/LeaseGrant" => {
                let LeaseGrantRequest { ttl, id } = LeaseGrantRequest::decode(request.clone())?;
                let id = self.granted(id, ttl);
                framed(&LeaseGrantResponse { header, id, ttl, ..Default::default() })
            }
            "/etcdserverpb.KV/Compact" => framed(&CompactionResponse { header }),
            "/etcdserverpb.Lease/LeaseRevoke" => {
                let LeaseRevokeRequest { id } = LeaseRevokeRequest::decode(request.clone())?;
                self.leases.borrow_mut().remove(&id);
                framed(&LeaseRevokeResponse { header })
            }
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

    /// Notes a lease; returns its id.
    fn granted(&self, id: i64, ttl: i64) -> i64 {
        let id = if id == 0 { self.next_lease.replace(self.next_lease.get() + 1) } else { id };
        self.leases.borrow_mut().insert(id, ttl);
        id
    }

    /// Renews a lease; returns its time to live, 0 if it does not exist.
    pub(crate) fn renew(&self, id: i64) -> i64 {
        self.renewed.set(self.renewed.get() + 1);
        self.leases.borrow().get(&id).copied().unwrap_or(0)
    }

    fn range(&self, request: &RangeRequest) -> Result<Bytes> {
        match request.key.as_ref() {
            b"created" => return Ok(count(request, &self.created)),
            b"renewed" => return Ok(count(request, &self.renewed)),
            b"renewing" => return Ok(count(request, &self.renewing)),
            _ => {}
        }
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

/// Tells how often something happened.
fn count(request: &RangeRequest, counter: &Cell<u64>) -> Bytes {
    let pair = KeyValue { value: counter.get().to_string().into(), ..kv(request.key.clone(), 0) };
    framed(&RangeResponse { header: Some(HEADER), kvs: vec![pair], more: false, count: 1 })
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
