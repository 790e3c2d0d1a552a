//! The operations on authentication: users, roles, and the switch.

mod roles;
mod users;

use crate::{Client, Request};
use etcd3_core::request::{AuthDisable, AuthEnable, AuthStatus};

/// The operations on authentication: users, roles, and the switch; see [`Client::auth`].
///
/// A handle of the client, cheap to make and to clone. Once authentication is on, all but
/// [`user_get`](Self::user_get) and [`role_get`](Self::role_get) are for users with the role
/// `root`. A client has a user by [`Config::user`](crate::Config::user), by
/// [`Config::token`](crate::Config::token), or by the common name of its certificate.
///
/// # Errors
///
/// Beside those that each operation names, and those of any call:
/// [`UserEmpty`](crate::ServerError::UserEmpty) without a user, and
/// [`is_permission_denied`](crate::Error::is_permission_denied) for a user who may not do it.
///
/// What changes something is not sent again when its outcome is *unknown*: somebody else may have
/// changed it meanwhile. A caller who makes it again, when it had been done, is told:
///
/// - `enable`, `disable`, `user_change_password`, `user_grant_role`, `role_grant_permission`: that
///   it is done
/// - `user_add`: [`UserAlreadyExist`](crate::ServerError::UserAlreadyExist)
/// - `user_delete`: [`UserNotFound`](crate::ServerError::UserNotFound)
/// - `user_revoke_role`: [`RoleNotGranted`](crate::ServerError::RoleNotGranted)
/// - `role_add`: [`RoleAlreadyExist`](crate::ServerError::RoleAlreadyExist)
/// - `role_delete`: [`RoleNotFound`](crate::ServerError::RoleNotFound)
/// - `role_revoke_permission`:
///   [`PermissionNotGranted`](crate::ServerError::PermissionNotGranted)
///
/// # Cancel safety
///
/// Dropping the future of a change leaves open whether it is made.
///
/// # Examples
///
/// A user who may read and write below one prefix:
///
/// ```
/// use etcd3::{PermissionType, prefix};
///
/// # etcd3_sim::example(|client| async move {
/// let auth = client.auth();
/// auth.role_add("config").await?;
/// auth.role_grant_permission("config", prefix("config/"), PermissionType::ReadWrite).await?;
/// auth.user_add("alice", "correct horse").await?;
/// auth.user_grant_role("alice", "config").await?;
///
/// assert_eq!(auth.user_get("alice").await?.roles, ["config"]);
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct Auth {
    client: Client,
}

impl Client {
    /// Returns the operations on authentication: users, roles, and the switch.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// for user in client.auth().user_list().await?.users {
    ///     println!("{user}: {:?}", client.auth().user_get(&user).await?.roles);
    /// }
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn auth(&self) -> Auth {
        Auth { client: self.clone() }
    }
}

impl Auth {
    /// Switches authentication on: from then on every call needs a user, whose roles say what it
    /// may do.
    ///
    /// The user `root` must be there, with the role `root`. A client that has a user logs in with
    /// its next call.
    ///
    /// # Errors
    ///
    /// [`RootUserNotExist`](crate::ServerError::RootUserNotExist) without that user, and
    /// [`RootRoleNotExist`](crate::ServerError::RootRoleNotExist) when it lacks that role. When it
    /// is on already, a client without a user is told
    /// [`UserEmpty`](crate::ServerError::UserEmpty), also by a repetition after one whose outcome
    /// was *unknown*.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::{ErrorKind, ServerError};
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let auth = client.auth();
    /// auth.user_add("root", "correct horse").await?;
    /// auth.user_grant_role("root", "root").await?;
    /// auth.enable().await?;
    ///
    /// // This client has no user; another one logs in with `Config::user`.
    /// let error = client.get("config/colour").await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Server(ServerError::UserEmpty));
    /// # Ok(())
    /// # });
    /// ```
    // A1, A6
    pub fn enable(&self) -> Request<AuthEnable> {
        self.client.request(AuthEnable::default())
    }

    /// Switches authentication off: calls need no user any more. Users, roles and permissions stay
    /// for the next time, and all tokens end.
    ///
    /// # Errors
    ///
    /// Those of any call of [`Auth`].
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// client.auth().disable().await?;
    /// assert!(!client.auth().status().await?.enabled);
    /// # Ok(())
    /// # });
    /// ```
    // A1
    pub fn disable(&self) -> Request<AuthDisable> {
        self.client.request(AuthDisable::default())
    }

    /// Asks whether authentication is on, and for the auth revision. Since etcd 3.5; before etcd
    /// 3.7, and while authentication is on, for users with the role `root` only.
    ///
    /// # Errors
    ///
    /// Those of any call of [`Auth`]; [`Unsupported`](crate::ErrorKind::Unsupported) from a server
    /// of etcd 3.4.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// let before = client.auth().status().await?;
    /// assert!(!before.enabled);
    ///
    /// client.auth().role_add("config").await?;
    /// let after = client.auth().status().await?;
    /// assert_eq!(after.auth_revision, before.auth_revision + 1);
    /// # Ok(())
    /// # });
    /// ```
    // A1
    pub fn status(&self) -> Request<AuthStatus> {
        self.client.request(AuthStatus::default())
    }
}
