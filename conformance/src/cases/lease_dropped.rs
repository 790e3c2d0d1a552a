//! Leases whose last handle is dropped.

use super::lease_fate::{LIMIT, renewals, renewed};
use crate::{Case, CaseResult, Ctx, Server, case};
use etcd3::{Client, Lease, LossReason};
use futures_lite::FutureExt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(a_lease_that_is_dropped_is_not_renewed, []),
    case!(a_lease_whose_task_panics_is_not_renewed, []),
    case!(a_lease_can_be_revoked_when_it_is_dropped, []),
];

const TTL: Duration = Duration::from_secs(5);
/// Servers look once a second, and count whole seconds.
const GONE: Duration = Duration::from_secs(7);

async fn begin(ctx: &Ctx) -> Result<(Server, Client, Lease), crate::BoxError> {
    let (server, client) = ctx.server_and_client().await?;
    let lease = client.lease(TTL).await?;
    client.put("foo", "bar").lease(lease.id()).await?;
    Ok((server, client, lease))
}

async fn until_gone(ctx: &Ctx, client: &Client, limit: Duration) -> CaseResult {
    let is_gone = || async { client.get("foo").await.is_ok_and(|found| found.count == 0) };
    ctx.until("the end of the key", limit, is_gone).await
}

/// Drops a lease in a way, and sees that nobody renews it.
async fn drop_by(ctx: &Ctx, how: impl FnOnce(Lease)) -> CaseResult {
    let (server, client, lease) = begin(ctx).await?;
    let (clone, lost) = (client.clone(), lease.lost());
    renewed(ctx, &lease).await?;
    let count = || if ctx.etcd.is_model() { Ok(0) } else { renewals(&server) };
    let before = count()?;
    let dropped = ctx.rt.now();
    how(lease);
    let lost = ctx.within(LIMIT, lost).await.ok_or("nobody is told")?;
    assert_eq!(lost.reason, LossReason::Orphaned);
    until_gone(ctx, &client, GONE).await?;
    let after = ctx.rt.now().saturating_since(dropped);
    assert!(after > TTL / 2, "it was revoked, after {after:?}");
    assert_eq!(count()?, before, "it was renewed after it was dropped");
    clone.put("foo", "baz").await?;
    Ok(())
}

/// Case 13 (a)
async fn a_lease_that_is_dropped_is_not_renewed(ctx: Ctx) -> CaseResult {
    drop_by(&ctx, |lease| {
        let clone = lease.clone();
        drop(lease);
        drop(clone);
    })
    .await
}

/// Case 13 (b)
async fn a_lease_whose_task_panics_is_not_renewed(ctx: Ctx) -> CaseResult {
    let world = ctx.clone();
    drop_by(&ctx, move |lease| {
        let task = async move {
            assert!(!lease.is_valid(), "a panic that the test wants");
        };
        if world.etcd.is_model() {
            // It would end the whole simulation.
            let caught = AssertUnwindSafe(task).catch_unwind();
            world.rt.spawn(Box::pin(async move { drop(caught.await) }));
        } else {
            world.rt.spawn(Box::pin(task));
        }
    })
    .await
}

/// Case 13, with revoke-on-drop
async fn a_lease_can_be_revoked_when_it_is_dropped(ctx: Ctx) -> CaseResult {
    let (_server, client, lease) = begin(&ctx).await?;
    let lease = lease.revoke_on_drop();
    let clone = lease.clone();
    drop(lease);
    renewed(&ctx, &clone).await?;
    assert_eq!(client.get("foo").await?.count, 1, "one is left");
    drop(clone);
    until_gone(&ctx, &client, Duration::from_secs(1)).await?;
    client.put("foo", "baz").await?;
    Ok(())
}
