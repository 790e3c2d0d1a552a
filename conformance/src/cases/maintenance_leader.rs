//! The member that leads, and how that changes: by order, and by the end of the leader (M3).

use super::kv_expect::Refusal;
use super::kv_learner::with_learner;
use super::maintenance_status::statuses;
use crate::{BoxError, Case, CaseResult, Ctx, Member, case};
use etcd3::request::maintenance;
use etcd3::{Client, Code, MemberId, MemberStatus, ServerError};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);

pub(super) const CASES: &[Case] = &[
    case!(the_leader_hands_over_to_the_member_that_is_named, ["MNT-003", "MNT-040"])
        .plain_and_tls(),
    case!(a_learner_cannot_lead, ["MNT-042"]).real("a learner that joins"),
    case!(a_leader_that_stops_is_succeeded, ["MNT-039", "MNT-044"]).plain_and_tls(),
    case!(one_server_leads_itself, ["MNT-044"]),
];

const NOT_LEADER: Refusal = Refusal {
    error: ServerError::NotLeader,
    code: Code::FailedPrecondition,
    text: "etcdserver: not leader",
};
const BAD_TRANSFEREE: Refusal = Refusal {
    error: ServerError::BadLeaderTransferee,
    code: Code::FailedPrecondition,
    text: "etcdserver: bad leader transferee",
};

/// Waits until all endpoints that can be reached name one leader, other than `old`.
async fn leader(ctx: &Ctx, client: &Client, old: Option<MemberId>) -> Result<MemberId, BoxError> {
    let found = std::sync::atomic::AtomicU64::new(0);
    ctx.until("one leader", LIMIT, || async {
        let answers = client.maintenance().statuses().timeout(Duration::from_secs(1)).await;
        let told: Vec<_> = answers.into_iter().filter_map(|it| it.status.ok()).collect();
        let leader = told.first().and_then(|status| status.leader);
        found.store(leader.unwrap_or_default().0, std::sync::atomic::Ordering::Relaxed);
        leader.is_some() && leader != old && told.iter().all(|status| status.leader == leader)
    })
    .await?;
    Ok(MemberId(found.into_inner()))
}

/// MNT-003, MNT-040
async fn the_leader_hands_over_to_the_member_that_is_named(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    let old = leader(&ctx, &client, None).await?;
    let all = statuses(&client).await?;
    let ids: Vec<_> = all.iter().map(MemberStatus::member_id).collect();
    let (target, url) = ids
        .iter()
        .zip(cluster.client_urls())
        .find(|(id, _)| **id != old)
        .ok_or("there are followers")?;
    // A follower does not take it.
    let follower = client.pinned_to(url)?;
    let moved = follower.execute(maintenance::move_leader(*target)).await;
    NOT_LEADER.is_answered(&moved.unwrap_err());

    // The leader does, wherever it is: each leads once, and one twice.
    let mut last = old;
    for to in ids.iter().chain([&ids[0], &ids[0]]) {
        client.maintenance().move_leader(*to).await?;
        let old = Some(last).filter(|last| last != to);
        assert_eq!(leader(&ctx, &client, old).await?, *to);
        last = *to;
    }
    let moved = client.maintenance().move_leader(7).await;
    BAD_TRANSFEREE.is_answered(&moved.unwrap_err());
    Ok(())
}

/// MNT-042
async fn a_learner_cannot_lead(ctx: Ctx) -> CaseResult {
    let (cluster, learner) = with_learner(&ctx).await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    let status = client.maintenance().status(&learner).await?;
    assert!(status.is_learner && !status.is_leader());
    let moved = client.maintenance().move_leader(status.member_id()).await;
    BAD_TRANSFEREE.is_answered(&moved.unwrap_err());
    Ok(())
}

/// MNT-039, MNT-044: by SIGTERM, at which a leader hands over.
async fn a_leader_that_stops_is_succeeded(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    let old = leader(&ctx, &client, None).await?;
    let index = cluster.leader().ok_or("there is a leader")?;
    ctx.order(&cluster.member(index), Member::terminate).await?;
    let new = leader(&ctx, &client, Some(old)).await?;
    assert_ne!(new, old);
    let told = client.maintenance().statuses().timeout(Duration::from_secs(1)).await;
    let answered: Vec<_> = told.iter().filter(|it| it.status.is_ok()).collect();
    assert_eq!(answered.len(), 2, "{told:?}");
    assert_eq!(told[index].endpoint, cluster.member(index).client_url());
    assert!(told[index].status.is_err());
    client.put("foo", "bar").await?;
    Ok(())
}

/// MNT-044
async fn one_server_leads_itself(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let id = leader(&ctx, &client, None).await?;
    assert_eq!(statuses(&client).await?[0].member_id(), id);
    client.maintenance().move_leader(id).await?;
    Ok(())
}
