//! Reading keys.

use super::options::options;
use super::{check_revision, operation};
use crate::error::Error;
use crate::{KeyRange, KeyValue, ResponseHeader};
use bytes::Bytes;
use etcd3_proto::etcdserverpb::{RangeRequest, RangeResponse, range_request};

/// What a sorted answer is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum SortTarget {
    /// The key, in byte order.
    #[default]
    Key,
    /// The number of changes since the key was created.
    Version,
    /// The revision that created the key.
    Create,
    /// The revision that last changed the key.
    Mod,
    /// The value, in byte order.
    Value,
}

/// Which way an answer is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum SortOrder {
    /// As the server has it: by key, or ascending when another target is named.
    #[default]
    None,
    /// Lowest first.
    Ascend,
    /// Highest first.
    Descend,
}

/// A read of one key or a range of keys: `etcdserverpb.KV/Range`.
///
/// Linearizable unless [`serializable`](Self::serializable): it sees every write that was
/// acknowledged before it began.
// K15
#[derive(Debug, Clone, PartialEq)]
pub struct Get {
    pub(super) request: RangeRequest,
    pub(super) is_ordered: bool,
}

/// Reads one key, or all keys of a range.
pub fn get(range: impl Into<KeyRange>) -> Get {
    let (key, range_end) = range.into().into_parts();
    let request = RangeRequest { key, range_end, ..RangeRequest::default() };
    Get { request, is_ordered: false }
}

options! { $ Get as get_options {
    /// Reads at this revision instead of the current one; 0 is the current one.
    ///
    /// The server answers `FutureRev` above its current revision, `Compacted` below the revision
    /// of the last compaction. A [`serializable`](Self::serializable) read whose member lacks a
    /// revision that this client has seen, in the header of any answer, is made again elsewhere,
    /// and ends in [`StaleRead`](crate::ErrorKind::StaleRead) when no member has come that far in
    /// time; what has not been seen may be yet to come, and is refused at once. A negative revision
    /// is refused before it is sent, and so is a [`Txn`](super::Txn) that also writes, in most
    /// cases: see there.
    // K16, I-R8, R-08
    pub fn revision(mut self, revision: i64) -> Self {
        self.request.revision = revision;
        self
    }

    /// Returns at most this many keys; 0 is no limit. `count` still tells of all of them.
    pub fn limit(mut self, limit: u64) -> Self {
        self.request.limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self
    }

    /// Sorts the answer.
    ///
    /// Any other sort than by ascending key makes the server read the whole range before it applies
    /// the limit. Ascending keys are what it returns anyway and are asked for as no sort.
    // K12
    pub fn sort(mut self, target: SortTarget, order: SortOrder) -> Self {
        set_sort(&mut self.request, target, order);
        self
    }

    /// Lets the member answer from its own data, without asking the cluster: cheaper, works without
    /// a quorum, and may be stale.
    // K15
    pub fn serializable(mut self) -> Self {
        self.request.serializable = true;
        self
    }

    /// Has a [`serializable`](Self::serializable) read show at least what the client had seen of
    /// the store before: its own writes and all that it read, whichever members answered. An answer
    /// of a member that is behind is not returned: the read is made again elsewhere, and ends in
    /// [`StaleRead`](crate::ErrorKind::StaleRead) when no other answer comes in time. Other reads
    /// are that way always.
    // I-R8, Y2
    pub fn not_older(mut self) -> Self {
        self.is_ordered = true;
        self
    }

    /// Leaves the values out; servers from 3.7 on leave the leases out, too, unless the keys are
    /// sorted by value.
    pub fn keys_only(mut self) -> Self {
        self.request.keys_only = true;
        self
    }

    /// Returns only the number of keys; takes precedence over [`keys_only`](Self::keys_only).
    pub fn count_only(mut self) -> Self {
        self.request.count_only = true;
        self
    }

    /// Leaves out keys last changed before this revision; 0 for no bound. A negative one is refused
    /// before it is sent. `count` does not change.
    // K18
    pub fn min_mod_revision(mut self, revision: i64) -> Self {
        self.request.min_mod_revision = revision;
        self
    }

    /// Leaves out keys last changed after this revision; 0 for no bound. A negative one is refused
    /// before it is sent. `count` does not change.
    // K18
    pub fn max_mod_revision(mut self, revision: i64) -> Self {
        self.request.max_mod_revision = revision;
        self
    }

    /// Leaves out keys created before this revision; 0 for no bound. A negative one is refused
    /// before it is sent. `count` does not change.
    // K18
    pub fn min_create_revision(mut self, revision: i64) -> Self {
        self.request.min_create_revision = revision;
        self
    }

    /// Leaves out keys created after this revision; 0 for no bound. A negative one is refused
    /// before it is sent. `count` does not change.
    // K18
    pub fn max_create_revision(mut self, revision: i64) -> Self {
        self.request.max_create_revision = revision;
        self
    }

    /// Returns only the key of the range that was created first.
    // K14
    pub fn first_create(self) -> Self {
        self.sort(SortTarget::Create, SortOrder::Ascend).limit(1)
    }

    /// Returns only the key of the range that was created last.
    pub fn last_create(self) -> Self {
        self.sort(SortTarget::Create, SortOrder::Descend).limit(1)
    }

    /// Returns only the lowest key of the range.
    pub fn first_key(self) -> Self {
        self.sort(SortTarget::Key, SortOrder::Ascend).limit(1)
    }

    /// Returns only the highest key of the range.
    pub fn last_key(self) -> Self {
        self.sort(SortTarget::Key, SortOrder::Descend).limit(1)
    }

    /// Returns only the key of the range that was changed longest ago.
    pub fn first_revision(self) -> Self {
        self.sort(SortTarget::Mod, SortOrder::Ascend).limit(1)
    }

    /// Returns only the key of the range that was changed last.
    pub fn last_revision(self) -> Self {
        self.sort(SortTarget::Mod, SortOrder::Descend).limit(1)
    }
} }

