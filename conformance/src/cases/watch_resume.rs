//! Watches whose connections break, and that go on where they were.

use super::net_faults::Rig;
use super::watch_expect::{LIMIT, Reader, lines, revision};
use crate::{BoxError, Case, CaseResult, Cluster, ClusterBuilder, Ctx, Member, case, watching};
use etcd3::{WatchHandle, WatchItem};
use etcd3_lab::Bridge;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const BRIDGE: &str = "a bridge";

pub(super) const CASES: &[Case] = &[
    case!(a_watch_begins_in_a_storm, ["WATCH-003"]).real(BRIDGE),
    case!(an_idle_watch_goes_on, ["WATCH-004", "WATCH-024"]).real(BRIDGE),
    case!(a_watch_goes_on_where_it_was_asked_to_begin, ["WATCH-009"]).real(BRIDGE),
    case!(progress_moves_the_position, ["WATCH-056"]),
    case!(every_member_delivers_after_faults, ["WATCH-077"]),
    case!(what_is_written_around_the_beginning_is_not_lost, []).real(BRIDGE),
];

/// WATCH-003
async fn a_watch_begins_in_a_storm(ctx: Ctx) -> CaseResult {
    let rig = Rig::new(&ctx).await?;
    let Rig { bridge, client, direct, .. } = rig;
    let (bridge, is_over) = (Arc::new(bridge), Arc::new(AtomicBool::new(false)));
    let (storm, until) = (Arc::clone(&bridge), Arc::clone(&is_over));
    let storm = ctx.blocking(move || {
        while !until.load(Ordering::SeqCst) {
            storm.drop_all();
        }
    });
    let begin = ctx.spawn(client.watch("a").timeout(LIMIT).into_future());
    ctx.until("connections in the storm", LIMIT, || async {
        begin.is_done() || bridge.connections().accepted > 5
    })
    .await?;
    is_over.store(true, Ordering::SeqCst);
    storm.await;
    let mut reader = Reader::new(&ctx, begin.await?);
    client.get("a").await?;
    let put = direct.put("a", "a").await?.header.revision;
    assert_eq!(lines(put, &reader.take(1).await?), ["0 a=a"]);
    Ok(())
}

/// Ends all connections, and waits until the watch has noticed.
async fn cut(ctx: &Ctx, bridge: &Bridge, watch: &WatchHandle) -> CaseResult {
    let before = bridge.connections().accepted;
    bridge.drop_all();
    let is_noticed = || async { bridge.connections().accepted > before || !watch.status().is_live };
    ctx.until("the watch to notice", LIMIT, is_noticed).await
}

/// WATCH-004, WATCH-024, I-W5: nothing is lost, and the creation is told once.
async fn an_idle_watch_goes_on(ctx: Ctx) -> CaseResult {
    let rig = Rig::new(&ctx).await?;
    rig.direct.put("a", "old").await?;
    let mut reader = Reader::new(&ctx, rig.client.watch("a").await?);
    let WatchItem::Created(_) = reader.item().await? else { panic!("not the creation") };
    let handle = reader.handle();
    let start = handle.status().revision + 1;
    for n in 0..3 {
        cut(&ctx, &rig.bridge, &handle).await?;
        let put = rig.direct.put("a", n.to_string()).await?.header.revision;
        let item = reader.item().await?;
        assert_eq!(item, WatchItem::Resumed(if n == 0 { start } else { put }));
        let WatchItem::Events(batch) = reader.item().await? else { panic!("no events") };
        assert_eq!(lines(put, &batch.events), [format!("0 a={n}")]);
    }
    Ok(())
}

/// WATCH-009
async fn a_watch_goes_on_where_it_was_asked_to_begin(ctx: Ctx) -> CaseResult {
    let rig = Rig::new(&ctx).await?;
    let base = revision(&rig.direct).await?;
    for (key, value) in [("b", "2"), ("a", "3"), ("a", "4")] {
        rig.direct.put(key, value).await?;
    }
    let watch = rig.client.watch("a").from_revision(base).await?;
    rig.bridge.pause_accept();
    rig.bridge.drop_all();
    let mut reader = Reader::new(&ctx, watch);
    let handle = reader.handle();
    ctx.until("the loss", LIMIT, || async { !handle.status().is_live }).await?;
    rig.bridge.resume_accept()?;
    let events = reader.all_to(base + 3).await?;
    assert_eq!(lines(base, &events), ["2 a=3", "3 a=4"]);
    Ok(())
}

/// WATCH-056: what was told as progress is not delivered again.
async fn progress_moves_the_position(ctx: Ctx) -> CaseResult {
    let build = |it: ClusterBuilder| it.members(1).progress_interval(200);
    let cluster = ctx.cluster_with(build).await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    let mut reader = Reader::new(&ctx, client.watch("foo").progress_notify().await?);
    let base = client.put("foo", "bar1").await?.header.revision;
    assert_eq!(lines(base, &reader.take(1).await?), ["0 foo=bar1"]);
    let other = client.put("other", "").await?.header.revision;
    while reader.item().await? != WatchItem::Progress(other) {}
    ctx.order(&cluster.member(0), Member::restart).await?;
    // A write is not repeated where its connection is lost, a read is.
    client.get("foo").await?;
    client.put("foo", "bar2").await?;
    assert_eq!(lines(base, &reader.take(1).await?), ["2 foo=bar2"]);
    assert_eq!(reader.all_to(base + 2).await?, []);
    Ok(())
}

/// Asserts that every member takes a write, and delivers it.
async fn all_members_deliver(ctx: &Ctx, cluster: &Cluster) -> Result<(), BoxError> {
    let writer = ctx.connect([cluster.member(0).client_url()]).await?;
    let mut tries = 0;
    let put = loop {
        match writer.put("progress", "").await {
            Ok(put) => break put.header.revision,
            Err(error) if tries == 3 => return Err(error.into()),
            Err(_) => tries += 1,
        }
    };
    for member in cluster.members() {
        let client = ctx.connect([member.client_url()]).await?;
        // What was tried in vain may have been done, too.
        let watch = client.watch("progress").from_revision(put).await?;
        assert_eq!(lines(put, &Reader::new(ctx, watch).take(1).await?), ["0 progress="]);
    }
    Ok(())
}

/// WATCH-077
async fn every_member_delivers_after_faults(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster_with(ClusterBuilder::behind_peer_proxy).await?;
    all_members_deliver(&ctx, &cluster).await?;
    cluster.partition(0)?;
    ctx.until_member(&cluster.member(0), "the loss of the leader", LIMIT, |it| it.leader == 0)
        .await?;
    cluster.heal()?;
    all_members_deliver(&ctx, &cluster).await?;
    ctx.order(&cluster.member(2), Member::kill).await?;
    ctx.order(&cluster.member(2), Member::restart).await?;
    all_members_deliver(&ctx, &cluster).await
}

/// H1, H2, I-W5: the short form; the long one is `src/bin/watches.rs`.
async fn what_is_written_around_the_beginning_is_not_lost(ctx: Ctx) -> CaseResult {
    let figures = watching::cut_at_the_beginning(&ctx, 25).await?;
    assert_eq!((figures.lost, figures.old, figures.repeated), (0, 0, 0), "{figures:?}");
    assert!(figures.resumed > 12, "{figures:?}");
    Ok(())
}
