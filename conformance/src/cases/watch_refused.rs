//! Watches that a server or a proxy does not take.

use super::watch_expect::{LIMIT, Reader, lines, revision};
use crate::{Case, CaseResult, Ctx, Member, case};
use etcd3::{Config, ErrorKind, KeyRange, Outcome, ServerError};
use std::error::Error as _;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(empty_ranges_are_refused_and_nothing_else, ["WATCH-044"]),
    case!(who_is_nobody_is_refused_within_the_stream, []).real("authentication"),
    case!(a_proxy_refuses_without_a_reason, []).real("a process of etcd's grpc-proxy"),
];

/// Returns what the sources of an error say.
fn source(error: &etcd3::Error) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}

/// WATCH-044, W13, I-W8
async fn empty_ranges_are_refused_and_nothing_else(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    let base = revision(&client).await?;
    let mut good = Reader::new(&ctx, client.watch("a").await?);
    let ranges = [("a", "a"), ("b", "a"), ("foo", "foa")];
    for (start, (key, end)) in [1, 0, 1].into_iter().zip(ranges) {
        let watch = client.watch(KeyRange::from_wire(key, end)).from_revision(start);
        let error = watch.await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::WatchRefused, Outcome::Rejected));
        assert!(source(&error).contains("range is empty"), "{error}: {}", source(&error));
    }
    client.put("a", "b").await?;
    assert_eq!(lines(base, &good.take(1).await?), ["1 a=b"]);
    let counts = server.watch_counts()?;
    assert_eq!((counts.streams, counts.watchers), (1, 1));
    Ok(())
}

/// Switches authentication on, with one user.
fn enable_auth(member: &Member) -> Result<(), etcd3_lab::Error> {
    let root = r#"{"name":"root","password":"pw"}"#;
    member.http_post("/v3/auth/user/add", root)?;
    member.http_post("/v3/auth/role/add", r#"{"name":"root"}"#)?;
    member.http_post("/v3/auth/user/grant", r#"{"user":"root","role":"root"}"#)?;
    member.http_post("/v3/auth/enable", "{}")?;
    Ok(())
}

/// W14, W15, H8: the client cannot authenticate yet, so that it has no token to renew.
async fn who_is_nobody_is_refused_within_the_stream(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster_with(|it| it.members(1)).await?;
    let member = cluster.member(0);
    let client = ctx.connect([member.client_url()]).await?;
    let base = client.put("a", "b").await?.header.revision;
    let mut before = Reader::new(&ctx, client.watch("a").from_revision(base).await?);
    assert_eq!(lines(base, &before.take(1).await?), ["0 a=b"]);
    let enabling = std::sync::Arc::clone(&member);
    ctx.blocking(move || enable_auth(&enabling)).await?;
    for _ in 0..2 {
        let error = client.watch("a").from_revision(base).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Server(ServerError::UserEmpty), "{error}");
        assert_eq!(error.outcome(), Outcome::Rejected);
    }
    assert!(before.handle().status().is_live, "who was there before stays");
    Ok(())
}

/// W25, I-W8, I-W11: next to a good watch on the same stream.
async fn a_proxy_refuses_without_a_reason(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    let proxy = ctx.grpc_proxy([server.client_url()]).await?;
    let config = Config::new([proxy.url()])
        .request_timeout(Duration::from_secs(2))
        .attempt_timeout(Duration::from_millis(500))
        .watch_probe_interval(Duration::from_secs(1));
    let client = ctx.connect_with(config).await?;
    let direct = ctx.connect([server.client_url()]).await?;
    let base = revision(&direct).await?;
    let mut good = Reader::new(&ctx, client.watch("a").timeout(LIMIT).await?);
    let reversed = client.watch(KeyRange::from_wire("b", "a")).from_revision(1);
    let error = reversed.timeout(LIMIT).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::WatchRefused, Outcome::Rejected));
    assert!(source(&error).contains("no reason"), "{error}: {}", source(&error));
    direct.put("a", "1").await?;
    assert_eq!(lines(base, &good.take(1).await?), ["1 a=1"]);

    let handle = good.handle();
    let error = handle.request_progress().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TimedOut(_)), "{error}");
    // Silence is found out about in another way.
    let mut longest = Duration::ZERO;
    ctx.until("an answer to a probe", LIMIT, || {
        let age = handle.status().age.unwrap_or_default();
        let is_answered = age < longest && longest > Duration::from_secs(1);
        longest = longest.max(age);
        async move { is_answered }
    })
    .await?;
    let status = handle.status();
    assert!(status.is_live && status.last_error.is_none(), "{status:?}");
    direct.put("a", "2").await?;
    assert_eq!(lines(base, &good.take(1).await?), ["2 a=2"]);
    Ok(())
}
