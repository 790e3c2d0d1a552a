//! Random operations in etcd's own messages, for comparing the model with real servers.
//!
//! A [`Generator`] makes one operation after another from a seed. Most are such that a server
//! carries them out; about every fourth is meant to go wrong in one of the ways that servers refuse
//! with a text. [`Counts`] tells what the operations had in them.
//!
//! ```
//! use etcd3_sim::generate::{Counts, Generator, Position};
//!
//! let mut generator = Generator::new(7);
//! let mut counts = Counts::default();
//! for _ in 0..200 {
//!     let position = Position { revision: 20, compacted: 10 };
//!     counts.add(&generator.next(position), position);
//! }
//! assert!(counts.iter().any(|(name, count)| name == "put prev_kv" && count > 0));
//! ```

mod counts;
mod txn;

use crate::model::Request;
pub use counts::{Counts, REFUSALS};
use etcd3::Bytes;
use etcd3::proto::etcdserverpb as pb;
use etcd3_core::rng::Rng;

/// The keys: two for each of three prefixes. The last prefix has no end but that of all keys.
const KEYS: [&[u8]; 6] = [b"a/1", b"a/2", b"b/1", b"b/1\0", b"\xff", b"\xff\xff"];
/// Each prefix and where it ends.
// K2
const PREFIXES: [(&[u8], &[u8]); 3] = [(b"a/", b"a0"), (b"b/", b"b0"), (b"\xff", b"\0")];
/// The ids that leases are granted with.
const LEASES: [i64; 4] = [1, 7, 0x7fff_ffff_ffff_ffff, -3];
/// An id that no lease ever has.
const NO_LEASE: i64 = 99;
/// The longest time to live that is granted, in seconds.
const MAX_TTL: i64 = 9_000_000_000;
/// The most operations in one level of a transaction.
// K31
const MAX_OPS: usize = 128;

/// Where a store is: what makes a revision an old one or one to come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// The newest revision.
    pub revision: i64,
    /// The revision of the last compaction; below 1 without one.
    pub compacted: i64,
}

/// A seeded source of operations.
#[derive(Debug, Clone)]
pub struct Generator {
    rng: Rng,
    at: Position,
    /// The operation may go wrong.
    wild: bool,
    /// The transaction may write a key twice.
    doubles: bool,
    /// In a transaction: the keys that it has not put yet.
    unused: Vec<&'static [u8]>,
    /// A lease that was asked for so short a time that it has to end soon.
    short: Option<i64>,
}

