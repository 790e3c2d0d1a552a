//! A lease beside bulk traffic of the same client, over a thin wire.

use super::lease_fate::LIMIT;
use crate::{BoxError, Case, CaseResult, Ctx, case};
use etcd3::{Client, Lease};
use etcd3_lab::{Bridge, Direction, Fault, Relays};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

pub(super) const CASES: &[Case] =
    &[case!(bulk_traffic_does_not_cost_a_lease, []).any_version().real("a bridge")];

const TTL: Duration = Duration::from_secs(5);
const TASKS: usize = 64;
const VALUE: usize = 1 << 20;
/// Of each connection, each way.
const BYTES_PER_SECOND: u64 = 4_000_000;
/// How long in the suite; the long form is `src/bin/leases.rs`.
const LASTS: Duration = Duration::from_secs(18);
/// The longest time from one renewal to the next.
const GAP: Duration = Duration::from_millis(2_500);
/// The time between two looks at the validity.
const LOOK: Duration = Duration::from_millis(10);

/// Case 15: the renewals do not queue behind megabytes.
async fn bulk_traffic_does_not_cost_a_lease(ctx: Ctx) -> CaseResult {
    keep_beside_bulk(&ctx, LASTS).await.map(drop)
}

/// Keeps a lease alive for so long; returns the longest time between two renewals and how many
/// values were put.
///
/// # Errors
///
/// When the server fails, or the lease is lost.
pub(crate) async fn keep_beside_bulk(
    ctx: &Ctx,
    lasts: Duration,
) -> Result<(Duration, usize), BoxError> {
    let server = ctx.server_with(|it| it.flag("--quota-backend-bytes", "4294967296")).await?;
    let bridge = Bridge::new(server.addr())?;
    let thin = Fault::new().throttle(BYTES_PER_SECOND);
    bridge.set_fault(Relays::All, Direction::BOTH, thin);
    let client = ctx.connect([bridge.url()]).await?;
    let lease = client.lease(TTL).await?;
    let (is_over, puts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (client, is_over, puts) = (client.clone(), Arc::clone(&is_over), Arc::clone(&puts));
            ctx.spawn(async move {
                while !is_over.load(Ordering::SeqCst) {
                    put(&client, task).await?;
                    puts.fetch_add(1, Ordering::SeqCst);
                }
                Ok::<_, BoxError>(())
            })
        })
        .collect();
    let longest = longest_gap(ctx, &lease, lasts).await?;
    let done = puts.load(Ordering::SeqCst);
    is_over.store(true, Ordering::SeqCst);
    for task in tasks {
        ctx.within(2 * LIMIT, task).await.ok_or("a put hangs")??;
    }
    assert!(longest <= ctx.at_most(GAP), "{longest:?} between two renewals");
    assert!(done > TASKS / 2, "{done} puts in {lasts:?}");
    assert!(bridge.passed(Direction::Up) > 16 * VALUE as u64, "no bulk traffic");
    Ok((longest, done))
}

async fn put(client: &Client, task: usize) -> Result<(), etcd3::Error> {
    // All of them queue for the wire.
    let put = client.put(format!("bulk/{task}"), vec![b'v'; VALUE]).timeout(4 * LIMIT);
    put.await.map(drop)
}

/// Returns the longest time between two renewals that were acknowledged, by when they were sent.
async fn longest_gap(ctx: &Ctx, lease: &Lease, lasts: Duration) -> Result<Duration, BoxError> {
    let end = ctx.rt.now() + lasts;
    let (mut last, mut longest) = (lease.valid_until(), Duration::ZERO);
    while ctx.rt.now() < end {
        ctx.pause(LOOK).await;
        if !lease.is_valid() {
            return Err(format!("it is lost: {lease:?}").into());
        }
        let until = lease.valid_until();
        longest = longest.max(until.saturating_since(last));
        last = until;
    }
    // A renewal that is only missing is no gap between two.
    Ok(longest.max(ctx.rt.now().saturating_since(last - TTL)))
}
