//! Which message goes with which unary method.
//!
//! The typed requests of [`request`](crate::request) are built on this; it also lets a program call
//! any method of the API with its messages as they are on the wire.

mod content;
mod services;

use crate::error::Error;
use crate::method::{self, Effect, Method};
use crate::namespace::KeyPrefix;
use crate::request::cluster;
use content::Content;
use etcd3_proto::{etcdserverpb as pb, health, mvccpb};

/// What is to be known of a request to make a call of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rpc {
    /// The method that is called.
    pub method: &'static Method,
    /// What the request may do to the store; usually that of its method.
    pub effect: Effect,
    /// Whether the cluster is asked for the answer, which must not be older than what was seen
    /// before the request was sent.
    // I-R8
    pub is_linearizable: bool,
    /// Whether the answer must not be older than that although a member answers by itself.
    // Y2
    pub is_ordered: bool,
    /// The highest revision that is read of what a member has by itself, which may be behind; 0 for
    /// none.
    // I-R8, R-08
    pub local_revision: i64,
}

impl Rpc {
    /// A request that does to the store what its method does, and whose answer may be old.
    #[must_use]
    pub const fn new(method: &'static Method) -> Self {
        let effect = method.effect;
        Self { method, effect, is_linearizable: false, is_ordered: false, local_revision: 0 }
    }

    /// Sets what the request may do to the store.
    #[must_use]
    pub const fn effect(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    /// Sets whether the answer must not be older than what was seen before the request was sent.
    #[must_use]
    pub const fn linearizable(mut self, is_linearizable: bool) -> Self {
        self.is_linearizable = is_linearizable;
        self
    }

    /// Sets whether the answer must not be older than what was seen before the request was sent,
    /// although a member answers by itself.
    #[must_use]
    pub const fn ordered(mut self, is_ordered: bool) -> Self {
        self.is_ordered = is_ordered;
        self
    }

    /// Sets the highest revision that is read of what a member has by itself.
    #[must_use]
    pub const fn local_revision(mut self, revision: i64) -> Self {
        self.local_revision = revision;
        self
    }
}

impl From<&'static Method> for Rpc {
    fn from(method: &'static Method) -> Self {
        Self::new(method)
    }
}

/// A request message of a unary method.
pub trait UnaryRequest: prost::Message + Clone {
    /// The message that answers it.
    type Response: prost::Message + Default;

    /// The method that takes it.
    const METHOD: &'static Method;

    /// Returns what is to be known of this request to make a call of it.
    fn rpc(&self) -> Rpc {
        Rpc::new(Self::METHOD)
    }

    /// Refuses what must never leave the client: values that are known to crash servers.
    ///
    /// # Errors
    ///
    /// Kind [`InvalidRequest`](crate::ErrorKind::InvalidRequest), or
    /// [`Server`](crate::ErrorKind::Server) with what servers should have answered; outcome not
    /// sent.
    fn validate(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Puts a prefix before the keys that the message names; most name none.
    ///
    /// # Errors
    ///
    /// [`ServerError::EmptyKey`](crate::ServerError::EmptyKey) for an empty key, outcome not sent.
    fn add_prefix(&mut self, _: &KeyPrefix) -> Result<(), Error> {
        Ok(())
    }

    /// Takes a prefix off the keys of an answer; most have none.
    ///
    /// # Errors
    ///
    /// Kind [`Protocol`](crate::ErrorKind::Protocol) for a key that does not begin with it.
    fn strip_prefix(_: &mut Self::Response, _: &KeyPrefix) -> Result<(), Error> {
        Ok(())
    }
}

impl UnaryRequest for pb::RangeRequest {
    type Response = pb::RangeResponse;
    const METHOD: &'static Method = &method::RANGE;

    fn rpc(&self) -> Rpc {
        let local_revision = if self.serializable { self.revision } else { 0 };
        let is_linearizable = !self.serializable;
        Rpc { is_linearizable, local_revision, ..Rpc::new(Self::METHOD) }
    }

    fn validate(&self) -> Result<(), Error> {
        check_range(self)
    }

    fn add_prefix(&mut self, prefix: &KeyPrefix) -> Result<(), Error> {
        prefix.add_to_range(&mut self.key, &mut self.range_end)
    }

    fn strip_prefix(answer: &mut pb::RangeResponse, prefix: &KeyPrefix) -> Result<(), Error> {
        strip_pairs(&mut answer.kvs, prefix)
    }
}

impl UnaryRequest for pb::PutRequest {
    type Response = pb::PutResponse;
    const METHOD: &'static Method = &method::PUT;

