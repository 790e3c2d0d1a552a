//! What a user may do.

use super::{Auth, Caller, has_root_role};
use crate::model::refusal::refuse;
use crate::model::store::Store;
use etcd3::proto::authpb::{Permission, permission::Type};
use etcd3::proto::etcdserverpb as pb;
use etcd3::proto::etcdserverpb::request_op::Request as Op;
use etcd3::{Bytes, ServerError, Status};

/// What is done with a range of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::model) enum Access {
    Read,
    Write,
}

/// Half-open; no end is the end of the key space.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Interval {
    start: Bytes,
    end: Option<Bytes>,
}

impl Interval {
    fn new(key: &Bytes, range_end: &Bytes) -> Self {
        let end = match &range_end[..] {
            [] => Some([&key[..], &[0]].concat().into()),
            [0] => None,
            _ => Some(range_end.clone()),
        };
        Self { start: key.clone(), end }
    }

    /// Tells whether this begins before `other` ends. Nothing is before the start of the key space.
    fn begins_before_end(&self, other: &Self) -> bool {
        other.end.as_ref().is_none_or(|end| self.start < *end)
    }

    fn meets(&self, other: &Self) -> bool {
        self.begins_before_end(other) && other.begins_before_end(self)
    }
}

/// Tells whether one end is beyond, or the same as, another.
fn reaches(end: Option<&Bytes>, other: Option<&Bytes>) -> bool {
    match (end, other) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(end), Some(other)) => end >= other,
    }
}

/// Tells whether the union of `held`, in order, covers `wanted`, as servers see it: those that meet
/// `wanted` are joined as long as they overlap or touch.
fn covers(held: &[Interval], wanted: &Interval) -> bool {
    let mut meeting = held.iter().filter(|interval| interval.meets(wanted));
    let Some(first) = meeting.next() else { return false };
    let mut end = first.end.as_ref();
    for interval in meeting {
        if end.is_some_and(|end| *end < interval.start) {
            return false;
        }
        if reaches(interval.end.as_ref(), end) {
            end = interval.end.as_ref();
        }
    }
    first.start <= wanted.start && reaches(end, wanted.end.as_ref())
}

/// Tells whether a permission names a range at all.
// A4
pub(super) fn is_valid_range(permission: &Permission) -> bool {
    let end = &permission.range_end;
    let is_range = end.is_empty() || end[..] == [0] || permission.key < *end;
    !permission.key.is_empty() && is_range
}

/// Returns where a role holds a permission for the same range, or where to put a new one. Servers
/// look at the first permission with the same key only, and so may hold a range twice.
pub(super) fn find_same(held: &[Permission], wanted: &Permission) -> Result<usize, usize> {
    let first = held.partition_point(|permission| permission.key < wanted.key);
    match held.get(first) {
        Some(permission)
            if permission.key == wanted.key && permission.range_end == wanted.range_end =>
        {
            Ok(first)
        }
        _ => Err(held.partition_point(|permission| permission.key <= wanted.key)),
    }
}

impl Auth {
    /// Tells whether the caller may read or write a range of keys.
    pub(in crate::model) fn permits(
        &self,
        caller: Option<&Caller>,
        access: Access,
        key: &Bytes,
        range_end: &Bytes,
    ) -> Result<(), Status> {
        if !self.enabled {
            return Ok(());
        }
        let Some(caller) = caller else { return Err(refuse(ServerError::UserEmpty)) };
        if caller.revision < self.revision {
            return Err(refuse(ServerError::AuthOldRevision));
        }
        let wanted = Interval::new(key, range_end);
        let user = self.users.get(&caller.user);
        let is_permitted = user.is_some_and(|user| {
            has_root_role(user) || {
                let held = self.held(&user.roles, access);
                if range_end.is_empty() {
                    held.iter().any(|interval| interval.meets(&wanted))
                } else {
                    covers(&held, &wanted)
                }
            }
        });
        if is_permitted { Ok(()) } else { Err(refuse(ServerError::PermissionDenied)) }
    }

    /// Tells whether the caller may change the cluster.
    pub(in crate::model) fn permits_admin(&self, caller: Option<&Caller>) -> Result<(), Status> {
        if !self.enabled {
            return Ok(());
        }
        let Some(caller) = caller else { return Err(refuse(ServerError::UserEmpty)) };
        match self.users.get(&caller.user) {
            Some(user) if has_root_role(user) => Ok(()),
            _ => Err(refuse(ServerError::PermissionDenied)),
        }
    }

