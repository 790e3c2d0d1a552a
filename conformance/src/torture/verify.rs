//! What must hold when all is over.

use super::board::{Board, CALLS, PREFIX, PREFIX_END};
use super::sums::Pairs;
use etcd3::proto::etcdserverpb::HashKvRequest;
use etcd3::proto::mvccpb::{Event, KeyValue};
use etcd3::runtime::{Runtime, Target};
use etcd3::{Bytes, Client};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::frame::Decoder;
use etcd3_core::metadata::{Metadata, request_head};
use etcd3_core::method::{Effect, Method, Shape};
use etcd3_sim::history::watch::{
    Asked, Change, Delivery, Demands, Known, Log, Record, Rule, Start, Verdict, check,
};
use etcd3_sim::history::{self, check_order};
use futures_lite::FutureExt;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

/// Violations that are told one by one.
const MAX_TOLD: usize = 10;

/// What the check of all watches has found.
pub(super) struct Checked {
    pub(super) verdict: Verdict,
    pub(super) events: usize,
    pub(super) watches: usize,
    pub(super) records: Vec<Record>,
}

impl Checked {
    /// Returns how many events were lost, came again, came out of order, or in pieces.
    pub(super) fn zeros(&self) -> [(&'static str, usize); 4] {
        let count = |rules: &[Rule]| rules.iter().map(|rule| self.verdict.count(*rule)).sum();
        [
            ("lost", count(&[Rule::Reliable, Rule::Resumable])),
            ("repeated", count(&[Rule::Unique])),
            ("out of order", count(&[Rule::Ordered, Rule::Bookmarkable])),
            ("torn", count(&[Rule::Atomic])),
        ]
    }
}

/// Makes the log of all changes.
pub(super) fn log(events: &[Event], compactions: &[i64]) -> Result<Log, String> {
    let changes = events.iter().filter_map(Change::of).collect();
    Log::new(changes, compactions.iter().copied()).map_err(|violation| violation.to_string())
}

/// Checks everything that was delivered or answered against the log.
pub(super) fn all(board: &Board, log: &Log, known: &[Known]) -> Checked {
    let mut state = board.lock();
    let demands = Demands { through: state.through.unwrap_or_default(), known };
    let mut checked =
        Checked { verdict: Verdict::default(), events: 0, watches: 0, records: Vec::new() };
    for record in std::mem::take(&mut state.records) {
        checked.watches += 1;
        checked.events += events_of(&record);
        checked.verdict.merge(check(log, &record, &demands));
        checked.records.push(record);
    }
    let violations = checked.verdict.violations.iter().take(MAX_TOLD).map(ToString::to_string);
    let mut problems: Vec<String> = violations.collect();
    for added in std::mem::take(&mut state.added) {
        let expected = state_of(log, added.revision);
        if let Some(key) = difference(&expected, &added.pairs, log, known) {
            let (name, revision) = (&added.name, added.revision);
            problems.push(format!("{name} at {revision}: {key:?} is not as in the store"));
        }
    }
    problems.extend(calls(&state.history, log).err());
    for (revision, key, value) in &state.writes {
        let key = Bytes::copy_from_slice(key.as_bytes());
        let place = KeyValue { key, mod_revision: *revision, ..KeyValue::default() };
        let found = log.find(&place).map(|at| &log.changes()[at].kv);
        if found.is_none_or(|kv| kv.value != value.as_bytes()) {
            problems.push(format!("{place:?} was acknowledged, and there is {found:?}"));
        }
    }
    for (revision, kvs) in &state.reads {
        let there = log.state_at(*revision);
        let mut expected = there.iter().filter(|(key, _)| key.starts_with(PREFIX.as_bytes()));
        let same = kvs.iter().all(|kv| {
            expected.next().is_some_and(|(_, it)| etcd3::KeyValue::from((*it).clone()) == *kv)
        });
        if !same || expected.next().is_some() {
            problems.push(format!("a read at revision {revision} is not the state of then"));
        }
    }
    problems.truncate(MAX_TOLD);
    state.problems.extend(problems);
    drop(state);
    checked
}

fn events_of(record: &Record) -> usize {
    let batches = record.deliveries.iter().map(|delivery| match delivery {
        Delivery::Batch(batch) => batch.events.len(),
        Delivery::Progress(_) | Delivery::Resumed => 0,
    });
    batches.sum()
}

/// Checks what callers were told against the order of revisions.
// ROB-010, ROB-013
fn calls(history: &[history::Entry], log: &Log) -> Result<(), String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let changes = log.changes().iter().filter(|it| it.kv.key.starts_with(CALLS.as_bytes()));
    let changes = changes.map(|change| history::Change {
        revision: change.revision(),
        key: text(&change.kv.key),
        value: (change.kv.version > 0).then(|| text(&change.kv.value)),
    });
    let changes: Vec<_> = changes.collect();
    check_order(history, &changes).map_err(|violation| violation.to_string())
}

