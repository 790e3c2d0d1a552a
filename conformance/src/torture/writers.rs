//! Those who write while things go wrong: traffic of several kinds, every call accounted for.

use super::board::{Board, CALLS, PREFIX, PREFIX_END, choose, millis};
use etcd3::proto::etcdserverpb::LeaseGrantRequest;
use etcd3::{Client, Error, KeyRange, LeaseId, Op, delete, key, prefix, put};
use etcd3_core::rng::Rng;
use etcd3_sim::history::{Completion, Entry, Invocation};
use std::time::Duration;

const KEYS: u64 = 20;
const CALLED_KEYS: u64 = 5;

/// What writers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// Mostly writes of single keys, as fast as they are answered.
    High,
    /// Writes, deletions, transactions and leases that end, at a pace.
    Mixed,
    /// What Kubernetes does: writes and deletions that compare the revision, and pages.
    Kubernetes,
}

/// One writer.
pub(super) struct Writer {
    pub(super) board: Board,
    pub(super) client: Client,
    pub(super) number: usize,
    pub(super) traffic: Traffic,
    pub(super) rng: Rng,
}

impl Writer {
    pub(super) async fn run(mut self) {
        let mut count = 0;
        while !self.board.is_calm() {
            count += 1;
            let value = format!("{}-{count}", self.number);
            let done = match self.traffic {
                Traffic::High => self.put(value).await,
                Traffic::Mixed => self.change(value).await,
                Traffic::Kubernetes => self.optimistic(value).await,
            };
            match done {
                Ok(revision) => self.board.acknowledge(revision),
                Err(_) => self.board.lock().failed_writes += 1,
            }
            let pause = if self.traffic == Traffic::High { 20 } else { 160 };
            let pause = millis(&mut self.rng, pause);
            self.board.pause(pause).await;
        }
    }

    fn key(&mut self) -> String {
        format!("{PREFIX}{:02}", self.rng.below(KEYS))
    }

    async fn put(&mut self, value: String) -> Result<i64, Error> {
        let key = self.key();
        let revision = self.client.put(&key, &value).await?.header.revision;
        self.board.lock().writes.push((revision, key, value));
        Ok(revision)
    }

    async fn change(&mut self, value: String) -> Result<i64, Error> {
        let key = self.key();
        match self.rng.below(12) {
            0..=4 => self.put(value).await,
            5 | 6 => Ok(self.client.delete(key).await?.header.revision),
            7 => {
                let some = KeyRange::from_wire(key.into_bytes(), PREFIX_END);
                Ok(self.client.delete(some).await?.header.revision)
            }
            8 => {
                let first = self.rng.below(KEYS - 8);
                let op = |at: u64| {
                    let key = format!("{PREFIX}{at:02}");
                    let deletes = at.is_multiple_of(3);
                    if deletes { Op::from(delete(key)) } else { put(key, value.as_str()).into() }
                };
                let txn = self.client.txn().then((first..first + 8).map(op)).await?;
                Ok(txn.header.revision)
            }
            9 => {
                let granted = self.client.rpc(LeaseGrantRequest { ttl: 2, id: 0 }).await?;
                let lease = LeaseId(granted.id);
                let mut revision = 0;
                for _ in 0..3 {
                    let key = self.key();
                    let put = self.client.put(key, "leased").lease(lease).await?;
                    revision = put.header.revision;
                }
                Ok(revision)
            }
            10 => {
                let large = value.repeat(2_000);
                Ok(self.client.put(key, large).await?.header.revision)
            }
            _ => Ok(self.client.put("other", value).await?.header.revision),
        }
    }

    /// Lists a page, and writes or deletes one key of it if it is still as it was listed.
    async fn optimistic(&mut self, value: String) -> Result<i64, Error> {
        let page = self.client.get(prefix(PREFIX)).limit(10).await?;
        let name = self.key();
        let found = page.kvs.iter().find(|kv| kv.key == name.as_bytes());
        let revision = found.map_or(0, |kv| kv.mod_revision);
        let op = match found {
            Some(_) if self.rng.below(3) == 0 => Op::from(delete(name.as_str())),
            _ => put(name.as_str(), value).into(),
        };
        let compare = key(&name).mod_revision().eq(revision);
        Ok(self.client.txn().when([compare]).then([op]).await?.header.revision)
    }
}