    /// Tells whether the call comes from anybody.
    pub(in crate::model) fn requires_user(&self, caller: Option<&Caller>) -> Result<(), Status> {
        if self.enabled && caller.is_none() {
            return Err(refuse(ServerError::UserEmpty));
        }
        Ok(())
    }

    pub(in crate::model) fn permits_put(
        &self,
        caller: Option<&Caller>,
        store: &Store,
        request: &pb::PutRequest,
    ) -> Result<(), Status> {
        let no_end = Bytes::new();
        self.permits(caller, Access::Write, &request.key, &no_end)?;
        // Else the lease could be used to delete keys of others.
        self.permits_lease(caller, Access::Write, store, request.lease)?;
        if request.prev_kv {
            self.permits(caller, Access::Read, &request.key, &no_end)?;
        }
        Ok(())
    }

    pub(in crate::model) fn permits_delete(
        &self,
        caller: Option<&Caller>,
        request: &pb::DeleteRangeRequest,
    ) -> Result<(), Status> {
        self.permits(caller, Access::Write, &request.key, &request.range_end)?;
        if request.prev_kv {
            self.permits(caller, Access::Read, &request.key, &request.range_end)?;
        }
        Ok(())
    }

    /// Tells whether the caller may do all that a transaction might do, in either branch. Older
    /// servers do not look into nested transactions, nor at the leases and previous pairs of puts.
    // K38
    pub(in crate::model) fn permits_txn(
        &self,
        caller: Option<&Caller>,
        store: &Store,
        txn: &pb::TxnRequest,
    ) -> Result<(), Status> {
        if !self.enabled {
            return Ok(());
        }
        for compare in &txn.compare {
            self.permits(caller, Access::Read, &compare.key, &compare.range_end)?;
        }
        for op in txn.success.iter().chain(&txn.failure) {
            match &op.request {
                Some(Op::RequestRange(range)) => {
                    self.permits(caller, Access::Read, &range.key, &range.range_end)?;
                }
                Some(Op::RequestPut(put)) if self.personality.guards_everything => {
                    self.permits_put(caller, store, put)?;
                }
                Some(Op::RequestPut(put)) => {
                    self.permits(caller, Access::Write, &put.key, &Bytes::new())?;
                }
                Some(Op::RequestDeleteRange(delete)) => self.permits_delete(caller, delete)?,
                Some(Op::RequestTxn(nested)) if self.personality.guards_everything => {
                    self.permits_txn(caller, store, nested)?;
                }
                Some(Op::RequestTxn(_)) | None => {}
            }
        }
        Ok(())
    }

    /// Tells whether the caller may read or write every key that is attached to a lease.
    pub(in crate::model) fn permits_lease(
        &self,
        caller: Option<&Caller>,
        access: Access,
        store: &Store,
        id: i64,
    ) -> Result<(), Status> {
        let Some(lease) = store.leases().find(id) else { return Ok(()) };
        lease.keys().try_for_each(|key| self.permits(caller, access, key, &Bytes::new()))
    }

    /// Whether the caller may look at a user: root may, and everybody at oneself.
    // A15
    pub(in crate::model) fn permits_user_get(
        &self,
        caller: Option<&Caller>,
        name: &str,
    ) -> Result<(), Status> {
        // Nobody may look at the user without a name, whom there is not.
        let user = caller.map_or("", |caller| &caller.user);
        if user == name { Ok(()) } else { self.permits_admin(caller) }
    }

    /// Whether the caller may look at a role: root may, and whoever has it.
    // A15
    pub(in crate::model) fn permits_role_get(
        &self,
        caller: Option<&Caller>,
        role: &str,
    ) -> Result<(), Status> {
        let refusal = self.permits_admin(caller);
        let user = caller.and_then(|caller| self.users.get(&caller.user));
        if user.is_some_and(|user| user.roles.iter().any(|held| held == role)) {
            return Ok(());
        }
        refusal
    }

    /// Returns what the roles permit, in order.
    fn held(&self, roles: &[String], access: Access) -> Vec<Interval> {
        let permissions = roles.iter().filter_map(|role| self.roles.get(role)).flatten();
        let permits = |permission: &&Permission| match Type::try_from(permission.perm_type) {
            Ok(Type::Readwrite) => true,
            Ok(Type::Read) => access == Access::Read,
            Ok(Type::Write) => access == Access::Write,
            Err(_) => false,
        };
        // An empty key, which old servers take, begins after all keys.
        let mut held: Vec<_> = permissions
            .filter(permits)
            .filter(|permission| !permission.key.is_empty())
            .map(|permission| Interval::new(&permission.key, &permission.range_end))
            .collect();
        held.sort();
        held
    }
}
