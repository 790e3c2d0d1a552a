//! What was asked of a watch, and what it delivered.

use etcd3::Bytes;
use etcd3::proto::mvccpb::KeyValue;

/// What an event says of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The key was written.
    Put,
    /// The key was deleted.
    Delete,
}

/// The pair before an event, as it was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prev {
    /// The watch did not ask for it.
    NotAsked,
    /// The key was absent.
    Absent,
    /// The key was there, but the server could not read it any more.
    Unavailable,
    /// The pair.
    Pair(KeyValue),
}

/// An event, as it was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Whether the key was written or deleted.
    pub kind: Kind,
    /// The key and what it holds now; of a deletion nothing but the key and its revision.
    // W10
    pub kv: KeyValue,
    /// Whether it was said to create the key.
    pub is_create: bool,
    /// The pair before.
    pub prev: Prev,
}

/// Whole revisions, as they were delivered at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The revision of the header.
    pub header: i64,
    /// The events, in order.
    pub events: Vec<Event>,
    /// The resume token: the revision from which a watch would go on; `None` where the interface
    /// has none.
    pub next: Option<i64>,
}

/// One thing that a watch delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// Events.
    Batch(Batch),
    /// Everything up to this revision was delivered before.
    Progress(i64),
    /// The watch goes on, on another stream.
    Resumed,
}

/// Where a watch began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At this revision, inclusive.
    At(i64),
    /// Somewhere between two revisions that are known.
    Now {
        /// A revision that the store had before the watch was asked for: events up to it are not
        /// those of the watch.
        after: i64,
        /// A revision that was made once the watch was live: events from it on are those of the
        /// watch. `i64::MAX` if there is none.
        by: i64,
    },
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "the options of a watch are independent")]
pub struct Asked {
    /// The first key, as it goes over the wire.
    pub key: Bytes,
    /// The range end, as it goes over the wire: empty for one key, a zero byte for no end.
    // K1
    pub range_end: Bytes,
    /// Whether writes are left out.
    pub no_put: bool,
    /// Whether deletions are left out.
    pub no_delete: bool,
    /// Whether events have the pair before.
    pub prev_kv: bool,
    /// Whether progress was asked for, by notifications or by a request; none may be delivered
    /// otherwise.
    pub progress_notify: bool,
    /// Where it began.
    pub start: Start,
}

impl Asked {
    /// Returns a request without options.
    pub fn new(key: impl Into<Bytes>, range_end: impl Into<Bytes>, start: Start) -> Self {
        let (key, range_end) = (key.into(), range_end.into());
        let (no_put, no_delete, prev_kv, progress_notify) = (false, false, false, false);
        Self { key, range_end, no_put, no_delete, prev_kv, progress_notify, start }
    }

    /// Returns whether a key lies in the range.
    // K1. Not by the client's own rule, which is under test.
    #[must_use]
    pub fn covers(&self, key: &[u8]) -> bool {
        match &self.range_end[..] {
            [] => key == self.key,
            [0] => key >= &self.key[..],
            end => key >= &self.key[..] && key < end,
        }
    }

    /// Returns whether the filters let events of a kind pass.
    #[must_use]
    pub fn admits(&self, kind: Kind) -> bool {
        match kind {
            Kind::Put => !self.no_put,
            Kind::Delete => !self.no_delete,
        }
    }
}

/// How a watch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was open when the record was taken.
    Open,
    /// The user cancelled it.
    Cancelled,
    /// It failed, for another reason than a compaction.
    Failed,
    /// What it was to deliver next was compacted.
    Compacted {
        /// The revision that it needed next.
        requested: i64,
        /// The revision up to which history was gone.
        compacted: i64,
    },
}

/// One watch, as its user saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// A name for messages.
    pub name: String,
    /// What was asked for.
    pub asked: Asked,
    /// What was delivered, in order.
    pub deliveries: Vec<Delivery>,
    /// How it ended.
    pub end: End,
}
