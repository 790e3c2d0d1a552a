//! What a cache holds: the pairs of its range, and the last changes.

use etcd3_core::error::{Error, ErrorKind};
use etcd3_core::watch::{Event, WatchBatch};
use etcd3_core::{Bytes, Difference, KeyRange, KeyValue};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

/// The pairs of a range as of one revision, and the changes that led there.
#[derive(Debug)]
pub(super) struct Store {
    range: KeyRange,
    pairs: BTreeMap<Bytes, KeyValue>,
    /// Everything up to this revision is in it; 0 before the first listing is complete.
    revision: i64,
    /// The changes after this revision are remembered.
    base: i64,
    history: VecDeque<Update>,
    history_bytes: usize,
    max_history_bytes: usize,
    /// What a listing showed to be different, until it is complete.
    staged: Vec<Difference>,
    error: Option<Error>,
}

/// Changes that were applied together.
#[derive(Debug, Clone)]
pub(super) struct Update {
    /// The revision that they led to.
    pub(super) revision: i64,
    pub(super) changes: Changes,
    bytes: usize,
}

#[derive(Debug, Clone)]
pub(super) enum Changes {
    Events(Arc<WatchBatch>),
    /// What was different after changes had been compacted.
    Differences(Arc<[Difference]>),
}

impl Store {
    pub(super) const fn new(range: KeyRange, max_history_bytes: usize) -> Self {
        Self {
            range,
            pairs: BTreeMap::new(),
            revision: 0,
            base: 0,
            history: VecDeque::new(),
            history_bytes: 0,
            max_history_bytes,
            staged: Vec::new(),
            error: None,
        }
    }

    pub(super) const fn revision(&self) -> i64 {
        self.revision
    }

    /// Returns the first key of the range.
    pub(super) fn start(&self) -> Bytes {
        self.range.start().clone()
    }

    pub(super) const fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    pub(super) fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }

    /// Takes a part of the first listing.
    pub(super) fn load(&mut self, page: Vec<KeyValue>) {
        for pair in page {
            self.put(&pair);
        }
    }

    /// The first listing is complete.
    pub(super) const fn listed(&mut self, revision: i64) {
        self.revision = revision;
        self.base = revision;
    }

    /// Takes changes.
    pub(super) fn apply(&mut self, batch: WatchBatch) {
        let mut bytes = 0;
        for event in &batch.events {
            bytes += size_of::<Event>() + event.kv.key.len() + event.kv.value.len();
            if event.is_delete() {
                self.pairs.remove(&event.kv.key);
            } else {
                self.put(&event.kv);
            }
        }
        let revision = batch.revision();
        self.remember(Update { revision, changes: Changes::Events(Arc::new(batch)), bytes });
    }

    /// Takes a part of what is different after changes had been compacted.
    pub(super) fn stage(&mut self, differences: Vec<Difference>) {
        self.staged.extend(differences);
    }

    /// Applies what is different, all of it at once.
    pub(super) fn resynced(&mut self, revision: i64) {
        let differences = std::mem::take(&mut self.staged);
        let mut bytes = 0;
        for difference in &differences {
            match difference {
                Difference::Put(pair) => {
                    bytes += size_of::<Difference>() + pair.key.len() + pair.value.len();
                    self.put(pair);
                }
                Difference::Delete(key) => {
                    bytes += size_of::<Difference>() + key.len();
                    self.pairs.remove(key);
                }
                _ => {}
            }
        }
        // Before it was listed, the listing is the state, and not what became of another one.
        if self.revision == 0 {
            return self.listed(revision);
        }
        self.remember(Update {
            revision,
            changes: Changes::Differences(differences.into()),
            bytes,
        });
    }

    /// Everything up to this revision is in it.
    pub(super) fn progressed(&mut self, revision: i64) {
        self.revision = self.revision.max(revision);
    }

    /// Returns one pair.
    pub(super) fn get(&self, key: &[u8]) -> Option<&KeyValue> {
        self.pairs.get(key)
    }

    /// Returns the pairs of a range, in the order of their keys.
    pub(super) fn pairs(&self, range: &KeyRange) -> Vec<KeyValue> {
        let from = Bound::Included(range.start().clone());
        let pairs = self.pairs.range((from, Bound::Unbounded));
        pairs.map(|(_, pair)| pair).take_while(|pair| range.contains(&pair.key)).cloned().collect()
    }

    /// Refuses a range that is not within that of the cache.
    pub(super) fn check(&self, range: &KeyRange) -> Result<(), Error> {
        if self.range.holds(range) {
            return Ok(());
        }
        Err(Error::invalid_request("the keys are not within the range of the cache"))
    }

    /// Returns the first update at this revision or after it; none yet, or an error when it is not
    /// remembered any more.
    pub(super) fn update_from(&self, revision: i64) -> Result<Option<Update>, Error> {
        if revision <= self.base {
            let compacted = self.base + 1;
            return Err(Error::new(ErrorKind::WatchCompacted { requested: revision, compacted }));
        }
        let place = self.history.partition_point(|update| update.revision < revision);
        Ok(self.history.get(place).cloned())
    }

    fn remember(&mut self, update: Update) {
        self.revision = self.revision.max(update.revision);
        self.history_bytes += update.bytes;
        self.history.push_back(update);
        while self.history_bytes > self.max_history_bytes
            && let Some(oldest) = self.history.pop_front()
        {
            self.history_bytes -= oldest.bytes;
            self.base = oldest.revision;
        }
    }

    fn put(&mut self, pair: &KeyValue) {
        let pair = owned(pair);
        self.pairs.insert(pair.key.clone(), pair);
    }
}

/// Copies a pair: slices would keep the message alive that they came with, for as long as one of
/// its pairs is in the cache.
fn owned(pair: &KeyValue) -> KeyValue {
    let whole = Bytes::from([&pair.key[..], &pair.value[..]].concat());
    let mut copy = pair.clone();
    (copy.key, copy.value) = (whole.slice(..pair.key.len()), whole.slice(pair.key.len()..));
    copy
}
