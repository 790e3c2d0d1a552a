//! Operations and faults on the model etcd: it never contradicts itself.

use crate::input;
use arbitrary::Arbitrary;
use etcd3_sim::Personality;
use etcd3_sim::etcd3::proto::etcdserverpb as pb;
use etcd3_sim::etcd3::runtime::Instant;
use etcd3_sim::etcd3::{Bytes, Status};
use etcd3_sim::model::{
    Call, Cluster, ClusterConfig, Delays, Output, Replica, Request, Response, Ticket,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Debug, Clone, Arbitrary)]
struct Run {
    version: u8,
    seed: u64,
    is_instant: bool,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, Arbitrary)]
enum Step {
    Put { member: u8, key: u8, value: u8, lease: u8, ignore_value: bool },
    Delete { member: u8, key: u8, end: u8 },
    Get { member: u8, key: u8, end: u8, revision: i8, limit: i8, serializable: bool },
    Txn { member: u8, guard: u8, version: u8, writes: Vec<(u8, u8)>, otherwise: Vec<u8> },
    Compact { member: u8, revision: i8 },
    Grant { member: u8, id: u8, ttl: i8 },
    Revoke { member: u8, id: u8 },
    Wait { ms: u16 },
    Kill { member: u8 },
    Restart { member: u8 },
    Pause { member: u8 },
    Resume { member: u8 },
    Isolate { member: u8 },
    Heal,
    Depose,
}

/// Runs operations and faults on three members; the same run twice is the same.
///
/// # Panics
///
/// When the model contradicts itself.
pub fn model(data: &[u8]) {
    let Some(run) = input::<Run>(data) else { return };
    assert_eq!(World::live(&run), World::live(&run), "the same run differs");
}

fn key(n: u8) -> Bytes {
    vec![b'a' + n % 6].into()
}

struct World {
    cluster: Cluster,
    ids: Vec<u64>,
    now: Instant,
    /// Revisions of acknowledged writes.
    written: BTreeSet<i64>,
    answers: Vec<(u64, Result<Response, Status>)>,
    asked: BTreeMap<Ticket, (u64, i64)>,
}

impl World {
    fn live(run: &Run) -> Vec<(u64, Result<Response, Status>)> {
        let personality = match run.version % 3 {
            0 => Personality::of(3, 4, 23),
            1 => Personality::of(3, 5, 16),
            _ => Personality::of(3, 5, 30),
        };
        let mut config = ClusterConfig::new(3, personality, run.seed);
        if run.is_instant {
            config.delays = Delays::NONE;
        }
        let cluster = Cluster::with_config(config);
        let ids = cluster.member_ids();
        let mut world = Self {
            cluster,
            ids,
            now: Instant::ORIGIN,
            written: BTreeSet::new(),
            answers: Vec::new(),
            asked: BTreeMap::new(),
        };
        for step in run.steps.iter().take(200) {
            world.step(step);
            world.settle();
        }
        world.answers
    }

    fn member(&self, member: u8) -> u64 {
        self.ids[usize::from(member) % self.ids.len()]
    }

    fn step(&mut self, step: &Step) {
        let (now, cluster) = (self.now, &mut self.cluster);
        let id = |member: &u8| self.ids[usize::from(*member) % self.ids.len()];
        match step {
            Step::Wait { ms } => self.now = now + Duration::from_millis(u64::from(*ms)),
            Step::Kill { member } => cluster.kill(now, id(member)),
            Step::Restart { member } => cluster.restart(now, id(member)),
            Step::Pause { member } => cluster.pause(now, id(member)),
            Step::Resume { member } => cluster.resume(now, id(member)),
            Step::Isolate { member } => cluster.isolate(now, id(member)),
            Step::Heal => cluster.heal(now),
            Step::Depose => cluster.depose(now),
            request => self.request(request),
        }
    }

