//! Many watches that begin, break and end at once.

use super::net_faults::Rig;
use super::watch_expect::{LIMIT, Reader, lines};
use crate::{BoxError, Case, CaseResult, Ctx, case};
use etcd3::Client;
use etcd3_lab::Bridge;
use futures_util::future::join_all;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const BRIDGE: &str = "a bridge";

pub(super) const CASES: &[Case] = &[
    case!(watches_begin_while_others_end, ["WATCH-027"]).real(BRIDGE),
    case!(watches_begin_while_connections_break, ["WATCH-028"]).real(BRIDGE),
    case!(closing_does_not_wait_for_watches_that_resume, ["WATCH-030"]).real(BRIDGE),
    case!(all_end_whose_connections_break, ["WATCH-060"]).real(BRIDGE),
];

const GROUPS: usize = 5;
const TASKS: usize = 100;

/// Begins watches of a key on one stream after another, each before the one before ends, and has
/// each take one batch.
async fn overlap(
    ctx: Ctx,
    client: Client,
    revision: i64,
    group: usize,
    disturb: impl Fn(),
) -> Result<(), BoxError> {
    let mut before = None;
    for n in 0..TASKS / GROUPS {
        let watch = client.watch("abc").from_revision(revision);
        // The last to end takes the stream with it; of its own, or of all.
        let watch = if (n + group).is_multiple_of(3) { watch.own_stream() } else { watch };
        let watch = watch.timeout(LIMIT).await?;
        disturb();
        let mut reader = Reader::new(&ctx, watch);
        assert_eq!(lines(revision, &reader.take(1).await?), ["0 abc=def"]);
        if n % 2 == 0 {
            before = Some(reader);
        } else {
            before.take();
        }
    }
    Ok(())
}

async fn all_overlap(ctx: &Ctx, disturb: impl Fn(&Bridge)) -> CaseResult {
    let rig = Rig::new(ctx).await?;
    let revision = rig.direct.put("abc", "def").await?.header.revision;
    let disturb = || disturb(&rig.bridge);
    let group = |group| overlap(ctx.clone(), rig.client.clone(), revision, group, disturb);
    join_all((0..GROUPS).map(group)).await.into_iter().collect()
}

/// WATCH-027
async fn watches_begin_while_others_end(ctx: Ctx) -> CaseResult {
    all_overlap(&ctx, |_| {}).await
}

/// WATCH-028
async fn watches_begin_while_connections_break(ctx: Ctx) -> CaseResult {
    all_overlap(&ctx, Bridge::drop_all).await
}

/// WATCH-030
async fn closing_does_not_wait_for_watches_that_resume(ctx: Ctx) -> CaseResult {
    const WATCHES: usize = 2_000;
    let rig = Rig::new(&ctx).await?;
    let mut watches = vec![];
    for _ in 0..WATCHES {
        watches.push(rig.client.watch("a").from_revision(1).await?);
    }
    rig.bridge.drop_all();
    drop(watches);
    ctx.within(LIMIT, rig.client.close()).await.ok_or("the client is not closed")?;
    ctx.until("the end of all connections", LIMIT, || async { rig.bridge.connections().live == 0 })
        .await
}

/// WATCH-060
async fn all_end_whose_connections_break(ctx: Ctx) -> CaseResult {
    let rig = Rig::new(&ctx).await?;
    let revision = rig.direct.put("foo", "bar").await?.header.revision;
    let (bridge, is_over) = (Arc::new(rig.bridge), Arc::new(AtomicBool::new(false)));
    let (breaking, until) = (Arc::clone(&bridge), Arc::clone(&is_over));
    let breaking = ctx.blocking(move || {
        while !until.load(Ordering::SeqCst) {
            breaking.drop_all();
        }
    });
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let client = rig.client.clone();
            ctx.spawn(async move {
                let watch = client.watch("foo").from_revision(revision).own_stream();
                let mut watch = watch.timeout(LIMIT).await?;
                watch.next().await.transpose()
            })
        })
        .collect();
    let broken = || async { bridge.connections().accepted > 5 };
    ctx.until("broken connections", LIMIT, broken).await?;
    is_over.store(true, Ordering::SeqCst);
    breaking.await;
    for task in tasks {
        let batch = ctx.within(LIMIT, task).await.ok_or("a watch hangs")??.ok_or("no batch")?;
        assert_eq!(lines(revision, &batch.events), ["0 foo=bar"]);
    }
    Ok(())
}
