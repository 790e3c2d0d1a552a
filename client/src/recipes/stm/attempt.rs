//! What one attempt has read and is to write, and what its commit compares.

use super::{Interrupted, Isolation};
use crate::{Bytes, Compare, Error, Get, KeyRange, KeyValue, LeaseId, Op, delete, get, key, put};
use std::collections::BTreeMap;

/// How many bytes a commit reads that meets a conflict: an answer over the limit of the client
/// would leave its outcome unknown.
const READ_AHEAD_BYTES: usize = 1 << 20;

/// Why an attempt is over before its commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Interruption {
    /// What it read does not hold any more, or cannot be read any more.
    Restart,
    /// A call failed.
    Failed(Error),
}

/// What is written to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Write {
    Put(Bytes, LeaseId),
    Delete,
}

/// What keys held, and the revision that says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reads {
    pub(super) revision: i64,
    pub(super) found: BTreeMap<Bytes, Option<KeyValue>>,
}

/// One attempt of a transaction.
#[derive(Debug)]
pub(super) struct Attempt {
    isolation: Isolation,
    /// The revision that all is read at, where there is one.
    base: Option<i64>,
    /// The least and the greatest revision that reads were answered at.
    span: Option<(i64, i64)>,
    /// What the keys held that were read, by their names or in ranges.
    reads: BTreeMap<Bytes, Option<KeyValue>>,
    /// The ranges that were read, with the keys that were found.
    ranges: BTreeMap<KeyRange, Vec<Bytes>>,
    writes: BTreeMap<Bytes, Write>,
    /// What was read ahead of its use, when the attempt before met a conflict.
    ahead: Reads,
    interrupted: Option<Interruption>,
}

impl Attempt {
    pub(super) fn new(isolation: Isolation, ahead: Option<Reads>) -> Self {
        // Not only for the keys that were read ahead: others have to be read at that revision, too.
        let base = ahead.as_ref().map(|ahead| ahead.revision).filter(|_| isolation.is_pinned());
        let (ahead, writes) = (ahead.unwrap_or_default(), BTreeMap::new());
        let (reads, ranges) = (BTreeMap::new(), BTreeMap::new());
        Self { isolation, base, span: None, reads, ranges, writes, ahead, interrupted: None }
    }

    /// Returns the revision at which the next read has to be, if that is settled.
    pub(super) const fn base(&self) -> Option<i64> {
        self.base
    }

    pub(super) const fn interruption(&self) -> Option<&Interruption> {
        self.interrupted.as_ref()
    }

    /// Ends the attempt, for the reason that comes first.
    pub(super) fn interrupt(&mut self, why: Interruption) -> Interrupted {
        Self::told(self.interrupted.get_or_insert(why))
    }

    /// Fails if the attempt is over.
    pub(super) fn check(&self) -> Result<(), Interrupted> {
        self.interrupted.as_ref().map_or(Ok(()), |why| Err(Self::told(why)))
    }

    fn told(why: &Interruption) -> Interrupted {
        match why {
            Interruption::Restart => Interrupted { error: None },
            Interruption::Failed(error) => Interrupted { error: Some(error.clone()) },
        }
    }

    /// Tells whether a key has to be read; takes what was read ahead.
    // X31
    pub(super) fn needs(&mut self, key: &Bytes) -> bool {
        if self.reads.contains_key(key) {
            return false;
        }
        let Some(found) = self.ahead.found.remove(key) else { return true };
        self.answered_at(self.ahead.revision);
        self.reads.insert(key.clone(), found);
        false
    }

    pub(super) fn has_read(&self, range: &KeyRange) -> bool {
        self.ranges.contains_key(range)
    }

    pub(super) fn writes(&self, key: &Bytes) -> bool {
        self.writes.contains_key(key)
    }

    pub(super) fn write(&mut self, key: Bytes, write: Write) {
        self.writes.insert(key, write);
    }

    /// Takes the answer to a read of keys.
    pub(super) fn record(&mut self, revision: i64, found: Vec<(Bytes, Option<KeyValue>)>) {
        self.answered_at(revision);
        self.reads.extend(found);
    }

    /// Takes the answer to a read of a range.
    ///
    /// # Errors
    ///
    /// When keys that were read before have changed.
    pub(super) fn record_range(
        &mut self,
        range: KeyRange,
        revision: i64,
        kvs: Vec<KeyValue>,
    ) -> Result<(), Interrupted> {
        let changed = |now: &BTreeMap<Bytes, KeyValue>| {
            let in_range = self.reads.iter().filter(|(key, _)| range.contains(key));
            in_range.map(|(key, before)| (before.as_ref(), now.get(key))).any(|(before, now)| {
                before.map(|kv| kv.mod_revision) != now.map(|kv| kv.mod_revision)
            })
        };
        let now: BTreeMap<_, _> = kvs.into_iter().map(|kv| (kv.key.clone(), kv)).collect();
        if self.isolation.validates_reads() && changed(&now) {
            return Err(self.interrupt(Interruption::Restart));
        }
        self.answered_at(revision);
        // What was read before stays as it was.
        for (key, kv) in now {
            self.reads.entry(key).or_insert(Some(kv));
        }
        let found = self.reads.keys().filter(|key| range.contains(key)).cloned().collect();
        self.ranges.insert(range, found);
        Ok(())
    }