    fn request(&mut self, step: &Step) {
        let range_end = |end: u8| if end.is_multiple_of(7) { Bytes::new() } else { key(end) };
        let put =
            |k: u8, v: u8| pb::PutRequest { key: key(k), value: key(v), ..Default::default() };
        let (member, request): (u8, Request) = match step {
            Step::Put { member, key: k, value, lease, ignore_value } => {
                let lease = i64::from(lease % 4);
                let ignore_value = *ignore_value;
                (*member, pb::PutRequest { lease, ignore_value, ..put(*k, *value) }.into())
            }
            Step::Delete { member, key: k, end } => {
                let range_end = range_end(*end);
                let delete = pb::DeleteRangeRequest { key: key(*k), range_end, prev_kv: true };
                (*member, delete.into())
            }
            Step::Get { member, key: k, end, revision, limit, serializable } => {
                let get = pb::RangeRequest {
                    key: key(*k),
                    range_end: range_end(*end),
                    revision: i64::from(*revision),
                    limit: i64::from(*limit),
                    serializable: *serializable,
                    ..Default::default()
                };
                (*member, get.into())
            }
            Step::Txn { member, guard, version, writes, otherwise } => {
                let union = pb::compare::TargetUnion::Version(i64::from(*version));
                let compare = pb::Compare {
                    key: key(*guard),
                    target_union: Some(union),
                    ..Default::default()
                };
                let op =
                    |put| pb::RequestOp { request: Some(pb::request_op::Request::RequestPut(put)) };
                let txn = pb::TxnRequest {
                    compare: vec![compare],
                    success: writes.iter().map(|(k, v)| op(put(*k, *v))).collect(),
                    failure: otherwise.iter().map(|k| op(put(*k, 0))).collect(),
                };
                (*member, txn.into())
            }
            Step::Compact { member, revision } => {
                let revision = i64::from(*revision);
                (*member, pb::CompactionRequest { revision, physical: false }.into())
            }
            Step::Grant { member, id, ttl } => {
                let (id, ttl) = (i64::from(id % 4), i64::from(*ttl));
                (*member, pb::LeaseGrantRequest { id, ttl }.into())
            }
            Step::Revoke { member, id } => {
                (*member, pb::LeaseRevokeRequest { id: i64::from(id % 4) }.into())
            }
            _ => return,
        };
        let member = self.member(member);
        let is_linearizable = matches!(&request, Request::Range(range) if !range.serializable);
        let floor = if is_linearizable { self.written.last().copied().unwrap_or(0) } else { 0 };
        let ticket = self.cluster.submit(self.now, Call::new(member, request));
        self.asked.insert(ticket, (member, floor));
    }

    /// Takes in what came out, and checks it.
    fn settle(&mut self) {
        for output in self.cluster.poll(self.now) {
            let Output::Answer(ticket, answer) = output else { continue };
            let (member, floor) = self.asked.remove(&ticket).expect("each is answered once");
            match &answer {
                Ok(Response::Put(put)) => {
                    let revision = put.header.as_ref().map_or(0, |header| header.revision);
                    assert!(self.written.insert(revision), "two writes at {revision}");
                }
                Ok(Response::Range(range)) => {
                    let revision = range.header.as_ref().map_or(0, |header| header.revision);
                    assert!(revision >= floor, "a read at {revision} misses {floor}");
                    assert!(i64::try_from(range.kvs.len()).is_ok_and(|n| n <= range.count));
                }
                _ => {}
            }
            self.answers.push((member, answer));
        }
        let deadline = self.cluster.next_deadline();
        assert!(deadline.is_none_or(|at| at > self.now), "would spin");
        self.check_replicas();
    }

    /// Members with the same revision hold the same, and never more is compacted than there is.
    fn check_replicas(&self) {
        let mut by_revision = BTreeMap::new();
        for store in self.ids.iter().filter_map(|id| self.cluster.replica(*id)).map(Replica::store)
        {
            assert!(store.compacted() <= store.revision());
            if let Some(same) = by_revision.insert((store.revision(), store.compacted()), store) {
                assert_eq!(same.history(), store.history());
            }
        }
    }
}
