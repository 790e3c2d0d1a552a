//! Downgrades of a cluster: what members note of them. No server of the model ever changes its
//! version, so a downgrade stays under way until it is called off.

// M26

use super::refusal::refuse;
use super::replica::Replica;
use super::rpc::Response;
use etcd3::proto::etcdserverpb as pb;
use etcd3::{ServerError, Status, Version};
use pb::downgrade_request::DowngradeAction;

impl Replica {
    /// Checks, begins or calls off a downgrade.
    pub(super) fn downgrade(&mut self, request: &pb::DowngradeRequest) -> Result<Response, Status> {
        let (major, minor, _) = self.personality().version;
        let cluster = Version::new(major, minor);
        let answer = Response::Downgrade(pb::DowngradeResponse {
            header: None,
            version: format!("{cluster}.0"),
        });
        if request.action() == DowngradeAction::Cancel {
            self.downgrade_target = None;
            return Ok(answer);
        }
        let Some(target) = Version::parse(&request.version) else {
            return Err(refuse(ServerError::WrongDowngradeVersionFormat));
        };
        if minor == 0 || target != Version::new(major, minor - 1) {
            return Err(refuse(ServerError::InvalidDowngradeTargetVersion));
        }
        if self.downgrade_target.is_some() {
            return Err(refuse(ServerError::DowngradeInProcess));
        }
        if request.action() == DowngradeAction::Enable {
            self.downgrade_target = Some(target);
        }
        Ok(answer)
    }

    /// Returns what `Status` tells of a downgrade.
    pub(super) fn downgrade_info(&self) -> pb::DowngradeInfo {
        pb::DowngradeInfo {
            enabled: self.downgrade_target.is_some(),
            target_version: self.downgrade_target.map(|it| format!("{it}.0")).unwrap_or_default(),
        }
    }
}
