//! Logging in, and what becomes of clients whose token, password or user goes away.

use super::auth_expect::{
    AUTH_FAILED, DENIED, Guarded, ROLE, ROOT_PASSWORD, USER, USER_EMPTY, USER_PASSWORD, config,
};
use super::kv_expect::only;
use super::kv_metrics::sum;
use super::lease_expect::{LIMIT, seconds};
use super::watch_expect::{Reader, lines};
use crate::{BoxError, Case, CaseResult, Ctx, Member, case};
use etcd3::PermissionType::ReadWrite;
use etcd3::proto::etcdserverpb as pb;
use etcd3::{Client, Error};
use etcd3_lab::etcd::Version;

const JWT: &str = "JSON web tokens";

pub(super) const CASES: &[Case] = &[
    case!(passwords_log_in, ["AUTH-002", "AUTH-003", "AUTH-012"]).plain_and_tls(),
    case!(a_deleted_user_is_told_that_its_login_fails, ["AUTH-010"]).plain_and_tls(),
    case!(authentication_goes_off_under_its_users, ["AUTH-006", "AUTH-058"]).plain_and_tls(),
    case!(authentication_stays_off_over_a_restart, ["AUTH-007"]),
    case!(a_jwt_that_expired_is_renewed, ["AUTH-037"]).real(JWT),
    case!(a_token_may_be_made_by_others, ["AUTH-038"]).real(JWT),
    case!(the_auth_revision_survives_a_restart, ["AUTH-039"]).real(JWT).since(Version::minor(3, 5)),
    case!(a_token_outlives_a_restart_or_is_renewed, ["AUTH-040"]).real(JWT),
    case!(a_token_of_an_old_revision_is_renewed, ["AUTH-069"]).real(JWT),
    case!(all_connections_share_a_token, ["AUTH-096"]).real("metrics"),
];

/// Asserts that a client cannot log in: the first call that needs to is told so.
async fn cannot_log_in(client: Result<Client, Error>) -> CaseResult {
    let error = match client {
        Err(error) => error,
        Ok(client) => client.get("foo").await.err().ok_or("logged in")?,
    };
    AUTH_FAILED.is_read_from(&error);
    Ok(())
}

/// AUTH-002, AUTH-003, AUTH-012
async fn passwords_log_in(ctx: Ctx) -> CaseResult {
    let it = Guarded::server(&ctx).await?;
    let (auth, nobody) = (it.root.auth(), it.nobody().await?);
    // AUTH-002
    let authenticate = |password: &str| {
        let (name, password) = ("foo".to_owned(), password.to_owned());
        nobody.rpc(pb::AuthenticateRequest { name, password })
    };
    auth.user_add("foo", "bar").await?;
    assert!(!authenticate("bar").await?.token.is_empty());
    auth.user_delete("foo").await?;
    AUTH_FAILED.is_answered(&authenticate("bar").await.unwrap_err());
    auth.user_add("foo", "bar").await?;
    authenticate("bar").await?;
    for password in ["bar2", "bar1"] {
        auth.user_change_password("foo", password).await?;
    }
    AUTH_FAILED.is_answered(&authenticate("bar").await.unwrap_err());
    AUTH_FAILED.is_answered(&authenticate("bar2").await.unwrap_err());
    authenticate("bar1").await?;

    // AUTH-003, AUTH-012
    USER_EMPTY.is_answered(&nobody.auth().user_add("a", "b").await.unwrap_err());
    cannot_log_in(it.login("a", "b").await).await?;
    cannot_log_in(it.login(USER, "bad").await).await?;
    cannot_log_in(it.login("foo", "bar2").await).await?;
    let root = it.login("root", ROOT_PASSWORD).await?;
    assert_eq!(root.auth().user_list().await?.users, ["foo", "root", USER]);
    root.put("foo", "1").await?;
    assert_eq!(only(&root.get("foo").await?).value, "1");
    it.user.put("foo", "2").await?;
    let user = it.login("foo", "bar1").await?;
    DENIED.is_answered(&user.put("foo", "3").await.unwrap_err());
    Ok(())
}

/// AUTH-010
async fn a_deleted_user_is_told_that_its_login_fails(ctx: Ctx) -> CaseResult {
    let it = Guarded::server(&ctx).await?;
    it.user.put("foo", "1").await?;
    it.root.auth().user_delete(USER).await?;
    for _ in 0..2 {
        AUTH_FAILED.is_read_from(&it.user.put("foo", "2").await.unwrap_err());
    }
    // It goes on by itself once there is such a user again; logins are tried at intervals.
    it.root.auth().user_add(USER, USER_PASSWORD).await?;
    it.root.auth().user_grant_role(USER, ROLE).await?;
    ctx.until("a login", LIMIT, || async { it.user.put("foo", "3").await.is_ok() }).await?;
    assert_eq!(only(&it.root.get("foo").await?).value, "3");
    Ok(())
}

/// AUTH-006, AUTH-058, I-A3: and on again.
async fn authentication_goes_off_under_its_users(ctx: Ctx) -> CaseResult {
    let it = Guarded::server(&ctx).await?;
    DENIED.is_answered(&it.user.put("hoo", "1").await.unwrap_err());
    let writer = it.root.clone();
    let writing = ctx.spawn(async move {
        let mut written = 0;
        while written < 100 {
            writer.put("loop", written.to_string()).await?;
            written += 1;
        }
        Ok::<_, Error>(())
    });
    it.root.auth().disable().await?;
    it.user.put("hoo", "2").await?;
    it.user.put("hoo", "3").await?;
    writing.await?;
    let nobody = it.nobody().await?;
    assert_eq!(only(&nobody.get("loop").await?).value, "99");
    nobody.auth().enable().await?;
    DENIED.is_answered(&it.user.put("hoo", "4").await.unwrap_err());
    it.user.put("foo", "5").await?;
    assert_eq!(only(&it.root.get("hoo").await?).value, "3");
    Ok(())
}

