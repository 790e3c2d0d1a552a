//! Granting, revoking, listing and expiring: what one server, or any member, says of leases.

use super::kv_expect::{LEASE_NOT_FOUND, only};
use super::lease_expect::{
    LEASE_EXIST, LIMIT, Renewals, TTL_TOO_LARGE, check_key, seconds, until_left,
};
use super::watch_expect::{Reader, lines};
use crate::{Case, CaseResult, Ctx, case};
use etcd3::proto::etcdserverpb as pb;
use etcd3::{Code, Error, ErrorKind, LeaseId, Outcome};
use std::collections::BTreeSet;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(a_key_cannot_be_attached_to_no_lease, ["LEASE-001", "LEASE-003", "LEASE-053"])
        .plain_and_tls(),
    case!(a_time_to_live_has_bounds, ["LEASE-002"]),
    case!(a_closed_client_grants_nothing, ["LEASE-009", "LEASE-011", "LEASE-012"]),
    case!(a_lease_tells_its_time_and_keys, ["LEASE-016", "LEASE-023"]).plain_and_tls(),
    case!(a_revoked_lease_has_no_time, ["LEASE-017", "LEASE-029", "LEASE-031"]).plain_and_tls(),
    case!(leases_are_listed, ["LEASE-024", "LEASE-025"]).plain_and_tls(),
    case!(an_id_is_granted_once, ["LEASE-032", "LEASE-047"]),
    case!(a_lease_takes_its_keys_along, ["LEASE-036"]),
    case!(a_renewed_lease_lives_on, ["LEASE-037"]),
    case!(a_key_belongs_to_the_lease_of_its_last_put, ["LEASE-055"]),
];

/// LEASE-001, LEASE-003, LEASE-053
async fn a_key_cannot_be_attached_to_no_lease(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    for id in [500, 0x1234_5678] {
        let error = client.put("foo", "bar").lease(id).await.unwrap_err();
        LEASE_NOT_FOUND.is_answered(&error);
        assert!(error.is_lease_not_found() && error.is_not_found());
    }
    let lease = client.grant(seconds(10)).await?.id;
    client.revoke(lease).await?;
    LEASE_NOT_FOUND.is_answered(&client.put("foo", "bar").lease(lease).await.unwrap_err());
    LEASE_NOT_FOUND.is_answered(&client.revoke(lease).await.unwrap_err());
    check_key(&client, "foo", false).await
}

/// LEASE-002, C52, L-18, I-L7
async fn a_time_to_live_has_bounds(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    for ttl in [seconds(9_000_000_001), Duration::from_millis(9_000_000_000_001), Duration::MAX] {
        TTL_TOO_LARGE.is_answered(&client.grant(ttl).await.unwrap_err());
    }
    assert_eq!(client.grant(seconds(9_000_000_000)).await?.ttl, seconds(9_000_000_000));
    // The least is one and a half times the election timeout.
    let shortest = client.grant(Duration::ZERO).await?.ttl;
    assert!(shortest >= seconds(1) && shortest < seconds(10), "{shortest:?}");
    assert_eq!(client.grant(Duration::from_millis(1)).await?.ttl, shortest);
    assert_eq!(client.grant(Duration::from_millis(9_001)).await?.ttl, seconds(10));

    let lease = client.grant(seconds(10)).await?;
    assert!(lease.id.0 > 0 && lease.header.member_id != 0, "{lease:?}");
    client.put("foo", "bar").lease(lease.id).await?;
    assert_eq!(only(&client.get("foo").await?).lease, lease.id);
    Ok(())
}

/// Asserts that the client, not a server, ended a call that had not been sent.
#[track_caller]
fn check_closed(error: &Error) {
    assert_eq!((error.kind(), error.code()), (ErrorKind::Closed, Code::Canceled), "{error}");
    assert_eq!((error.outcome(), error.status()), (Outcome::NotSent, None), "{error}");
}

/// LEASE-009, LEASE-011, LEASE-012
async fn a_closed_client_grants_nothing(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let lease = client.grant(seconds(60)).await?.id;
    client.close().await;
    let begin = ctx.rt.now();
    check_closed(&client.grant(seconds(5)).await.unwrap_err());
    check_closed(&client.grant(seconds(5)).id(lease).await.unwrap_err());
    check_closed(&client.revoke(lease).await.unwrap_err());
    check_closed(&client.time_to_live(lease).await.unwrap_err());
    check_closed(&client.leases().await.unwrap_err());
    let took = ctx.rt.now().saturating_since(begin);
    assert!(took < ctx.at_most(seconds(5)), "it took {took:?}");
    Ok(())
}

