//! What a put keeps, and what goes with it.

use super::kv_expect::{KEY_NOT_FOUND, only};
use crate::{Case, CaseResult, Ctx, case};
use etcd3::proto::etcdserverpb::LeaseGrantRequest;
use etcd3::{Client, Error, IgnoreLease, IgnoreValue, KeyValue, from_key};

pub(super) const CASES: &[Case] = &[
    case!(a_put_attaches_a_lease, ["KV-004"]),
    case!(a_put_may_keep_the_value, ["KV-005"]),
    case!(a_put_may_keep_the_lease, ["KV-006"]),
    case!(a_deletion_from_a_key_on_leaves_nothing, ["KV-011"]),
];

async fn grant(client: &Client) -> Result<i64, Error> {
    Ok(client.rpc(LeaseGrantRequest { ttl: 10, id: 0 }).await?.id)
}

/// Reads the one pair that there must be.
async fn read(client: &Client, key: &str) -> Result<KeyValue, Error> {
    Ok(only(&client.get(key).await?).clone())
}

/// KV-004, K10.10
async fn a_put_attaches_a_lease(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let lease = grant(&client).await?;
    assert_ne!(lease, 0);
    client.put("hello", "world").lease(lease).await?;
    let found = read(&client, "hello").await?;
    assert_eq!(found.key, "hello");
    assert_eq!(found.value, "world");
    assert_eq!(i64::from(found.lease), lease);
    Ok(())
}

/// KV-005, K25
async fn a_put_may_keep_the_value(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    KEY_NOT_FOUND.is_answered(&client.put("foo", IgnoreValue).await.unwrap_err());
    assert_eq!(client.get("foo").await?.count, 0);
    client.put("foo", "bar").await?;
    let first = read(&client, "foo").await?;
    assert_eq!(first.version, 1);
    client.put("foo", IgnoreValue).await?;
    let second = read(&client, "foo").await?;
    let mut expected = first.clone();
    (expected.version, expected.mod_revision) = (2, first.mod_revision + 1);
    assert_eq!(second, expected);
    assert_eq!(second.value, "bar");
    Ok(())
}

/// KV-006, K25
async fn a_put_may_keep_the_lease(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let lease = grant(&client).await?;
    KEY_NOT_FOUND.is_answered(&client.put("zoo", "bar").lease(IgnoreLease).await.unwrap_err());
    assert_eq!(client.get("zoo").await?.count, 0);
    client.put("zoo", "bar").lease(lease).await?;
    client.put("zoo", "bar1").lease(IgnoreLease).await?;
    let found = read(&client, "zoo").await?;
    assert_eq!((&found.value[..], i64::from(found.lease), found.version), (&b"bar1"[..], lease, 2));
    Ok(())
}

/// KV-011, K1
async fn a_deletion_from_a_key_on_leaves_nothing(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    for key in ["a", "b", "c", "c/abc", "d"] {
        client.put(key, "").await?;
    }
    assert_eq!(client.delete(from_key("\0")).await?.deleted, 5);
    let left = client.get(from_key("a")).await?;
    assert_eq!(left.kvs, []);
    assert_eq!((left.count, left.more), (0, false));
    Ok(())
}
