//! Learners become voters: when they are in sync, once, and also when nobody hears of it.

use super::cluster_expect::{
    LIMIT, NOT_FOUND, NOT_LEARNER, NOT_READY, grow, lenient, lenient_cluster, makes_progress,
};
use crate::{Case, CaseResult, Ctx, case};
use etcd3::Config;
use etcd3_lab::{Bridge, Cut, Direction, Fault, Relays};
use std::sync::Arc;

pub(super) const CASES: &[Case] = &[
    case!(a_learner_is_promoted_when_it_is_in_sync, ["CLU-014"]),
    case!(a_promotion_whose_answer_is_lost_is_made, []).real("a bridge"),
];

/// CLU-014, M13: asked of a follower, which asks the leader.
async fn a_learner_is_promoted_when_it_is_in_sync(ctx: Ctx) -> CaseResult {
    let servers = lenient_cluster(&ctx, 3).await?;
    let leader = servers.wait_leader()?;
    let client = ctx.connect([servers.member((leader + 1) % 3).client_url()]).await?;
    let cluster = client.cluster();
    let newcomer = servers.newcomer()?;
    let added = cluster.member_add([newcomer.peer_url()]).learner().await?;
    NOT_READY.is_answered(&cluster.member_promote(added.member.id).await.unwrap_err());

    let promote = cluster.member_promote(added.member.id).wait_until_in_sync(LIMIT);
    let promoting = ctx.spawn(promote.into_future());
    let joining = Arc::clone(&servers);
    let members = added.members;
    ctx.blocking(move || joining.join(newcomer, &members)).await?;
    let promoted = promoting.await?.members;
    assert_eq!(promoted.iter().filter(|member| !member.is_learner).count(), 4);
    NOT_LEARNER.is_answered(&cluster.member_promote(added.member.id).await.unwrap_err());
    makes_progress(&ctx, &servers.client_urls()).await
}

/// Case 8: the connection is cut when the request went through.
async fn a_promotion_whose_answer_is_lost_is_made(ctx: Ctx) -> CaseResult {
    let servers = Arc::new(ctx.cluster_with(|cluster| lenient(cluster).members(1)).await?);
    let direct = ctx.connect(servers.client_urls()).await?;
    let (_, added) = grow(&ctx, &servers, &direct, true).await?;
    let id = added.member.id;
    // In sync, so that one promotion will do.
    makes_progress(&ctx, &[servers.member(0).client_url()]).await?;
    ctx.until("the learner to have what the leader has", LIMIT, || async {
        let statuses = direct.cluster().view().await.map(|view| view.members);
        let indices = statuses.unwrap_or_default();
        let indices: Vec<_> =
            indices.iter().filter_map(|it| it.status()).map(|it| it.raft_index).collect();
        indices.len() == 2 && indices[0] == indices[1]
    })
    .await?;

    let bridge = Bridge::new(servers.member(0).addr())?;
    let client = ctx.connect_with(Config::new([bridge.url()])).await?;
    client.get("warm").await?;
    let relay = *bridge.relays().last().ok_or("no connection")?;
    bridge.set_fault(Relays::One(relay), [Direction::Down], Fault::new().cut(0, Cut::Reset));
    let promoted = client.cluster().member_promote(id).await?.members;
    assert!(promoted.iter().all(|member| !member.is_learner), "{promoted:?}");
    let told = servers.member(0).log()?.matches("promote").count();
    assert!(told > 0, "the log tells of promotions");

    // Only the list tells an id that is not there from one that was promoted.
    let relay = *bridge.relays().last().ok_or("no connection")?;
    bridge.set_fault(Relays::One(relay), [Direction::Down], Fault::new().cut(0, Cut::Reset));
    let error = client.cluster().member_promote(7).await.unwrap_err();
    assert_eq!(error.kind(), etcd3::ErrorKind::Server(NOT_FOUND.error), "{error}");
    NOT_LEARNER.is_answered(&client.cluster().member_promote(id).await.unwrap_err());
    Ok(())
}
