//! Closed clients, dropped calls, and a server that is gone.

use super::kv_expect::only;
use super::kv_metrics::calls;
use crate::BoxError;
use crate::{Case, CaseResult, Ctx, Server, case};
use etcd3::{Client, Code, Config, Error, ErrorKind, Get, Outcome, Phase, Request};
use etcd3_lab::Bridge;
use futures_lite::future::poll_once;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(a_closed_client_fails_at_once, ["KV-009"]).plain_and_tls(),
    case!(a_request_outlives_its_client, ["KV-010"]),
    case!(a_dropped_call_leaves_the_connection_alone, ["KV-019"]).real("a bridge"),
    case!(a_read_from_a_stopped_server_times_out, ["KV-020"]),
    case!(a_put_to_a_stopped_server_fails, ["KV-021"]),
    case!(a_put_is_sent_at_most_once, ["KV-022"]).real("a bridge"),
];

/// Asserts that the client, not a server, ended a call that had not been sent.
#[track_caller]
fn check_closed(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    assert_eq!(error.code(), Code::Canceled, "{error}");
    assert_eq!((error.outcome(), error.status()), (Outcome::NotSent, None), "{error}");
}

/// Asserts that a deadline of this client ended a call that waited for a connection.
#[track_caller]
fn check_timed_out(error: &Error, outcome: Outcome) {
    assert_eq!(error.kind(), ErrorKind::TimedOut(Phase::Connection), "{error}");
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    assert_eq!((error.outcome(), error.status()), (outcome, None), "{error}");
}

/// KV-009
async fn a_closed_client_fails_at_once(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    client.put("foo", "bar").await?;
    client.close().await;
    let begin = ctx.rt.now();
    let error = ctx.spawn(client.get("foo").into_future()).await.unwrap_err();
    let took = ctx.rt.now().saturating_since(begin);
    assert!(took < ctx.at_most(Duration::from_secs(1)), "it took {took:?}");
    check_closed(&error);
    Ok(())
}

/// KV-010: a request that was made before, and a clone.
async fn a_request_outlives_its_client(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let kept: Request<Get> = client.get("foo");
    let clone = client.clone();
    client.close().await;
    drop(client);
    let begin = ctx.rt.now();
    check_closed(&kept.await.unwrap_err());
    check_closed(&clone.get("foo").await.unwrap_err());
    let took = ctx.rt.now().saturating_since(begin);
    assert!(took < ctx.at_most(Duration::from_secs(1)), "it took {took:?}");
    Ok(())
}

/// KV-019, I-R4
async fn a_dropped_call_leaves_the_connection_alone(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    let bridge = Bridge::new(server.addr())?;
    let client = ctx.connect([bridge.url()]).await?;
    client.put("foo", "bar").await?;
    let before = bridge.connections();
    assert_eq!((before.accepted, before.live), (1, 1));

    drop(client.get("foo").into_future());
    let late = client.get("foo").timeout(Duration::ZERO).await.unwrap_err();
    check_timed_out(&late, Outcome::NotSent);
    assert_eq!(late.attempts(), 0);
    let asked = calls(&server.metrics()?, "Range");
    assert_eq!(asked, 0, "neither was sent");

    let mut running = client.get("foo").into_future();
    // A fast server may answer while the call is still at work.
    while poll_once(&mut running).await.is_some() {
        running = client.get("foo").into_future();
    }
    drop(running);
    assert_eq!(only(&client.get("foo").await?).value, "bar");
    assert_eq!(bridge.connections(), before);
    Ok(())
}

/// Starts a server, connects a client to it, and stops the server.
async fn stopped_server(ctx: &Ctx) -> Result<(Server, Client), BoxError> {
    let (server, client) = ctx.server_and_client().await?;
    client.put("foo", "bar").await?;
    let server = ctx.blocking(move || server.terminate().map(|()| server)).await?;
    Ok((server, client))
}

/// Closes a client that tries to reconnect.
async fn close(ctx: &Ctx, client: &Client) -> CaseResult {
    ctx.within(Duration::from_secs(5), client.close()).await.ok_or("close takes too long")?;
    check_closed(&client.get("foo").await.unwrap_err());
    Ok(())
}

/// KV-020, I-R4
async fn a_read_from_a_stopped_server_times_out(ctx: Ctx) -> CaseResult {
    let (_server, client) = stopped_server(&ctx).await?;
    let begin = ctx.rt.now();
    let error = client.get("foo").timeout(Duration::from_secs(1)).await.unwrap_err();
    let took = ctx.rt.now().saturating_since(begin);
    assert_eq!(error.kind(), ErrorKind::TimedOut(Phase::Connection), "{error}");
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    let bounds = Duration::from_secs(1)..ctx.at_most(Duration::from_secs(3));
    assert!(bounds.contains(&took), "{took:?}");
    close(&ctx, &client).await
}

/// KV-021, R40
async fn a_put_to_a_stopped_server_fails(ctx: Ctx) -> CaseResult {
    let (_server, client) = stopped_server(&ctx).await?;
    let second = Duration::from_secs(1);
    client.get("foo").timeout(second).await.unwrap_err();
    let error = client.put("foo", "bar").timeout(second).await.unwrap_err();
    // Of the codes that are allowed, this is that of a call that found no connection.
    check_timed_out(&error, Outcome::NotSent);
    close(&ctx, &client).await
}

/// KV-022, I-R1
async fn a_put_is_sent_at_most_once(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    let bridge = Arc::new(Bridge::new(server.addr())?);
    // An endpoint whose connections keep breaking is dialled again without a long wait.
    let backoff = Duration::from_millis(5);
    let config =
        Config::new([bridge.url()]).reconnect_backoff_min(backoff).reconnect_backoff_max(backoff);
    let client = ctx.connect_with(config).await?;
    client.put("k", "1").await?;
    let (mut done, mut unknown) = (0, 0);
    // It goes on after an error, and values are large, so that more puts meet a cut.
    for round in 0..10 {
        bridge.drop_all();
        let (cutting, beside) = (Arc::clone(&bridge), ctx.clone());
        let cuts = ctx.spawn(async move {
            for _ in 0..10 {
                cutting.drop_all();
                beside.pause(Duration::from_millis(5)).await;
            }
        });
        match client.put("k", vec![round; 200_000]).await {
            Ok(_) => done += 1,
            Err(error) => {
                assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
                assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
                unknown += 1;
            }
        }
        cuts.await;
    }
    let cuts = bridge.connections().accepted;
    assert!(cuts > 10, "only {cuts} connections were made, so puts met no cut");
    let sent = calls(&server.metrics()?, "Put");
    assert!(sent <= 11, "a put was sent twice: the server got {sent}");
    let version = only(&client.get("k").await?).version;
    assert!(version <= 11, "a put was applied twice: version {version}");
    assert!((done + 1..=done + unknown + 1).contains(&version), "{done} + {unknown}, {version}");
    Ok(())
}
