//! What cases about leases that are kept alive do over and over.

use super::kv_metrics::sum;
use crate::{BoxError, CaseResult, Ctx, Member};
use etcd3::{Lease, LeaseLost, LeaseStatus};
use std::time::Duration;

/// The longest wait for something that is due.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// Waits until a renewal is acknowledged.
pub(super) async fn renewed(ctx: &Ctx, lease: &Lease) -> CaseResult {
    let before = lease.valid_until();
    let is_renewed = || async { lease.valid_until() > before || !lease.is_valid() };
    ctx.until("a renewal", LIMIT, is_renewed).await?;
    assert!(lease.is_valid(), "{lease:?}");
    Ok(())
}

/// Waits until a lease is late.
pub(super) async fn late(ctx: &Ctx, lease: &Lease) -> CaseResult {
    let is_late = || async { !matches!(lease.status(), LeaseStatus::Ok) };
    ctx.until("word of the trouble", LIMIT, is_late).await?;
    assert!(lease.is_valid(), "{lease:?}");
    Ok(())
}

/// Waits until a lease is not late any more.
pub(super) async fn recovered(ctx: &Ctx, lease: &Lease) -> CaseResult {
    let is_ok = || async { !matches!(lease.status(), LeaseStatus::Late { .. }) };
    ctx.until("the end of the trouble", LIMIT, is_ok).await?;
    assert!(lease.is_valid(), "{lease:?}");
    Ok(())
}

/// Waits until a lease is lost, which is due within a time.
pub(super) async fn lost(ctx: &Ctx, lease: &Lease, limit: Duration) -> Result<LeaseLost, BoxError> {
    let lost = ctx.within(limit, lease.lost()).await.ok_or("no loss is told")?;
    assert!(!lease.is_valid(), "{lease:?}");
    Ok(lost)
}

/// Returns how many renewals a member has acknowledged that leads, by whichever way they came.
pub(super) fn renewals(member: &Member) -> Result<u64, BoxError> {
    Ok(sum(&member.metrics()?, "etcd_debugging_lease_renewed_total", &[]))
}

/// Returns how many streams of renewals have been opened at a member.
pub(super) fn streams(member: &Member) -> Result<u64, BoxError> {
    let labels = ["grpc_method=\"LeaseKeepAlive\""];
    Ok(sum(&member.metrics()?, "grpc_server_started_total", &labels))
}
