//! What cases about authentication have in common: refusals, and who is there.

use super::kv_expect::Refusal;
use super::tls_certificates::showing;
use crate::{BoxError, Cluster, Ctx};
use etcd3::PermissionType::ReadWrite;
use etcd3::{Client, Code, Config, Error, ServerError};
use etcd3_lab::{Authority, ClusterBuilder, Leaf, Tls};
use std::sync::Arc;

const fn invalid(error: ServerError, text: &'static str) -> Refusal {
    Refusal { error, code: Code::InvalidArgument, text }
}

const fn failed(error: ServerError, text: &'static str) -> Refusal {
    Refusal { error, code: Code::FailedPrecondition, text }
}

pub(super) const USER_EMPTY: Refusal =
    invalid(ServerError::UserEmpty, "etcdserver: user name is empty");
pub(super) const ROLE_EMPTY: Refusal =
    invalid(ServerError::RoleEmpty, "etcdserver: role name is empty");
pub(super) const USER_EXISTS: Refusal =
    failed(ServerError::UserAlreadyExist, "etcdserver: user name already exists");
pub(super) const USER_NOT_FOUND: Refusal =
    failed(ServerError::UserNotFound, "etcdserver: user name not found");
pub(super) const ROLE_EXISTS: Refusal =
    failed(ServerError::RoleAlreadyExist, "etcdserver: role name already exists");
pub(super) const ROLE_NOT_FOUND: Refusal =
    failed(ServerError::RoleNotFound, "etcdserver: role name not found");
pub(super) const ROLE_NOT_GRANTED: Refusal =
    failed(ServerError::RoleNotGranted, "etcdserver: role is not granted to the user");
pub(super) const NOT_GRANTED: Refusal =
    failed(ServerError::PermissionNotGranted, "etcdserver: permission is not granted to the role");
pub(super) const NO_ROOT_USER: Refusal =
    failed(ServerError::RootUserNotExist, "etcdserver: root user does not exist");
pub(super) const NO_ROOT_ROLE: Refusal =
    failed(ServerError::RootRoleNotExist, "etcdserver: root user does not have root role");

pub(super) const AUTH_FAILED: Refusal = invalid(
    ServerError::AuthFailed,
    "etcdserver: authentication failed, invalid user ID or password",
);
pub(super) const INVALID_MGMT: Refusal =
    invalid(ServerError::InvalidAuthMgmt, "etcdserver: invalid auth management");
pub(super) const DENIED: Refusal = Refusal {
    error: ServerError::PermissionDenied,
    code: Code::PermissionDenied,
    text: "etcdserver: permission denied",
};

/// The password of root.
pub(super) const ROOT_PASSWORD: &str = "rootPassword";
/// A user with one role.
pub(super) const USER: &str = "test-user";
pub(super) const USER_PASSWORD: &str = "pass";
/// The role of that user, which may read and write the key "foo".
pub(super) const ROLE: &str = "test-role";

/// Starts a configuration with which passwords may be sent: to this machine anyway, and within a
/// model, where nobody listens.
pub(super) fn config<E: Into<String>>(ctx: &Ctx, endpoints: impl IntoIterator<Item = E>) -> Config {
    let config = Config::new(endpoints);
    if ctx.etcd.is_model() { config.allow_plaintext_passwords() } else { config }
}

/// Connects a client without a user.
pub(super) async fn nobody<E: Into<String>>(
    ctx: &Ctx,
    endpoints: impl IntoIterator<Item = E>,
) -> Result<Client, Error> {
    ctx.connect_with(config(ctx, endpoints)).await
}

/// Adds root and switches authentication on.
pub(super) async fn enable(client: &Client) -> Result<(), Error> {
    let auth = client.auth();
    auth.user_add("root", ROOT_PASSWORD).await?;
    auth.role_add("root").await?;
    auth.user_grant_role("root", "root").await?;
    auth.enable().await?;
    Ok(())
}

