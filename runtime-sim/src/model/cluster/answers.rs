//! Answers that need no entry in the log.

use super::Cluster;
use crate::model::auth::Access;
use crate::model::refusal::{refuse, unknown};
use crate::model::rpc::{Request, Response, RpcResult};
use etcd3::proto::etcdserverpb as pb;
use etcd3::proto::etcdserverpb::ResponseHeader;
use etcd3::runtime::Instant;
use etcd3::{Code, ServerError, Status};

impl Cluster {
    /// Returns the header of a member's answers, at the revision of its store.
    // K50
    pub(super) fn header(&self, id: u64) -> ResponseHeader {
        let member = &self.members[&id];
        ResponseHeader {
            cluster_id: self.id,
            member_id: id,
            revision: member.replica.store().revision(),
            raft_term: member.term,
        }
    }

    /// Fills in what a header lacks. A few answers have none, or one without a revision.
    pub(super) fn fill_header(&self, id: u64, response: &mut Response) {
        // M16
        let has_no_revision = matches!(
            response,
            Response::MemberList(_)
                | Response::MemberAdd(_)
                | Response::MemberRemove(_)
                | Response::MemberUpdate(_)
                | Response::MemberPromote(_)
        );
        let is_bare = match response {
            Response::MoveLeader(_) | Response::Defragment(_) => true,
            Response::Alarm(_) => self.config.personality.raw_alarms,
            _ => false,
        };
        if is_bare {
            *response.header_mut() = None;
            return;
        }
        let full = self.header(id);
        let header = response.header_mut().get_or_insert_default();
        let revision = match header.revision {
            0 if has_no_revision => 0,
            0 => full.revision,
            revision => revision,
        };
        *header = ResponseHeader { revision, ..full };
    }

    /// Answers from what the member has.
    pub(super) fn answer_local(
        &mut self,
        now: Instant,
        id: u64,
        token: Option<&str>,
        request: &Request,
    ) -> RpcResult {
        match request {
            Request::MemberList(_) => self.member_list(now, id, token),
            Request::Status(_) => self.status(now, id, token),
            Request::LeaseLeases(_) => self.leases(now, id, token),
            Request::Defragment(_) => self.defragment(now, id, token),
            Request::Hash(_) => self.hash(now, id, token),
            Request::HashKv(request) => self.hash_kv(now, id, token, request.revision),
            Request::MoveLeader(request) => self.move_leader(now, id, token, request.target_id),
            request => {
                let caller = self.identify(now, id, token)?;
                let member = self.members.get_mut(&id);
                let answer = member.and_then(|m| m.replica.read(caller.as_ref(), request));
                answer.unwrap_or_else(|| Err(Status::new(Code::Internal, "model: not a read")))
            }
        }
    }

    fn member_list(&mut self, now: Instant, id: u64, token: Option<&str>) -> RpcResult {
        if self.config.personality.guards_everything {
            let caller = self.identify(now, id, token)?;
            self.members[&id].replica.auth().requires_user(caller.as_ref())?;
        }
        let members = self.listed();
        Ok(Response::MemberList(pb::MemberListResponse { header: None, members }))
    }

    fn status(&mut self, now: Instant, id: u64, token: Option<&str>) -> RpcResult {
        let personality = self.config.personality;
        if personality.guards_everything {
            let caller = self.identify(now, id, token)?;
            let auth = self.members[&id].replica.auth();
            auth.requires_user(caller.as_ref())?;
            if personality.status_needs_root {
                auth.permits_admin(caller.as_ref())?;
            }
        }
        let member = &self.members[&id];
        let leader = self.leader_seen_by(now, id);
        let size = i64::try_from(member.replica.store().size()).unwrap_or(i64::MAX);
        let mut errors = Vec::new();
        if leader.is_none() {
            errors.push(ServerError::NoLeader.text().to_owned());
        }
        let is_modern = personality.version >= (3, 4, 0);
        let (major, minor, _) = personality.version;
        let knows_storage = personality.version >= (3, 6, 0);
        errors.extend(member.replica.alarms().map(|alarm| {
            let kind = alarm.alarm().as_str_name();
            format!("memberID:{} alarm:{kind} ", alarm.member_id)
        }));
        Ok(Response::Status(pb::StatusResponse {
            header: None,
            version: personality.version_text(),
            // Databases begin with a few pages.
            db_size: 20_480 + size,
            db_size_in_use: if is_modern { 20_480 + size } else { 0 },
            leader: leader.unwrap_or(0),
            raft_index: self.index(member.known) - 1,
            raft_applied_index: self.index(member.applied) - 1,
            raft_term: member.term,
            errors,
            is_learner: member.config.is_learner,
            storage_version: if knows_storage {
                format!("{major}.{minor}.0")
            } else {
                String::new()
            },
            db_size_quota: self.told_quota(),
            downgrade_info: knows_storage.then(|| member.replica.downgrade_info()),
        }))
    }

