//! Requests and answers that are too large, and a store that is full.

use super::kv_expect::{TOO_LARGE, only};
use super::kv_metrics::calls;
use crate::BoxError;
use crate::{Case, CaseResult, Ctx, Server, case};
use etcd3::proto::etcdserverpb::StatusRequest;
use etcd3::{Client, Code, Config, ErrorKind, Outcome, ServerError, all};
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(a_server_refuses_what_is_too_large, ["KV-002"]).plain_and_tls(),
    case!(a_server_with_a_small_limit_refuses_more, ["KV-023"]),
    case!(large_values_go_both_ways, ["KV-024"]).plain_and_tls(),
    case!(a_large_limit_is_that_of_the_whole_request, ["KV-025", "KV-027"]),
    case!(the_own_limit_keeps_a_request_here, ["KV-026", "KV-028"]).real("metrics"),
    case!(a_full_store_is_not_an_overload, ["KV-003"]).real("metrics"),
];

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Starts a server with this limit, and a client that sends up to `max_send`.
async fn limited(ctx: &Ctx, limit: usize, max_send: usize) -> Result<(Server, Client), BoxError> {
    let limit = limit.to_string();
    let server = ctx.server_with(|server| server.flag("--max-request-bytes", &limit)).await?;
    let config = Config::new([server.client_url()]).max_request_bytes(max_send);
    let client = ctx.connect_with(config).await?;
    Ok((server, client))
}

/// Asserts that a server refuses to put a value of so many bytes, and keeps its store.
async fn check_refused(client: &Client, len: usize) -> CaseResult {
    let error = client.put("foo", vec![b'x'; len]).await.unwrap_err();
    TOO_LARGE.is_answered(&error);
    assert_eq!(error.attempts(), 1);
    let store = client.get(all()).await?;
    assert_eq!((store.count, store.header.revision), (0, 1));
    Ok(())
}

/// KV-002, C40
async fn a_server_refuses_what_is_too_large(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    let config = Config::new([server.client_url()]).max_request_bytes(100 * MIB);
    let client = ctx.connect_with(config).await?;
    check_refused(&client, MIB + MIB / 2 + 100).await
}

/// KV-023, C40
async fn a_server_with_a_small_limit_refuses_more(ctx: Ctx) -> CaseResult {
    let limit = "256";
    let server = ctx.server_with(|server| server.flag("--max-request-bytes", limit)).await?;
    let client = ctx.connect([server.client_url()]).await?;
    check_refused(&client, KIB).await
}

/// KV-024, C42: with the limit that the client has by default for answers.
async fn large_values_go_both_ways(ctx: Ctx) -> CaseResult {
    let (_server, client) = limited(&ctx, 7 * MIB + MIB / 2, 7 * MIB).await?;
    let value: Vec<u8> = (0..=250).cycle().take(5 * MIB).collect();
    client.put("foo", &value).await?;
    let answer = client.get("foo").await?;
    assert_eq!(answer.kvs.len(), 1);
    assert!(answer.kvs[0].value == value, "{} bytes came back", answer.kvs[0].value.len());
    Ok(())
}

/// KV-025, KV-027, C40
async fn a_large_limit_is_that_of_the_whole_request(ctx: Ctx) -> CaseResult {
    let (_server, client) = limited(&ctx, 10 * MIB, 100 * MIB).await?;
    check_refused(&client, 10 * MIB).await?;
    check_refused(&client, 10 * MIB + 5).await
}

/// KV-026, KV-028
async fn the_own_limit_keeps_a_request_here(ctx: Ctx) -> CaseResult {
    let (server, client) = limited(&ctx, 10 * MIB, 10 * MIB).await?;
    for value in [10 * MIB, 10 * MIB + 5] {
        let error = client.put("foo", vec![b'x'; value]).await.unwrap_err();
        // Key and value have a tag each, and a length: one byte for 3, four for 10 MiB.
        let len = 2 + "foo".len() + 5 + value;
        assert_eq!(error.kind(), ErrorKind::RequestOverLimit { len, limit: 10 * MIB });
        assert_eq!(error.code(), Code::ResourceExhausted);
        assert_eq!(error.outcome(), Outcome::NotSent);
        assert_eq!((error.attempts(), error.status()), (0, None));
        let text = format!("larger than max_request_bytes ({len} vs. 10485760)");
        assert!(error.to_string().contains(&text), "{error}");
    }
    // A read behind the puts, on the same connection: nothing was on it before.
    assert_eq!(client.get(all()).await?.header.revision, 1);
    let metrics = server.metrics()?;
    assert_eq!(calls(&metrics, "Range"), 1);
    assert_eq!(calls(&metrics, "Put"), 0);
    Ok(())
}

/// KV-003, C51, I-R6
async fn a_full_store_is_not_an_overload(ctx: Ctx) -> CaseResult {
    const VALUE: usize = MIB + MIB / 2 - 50;
    // 1.2 times the limit of a request, and eight pages.
    let quota = ((MIB + MIB / 2) * 6 / 5 + 8 * 4096).to_string();
    let server = ctx.server_with(|server| server.flag("--quota-backend-bytes", &quota)).await?;
    let client = ctx.connect([server.client_url()]).await?;
    client.put("foo", vec![b'x'; VALUE]).await?;
    ctx.until("the value to be in the backend", Duration::from_secs(10), || async {
        let status = client.rpc(StatusRequest::default()).await;
        status.is_ok_and(|status| usize::try_from(status.db_size).is_ok_and(|size| size > VALUE))
    })
    .await?;
    let error = client.put("foo", vec![b'y'; VALUE]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server(ServerError::NoSpace), "{error}");
    let status = error.status().ok_or("no server answered")?;
    assert_eq!(status.code, Code::ResourceExhausted);
    assert_eq!(status.message, "etcdserver: mvcc: database space exceeded");
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    assert_eq!(error.attempts(), 1, "it is not tried again");
    assert!(!error.is_retryable());
    let metrics = server.metrics()?;
    assert_eq!(calls(&metrics, "Put"), 2);
    assert!(only(&client.get("foo").await?).value.starts_with(b"x"));
    Ok(())
}
