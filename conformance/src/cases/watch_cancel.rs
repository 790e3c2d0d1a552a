//! Watches that are cancelled, dropped or closed: at once, and at the server, too.

use super::watch_expect::{LIMIT, Reader, lines, revision};
use crate::{Case, CaseResult, Ctx, Member, Server, WatchCounts, case, watching};
use etcd3::{ErrorKind, Watch};
use futures_lite::future::poll_once;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(a_watch_that_is_cancelled_ends_at_once, ["WATCH-006", "WATCH-007", "WATCH-008"]),
    case!(nothing_comes_after_a_cancellation, ["WATCH-047", "WATCH-048"]),
    case!(watches_end_with_their_client, ["WATCH-019", "WATCH-032"]),
    case!(cancelling_needs_no_server, ["WATCH-031"]),
    case!(cancelled_streams_are_gone_at_the_server, ["WATCH-026"]),
    case!(watches_that_come_and_go_leave_nothing_behind, ["WATCH-063", "WATCH-064"]),
    case!(a_stream_is_not_left_to_who_asks_for_progress, ["WATCH-015"]),
];

/// Waits until so much is watched at a server.
async fn until_counts(ctx: &Ctx, server: &Server, streams: i64, watchers: i64) -> CaseResult {
    let expected = WatchCounts { streams, watchers };
    let what = format!("{expected:?} at the server, which has {:?}", server.watch_counts()?);
    let is_so = || async { server.watch_counts().is_ok_and(|counts| counts == expected) };
    ctx.until(&what, LIMIT, is_so).await
}

/// Asserts that a watch is over, without waiting for anything.
async fn is_over(watch: &mut Watch) {
    let next = poll_once(watch.next()).await;
    assert!(matches!(next, Some(None)), "{next:?}");
}

/// WATCH-006, WATCH-007, WATCH-008, I-W9
async fn a_watch_that_is_cancelled_ends_at_once(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    // Cancelled before it began: here a future that is dropped.
    drop(client.watch("a").send());
    let begun = client.watch("a").from_revision(1).send();
    let mut begun = Box::pin(begun);
    assert!(poll_once(&mut begun).await.is_none(), "nobody answers that fast");
    drop(begun);
    until_counts(&ctx, &server, 0, 0).await?;

    let mut watch = client.watch("a").await?;
    watch.handle().cancel().await;
    is_over(&mut watch).await;

    let mut watch = client.watch("a").await?;
    let base = client.put("a", "b").await?.header.revision - 1;
    let handle = watch.handle();
    let mut seen = vec![];
    if let Some(Some(batch)) = poll_once(watch.next()).await {
        seen.extend(batch?);
    }
    handle.cancel().await;
    is_over(&mut watch).await;
    assert!(seen.is_empty() || lines(base, &seen) == ["1 a=b"], "{seen:?}");
    until_counts(&ctx, &server, 0, 0).await
}

/// WATCH-047, WATCH-048
async fn nothing_comes_after_a_cancellation(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    let mut other = Reader::new(&ctx, client.watch("foo").await?);
    let base = revision(&client).await?;
    for start in [0, 1] {
        let mut watch = client.watch("foo").from_revision(start).await?;
        watch.handle().cancel().await;
        client.put("foo", "bar").await?;
        until_counts(&ctx, &server, 1, 1).await?;
        is_over(&mut watch).await;
    }
    let seen = other.all_to(base + 2).await?;
    assert_eq!(lines(base, &seen), ["1 foo=bar", "2 foo=bar"], "the other one goes on");
    Ok(())
}

/// WATCH-019, WATCH-032, I-W13
async fn watches_end_with_their_client(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    let mut pending = Reader::new(&ctx, client.watch("a").await?);
    let mut canceled = client.watch("a").await?;
    canceled.handle().cancel().await;
    client.close().await;
    assert_eq!(pending.end().await?.kind(), ErrorKind::Closed);
    is_over(&mut canceled).await;
    assert_eq!(client.watch("a").await.unwrap_err().kind(), ErrorKind::Closed);
    until_counts(&ctx, &server, 0, 0).await
}

/// WATCH-031, I-W9
async fn cancelling_needs_no_server(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster_with(|it| it.members(1)).await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    let mut watch = client.watch("abc").await?;
    ctx.order(&cluster.member(0), Member::kill).await?;
    ctx.until("the loss of the stream", LIMIT, || async { !watch.status().is_live }).await?;
    let cancel = watch.handle();
    let cancelled = ctx.within(Duration::from_secs(1), cancel.cancel()).await;
    cancelled.ok_or("the cancellation waits")?;
    is_over(&mut watch).await;
    Ok(())
}

/// WATCH-026, I-W9
async fn cancelled_streams_are_gone_at_the_server(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    let mut watches = vec![];
    for _ in 0..10 {
        watches.push(client.watch("a").own_stream().await?);
    }
    until_counts(&ctx, &server, 10, 10).await?;
    for watch in watches {
        watch.cancel().await;
    }
    until_counts(&ctx, &server, 0, 0).await
}

/// WATCH-063, WATCH-064, W38, W81, I-W9: the short form; the long one is `src/bin/watches.rs`.
async fn watches_that_come_and_go_leave_nothing_behind(ctx: Ctx) -> CaseResult {
    watching::come_and_go(&ctx, 1_000).await?;
    Ok(())
}

/// WATCH-015: progress is asked for by a watch, so that there is no stream without one.
async fn a_stream_is_not_left_to_who_asks_for_progress(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    let watch = client.watch("a").await?;
    client.put("b", "").await?;
    let handle = watch.handle();
    watch.cancel().await;
    let error = handle.request_progress().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WatchCanceled);
    until_counts(&ctx, &server, 0, 0).await
}