    fn add_prefix(&mut self, prefix: &KeyPrefix) -> Result<(), Error> {
        prefix.add(&mut self.key)
    }

    fn strip_prefix(answer: &mut pb::PutResponse, prefix: &KeyPrefix) -> Result<(), Error> {
        strip_pairs(&mut answer.prev_kv, prefix)
    }
}

impl UnaryRequest for pb::DeleteRangeRequest {
    type Response = pb::DeleteRangeResponse;
    const METHOD: &'static Method = &method::DELETE_RANGE;

    fn add_prefix(&mut self, prefix: &KeyPrefix) -> Result<(), Error> {
        prefix.add_to_range(&mut self.key, &mut self.range_end)
    }

    fn strip_prefix(answer: &mut pb::DeleteRangeResponse, prefix: &KeyPrefix) -> Result<(), Error> {
        strip_pairs(&mut answer.prev_kvs, prefix)
    }
}

impl UnaryRequest for pb::LeaseTimeToLiveRequest {
    type Response = pb::LeaseTimeToLiveResponse;
    const METHOD: &'static Method = &method::LEASE_TIME_TO_LIVE;

    /// The keys of a lease may lie outside: those are left out.
    fn strip_prefix(
        answer: &mut pb::LeaseTimeToLiveResponse,
        prefix: &KeyPrefix,
    ) -> Result<(), Error> {
        answer.keys.retain_mut(|key| prefix.strip(key).is_ok());
        Ok(())
    }
}

impl UnaryRequest for pb::AuthRoleGrantPermissionRequest {
    type Response = pb::AuthRoleGrantPermissionResponse;
    const METHOD: &'static Method = &method::ROLE_GRANT_PERMISSION;

    /// Servers of etcd 3.4 end when the permission is missing.
    // A5
    fn validate(&self) -> Result<(), Error> {
        match self.perm {
            Some(_) => Ok(()),
            None => Err(Error::invalid_request("a grant of no permission, which crashes servers")),
        }
    }
}

impl UnaryRequest for pb::TxnRequest {
    type Response = pb::TxnResponse;
    const METHOD: &'static Method = &method::TXN;

    fn rpc(&self) -> Rpc {
        let content = Content::of(self);
        let effect = if !content.writes {
            Effect::Read
        } else if content::pins_reads(&self.success) || content::pins_reads(&self.failure) {
            Effect::PinnedWrite
        } else {
            Effect::Write
        };
        let is_linearizable = !content.writes && content.reads_the_present;
        let is_local = !content.writes && !content.reads_the_present;
        let local_revision = if is_local { content.revision } else { 0 };
        Rpc { effect, is_linearizable, local_revision, ..Rpc::new(Self::METHOD) }
    }

