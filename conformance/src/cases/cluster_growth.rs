//! Clusters that grow, shrink and are replaced member by member, and go on meanwhile.

use super::cluster_expect::{LIMIT, grow, id_of, lenient_cluster, makes_progress, write};
use crate::{Case, CaseResult, Ctx, Member, case};
use etcd3::proto::etcdserverpb as pb;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(progress_is_seen_on_every_member, ["CLU-039"]).plain_and_tls(),
    case!(a_cluster_is_replaced_member_by_member, ["CLU-035", "CLU-040"])
        .real("processes that end by themselves"),
    case!(a_member_that_was_away_joins_a_changed_cluster, ["CLU-036"])
        .real("processes that end by themselves"),
];

/// How long a process may go on after its member was removed.
const END: Duration = Duration::from_secs(60);

/// CLU-039
async fn progress_is_seen_on_every_member(ctx: Ctx) -> CaseResult {
    for members in [1, 3] {
        let servers = ctx.cluster_with(|cluster| cluster.members(members)).await?;
        makes_progress(&ctx, &servers.client_urls()).await?;
    }
    Ok(())
}

/// CLU-035, CLU-040: from one member to three, without the first one, and back to one.
async fn a_cluster_is_replaced_member_by_member(ctx: Ctx) -> CaseResult {
    let servers = lenient_cluster(&ctx, 1).await?;
    let client = ctx.connect(servers.client_urls()).await?;
    client.put("kept", "value").await?;
    for expected in [2, 3] {
        let (_, added) = grow(&ctx, &servers, &client, false).await?;
        assert_eq!(added.members.len(), expected);
        client.set_endpoints(servers.client_urls())?;
        makes_progress(&ctx, &servers.client_urls()).await?;
    }

    let first = id_of(&ctx, &servers, 0).await?;
    let left = client.cluster().member_remove(first).timeout(LIMIT).await?.members;
    assert_eq!(left.len(), 2);
    let rest = servers.client_urls().split_off(1);
    client.set_endpoints(rest.clone())?;
    makes_progress(&ctx, &rest).await?;

    // It ends, and does not come back with what it had.
    let removed = servers.member(0);
    let ending = removed.clone();
    ctx.blocking(move || ending.wait_end(END)).await?;
    let again = removed.clone();
    ctx.blocking(move || again.launch().and_then(|()| again.wait_end(END))).await?;

    let second = id_of(&ctx, &servers, 1).await?;
    client.cluster().member_remove(second).timeout(LIMIT).await?;
    let rest = servers.client_urls().split_off(2);
    client.set_endpoints(rest.clone())?;
    makes_progress(&ctx, &rest).await?;
    let kept = client.get("kept").timeout(LIMIT).await?;
    assert_eq!(super::kv_expect::only(&kept).value, "value");
    Ok(())
}

/// CLU-036
async fn a_member_that_was_away_joins_a_changed_cluster(ctx: Ctx) -> CaseResult {
    let servers = lenient_cluster(&ctx, 3).await?;
    let away = servers.member(0);
    ctx.order(&away, Member::terminate).await?;
    let client = ctx.connect(servers.client_urls().split_off(1)).await?;
    write(&client, "without it").await?;
    let (fourth, added) = grow(&ctx, &servers, &client, false).await?;
    // Led by one that it has never heard of.
    let leader = servers.wait_leader()?;
    let move_leader = pb::MoveLeaderRequest { target_id: added.member.id.0 };
    let leading = client.pinned_to(servers.member(leader).client_url())?;
    leading.rpc(move_leader).timeout(LIMIT).await?;
    ctx.until("the new member to lead", LIMIT, || async { servers.leader() == Some(fourth) })
        .await?;

    ctx.order(&away, Member::restart).await?;
    let back = ctx.connect([away.client_url()]).await?;
    write(&back, "with it").await?;
    makes_progress(&ctx, &servers.client_urls()).await?;

    // One that was started a moment ago goes again.
    let (fifth, added) = grow(&ctx, &servers, &client, false).await?;
    client.cluster().member_remove(added.member.id).timeout(LIMIT).await?;
    let fifth = servers.member(fifth);
    ctx.blocking(move || fifth.wait_end(END)).await?;
    let urls: Vec<String> = servers.client_urls().into_iter().take(4).collect();
    makes_progress(&ctx, &urls).await
}
