//! Giving the unused part of a member's database back to the file system.

// M23

use crate::ResponseHeader;
use crate::request::operation;
use etcd3_proto::etcdserverpb as pb;
use etcd3_proto::etcdserverpb::DefragmentRequest;

/// A defragmentation of one member: `etcdserverpb.Maintenance/Defragment`.
///
/// The member writes its database anew, which can take minutes, and answers nothing that needs the
/// database meanwhile, reads included.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Defragment {
    request: DefragmentRequest,
}

/// Gives the unused part of a member's database back to the file system.
#[must_use]
pub fn defragment() -> Defragment {
    Defragment::default()
}

/// The answer to a [`Defragment`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct DefragmentResponse {
    /// Nothing, as far as is known: no server fills it in.
    pub header: ResponseHeader,
}

impl From<pb::DefragmentResponse> for DefragmentResponse {
    fn from(answer: pb::DefragmentResponse) -> Self {
        Self { header: answer.header.into() }
    }
}

operation!(Defragment: DefragmentRequest => DefragmentResponse => DefragmentResponse);
