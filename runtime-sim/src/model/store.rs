//! The multi-version store: every key with its versions, and the events of every revision.
//!
//! ```text
//!  revision   1        2             3             4             5
//!             |        put a=1       put a=2       delete a      put a=3
//!  keys       |        a: v1 c2 m2   a: v2 c2 m3   a: tombstone  a: v1 c5 m5
//! ```
//!
//! Revision 1 is the empty store. A change opens [`Store::begin`], which holds the store until the
//! change is whole; everything in it happens at one revision.

use super::keys::Keys;
use super::lease::Leases;
use super::personality::Personality;
use super::refusal::refuse;
use etcd3::proto::mvccpb::KeyValue;
use etcd3::proto::mvccpb::{Event, event::EventType};
use etcd3::{Bytes, ServerError, Status};
use std::collections::BTreeMap;

/// The state of a key from one revision on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyState {
    /// The revision of the change.
    pub(super) revision: i64,
    /// What the change left; `None` for a tombstone.
    pub(super) live: Option<KeyValue>,
}

/// Keys, their versions, and leases: what one member of a cluster has stored.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) personality: Personality,
    revision: i64,
    /// The last compacted revision, or -1.
    pub(super) compacted: i64,
    pub(super) keys: BTreeMap<Bytes, Vec<KeyState>>,
    /// The events of each revision that is not compacted.
    pub(super) log: BTreeMap<i64, Vec<Event>>,
    pub(super) leases: Leases,
    bytes: u64,
}

impl Store {
    /// Makes an empty store, at revision 1. `min_ttl` is the shortest time to live of a lease, in
    /// seconds.
    #[must_use]
    pub fn new(personality: &Personality, min_ttl: i64) -> Self {
        Self {
            personality: *personality,
            revision: 1,
            compacted: -1,
            keys: BTreeMap::new(),
            log: BTreeMap::new(),
            leases: Leases::new(min_ttl),
            bytes: 0,
        }
    }

    /// Returns the revision of the last change.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Returns the last compacted revision, or -1.
    #[must_use]
    pub fn compacted(&self) -> i64 {
        self.compacted
    }

    /// Returns all changes that are not compacted, by revision.
    #[must_use]
    pub fn history(&self) -> &BTreeMap<i64, Vec<Event>> {
        &self.log
    }

    /// Returns the leases.
    #[must_use]
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// A rough size of the database, in bytes. It never shrinks.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.bytes
    }

    /// Returns the pairs of a range at a revision; 0 or less stands for the newest.
    ///
    /// # Errors
    ///
    /// `OutOfRange` when the revision is compacted or in the future.
    // K16
    pub(super) fn read(&self, keys: &Keys, at: i64) -> Result<Vec<KeyValue>, Status> {
        self.read_view(keys, at, self.revision)
    }

    /// As `read`, seen from inside of a change: `current` is the newest revision then.
    fn read_view(&self, keys: &Keys, at: i64, current: i64) -> Result<Vec<KeyValue>, Status> {
        if at > current {
            return Err(refuse(ServerError::FutureRev));
        }
        let at = if at <= 0 { current } else { at };
        if at < self.compacted {
            return Err(refuse(ServerError::Compacted));
        }
        let live = |versions: &Vec<KeyState>| {
            let last = versions.iter().rev().find(|version| version.revision <= at);
            last.and_then(|version| version.live.clone())
        };
        Ok(self.keys.range(keys.bounds()).filter_map(|(_, versions)| live(versions)).collect())
    }

    /// Begins a change.
    pub(super) fn begin(&mut self) -> WriteTxn<'_> {
        WriteTxn { store: self, events: Vec::new() }
    }

    /// Deletes the keys of a lease and the lease itself, in one revision. `None` when there is no
    /// such lease.
    // L2
    pub(super) fn revoke(&mut self, id: i64) -> Option<Vec<Event>> {
        let keys = self.leases.remove(id)?;
        let mut change = self.begin();
        for key in &keys {
            change.delete(&Keys::one(key));
        }
        Some(change.finish())
    }
}

/// A change under way. Everything in it is one revision, and what it reads is what it wrote.
#[derive(Debug)]
pub(super) struct WriteTxn<'a> {
    store: &'a mut Store,
    events: Vec<Event>,
}

impl WriteTxn<'_> {
    /// Returns the newest revision as seen from here: that of the change once it has changed
    /// something.
    pub(super) fn revision(&self) -> i64 {
        self.store.revision + i64::from(!self.events.is_empty())
    }

    pub(super) fn read(&self, keys: &Keys, at: i64) -> Result<Vec<KeyValue>, Status> {
        self.store.read_view(keys, at, self.revision())
    }

    pub(super) fn reads_index(&self) -> bool {
        self.store.personality.keys_lack_lease
    }

    /// Writes a key; the lease must exist.
    pub(super) fn put(&mut self, key: &Bytes, value: Bytes, lease: i64) {
        let revision = self.store.revision + 1;
        self.store.bytes += 64 + (key.len() + value.len()) as u64;
        let versions = self.store.keys.entry(key.clone()).or_default();
        let previous = versions.last().and_then(|version| version.live.as_ref());
        let old_lease = previous.map_or(0, |kv| kv.lease);
        let kv = KeyValue {
            key: key.clone(),
            create_revision: previous.map_or(revision, |kv| kv.create_revision),
            mod_revision: revision,
            version: previous.map_or(1, |kv| kv.version + 1),
            value,
            lease,
        };
        versions.push(KeyState { revision, live: Some(kv.clone()) });
        self.store.leases.detach(old_lease, key);
        self.store.leases.attach(lease, key);
        self.events.push(Event { r#type: EventType::Put.into(), kv: Some(kv), prev_kv: None });
    }

    /// Deletes what lives in a range, and returns it.
    pub(super) fn delete(&mut self, keys: &Keys) -> Vec<KeyValue> {
        let revision = self.store.revision + 1;
        let mut gone = Vec::new();
        for (_, versions) in self.store.keys.range_mut(keys.bounds()) {
            if let Some(KeyState { live: Some(kv), .. }) = versions.last().cloned() {
                versions.push(KeyState { revision, live: None });
                gone.push(kv);
            }
        }
        for kv in &gone {
            self.store.bytes += 64;
            self.store.leases.detach(kv.lease, &kv.key);
            // Only the key and the revision (W10).
            let tombstone =
                KeyValue { key: kv.key.clone(), mod_revision: revision, ..KeyValue::default() };
            let r#type = EventType::Delete.into();
            self.events.push(Event { r#type, kv: Some(tombstone), prev_kv: None });
        }
        gone
    }

    /// Ends the change. The revision moves only when something changed.
    pub(super) fn finish(self) -> Vec<Event> {
        if !self.events.is_empty() {
            self.store.revision += 1;
            self.store.log.insert(self.store.revision, self.events.clone());
        }
        self.events
    }
}
