//! Clusters of the model with authentication.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "tests take what they need")]

pub mod scripted;

use etcd3::proto::authpb::{Permission, permission::Type};
use etcd3::proto::etcdserverpb as pb;
use etcd3::{Client, Config, Error};
use etcd3_sim::{ClusterConfig, Cut, Etcd, Host, Personality, World};
use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

pub const PASSWORD: &str = "canary-password";

/// A cluster of three, of this version, whose tokens live for so long without being used.
pub fn cluster(world: &World, version: (u16, u16, u16), token_ttl: Duration) -> Etcd {
    let (major, minor, patch) = version;
    let personality = Personality::of(major, minor, patch);
    world.etcd(ClusterConfig { token_ttl, ..ClusterConfig::new(3, personality, world.seed()) })
}

/// A configuration with these credentials.
pub fn config(etcd: &Etcd, name: &str, password: &str) -> Config {
    Config::new(etcd.endpoints()).user(name, password).allow_plaintext_passwords()
}

/// A lazy client with these credentials, on a host of its own.
pub fn client(world: &World, etcd: &Etcd, name: &str, password: &str) -> Client {
    world.host().client(config(etcd, name, password)).unwrap()
}

/// Adds root, and `app`, who may do everything with keys from `a` on and below `b`.
pub async fn add_users(admin: &Client) -> Result<(), Error> {
    for (name, role) in [("root", "root"), ("app", "app")] {
        let (user, password) = (name.to_owned(), PASSWORD.to_owned());
        admin.rpc(pb::AuthRoleAddRequest { name: role.to_owned() }).await?;
        let add = pb::AuthUserAddRequest { name: user.clone(), password, ..Default::default() };
        admin.rpc(add).await?;
        let role = role.to_owned();
        admin.rpc(pb::AuthUserGrantRoleRequest { user, role }).await?;
    }
    let (key, range_end) = ("a".into(), "b".into());
    let perm = Permission { perm_type: Type::Readwrite.into(), key, range_end };
    let grant = pb::AuthRoleGrantPermissionRequest { name: "app".into(), perm: Some(perm) };
    admin.rpc(grant).await.map(drop)
}

/// Adds users, and switches authentication on; returns a client of root.
pub async fn guard(world: &World, etcd: &Etcd) -> Client {
    let root = client(world, etcd, "root", PASSWORD);
    add_users(&root).await.unwrap();
    enable(&root).await;
    root
}

pub async fn enable(root: &Client) {
    root.rpc(pb::AuthEnableRequest {}).await.unwrap();
}

pub async fn disable(root: &Client) {
    root.rpc(pb::AuthDisableRequest {}).await.unwrap();
}

pub async fn set_password(root: &Client, name: &str, password: &str) {
    let (name, password) = (name.to_owned(), password.to_owned());
    let change = pb::AuthUserChangePasswordRequest { name, password, ..Default::default() };
    root.rpc(change).await.unwrap();
}

/// How many logins came to the cluster.
pub fn logins(etcd: &Etcd) -> u64 {
    etcd.model(|cluster, _| {
        let ids = cluster.member_ids();
        ids.iter().filter_map(|id| cluster.replica(*id)).map(|it| it.auth().logins()).sum()
    })
}

/// Waits for all of these at once.
pub async fn join<F: Future + Unpin>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = futures.map(|it| (it, None)).collect();
    poll_fn(|cx| {
        for (future, output) in &mut pending {
            if output.is_none()
                && let Poll::Ready(ready) = std::pin::Pin::new(future).poll(cx)
            {
                *output = Some(ready);
            }
        }
        let is_over = pending.iter().all(|(_, output)| output.is_some());
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    pending.into_iter().filter_map(|(_, output)| output).collect()
}

/// Cuts all connections of a host to the cluster.
pub fn cut(world: &World, etcd: &Etcd, host: &Host) {
    for member in 0..etcd.members() {
        world.net().cut(host.id(), etcd.address(member), Cut::Reset);
    }
}
