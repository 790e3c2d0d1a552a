//! Leases beyond the member that granted them: what the others know, and how soon.

use super::lease_expect::{LIMIT, Renewals, check_key, seconds};
use crate::{BoxError, Case, CaseResult, Cluster, Ctx, Member, case};
use etcd3::{Client, LeaseId};

pub(super) const CASES: &[Case] = &[
    case!(ids_are_signed, ["LEASE-033", "LEASE-034", "LEASE-035"]),
    case!(a_granted_lease_can_be_renewed_at_once, ["LEASE-049"]),
    case!(a_granted_lease_can_be_renewed_at_once_anywhere, ["LEASE-050"]),
    case!(a_granted_lease_is_known_at_once, ["LEASE-051"]),
    case!(a_granted_lease_is_known_at_once_anywhere, ["LEASE-052"]),
    case!(a_revoked_lease_is_known_nowhere, ["LEASE-054"]),
];

/// The grants of each task.
const GRANTS: usize = 20;
/// The tasks that grant at the same time, for each member.
const TASKS: usize = 10;

/// LEASE-033, LEASE-034, LEASE-035
async fn ids_are_signed(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect(cluster.client_urls().into_iter().take(2)).await?;
    for id in [-1, i64::MAX, i64::MIN] {
        let lease = client.grant(seconds(300)).id(id).await?.id;
        assert_eq!(lease, LeaseId(id));
        client.put("foo", "bar").lease(lease).await?;
        let restarted = cluster.member(2);
        ctx.order(&restarted, Member::terminate).await?;
        ctx.order(&restarted, Member::restart).await?;
        let revoked = client.revoke(lease).timeout(LIMIT).await?.header.revision;
        for url in cluster.client_urls() {
            let member = ctx.connect([url]).await?;
            let read = member.get("foo").timeout(LIMIT).await?;
            assert_eq!((read.count, read.header.revision), (0, revoked), "{id}");
            assert_eq!(member.time_to_live(lease).timeout(LIMIT).await?.ttl, None, "{id}");
        }
    }
    Ok(())
}

/// What is asked of a member of a lease that was just granted by another one, or the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Renewal,
    TimeToLive,
}

/// Has tasks grant leases by these clients, and ask the members about each of them at once.
async fn strain(
    ctx: &Ctx,
    cluster: &Cluster,
    clients: Vec<Client>,
    question: Question,
) -> CaseResult {
    let members = cluster.members();
    let mut tasks = Vec::new();
    for task in 0..TASKS * members.len() {
        let granting = clients[task % clients.len()].clone();
        // With one client for all any member grants; with one for each it is another one.
        let asked = members[(task + 1) % members.len()].clone();
        let asking = ctx.connect([asked.client_url()]).await?;
        let of_task = ctx.clone();
        tasks.push(ctx.spawn(async move {
            let mut renewals = Renewals::open(&of_task, asked.addr(), false).await?;
            for _ in 0..GRANTS {
                let lease = granting.grant(seconds(60)).timeout(LIMIT).await?.id;
                match question {
                    Question::Renewal => {
                        let renewed = renewals.renew(lease).await?;
                        let renewed = renewed.map_err(|status| status.message)?;
                        assert_eq!((renewed.id, renewed.ttl), (lease.0, 60));
                    }
                    Question::TimeToLive => {
                        let found = asking.time_to_live(lease).timeout(LIMIT).await?;
                        assert!(found.ttl.is_some(), "{found:?}");
                    }
                }
            }
            Ok::<_, BoxError>(())
        }));
    }
    for task in tasks {
        task.await?;
    }
    Ok(())
}

async fn one_for_each(ctx: &Ctx, cluster: &Cluster) -> Result<Vec<Client>, BoxError> {
    let mut clients = Vec::new();
    for url in cluster.client_urls() {
        clients.push(ctx.connect([url]).await?);
    }
    Ok(clients)
}

/// LEASE-049, L-12
async fn a_granted_lease_can_be_renewed_at_once(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    strain(&ctx, &cluster, one_for_each(&ctx, &cluster).await?, Question::Renewal).await
}

/// LEASE-050, L-12
async fn a_granted_lease_can_be_renewed_at_once_anywhere(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    strain(&ctx, &cluster, vec![client], Question::Renewal).await
}

/// LEASE-051
async fn a_granted_lease_is_known_at_once(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    strain(&ctx, &cluster, one_for_each(&ctx, &cluster).await?, Question::TimeToLive).await
}

/// LEASE-052
async fn a_granted_lease_is_known_at_once_anywhere(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    strain(&ctx, &cluster, vec![client], Question::TimeToLive).await
}

/// LEASE-054, L3
async fn a_revoked_lease_is_known_nowhere(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    let lease = client.grant(seconds(60)).await?.id;
    client.put("foo", "bar").lease(lease).await?;
    client.revoke(lease).await?;
    for url in cluster.client_urls() {
        let member = ctx.connect([url]).await?;
        check_key(&member, "foo", false).await?;
        let found = member.time_to_live(lease).keys().await?;
        assert_eq!((found.id, found.ttl, found.keys.len()), (lease, None, 0));
    }
    Ok(())
}
