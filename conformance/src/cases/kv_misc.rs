//! Errors told apart, operations as values, compaction, and the limits on sizes and space.

use super::kv_expect::{COMPACTED, EMPTY_KEY, LEASE_NOT_FOUND, TOO_LARGE, keys, only};
use crate::{Case, CaseResult, Ctx, case};
use etcd3::{
    Client, Code, Config, Error, ErrorKind, Op, OpResponse, Outcome, Phase, ServerError, delete,
    get, put, txn,
};
use etcd3_lab::Bridge;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(a_put_within_its_timeout_is_fine, ["KV-135"]),
    case!(the_errors_of_a_put_can_be_told_apart, ["KV-136"]).real("a bridge"),
    case!(the_revision_just_read_can_be_compacted_to, ["KV-141"]),
    case!(any_operation_runs_as_a_value, ["KV-142"]),
    case!(a_request_over_the_limit_has_one_kind_however_refused, ["KV-105"]),
    case!(a_small_limit_of_the_server_is_told, ["KV-123"]),
    case!(a_large_limit_of_the_server_is_used_up_to_the_end, ["KV-124", "KV-125", "KV-126"]),
    case!(a_full_quota_is_told_and_the_outcome_is_unknown, ["KV-106"])
        .real("a restart with other flags"),
];

const MIB: usize = 1 << 20;

/// KV-135
async fn a_put_within_its_timeout_is_fine(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let put = client.put("sample_key", "sample_value").timeout(Duration::from_secs(10)).await?;
    assert_eq!(put.header.revision, 2);
    assert_eq!(only(&client.get("sample_key").await?).value, "sample_value");
    Ok(())
}

/// KV-136, R40
async fn the_errors_of_a_put_can_be_told_apart(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    let bridge = Bridge::new(server.addr())?;
    let client = ctx.connect([bridge.url()]).await?;
    EMPTY_KEY.is_answered(&client.put("", "bar").await.unwrap_err());
    LEASE_NOT_FOUND.is_answered(&client.put("foo", "bar").lease(123_456).await.unwrap_err());

    bridge.blackhole();
    let deadline = client.put("foo", "bar").timeout(Duration::from_millis(100));
    let deadline = deadline.await.unwrap_err();
    assert_eq!(deadline.kind(), ErrorKind::TimedOut(Phase::Answer));
    assert_eq!((deadline.code(), deadline.outcome()), (Code::DeadlineExceeded, Outcome::Unknown));
    assert!(!deadline.is_retryable(), "the server may yet execute it");

    let put = ctx.spawn(client.put("foo", "bar").into_future());
    client.close().await;
    let cancelled = put.await.unwrap_err();
    assert_eq!((cancelled.kind(), cancelled.code()), (ErrorKind::Closed, Code::Canceled));
    let late = client.put("foo", "bar").await.unwrap_err();
    assert_eq!((late.kind(), late.outcome()), (ErrorKind::Closed, Outcome::NotSent));
    Ok(())
}

/// KV-141, K28
async fn the_revision_just_read_can_be_compacted_to(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    client.put("foo", "bar1").await?;
    client.put("foo", "bar2").await?;
    let read = client.get("foo").await?;
    let revision = read.header.revision;
    let compacted = client.compact(revision).await?;
    assert_eq!(compacted.header.revision, revision);
    assert_eq!(only(&client.get("foo").revision(revision).await?).value, "bar2");
    COMPACTED.is_answered(&client.get("foo").revision(revision - 1).await.unwrap_err());
    COMPACTED.is_answered(&client.compact(revision).await.unwrap_err());
    Ok(())
}

/// KV-142
async fn any_operation_runs_as_a_value(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let put = |name: &str, value: &str| client.execute(Op::from(put(name, value)));
    let first = put("put-key", "123").await?.into_put().ok_or("no put")?;
    let read = client.execute(Op::from(get("put-key"))).await?.into_get().ok_or("no read")?;
    assert_eq!(only(&read).value, "123");
    assert_eq!(only(&read).mod_revision, first.header.revision);
    let second = put("put-key", "456").await?.into_put().ok_or("no put")?;
    assert_eq!(second.header.revision, first.header.revision + 1);
    let both =
        client.execute(Op::from(txn().then([get("put-key")]))).await?.into_txn().ok_or("no txn")?;
    assert_eq!(both.get(0).map(|read| only(read).value.clone()), Some("456".into()));
    let deleted = client.execute(Op::from(delete("put-key").prev_kv())).await?;
    let OpResponse::Delete(deleted) = deleted else { return Err("no deletion".into()) };
    assert_eq!((deleted.deleted, &deleted.prev_kvs[0].value[..]), (1, &b"456"[..]));
    Ok(())
}

fn big(len: usize) -> Vec<u8> {
    vec![b'x'; len]
}

