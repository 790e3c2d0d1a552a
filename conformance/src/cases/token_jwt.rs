//! JWTs, which expire at a time that they tell, and die with every change of users.

use super::kv_metrics::sum;
use super::token_expect::{PASSWORD, add_user, connect, guard, logins, quick};
use crate::{BoxError, Case, CaseResult, Ctx, Server, case};
use etcd3::{Client, ErrorKind, Secret, ServerError, TokenReason};
use etcd3_core::auth::Login;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(a_jwt_is_renewed_before_it_expires, []).real("JWTs"),
    case!(a_jwt_that_has_expired_is_renewed, ["AUTH-037"]).real("JWTs"),
    case!(a_jwt_of_others_is_asked_for_when_users_change, ["AUTH-038"]).real("JWTs"),
];

const SECOND: Duration = Duration::from_secs(1);

/// A server that signs its tokens by a secret of its own; they live for so many seconds.
async fn signing(ctx: &Ctx, ttl: u32) -> Result<(Server, tempfile::TempDir), BoxError> {
    let folder = tempfile::tempdir()?;
    let key = folder.path().join("secret");
    std::fs::write(&key, format!("a secret of {:?} in this test alone", ctx.rt.seed()))?;
    let token = format!("jwt,priv-key={},sign-method=HS256,ttl={ttl}s", key.display());
    let server = ctx.server_with(|server| quick(server).flag("--auth-token", &token)).await?;
    Ok((server, folder))
}

/// Returns how many calls ended so that the client has to log in.
fn refusals(server: &Server) -> Result<u64, BoxError> {
    let labels = ["grpc_code=\"Unauthenticated\""];
    Ok(sum(&server.metrics()?, "grpc_server_handled_total", &labels))
}

/// A9, A17
async fn a_jwt_is_renewed_before_it_expires(ctx: Ctx) -> CaseResult {
    let (server, _key) = signing(&ctx, 4).await?;
    guard(&ctx, server.client_url()).await?;
    let client = connect(&ctx, server.client_url(), "app").await?;
    let before = (logins(&server)?, refusals(&server)?);
    for _ in 0..100 {
        client.put("a", "v").await?;
        ctx.pause(SECOND / 10).await;
    }
    let after = (logins(&server)?, refusals(&server)?);
    assert_eq!(after.1 - before.1, 0, "no call was refused");
    let made = after.0 - before.0;
    assert!((2..=6).contains(&made), "{made} logins in ten seconds and more");
    Ok(())
}

/// AUTH-037
async fn a_jwt_that_has_expired_is_renewed(ctx: Ctx) -> CaseResult {
    let (server, _key) = signing(&ctx, 2).await?;
    guard(&ctx, server.client_url()).await?;
    let client = connect(&ctx, server.client_url(), "app").await?;
    client.put("a", "v").await?;
    let before = logins(&server)?;
    ctx.pause(4 * SECOND).await;
    client.put("a", "v").await?;
    assert!(logins(&server)? - before <= 2);
    Ok(())
}

/// Asks the server for a token, as if it were signed elsewhere.
async fn sign(anonymous: &Client) -> Result<Secret, etcd3::Error> {
    anonymous.execute(Login::new("app", PASSWORD)).await
}

/// AUTH-038, A9, case 2: on a real server.
async fn a_jwt_of_others_is_asked_for_when_users_change(ctx: Ctx) -> CaseResult {
    let (server, _key) = signing(&ctx, 300).await?;
    let root = guard(&ctx, server.client_url()).await?;
    let anonymous = ctx.connect([server.client_url()]).await?;
    let given = etcd3::Config::new([server.client_url()]).token(sign(&anonymous).await?);
    let given = ctx.connect_with(given).await?;
    given.put("a", "v").await?;

    let reasons = Arc::new(Mutex::new(Vec::new()));
    let (noted, signer) = (Arc::clone(&reasons), anonymous.clone());
    let source = etcd3::Config::new([server.client_url()]).token_source(move |reason| {
        noted.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(reason);
        let signer = signer.clone();
        async move { sign(&signer).await }
    });
    let client = ctx.connect_with(source).await?;
    client.put("a", "v").await?;
    add_user(&root, "more", "k", "l").await?;
    let puts: Vec<_> =
        (0..100).map(|n| ctx.spawn(client.put(format!("a{n}"), "v").send())).collect();
    for put in puts {
        put.await?;
    }
    let reasons = reasons.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    assert_eq!(reasons, [TokenReason::First, TokenReason::OldRevision]);
    let error = given.put("a", "v").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server(ServerError::AuthOldRevision));
    assert_eq!(error.attempts(), 1);
    Ok(())
}
