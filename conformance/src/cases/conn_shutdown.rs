//! Members that are shut down under a client of the whole cluster.

use crate::BoxError;
use crate::{Case, CaseResult, Cluster, Ctx, Member, case};
use etcd3::{Client, Error};
use etcd3_lab::MemberStatus;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(a_put_after_a_shutdown_succeeds_at_once, ["CONN-026"]).plain_and_tls(),
    case!(a_delete_after_a_shutdown_succeeds_at_once, ["CONN-027"]).plain_and_tls(),
    case!(a_txn_after_a_shutdown_succeeds_at_once, ["CONN-028"]).plain_and_tls(),
    case!(a_get_during_a_shutdown_succeeds, ["CONN-029"]).plain_and_tls(),
    case!(a_serializable_get_during_a_shutdown_succeeds, ["CONN-030"]).plain_and_tls(),
    case!(a_get_waits_for_a_restart, ["CONN-031", "CONN-033", "CONN-034"]).plain_and_tls(),
    case!(a_serializable_get_waits_for_a_restart, ["CONN-036", "CONN-037", "CONN-038"])
        .plain_and_tls(),
];

const SECOND: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(20);

/// A client that was connected to one member, and then to all.
async fn pinned(ctx: &Ctx, cluster: &Cluster, member: usize) -> Result<Client, BoxError> {
    let client = ctx.connect([cluster.member(member).client_url()]).await?;
    client.put("foo", "bar").await?;
    client.set_endpoints(cluster.client_urls())?;
    Ok(client)
}

/// The first member is shut down, and the others know what to do without it.
async fn shut_down(ctx: &Ctx) -> Result<(Cluster, Client), BoxError> {
    let cluster = ctx.cluster().await?;
    let client = pinned(ctx, &cluster, 0).await?;
    let first = cluster.member(0);
    let gone = ctx.blocking(move || first.status()).await?.member_id;
    ctx.order(&cluster.member(0), Member::terminate).await?;
    for other in [1, 2] {
        let member = cluster.member(other);
        // A follower names a leader that is gone for as long as it has not missed it.
        let lives = |it: &MemberStatus| ![0, gone].contains(&it.leader);
        ctx.until_member(&member, "a leader that lives", LIMIT, lives).await?;
    }
    ctx.pause(SECOND).await;
    Ok((cluster, client))
}

/// CONN-026
async fn a_put_after_a_shutdown_succeeds_at_once(ctx: Ctx) -> CaseResult {
    let (_cluster, client) = shut_down(&ctx).await?;
    client.put("foo", "baz").timeout(ctx.stretched(SECOND)).await?;
    Ok(())
}

/// CONN-027
async fn a_delete_after_a_shutdown_succeeds_at_once(ctx: Ctx) -> CaseResult {
    let (_cluster, client) = shut_down(&ctx).await?;
    let deleted = client.delete("foo").timeout(ctx.stretched(SECOND)).await?;
    assert_eq!(deleted.deleted, 1);
    Ok(())
}

/// CONN-028
async fn a_txn_after_a_shutdown_succeeds_at_once(ctx: Ctx) -> CaseResult {
    let (_cluster, client) = shut_down(&ctx).await?;
    let txn = client.txn().when([etcd3::key("foo").exists()]);
    let done = txn.then([etcd3::put("foo", "baz")]).timeout(ctx.stretched(SECOND)).await?;
    assert!(done.succeeded);
    Ok(())
}

/// CONN-029: while the member goes, and the leader with it if it led.
async fn a_get_during_a_shutdown_succeeds(ctx: Ctx) -> CaseResult {
    for leads in [true, false] {
        let cluster = ctx.cluster().await?;
        let leader = cluster.leader().ok_or("there is a leader")?;
        let member = if leads { leader } else { (leader + 1) % 3 };
        let client = pinned(&ctx, &cluster, member).await?;
        ctx.order(&cluster.member(member), Member::terminate).await?;
        let found = client.get("foo").timeout(ctx.stretched(7 * SECOND)).await?;
        assert_eq!(found.kvs.len(), 1);
    }
    Ok(())
}