/// KV-105, C41
async fn a_request_over_the_limit_has_one_kind_however_refused(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    let careful = ctx.connect([server.client_url()]).await?;
    let by_etcd = careful.put("foo", big(1624 << 10)).await.unwrap_err();
    TOO_LARGE.is_answered(&by_etcd);

    let config = Config::new([server.client_url()]).max_request_bytes(8 * MIB);
    let bold = ctx.connect_with(config).await?;
    let by_grpc = bold.put("foo", big(3 * MIB)).await.unwrap_err();
    assert_eq!(by_grpc.kind(), by_etcd.kind(), "one kind");
    assert_eq!(by_grpc.kind(), ErrorKind::Server(ServerError::RequestTooLarge));
    assert_eq!((by_grpc.code(), by_grpc.outcome()), (Code::ResourceExhausted, Outcome::Rejected));
    let text = &by_grpc.status().ok_or("no status")?.message;
    assert!(text.starts_with("grpc: received message larger than max"), "{text}");

    let here = careful.put("foo", big(3 * MIB)).await.unwrap_err();
    let ErrorKind::RequestOverLimit { len, limit } = here.kind() else { panic!("{here}") };
    assert!(len > 3 * MIB && limit == 2 * MIB, "{len} {limit}");
    assert_eq!((here.code(), here.outcome()), (Code::ResourceExhausted, Outcome::NotSent));
    assert_eq!(careful.get("foo").await?.count, 0);
    Ok(())
}

/// KV-123
async fn a_small_limit_of_the_server_is_told(ctx: Ctx) -> CaseResult {
    let server = ctx.server_with(|server| server.flag("--max-request-bytes", "256")).await?;
    let client = ctx.connect([server.client_url()]).await?;
    TOO_LARGE.is_answered(&client.put("foo", big(1024)).await.unwrap_err());
    client.put("foo", big(128)).await?;
    assert_eq!(only(&client.get("foo").await?).value.len(), 128);
    Ok(())
}

/// KV-124, KV-125, KV-126, C41
async fn a_large_limit_of_the_server_is_used_up_to_the_end(ctx: Ctx) -> CaseResult {
    let limit = (10 * MIB).to_string();
    let server = ctx.server_with(|server| server.flag("--max-request-bytes", &limit)).await?;
    let config = Config::new([server.client_url()])
        .max_request_bytes(12 * MIB)
        .max_response_bytes(9 * MIB + MIB / 2);
    let client = ctx.connect_with(config).await?;

    client.put("foo", big(9 * MIB)).await?;
    let read = client.get("foo").await?;
    assert!(only(&read).value == big(9 * MIB), "all of it comes back");
    for len in [10 * MIB, 10 * MIB + 5] {
        TOO_LARGE.is_answered(&client.put("bar", big(len)).await.unwrap_err());
    }
    assert_eq!(client.get("bar").await?.count, 0);

    let config = Config::new([server.client_url()]).max_response_bytes(8 * MIB);
    let narrow = ctx.connect_with(config).await?.get("foo").await.unwrap_err();
    let ErrorKind::ResponseOverLimit { len, limit } = narrow.kind() else { panic!("{narrow}") };
    assert!(len > 9 * MIB && limit == 8 * MIB, "{len} {limit}");
    Ok(())
}

/// KV-106, I-R6
async fn a_full_quota_is_told_and_the_outcome_is_unknown(ctx: Ctx) -> CaseResult {
    const QUOTA: usize = 16 * 4096;
    let cluster = ctx.cluster().await?;
    let member = cluster.member(0);
    let quota = QUOTA.to_string();
    ctx.blocking(move || member.restart_with(&[("--quota-backend-bytes", &quota)])).await?;
    let client = ctx.connect([cluster.member(0).client_url()]).await?;

    client.put("abc", "aaa").await?;
    no_space(&client.put("abc", big(QUOTA)).await.unwrap_err());
    no_space(&client.txn().then([put("abc", big(QUOTA))]).await.unwrap_err());
    // Reads go on, and the store has what was written before.
    assert_eq!(only(&client.get("abc").await?).value, "aaa");
    let other: Client = ctx.connect([cluster.member(1).client_url()]).await?;
    let everywhere = other.get("abc").await?;
    assert_eq!(
        (keys(&everywhere), &only(&everywhere).value[..]),
        (vec!["abc".into()], &b"aaa"[..])
    );
    Ok(())
}

#[track_caller]
fn no_space(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Server(ServerError::NoSpace), "{error}");
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    let text = error.status().map(|status| status.message.as_str());
    assert_eq!(text, Some("etcdserver: mvcc: database space exceeded"));
    // Some versions answer so to writes that they have executed.
    assert_eq!((error.outcome(), error.attempts()), (Outcome::Unknown, 1), "{error}");
}
