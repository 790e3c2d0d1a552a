//! Random operations: nothing panics, revisions only grow, the same seed gives the same run, and it
//! makes no difference how often a cluster is polled.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod model_support;

use etcd3::proto::etcdserverpb as pb;
use etcd3::proto::mvccpb::KeyValue;
use etcd3::runtime::Instant;
use etcd3_core::rng::Rng;
use etcd3_sim::model::{
    Call, Cluster, ClusterConfig, Delays, Output, Request, StreamId, StreamOptions,
};
use model_support::*;
use pb::compare::{CompareResult, TargetUnion};
use pb::request_op::Request::{
    self as Op, RequestDeleteRange, RequestPut, RequestRange, RequestTxn,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// A seeded source of requests over a handful of keys.
struct Generator(Rng);

impl Generator {
    fn below(&mut self, n: u64) -> u64 {
        self.0.below(n)
    }

    fn number(&mut self, n: u64) -> i64 {
        i64::try_from(self.below(n)).unwrap()
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }

    fn key(&mut self) -> &'static str {
        self.one_of(&["", "a", "a\0", "b", "c", "d"])
    }

    fn end(&mut self) -> &'static str {
        self.one_of(&["", "", "\0", "a", "c", "e"])
    }

    fn lease(&mut self) -> i64 {
        self.one_of(&[0, 0, 0, 1, 2, -3])
    }

    fn range(&mut self) -> pb::RangeRequest {
        pb::RangeRequest {
            limit: self.number(5) - 1,
            revision: self.one_of(&[0, 0, 0, -1, 3, 9, 40]),
            sort_order: self.one_of(&[0, 0, 1, 2, 7]),
            sort_target: self.one_of(&[0, 1, 2, 3, 4, 9]),
            serializable: self.below(3) == 0,
            keys_only: self.below(5) == 0,
            count_only: self.below(5) == 0,
            min_mod_revision: self.one_of(&[0, 0, 5]),
            max_create_revision: self.one_of(&[0, 0, 9]),
            ..range(self.key(), self.end())
        }
    }

    fn put(&mut self) -> pb::PutRequest {
        pb::PutRequest {
            lease: self.lease(),
            prev_kv: self.below(2) == 0,
            ignore_value: self.below(6) == 0,
            ignore_lease: self.below(6) == 0,
            ..put(self.key(), self.one_of(&["", "1", "2"]))
        }
    }

    fn op(&mut self, depth: u32) -> Op {
        match self.below(if depth == 0 { 4 } else { 6 }) {
            0 => RequestRange(self.range()),
            1 | 2 => RequestPut(self.put()),
            3 => RequestDeleteRange(delete_range(self.key(), self.end())),
            _ => RequestTxn(self.txn(depth - 1)),
        }
    }

    fn txn(&mut self, depth: u32) -> pb::TxnRequest {
        use CompareResult::{Equal, Greater, Less, NotEqual};
        let ops = |generator: &mut Self| {
            (0..generator.below(4)).map(|_| generator.op(depth)).collect::<Vec<_>>()
        };
        let (then, otherwise) = (ops(self), ops(self));
        let union = TargetUnion::Version(self.number(3));
        let result = self.one_of(&[Equal, Greater, Less, NotEqual]);
        txn(vec![compare(self.one_of(&["a", "b"]), result, union)], then, otherwise)
    }

    fn request(&mut self) -> Request {
        match self.below(16) {
            0..=3 => self.range().into(),
            4..=7 => self.put().into(),
            8 => delete_range(self.key(), self.end()).into(),
            9..=11 => self.txn(2).into(),
            12 => pb::CompactionRequest { revision: self.number(60), physical: false }.into(),
            13 => pb::LeaseGrantRequest { id: self.lease(), ttl: self.number(9) }.into(),
            14 => pb::LeaseKeepAliveRequest { id: self.lease() }.into(),
            _ => pb::LeaseRevokeRequest { id: self.lease() }.into(),
        }
    }

    fn order(&mut self) -> pb::WatchRequest {
        match self.below(6) {
            0 => cancel(self.number(4)),
            1 => progress(),
            _ => order(pb::WatchCreateRequest {
                start_revision: self.one_of(&[0, 0, 2, 9, 30, -1]),
                range_end: bytes(self.end()),
                prev_kv: self.below(2) == 0,
                fragment: self.below(2) == 0,
                progress_notify: self.below(2) == 0,
                watch_id: self.one_of(&[0, 0, 0, 2]),
                ..create(self.key())
            }),
        }
    }
}

/// Returns all that can be read at every readable revision.
fn everything(etcd: &Alone) -> BTreeMap<i64, Vec<KeyValue>> {
    let mut cluster = etcd.cluster.clone();
    let store = cluster.replica(etcd.member).unwrap().store();
    let (first, last) = (store.compacted().max(1), store.revision());
    let mut read = |revision| {
        let all = pb::RangeRequest { revision, serializable: true, ..range("\0", "\0") };
        let ticket = cluster.submit(etcd.now, Call::new(etcd.member, all));
        let answer = answer(&mut cluster.poll(etcd.now), ticket).unwrap().unwrap();
        pb::RangeResponse::try_from(answer).unwrap().kvs
    };
    (first..=last).map(|revision| (revision, read(revision))).collect()
}