/// LEASE-016, LEASE-023, L3
async fn a_lease_tells_its_time_and_keys(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    let lease = client.grant(seconds(10)).await?;
    assert_eq!(lease.ttl, seconds(10));
    for key in ["foo1", "foo2"] {
        client.put(key, "bar").lease(lease.id).await?;
    }
    check_key(&client, "foo1", true).await?;
    // Each member tells, from the leader.
    for url in cluster.client_urls() {
        let found = client.pinned_to(url)?.time_to_live(lease.id).keys().await?;
        assert_eq!((found.id, found.granted), (lease.id, seconds(10)));
        let left = found.ttl.ok_or("the lease is gone")?;
        assert!(!left.is_zero() && left <= seconds(10), "{left:?}");
        let keys: BTreeSet<_> = found.keys.iter().map(|key| &key[..]).collect();
        assert_eq!(keys, BTreeSet::from([&b"foo1"[..], b"foo2"]));
    }
    let found = client.time_to_live(lease.id).await?;
    assert_eq!((found.granted, found.keys.len()), (seconds(10), 0));
    Ok(())
}

/// LEASE-017, LEASE-029, LEASE-031, L2
async fn a_revoked_lease_has_no_time(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    for ttl in [20, 1] {
        let lease = client.grant(seconds(ttl)).await?.id;
        let put = client.put("foo", "bar").lease(lease).await?.header.revision;
        check_key(&client, "foo", true).await?;
        assert_eq!(client.revoke(lease).await?.header.revision, put + 1);
        check_key(&client, "foo", false).await?;
        let gone = client.time_to_live(lease).keys().await?;
        assert_eq!((gone.id, gone.ttl, gone.granted), (lease, None, Duration::ZERO));
        assert!(gone.keys.is_empty() && gone.header.cluster_id != 0, "{gone:?}");
    }
    Ok(())
}

/// LEASE-024, LEASE-025, L4
async fn leases_are_listed(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    assert!(client.leases().await?.leases.is_empty());
    let mut granted = BTreeSet::new();
    for ttl in [60, 70, 80] {
        assert!(granted.insert(client.grant(seconds(ttl)).await?.id));
        // Each member lists what it knows.
        for url in cluster.client_urls() {
            let member = client.pinned_to(url)?;
            ctx.until("the leases of a member", LIMIT, || async {
                let listed = member.leases().await.map(|it| it.leases).unwrap_or_default();
                listed.len() == granted.len()
                    && listed.into_iter().collect::<BTreeSet<_>>() == granted
            })
            .await?;
        }
    }
    Ok(())
}

/// LEASE-032, LEASE-047
async fn an_id_is_granted_once(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    assert_eq!(client.grant(seconds(30)).id(1).await?.id, LeaseId(1));
    for url in cluster.client_urls() {
        let error = client.pinned_to(url)?.grant(seconds(30)).id(1).await.unwrap_err();
        LEASE_EXIST.is_answered(&error);
        assert_eq!(error.attempts(), 1, "{error}");
    }
    assert_eq!(client.grant(seconds(30)).id(2).await?.id, LeaseId(2));
    let drawn = client.grant(seconds(30)).await?.id;
    LEASE_EXIST.is_answered(&client.grant(seconds(30)).id(drawn).await.unwrap_err());
    // What is sent as it is has the id that the server chooses, or the one that it names.
    let raw = client.rpc(pb::LeaseGrantRequest { ttl: 30, id: 0 }).await?;
    assert!(raw.id != 0 && raw.ttl == 30 && raw.error.is_empty(), "{raw:?}");
    let taken = client.rpc(pb::LeaseGrantRequest { ttl: 30, id: raw.id }).await.unwrap_err();
    LEASE_EXIST.is_answered(&taken);
    Ok(())
}

/// LEASE-036, L6
async fn a_lease_takes_its_keys_along(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let lease = client.grant(seconds(1)).await?;
    let put = client.put("foo", "bar").lease(lease.id).await?.header.revision;
    let mut reader = Reader::new(&ctx, client.watch("foo").from_revision(1).await?);
    assert_eq!(lines(put, &reader.take(2).await?), ["0 foo=bar", "1 -foo"]);
    check_key(&client, "foo", false).await?;
    assert_eq!(client.time_to_live(lease.id).await?.ttl, None);
    LEASE_NOT_FOUND.is_answered(&client.revoke(lease.id).await.unwrap_err());
    Ok(())
}

/// LEASE-037, L8
async fn a_renewed_lease_lives_on(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    let lease = client.grant(seconds(4)).await?;
    client.put("foo", "bar").lease(lease.id).await?;
    let mut renewals = Renewals::open(&ctx, server.addr(), false).await?;
    for _ in 0..3 {
        until_left(&ctx, &client, lease.id, lease.ttl / 2).await?;
        let answer = renewals.renew(lease.id).await?.map_err(|status| status.message)?;
        assert_eq!((answer.id, answer.ttl), (lease.id.0, 4));
    }
    check_key(&client, "foo", true).await?;
    client.revoke(lease.id).await?;
    check_key(&client, "foo", false).await
}

/// LEASE-055, K26
async fn a_key_belongs_to_the_lease_of_its_last_put(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let first = client.grant(seconds(30)).await?.id;
    let second = client.grant(seconds(30)).await?.id;
    client.put("foo", "bar").lease(first).await?;
    client.put("foo", "bar").lease(second).await?;
    assert!(client.time_to_live(first).keys().await?.keys.is_empty());
    client.revoke(first).await?;
    check_key(&client, "foo", true).await?;
    client.revoke(second).await?;
    check_key(&client, "foo", false).await
}