fn state_of(log: &Log, revision: i64) -> Pairs {
    let asked = Asked::new(PREFIX, PREFIX_END, Start::At(1));
    let state = log.state_at(revision).into_iter().filter(|(key, _)| asked.covers(key));
    state.map(|(key, kv)| (key.to_vec(), (kv.mod_revision, kv.value.to_vec()))).collect()
}

/// Finds a key that is not as it must be, but for deletions that the servers may have lost.
fn difference(expected: &Pairs, found: &Pairs, log: &Log, known: &[Known]) -> Option<String> {
    let may_lose = known.iter().any(|known| {
        use Known::{DeleteAtCompaction, DeleteAtResumedCompaction, LostInStarvation};
        matches!(known, DeleteAtCompaction | DeleteAtResumedCompaction | LostInStarvation)
    });
    let is_lost = |key: &[u8]| {
        may_lose
            && log.changes().iter().any(|it| {
                it.kv.key == key && it.kv.version == 0 && log.compactions().contains(&it.revision())
            })
    };
    let mut keys = expected.keys().chain(found.keys());
    let key = keys.find(|key| expected.get(*key) != found.get(*key) && !is_lost(key))?;
    Some(String::from_utf8_lossy(key).into_owned())
}

/// Compares the hashes of all members at a revision; what differs, in words.
// ROB-015
pub(super) async fn hashes(client: &Client, urls: &[String], at: i64) -> Result<(), String> {
    let mut all = Vec::new();
    for url in urls {
        let pinned = client.pinned_to(url.clone()).map_err(|error| error.report().to_string())?;
        let hash = pinned.rpc(HashKvRequest { revision: at }).await;
        let hash = hash.map_err(|error| error.report().to_string())?;
        let revision = hash.header.map_or(0, |header| header.revision);
        all.push((hash.hash, hash.compact_revision, revision));
    }
    let is_equal = all.windows(2).all(|pair| pair[0] == pair[1]);
    if is_equal { Ok(()) } else { Err(format!("the members' hashes at {at} differ: {all:?}")) }
}

/// The method of gRPC's own health protocol; its request may be empty.
const HEALTH: Method = Method::new("/grpc.health.v1.Health/Check", Effect::Read, Shape::Unary);

/// Asks a member whether it serves, by gRPC's own health protocol; why not, otherwise.
// ROB-017
pub(super) async fn health(rt: &Arc<dyn Runtime>, member: SocketAddr) -> Result<(), String> {
    let serving = async {
        let io = rt.connect(&Target::Tcp(member)).await?;
        let (requests, connection) = h2::client::handshake(io).await?;
        let endpoint: Endpoint = member.to_string().parse()?;
        let exchange = async {
            let mut requests = requests.ready().await?;
            let (scheme, authority) = (endpoint.scheme(), endpoint.authority());
            let head = request_head(scheme, authority, &HEALTH, Metadata::default());
            let (response, mut send) = requests.send_request(head, false)?;
            send.send_data(Bytes::from_static(&[0; 5]), true)?;
            let mut body = response.await?.into_body();
            let mut decoder = Decoder::new(usize::MAX);
            while let Some(chunk) = body.data().await {
                decoder.push(chunk?);
            }
            // Field 1 is the status, and 1 is SERVING.
            Ok(decoder.next_message()?.is_some_and(|message| message[..] == [8, 1]))
        };
        let connection = async {
            connection.await?;
            Err::<bool, Box<dyn Error + Send + Sync>>("the connection ended".into())
        };
        exchange.or(connection).await
    };
    match serving.await {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("{member} is not serving")),
        Err(error) => Err(format!("{member} does not say whether it serves: {error}")),
    }
}
