//! Users, their passwords and their roles.

use super::{AuthResponse, change};
use crate::request::operation;
use crate::{ResponseHeader, Secret};
use etcd3_proto::authpb::UserAddOptions;
use etcd3_proto::etcdserverpb::{
    AuthUserAddRequest, AuthUserChangePasswordRequest, AuthUserDeleteRequest, AuthUserGetRequest,
    AuthUserGetResponse, AuthUserGrantRoleRequest, AuthUserListRequest, AuthUserListResponse,
    AuthUserRevokeRoleRequest,
};
use zeroize::Zeroize;

/// A new user: `etcdserverpb.Auth/UserAdd`.
///
/// The server answers [`UserAlreadyExist`](crate::ServerError::UserAlreadyExist) for a name that is
/// taken, which is also what an addition after one of *unknown* outcome may be told.
///
/// The password is wiped from memory with the request; what the transport holds for the wire is
/// not.
// A3
#[derive(Debug, Clone, PartialEq)]
pub struct UserAdd {
    request: AuthUserAddRequest,
}

impl UserAdd {
    /// Adds a user with a password, which may be empty.
    pub fn new(name: impl Into<String>, password: impl Into<Secret>) -> Self {
        let password = password.into().expose().to_owned();
        Self { request: AuthUserAddRequest { password, ..adding(name.into(), false) } }
    }

    /// Adds a user that no password fits: one that shows a certificate instead, with its name as
    /// the common name.
    // A10
    pub fn without_password(name: impl Into<String>) -> Self {
        Self { request: adding(name.into(), true) }
    }
}

fn adding(name: String, no_password: bool) -> AuthUserAddRequest {
    let options = Some(UserAddOptions { no_password });
    AuthUserAddRequest { name, options, ..AuthUserAddRequest::default() }
}

impl Drop for UserAdd {
    fn drop(&mut self) {
        self.request.password.zeroize();
    }
}

change!(UserAdd: AuthUserAddRequest => AuthUserAddResponse);

/// The end of a user: `etcdserverpb.Auth/UserDelete`.
///
/// Its tokens end with it. The server answers [`UserNotFound`](crate::ServerError::UserNotFound)
/// for one that does not exist, which is also what a deletion after one of *unknown* outcome may be
/// told; and [`InvalidAuthMgmt`](crate::ServerError::InvalidAuthMgmt) for root while authentication
/// is on.
// A6
#[derive(Debug, Clone, PartialEq)]
pub struct UserDelete {
    request: AuthUserDeleteRequest,
}

impl UserDelete {
    /// Deletes a user.
    pub fn new(name: impl Into<String>) -> Self {
        Self { request: AuthUserDeleteRequest { name: name.into() } }
    }
}

change!(UserDelete: AuthUserDeleteRequest => AuthUserDeleteResponse);

/// A new password of a user: `etcdserverpb.Auth/UserChangePassword`.
///
/// The tokens of the user end. A user without a password stays without one, and no error tells so.
///
/// The password is wiped from memory with the request; what the transport holds for the wire is
/// not.
// A8
#[derive(Debug, Clone, PartialEq)]
pub struct UserChangePassword {
    request: AuthUserChangePasswordRequest,
}

impl UserChangePassword {
    /// Replaces the password of a user.
    pub fn new(name: impl Into<String>, password: impl Into<Secret>) -> Self {
        let request = AuthUserChangePasswordRequest {
            name: name.into(),
            password: password.into().expose().to_owned(),
            ..AuthUserChangePasswordRequest::default()
        };
        Self { request }
    }
}

impl Drop for UserChangePassword {
    fn drop(&mut self) {
        self.request.password.zeroize();
    }
}

change!(UserChangePassword: AuthUserChangePasswordRequest => AuthUserChangePasswordResponse);

/// A role given to a user: `etcdserverpb.Auth/UserGrantRole`.
///
/// One that the user has already is no error.
#[derive(Debug, Clone, PartialEq)]
pub struct UserGrantRole {
    request: AuthUserGrantRoleRequest,
}

impl UserGrantRole {
    /// Gives a role to a user.
    pub fn new(user: impl Into<String>, role: impl Into<String>) -> Self {
        Self { request: AuthUserGrantRoleRequest { user: user.into(), role: role.into() } }
    }
}

change!(UserGrantRole: AuthUserGrantRoleRequest => AuthUserGrantRoleResponse);

/// A role taken from a user: `etcdserverpb.Auth/UserRevokeRole`.
///
/// The server answers [`RoleNotGranted`](crate::ServerError::RoleNotGranted) for one that the user
/// does not have, which is also what a revocation after one of *unknown* outcome may be told.
#[derive(Debug, Clone, PartialEq)]
pub struct UserRevokeRole {
    request: AuthUserRevokeRoleRequest,
}

impl UserRevokeRole {
    /// Takes a role from a user.
    pub fn new(user: impl Into<String>, role: impl Into<String>) -> Self {
        Self { request: AuthUserRevokeRoleRequest { name: user.into(), role: role.into() } }
    }
}

change!(UserRevokeRole: AuthUserRevokeRoleRequest => AuthUserRevokeRoleResponse);

/// A look at one user: `etcdserverpb.Auth/UserGet`.
// A15
#[derive(Debug, Clone, PartialEq)]
pub struct UserGet {
    request: AuthUserGetRequest,
}

impl UserGet {
    /// Asks for the roles of a user.
    pub fn new(name: impl Into<String>) -> Self {
        Self { request: AuthUserGetRequest { name: name.into() } }
    }
}

/// The answer to a [`UserGet`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct UserGetResponse {
    /// Which cluster and member answered.
    pub header: ResponseHeader,
    /// The names of the user's roles, in order.
    pub roles: Vec<String>,
}

impl From<AuthUserGetResponse> for UserGetResponse {
    fn from(answer: AuthUserGetResponse) -> Self {
        Self { header: answer.header.into(), roles: answer.roles }
    }
}

operation!(UserGet: AuthUserGetRequest => AuthUserGetResponse => UserGetResponse);

/// A list of all users: `etcdserverpb.Auth/UserList`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UserList {
    request: AuthUserListRequest,
}

/// The answer to a [`UserList`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct UserListResponse {
    /// Which cluster and member answered.
    pub header: ResponseHeader,
    /// The names of the users, in order.
    pub users: Vec<String>,
}

impl From<AuthUserListResponse> for UserListResponse {
    fn from(answer: AuthUserListResponse) -> Self {
        Self { header: answer.header.into(), users: answer.users }
    }
}

operation!(UserList: AuthUserListRequest => AuthUserListResponse => UserListResponse);
