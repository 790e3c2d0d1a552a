//! Leases when the leader changes, or is gone.

use super::kv_expect::Refusal;
use super::lease_expect::{LIMIT, Renewals, seconds, until_left};
use crate::{BoxError, Case, CaseResult, Cluster, ClusterBuilder, Ctx, Member, case};
use etcd3::{Code, Error, Outcome, ServerError, Status};

pub(super) const CASES: &[Case] = &[
    case!(a_new_leader_gives_all_its_time_to_a_lease, ["LEASE-030"]),
    case!(without_checkpoints_a_lease_starts_anew, ["LEASE-043"]),
    case!(a_member_without_a_leader_renews_nothing, ["LEASE-041", "LEASE-042"]),
    case!(a_deposed_leader_renews_nothing, ["LEASE-056"]),
];

const NO_LEADER: Refusal = Refusal {
    error: ServerError::NoLeader,
    code: Code::Unavailable,
    text: "etcdserver: no leader",
};

#[track_caller]
fn check_no_leader(status: Status) {
    NO_LEADER.is_read_from(&Error::from_status(status, Outcome::Unknown));
}

/// Returns a follower and the leader.
fn follower_and_leader(cluster: &Cluster) -> Result<(usize, usize), BoxError> {
    let leader = cluster.leader().ok_or("there is no leader")?;
    Ok(((leader + 1) % cluster.len(), leader))
}

/// Waits until a member takes another one for the leader.
async fn until_another_leads(ctx: &Ctx, cluster: &Cluster, old: usize, at: usize) -> CaseResult {
    let old = cluster.member(old).status()?.member_id;
    let member = cluster.member(at);
    let leads = move |leader| leader != 0 && leader != old;
    ctx.until_member(&member, "another leader", LIMIT, |status| leads(status.leader)).await
}

/// LEASE-030, L5
async fn a_new_leader_gives_all_its_time_to_a_lease(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    let ttl = seconds(4);
    let begin = ctx.rt.now();
    let lease = client.grant(ttl).await?;
    assert_eq!(lease.ttl, ttl);
    let (_, leader) = follower_and_leader(&cluster)?;
    until_left(&ctx, &client, lease.id, seconds(1)).await?;
    let stopped = cluster.member(leader);
    ctx.order(&stopped, Member::terminate).await?;
    ctx.order(&stopped, Member::restart).await?;
    // A lease that ended in its time would be gone within a second of that.
    let mut last_seen = begin;
    let is_gone = async {
        loop {
            let now = ctx.rt.now();
            match client.time_to_live(lease.id).timeout(LIMIT).await?.ttl {
                Some(_) => last_seen = now,
                None => return Ok::<_, Error>(()),
            }
            ctx.pause(seconds(1) / 10).await;
        }
    };
    ctx.within(LIMIT, is_gone).await.ok_or("the lease does not end")??;
    let lived = last_seen.saturating_since(begin);
    assert!(lived > ttl + seconds(1), "{lived:?}");
    Ok(())
}

/// LEASE-043, L5
async fn without_checkpoints_a_lease_starts_anew(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    let lease = client.grant(seconds(300)).await?.id;
    let (follower, leader) = follower_and_leader(&cluster)?;
    until_left(&ctx, &client, lease, seconds(296)).await?;
    ctx.order(&cluster.member(leader), Member::terminate).await?;
    let lives = cluster.member(follower);
    ctx.until_member(&lives, "another leader", LIMIT, |status| status.leader != 0).await?;
    ctx.until("all the time again", LIMIT, || async {
        let found = client.time_to_live(lease).await;
        found.is_ok_and(|found| found.ttl.is_some_and(|left| left >= seconds(298)))
    })
    .await?;
    ctx.order(&cluster.member(leader), Member::restart).await?;
    Ok(())
}

/// LEASE-041, LEASE-042, W18, L12
async fn a_member_without_a_leader_renews_nothing(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let (follower, _) = follower_and_leader(&cluster)?;
    let member = cluster.member(follower);
    let client = ctx.connect([member.client_url()]).await?;
    let lease = client.grant(seconds(60)).await?.id;
    let mut patient = Renewals::open(&ctx, member.addr(), false).await?;
    let renewed = patient.renew(lease).await?.map_err(|status| status.message)?;
    assert_eq!((renewed.id, renewed.ttl), (lease.0, 60));
    for other in (0..cluster.len()).filter(|other| *other != follower) {
        ctx.order(&cluster.member(other), Member::kill).await?;
    }
    ctx.until_member(&member, "the leader to be gone", LIMIT, |it| it.leader == 0).await?;
    let mut strict = Renewals::open(&ctx, member.addr(), true).await?;
    check_no_leader(strict.renew(lease).await?.unwrap_err());
    check_no_leader(patient.renew(lease).await?.unwrap_err());
    Ok(())
}

/// LEASE-056, L-10
async fn a_deposed_leader_renews_nothing(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster_with(ClusterBuilder::behind_peer_proxy).await?;
    let (follower, leader) = follower_and_leader(&cluster)?;
    let client = ctx.connect([cluster.member(leader).client_url()]).await?;
    let (mut last, mut promised) = (ctx.rt.now(), seconds(5));
    let lease = client.grant(promised).await?.id;
    cluster.partition(leader)?;
    // It renews as long as it takes itself for the leader, and no longer.
    let mut renewals = Renewals::open(&ctx, cluster.member(leader).addr(), true).await?;
    let status = loop {
        let sent = ctx.rt.now();
        match renewals.renew(lease).await? {
            Ok(renewed) => (last, promised) = (sent, seconds(u64::try_from(renewed.ttl)?)),
            Err(status) => break status,
        }
        ctx.pause(seconds(1) / 100).await;
    };
    check_no_leader(status);
    until_another_leads(&ctx, &cluster, leader, follower).await?;
    cluster.heal()?;
    let others = ctx.connect([cluster.member(follower).client_url()]).await?;
    let begin = ctx.rt.now();
    let found = others.time_to_live(lease).timeout(LIMIT).await?.ttl;
    // What was promised holds: the lease is there, or its time was over before it was looked at.
    let is_promised = ctx.rt.now() < last + promised;
    assert!(found.is_some() || !is_promised, "after {:?}", begin.saturating_since(last));
    Ok(())
}