impl Get {
    const fn is_ordered(&self) -> bool {
        self.is_ordered
    }
}

fn set_sort(request: &mut RangeRequest, target: SortTarget, order: SortOrder) {
    let order = match (target, order) {
        (SortTarget::Key, SortOrder::Ascend) => SortOrder::None,
        (_, order) => order,
    };
    request.set_sort_target(match target {
        SortTarget::Key => range_request::SortTarget::Key,
        SortTarget::Version => range_request::SortTarget::Version,
        SortTarget::Create => range_request::SortTarget::Create,
        SortTarget::Mod => range_request::SortTarget::Mod,
        SortTarget::Value => range_request::SortTarget::Value,
    });
    request.set_sort_order(match order {
        SortOrder::None => range_request::SortOrder::None,
        SortOrder::Ascend => range_request::SortOrder::Ascend,
        SortOrder::Descend => range_request::SortOrder::Descend,
    });
}

/// The answer to a [`Get`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct GetResponse {
    /// Which cluster and member answered, at which revision of the store: the current one, whatever
    /// revision was asked for.
    // K17
    pub header: ResponseHeader,
    /// The keys found.
    pub kvs: Vec<KeyValue>,
    /// Whether a limit cut the answer short.
    pub more: bool,
    /// How many keys the range holds at that revision, whatever the limit and the revision filters
    /// left out.
    // K18
    pub count: u64,
}

impl GetResponse {
    /// Returns the first key found.
    #[must_use]
    pub fn first(&self) -> Option<&KeyValue> {
        self.kvs.first()
    }

    /// Turns into the first key found.
    #[must_use]
    pub fn into_first(self) -> Option<KeyValue> {
        self.kvs.into_iter().next()
    }

    /// Returns the value of the first key found, the only one of a read of one key.
    #[must_use]
    pub fn value(&self) -> Option<&Bytes> {
        self.first().map(|pair| &pair.value)
    }

    /// Returns the value of the first key found as text; `None` when there is none, or it is not
    /// UTF-8.
    #[must_use]
    pub fn value_str(&self) -> Option<&str> {
        self.first().and_then(|pair| pair.value_str().ok())
    }
}

impl From<RangeResponse> for GetResponse {
    fn from(answer: RangeResponse) -> Self {
        let RangeResponse { header, kvs, more, count } = answer;
        let kvs = kvs.into_iter().map(KeyValue::from).collect();
        Self { header: header.into(), kvs, more, count: count.try_into().unwrap_or(0) }
    }
}

/// Refuses negative revisions.
pub(super) fn check_revisions(range: &RangeRequest) -> Result<(), Error> {
    [
        ("revision", range.revision),
        ("min_mod_revision", range.min_mod_revision),
        ("max_mod_revision", range.max_mod_revision),
        ("min_create_revision", range.min_create_revision),
        ("max_create_revision", range.max_create_revision),
    ]
    .into_iter()
    .try_for_each(|(name, revision)| check_revision(name, revision))
}

operation!(Get: RangeRequest => RangeResponse => GetResponse, check_revisions; ordered);
