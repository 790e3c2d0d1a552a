//! What one member does for an operator.

use super::Cluster;
use crate::model::rpc::{Response, RpcResult, raw_auth_error};
use etcd3::Status;
use etcd3::proto::etcdserverpb as pb;
use etcd3::runtime::Instant;

/// The quota where none is set, in bytes.
const DEFAULT_QUOTA: i64 = 2 << 30;

impl Cluster {
    /// Returns the quota as `Status` tells it.
    // Case 22
    pub(super) fn told_quota(&self) -> i64 {
        let quota = self.config.quota_bytes.map(|quota| i64::try_from(quota).unwrap_or(i64::MAX));
        match self.config.personality.version {
            version if version < (3, 6, 0) => 0,
            version if version < (3, 6, 6) => quota.unwrap_or(0),
            _ => quota.unwrap_or(DEFAULT_QUOTA),
        }
    }

    /// There is no database whose unused part could be freed.
    // M23
    pub(super) fn defragment(&mut self, now: Instant, id: u64, token: Option<&str>) -> RpcResult {
        self.require_admin(now, id, token)?;
        Ok(Response::Defragment(pb::DefragmentResponse { header: None }))
    }

    /// The hash of a whole database, which differs between members.
    pub(super) fn hash(&mut self, now: Instant, id: u64, token: Option<&str>) -> RpcResult {
        self.require_admin(now, id, token)?;
        let (hash, _) = self.members[&id].replica.store().hash_kv(0, &self.config.personality)?;
        let hash = hash ^ u32::try_from(id & 0xffff).unwrap_or(1);
        Ok(Response::Hash(pb::HashResponse { header: None, hash }))
    }

    // M25
    pub(super) fn hash_kv(
        &mut self,
        now: Instant,
        id: u64,
        token: Option<&str>,
        revision: i64,
    ) -> RpcResult {
        self.require_admin(now, id, token)?;
        let personality = self.config.personality;
        let store = self.members[&id].replica.store();
        let (hash, at) = store.hash_kv(revision, &personality)?;
        let hash_revision = if personality.version >= (3, 6, 0) { at } else { 0 };
        let compact_revision = store.compacted();
        let header = None;
        Ok(Response::HashKv(pb::HashKvResponse { header, hash, compact_revision, hash_revision }))
    }

    /// Refuses whoever is not root: in the words of the auth store, before etcd 3.6.
    // A14, E5
    pub(super) fn require_admin(
        &mut self,
        now: Instant,
        id: u64,
        token: Option<&str>,
    ) -> Result<(), Status> {
        let is_raw = self.config.personality.raw_maintenance;
        let permitted = self
            .identify(now, id, token)
            .and_then(|caller| self.members[&id].replica.auth().permits_admin(caller.as_ref()));
        permitted.map_err(|status| if is_raw { raw_auth_error(status) } else { status })
    }
}
