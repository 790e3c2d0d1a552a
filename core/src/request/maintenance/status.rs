//! The status of one member.

// M24

use super::unsigned;
use crate::request::operation;
use crate::{MemberId, ResponseHeader, Version};
use etcd3_proto::etcdserverpb as pb;
use etcd3_proto::etcdserverpb::StatusRequest;

/// A look at one member: `etcdserverpb.Maintenance/Status`.
///
/// Answered by the member alone, without a leader and without a quorum, and by learners as well.
/// With authentication, some versions let nobody but root ask: 3.5.28 to 3.5.31, and 3.6.9 to
/// 3.6.11.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Status {
    request: StatusRequest,
}

/// Asks a member how it does.
#[must_use]
pub fn status() -> Status {
    Status::default()
}

/// The answer to a [`Status`]: how one member does, as far as it says.
///
/// What a server does not tell is `None`, not zero.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct MemberStatus {
    /// Which cluster and member answered.
    pub header: ResponseHeader,
    /// The version of the server, patch included, as it tells it: `3.5.16`.
    pub version: String,
    /// The size of the database file, in bytes.
    pub db_size: u64,
    /// The part of it that is in use, in bytes; the rest can be freed by a defragmentation.
    pub db_size_in_use: Option<u64>,
    /// The size that the database may have, in bytes, before the member raises an alarm. Told by
    /// etcd 3.6 and later, where the quota is the default one by 3.6.6 and later.
    pub quota: Option<u64>,
    /// The id of the member that this one takes for the leader, if it knows one.
    pub leader: Option<MemberId>,
    /// The index of the last entry of the raft log that this member knows to be committed.
    pub raft_index: u64,
    /// The term of the last election that it knows of.
    pub raft_term: u64,
    /// The index of the last entry that it has applied.
    pub raft_applied_index: Option<u64>,
    /// What the member complains of, in words: alarms, or that it has no leader.
    pub errors: Vec<String>,
    /// Whether it is a learner.
    pub is_learner: bool,
    /// The version of the format of its database. Told by etcd 3.6 and later.
    pub storage_version: Option<Version>,
    /// What it knows of a downgrade of the cluster. Told by etcd 3.6 and later.
    pub downgrade: Option<DowngradeInfo>,
}

/// What a member knows of a downgrade of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DowngradeInfo {
    /// Whether one is under way. One that is finished looks like one that never was: compare
    /// versions.
    pub is_enabled: bool,
    /// The version that the cluster goes to, while one is under way.
    pub target: Option<Version>,
}

impl MemberStatus {
    /// Returns the id of the member.
    #[must_use]
    pub const fn member_id(&self) -> MemberId {
        MemberId(self.header.member_id)
    }

    /// Returns whether the member takes itself for the leader. One that was cut off from the others
    /// may do so for a moment after there is another one, with a higher
    /// [`raft_term`](Self::raft_term).
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.leader == Some(self.member_id())
    }

    /// Returns the version without its patch, for comparisons; `None` where it cannot be read.
    #[must_use]
    pub fn minor_version(&self) -> Option<Version> {
        Version::parse(&self.version)
    }

    /// Returns how full the database is: 1.0 is the quota. `None` where the quota is unknown; the
    /// default of servers is 2 GiB, but an unknown one need not be that.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a ratio, and sizes are far below 2^52")]
    pub fn fill_level(&self) -> Option<f64> {
        self.quota.filter(|quota| *quota > 0).map(|quota| self.db_size as f64 / quota as f64)
    }
}

impl From<pb::StatusResponse> for MemberStatus {
    fn from(answer: pb::StatusResponse) -> Self {
        let positive = |number| Some(unsigned(number)).filter(|number| *number > 0);
        Self {
            header: answer.header.into(),
            version: answer.version,
            db_size: unsigned(answer.db_size),
            db_size_in_use: positive(answer.db_size_in_use),
            quota: positive(answer.db_size_quota),
            leader: Some(answer.leader).filter(|leader| *leader != 0).map(MemberId),
            raft_index: answer.raft_index,
            raft_term: answer.raft_term,
            raft_applied_index: Some(answer.raft_applied_index).filter(|index| *index != 0),
            errors: answer.errors,
            is_learner: answer.is_learner,
            storage_version: Version::parse(&answer.storage_version),
            downgrade: answer.downgrade_info.map(DowngradeInfo::from),
        }
    }
}

impl From<pb::DowngradeInfo> for DowngradeInfo {
    fn from(info: pb::DowngradeInfo) -> Self {
        Self { is_enabled: info.enabled, target: Version::parse(&info.target_version) }
    }
}

operation!(Status: StatusRequest => StatusResponse => MemberStatus);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::Effect;
    use crate::request::Operation;
    use prost::Message;

    fn decoded(answer: &pb::StatusResponse) -> MemberStatus {
        status().decode(answer.encode_to_vec().into(), None).unwrap()
    }

    // Case 22
    #[test]
    fn what_a_server_does_not_tell_is_unknown_and_not_zero() {
        assert_eq!(decoded(&pb::StatusResponse::default()), MemberStatus::default());
        for quota in [0, -1, i64::MIN] {
            let answer = pb::StatusResponse {
                db_size: 20_480,
                db_size_quota: quota,
                ..pb::StatusResponse::default()
            };
            assert_eq!((decoded(&answer).quota, decoded(&answer).fill_level()), (None, None));
        }
        let zero = MemberStatus { quota: Some(0), ..MemberStatus::default() };
        assert_eq!(zero.fill_level(), None, "no division by zero");
        assert_eq!(status().rpc().effect, Effect::Read);
    }

    #[test]
    fn what_a_server_tells_is_read() {
        let header = pb::ResponseHeader { member_id: 7, ..pb::ResponseHeader::default() };
        let told = decoded(&pb::StatusResponse {
            header: Some(header),
            version: "3.6.12".into(),
            db_size: 1 << 30,
            leader: 7,
            raft_index: 10,
            raft_term: 3,
            raft_applied_index: 9,
            errors: vec!["etcdserver: no leader".into()],
            db_size_in_use: 1 << 29,
            is_learner: true,
            storage_version: "3.6.0".into(),
            db_size_quota: 2 << 30,
            downgrade_info: Some(pb::DowngradeInfo {
                enabled: true,
                target_version: "3.5.0".into(),
            }),
        });
        assert_eq!(
            (told.member_id(), told.leader, told.is_leader()),
            (MemberId(7), Some(MemberId(7)), true)
        );
        assert_eq!(told.minor_version(), Some(Version::new(3, 6)));
        assert_eq!((told.db_size, told.db_size_in_use), (1 << 30, Some(1 << 29)));
        assert_eq!((told.quota, told.fill_level()), (Some(2 << 30), Some(0.5)));
        assert_eq!((told.raft_index, told.raft_applied_index), (10, Some(9)));
        assert_eq!((told.raft_term, told.is_learner), (3, true));
        assert_eq!(told.errors, ["etcdserver: no leader"]);
        assert_eq!(told.storage_version, Some(Version::new(3, 6)));
        let target = Some(Version::new(3, 5));
        assert_eq!(told.downgrade, Some(DowngradeInfo { is_enabled: true, target }));
    }

    #[test]
    fn a_member_is_no_leader_because_another_one_is_or_none() {
        let of = |member_id, leader| {
            let header = Some(pb::ResponseHeader { member_id, ..Default::default() });
            decoded(&pb::StatusResponse { header, leader, ..Default::default() }).is_leader()
        };
        assert!(of(7, 7) && !of(7, 8) && !of(7, 0) && !of(0, 0));
    }
}
