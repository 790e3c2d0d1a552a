//! What the model's servers deliver keeps the guarantees, but for the known bugs of their versions.
//!
//! Nothing guards the watches here as the client does: these are the messages of the servers.

#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod model_support;

use etcd3::proto::etcdserverpb as pb;
use etcd3::proto::mvccpb;
use etcd3_core::rng::Rng;
use etcd3_sim::history::watch::{
    Asked, Batch, Change, Delivery, Demands, End, Event, Kind, Known, Log, Prev, Record, Start,
    Verdict, check,
};
use etcd3_sim::model::{ClusterConfig, Delays, StreamId};
use model_support::*;
use pb::request_op::Request::{RequestDeleteRange, RequestPut};
use pb::watch_create_request::FilterType;
use std::collections::BTreeSet;
use std::time::Duration;

const SOON: Duration = Duration::from_millis(500);

/// A member, and all changes that it ever made, also those that it has compacted.
struct Recorded {
    etcd: Alone,
    changes: Vec<Change>,
    compactions: Vec<i64>,
}

impl Recorded {
    fn new(etcd: Alone) -> Self {
        Self { etcd, changes: Vec::new(), compactions: Vec::new() }
    }

    fn last(&self) -> i64 {
        self.changes.last().map_or(1, Change::revision)
    }

    /// Notes what has changed since the last time.
    fn note(&mut self) {
        let from = self.last() + 1;
        let store = self.etcd.cluster.replica(self.etcd.member).unwrap().store();
        let events = store.history().range(from..).flat_map(|(_, events)| events);
        self.changes.extend(events.filter_map(Change::of));
    }

    fn compact(&mut self, revision: i64) {
        if self.etcd.compact(revision).is_ok() {
            self.compactions.push(revision);
        }
    }

    fn log(&self) -> Log {
        Log::new(self.changes.clone(), self.compactions.iter().copied()).unwrap()
    }

    /// Makes one change or compaction.
    fn step(&mut self, rng: &mut Rng) {
        let key = |rng: &mut Rng| ["a", "b", "c"][usize::try_from(rng.below(3)).unwrap()];
        match rng.below(10) {
            0..=4 => {
                self.etcd.put(key(rng), "v");
            }
            5 | 6 => {
                self.etcd.delete(key(rng));
            }
            7 => drop(self.etcd.txn(vec![RequestPut(put("a", "1")), RequestPut(put("b", "1"))])),
            8 => drop(self.etcd.txn(vec![RequestDeleteRange(delete_range("a", "c"))])),
            _ => self.compact(self.last() - i64::try_from(rng.below(4)).unwrap()),
        }
        self.note();
    }
}

/// One watch and what came of it.
struct Raw {
    id: i64,
    record: Record,
    fragments: Vec<mvccpb::Event>,
}

impl Raw {
    fn new(create: &pb::WatchCreateRequest, now: i64) -> Self {
        let start = match create.start_revision {
            0 => Start::Now { after: now, by: now + 1 },
            revision => Start::At(revision),
        };
        let mut asked = Asked::new(create.key.clone(), create.range_end.clone(), start);
        asked.no_put = create.filters.contains(&FilterType::Noput.into());
        asked.no_delete = create.filters.contains(&FilterType::Nodelete.into());
        asked.prev_kv = create.prev_kv;
        asked.progress_notify = true;
        let name = format!("{create:?}");
        let record = Record { name, asked, deliveries: Vec::new(), end: End::Open };
        Self { id: create.watch_id, record, fragments: Vec::new() }
    }

    fn hear(&mut self, message: &pb::WatchResponse) {
        if message.created || ![self.id, -1].contains(&message.watch_id) {
            return;
        }
        if message.compact_revision != 0 {
            let next = self.record.deliveries.iter().rev().find_map(|delivery| match delivery {
                Delivery::Batch(batch) => batch.next,
                Delivery::Progress(_) | Delivery::Resumed => None,
            });
            let start = match self.record.asked.start {
                Start::At(revision) => revision,
                Start::Now { by, .. } => by,
            };
            let requested = next.unwrap_or(start).max(start);
            self.record.end = End::Compacted { requested, compacted: message.compact_revision };
            return;
        }
        self.fragments.extend(message.events.iter().cloned());
        if message.fragment || self.record.end != End::Open {
            return;
        }
        let header = message.header.unwrap().revision;
        let events: Vec<Event> = self.fragments.drain(..).map(|e| self.record.event(e)).collect();
        let delivery = match events.last().map(|event| event.kv.mod_revision + 1) {
            None => Delivery::Progress(header),
            next => Delivery::Batch(Batch { header, events, next }),
        };
        self.record.deliveries.push(delivery);
    }
}

fn hear(watches: &mut [Raw], messages: &[pb::WatchResponse]) {
    for message in messages {
        for watch in &mut *watches {
            watch.hear(message);
        }
    }
}

trait Interpret {
    fn event(&self, event: mvccpb::Event) -> Event;
}

impl Interpret for Record {
    fn event(&self, event: mvccpb::Event) -> Event {
        let Change { kind, kv } = Change::of(&event).unwrap();
        let is_create = kind == Kind::Put && kv.create_revision == kv.mod_revision;
        let prev = match event.prev_kv {
            _ if !self.asked.prev_kv => Prev::NotAsked,
            Some(pair) => Prev::Pair(pair),
            None if is_create => Prev::Absent,
            None => Prev::Unavailable,
        };
        Event { kind, kv, is_create, prev }
    }
}