    fn leases(&mut self, now: Instant, id: u64, token: Option<&str>) -> RpcResult {
        if self.config.personality.guards_everything {
            let caller = self.identify(now, id, token)?;
            let replica = &self.members[&id].replica;
            let (auth, store) = (replica.auth(), replica.store());
            auth.requires_user(caller.as_ref())?;
            if auth.permits_admin(caller.as_ref()).is_err() {
                store.leases().ids().try_for_each(|lease| {
                    auth.permits_lease(caller.as_ref(), Access::Read, store, lease)
                })?;
            }
        }
        let ids = self.members[&id].replica.store().leases().ids();
        let leases = ids.map(|id| pb::LeaseStatus { id }).collect();
        Ok(Response::LeaseLeases(pb::LeaseLeasesResponse { header: None, leases }))
    }

    fn move_leader(
        &mut self,
        now: Instant,
        id: u64,
        token: Option<&str>,
        target: u64,
    ) -> RpcResult {
        if self.config.personality.guards_everything {
            let caller = self.identify(now, id, token)?;
            self.members[&id].replica.auth().permits_admin(caller.as_ref())?;
        }
        if self.leader_seen_by(now, id) != Some(id) {
            return Err(refuse(ServerError::NotLeader));
        }
        if !self.members.get(&target).is_some_and(super::Member::votes) {
            return Err(refuse(ServerError::BadLeaderTransferee));
        }
        if target != id && !self.transfer(now, target) {
            let text = "etcdserver: request timed out, leader transfer took too long";
            return Err(unknown(text));
        }
        Ok(Response::MoveLeader(pb::MoveLeaderResponse { header: None }))
    }

    /// Whether a caller may renew a lease, or look at its keys.
    // L7
    pub(super) fn check_lease_call(
        &mut self,
        now: Instant,
        id: u64,
        token: Option<&str>,
        request: &Request,
    ) -> Result<(), Status> {
        let personality = self.config.personality;
        let (lease, access) = match request {
            Request::LeaseTimeToLive(request) if request.keys && personality.guards_lease_keys => {
                (request.id, Some(Access::Read))
            }
            Request::LeaseTimeToLive(request) => (request.id, None),
            Request::LeaseKeepAlive(request) => (request.id, Some(Access::Write)),
            _ => return Ok(()),
        };
        let is_free = !personality.guards_everything && access != Some(Access::Read);
        if is_free || !self.members[&id].replica.auth().is_enabled() {
            return Ok(());
        }
        let caller = self.identify(now, id, token)?;
        let replica = &self.members[&id].replica;
        let auth = replica.auth();
        auth.requires_user(caller.as_ref())?;
        match access {
            Some(access) if auth.permits_admin(caller.as_ref()).is_err() => {
                auth.permits_lease(caller.as_ref(), access, replica.store(), lease)
            }
            _ => Ok(()),
        }
    }

    /// Tells whether the leader can be asked about a lease, and will answer at once.
    pub(super) fn can_ask(&self, id: u64, request: &Request) -> bool {
        let Some(leader) = self.leader else { return false };
        let (leader, member) = (&self.members[&leader], &self.members[&id]);
        // A renewal of a lease that has run out waits until it is gone.
        let waits = matches!(request, Request::LeaseKeepAlive(r) if self.expiring.contains(&r.id));
        leader.reaches(member) && leader.applied == leader.known && !waits
    }

    /// Returns the leader's answer about a lease; `None` when it does not answer yet.
    pub(super) fn ask_leader(
        &mut self,
        now: Instant,
        id: u64,
        request: &Request,
        revision: i64,
    ) -> Option<RpcResult> {
        if !self.can_ask(id, request) {
            return None;
        }
        let leader = self.leader?;
        let leases = &mut self.members.get_mut(&leader)?.replica.store_mut().leases;
        match request {
            Request::LeaseKeepAlive(request) => {
                let is_over = leases.find(request.id).is_some_and(|lease| lease.is_expired(now));
                if is_over {
                    return None;
                }
                let ttl = leases.renew(now, request.id).unwrap_or(0);
                let header = Some(ResponseHeader { revision, ..ResponseHeader::default() });
                let response = pb::LeaseKeepAliveResponse { header, id: request.id, ttl };
                Some(Ok(Response::LeaseKeepAlive(response)))
            }
            Request::LeaseTimeToLive(request) => {
                let mut response =
                    pb::LeaseTimeToLiveResponse { id: request.id, ttl: -1, ..Default::default() };
                if let Some(lease) = leases.find(request.id) {
                    response.ttl = lease.remaining(now);
                    response.granted_ttl = lease.ttl();
                    if request.keys {
                        response.keys = lease.keys().cloned().collect();
                    }
                }
                Some(Ok(Response::LeaseTimeToLive(response)))
            }
            _ => None,
        }
    }
}
