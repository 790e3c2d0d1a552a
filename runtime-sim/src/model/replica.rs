//! One member's state, and what an entry of the log does to it.

use super::auth::{Access, Auth, Caller};
use super::check::{self, Rules};
use super::personality::Personality;
use super::range::{header, range};
use super::refusal::refuse;
use super::rpc::{Request, Response};
use super::store::Store;
use super::txn::is_read_only;
use etcd3::proto::etcdserverpb as pb;
use etcd3::proto::etcdserverpb::request_op::Request as Op;
use etcd3::runtime::Instant;
use etcd3::{Code, ServerError, Status, Version};
use pb::alarm_request::AlarmAction;
use std::collections::BTreeSet;
use std::time::Duration;

/// Store, users and alarms of one member. All members that applied the same entries are the same,
/// but for tokens and the clocks of leases.
#[derive(Debug, Clone)]
pub struct Replica {
    personality: Personality,
    store: Store,
    auth: Auth,
    alarms: BTreeSet<(i32, u64)>,
    quota: Option<u64>,
    /// Where a downgrade that is under way goes to.
    pub(super) downgrade_target: Option<Version>,
}

type Result<T> = std::result::Result<T, Status>;

impl Replica {
    /// Makes the state of a member that has applied nothing. `quota` limits the size of the store,
    /// in bytes.
    #[must_use]
    pub fn new(
        personality: Personality,
        min_ttl: i64,
        token_ttl: Duration,
        quota: Option<u64>,
    ) -> Self {
        Self {
            personality,
            store: Store::new(&personality, min_ttl),
            auth: Auth::new(personality, token_ttl),
            alarms: BTreeSet::new(),
            quota,
            downgrade_target: None,
        }
    }

    /// Returns the keys.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Returns the users.
    #[must_use]
    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    pub(super) fn personality(&self) -> &Personality {
        &self.personality
    }

    pub(super) fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    pub(super) fn auth_mut(&mut self) -> &mut Auth {
        &mut self.auth
    }

    /// Returns the alarms, in the order of their kinds and members.
    pub fn alarms(&self) -> impl Iterator<Item = pb::AlarmMember> {
        self.alarms
            .iter()
            .map(|(alarm, member_id)| pb::AlarmMember { alarm: *alarm, member_id: *member_id })
    }

    /// Answers a request on the spot, as a member alone would whose every call is served before
    /// the next: checks its form, and carries it out. For tests of the store.
    ///
    /// # Errors
    ///
    /// As a server would refuse.
    pub fn answer(&mut self, now: Instant, request: &Request, max_ops: usize) -> Result<Response> {
        check_form(request, Rules::new(&self.personality, max_ops))?;
        if let Some(answer) = self.read(None, request) {
            return answer;
        }
        self.apply(now, None, request)
    }

    /// Carries out what only reads; `None` when the request must go through the log.
    pub(super) fn read(
        &mut self,
        caller: Option<&Caller>,
        request: &Request,
    ) -> Option<Result<Response>> {
        match request {
            Request::Range(request) => Some(
                self.auth
                    .permits(caller, Access::Read, &request.key, &request.range_end)
                    .and_then(|()| range(&self.store, request).map(Response::Range)),
            ),
            Request::Txn(request) if is_read_only(request) => Some(
                self.auth
                    .permits_txn(caller, &self.store, request)
                    .and_then(|()| self.store.txn(request).map(Response::Txn)),
            ),
            _ => None,
        }
    }

    /// Makes a token valid.
    pub(super) fn apply_token(
        &mut self,
        now: Instant,
        name: &str,
        token: String,
    ) -> Result<Response> {
        self.auth.assign_token(now, name, token.clone())?;
        let header = Some(header(self.store.revision()));
        Ok(Response::Authenticate(pb::AuthenticateResponse { header, token }))
    }

    /// Applies a request that came through the log.
    pub(super) fn apply(
        &mut self,
        now: Instant,
        caller: Option<&Caller>,
        request: &Request,
    ) -> Result<Response> {
        let is_free =
            self.personality.auth_status_is_free && matches!(request, Request::AuthStatus(_));
        if needs_admin(request) && !is_free {
            self.auth.permits_admin(caller)?;
        }
        match request {
            Request::Put(_)
            | Request::DeleteRange(_)
            | Request::Txn(_)
            | Request::Compact(_)
            | Request::LeaseGrant(_)
            | Request::LeaseRevoke(_) => self.apply_kv(now, caller, request),
            Request::Alarm(request) => Ok(Response::Alarm(self.alarm(*request))),
            Request::Downgrade(request) => self.downgrade(request),
            request => self.apply_auth(caller, request),
        }
    }

