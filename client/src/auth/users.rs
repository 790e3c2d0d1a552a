//! The operations on users.

use super::Auth;
use crate::Request;
use etcd3_core::Secret;
use etcd3_core::request::{
    UserAdd, UserChangePassword, UserDelete, UserGet, UserGrantRole, UserList, UserRevokeRole,
};

impl Auth {
    /// Adds a user with a password, which may be empty. It has no roles yet.
    ///
    /// A request with a password is not sent in plain text, other than to this machine, unless
    /// [`Config::allow_plaintext_passwords`](crate::Config::allow_plaintext_passwords) says so. The
    /// password is wiped from memory with the request.
    ///
    /// # Errors
    ///
    /// [`UserEmpty`](crate::ServerError::UserEmpty) for an empty name,
    /// [`UserAlreadyExist`](crate::ServerError::UserAlreadyExist), and
    /// [`PlaintextPassword`](crate::ErrorKind::PlaintextPassword).
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// client.auth().user_add("alice", "correct horse").await?;
    /// # Ok(())
    /// # });
    /// ```
    // A2, A3, I-A5
    pub fn user_add(
        &self,
        name: impl Into<String>,
        password: impl Into<Secret>,
    ) -> Request<UserAdd> {
        self.client.request(UserAdd::new(name, password))
    }

    /// Adds a user that no password fits: one that shows a client certificate with its name as the
    /// common name, to servers that demand one (`--client-cert-auth`).
    ///
    /// # Errors
    ///
    /// Those of [`user_add`](Self::user_add).
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// client.auth().user_add_without_password("backup.example.org").await?;
    /// # Ok(())
    /// # });
    /// ```
    // A3, A10
    pub fn user_add_without_password(&self, name: impl Into<String>) -> Request<UserAdd> {
        self.client.request(UserAdd::without_password(name))
    }

    /// Deletes a user. Its tokens end, so that clients of its own are refused from then on.
    ///
    /// # Errors
    ///
    /// [`UserNotFound`](crate::ServerError::UserNotFound), and for `root` while authentication is
    /// on [`InvalidAuthMgmt`](crate::ServerError::InvalidAuthMgmt).
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// client.auth().user_add("alice", "correct horse").await?;
    /// client.auth().user_delete("alice").await?;
    /// assert!(client.auth().user_list().await?.users.is_empty());
    /// # Ok(())
    /// # });
    /// ```
    // A6
    pub fn user_delete(&self, name: impl Into<String>) -> Request<UserDelete> {
        self.client.request(UserDelete::new(name))
    }

    /// Replaces the password of a user. Its tokens end. A user that was added without a password
    /// stays without one.
    ///
    /// As for [`user_add`](Self::user_add), it is not sent in plain text. From etcd 3.5 on nobody
    /// can log in as a user whose password was replaced by an empty one.
    ///
    /// # Errors
    ///
    /// [`UserNotFound`](crate::ServerError::UserNotFound), and
    /// [`PlaintextPassword`](crate::ErrorKind::PlaintextPassword).
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// client.auth().user_add("alice", "correct horse").await?;
    /// client.auth().user_change_password("alice", "battery staple").await?;
    /// # Ok(())
    /// # });
    /// ```
    // A3, A8, I-A5
    pub fn user_change_password(
        &self,
        name: impl Into<String>,
        password: impl Into<Secret>,
    ) -> Request<UserChangePassword> {
        self.client.request(UserChangePassword::new(name, password))
    }

    /// Gives a role to a user. One that it has already is no error.
    ///
    /// # Errors
    ///
    /// [`UserNotFound`](crate::ServerError::UserNotFound), and
    /// [`RoleNotFound`](crate::ServerError::RoleNotFound); the role `root` is always there to be
    /// given.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// client.auth().user_add("root", "correct horse").await?;
    /// client.auth().user_grant_role("root", "root").await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn user_grant_role(
        &self,
        user: impl Into<String>,
        role: impl Into<String>,
    ) -> Request<UserGrantRole> {
        self.client.request(UserGrantRole::new(user, role))
    }

    /// Takes a role from a user.
    ///
    /// # Errors
    ///
    /// [`UserNotFound`](crate::ServerError::UserNotFound),
    /// [`RoleNotGranted`](crate::ServerError::RoleNotGranted), and for the role `root` of `root`
    /// while authentication is on [`InvalidAuthMgmt`](crate::ServerError::InvalidAuthMgmt).
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// # client.auth().role_add("config").await?;
    /// client.auth().user_add("alice", "correct horse").await?;
    /// client.auth().user_grant_role("alice", "config").await?;
    /// client.auth().user_revoke_role("alice", "config").await?;
    /// # Ok(())
    /// # });
    /// ```
    // A6
    pub fn user_revoke_role(
        &self,
        user: impl Into<String>,
        role: impl Into<String>,
    ) -> Request<UserRevokeRole> {
        self.client.request(UserRevokeRole::new(user, role))
    }

    /// Asks for the roles of a user, which may ask for its own.
    ///
    /// # Errors
    ///
    /// [`UserNotFound`](crate::ServerError::UserNotFound).
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// # client.auth().role_add("config").await?;
    /// client.auth().user_add("alice", "correct horse").await?;
    /// client.auth().user_grant_role("alice", "config").await?;
    /// assert_eq!(client.auth().user_get("alice").await?.roles, ["config"]);
    /// # Ok(())
    /// # });
    /// ```
    // A15
    pub fn user_get(&self, name: impl Into<String>) -> Request<UserGet> {
        self.client.request(UserGet::new(name))
    }

    /// Lists all users.
    ///
    /// # Errors
    ///
    /// Those of any read.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// client.auth().user_add("alice", "correct horse").await?;
    /// assert_eq!(client.auth().user_list().await?.users, ["alice"]);
    /// # Ok(())
    /// # });
    /// ```
    pub fn user_list(&self) -> Request<UserList> {
        self.client.request(UserList::default())
    }
}
