//! The operations on roles and their permissions.

use super::Auth;
use crate::{PermissionType, Request};
use etcd3_core::KeyRange;
use etcd3_core::request::{
    RoleAdd, RoleDelete, RoleGet, RoleGrantPermission, RoleList, RoleRevokePermission,
};

impl Auth {
    /// Adds a role. It has no permissions yet.
    ///
    /// # Errors
    ///
    /// [`RoleEmpty`](crate::ServerError::RoleEmpty) for an empty name, and
    /// [`RoleAlreadyExist`](crate::ServerError::RoleAlreadyExist).
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// client.auth().role_add("config").await?;
    /// # Ok(())
    /// # });
    /// ```
    // A2
    pub fn role_add(&self, name: impl Into<String>) -> Request<RoleAdd> {
        self.client.request(RoleAdd::new(name))
    }

    /// Deletes a role, and takes it from all users.
    ///
    /// # Errors
    ///
    /// [`RoleNotFound`](crate::ServerError::RoleNotFound), and for `root` while authentication is
    /// on [`InvalidAuthMgmt`](crate::ServerError::InvalidAuthMgmt).
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// client.auth().role_add("config").await?;
    /// client.auth().role_delete("config").await?;
    /// assert!(client.auth().role_list().await?.roles.is_empty());
    /// # Ok(())
    /// # });
    /// ```
    // A6
    pub fn role_delete(&self, role: impl Into<String>) -> Request<RoleDelete> {
        self.client.request(RoleDelete::new(role))
    }

    /// Asks for the permissions of a role. A user may ask for the roles that it has.
    ///
    /// # Errors
    ///
    /// [`RoleNotFound`](crate::ServerError::RoleNotFound).
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::{PermissionType, prefix};
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let auth = client.auth();
    /// auth.role_add("config").await?;
    /// auth.role_grant_permission("config", prefix("config/"), PermissionType::Read).await?;
    ///
    /// let permission = &auth.role_get("config").await?.permissions[0];
    /// assert_eq!(permission.range, prefix("config/"));
    /// assert_eq!(permission.permission_type, PermissionType::Read);
    /// # Ok(())
    /// # });
    /// ```
    // A15
    pub fn role_get(&self, role: impl Into<String>) -> Request<RoleGet> {
        self.client.request(RoleGet::new(role))
    }

    /// Lists all roles. That of `root` is among them only if somebody added it.
    ///
    /// # Errors
    ///
    /// Those of any read.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// client.auth().role_add("config").await?;
    /// assert_eq!(client.auth().role_list().await?.roles, ["config"]);
    /// # Ok(())
    /// # });
    /// ```
    pub fn role_list(&self) -> Request<RoleList> {
        self.client.request(RoleList::default())
    }

    /// Gives a role the permission to read or write keys: one key, a [`prefix`](crate::prefix), or
    /// whatever else a [`KeyRange`] is. The type of a permission for the same range is replaced.
    ///
    /// The role `root` may do everything without a permission.
    ///
    /// # Errors
    ///
    /// [`RoleNotFound`](crate::ServerError::RoleNotFound). For an empty key, and a range that holds
    /// no key, [`InvalidAuthMgmt`](crate::ServerError::InvalidAuthMgmt); servers before etcd 3.4.25
    /// and 3.5.8 take those.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::{PermissionType, key, prefix};
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let auth = client.auth();
    /// auth.role_add("config").await?;
    /// auth.role_grant_permission("config", prefix("config/"), PermissionType::ReadWrite).await?;
    /// // As an operator wrote it.
    /// auth.role_grant_permission("config", key("motd"), "read".parse()?).await?;
    /// # Ok(())
    /// # });
    /// ```
    // A4, A5, A7
    pub fn role_grant_permission(
        &self,
        role: impl Into<String>,
        range: impl Into<KeyRange>,
        permission_type: PermissionType,
    ) -> Request<RoleGrantPermission> {
        self.client.request(RoleGrantPermission::new(role, range, permission_type))
    }

    /// Takes a permission from a role: the one that was granted for the very same range.
    ///
    /// # Errors
    ///
    /// [`RoleNotFound`](crate::ServerError::RoleNotFound), and
    /// [`PermissionNotGranted`](crate::ServerError::PermissionNotGranted) where there is none for
    /// that range, even if there is one for a wider range.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::{PermissionType, prefix};
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let auth = client.auth();
    /// auth.role_add("config").await?;
    /// auth.role_grant_permission("config", prefix("config/"), PermissionType::Read).await?;
    /// auth.role_revoke_permission("config", prefix("config/")).await?;
    /// assert!(auth.role_get("config").await?.permissions.is_empty());
    /// # Ok(())
    /// # });
    /// ```
    // A7
    pub fn role_revoke_permission(
        &self,
        role: impl Into<String>,
        range: impl Into<KeyRange>,
    ) -> Request<RoleRevokePermission> {
        self.client.request(RoleRevokePermission::new(role, range))
    }
}
