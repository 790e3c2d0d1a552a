//! What the contenders of a world saw, in the order in which they saw it.

use etcd3::runtime::Instant;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What there is to contend for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Mutex,
    Election,
    Write,
    Read,
    Permit,
}

/// How many hold a permit at once.
pub(crate) const PERMITS: u32 = 2;

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Mutex, Self::Election, Self::Write, Self::Read, Self::Permit];

    /// The name under which the keys of the contenders are.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mutex => "held/mutex",
            Self::Election => "held/election",
            Self::Write | Self::Read => "held/shared",
            Self::Permit => "held/permits",
        }
    }

    /// The key that holders write.
    pub(crate) const fn fenced(self) -> &'static str {
        match self {
            Self::Mutex => "fenced/mutex",
            Self::Election => "fenced/election",
            Self::Write => "fenced/write",
            Self::Read => "fenced/read",
            Self::Permit => "fenced/permit",
        }
    }

    /// Tells whether a holder excludes all others of its kind.
    pub(crate) const fn is_exclusive(self) -> bool {
        matches!(self, Self::Mutex | Self::Election | Self::Write)
    }
}

/// One time that a contender held something.
#[derive(Debug, Clone)]
pub(crate) struct Hold {
    pub(crate) kind: Kind,
    pub(crate) key: String,
    pub(crate) create_revision: i64,
    /// The revision at which it was found to hold; 0 where that is not told.
    pub(crate) revision: i64,
    pub(crate) from: Instant,
    /// When it gave it up, or was told that it is lost; `None` until then.
    pub(crate) until: Option<Instant>,
    /// Since when its fence does not hold, if that was not told in time.
    pub(crate) untold: Option<Instant>,
}

/// Counts, of a world or of many.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    pub(crate) acquisitions: u64,
    pub(crate) losses: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    /// Fenced writes that were tried after the loss, or after it was given up.
    pub(crate) late: u64,
    pub(crate) items: u64,
    pub(crate) unknown: u64,
    pub(crate) key_deleted: u64,
    pub(crate) given_up: u64,
}

impl Counters {
    pub(crate) const fn add(&mut self, other: &Self) {
        self.acquisitions += other.acquisitions;
        self.losses += other.losses;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.late += other.late;
        self.items += other.items;
        self.unknown += other.unknown;
        self.key_deleted += other.key_deleted;
        self.given_up += other.given_up;
    }

    /// Returns what must have happened sometimes in a batch, or the batch proves little.
    pub(crate) fn sometimes(&self) -> [(&'static str, u64); 7] {
        [
            ("a holder lost what it held", self.losses),
            ("a fenced write was refused", self.refused),
            ("a past holder tried to write", self.late),
            ("an item was taken", self.items),
            ("an outcome was unknown", self.unknown),
            ("a contender was told that its key was deleted", self.key_deleted),
            ("a contender gave up waiting", self.given_up),
        ]
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acquisitions, losses, accepted, refused, late, items, unknown, .. } = self;
        write!(
            f,
            "{acquisitions} acquisitions, {losses} losses, {accepted} fenced writes accepted and \
             {refused} refused ({late} tried by past holders), {items} items, {unknown} unknown"
        )
    }
}

/// What became of an item.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Item {
    /// Whether it was said to be in the queue.
    pub(crate) is_enqueued: bool,
    /// How many were told that they have it.
    pub(crate) taken: u32,
    /// How many were told that nobody knows whether they have it.
    pub(crate) unknown: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) holds: Vec<Hold>,
    pub(crate) items: BTreeMap<String, Item>,
    pub(crate) counters: Counters,
    pub(crate) problems: Vec<String>,
}

/// What all contenders write to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Seen>>);

impl Log {
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn acquired(&self, hold: Hold) -> usize {
        let mut seen = self.seen();
        seen.counters.acquisitions += 1;
        seen.holds.push(hold);
        seen.holds.len() - 1
    }

    /// Notes that a hold is over, if it is not yet.
    pub(crate) fn over(&self, hold: usize, now: Instant) {
        self.seen().holds[hold].until.get_or_insert(now);
    }

    pub(crate) fn item(&self, value: &str, change: impl FnOnce(&mut Item)) {
        change(self.seen().items.entry(value.to_owned()).or_default());
    }
}
