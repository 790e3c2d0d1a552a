//! Roles and their permissions.

use super::{AuthResponse, Permission, PermissionType, change};
use crate::request::{Limits, operation};
use crate::{Error, KeyRange, ResponseHeader};
use etcd3_proto::authpb;
use etcd3_proto::etcdserverpb::{
    AuthRoleAddRequest, AuthRoleDeleteRequest, AuthRoleGetRequest, AuthRoleGetResponse,
    AuthRoleGrantPermissionRequest, AuthRoleListRequest, AuthRoleListResponse,
    AuthRoleRevokePermissionRequest,
};

/// A new role, without permissions: `etcdserverpb.Auth/RoleAdd`.
///
/// The server answers [`RoleAlreadyExist`](crate::ServerError::RoleAlreadyExist) for a name that is
/// taken, which is also what an addition after one of *unknown* outcome may be told.
#[derive(Debug, Clone, PartialEq)]
pub struct RoleAdd {
    request: AuthRoleAddRequest,
}

impl RoleAdd {
    /// Adds a role.
    pub fn new(name: impl Into<String>) -> Self {
        Self { request: AuthRoleAddRequest { name: name.into() } }
    }
}

change!(RoleAdd: AuthRoleAddRequest => AuthRoleAddResponse);

/// The end of a role: `etcdserverpb.Auth/RoleDelete`.
///
/// All users lose it. The server answers [`RoleNotFound`](crate::ServerError::RoleNotFound) for one
/// that does not exist, which is also what a deletion after one of *unknown* outcome may be told;
/// and [`InvalidAuthMgmt`](crate::ServerError::InvalidAuthMgmt) for root while authentication is
/// on.
// A6
#[derive(Debug, Clone, PartialEq)]
pub struct RoleDelete {
    request: AuthRoleDeleteRequest,
}

impl RoleDelete {
    /// Deletes a role.
    pub fn new(role: impl Into<String>) -> Self {
        Self { request: AuthRoleDeleteRequest { role: role.into() } }
    }
}

change!(RoleDelete: AuthRoleDeleteRequest => AuthRoleDeleteResponse);

/// A look at one role: `etcdserverpb.Auth/RoleGet`.
// A15
#[derive(Debug, Clone, PartialEq)]
pub struct RoleGet {
    request: AuthRoleGetRequest,
}

impl RoleGet {
    /// Asks for the permissions of a role.
    pub fn new(role: impl Into<String>) -> Self {
        Self { request: AuthRoleGetRequest { role: role.into() } }
    }

    /// Checks and completes the message that is sent.
    ///
    /// # Errors
    ///
    /// None.
    pub fn request(&mut self, _: &Limits) -> Result<&AuthRoleGetRequest, Error> {
        Ok(&self.request)
    }

    /// Reads the message that answers it.
    ///
    /// # Errors
    ///
    /// Kind [`Protocol`](crate::ErrorKind::Protocol) when it is no answer to this request: when it
    /// has a permission of a type that etcd does not have.
    pub fn response(self, answer: AuthRoleGetResponse) -> Result<RoleGetResponse, Error> {
        let permissions = answer.perm.into_iter().map(Permission::try_from);
        Ok(RoleGetResponse {
            header: answer.header.into(),
            permissions: permissions.collect::<Result<_, _>>()?,
        })
    }
}

/// The answer to a [`RoleGet`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct RoleGetResponse {
    /// Which cluster and member answered.
    pub header: ResponseHeader,
    /// The permissions of the role, in the order of their first keys.
    pub permissions: Vec<Permission>,
}

operation!(RoleGet, (), AuthRoleGetRequest => RoleGetResponse);

/// A list of all roles: `etcdserverpb.Auth/RoleList`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RoleList {
    request: AuthRoleListRequest,
}

/// The answer to a [`RoleList`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct RoleListResponse {
    /// Which cluster and member answered.
    pub header: ResponseHeader,
    /// The names of the roles, in order.
    pub roles: Vec<String>,
}

impl From<AuthRoleListResponse> for RoleListResponse {
    fn from(answer: AuthRoleListResponse) -> Self {
        Self { header: answer.header.into(), roles: answer.roles }
    }
}

operation!(RoleList: AuthRoleListRequest => AuthRoleListResponse => RoleListResponse);

/// A permission given to a role: `etcdserverpb.Auth/RoleGrantPermission`.
///
/// Where the role has a permission for the same range, its type is replaced. An empty key, and an
/// end that is not after its key, are refused with
/// [`InvalidAuthMgmt`](crate::ServerError::InvalidAuthMgmt); servers before etcd 3.4.25 and 3.5.8
/// take them. The role root needs no permissions.
// A4, A5, A7
#[derive(Debug, Clone, PartialEq)]
pub struct RoleGrantPermission {
    request: AuthRoleGrantPermissionRequest,
}

impl RoleGrantPermission {
    /// Gives a permission to a role.
    pub fn new(
        role: impl Into<String>,
        range: impl Into<KeyRange>,
        permission_type: PermissionType,
    ) -> Self {
        let (key, range_end) = range.into().into_parts();
        let perm_type = permission_type.to_wire().into();
        let perm = Some(authpb::Permission { perm_type, key, range_end });
        Self { request: AuthRoleGrantPermissionRequest { name: role.into(), perm } }
    }
}

change!(RoleGrantPermission: AuthRoleGrantPermissionRequest => AuthRoleGrantPermissionResponse);

/// A permission taken from a role: `etcdserverpb.Auth/RoleRevokePermission`.
///
/// Only one that was granted for the very same range is. The server answers
/// [`PermissionNotGranted`](crate::ServerError::PermissionNotGranted) if there is none, which is
/// also what a revocation after one of *unknown* outcome may be told.
// A7
#[derive(Debug, Clone, PartialEq)]
pub struct RoleRevokePermission {
    request: AuthRoleRevokePermissionRequest,
}

impl RoleRevokePermission {
    /// Takes the permission for a range from a role.
    pub fn new(role: impl Into<String>, range: impl Into<KeyRange>) -> Self {
        let (key, range_end) = range.into().into_parts();
        let role = role.into();
        Self { request: AuthRoleRevokePermissionRequest { role, key, range_end } }
    }
}

change!(RoleRevokePermission: AuthRoleRevokePermissionRequest => AuthRoleRevokePermissionResponse);
