//! What cases about authentication have in common: refusals, and who is there.

use super::kv_expect::Refusal;
use crate::Ctx;
use etcd3::{Client, Code, Config, Error, ServerError};

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

/// The password of root.
pub(super) const ROOT_PASSWORD: &str = "rootPassword";

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
