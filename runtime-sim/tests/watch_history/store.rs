//! A store in a few lines, which writes down all its changes, and what is right to deliver of them.

use etcd3_sim::etcd3::Bytes;
use etcd3_sim::etcd3::proto::mvccpb::KeyValue;
use etcd3_sim::history::watch::{Asked, Batch, Change, Event, Kind, Log, Prev};
use std::collections::BTreeMap;

#[derive(Default)]
pub(crate) struct Store {
    live: BTreeMap<Bytes, KeyValue>,
    pub(crate) changes: Vec<Change>,
    revision: i64,
}

impl Store {
    /// Writes keys, or deletes those without a value that are there, at one revision.
    pub(crate) fn commit(&mut self, writes: &[(Bytes, Option<Bytes>)]) {
        let revision = self.revision.max(1) + 1;
        for (key, value) in writes {
            let found = self.live.remove(key);
            let mut kv = KeyValue { key: key.clone(), ..KeyValue::default() };
            kv.mod_revision = revision;
            let kind = match (value, found) {
                (Some(value), found) => {
                    kv.create_revision = found.as_ref().map_or(revision, |kv| kv.create_revision);
                    kv.version = found.map_or(1, |kv| kv.version + 1);
                    kv.lease = revision % 3;
                    kv.value = value.clone();
                    self.live.insert(key.clone(), kv.clone());
                    Kind::Put
                }
                (None, Some(_)) => Kind::Delete,
                (None, None) => continue,
            };
            self.changes.push(Change { kind, kv });
            self.revision = revision;
        }
    }
}

/// Returns what is right to deliver of a change.
pub(crate) fn event(log: &Log, asked: &Asked, at: usize) -> Event {
    let Change { kind, kv } = log.changes()[at].clone();
    let before = log.before(at).cloned();
    let is_create = kind == Kind::Put && before.is_none();
    let prev = match (asked.prev_kv, before) {
        (false, _) => Prev::NotAsked,
        (true, None) => Prev::Absent,
        (true, Some(pair)) => Prev::Pair(pair),
    };
    Event { kind, kv, is_create, prev }
}

/// Returns a batch of events, which are not empty.
pub(crate) fn batch(events: Vec<Event>) -> Batch {
    let last = events.iter().map(|event| event.kv.mod_revision).max().unwrap();
    Batch { header: last, events, next: Some(last + 1) }
}
