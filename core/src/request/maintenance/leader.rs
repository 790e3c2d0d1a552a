//! Moving the leadership.

// M3

use crate::request::operation;
use crate::{MemberId, ResponseHeader};
use etcd3_proto::etcdserverpb as pb;
use etcd3_proto::etcdserverpb::MoveLeaderRequest;

/// A transfer of the leadership: `etcdserverpb.Maintenance/MoveLeader`.
///
/// Only the leader takes it; others answer [`NotLeader`](crate::ServerError::NotLeader). A target
/// that is no voting member is refused with
/// [`BadLeaderTransferee`](crate::ServerError::BadLeaderTransferee).
#[derive(Debug, Clone, PartialEq)]
pub struct MoveLeader {
    request: MoveLeaderRequest,
}

/// Has the leader hand over to this member.
#[must_use]
pub fn move_leader(to: impl Into<MemberId>) -> MoveLeader {
    MoveLeader { request: MoveLeaderRequest { target_id: to.into().0 } }
}

impl MoveLeader {
    /// Returns the id of the member that is to lead.
    #[must_use]
    pub const fn target(&self) -> MemberId {
        MemberId(self.request.target_id)
    }
}

/// The answer to a [`MoveLeader`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MoveLeaderResponse {
    /// Nothing, as far as is known: no server fills it in.
    pub header: ResponseHeader,
}

impl From<pb::MoveLeaderResponse> for MoveLeaderResponse {
    fn from(answer: pb::MoveLeaderResponse) -> Self {
        Self { header: answer.header.into() }
    }
}

operation!(MoveLeader: MoveLeaderRequest => MoveLeaderResponse => MoveLeaderResponse);