    fn apply_kv(
        &mut self,
        now: Instant,
        caller: Option<&Caller>,
        request: &Request,
    ) -> Result<Response> {
        if self.has_alarm(pb::AlarmType::Corrupt) {
            return Err(refuse(ServerError::Corrupt));
        }
        self.permit(caller, request)?;
        let cost = cost(request);
        if cost > 0 && self.has_alarm(pb::AlarmType::Nospace) {
            return Err(refuse(ServerError::NoSpace));
        }
        // Judged before, said after: the write is done all the same (H6).
        let is_over = !self.has_room(cost);
        let response = self.carry_out(now, request)?;
        if is_over { Err(refuse(ServerError::NoSpace)) } else { Ok(response) }
    }

    fn permit(&self, caller: Option<&Caller>, request: &Request) -> Result<()> {
        match request {
            Request::Put(put) => self.auth.permits_put(caller, &self.store, put),
            Request::DeleteRange(delete) => self.auth.permits_delete(caller, delete),
            Request::Txn(txn) => self.auth.permits_txn(caller, &self.store, txn),
            Request::LeaseRevoke(revoke) => {
                self.auth.permits_lease(caller, Access::Write, &self.store, revoke.id)
            }
            _ => Ok(()),
        }
    }

    fn carry_out(&mut self, now: Instant, request: &Request) -> Result<Response> {
        Ok(match request {
            Request::Put(put) => Response::Put(self.store.put(put)?),
            Request::DeleteRange(delete) => Response::DeleteRange(self.store.delete_range(delete)),
            Request::Txn(txn) => Response::Txn(self.store.txn(txn)?),
            Request::Compact(compact) => {
                self.store.compact(compact.revision)?;
                let header = Some(header(self.store.revision()));
                Response::Compact(pb::CompactionResponse { header })
            }
            Request::LeaseGrant(grant) => {
                let ttl = self.store.leases.grant(now, grant.id, grant.ttl)?;
                let header = Some(header(self.store.revision()));
                let error = String::new();
                Response::LeaseGrant(pb::LeaseGrantResponse { header, id: grant.id, ttl, error })
            }
            Request::LeaseRevoke(revoke) => {
                if self.store.revoke(revoke.id).is_none() {
                    return Err(refuse(ServerError::LeaseNotFound));
                }
                let header = Some(header(self.store.revision()));
                Response::LeaseRevoke(pb::LeaseRevokeResponse { header })
            }
            other => return Err(Status::new(Code::Internal, format!("model: {}", other.path()))),
        })
    }

    fn apply_auth(&mut self, caller: Option<&Caller>, request: &Request) -> Result<Response> {
        use Request as Q;
        use Response as A;
        let auth = &mut self.auth;
        let header = Some(header(self.store.revision()));
        Ok(match request {
            Q::AuthEnable(_) => {
                auth.enable()?;
                A::AuthEnable(pb::AuthEnableResponse { header })
            }
            Q::AuthDisable(_) => {
                auth.disable();
                A::AuthDisable(pb::AuthDisableResponse { header })
            }
            Q::AuthStatus(_) => {
                let (enabled, auth_revision) = (auth.is_enabled(), auth.revision());
                A::AuthStatus(pb::AuthStatusResponse { header, enabled, auth_revision })
            }
            Q::UserAdd(user) => {
                auth.add_user(user)?;
                A::UserAdd(pb::AuthUserAddResponse { header })
            }
            Q::UserGet(user) => {
                auth.permits_user_get(caller, &user.name)?;
                let roles = auth.user_roles(&user.name)?;
                A::UserGet(pb::AuthUserGetResponse { header, roles })
            }
            Q::UserList(_) => A::UserList(pb::AuthUserListResponse { header, users: auth.users() }),
            Q::UserDelete(user) => {
                auth.delete_user(&user.name)?;
                A::UserDelete(pb::AuthUserDeleteResponse { header })
            }
            Q::UserChangePassword(user) => {
                auth.change_password(&user.name, &user.password)?;
                A::UserChangePassword(pb::AuthUserChangePasswordResponse { header })
            }
            Q::UserGrantRole(grant) => {
                auth.grant_role(&grant.user, &grant.role)?;
                A::UserGrantRole(pb::AuthUserGrantRoleResponse { header })
            }
            Q::UserRevokeRole(revoke) => {
                auth.revoke_role(&revoke.name, &revoke.role)?;
                A::UserRevokeRole(pb::AuthUserRevokeRoleResponse { header })
            }
            request => return self.apply_roles(caller, request),
        })
    }

