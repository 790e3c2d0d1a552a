//! Leases that are kept alive while members are down, alone or most of them.

use super::kv_metrics::sum;
use super::lease_fate::{LIMIT, late, lost, recovered, renewed, streams};
use crate::raw::refusal_of_stream;
use crate::{BoxError, Case, CaseResult, Ctx, Member, case};
use etcd3::proto::etcdserverpb::LeaseKeepAliveRequest;
use etcd3::{Client, ErrorKind, LossReason, ServerError};
use etcd3_core::method;
use std::sync::Arc;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(a_member_that_comes_back_goes_on_renewing, ["LEASE-007"]),
    case!(a_lease_that_is_revoked_meanwhile_is_lost, ["LEASE-013"]),
    case!(a_first_renewal_is_not_waited_for_forever, ["LEASE-014"]),
    case!(a_lease_is_lost_when_its_time_is_over, ["LEASE-015"]),
    case!(a_lease_survives_a_short_loss_of_quorum, ["LEASE-019"]),
    case!(leases_come_and_go_while_a_member_is_down, ["LEASE-021"]),
    case!(a_member_without_a_leader_ends_the_stream_and_not_the_lease, ["LEASE-022"])
        .real("metrics"),
    case!(renewals_leave_a_frozen_leader_of_three, ["LEASE-064"]),
    case!(renewals_leave_a_frozen_leader_of_five, ["LEASE-066"]),
];

const SECOND: Duration = Duration::from_secs(1);

/// LEASE-007
async fn a_member_that_comes_back_goes_on_renewing(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let member = cluster.member(0);
    let client = ctx.connect([member.client_url()]).await?;
    let lease = client.lease(15 * SECOND).await?;
    client.keep_alive_once(lease.id()).await?;
    ctx.order(&member, Member::kill).await?;
    let before = lease.valid_until();
    late(&ctx, &lease).await?;
    assert_eq!(lease.valid_until(), before, "nobody has renewed it");
    ctx.order(&member, Member::restart).await?;
    recovered(&ctx, &lease).await?;
    assert!(lease.valid_until() > before);
    Ok(())
}

/// LEASE-013
async fn a_lease_that_is_revoked_meanwhile_is_lost(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    // Not the leader, so that the others take a revocation at once.
    let at = (cluster.leader().ok_or("there is no leader")? + 1) % cluster.len();
    let member = cluster.member(at);
    let client = ctx.connect([member.client_url()]).await?;
    let lease = client.lease(10 * SECOND).await?;
    client.keep_alive_once(lease.id()).await?;
    ctx.order(&member, Member::kill).await?;
    let living = (0..cluster.len()).filter(|it| *it != at);
    let direct = ctx.connect(living.map(|it| cluster.member(it).client_url())).await?;
    direct.revoke(lease.id()).await?;
    ctx.order(&member, Member::restart).await?;
    let lost = lost(&ctx, &lease, 10 * SECOND).await?;
    // The latter where the member was not back in time.
    let may_be = [LossReason::Expired, LossReason::DeadlinePassed];
    assert!(may_be.contains(&lost.reason), "{lost}");
    Ok(())
}

/// LEASE-014
async fn a_first_renewal_is_not_waited_for_forever(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    let id = client.grant(5 * SECOND).await?.id;
    server.terminate()?;
    let renewal = client.keep_alive(id).timeout(5 * SECOND).send();
    let result = ctx.within(10 * SECOND, renewal).await.ok_or("it waits on")?;
    let error = result.map(drop).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TimedOut(_)), "{error}");
    Ok(())
}

/// LEASE-015, I-L1
async fn a_lease_is_lost_when_its_time_is_over(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    let lease = client.lease(5 * SECOND).await?;
    renewed(&ctx, &lease).await?;
    server.terminate()?;
    let lost = lost(&ctx, &lease, 10 * SECOND).await?;
    assert_eq!(lost.reason, LossReason::DeadlinePassed);
    assert!(lost.cause.is_some(), "{lost:?}");
    let late = ctx.rt.now().saturating_since(lease.valid_until());
    assert!(late < ctx.at_most(SECOND / 2), "told {late:?} later");
    assert!(lease.valid_until() <= ctx.rt.now(), "told before its time is over");
    Ok(())
}

/// LEASE-019, I-L5
async fn a_lease_survives_a_short_loss_of_quorum(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    let lease = client.lease(12 * SECOND).await?;
    client.keep_alive_once(lease.id()).await?;
    for member in [1, 2] {
        ctx.order(&cluster.member(member), Member::kill).await?;
    }
    let before = lease.valid_until();
    late(&ctx, &lease).await?;
    for member in [1, 2] {
        ctx.order(&cluster.member(member), Member::restart).await?;
    }
    recovered(&ctx, &lease).await?;
    assert!(lease.valid_until() > before);
    Ok(())
}

