//! Puts and leases: what is kept, what is attached, what is detached.

use super::kv_expect::{KEY_NOT_FOUND, LEASE_NOT_FOUND, LEASE_PROVIDED, VALUE_PROVIDED, only};
use crate::{Case, CaseResult, Ctx, case};
use etcd3::proto::etcdserverpb as pb;
use etcd3::{Client, Error, IgnoreLease, IgnoreValue, KeyValue, SortOrder, SortTarget};
use etcd3::{get, key, put, txn};
use etcd3_lab::etcd::Version;

pub(super) const CASES: &[Case] = &[
    case!(a_value_can_be_kept, ["KV-081", "KV-082", "KV-083", "KV-084", "KV-086"]),
    case!(a_value_and_the_wish_to_keep_it_are_refused, ["KV-085"]),
    case!(a_lease_can_be_kept, ["KV-088", "KV-089", "KV-090", "KV-092", "KV-093"]),
    case!(a_lease_and_the_wish_to_keep_it_are_refused, ["KV-091"]),
    case!(a_missing_lease_fails_the_branch_that_runs, ["KV-095", "KV-096", "KV-097"]),
    case!(keys_alone_are_told_with_their_leases_up_to_3_6, []),
];

/// Grants a lease that outlives the case, and tells its id.
async fn grant(client: &Client) -> Result<i64, Error> {
    let granted = client.rpc(pb::LeaseGrantRequest { ttl: 30, id: 0 }).await?;
    assert_ne!(granted.id, 0);
    Ok(granted.id)
}

/// K20: from 3.7 on servers take the keys from their index, which has no leases.
async fn keys_alone_are_told_with_their_leases_up_to_3_6(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let lease = grant(&client).await?;
    client.put("foo", "bar").lease(lease).await?;
    let told = if ctx.etcd.version < Version::minor(3, 7) { lease } else { 0 };
    let alone = client.get("foo").keys_only();
    assert_eq!(only(&alone.clone().await?).lease, told);
    let by_value = alone.sort(SortTarget::Value, SortOrder::Ascend);
    assert_eq!(only(&by_value.await?).lease, lease);
    assert_eq!(read(&client, "foo").await?.lease, lease);
    Ok(())
}

async fn read(client: &Client, name: &str) -> Result<KeyValue, Error> {
    Ok(only(&client.get(name).await?).clone())
}

/// KV-081, KV-082, KV-083, KV-084, KV-086, K25, K26
async fn a_value_can_be_kept(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let lease = grant(&client).await?;

    KEY_NOT_FOUND.is_answered(&client.put("foo", IgnoreValue).await.unwrap_err());
    let keep = client.txn().then([put("aside", "x"), put("foo", IgnoreValue)]);
    KEY_NOT_FOUND.is_answered(&keep.await.unwrap_err());
    assert_eq!(client.get("aside").await?.count, 0, "the whole transaction fails");

    client.put("foo", "bar").await?;
    let first = read(&client, "foo").await?;
    assert_eq!((&first.value[..], i64::from(first.lease), first.version), (&b"bar"[..], 0, 1));

    let kept = client.txn().then([put("foo", IgnoreValue).lease(lease)]).await?;
    assert!(kept.succeeded && kept.responses[0].as_put().is_some());
    let second = read(&client, "foo").await?;
    assert_eq!(
        (&second.value[..], i64::from(second.lease), second.version),
        (&b"bar"[..], lease, 2)
    );

    let detached = client.put("foo", IgnoreValue).await?;
    assert_eq!(detached.prev_kv, None);
    let third = read(&client, "foo").await?;
    assert_eq!((&third.value[..], i64::from(third.lease), third.version), (&b"bar"[..], 0, 3));
    assert_eq!(third.mod_revision, detached.header.revision);
    Ok(())
}

