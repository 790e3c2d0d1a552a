//! What a watch is to deliver.

use super::options::options;
use crate::error::Error;
use crate::key_range::KeyRange;
use crate::namespace::KeyPrefix;
use crate::watch::{Event, EventKind, ResumeToken};
use bytes::Bytes;
use etcd3_proto::etcdserverpb::WatchCreateRequest;
use etcd3_proto::etcdserverpb::watch_create_request::FilterType;

/// What a watch is to deliver: changes of which keys, from which revision on, and what of them.
///
/// Made by [`watch`], to be handed to a client, or to [`Watches`](crate::watch::Watches).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WatchOptions {
    range: KeyRange,
    start: i64,
    cluster_id: u64,
    max_buffered_bytes: usize,
    /// What is before the keys of the range, and is taken off those of events.
    prefix: Option<KeyPrefix>,
    flags: Flags,
}

/// The options that are set or not, in a byte: a client may have many watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Flags(u8);

impl Flags {
    const FRAGMENT: Self = Self(1);
    const PREV_KV: Self = Self(1 << 1);
    const PROGRESS_NOTIFY: Self = Self(1 << 2);
    const WITHOUT_PUTS: Self = Self(1 << 3);
    const WITHOUT_DELETES: Self = Self(1 << 4);
    const OWN_STREAM: Self = Self(1 << 5);

    const fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    const fn set(&mut self, flag: Self, is_set: bool) {
        self.0 = if is_set { self.0 | flag.0 } else { self.0 & !flag.0 };
    }
}

/// How many bytes may wait to be taken, unless a watch says otherwise.
const MAX_BUFFERED_BYTES: usize = 8 * 1024 * 1024;

/// Makes a watch of a key, or of a range of keys.
pub fn watch(range: impl Into<KeyRange>) -> WatchOptions {
    let mut range = range.into();
    if range.start().is_empty() {
        // As servers take it.
        range = KeyRange::from_wire(vec![0], range.range_end().clone());
    }
    WatchOptions {
        range,
        start: 0,
        cluster_id: 0,
        max_buffered_bytes: MAX_BUFFERED_BYTES,
        prefix: None,
        flags: Flags::FRAGMENT,
    }
}

options! { $ WatchOptions as watch_options {
    /// Delivers every change from this revision on, that included. It may be in the past, down to
    /// the last compaction, or in the future. Without it, and with 0, the watch delivers what
    /// changes after it was begun: a linearizable read of a key of the range finds out where that
    /// is.
    // I-W5, W6
    pub fn from_revision(mut self, revision: i64) -> Self {
        self.start = revision;
        self
    }

    /// Resumes where a batch of an earlier watch of the same keys ended.
    pub fn resume(mut self, token: ResumeToken) -> Self {
        self.start = token.revision;
        self.cluster_id = token.cluster_id;
        self
    }

    /// Delivers with each event the pair as it was before.
    pub fn prev_kv(mut self) -> Self {
        self.flags.set(Flags::PREV_KV, true);
        self
    }

    /// Leaves out events of keys that are written.
    // W11
    pub fn without_puts(mut self) -> Self {
        self.flags.set(Flags::WITHOUT_PUTS, true);
        self
    }

    /// Leaves out events of keys that are deleted or expire.
    pub fn without_deletes(mut self) -> Self {
        self.flags.set(Flags::WITHOUT_DELETES, true);
        self
    }

    /// Has the server say, every ten minutes by default and as long as there are no events, up to
    /// which revision everything has been sent.
    // W22
    pub fn progress_notify(mut self) -> Self {
        self.flags.set(Flags::PROGRESS_NOTIFY, true);
        self
    }

    /// Sets whether the server may cut large responses into parts, which are put together again;
    /// true unless this is called. Otherwise a response comes in one piece, and ends the watch if
    /// it is over `Config::max_response_bytes`.
    // I-W17
    pub fn fragment(mut self, is_allowed: bool) -> Self {
        self.flags.set(Flags::FRAGMENT, is_allowed);
        self
    }

    /// Sets how many bytes of events may wait to be taken, the memory for each event included; 8
    /// MiB unless this is called. A watch that has more is cancelled at the server, and goes on
    /// from where it was as soon as half is taken: nothing is lost, unless the rest is compacted
    /// meanwhile. One batch is always taken, whatever its size.
    // I-W10
    pub fn max_buffered_bytes(mut self, limit: usize) -> Self {
        self.max_buffered_bytes = limit;
        self
    }

    /// Watches on a stream of its own. Otherwise watches share streams, and with them the time that
    /// the server takes to catch up with each.
    pub fn own_stream(mut self) -> Self {
        self.flags.set(Flags::OWN_STREAM, true);
        self
    }
} }