fn random_create(rng: &mut Rng, id: i64, now: i64) -> pb::WatchCreateRequest {
    let (key, end) = [("a", ""), ("a", "c"), ("\0", "\0")][usize::try_from(rng.below(3)).unwrap()];
    let filters = match rng.below(6) {
        0 => vec![FilterType::Noput.into()],
        1 => vec![FilterType::Nodelete.into()],
        _ => vec![],
    };
    let start = i64::try_from(rng.below(u64::try_from(now).unwrap() + 3)).unwrap();
    pb::WatchCreateRequest {
        watch_id: id,
        range_end: bytes(end),
        start_revision: if rng.below(3) == 0 { 0 } else { start },
        prev_kv: rng.below(2) == 0,
        progress_notify: true,
        fragment: rng.below(2) == 0,
        filters,
        ..create(key)
    }
}

/// Runs random changes, watches and progress requests, and checks all watches at the end.
fn random(version: (u16, u16, u16), seed: u64, known: &[Known]) -> Verdict {
    let rng = &mut Rng::new(seed);
    let mut recorded = Recorded::new(Alone::new(version));
    let stream: StreamId = recorded.etcd.open();
    let mut watches: Vec<Raw> = Vec::new();
    for _ in 0..60 {
        let orders = match rng.below(8) {
            0 if watches.len() < 8 => {
                let id = i64::try_from(watches.len()).unwrap() + 1;
                let create = random_create(rng, id, recorded.last());
                watches.push(Raw::new(&create, recorded.last()));
                vec![order(create)]
            }
            1 => vec![progress()],
            _ => {
                recorded.step(rng);
                vec![]
            }
        };
        let time = ms(rng.below(60));
        hear(&mut watches, &recorded.etcd.watch(stream, orders, time));
    }
    hear(&mut watches, &recorded.etcd.watch(stream, [], SOON));
    let log = recorded.log();
    let demands = Demands { through: log.last(), known };
    let mut verdict = Verdict::default();
    for watch in &watches {
        verdict.merge(check(&log, &watch.record, &demands));
    }
    verdict
}

#[test]
fn servers_keep_the_guarantees_but_for_what_is_known() {
    for version in VERSIONS {
        let known = Known::of(version);
        let mut met = BTreeSet::new();
        for seed in 0..300 {
            let verdict = random(version, seed, &known);
            assert!(verdict.is_clean(), "{version:?}, seed {seed}: {verdict}");
            met.extend(verdict.excused.into_iter().map(|(known, _)| known));
        }
        let expected: &[Known] = match version {
            OLD => &[Known::ProgressOvertakes, Known::DeleteAtCompaction],
            _ => &[],
        };
        assert!(met.iter().eq(expected), "{version:?}: {met:?}");
    }
}

// W-12, W-13: a member that gets five revisions as a snapshot, with a watcher from now on that has
// seen revision 2, and one from revision 9 on.
#[test]
fn a_snapshot_brings_out_the_bugs_of_old_servers() {
    for version in VERSIONS {
        let mut config = ClusterConfig::new(2, personality(version), 7);
        config.delays = Delays::NONE;
        let mut recorded = Recorded::new(Alone::with(config));
        let leader = recorded.etcd.cluster.leader().unwrap();
        let ids = recorded.etcd.cluster.member_ids();
        let follower = ids.into_iter().find(|id| *id != leader).unwrap();
        let creates = [(1, 0), (2, 9)].map(|(watch_id, start_revision)| pb::WatchCreateRequest {
            watch_id,
            start_revision,
            ..create("a")
        });
        let mut watches = creates.clone().map(|create| Raw::new(&create, 1));
        recorded.etcd.member = follower;
        let stream = recorded.etcd.open();
        recorded.etcd.member = leader;
        let mut messages = recorded.etcd.watch(stream, creates.map(order), SOON);
        recorded.etcd.put("a", "1");
        messages.extend(recorded.etcd.watch(stream, [], SOON));
        recorded.etcd.cluster.hold_applying(recorded.etcd.now, follower, true);
        for value in ["2", "3", "4", "5", "6"] {
            recorded.etcd.put("a", value);
        }
        recorded.etcd.cluster.send_snapshot(recorded.etcd.now, follower);
        messages.extend(recorded.etcd.watch(stream, [], SOON));
        recorded.etcd.put("a", "7");
        messages.extend(recorded.etcd.watch(stream, [], SOON));
        recorded.note();
        hear(&mut watches, &messages);
        let (log, known) = (recorded.log(), Known::of(version));
        let demands = Demands { through: log.last(), known: &known };
        let mut verdict = Verdict::default();
        for watch in &watches {
            verdict.merge(check(&log, &watch.record, &demands));
        }
        assert!(verdict.is_clean(), "{version:?}: {verdict}");
        let met: BTreeSet<Known> = verdict.excused.into_iter().map(|(known, _)| known).collect();
        let expected: &[Known] = match version {
            OLD => &[Known::BackInTime, Known::FutureStart],
            MIDDLE => &[Known::FutureStart],
            _ => &[],
        };
        assert!(met.iter().eq(expected), "{version:?}: {met:?}");
    }
}
