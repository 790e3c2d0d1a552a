//! Hashes of what a member has, to compare members by.

// M25

use crate::ResponseHeader;
use crate::request::{check_revision, operation};
use etcd3_proto::etcdserverpb as pb;
use etcd3_proto::etcdserverpb::{HashKvRequest, HashRequest};

/// A hash of a member's whole database: `etcdserverpb.Maintenance/Hash`.
///
/// It covers what differs by right between members, too: [`HashKv`] is the one to compare them by.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Hash {
    request: HashRequest,
}

/// Asks a member for a hash of its whole database.
#[must_use]
pub fn hash() -> Hash {
    Hash::default()
}

/// The answer to a [`Hash`](struct@Hash).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct HashResponse {
    /// Which cluster and member answered, at which revision.
    pub header: ResponseHeader,
    /// The hash.
    pub hash: u32,
}

impl From<pb::HashResponse> for HashResponse {
    fn from(answer: pb::HashResponse) -> Self {
        Self { header: answer.header.into(), hash: answer.hash }
    }
}

operation!(Hash: HashRequest => HashResponse => HashResponse);

/// A hash of a member's keys, from its last compaction up to a revision:
/// `etcdserverpb.Maintenance/HashKV`.
///
/// Two members have the same data if their hashes of one revision are the same; only those with the
/// same [`compact_revision`](HashKvResponse::compact_revision) can be compared.
#[derive(Debug, Clone, PartialEq)]
pub struct HashKv {
    request: HashKvRequest,
}

/// Asks a member for a hash of its keys up to this revision; 0 is the current one of the member.
#[must_use]
pub fn hash_kv(revision: i64) -> HashKv {
    HashKv { request: HashKvRequest { revision } }
}

/// The answer to a [`HashKv`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct HashKvResponse {
    /// Which cluster and member answered, at which revision.
    pub header: ResponseHeader,
    /// The hash.
    pub hash: u32,
    /// The revision of the compaction that the hash begins at; `None` where there was none yet.
    pub compact_revision: Option<i64>,
    /// The revision that the hash ends at. Told by etcd 3.6 and later.
    pub hash_revision: Option<i64>,
}

impl From<pb::HashKvResponse> for HashKvResponse {
    fn from(answer: pb::HashKvResponse) -> Self {
        let pb::HashKvResponse { header, hash, compact_revision, hash_revision } = answer;
        let positive = |revision: i64| Some(revision).filter(|revision| *revision > 0);
        Self {
            header: header.into(),
            hash,
            compact_revision: positive(compact_revision),
            hash_revision: positive(hash_revision),
        }
    }
}

operation!(HashKv: HashKvRequest => HashKvResponse => HashKvResponse, |request| {
    check_revision("revision", request.revision)
});
