//! Short names for what tests of the model do all the time.
#![allow(dead_code, reason = "each test file needs a part of it")]
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

pub(crate) mod users;

use etcd3::proto::etcdserverpb as pb;
use etcd3::proto::etcdserverpb::request_op::Request as Op;
use etcd3::proto::mvccpb::KeyValue;
use etcd3::runtime::Instant;
use etcd3::{Bytes, Code, Status};
use etcd3_sim::model::{
    Call, Cluster, ClusterConfig, Delays, Output, Personality, Request, Response, StreamId,
    StreamOptions, Ticket,
};
use pb::compare::{CompareResult, CompareTarget, TargetUnion};
use pb::watch_request::RequestUnion;
use std::time::Duration;

pub(crate) const OLD: (u16, u16, u16) = (3, 4, 23);
pub(crate) const MIDDLE: (u16, u16, u16) = (3, 5, 16);
pub(crate) const NEW: (u16, u16, u16) = (3, 5, 30);
pub(crate) const V3_6: (u16, u16, u16) = (3, 6, 16);
pub(crate) const V3_7: (u16, u16, u16) = (3, 7, 3);
pub(crate) const VERSIONS: [(u16, u16, u16); 5] = [OLD, MIDDLE, NEW, V3_6, V3_7];

pub(crate) fn personality(version: (u16, u16, u16)) -> Personality {
    Personality::of(version.0, version.1, version.2)
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A member alone, which answers at once, unless told otherwise.
pub(crate) struct Alone {
    pub(crate) cluster: Cluster,
    pub(crate) now: Instant,
    pub(crate) member: u64,
    pub(crate) token: Option<String>,
    /// What came out while something else was waited for.
    backlog: Vec<Output>,
}

impl Alone {
    pub(crate) fn new(version: (u16, u16, u16)) -> Self {
        let mut config = ClusterConfig::new(1, personality(version), 7);
        config.delays = Delays::NONE;
        Self::with(config)
    }

    pub(crate) fn with(config: ClusterConfig) -> Self {
        let cluster = Cluster::with_config(config);
        let member = cluster.member_ids()[0];
        Self { cluster, now: Instant::ORIGIN, member, token: None, backlog: Vec::new() }
    }

    /// Returns the answer to a request that is answered at once.
    pub(crate) fn ask(&mut self, request: impl Into<Request>) -> Result<Response, Status> {
        let call = Call {
            member: self.member,
            request: request.into(),
            token: self.token.clone(),
            requires_leader: false,
        };
        let ticket = self.cluster.submit(self.now, call);
        self.backlog.extend(self.cluster.poll(self.now));
        answer(&mut self.backlog, ticket).expect("an answer at once")
    }

    pub(crate) fn call<Q>(&mut self, request: Q) -> Result<Q::Response, Status>
    where
        Q: etcd3_core::UnaryRequest + Into<Request>,
        Q::Response: TryFrom<Response>,
    {
        self.ask(request).map(|response| {
            Q::Response::try_from(response).unwrap_or_else(|_| panic!("the answer of its request"))
        })
    }

    pub(crate) fn put(&mut self, key: &str, value: &str) -> i64 {
        self.call(put(key, value)).unwrap().header.unwrap().revision
    }

    pub(crate) fn get(&mut self, key: &str) -> Option<KeyValue> {
        self.call(get(key)).unwrap().kvs.pop()
    }

    pub(crate) fn delete(&mut self, key: &str) -> i64 {
        self.call(delete(key)).unwrap().header.unwrap().revision
    }

    pub(crate) fn revision(&mut self) -> i64 {
        self.call(get("any")).unwrap().header.unwrap().revision
    }

    pub(crate) fn compact(&mut self, revision: i64) -> Result<(), Status> {
        self.call(pb::CompactionRequest { revision, physical: false }).map(drop)
    }

    pub(crate) fn grant(&mut self, id: i64, ttl: i64) -> Result<i64, Status> {
        self.call(pb::LeaseGrantRequest { id, ttl }).map(|granted| granted.ttl)
    }

    pub(crate) fn txn(&mut self, success: Vec<Op>) -> Result<pb::TxnResponse, Status> {
        self.call(txn(vec![], success, vec![]))
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.backlog.extend(self.cluster.poll(self.now));
    }

    pub(crate) fn open(&mut self) -> StreamId {
        let options =
            StreamOptions { token: self.token.clone(), ..StreamOptions::new(self.member) };
        self.cluster.open_watch(self.now, options)
    }

    /// Sends orders over a stream, and returns all that comes out of it within so much time.
    pub(crate) fn watch(
        &mut self,
        stream: StreamId,
        orders: impl IntoIterator<Item = pb::WatchRequest>,
        time: Duration,
    ) -> Vec<pb::WatchResponse> {
        for order in orders {
            self.cluster.watch(self.now, stream, order);
        }
        self.wait(time);
        messages(&mut self.backlog, stream)
    }
}

/// Takes out the answer to a request.
pub(crate) fn answer(
    outputs: &mut Vec<Output>,
    wanted: Ticket,
) -> Option<Result<Response, Status>> {
    let is_wanted = |output: &Output| matches!(output, Output::Answer(t, _) if *t == wanted);
    match outputs.remove(outputs.iter().position(is_wanted)?) {
        Output::Answer(_, result) => Some(result),
        _ => None,
    }
}

/// Takes out the messages of a stream.
pub(crate) fn messages(outputs: &mut Vec<Output>, wanted: StreamId) -> Vec<pb::WatchResponse> {
    let mut messages = Vec::new();
    outputs.retain(|output| match output {
        Output::Watch(stream, message) if *stream == wanted => {
            messages.push(message.clone());
            false
        }
        _ => true,
    });
    messages
}

pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn put(key: &str, value: &str) -> pb::PutRequest {
    pb::PutRequest { key: bytes(key), value: bytes(value), ..Default::default() }
}

pub(crate) fn get(key: &str) -> pb::RangeRequest {
    pb::RangeRequest { key: bytes(key), ..Default::default() }
}

pub(crate) fn range(key: &str, end: &str) -> pb::RangeRequest {
    pb::RangeRequest { key: bytes(key), range_end: bytes(end), ..Default::default() }
}

pub(crate) fn delete(key: &str) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest { key: bytes(key), ..Default::default() }
}