impl Generator {
    /// Makes a generator; the same seed and positions give the same operations.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let at = Position::default();
        let rng = Rng::new(seed);
        Self { rng, at, wild: false, doubles: false, unused: Vec::new(), short: None }
    }

    /// Returns the next operation, for a store that is at this position.
    pub fn next(&mut self, position: Position) -> Request {
        self.at = position;
        self.wild = self.percent(30);
        if let Some(id) = self.short.take() {
            // Before it ends by itself, at a time that nothing here controls.
            return pb::LeaseRevokeRequest { id }.into();
        }
        match self.below(100) {
            0..=29 => self.range().into(),
            30..=47 => self.put(None).into(),
            48..=53 => self.delete().into(),
            54..=80 => self.txn().into(),
            81..=84 => self.compact().into(),
            85..=90 => self.grant().into(),
            91..=93 => pb::LeaseRevokeRequest { id: self.lease() }.into(),
            94..=97 => {
                pb::LeaseTimeToLiveRequest { id: self.lease(), keys: self.percent(50) }.into()
            }
            _ => pb::LeaseLeasesRequest {}.into(),
        }
    }

    fn below(&mut self, n: u64) -> u64 {
        self.rng.below(n)
    }

    fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    /// Tells whether to do something wrong now.
    fn slip(&mut self, share: u64) -> bool {
        self.percent(share) && self.wild
    }

    fn number(&mut self, n: i64) -> i64 {
        i64::try_from(self.below(u64::try_from(n).unwrap_or(0))).unwrap_or(0)
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        let index = self.below(u64::try_from(choices.len()).unwrap_or(0));
        choices[usize::try_from(index).unwrap_or(0)]
    }

    fn key(&mut self) -> Bytes {
        if self.slip(6) {
            return Bytes::new();
        }
        Bytes::from_static(self.one_of(&KEYS))
    }

    /// A key and the end of its range: all shapes that there are.
    // K1–K6
    fn span(&mut self) -> (Bytes, Bytes) {
        let key = self.key();
        let other = Bytes::from_static(self.one_of(&KEYS));
        let (low, high) = if key <= other { (key.clone(), other) } else { (other, key.clone()) };
        match self.below(12) {
            0..=3 => (key, Bytes::new()),
            4..=6 => {
                let (prefix, end) = self.one_of(&PREFIXES);
                (Bytes::from_static(prefix), Bytes::from_static(end))
            }
            7 => (key, Bytes::from_static(b"\0")),
            8 => (Bytes::from_static(b"\0"), Bytes::from_static(b"\0")),
            9 | 10 if !low.is_empty() => (low, high),
            11 if self.percent(50) => (key.clone(), key),
            _ => (high, low),
        }
    }

    /// A revision to read at: mostly one that can be read.
    fn revision(&mut self) -> i64 {
        let Position { revision, compacted } = self.at;
        if self.slip(40) {
            return match self.below(3) {
                0 => revision + 1 + self.number(3),
                1 => (compacted - 1 - self.number(3)).max(1),
                _ => -1 - self.number(3),
            };
        }
        match self.below(4) {
            0 => revision,
            1 => compacted.max(0),
            _ => compacted.max(0) + self.number(revision - compacted.max(0) + 1),
        }
    }

    /// A bound that sets of keys lie on both sides of.
    fn bound(&mut self) -> i64 {
        self.at.revision - self.number(12)
    }

    fn range(&mut self) -> pb::RangeRequest {
        let (key, range_end) = self.span();
        let mut range = pb::RangeRequest { key, range_end, ..pb::RangeRequest::default() };
        if self.percent(40) {
            range.revision = self.revision();
        }
        if self.percent(40) {
            range.limit = self.number(6) - 1;
        }
        if self.percent(50) {
            range.sort_target = self.one_of(&[0, 1, 2, 3, 4]);
            range.sort_order = self.one_of(&[0, 1, 2]);
        }
        range.serializable = self.percent(20);
        range.keys_only = self.percent(15);
        range.count_only = self.percent(10);
        for bound in [
            &mut range.min_mod_revision,
            &mut range.max_mod_revision,
            &mut range.min_create_revision,
            &mut range.max_create_revision,
        ] {
            if self.percent(10) {
                *bound = self.bound();
            }
        }
        range
    }

    /// A put, of this key or of any.
    fn put(&mut self, key: Option<Bytes>) -> pb::PutRequest {
        let key = key.unwrap_or_else(|| self.key());
        let value = format!("v{}", self.below(5)).into();
        let prev_kv = self.percent(30);
        let mut put = pb::PutRequest { key, value, prev_kv, ..pb::PutRequest::default() };
        if self.percent(30) {
            put.lease = self.lease();
        }
        if self.percent(10) {
            put.ignore_value = true;
            if !self.slip(60) {
                put.value = Bytes::new();
            }
        }
        if self.percent(10) {
            put.ignore_lease = true;
            put.lease = if self.slip(60) { self.lease() } else { 0 };
        }
        put
    }

    fn delete(&mut self) -> pb::DeleteRangeRequest {
        let (mut key, range_end) =
            if self.percent(60) { (self.key(), Bytes::new()) } else { self.span() };
        if self.slip(15) {
            key = Bytes::new();
        }
        pb::DeleteRangeRequest { key, range_end, prev_kv: self.percent(40) }
    }

    fn compact(&mut self) -> pb::CompactionRequest {
        let Position { revision, compacted } = self.at;
        let revision = match self.below(10) {
            0 => revision + 1 + self.number(3),
            1 => compacted - 1 - self.number(3),
            2 => compacted,
            3 => 0,
            4 => revision,
            _ => compacted.max(0) + 1 + self.number((revision - compacted.max(0)) / 2),
        };
        pb::CompactionRequest { revision, physical: self.percent(30) }
    }

    /// Returns the id of a lease, which may be there or not.
    fn lease(&mut self) -> i64 {
        if self.slip(25) { NO_LEASE } else { self.one_of(&LEASES) }
    }

    fn grant(&mut self) -> pb::LeaseGrantRequest {
        let id = self.one_of(&LEASES);
        let ttl = match self.below(10) {
            0 => 0,
            1 => -1 - self.number(9),
            2 => MAX_TTL,
            3 => MAX_TTL + 1 + self.number(9),
            4 => i64::MAX,
            _ => 600 + self.number(3000),
        };
        if ttl <= 0 {
            self.short = Some(id);
        }
        pb::LeaseGrantRequest { id, ttl }
    }
}
