//! Leases that are kept alive while nothing is wrong.

use super::lease_fate::{LIMIT, lost, renewals, renewed};
use crate::{Case, CaseResult, Ctx, case};
use etcd3::{ErrorKind, LossReason, Outcome};
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(a_lease_is_renewed_once, ["LEASE-004", "LEASE-028", "LEASE-068"]),
    case!(renewals_come_three_times_in_a_time_to_live, ["LEASE-006"]),
    case!(the_end_of_one_lease_is_no_business_of_others, ["LEASE-008"]),
    case!(a_lease_that_nobody_looks_at_is_renewed_as_often, ["LEASE-010"]),
    case!(a_closed_client_keeps_nothing_alive, ["LEASE-020"]),
];

const SECOND: Duration = Duration::from_secs(1);

/// LEASE-004, LEASE-028, LEASE-068, L36
async fn a_lease_is_renewed_once(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let id = client.grant(2 * SECOND).await?.id;
    let renewed = client.keep_alive_once(id).await?;
    assert_eq!((renewed.id, renewed.ttl), (id, 2 * SECOND));
    // The time is what this is about.
    ctx.pause(2 * SECOND).await;
    let left = client.time_to_live(id).await?.ttl;
    assert!(left.is_none_or(|left| left < 2 * SECOND), "{left:?}");

    let error = client.keep_alive_once(0).await.unwrap_err();
    assert!(error.is_lease_not_found(), "{error}");
    assert_eq!(error.outcome(), Outcome::Rejected, "{error}");

    let lease = client.lease(5 * SECOND).await?;
    client.put("foo", "bar").lease(lease.id()).await?;
    let elsewhere = client.keep_alive(lease.id()).await?;
    assert_eq!(elsewhere.ttl(), 5 * SECOND);
    lease.revoke().await?;
    assert_eq!(client.get("foo").await?.count, 0);
    assert_eq!(lost(&ctx, &lease, LIMIT).await?.reason, LossReason::Revoked);
    assert_eq!(lost(&ctx, &elsewhere, LIMIT).await?.reason, LossReason::Revoked);
    Ok(())
}

/// LEASE-006, I-L2
async fn renewals_come_three_times_in_a_time_to_live(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    let lease = client.lease(3 * SECOND).await?;
    client.put("foo", "bar").lease(lease.id()).await?;
    let mut sent = vec![lease.valid_until() - lease.ttl()];
    for _ in 0..3 {
        renewed(&ctx, &lease).await?;
        sent.push(lease.valid_until() - lease.ttl());
    }
    for pair in sent.windows(2) {
        let gap = pair[1].saturating_since(pair[0]);
        // A third less a tenth of it; the look comes after the renewal.
        let bounds = Duration::from_millis(890)..ctx.at_most(Duration::from_millis(1_300));
        assert!(bounds.contains(&gap), "{gap:?} between two renewals: {sent:?}");
    }
    if !ctx.etcd.is_model() {
        let count = renewals(&server)?;
        assert!((3..=5).contains(&count), "{count} renewals at the server");
    }
    assert_eq!(client.get("foo").await?.count, 1);
    Ok(())
}

/// LEASE-008, I-L5
async fn the_end_of_one_lease_is_no_business_of_others(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    let mut leases = vec![];
    for _ in 0..3 {
        leases.push(client.lease(3 * SECOND).await?);
    }
    let other = ctx.connect([server.client_url()]).await?;
    other.revoke(leases[1].id()).await?;
    let reason = lost(&ctx, &leases[1], 3 * SECOND).await?.reason;
    assert_eq!(reason, LossReason::Expired);
    for kept in [&leases[0], &leases[2]] {
        renewed(&ctx, kept).await?;
        renewed(&ctx, kept).await?;
    }
    assert_eq!(other.leases().await?.leases.len(), 2);
    Ok(())
}

/// LEASE-010, I-L2: nothing is renewed before a third of the time is over.
async fn a_lease_that_nobody_looks_at_is_renewed_as_often(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    let lease = client.lease(30 * SECOND).await?;
    let first = lease.valid_until();
    // The time is what this is about.
    ctx.pause(3 * SECOND).await;
    let left = client.time_to_live(lease.id()).await?.ttl.ok_or("it is gone")?;
    assert!(left < 29 * SECOND, "{left:?}");
    if !ctx.etcd.is_model() {
        assert_eq!(renewals(&server)?, 0);
    }
    assert_eq!(lease.valid_until(), first);
    Ok(())
}

/// LEASE-020
async fn a_closed_client_keeps_nothing_alive(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    let held = client.lease(5 * SECOND).await?;
    let id = client.grant(5 * SECOND).await?.id;
    let closed = client.clone();
    client.close().await;
    assert_eq!(lost(&ctx, &held, LIMIT).await?.reason, LossReason::Closed);
    for error in [
        closed.keep_alive(id).await.map(drop).unwrap_err(),
        closed.keep_alive_once(id).await.map(drop).unwrap_err(),
        closed.lease(5 * SECOND).await.map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
    // It lives until its time is over.
    let other = ctx.connect([server.client_url()]).await?;
    assert!(other.time_to_live(id).await?.ttl.is_some());
    Ok(())
}
