//! All changes of the store, in their order.

use super::record::Kind;
use super::verdict::{Rule, Violation};
use etcd3::Bytes;
use etcd3::proto::mvccpb;
use etcd3::proto::mvccpb::{KeyValue, event::EventType};
use std::collections::{BTreeMap, BTreeSet};

/// One change of the store; a transaction makes several at one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Whether the key was written or deleted.
    pub kind: Kind,
    /// The key, what it holds now, and its `mod_revision`, which is the revision of the change; of
    /// a deletion nothing else.
    pub kv: KeyValue,
}

impl Change {
    /// Returns the change that an event tells of; `None` for one without content.
    #[must_use]
    pub fn of(event: &mvccpb::Event) -> Option<Self> {
        let is_put = event.r#type == EventType::Put as i32;
        let kind = if is_put { Kind::Put } else { Kind::Delete };
        Some(Self { kind, kv: event.kv.clone()? })
    }

    /// Returns the revision that it belongs to.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.kv.mod_revision
    }
}

/// All changes of a store from its first revision on, and its compactions.
#[derive(Debug, Clone)]
pub struct Log {
    changes: Vec<Change>,
    /// The change that made the pair which each change found, if the key was there.
    before: Vec<Option<usize>>,
    /// The changes by revision and key.
    order: Vec<usize>,
    compactions: BTreeSet<i64>,
}

impl Log {
    /// Takes the changes of a store that was empty at first, in their order, and the revisions of
    /// all its compactions.
    ///
    /// # Errors
    ///
    /// With [`Rule::Log`] when this cannot be the history of a store: revisions go back, a key is
    /// changed twice at one revision, a key that is not there is deleted, or a version or revision
    /// of creation does not follow from the changes before.
    pub fn new(
        changes: Vec<Change>,
        compactions: impl IntoIterator<Item = i64>,
    ) -> Result<Self, Violation> {
        let before = before(&changes)?;
        let mut order: Vec<usize> = (0..changes.len()).collect();
        order.sort_by_key(|at| place(&changes[*at].kv));
        let compactions = compactions.into_iter().collect();
        Ok(Self { changes, before, order, compactions })
    }

    /// Returns all changes.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Returns the last revision; 1 for an empty store.
    #[must_use]
    pub fn last(&self) -> i64 {
        self.changes.last().map_or(1, Change::revision)
    }

    /// Returns the revisions of the compactions.
    #[must_use]
    pub fn compactions(&self) -> &BTreeSet<i64> {
        &self.compactions
    }

    /// Returns the pair that a change found; `None` if the key was absent.
    #[must_use]
    pub fn before(&self, at: usize) -> Option<&KeyValue> {
        let before = (*self.before.get(at)?)?;
        Some(&self.changes[before].kv)
    }

    /// Returns the pairs that the store had at a revision.
    // ROB-011
    #[must_use]
    pub fn state_at(&self, revision: i64) -> BTreeMap<Bytes, &KeyValue> {
        let mut state = BTreeMap::new();
        for change in &self.changes[..self.first_at(revision.saturating_add(1))] {
            match change.kind {
                Kind::Put => state.insert(change.kv.key.clone(), &change.kv),
                Kind::Delete => state.remove(&change.kv.key),
            };
        }
        state
    }

    /// Returns whether some compaction made the states before a revision unreadable.
    #[must_use]
    pub fn is_lost_before(&self, revision: i64) -> bool {
        self.compactions.last().is_some_and(|compacted| revision.saturating_sub(1) < *compacted)
    }

    /// Returns the number of changes below a revision, which is the place of its first one.
    #[must_use]
    pub fn first_at(&self, revision: i64) -> usize {
        self.changes.partition_point(|change| change.revision() < revision)
    }

    /// Returns the place of the change of a key at a revision.
    #[must_use]
    pub fn find(&self, kv: &KeyValue) -> Option<usize> {
        let place_of = |at: &usize| place(&self.changes[*at].kv);
        let found = self.order.binary_search_by_key(&place(kv), place_of).ok()?;
        Some(self.order[found])
    }
}

fn place(kv: &KeyValue) -> (i64, &[u8]) {
    (kv.mod_revision, &kv.key)
}

/// Returns for each change the one that made the pair which it found, once all of them fit.
fn before(changes: &[Change]) -> Result<Vec<Option<usize>>, Violation> {
    let mut live: BTreeMap<&Bytes, usize> = BTreeMap::new();
    let mut touched: BTreeMap<&Bytes, i64> = BTreeMap::new();
    let mut revision = 1;
    let mut before = Vec::with_capacity(changes.len());
    for (at, change) in changes.iter().enumerate() {
        let kv = &change.kv;
        if kv.mod_revision < revision.max(2) {
            return misfit(change, format!("it follows revision {revision}"));
        }
        revision = kv.mod_revision;
        if touched.insert(&kv.key, revision) == Some(revision) {
            return misfit(change, "its key was changed at that revision before");
        }
        let found = match change.kind {
            Kind::Put => live.insert(&kv.key, at),
            Kind::Delete => live.remove(&kv.key),
        };
        let pair = found.map(|found: usize| &changes[found].kv);
        let expected = match (change.kind, pair) {
            (Kind::Put, Some(pair)) => (pair.create_revision, pair.version.saturating_add(1)),
            (Kind::Put, None) => (revision, 1),
            (Kind::Delete, Some(_)) => (0, 0),
            (Kind::Delete, None) => return misfit(change, "its key was absent"),
        };
        if (kv.create_revision, kv.version) != expected {
            return misfit(change, format!("create_revision and version must be {expected:?}"));
        }
        before.push(found);
    }
    Ok(before)
}

fn misfit<T>(change: &Change, what: impl std::fmt::Display) -> Result<T, Violation> {
    let text = format!("{what}: {change:?}");
    Err(Violation { rule: Rule::Log, watch: String::new(), text })
}