/// AUTH-007
async fn authentication_stays_off_over_a_restart(ctx: Ctx) -> CaseResult {
    let it = Guarded::server(&ctx).await?;
    it.root.auth().disable().await?;
    ctx.order(&it.cluster.member(0), Member::terminate).await?;
    ctx.order(&it.cluster.member(0), Member::restart).await?;
    // A write that finds no leader yet would have an unknown outcome.
    it.root.get("key").timeout(LIMIT).await?;
    let watch = it.root.watch("key").from_revision(1).timeout(LIMIT).await?;
    let mut reader = Reader::new(&ctx, watch);
    let put = it.root.put("key", "value").timeout(LIMIT).await?.header.revision;
    assert_eq!(lines(put, &reader.take(1).await?), ["0 key=value"]);
    Ok(())
}

async fn with_jwt(ctx: &Ctx, ttl: u64) -> Result<Guarded, BoxError> {
    Guarded::by_password(ctx, |cluster| cluster.members(1).jwt(seconds(ttl))).await
}

/// AUTH-037
async fn a_jwt_that_expired_is_renewed(ctx: Ctx) -> CaseResult {
    let it = with_jwt(&ctx, 1).await?;
    it.user.put("foo", "1").await?;
    // What the case is about: expiry counts in whole seconds.
    ctx.pause(seconds(3)).await;
    it.user.put("foo", "2").await?;
    Ok(())
}

/// AUTH-038, A9
async fn a_token_may_be_made_by_others(ctx: Ctx) -> CaseResult {
    let it = with_jwt(&ctx, 60).await?;
    let (name, password) = (USER.to_owned(), USER_PASSWORD.to_owned());
    let made = it.nobody().await?.rpc(pb::AuthenticateRequest { name, password }).await?.token;
    let logins = || -> Result<u64, BoxError> { logins(&it) };
    let before = logins()?;
    let with_token = config(&ctx, it.cluster.client_urls()).token(made);
    let client = ctx.connect_with(with_token).await?;
    client.put("foo", "1").await?;
    DENIED.is_answered(&client.put("hoo", "1").await.unwrap_err());
    assert_eq!(logins()?, before, "it never logs in");
    Ok(())
}

/// Returns how many logins the members have seen.
fn logins(it: &Guarded) -> Result<u64, BoxError> {
    let mut count = 0;
    for member in it.cluster.members() {
        let label = "grpc_method=\"Authenticate\"";
        count += sum(&member.metrics()?, "grpc_server_started_total", &[label]);
    }
    Ok(count)
}

/// AUTH-039
async fn the_auth_revision_survives_a_restart(ctx: Ctx) -> CaseResult {
    let it = with_jwt(&ctx, 60).await?;
    it.root.auth().user_add("more", "more").await?;
    it.root.auth().user_delete("more").await?;
    let before = it.root.auth().status().await?;
    ctx.order(&it.cluster.member(0), Member::restart).await?;
    let after = it.root.auth().status().timeout(LIMIT).await?;
    assert!(before.enabled && after.enabled);
    assert_eq!(before.auth_revision, after.auth_revision);
    Ok(())
}

/// AUTH-040, A8: simple tokens are forgotten.
async fn a_token_outlives_a_restart_or_is_renewed(ctx: Ctx) -> CaseResult {
    for it in [with_jwt(&ctx, 60).await?, Guarded::server(&ctx).await?] {
        it.user.put("foo", "1").await?;
        ctx.order(&it.cluster.member(0), Member::restart).await?;
        it.user.put("foo", "2").timeout(LIMIT).await?;
    }
    Ok(())
}

/// AUTH-069, A9: each change of users makes all tokens old, also between others of the same client.
async fn a_token_of_an_old_revision_is_renewed(ctx: Ctx) -> CaseResult {
    let it = with_jwt(&ctx, 60).await?;
    let tasks = ["a", "b"].map(|task| {
        let client = it.root.clone();
        ctx.spawn(async move {
            for n in 0..5 {
                let name = format!("{task}{n}");
                let auth = client.auth();
                auth.role_add(&name).await?;
                auth.role_grant_permission(&name, "k", ReadWrite).await?;
                auth.user_add(&name, "pw").await?;
                client.put(&name, "").await?;
            }
            Ok::<_, Error>(())
        })
    });
    for task in tasks {
        task.await?;
    }
    assert_eq!(it.root.auth().user_list().await?.users.len(), 12);
    Ok(())
}

/// AUTH-096, I-A1: in place of a token of its own for each connection.
async fn all_connections_share_a_token(ctx: Ctx) -> CaseResult {
    let it = Guarded::by_password(&ctx, |cluster| cluster.members(3)).await?;
    let before = logins(&it)?;
    let user = it.login(USER, USER_PASSWORD).await?;
    ctx.until_connected(&user).await?;
    for url in it.cluster.client_urls() {
        user.pinned_to(url.as_str())?.put("foo", "1").await?;
        let mut watch = Reader::new(&ctx, user.pinned_to(url)?.watch("foo").await?);
        user.put("foo", "2").await?;
        watch.take(1).await?;
    }
    let lease = user.grant(seconds(60)).await?.id;
    user.put("foo", "3").lease(lease).await?;
    user.keep_alive_once(lease).await?;
    assert_eq!(logins(&it)?, before + 1);
    Ok(())
}
