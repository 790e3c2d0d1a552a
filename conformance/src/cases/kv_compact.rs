//! Compaction: what is gone, what stays, and when the call returns.

use super::kv_expect::{COMPACTED, FUTURE_REV, only};
use super::kv_metrics::sum;
use super::watch_expect::Reader;
use crate::BoxError;
use crate::{Case, CaseResult, Ctx, Server, case};
use etcd3::{Client, Error, ErrorKind, key};
use etcd3_lab::etcd::Version;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(a_revision_is_compacted_once, ["KV-012", "KV-013"]),
    case!(every_member_knows_of_a_compaction, ["KV-014"]),
    case!(a_compacted_revision_cannot_be_read, ["KV-015"]),
    case!(a_logical_compaction_hides_the_history, ["KV-076"]).real("metrics"),
    case!(a_physical_compaction_returns_when_it_is_done, ["KV-077"]).real("metrics"),
    case!(the_compacted_revision_itself_is_kept, ["KV-080"]),
];

async fn put_often(client: &Client, times: i64) -> Result<(), Error> {
    for revision in 2..times + 2 {
        assert_eq!(client.put("foo", "bar").await?.header.revision, revision);
    }
    Ok(())
}

/// KV-012, KV-013, K28
async fn a_revision_is_compacted_once(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    put_often(&client, 5).await?;
    client.compact(6).await?;
    COMPACTED.is_answered(&client.compact(6).await.unwrap_err());
    FUTURE_REV.is_answered(&client.compact(100).await.unwrap_err());
    Ok(())
}

/// KV-014, K28
async fn every_member_knows_of_a_compaction(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect([cluster.member(0).client_url()]).await?;
    put_often(&client, 10).await?;
    client.compact(7).await?;
    COMPACTED.is_answered(&client.compact(7).await.unwrap_err());
    let other = ctx.connect([cluster.member(1).client_url()]).await?;
    assert_eq!(only(&other.get("foo").await?).version, 10);
    COMPACTED.is_answered(&other.get("foo").revision(3).await.unwrap_err());
    assert_eq!(only(&other.get("foo").revision(7).await?).version, 6);
    let error = Reader::new(&ctx, other.watch("foo").from_revision(3).await?).end().await?;
    let expected = ErrorKind::WatchCompacted { requested: 3, compacted: 7 };
    assert_eq!(error.kind(), expected, "{error}");
    FUTURE_REV.is_answered(&client.compact(1000).await.unwrap_err());
    Ok(())
}

/// KV-015, K16, K24: a range that comes in parts fails in its stream.
async fn a_compacted_revision_cannot_be_read(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    put_often(&client, 5).await?;
    client.compact(6).await?;
    COMPACTED.is_answered(&client.get("foo").revision(3).await.unwrap_err());
    let mut pages = client.pages(key("foo")).revision(3);
    COMPACTED.is_answered(&pages.next().await.expect("an error in the stream").unwrap_err());
    assert!(pages.next().await.is_none());
    Ok(())
}

/// Starts a server that compacts one revision at a time, with a pause after each.
async fn slowly_compacting(ctx: &Ctx) -> Result<(Server, Client), BoxError> {
    // The first name went with 3.7, and the second one came with 3.6.
    let flag = if ctx.etcd.version < Version::minor(3, 6) {
        "--experimental-compaction-batch-limit"
    } else {
        "--compaction-batch-limit"
    };
    let server = ctx.server_with(|server| server.flag(flag, "1")).await?;
    let client = ctx.connect([server.client_url()]).await?;
    for (value, revision) in ["val1", "val2", "val3"].into_iter().zip(2..) {
        assert_eq!(client.put("key", value).await?.header.revision, revision);
    }
    Ok((server, client))
}

/// Compacts up to revision 4, and asserts what can be read before.
async fn check_compaction(client: &Client, physical: bool) -> Result<(), Error> {
    let before = client.get("key").revision(3).await?;
    assert_eq!(only(&before).value, "val2");
    let compact = client.compact(4);
    let compact = if physical { compact.physical() } else { compact };
    compact.await?;
    Ok(())
}

async fn check_compacted(client: &Client) -> Result<(), Error> {
    COMPACTED.is_answered(&client.get("key").revision(3).await.unwrap_err());
    COMPACTED.is_answered(&client.compact(2).await.unwrap_err());
    assert_eq!(only(&client.get("key").await?).value, "val3");
    Ok(())
}

/// Returns how many revisions a server has removed, and how many compactions it has finished.
fn removed(server: &Server) -> Result<(u64, u64), etcd3_lab::Error> {
    let metrics = server.metrics()?;
    let metric = |name| sum(&metrics, &format!("etcd_debugging_mvcc_db_compaction_{name}"), &[]);
    Ok((metric("keys_total"), metric("total_duration_milliseconds_count")))
}

/// KV-076, K28
async fn a_logical_compaction_hides_the_history(ctx: Ctx) -> CaseResult {
    let (server, client) = slowly_compacting(&ctx).await?;
    check_compaction(&client, false).await?;
    check_compacted(&client).await?;
    ctx.until("the history to be removed", Duration::from_secs(10), || async {
        removed(&server) == Ok((2, 1))
    })
    .await
}

/// KV-077, K28
async fn a_physical_compaction_returns_when_it_is_done(ctx: Ctx) -> CaseResult {
    let (server, client) = slowly_compacting(&ctx).await?;
    assert_eq!(removed(&server)?, (0, 0));
    check_compaction(&client, true).await?;
    assert_eq!(removed(&server)?, (2, 1));
    check_compacted(&client).await?;
    Ok(())
}

/// KV-080, K16
async fn the_compacted_revision_itself_is_kept(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    put_often(&client, 3).await?;
    client.compact(4).await?;
    let linearizable = client.get("foo").await?;
    let serializable = client.get("foo").serializable().await?;
    for answer in [&linearizable, &serializable] {
        let found = only(answer);
        assert_eq!((&found.key[..], found.mod_revision, found.version), (&b"foo"[..], 4, 3));
        assert_eq!(answer.header.revision, 4);
    }
    Ok(())
}