#[test]
fn history_never_changes_and_compaction_only_shortens_it() {
    for seed in 0..60 {
        for version in VERSIONS {
            let etcd = &mut Alone::new(version);
            let generator = &mut Generator(Rng::new(seed));
            let mut known = everything(etcd);
            for _ in 0..80 {
                let request = generator.request();
                let _: Result<_, _> = etcd.ask(request.clone());
                let now = everything(etcd);
                let last = *known.keys().next_back().unwrap();
                assert!(*now.keys().next_back().unwrap() - last <= 1, "{request:?}");
                for (revision, kvs) in &now {
                    if let Some(before) = known.get(revision) {
                        assert_eq!(before, kvs, "seed {seed}, revision {revision}, {request:?}");
                    }
                }
                known = now;
            }
        }
    }
}

/// Faults, requests and streams at random times. `lazy` polls at deadlines only.
fn run(seed: u64, lazy: bool) -> Vec<(Instant, Output)> {
    let mut generator = Generator(Rng::new(seed));
    let version = generator.one_of(&VERSIONS);
    let mut config = ClusterConfig::new(3, personality(version), seed);
    config.delays = Delays { apply: (Duration::ZERO, ms(50)), ..Delays::default() };
    config.snapshot_gap = 6;
    let mut cluster = Cluster::with_config(config);
    let ids = cluster.member_ids();
    let mut streams: Vec<StreamId> = Vec::new();
    let mut now = Instant::ORIGIN;
    let mut outputs = Vec::new();
    for _ in 0..120 {
        let member = generator.one_of(&ids);
        match generator.below(20) {
            0 => cluster.kill(now, member),
            1 | 2 => cluster.restart(now, member),
            3 => cluster.pause(now, member),
            4 | 5 => cluster.resume(now, member),
            6 => cluster.isolate(now, member),
            7 | 8 => cluster.heal(now),
            9 => cluster.hold_applying(now, member, generator.below(2) == 0),
            10 => cluster.depose(now),
            11 => streams.push(cluster.open_watch(now, StreamOptions::new(member))),
            12 | 13 => {
                if let Some(stream) = streams.last() {
                    cluster.watch(now, *stream, generator.order());
                }
            }
            _ => drop(cluster.submit(now, Call::new(member, generator.request()))),
        }
        let until = now + ms(generator.below(700));
        if lazy {
            while let Some(at) = cluster.next_deadline().filter(|at| *at <= until) {
                now = now.max(at);
                outputs.extend(cluster.poll(now).into_iter().map(|output| (now, output)));
            }
        } else {
            while now < until {
                outputs.extend(cluster.poll(now).into_iter().map(|output| (now, output)));
                now = until.min(now + ms(13));
            }
        }
        now = until;
        outputs.extend(cluster.poll(now).into_iter().map(|output| (now, output)));
    }
    outputs
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..40 {
        assert_eq!(run(seed, true), run(seed, true), "seed {seed}");
    }
}

#[test]
fn how_often_a_cluster_is_polled_makes_no_difference() {
    let outputs = |seed, lazy| run(seed, lazy).into_iter().map(|(_, output)| output);
    for seed in 0..40 {
        let (lazy, eager): (Vec<_>, Vec<_>) =
            (outputs(seed, true).collect(), outputs(seed, false).collect());
        assert_eq!(lazy, eager, "seed {seed}");
        assert!(!lazy.is_empty());
    }
}

// After a heal all members agree, and answer again.
#[test]
fn after_faults_the_members_agree() {
    for seed in 0..40 {
        let mut generator = Generator(Rng::new(seed));
        let mut config = ClusterConfig::new(3, personality(NEW), seed);
        config.delays = Delays::default();
        let mut cluster = Cluster::with_config(config);
        let ids = cluster.member_ids();
        let mut now = Instant::ORIGIN;
        for _ in 0..60 {
            let member = generator.one_of(&ids);
            match generator.below(9) {
                0 => cluster.kill(now, member),
                1 => cluster.restart(now, member),
                2 => cluster.isolate(now, member),
                3 => cluster.heal(now),
                _ => drop(cluster.submit(now, Call::new(member, generator.put()))),
            }
            now = now + ms(generator.below(900));
            cluster.poll(now);
        }
        cluster.heal(now);
        for id in &ids {
            cluster.restart(now, *id);
        }
        now = now + ms(15_000);
        cluster.poll(now);
        let tickets: Vec<_> =
            ids.iter().map(|id| cluster.submit(now, Call::new(*id, get("a")))).collect();
        now = now + ms(100);
        let mut outputs = cluster.poll(now);
        let answers: Vec<_> = tickets
            .into_iter()
            .map(|ticket| {
                let answer = answer(&mut outputs, ticket).unwrap().unwrap();
                let read = pb::RangeResponse::try_from(answer).unwrap();
                (read.header.unwrap().revision, read.kvs)
            })
            .collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]), "seed {seed}: {answers:?}");
    }
}