    fn answered_at(&mut self, revision: i64) {
        if self.isolation.is_pinned() {
            self.base.get_or_insert(revision);
        }
        let (least, greatest) = self.span.unwrap_or((revision, revision));
        self.span = Some((least.min(revision), greatest.max(revision)));
    }

    /// Returns the value of a key, as the transaction sees it.
    pub(super) fn value(&self, key: &Bytes) -> Option<Bytes> {
        match self.writes.get(key) {
            Some(Write::Put(value, _)) => Some(value.clone()),
            Some(Write::Delete) => None,
            None => self.reads.get(key)?.as_ref().map(|kv| kv.value.clone()),
        }
    }

    /// Returns the revision that last changed a key, 0 for a key that was not there.
    pub(super) fn mod_revision(&self, key: &Bytes) -> i64 {
        self.reads.get(key).and_then(Option::as_ref).map_or(0, |kv| kv.mod_revision)
    }

    /// Returns what a range that was read holds, as the transaction sees it.
    pub(super) fn pairs(&self, range: &KeyRange) -> Vec<(Bytes, Bytes)> {
        let read = self.ranges.get(range).into_iter().flatten();
        let written = self.writes.keys().filter(|key| range.contains(key));
        let mut keys: Vec<&Bytes> = read.chain(written).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter().filter_map(|key| Some((key.clone(), self.value(key)?))).collect()
    }

    /// Tells whether nothing is left to be compared or written: it only read, and all that at one
    /// revision, or without a promise that it holds together.
    // X35
    pub(super) fn is_settled(&self) -> bool {
        let is_validated = self.isolation.is_pinned() || !self.isolation.validates_reads();
        let holds_together = self.span.is_none_or(|(least, greatest)| least == greatest);
        self.writes.is_empty() && (is_validated || holds_together || self.reads.is_empty())
    }

    /// Returns the revision at which what was read held; 0 without reads.
    pub(super) fn read_revision(&self) -> i64 {
        self.base.or(self.span.map(|(_, greatest)| greatest)).unwrap_or_default()
    }

    /// Returns what has to hold for the commit to take place.
    // X34
    pub(super) fn compares(&self) -> Vec<Compare> {
        if !self.isolation.validates_reads() {
            return vec![];
        }
        let unchanged = |(name, kv): (&Bytes, &Option<KeyValue>)| {
            let read = kv.as_ref().map_or(0, |kv| kv.mod_revision);
            key(name.clone()).mod_revision().eq(read)
        };
        let mut compares: Vec<Compare> = self.reads.iter().map(unchanged).collect();
        let Some(base) = self.base else { return compares };
        // With the compares of the keys that were found: no key has come, changed or gone.
        let ranges = self.ranges.keys().map(|range| range.clone().mod_revision().le(base));
        compares.extend(ranges);
        if self.isolation == Isolation::SerializableSnapshot {
            let blind = |name: &&Bytes| {
                let is_in = |range: &KeyRange| range.contains(name);
                !self.reads.contains_key(*name) && !self.ranges.keys().any(is_in)
            };
            let blind = self.writes.keys().filter(blind);
            compares.extend(blind.map(|name| key(name.clone()).mod_revision().le(base)));
        }
        compares
    }

    /// Returns what the commit writes.
    pub(super) fn operations(&self) -> Vec<Op> {
        let writes = self.writes.iter().map(|(key, write)| match write {
            Write::Put(value, lease) => put(key.clone(), value.clone()).lease(*lease).into(),
            Write::Delete => Op::from(delete(key.clone())),
        });
        writes.collect()
    }

    /// Returns the keys that a commit reads anew where it meets a conflict: those that were read,
    /// if it compares them, and if what they held was not so much that the answer may be too large.
    pub(super) fn keys_to_read_ahead(&self) -> Vec<Bytes> {
        let held = self.reads.values().flatten().map(|kv| kv.key.len() + kv.value.len());
        if !self.isolation.validates_reads() || held.sum::<usize>() > READ_AHEAD_BYTES {
            return vec![];
        }
        self.reads.keys().cloned().collect()
    }

    /// Returns how to read these keys of the attempt.
    pub(super) fn gets(keys: &[Bytes]) -> impl Iterator<Item = Get> + '_ {
        keys.iter().map(|key| get(key.clone()))
    }
}
