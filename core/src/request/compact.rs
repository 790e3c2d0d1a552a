//! Compacting the history.

use super::options::options;
use super::{check_revision, operation};
use crate::ResponseHeader;
use etcd3_proto::etcdserverpb::{CompactionRequest, CompactionResponse};

/// A compaction of the history: `etcdserverpb.KV/Compact`.
///
/// Drops all that is older than the revision; the revision itself stays readable. The server
/// answers `FutureRev` above its current revision, `Compacted` at or below the revision of the last
/// compaction, which is also what a compaction after one of *unknown* outcome may be told. A
/// negative revision is refused before it is sent.
// K16, K28
#[derive(Debug, Clone, PartialEq)]
pub struct Compact {
    request: CompactionRequest,
}

/// Compacts the history up to this revision.
#[must_use]
pub fn compact(revision: i64) -> Compact {
    Compact { request: CompactionRequest { revision, physical: false } }
}

options! { $ Compact as compact_options {
    /// Waits until the member that answers has removed the data from its disk.
    pub fn physical(mut self) -> Self {
        self.request.physical = true;
        self
    }
} }

/// The answer to a [`Compact`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct CompactResponse {
    /// Which cluster and member answered.
    pub header: ResponseHeader,
}

impl From<CompactionResponse> for CompactResponse {
    fn from(answer: CompactionResponse) -> Self {
        Self { header: answer.header.into() }
    }
}

operation!(Compact: CompactionRequest => CompactionResponse => CompactResponse, |request| {
    check_revision("revision", request.revision)
});
