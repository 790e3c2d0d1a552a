//! Random operations for a place: the same seed draws the same ones for each.

use crate::SHARED_LEASE;
use crate::place::Place;
use etcd3::{
    Compare, CompareOp, Delete, Get, IgnoreValue, KeyRange, Op, Put, SortOrder, SortTarget, Txn,
    delete, get, put, txn,
};
use etcd3_core::rng::Rng;

/// Keys with the edges, and such as are the same as prefixes.
const KEYS: [&[u8]; 11] =
    [b"a", b"a", b"a\0", b"b", b"b/1", b"\0", b"\xff", b"\xff\xff", b"n/", b"n/a", b""];
const ENDS: [&[u8]; 9] = [b"", b"", b"\0", b"\0", b"b", b"c", b"\xff", b"\0\0", b"n0"];
/// Leases that come and go.
const LEASES: [i64; 3] = [1, 2, -3];

#[derive(Debug, Clone)]
pub(crate) struct Draw {
    rng: Rng,
    /// The newest revision that was seen, and the last that was compacted.
    revision: i64,
    pub(crate) compacted: i64,
}

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed), revision: 1, compacted: 1 }
    }

    pub(crate) fn learn(&mut self, revision: i64) {
        self.revision = self.revision.max(revision);
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.rng.below(n)
    }

    pub(crate) fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }

    /// A key, seldom an empty one.
    pub(crate) fn key(&mut self, place: &Place) -> Vec<u8> {
        let most = if self.percent(10) { KEYS.len() } else { KEYS.len() - 1 };
        let key = self.one_of(&KEYS[..most]);
        place.key(key)
    }

    /// A range of every shape, as it is on the wire: also with its end before its begin.
    pub(crate) fn range(&mut self, place: &Place) -> KeyRange {
        let (key, end) = self.bounds();
        place.range(key, end)
    }

    pub(crate) fn bounds(&mut self) -> (&'static [u8], &'static [u8]) {
        match self.below(10) {
            0 => (&[0], &[0]),
            1 => (self.one_of(&[b"a", b"b"]), &[0]),
            _ => {
                let most = if self.percent(10) { KEYS.len() } else { KEYS.len() - 1 };
                (self.one_of(&KEYS[..most]), self.one_of(&ENDS))
            }
        }
    }

    pub(crate) fn lease(&mut self) -> i64 {
        self.one_of(&LEASES)
    }

    /// A revision that can be read, or one before.
    pub(crate) fn past(&mut self) -> i64 {
        let span = u64::try_from(self.revision - self.compacted + 2).unwrap();
        (self.revision - i64::try_from(self.below(span.min(200))).unwrap()).max(1)
    }

    pub(crate) fn get(&mut self, place: &Place) -> Get {
        let mut read = get(self.range(place));
        for _ in 0..self.below(3) {
            read = match self.below(9) {
                0 => read.limit(self.below(4)),
                1 => read.revision(self.past()),
                2 => read.keys_only(),
                3 => read.count_only(),
                4 => read.min_mod_revision(self.past()),
                5 => read.max_create_revision(self.past()),
                6 => read.serializable(),
                _ => self.sorted(read),
            };
        }
        read
    }

    fn sorted(&mut self, read: Get) -> Get {
        use SortTarget::{Create, Key, Mod, Value, Version};
        let target = self.one_of(&[Key, Version, Create, Mod, Value]);
        read.sort(target, self.one_of(&[SortOrder::Ascend, SortOrder::Descend]))
    }

    pub(crate) fn put(&mut self, place: &Place) -> Put {
        let key = self.key(place);
        let mut write = match self.below(8) {
            0 => put(key, IgnoreValue),
            _ => put(key, self.one_of(&["", "1", "2"])),
        };
        if self.percent(20) {
            write = write.lease(self.one_of(&[1, 2, -3, SHARED_LEASE, SHARED_LEASE]));
        }
        if self.percent(50) { write.prev_kv() } else { write }
    }

    pub(crate) fn delete(&mut self, place: &Place) -> Delete {
        let delete = delete(self.range(place));
        if self.percent(50) { delete.prev_kv() } else { delete }
    }

    pub(crate) fn compare(&mut self, place: &Place) -> Compare {
        use CompareOp::{Equal, Greater, Less, NotEqual};
        let (range, op) = (self.range(place), self.one_of(&[Equal, Greater, Less, NotEqual]));
        match self.below(5) {
            0 => range.version().is(op, self.one_of(&[0_i64, 1, 2])),
            1 => range.create_revision().is(op, self.past()),
            2 => range.mod_revision().is(op, self.past()),
            3 => range.value().is(op, self.one_of(&["", "1", "2"])),
            _ => range.lease().is(op, self.lease()),
        }
    }

    pub(crate) fn compares(&mut self, place: &Place) -> Vec<Compare> {
        (0..=self.below(2)).map(|_| self.compare(place)).collect()
    }

    pub(crate) fn txn(&mut self, place: &Place, depth: u32) -> Txn {
        let compares = if self.percent(70) { self.compares(place) } else { vec![] };
        let then = self.branch(place, depth);
        txn().when(compares).then(then).otherwise(self.branch(place, depth))
    }

    /// At most one deletion, so that few transactions write a key twice.
    fn branch(&mut self, place: &Place, depth: u32) -> Vec<Op> {
        let mut ops: Vec<Op> = vec![];
        for _ in 0..self.below(4) {
            ops.push(match self.below(8) {
                0 => self.delete(place).into(),
                1 | 2 => self.put(place).into(),
                3 | 4 if depth > 0 => self.txn(place, depth - 1).into(),
                // Of now: beside a write, a read at a revision is refused.
                _ => get(self.range(place)).limit(self.below(4)).into(),
            });
        }
        ops
    }
}