/// One who calls, and notes when and with what result.
pub(super) struct Caller {
    pub(super) board: Board,
    pub(super) client: Client,
    pub(super) number: usize,
    pub(super) rng: Rng,
    /// The revision of the last change it knows of, to compare with.
    pub(super) seen: i64,
}

impl Caller {
    pub(super) async fn run(mut self) {
        let mut count = 0;
        while !self.board.is_calm() {
            count += 1;
            let invocation = self.draw(count);
            let entry = Entry {
                invoked: self.board.rt.now(),
                returned: None,
                invocation: invocation.clone(),
            };
            let index = {
                let mut state = self.board.lock();
                state.history.push(entry);
                state.history.len() - 1
            };
            let done = self.act(&invocation).await;
            let done = done.unwrap_or_else(|error| Completion::Failed(error.outcome()));
            let now = self.board.rt.now();
            self.board.lock().history[index].returned = Some((now, done));
            if count % 8 == 0 {
                self.read_the_past().await;
            }
            let pause = millis(&mut self.rng, 200);
            self.board.pause(pause).await;
        }
    }

    fn draw(&mut self, count: u64) -> Invocation {
        let key = |rng: &mut Rng| format!("{CALLS}{}", rng.below(CALLED_KEYS));
        let value = format!("{}-{count}", self.number);
        let rng = &mut self.rng;
        match rng.below(8) {
            0 | 1 => Invocation::Put { key: key(rng), value },
            2 | 3 => Invocation::CompareAndPut { key: key(rng), expected: self.seen, value },
            4 => {
                let first = rng.below(CALLED_KEYS - 1);
                let keys = [format!("{CALLS}{first}"), format!("{CALLS}{}", CALLED_KEYS - 1)];
                Invocation::PutBoth { keys, value }
            }
            5 => Invocation::Get { key: key(rng), serializable: true },
            _ => Invocation::Get { key: key(rng), serializable: false },
        }
    }

    async fn act(&mut self, invocation: &Invocation) -> Result<Completion, Error> {
        let client = &self.client;
        let (revision, is_written) = match invocation {
            Invocation::Put { key, value } => (client.put(key, value).await?.header.revision, true),
            Invocation::PutBoth { keys: [a, b], value } => {
                let puts = [put(a, value), put(b, value)];
                (client.txn().then(puts).await?.header.revision, true)
            }
            Invocation::CompareAndPut { key: name, expected, value } => {
                let compare = key(name).mod_revision().eq(*expected);
                let txn = client.txn().when([compare]).then([put(name, value)]).await?;
                (txn.header.revision, txn.succeeded)
            }
            Invocation::Get { key, serializable } => return self.get(key, *serializable).await,
            Invocation::PutBesideRead { .. } => return Ok(Completion::NotHeld(0)),
        };
        self.board.acknowledge(revision);
        Ok(if is_written { Completion::Written(revision) } else { Completion::NotHeld(revision) })
    }

    async fn get(&mut self, key: &str, serializable: bool) -> Result<Completion, Error> {
        let request = self.client.get(key);
        let request = if serializable { request.serializable() } else { request };
        let answer = request.await?;
        let pair = answer.kvs.first();
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let found = pair.map(|kv| (text(&kv.value), kv.mod_revision));
        self.seen = found.as_ref().map_or(0, |(_, revision)| *revision);
        Ok(Completion::Read { revision: answer.header.revision, found })
    }

    /// Reads everything at a revision of the past, from whichever member.
    // ROB-011
    async fn read_the_past(&mut self) {
        let back = i64::try_from(choose(&mut self.rng, &[0u64, 3, 40, 200])).unwrap_or_default();
        let at = (self.board.acknowledged() - back).max(1);
        let read = self.client.get(prefix(PREFIX)).revision(at).serializable();
        // It may be compacted, or not have come to that member yet.
        if let Ok(found) = read.timeout(Duration::from_secs(2)).await {
            self.board.lock().reads.push((at, found.kvs));
        }
    }
}