    fn validate(&self) -> Result<(), Error> {
        // A list of what is yet to be checked instead of recursion: depth is the caller's.
        let mut pending = vec![self];
        while let Some(txn) = pending.pop() {
            for op in txn.success.iter().chain(&txn.failure) {
                match &op.request {
                    Some(pb::request_op::Request::RequestRange(range)) => check_range(range)?,
                    Some(pb::request_op::Request::RequestTxn(nested)) => pending.push(nested),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn add_prefix(&mut self, prefix: &KeyPrefix) -> Result<(), Error> {
        use pb::request_op::Request;
        let mut pending = vec![self];
        while let Some(txn) = pending.pop() {
            for compare in &mut txn.compare {
                prefix.add_to_range(&mut compare.key, &mut compare.range_end)?;
            }
            for op in txn.success.iter_mut().chain(&mut txn.failure) {
                match &mut op.request {
                    Some(Request::RequestRange(range)) => range.add_prefix(prefix)?,
                    Some(Request::RequestPut(put)) => put.add_prefix(prefix)?,
                    Some(Request::RequestDeleteRange(delete)) => delete.add_prefix(prefix)?,
                    Some(Request::RequestTxn(nested)) => pending.push(nested),
                    None => {}
                }
            }
        }
        Ok(())
    }

    fn strip_prefix(answer: &mut pb::TxnResponse, prefix: &KeyPrefix) -> Result<(), Error> {
        use pb::response_op::Response;
        let mut pending = vec![answer];
        while let Some(txn) = pending.pop() {
            for op in &mut txn.responses {
                match &mut op.response {
                    Some(Response::ResponseRange(range)) => strip_pairs(&mut range.kvs, prefix)?,
                    Some(Response::ResponsePut(put)) => strip_pairs(&mut put.prev_kv, prefix)?,
                    Some(Response::ResponseDeleteRange(delete)) => {
                        strip_pairs(&mut delete.prev_kvs, prefix)?;
                    }
                    Some(Response::ResponseTxn(nested)) => pending.push(nested),
                    None => {}
                }
            }
        }
        Ok(())
    }
}

impl UnaryRequest for pb::MemberUpdateRequest {
    type Response = pb::MemberUpdateResponse;
    const METHOD: &'static Method = &method::MEMBER_UPDATE;

    /// Servers take any addresses; then all but the member itself end with "should never fail" when
    /// they cannot read one.
    // M11
    fn validate(&self) -> Result<(), Error> {
        cluster::check_peer_urls(&self.peer_urls)
    }
}

fn strip_pairs<'a>(
    pairs: impl IntoIterator<Item = &'a mut mvccpb::KeyValue>,
    prefix: &KeyPrefix,
) -> Result<(), Error> {
    pairs.into_iter().try_for_each(|pair| prefix.strip(&mut pair.key))
}

/// Servers before 3.6 crash on sort options that they do not know.
// CFG-057, K13
fn check_range(range: &pb::RangeRequest) -> Result<(), Error> {
    let known = pb::range_request::SortTarget::try_from(range.sort_target).is_ok()
        && pb::range_request::SortOrder::try_from(range.sort_order).is_ok();
    if known {
        return Ok(());
    }
    let (target, order) = (range.sort_target, range.sort_order);
    Err(Error::invalid_request(format!("unknown sort target {target} or order {order}")))
}

impl UnaryRequest for pb::AlarmRequest {
    type Response = pb::AlarmResponse;
    const METHOD: &'static Method = &method::ALARM;

    fn rpc(&self) -> Rpc {
        use pb::alarm_request::AlarmAction;
        read_if(self.action == i32::from(AlarmAction::Get), Self::METHOD)
    }
}

impl UnaryRequest for pb::DowngradeRequest {
    type Response = pb::DowngradeResponse;
    const METHOD: &'static Method = &method::DOWNGRADE;

    fn rpc(&self) -> Rpc {
        use pb::downgrade_request::DowngradeAction;
        read_if(self.action == i32::from(DowngradeAction::Validate), Self::METHOD)
    }
}

/// A request of a method that may change something, and does not where it only looks.
const fn read_if(is_read: bool, method: &'static Method) -> Rpc {
    let rpc = Rpc::new(method);
    if is_read { rpc.effect(Effect::Read) } else { rpc }
}

macro_rules! unary {
    ($($package:ident::$request:ident => $response:ident = $method:ident;)*) => {
        $(impl UnaryRequest for $package::$request {
            type Response = $package::$response;
            const METHOD: &'static Method = &method::$method;
        })*
    };
}

unary! {
    pb::CompactionRequest => CompactionResponse = COMPACT;
    pb::LeaseKeepAliveRequest => LeaseKeepAliveResponse = LEASE_KEEP_ALIVE;
    pb::LeaseGrantRequest => LeaseGrantResponse = LEASE_GRANT;
    pb::LeaseRevokeRequest => LeaseRevokeResponse = LEASE_REVOKE;
    pb::LeaseLeasesRequest => LeaseLeasesResponse = LEASE_LEASES;
    pb::MemberAddRequest => MemberAddResponse = MEMBER_ADD;
    pb::MemberRemoveRequest => MemberRemoveResponse = MEMBER_REMOVE;
    pb::MemberListRequest => MemberListResponse = MEMBER_LIST;
    pb::MemberPromoteRequest => MemberPromoteResponse = MEMBER_PROMOTE;
    pb::StatusRequest => StatusResponse = STATUS;
    pb::DefragmentRequest => DefragmentResponse = DEFRAGMENT;
    pb::HashRequest => HashResponse = HASH;
    pb::HashKvRequest => HashKvResponse = HASH_KV;
    pb::MoveLeaderRequest => MoveLeaderResponse = MOVE_LEADER;
    pb::AuthEnableRequest => AuthEnableResponse = AUTH_ENABLE;
    pb::AuthDisableRequest => AuthDisableResponse = AUTH_DISABLE;
    pb::AuthStatusRequest => AuthStatusResponse = AUTH_STATUS;
    pb::AuthenticateRequest => AuthenticateResponse = AUTHENTICATE;
    pb::AuthUserAddRequest => AuthUserAddResponse = USER_ADD;
    pb::AuthUserGetRequest => AuthUserGetResponse = USER_GET;
    pb::AuthUserListRequest => AuthUserListResponse = USER_LIST;
    pb::AuthUserDeleteRequest => AuthUserDeleteResponse = USER_DELETE;
    pb::AuthUserChangePasswordRequest => AuthUserChangePasswordResponse = USER_CHANGE_PASSWORD;
    pb::AuthUserGrantRoleRequest => AuthUserGrantRoleResponse = USER_GRANT_ROLE;
    pb::AuthUserRevokeRoleRequest => AuthUserRevokeRoleResponse = USER_REVOKE_ROLE;
    pb::AuthRoleAddRequest => AuthRoleAddResponse = ROLE_ADD;
    pb::AuthRoleGetRequest => AuthRoleGetResponse = ROLE_GET;
    pb::AuthRoleListRequest => AuthRoleListResponse = ROLE_LIST;
    pb::AuthRoleDeleteRequest => AuthRoleDeleteResponse = ROLE_DELETE;
    pb::AuthRoleRevokePermissionRequest => AuthRoleRevokePermissionResponse
        = ROLE_REVOKE_PERMISSION;
    health::HealthCheckRequest => HealthCheckResponse = HEALTH_CHECK;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use pb::request_op::Request;

    fn ops(requests: impl IntoIterator<Item = Request>) -> Vec<pb::RequestOp> {
        requests.into_iter().map(|it| pb::RequestOp { request: Some(it) }).collect()
    }

    // M11: what servers take, and die of.
    #[test]
    fn addresses_that_end_servers_are_not_sent() {
        let update = |urls: &[&str]| {
            let peer_urls = urls.iter().map(|url| (*url).to_owned()).collect();
            pb::MemberUpdateRequest { id: 7, peer_urls }.validate()
        };
        assert!(update(&["http://a:1", "https://b:1"]).is_ok());
        for bad in [&[][..], &["http://a"], &["http://a:1", ""], &["x y"]] {
            let error = update(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Server(crate::ServerError::MemberBadUrls));
        }
    }

    // A message is sent as it is, and what may come of it is told: below zero is a revision that
    // may be compacted, too (etcd#18667).
    #[test]
    fn messages_may_read_at_any_revision_beside_a_write() {
        for (revision, effect) in [
            (0, Effect::Write),
            (1, Effect::PinnedWrite),
            (i64::MAX, Effect::PinnedWrite),
            (-1, Effect::PinnedWrite),
            (i64::MIN, Effect::PinnedWrite),
        ] {
            let read = || {
                Request::RequestRange(pb::RangeRequest { revision, ..pb::RangeRequest::default() })
            };
            let put = || Request::RequestPut(pb::PutRequest::default());
            let both = pb::TxnRequest { failure: ops([put(), read()]), ..Default::default() };
            assert_eq!((both.rpc().effect, both.validate().is_ok()), (effect, true), "{revision}");
            let reads = pb::TxnRequest { success: ops([read()]), ..Default::default() };
            assert_eq!((reads.rpc().effect, reads.validate().is_ok()), (Effect::Read, true));
            let unlike = pb::TxnRequest { failure: ops([put()]), ..reads };
            assert_eq!(unlike.rpc().effect, Effect::Write);
        }
        // What has no content may be a write that this side does not know (I-R3).
        let read = pb::RangeRequest { revision: 1, ..pb::RangeRequest::default() };
        let mut unknown = ops([Request::RequestRange(read)]);
        unknown.push(pb::RequestOp::default());
        let unknown = pb::TxnRequest { success: unknown, ..Default::default() };
        assert_eq!(unknown.rpc().effect, Effect::PinnedWrite);
    }

    // CFG-057
    #[test]
    fn sort_options_that_crash_servers_never_leave() {
        let bad = [(5, 0), (100, 1), (-1, 0), (0, 3), (0, 200), (0, -1)];
        for (sort_target, sort_order) in bad {
            let range = pb::RangeRequest { sort_target, sort_order, ..Default::default() };
            assert_eq!(range.validate().unwrap_err().kind(), ErrorKind::InvalidRequest);
            let op = pb::request_op::Request::RequestRange(range);
            let inner = pb::TxnRequest {
                failure: vec![pb::RequestOp { request: Some(op) }],
                ..Default::default()
            };
            let op = pb::request_op::Request::RequestTxn(inner);
            let outer = pb::TxnRequest {
                success: vec![pb::RequestOp { request: Some(op) }],
                ..Default::default()
            };
            assert_eq!(outer.validate().unwrap_err().kind(), ErrorKind::InvalidRequest);
        }
        for target in 0..5 {
            for order in 0..3 {
                let range = pb::RangeRequest {
                    sort_target: target,
                    sort_order: order,
                    ..Default::default()
                };
                assert!(range.validate().is_ok());
            }
        }
    }
}
