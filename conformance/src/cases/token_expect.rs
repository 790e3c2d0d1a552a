//! What cases about tokens do over and over: servers with users, clients with credentials.

use super::kv_metrics::sum;
use crate::{BoxError, Cluster, Ctx, Member, Server};
use etcd3::proto::authpb::{Permission, UserAddOptions, permission::Type};
use etcd3::proto::etcdserverpb as pb;
use etcd3::{Bytes, Client, Config, Error, IntoBytes};
use etcd3_lab::ServerBuilder;
use std::time::Duration;

pub(crate) const PASSWORD: &str = "canary-password";
/// The longest wait for something that is due.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A server whose logins are quick, and whose tokens live for so many seconds without being used.
pub(crate) async fn server(ctx: &Ctx, ttl: u32) -> Result<Server, etcd3_lab::Error> {
    ctx.server_with(|server| quick(server).flag("--auth-token-ttl", &ttl.to_string())).await
}

/// Has logins take no time that counts.
pub(crate) fn quick(server: ServerBuilder) -> ServerBuilder {
    server.flag("--bcrypt-cost", "4")
}

/// A configuration with credentials. What goes to the model is not on this machine.
pub(crate) fn config<E: Into<String>>(
    endpoints: impl IntoIterator<Item = E>,
    name: &str,
) -> Config {
    Config::new(endpoints).user(name, PASSWORD).allow_plaintext_passwords()
}

/// Connects a client with the credentials of this user.
pub(crate) async fn connect(ctx: &Ctx, url: String, name: &str) -> Result<Client, Error> {
    ctx.connect_with(config([url], name)).await
}

/// Gives a user of this name a role of the same name, which permits this range.
pub(crate) async fn add_user(
    admin: &Client,
    name: &str,
    key: impl IntoBytes,
    end: impl IntoBytes,
) -> Result<(), Error> {
    add_with_role(admin, name, name).await?;
    permit(admin, name, key.into_bytes(), end.into_bytes()).await
}

async fn add_with_role(admin: &Client, name: &str, role: &str) -> Result<(), Error> {
    let (name, password, role) = (name.to_owned(), PASSWORD.to_owned(), role.to_owned());
    admin.rpc(pb::AuthRoleAddRequest { name: role.clone() }).await?;
    let options = Some(UserAddOptions { no_password: false });
    let user = name.clone();
    admin.rpc(pb::AuthUserAddRequest { name, password, options, ..Default::default() }).await?;
    admin.rpc(pb::AuthUserGrantRoleRequest { user, role }).await.map(drop)
}

async fn permit(admin: &Client, role: &str, key: Bytes, range_end: Bytes) -> Result<(), Error> {
    let perm = Some(Permission { perm_type: Type::Readwrite.into(), key, range_end });
    let name = role.to_owned();
    admin.rpc(pb::AuthRoleGrantPermissionRequest { name, perm }).await.map(drop)
}

/// Adds root, and `app`, who may do everything with keys from `a` on and below `b`; switches
/// authentication on. Returns a client of root.
pub(crate) async fn guard(ctx: &Ctx, url: String) -> Result<Client, BoxError> {
    let root = connect(ctx, url, "root").await?;
    add_with_role(&root, "root", "root").await?;
    add_user(&root, "app", "a", "b").await?;
    enable(&root).await?;
    Ok(root)
}

pub(crate) async fn enable(root: &Client) -> Result<(), Error> {
    root.rpc(pb::AuthEnableRequest {}).await.map(drop)
}

pub(crate) async fn disable(root: &Client) -> Result<(), Error> {
    root.rpc(pb::AuthDisableRequest {}).await.map(drop)
}

pub(crate) async fn set_password(root: &Client, name: &str, password: &str) -> Result<(), Error> {
    let (name, password) = (name.to_owned(), password.to_owned());
    let request = pb::AuthUserChangePasswordRequest { name, password, ..Default::default() };
    root.rpc(request).await.map(drop)
}

/// Returns how many logins have come to a member.
pub(crate) fn logins(member: &Member) -> Result<u64, BoxError> {
    let labels = ["grpc_method=\"Authenticate\""];
    Ok(sum(&member.metrics()?, "grpc_server_started_total", &labels))
}

/// A cluster of one member, whose logins are quick, to be stopped and started again.
pub(crate) async fn single(ctx: &Ctx) -> Result<Cluster, etcd3_lab::Error> {
    ctx.cluster_with(|cluster| cluster.members(1).flag("--bcrypt-cost", "4")).await
}

/// Kills a member, and starts it again: it has forgotten all tokens.
pub(crate) async fn restart(ctx: &Ctx, cluster: &Cluster) -> Result<(), etcd3_lab::Error> {
    let member = cluster.member(0);
    ctx.order(&member, Member::kill).await?;
    ctx.order(&member, Member::restart).await
}