    fn apply_roles(&mut self, caller: Option<&Caller>, request: &Request) -> Result<Response> {
        use Request as Q;
        use Response as A;
        let auth = &mut self.auth;
        let header = Some(header(self.store.revision()));
        Ok(match request {
            Q::RoleAdd(role) => {
                auth.add_role(&role.name)?;
                A::RoleAdd(pb::AuthRoleAddResponse { header })
            }
            Q::RoleGet(role) => {
                auth.permits_role_get(caller, &role.role)?;
                let perm = auth.role(&role.role)?;
                A::RoleGet(pb::AuthRoleGetResponse { header, perm })
            }
            Q::RoleList(_) => A::RoleList(pb::AuthRoleListResponse { header, roles: auth.roles() }),
            Q::RoleDelete(role) => {
                auth.delete_role(&role.role)?;
                A::RoleDelete(pb::AuthRoleDeleteResponse { header })
            }
            Q::RoleGrantPermission(grant) => {
                let permission = grant.perm.clone().unwrap_or_default();
                auth.grant_permission(&grant.name, &permission)?;
                A::RoleGrantPermission(pb::AuthRoleGrantPermissionResponse { header })
            }
            Q::RoleRevokePermission(revoke) => {
                auth.revoke_permission(&revoke.role, &revoke.key, &revoke.range_end)?;
                A::RoleRevokePermission(pb::AuthRoleRevokePermissionResponse { header })
            }
            other => return Err(Status::new(Code::Internal, format!("model: {}", other.path()))),
        })
    }

    fn alarm(&mut self, request: pb::AlarmRequest) -> pb::AlarmResponse {
        let alarm = (request.alarm, request.member_id);
        let one = pb::AlarmMember { member_id: request.member_id, alarm: request.alarm };
        let alarms = match AlarmAction::try_from(request.action) {
            Ok(AlarmAction::Get) => {
                let wanted = |a: &pb::AlarmMember| request.alarm == 0 || a.alarm == request.alarm;
                self.alarms().filter(wanted).collect()
            }
            Ok(AlarmAction::Activate) => {
                self.alarms.insert(alarm);
                vec![one]
            }
            Ok(AlarmAction::Deactivate) if self.alarms.remove(&alarm) => vec![one],
            Ok(AlarmAction::Deactivate) | Err(_) => Vec::new(),
        };
        pb::AlarmResponse { header: Some(header(self.store.revision())), alarms }
    }

    fn has_alarm(&self, wanted: pb::AlarmType) -> bool {
        self.alarms.iter().any(|(alarm, _)| *alarm == i32::from(wanted))
    }

    /// Tells whether the quota leaves room for a request of this cost.
    pub(super) fn has_room(&self, cost: u64) -> bool {
        cost == 0 || self.quota.is_none_or(|quota| self.store.size() + cost < quota)
    }
}

/// Checks what a member checks before it does anything with a request.
pub(super) fn check_form(request: &Request, rules: Rules) -> Result<()> {
    match request {
        Request::Range(request) => check::range(request, rules),
        Request::Put(request) => check::put(request),
        Request::DeleteRange(request) => check::delete(request),
        Request::Txn(request) => check::txn(request, rules),
        _ => Ok(()),
    }
}

/// Returns what a request takes of the quota, in bytes.
// M21
pub(super) fn cost(request: &Request) -> u64 {
    match request {
        Request::Put(put) => put_cost(put),
        Request::Txn(txn) => txn_cost(txn),
        Request::LeaseGrant(_) => 64,
        _ => 0,
    }
}

fn put_cost(put: &pb::PutRequest) -> u64 {
    256 + (put.key.len() + put.value.len()) as u64
}

fn txn_cost(txn: &pb::TxnRequest) -> u64 {
    let branch = |ops: &[pb::RequestOp]| -> u64 {
        let costs = ops.iter().map(|op| match &op.request {
            Some(Op::RequestPut(put)) => put_cost(put),
            Some(Op::RequestTxn(nested)) => txn_cost(nested),
            _ => 0,
        });
        costs.sum()
    };
    branch(&txn.success).max(branch(&txn.failure))
}

/// Tells whether root alone may do it.
// A15
fn needs_admin(request: &Request) -> bool {
    matches!(
        request,
        Request::AuthEnable(_)
            | Request::AuthDisable(_)
            | Request::AuthStatus(_)
            | Request::UserAdd(_)
            | Request::UserList(_)
            | Request::UserDelete(_)
            | Request::UserChangePassword(_)
            | Request::UserGrantRole(_)
            | Request::UserRevokeRole(_)
            | Request::RoleAdd(_)
            | Request::RoleList(_)
            | Request::RoleDelete(_)
            | Request::RoleGrantPermission(_)
            | Request::RoleRevokePermission(_)
    )
}