/// A cluster with authentication on, where root may do everything, and [`USER`] may read and write
/// "foo". That is "bar", and "hoo" is "a".
pub(super) struct Guarded {
    pub(super) ctx: Ctx,
    pub(super) cluster: Cluster,
    pub(super) root: Client,
    pub(super) user: Client,
    /// The issuer of the certificates by which users are known, where there are no passwords.
    authority: Option<Arc<Authority>>,
}

impl Guarded {
    /// Starts one server whose users have passwords.
    pub(super) async fn server(ctx: &Ctx) -> Result<Self, BoxError> {
        Self::by_password(ctx, |cluster| cluster.members(1)).await
    }

    /// Starts a cluster whose users have passwords.
    pub(super) async fn by_password(
        ctx: &Ctx,
        build: impl FnOnce(ClusterBuilder) -> ClusterBuilder,
    ) -> Result<Self, BoxError> {
        // The least that there is, so that logins cost nothing.
        let build = |cluster| build(cluster).flag("--bcrypt-cost", "4");
        let cluster = ctx.cluster_with(build).await?;
        let setup = nobody(ctx, cluster.client_urls()).await?;
        populate(&setup).await?;
        let root = login(ctx, &cluster, "root", ROOT_PASSWORD).await?;
        let user = login(ctx, &cluster, USER, USER_PASSWORD).await?;
        Ok(Self { ctx: ctx.clone(), cluster, root, user, authority: None })
    }

    /// Starts one server whose users show certificates with their names.
    // A10
    pub(super) async fn by_certificate(ctx: &Ctx) -> Result<Self, BoxError> {
        let authority = Authority::new()?;
        let tls = Tls::new(&authority).client_auth();
        let cluster = ctx.cluster_with(|cluster| cluster.members(1).tls(tls)).await?;
        let root = by_name(ctx, &cluster, &authority, "root").await?;
        populate(&root).await?;
        let user = by_name(ctx, &cluster, &authority, USER).await?;
        Ok(Self { ctx: ctx.clone(), cluster, root, user, authority: Some(authority) })
    }

    /// Adds a user that may read and write a range, by a role of its name, and logs it in.
    pub(super) async fn add_user(
        &self,
        name: &str,
        range: impl Into<etcd3::KeyRange>,
    ) -> Result<Client, BoxError> {
        let auth = self.root.auth();
        auth.role_add(name).await?;
        auth.role_grant_permission(name, range, ReadWrite).await?;
        auth.user_add(name, name).await?;
        auth.user_grant_role(name, name).await?;
        match &self.authority {
            Some(authority) => by_name(&self.ctx, &self.cluster, authority, name).await,
            None => Ok(self.login(name, name).await?),
        }
    }

    /// Connects a client that has a user with a password.
    pub(super) async fn login(&self, name: &str, password: &str) -> Result<Client, Error> {
        login(&self.ctx, &self.cluster, name, password).await
    }

    /// Connects a client without a user.
    pub(super) async fn nobody(&self) -> Result<Client, Error> {
        nobody(&self.ctx, self.cluster.client_urls()).await
    }
}

async fn login(ctx: &Ctx, cluster: &Cluster, name: &str, password: &str) -> Result<Client, Error> {
    ctx.connect_with(config(ctx, cluster.client_urls()).user(name, password)).await
}

async fn by_name(
    ctx: &Ctx,
    cluster: &Cluster,
    authority: &Authority,
    name: &str,
) -> Result<Client, BoxError> {
    let tls = showing(authority, Leaf::client(name))?;
    Ok(ctx.connect_with(config(ctx, cluster.client_urls()).tls(tls)).await?)
}

async fn populate(client: &Client) -> Result<(), Error> {
    let auth = client.auth();
    client.put("foo", "bar").await?;
    client.put("hoo", "a").await?;
    auth.role_add(ROLE).await?;
    auth.role_grant_permission(ROLE, "foo", ReadWrite).await?;
    auth.user_add(USER, USER_PASSWORD).await?;
    auth.user_grant_role(USER, ROLE).await?;
    enable(client).await
}