/// Begins a lease, and revokes it; returns how long the latter took.
async fn come_and_go(ctx: Ctx, client: Client) -> Result<Option<Duration>, etcd3::Error> {
    let lease = client.lease(60 * SECOND).timeout(20 * SECOND).await?;
    let begin = ctx.rt.now();
    lease.revoke().await?;
    Ok(Some(ctx.rt.now().saturating_since(begin)))
}

/// LEASE-021
async fn leases_come_and_go_while_a_member_is_down(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster_with(|cluster| cluster.members(2)).await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    let member = cluster.member(1);
    let mut all = vec![];
    let mut wave = || {
        for _ in 0..5 {
            all.push(ctx.spawn(come_and_go(ctx.clone(), client.clone())));
        }
    };
    wave();
    ctx.order(&member, Member::kill).await?;
    wave();
    // The member is to be down for a while.
    ctx.pause(SECOND).await;
    wave();
    ctx.order(&member, Member::restart).await?;
    wave();
    for task in all {
        match ctx.within(2 * LIMIT, task).await.ok_or("a lease hangs")? {
            Ok(took) => {
                let took = took.unwrap_or_default();
                assert!(took < ctx.at_most(15 * SECOND), "revoking took {took:?}");
            }
            Err(error) => {
                let lost = Some(ServerError::TimeoutDueToConnectionLost);
                let is_late = matches!(error.kind(), ErrorKind::TimedOut(_));
                assert!(is_late || error.server_error() == lost, "{error}");
            }
        }
    }
    Ok(())
}

/// Returns how many streams of renewals a member has ended with this code.
fn ended(member: &Member, code: &str) -> Result<u64, BoxError> {
    let code = format!("grpc_code=\"{code}\"");
    let labels = ["grpc_method=\"LeaseKeepAlive\"", &code];
    Ok(sum(&member.metrics()?, "grpc_server_handled_total", &labels))
}

/// LEASE-022, L17, I-L5: all leases are kept alive on streams that require a leader.
async fn a_member_without_a_leader_ends_the_stream_and_not_the_lease(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster_with(|cluster| cluster.members(2)).await?;
    let member = cluster.member(0);
    let client = ctx.connect([member.client_url()]).await?;
    let lease = client.lease(60 * SECOND).await?;
    client.keep_alive_once(lease.id()).await?;
    let id = client.grant(60 * SECOND).await?.id;
    let message = LeaseKeepAliveRequest { id: id.0 };
    let (world, address) = (ctx.clone(), member.addr());
    let without = ctx.spawn(async move {
        refusal_of_stream(&world, address, &method::LEASE_KEEP_ALIVE, &message).await
    });
    ctx.until("both streams", LIMIT, || async { streams(&member).is_ok_and(|it| it == 2) }).await?;
    assert_eq!(ended(&member, "Unavailable")?, 0);
    ctx.order(&cluster.member(1), Member::kill).await?;
    // It is opened again and again meanwhile.
    let is_ended = || async { ended(&member, "Unavailable").is_ok_and(|it| it > 0) };
    ctx.until("the end of the stream", 5 * SECOND, is_ended).await?;
    assert_eq!(ended(&member, "Canceled")?, 0);
    assert!(lease.is_valid(), "{lease:?}");
    assert!(!without.is_done(), "the stream that takes any member has ended");
    ctx.order(&cluster.member(1), Member::restart).await?;
    client.keep_alive_once(lease.id()).await?;
    Ok(())
}

/// Freezes the leader for longer than a lease lives.
async fn leave_a_frozen_leader(ctx: &Ctx, members: usize) -> CaseResult {
    const TTL: Duration = Duration::from_secs(6);
    let cluster = ctx.cluster_with(|cluster| cluster.members(members)).await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    let lease = client.lease(TTL).await?;
    client.put("foo", "bar").lease(lease.id()).await?;
    let leader: Arc<Member> = cluster.member(cluster.leader().ok_or("there is no leader")?);
    ctx.order(&leader, Member::stop).await?;
    // The time is what this is about.
    ctx.pause(TTL + 2 * SECOND).await;
    assert!(lease.is_valid(), "{lease:?}");
    renewed(ctx, &lease).await?;
    // Once it goes on, the old leader may revoke what it thinks is due, which no client prevents.
    let found = client.get("foo").await?;
    assert_eq!(found.count, 1);
    assert!(client.time_to_live(lease.id()).await?.ttl.is_some());
    ctx.order(&leader, Member::cont).await?;
    Ok(())
}

/// LEASE-064, I-L3
async fn renewals_leave_a_frozen_leader_of_three(ctx: Ctx) -> CaseResult {
    leave_a_frozen_leader(&ctx, 3).await
}

/// LEASE-066, I-L3
async fn renewals_leave_a_frozen_leader_of_five(ctx: Ctx) -> CaseResult {
    leave_a_frozen_leader(&ctx, 5).await
}
