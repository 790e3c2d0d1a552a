//! Locks of the server.

use crate::request::operation;
use crate::{IntoBytes, LeaseId, ResponseHeader};
use bytes::Bytes;
use etcd3_proto::v3lockpb as pb;
use etcd3_proto::v3lockpb::{LockRequest, UnlockRequest};

/// A wait for a lock: `v3lockpb.Lock/Lock`.
#[derive(Debug, Clone, PartialEq)]
pub struct Lock {
    request: LockRequest,
}

/// Waits for the lock of this name, and holds it as long as the lease lives.
pub fn lock(name: impl IntoBytes, lease: impl Into<LeaseId>) -> Lock {
    Lock { request: LockRequest { name: name.into_bytes(), lease: lease.into().0 } }
}

/// The answer to a [`Lock`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LockResponse {
    /// Which cluster and member answered, at which revision.
    pub header: ResponseHeader,
    /// The key that stands for the lock as long as it is held, and by which it is unlocked.
    pub key: Bytes,
}

impl From<pb::LockResponse> for LockResponse {
    fn from(answer: pb::LockResponse) -> Self {
        Self { header: answer.header.into(), key: answer.key }
    }
}

operation!(Lock: v3lockpb::LockRequest => LockResponse => LockResponse);

/// The end of a lock: `v3lockpb.Lock/Unlock`.
#[derive(Debug, Clone, PartialEq)]
pub struct Unlock {
    request: UnlockRequest,
}

/// Releases a lock by its key. One that is not held any more is no error.
pub fn unlock(key: impl IntoBytes) -> Unlock {
    Unlock { request: UnlockRequest { key: key.into_bytes() } }
}

/// The answer to an [`Unlock`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct UnlockResponse {
    /// Which cluster and member answered, at which revision.
    pub header: ResponseHeader,
}

impl From<pb::UnlockResponse> for UnlockResponse {
    fn from(answer: pb::UnlockResponse) -> Self {
        Self { header: answer.header.into() }
    }
}

operation!(Unlock: v3lockpb::UnlockRequest => UnlockResponse => UnlockResponse);
