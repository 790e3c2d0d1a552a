//! What happens to the store: a few events, and who is to hear of which.

use bytes::Bytes;
use etcd3_core::proto::mvccpb;

/// The revision of the empty store.
pub(crate) const EMPTY: i64 = 1;
/// The revision after all of the history.
pub(crate) const LAST: i64 = 4;

/// All events, in their order: the revision, and the key. The second revision has two of them.
const EVENTS: [(i64, u8); 4] = [(2, b'a'), (3, b'a'), (3, b'b'), (4, b'b')];

/// A set of events, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Events(u8);

impl Events {
    /// Returns the events of keys up to `b` that are `from` a revision on `to` another one.
    /// Watcher 0 wants all keys, watcher 1 only `b`.
    pub(crate) fn of(watcher: usize, from: i64, to: i64) -> Self {
        let wanted = |(revision, key): (i64, u8)| {
            (from..=to).contains(&revision) && (watcher == 0 || key == b'b')
        };
        let all = EVENTS.iter().enumerate().filter(|(_, event)| wanted(**event));
        Self(all.map(|(at, _)| 1 << at).sum())
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn len(self) -> u32 {
        self.0.count_ones()
    }

    pub(crate) fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    pub(crate) fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    pub(crate) fn overlaps(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Returns the first so many.
    pub(crate) fn first(self, count: u32) -> Self {
        let mut rest = self.0;
        for _ in 0..count {
            rest &= rest.wrapping_sub(1);
        }
        Self(self.0 & !rest)
    }

    /// Returns the revision of the first one.
    pub(crate) fn lowest(self) -> Option<i64> {
        self.iter().next().map(|event| event.0)
    }

    /// Returns the revision of the last one.
    pub(crate) fn highest(self) -> Option<i64> {
        self.iter().last().map(|event| event.0)
    }

    fn iter(self) -> impl Iterator<Item = (i64, u8)> {
        EVENTS.into_iter().enumerate().filter(move |(at, _)| self.0 >> at & 1 == 1).map(|it| it.1)
    }

    /// Returns the set of one event; none if there is no such event.
    pub(crate) fn one(revision: i64, key: &[u8]) -> Self {
        let at = EVENTS.iter().position(|event| event.0 == revision && [event.1] == key);
        Self(at.map_or(0, |at| 1 << at))
    }

    /// Returns them as a server sends them.
    pub(crate) fn on_the_wire(self) -> Vec<mvccpb::Event> {
        let event = |(revision, key): (i64, u8)| mvccpb::Event {
            kv: Some(mvccpb::KeyValue {
                key: Bytes::copy_from_slice(&[key]),
                mod_revision: revision,
                ..Default::default()
            }),
            ..Default::default()
        };
        self.iter().map(event).collect()
    }
}