/// KV-085, K25
async fn a_value_and_the_wish_to_keep_it_are_refused(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    client.put("foo", "bar").await?;
    let contradiction = pb::PutRequest {
        key: "foo".into(),
        value: "baz".into(),
        ignore_value: true,
        ..pb::PutRequest::default()
    };
    VALUE_PROVIDED.is_answered(&client.rpc(contradiction).await.unwrap_err());
    let after = read(&client, "foo").await?;
    assert_eq!((&after.value[..], after.version), (&b"bar"[..], 1));
    // The typed request has one place for the value or for the wish to keep it.
    let mut kept = put("foo", IgnoreValue);
    let message = kept.request(&etcd3_core::Limits::default())?;
    assert!(message.ignore_value && message.value.is_empty());
    Ok(())
}

/// KV-088, KV-089, KV-090, KV-092, KV-093, K25, K26
async fn a_lease_can_be_kept(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let lease = grant(&client).await?;

    let missing = client.put("zoo", "bar").lease(IgnoreLease);
    KEY_NOT_FOUND.is_answered(&missing.await.unwrap_err());
    let missing = client.txn().then([put("zoo", "bar").lease(IgnoreLease)]);
    KEY_NOT_FOUND.is_answered(&missing.await.unwrap_err());
    assert_eq!(client.get("zoo").await?.count, 0);

    client.put("zoo", "bar").lease(lease).await?;
    let first = read(&client, "zoo").await?;
    assert_eq!((&first.value[..], i64::from(first.lease)), (&b"bar"[..], lease));

    client.txn().then([put("zoo", "bar1").lease(IgnoreLease)]).await?;
    let second = read(&client, "zoo").await?;
    assert_eq!((&second.value[..], i64::from(second.lease)), (&b"bar1"[..], lease));

    let plain = client.put("zoo", "bar").await?;
    assert_eq!(plain.prev_kv, None);
    let third = read(&client, "zoo").await?;
    assert_eq!((&third.value[..], i64::from(third.lease)), (&b"bar"[..], 0));

    // It takes the keys attached to it along, and this one is not any more.
    client.put("attached", "x").lease(lease).await?;
    client.rpc(pb::LeaseRevokeRequest { id: lease }).await?;
    assert_eq!(read(&client, "zoo").await?, third);
    assert_eq!(client.get("attached").await?.count, 0);
    Ok(())
}

/// KV-091, K25
async fn a_lease_and_the_wish_to_keep_it_are_refused(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let lease = grant(&client).await?;
    client.put("zoo", "bar").lease(lease).await?;
    let contradiction = pb::PutRequest {
        key: "zoo".into(),
        value: "bar2".into(),
        lease,
        ignore_lease: true,
        ..pb::PutRequest::default()
    };
    LEASE_PROVIDED.is_answered(&client.rpc(contradiction).await.unwrap_err());
    let after = read(&client, "zoo").await?;
    assert_eq!((&after.value[..], i64::from(after.lease), after.version), (&b"bar"[..], lease, 1));
    // Of the typed request the last word counts.
    client.put("zoo", "bar3").lease(0).lease(IgnoreLease).await?;
    assert_eq!(read(&client, "zoo").await?.lease, lease);
    Ok(())
}

/// KV-095, KV-096, KV-097, K25
async fn a_missing_lease_fails_the_branch_that_runs(ctx: Ctx) -> CaseResult {
    const MISSING: i64 = 123_456;
    let (_server, client) = ctx.server_and_client().await?;
    let bad = || put("foo", "bar").lease(MISSING);

    let success = client.txn().then([bad()]).await.unwrap_err();
    LEASE_NOT_FOUND.is_answered(&success);
    assert_eq!(client.get("foo").await?.count, 0);

    let never = key("foo").version().gt(0);
    let failure = client.txn().when([never]).otherwise([bad()]).await.unwrap_err();
    LEASE_NOT_FOUND.is_answered(&failure);
    assert_eq!(client.get("foo").await?.count, 0);

    let before = client.get("foo").await?.header.revision;
    let always = key("foo").version().eq(0);
    let not_taken = txn().when([always]).then([get("foo")]).otherwise([bad()]);
    let answer = client.execute(not_taken).await?;
    assert!(answer.succeeded);
    assert_eq!(answer.get(0).map(|found| found.count), Some(0));
    let after = client.get("foo").await?;
    assert_eq!((after.count, after.header.revision), (0, before));
    Ok(())
}
