//! Downgrades of a cluster to the minor version before its own.

// M26

use crate::request::operation;
use crate::{ResponseHeader, Version};
use etcd3_proto::etcdserverpb as pb;
use etcd3_proto::etcdserverpb::DowngradeRequest;
use pb::downgrade_request::DowngradeAction;

/// A check, a beginning or an end of a downgrade: `etcdserverpb.Maintenance/Downgrade`, from
/// etcd 3.5 on; servers do as it says from 3.6 on.
///
/// The version must be the minor version before that of the cluster: others are refused with
/// [`InvalidDowngradeTargetVersion`](crate::ServerError::InvalidDowngradeTargetVersion).
#[derive(Debug, Clone, PartialEq)]
pub struct Downgrade {
    request: DowngradeRequest,
}

/// Asks whether the cluster could go down to this version.
pub fn validate_downgrade(to: impl Into<Version>) -> Downgrade {
    make(DowngradeAction::Validate, Some(to.into()))
}

/// Has the cluster go down to this version: its members take part once they run it.
pub fn enable_downgrade(to: impl Into<Version>) -> Downgrade {
    make(DowngradeAction::Enable, Some(to.into()))
}

/// Calls off the downgrade that is under way; without one, nothing happens.
#[must_use]
pub fn cancel_downgrade() -> Downgrade {
    make(DowngradeAction::Cancel, None)
}

fn make(action: DowngradeAction, to: Option<Version>) -> Downgrade {
    let version = to.map(|to| format!("{to}.0")).unwrap_or_default();
    Downgrade { request: DowngradeRequest { action: action.into(), version } }
}

impl Downgrade {
    /// Returns the version that the cluster is to go to; `None` to call it off.
    #[must_use]
    pub fn target(&self) -> Option<Version> {
        Version::parse(&self.request.version)
    }
}

/// The answer to a [`Downgrade`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DowngradeResponse {
    /// Which cluster and member answered.
    pub header: ResponseHeader,
    /// The version of the cluster at present: the lowest of its members, or less.
    pub cluster_version: Option<Version>,
}

impl From<pb::DowngradeResponse> for DowngradeResponse {
    fn from(answer: pb::DowngradeResponse) -> Self {
        let cluster_version = Version::parse(&answer.version);
        Self { header: answer.header.into(), cluster_version }
    }
}

operation!(Downgrade: DowngradeRequest => DowngradeResponse => DowngradeResponse);