pub(crate) fn delete_range(key: &str, end: &str) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest { key: bytes(key), range_end: bytes(end), prev_kv: false }
}

pub(crate) fn op(op: Op) -> pb::RequestOp {
    pb::RequestOp { request: Some(op) }
}

pub(crate) fn txn(compare: Vec<pb::Compare>, success: Vec<Op>, failure: Vec<Op>) -> pb::TxnRequest {
    let ops = |ops: Vec<Op>| ops.into_iter().map(op).collect();
    pb::TxnRequest { compare, success: ops(success), failure: ops(failure) }
}

pub(crate) fn compare(key: &str, result: CompareResult, union: TargetUnion) -> pb::Compare {
    let target = match union {
        TargetUnion::Version(_) => CompareTarget::Version,
        TargetUnion::CreateRevision(_) => CompareTarget::Create,
        TargetUnion::ModRevision(_) => CompareTarget::Mod,
        TargetUnion::Value(_) => CompareTarget::Value,
        TargetUnion::Lease(_) => CompareTarget::Lease,
    };
    pb::Compare {
        result: result.into(),
        target: target.into(),
        key: bytes(key),
        range_end: Bytes::new(),
        target_union: Some(union),
    }
}

pub(crate) fn create(key: &str) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest { key: bytes(key), ..Default::default() }
}

pub(crate) fn order(create: pb::WatchCreateRequest) -> pb::WatchRequest {
    pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) }
}

pub(crate) fn cancel(watch_id: i64) -> pb::WatchRequest {
    let request = pb::WatchCancelRequest { watch_id };
    pb::WatchRequest { request_union: Some(RequestUnion::CancelRequest(request)) }
}

pub(crate) fn progress() -> pb::WatchRequest {
    let request = pb::WatchProgressRequest {};
    pb::WatchRequest { request_union: Some(RequestUnion::ProgressRequest(request)) }
}

/// Code and text of a refusal.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, text: &str) {
    let status = result.expect_err("a refusal");
    assert_eq!((status.code, status.message.as_str()), (code, text));
}