/// CONN-030
async fn a_serializable_get_during_a_shutdown_succeeds(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = pinned(&ctx, &cluster, 0).await?;
    // Every member has the key, or a stale answer would be a right one.
    for member in cluster.members() {
        let revision = cluster.member(0).status()?.revision;
        ctx.until_member(&member, "the key", LIMIT, |it| it.revision >= revision).await?;
    }
    ctx.order(&cluster.member(0), Member::terminate).await?;
    let get = client.get("foo").serializable().timeout(ctx.stretched(2 * SECOND));
    assert_eq!(get.await?.kvs.len(), 1);
    Ok(())
}

/// The member that a client used before two members stop.
#[derive(Clone, Copy)]
struct Used {
    /// Whether it leads.
    leads: bool,
    /// Whether it stops before the other one.
    goes_first: bool,
}

impl Used {
    const fn new(leads: bool, goes_first: bool) -> Self {
        Self { leads, goes_first }
    }
}

/// Two members stop, one after the other; a read that is begun then is answered by the one that
/// was used before, when that is back.
async fn wait_for_restart(
    ctx: &Ctx,
    members: usize,
    used: Used,
    read: impl AsyncFn(&Client, Duration) -> Result<usize, Error>,
) -> CaseResult {
    let cluster = ctx.cluster_with(|cluster| cluster.members(members)).await?;
    let leader = cluster.leader().ok_or("there is a leader")?;
    let Used { leads, goes_first: first } = used;
    let used = if leads { leader } else { (leader + 1) % members };
    let client = pinned(ctx, &cluster, used).await?;
    let other = (0..members).find(|it| *it != used && (*it == leader || leads)).unwrap_or(leader);
    let order = if first { [used, other] } else { [other, used] };
    ctx.order(&cluster.member(order[0]), Member::kill).await?;
    if first {
        ctx.pause(SECOND).await;
    }
    ctx.order(&cluster.member(order[1]), Member::kill).await?;
    // A process that finds no majority at its start lets nobody in, unlike the servers within the
    // tests of etcd: of two members, both have to come back.
    let back = if members > 2 { vec![used] } else { vec![used, other] };
    let restarts: Vec<_> = back
        .into_iter()
        .map(|member| {
            let member = cluster.member(member);
            ctx.blocking(move || member.restart())
        })
        .collect();
    // Two tries within one deadline.
    let limit = ctx.stretched(7 * SECOND);
    let deadline = ctx.rt.now() + limit;
    let found = match read(&client, limit).await {
        Ok(found) => found,
        Err(_) => read(&client, deadline.saturating_since(ctx.rt.now())).await?,
    };
    assert_eq!(found, 1);
    for restart in restarts {
        restart.await?;
    }
    Ok(())
}

/// CONN-031, CONN-033, CONN-034
async fn a_get_waits_for_a_restart(ctx: Ctx) -> CaseResult {
    for used in [Used::new(true, true), Used::new(false, true), Used::new(false, false)] {
        let read = async |client: &Client, limit: Duration| {
            client.get("foo").timeout(limit).await.map(|answer| answer.kvs.len())
        };
        wait_for_restart(&ctx, 3, used, read).await?;
    }
    Ok(())
}

/// CONN-036, CONN-037, CONN-038
async fn a_serializable_get_waits_for_a_restart(ctx: Ctx) -> CaseResult {
    for used in [Used::new(true, false), Used::new(false, true), Used::new(false, false)] {
        let read = async |client: &Client, limit: Duration| {
            let get = client.get("foo").serializable().timeout(limit);
            get.await.map(|answer| answer.kvs.len())
        };
        wait_for_restart(&ctx, 2, used, read).await?;
    }
    Ok(())
}