impl WatchOptions {
    /// Moves the watch behind a prefix, which its events are delivered without.
    ///
    /// # Errors
    ///
    /// None for a watch made by [`watch`], whose key is never empty.
    // Y1
    pub fn under(mut self, prefix: Option<&KeyPrefix>) -> Result<Self, Error> {
        let Some(prefix) = prefix else { return Ok(self) };
        self.range = prefix.around(&self.range)?;
        let inner = self.prefix.take();
        let inner = inner.as_ref().map_or_else(Bytes::new, |inner| inner.as_bytes().clone());
        self.prefix = KeyPrefix::nested(Some(prefix), inner);
        Ok(self)
    }

    /// Takes the prefix that the watch is under off the keys of an event.
    pub(crate) fn strip(&self, event: &mut Event) -> Result<(), Error> {
        let Some(prefix) = &self.prefix else { return Ok(()) };
        event.keys_mut().try_for_each(|key| prefix.strip(key))
    }

    /// Returns the keys that are watched, as the server has them.
    #[must_use]
    pub const fn range(&self) -> &KeyRange {
        &self.range
    }

    /// Returns the first revision; 0 for a watch that begins where the store is.
    #[must_use]
    pub const fn start(&self) -> i64 {
        self.start
    }

    /// Returns the cluster that the first revision is of; 0 where that is not known.
    #[must_use]
    pub const fn cluster_id(&self) -> u64 {
        self.cluster_id
    }

    /// Returns how many bytes may wait to be taken.
    #[must_use]
    pub const fn buffer_limit(&self) -> usize {
        self.max_buffered_bytes
    }

    /// Returns whether nothing else is to be watched on its stream.
    #[must_use]
    pub const fn has_own_stream(&self) -> bool {
        self.flags.has(Flags::OWN_STREAM)
    }

    /// Returns whether the pairs before each change are asked for.
    #[must_use]
    pub const fn has_prev_kv(&self) -> bool {
        self.flags.has(Flags::PREV_KV)
    }

    /// Returns whether progress is to be told now and then.
    #[must_use]
    pub const fn has_progress_notify(&self) -> bool {
        self.flags.has(Flags::PROGRESS_NOTIFY)
    }

    /// Returns whether an event is one that was asked for.
    // I-W14
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        let left_out = match event.kind {
            EventKind::Put => Flags::WITHOUT_PUTS,
            EventKind::Delete => Flags::WITHOUT_DELETES,
        };
        !self.flags.has(left_out) && self.range.contains(&event.kv.key)
    }

    /// Makes the message that creates a watcher with this id on its stream.
    #[must_use]
    pub fn create(&self, watch_id: i64, start_revision: i64) -> WatchCreateRequest {
        let filters = [
            (Flags::WITHOUT_PUTS, FilterType::Noput),
            (Flags::WITHOUT_DELETES, FilterType::Nodelete),
        ];
        let set = filters.into_iter().filter(|(flag, _)| self.flags.has(*flag));
        WatchCreateRequest {
            key: self.range.start().clone(),
            range_end: self.range.range_end().clone(),
            start_revision,
            progress_notify: self.has_progress_notify(),
            filters: set.map(|(_, filter)| filter as i32).collect(),
            prev_kv: self.has_prev_kv(),
            watch_id,
            fragment: self.flags.has(Flags::FRAGMENT),
        }
    }
}
