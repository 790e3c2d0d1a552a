//! Servers that check what a change of the members does to the majority.

use super::cluster_expect::{
    HEALTH_INTERVAL, LIMIT, NOT_FOUND, UNHEALTHY, id_of, makes_progress, write,
};
use crate::{BoxError, Case, CaseResult, Cluster, Ctx, Member, case};
use etcd3::{Client, Error, MemberAddResponse, Outcome, ServerError};
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(
        changes_right_after_the_start_wait_or_say_why_not,
        ["CLU-019", "CLU-023", "CLU-024", "CLU-047"]
    ),
    case!(a_single_member_stays, ["CLU-028"]),
    case!(a_cluster_without_two_of_five_loses_only_dead_members, ["CLU-034"]),
];

const NEW: &str = "http://127.0.0.1:1234";

/// How often a member is restarted so that the cluster is young, on a machine that is slow.
const TRIES: usize = 5;

async fn add_learner(client: &Client) -> Result<MemberAddResponse, Error> {
    client.cluster().member_add([NEW]).learner().await
}

/// Restarts a member until a change comes early enough to be refused, and checks the refusals.
/// Returns when the cluster became young.
async fn refused_in_youth(
    ctx: &Ctx,
    servers: &Cluster,
    client: &Client,
) -> Result<etcd3::runtime::Instant, BoxError> {
    let id = id_of(ctx, servers, 1).await?;
    for _ in 0..TRIES {
        let young = ctx.rt.now();
        ctx.order(&servers.member(2), Member::restart).await?;
        client.get("the cluster works").timeout(LIMIT).await?;
        let asked = ctx.rt.now();
        let added = add_learner(client).await;
        let removed = client.cluster().member_remove(id).await;
        let took = ctx.rt.now().saturating_since(asked);
        let age = ctx.rt.now().saturating_since(young);
        // Servers count from when they heard of each other, a moment after this began to.
        if age + Duration::from_millis(500) < HEALTH_INTERVAL {
            for error in [added.map(drop).unwrap_err(), removed.map(drop).unwrap_err()] {
                UNHEALTHY.is_answered(&error);
                assert!(error.is_retryable(), "{error}");
            }
            assert!(took < ctx.at_most(Duration::from_secs(1)), "at once: {took:?}");
            return Ok(young);
        }
        if let Ok(added) = added {
            client.cluster().member_remove(added.member.id).await?;
        }
        assert!(removed.is_err_and(|error| error.outcome() == Outcome::Rejected), "too late");
    }
    Err("the machine is too slow to meet a young cluster".into())
}

/// CLU-019, CLU-023, CLU-024, CLU-047, M14, case 7
async fn changes_right_after_the_start_wait_or_say_why_not(ctx: Ctx) -> CaseResult {
    let servers = ctx.cluster().await?;
    let client = ctx.connect(servers.client_urls()).await?;
    let cluster = client.cluster();
    let young = refused_in_youth(&ctx, &servers, &client).await?;

    // Exactly one is added, as soon as servers allow.
    let add = cluster.member_add([NEW]).learner();
    let learner = add.wait_until_accepted(2 * LIMIT).await?;
    let age = ctx.rt.now().saturating_since(young);
    assert!(age + Duration::from_millis(500) >= HEALTH_INTERVAL, "{age:?}");
    assert!(age < ctx.at_most(Duration::from_secs(10)), "{age:?}");
    assert!(learner.member.id.0 != 0 && learner.member.peer_urls == [NEW]);
    assert_eq!(cluster.member_list().await?.members, learner.members);
    assert_eq!(learner.members.len(), 4);
    cluster.member_remove(learner.member.id).await?;

    ctx.pause(Duration::from_millis(1100)).await;
    let voter = cluster.member_add([NEW]).wait_until_accepted(LIMIT).await?.member;
    assert!(voter.id.0 != 0 && voter.peer_urls == [NEW] && !voter.is_learner);
    cluster.member_remove(voter.id).wait_until_accepted(LIMIT).await?;

    let removed = id_of(&ctx, &servers, 0).await?;
    let third = ctx.connect([servers.member(2).client_url()]).await?;
    let left = third.cluster().member_remove(removed).wait_until_accepted(LIMIT).await?.members;
    assert_eq!(left.len(), 2);
    for member in [1, 2] {
        let client = ctx.connect([servers.member(member).client_url()]).await?;
        let listed = client.cluster().member_list().timeout(LIMIT).await?.members;
        assert_eq!(listed, left, "member {member}");
    }
    Ok(())
}

/// CLU-028, CLU-024: the one that is there stays, and another one may come at once.
async fn a_single_member_stays(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    let id = client.cluster().member_list().await?.members[0].id;
    let error = client.cluster().member_remove(id).await.unwrap_err();
    assert_eq!(error.server_error(), Some(ServerError::MemberNotEnoughStarted), "{error}");
    assert_eq!(error.outcome(), Outcome::Rejected);
    NOT_FOUND.is_answered(&client.cluster().member_remove(7).await.unwrap_err());

    let learner = add_learner(&client).await?;
    assert_eq!(learner.members.len(), 2);
    makes_progress(&ctx, &[server.client_url()]).await
}

/// CLU-034
async fn a_cluster_without_two_of_five_loses_only_dead_members(ctx: Ctx) -> CaseResult {
    let servers = ctx.cluster_with(|cluster| cluster.members(5)).await?;
    let mut ids = Vec::new();
    for member in 0..5 {
        ids.push(id_of(&ctx, &servers, member).await?);
    }
    let client = ctx.connect(servers.client_urls().into_iter().take(3)).await?;
    for member in [3, 4] {
        ctx.order(&servers.member(member), Member::kill).await?;
    }
    write(&client, "three of five").await?;

    let remove = |member: usize| client.cluster().member_remove(ids[member]);
    let error = remove(2).await.unwrap_err();
    UNHEALTHY.is_answered(&error);
    let left = remove(3).wait_until_accepted(LIMIT).await?.members;
    assert_eq!(left.len(), 4);
    ctx.order(&servers.member(4), Member::restart).await?;
    let left = remove(2).wait_until_accepted(LIMIT).await?.members;
    assert_eq!(left.len(), 3);
    let urls: Vec<String> = [0, 1, 4].map(|member| servers.member(member).client_url()).into();
    makes_progress(&ctx, &urls).await
}
