//! Members that stop, hang, lose their data or are left alone, and what the others do.

use super::cluster_expect::{LIMIT, id_of, lenient, makes_progress};
use crate::{Case, CaseResult, Ctx, Member, case};
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(a_member_without_its_data_does_not_begin_anew, ["CLU-042"]).real("data on disk"),
    case!(a_removal_is_remembered_over_a_restart, ["CLU-043"]).real("data on disk"),
    case!(members_hang_and_stop_one_after_the_other, ["CLU-044", "CLU-045"]),
];

/// CLU-042
async fn a_member_without_its_data_does_not_begin_anew(ctx: Ctx) -> CaseResult {
    let servers = ctx.cluster().await?;
    let clone = servers.member(0);
    let launched = clone.clone();
    ctx.blocking(move || {
        launched.launch_without_data()?;
        launched.wait_end(Duration::from_secs(30))
    })
    .await?;
    let log = clone.log()?;
    assert!(log.contains("has already been bootstrapped"), "{log}");
    makes_progress(&ctx, &servers.client_urls().split_off(1)).await
}

/// CLU-043
async fn a_removal_is_remembered_over_a_restart(ctx: Ctx) -> CaseResult {
    let build = |cluster| lenient(cluster).flag("--snapshot-count", "10");
    let servers = ctx.cluster_with(build).await?;
    let client = ctx.connect([servers.member(0).client_url()]).await?;
    for n in 0..15 {
        client.put(format!("foo{n}"), "bar").await?;
    }
    let removed = id_of(&ctx, &servers, 2).await?;
    client.cluster().member_remove(removed).timeout(LIMIT).await?;
    let [first, second] = [0, 1].map(|member| servers.member(member));
    ctx.order(&second, Member::terminate).await?;
    ctx.order(&first, Member::terminate).await?;
    ctx.order(&first, Member::launch).await?;
    ctx.order(&second, Member::restart).await?;
    assert!(first.is_running());
    let log = first.log()?;
    assert!(!log.contains("panic"), "{log}");
    let listed = client.cluster().member_list().timeout(LIMIT).await?.members;
    assert_eq!(listed.len(), 2);
    makes_progress(&ctx, &[first.client_url(), second.client_url()]).await
}

/// CLU-044, CLU-045
async fn members_hang_and_stop_one_after_the_other(ctx: Ctx) -> CaseResult {
    type Order = fn(&Member) -> etcd3_lab::Result<()>;
    let hang: (Order, Order) = (Member::stop, Member::cont);
    let stop: (Order, Order) = (Member::terminate, Member::restart);
    for (members, (down, up)) in [(5, hang), (3, stop)] {
        let servers = ctx.cluster_with(|cluster| cluster.members(members)).await?;
        for index in 0..members {
            let member = servers.member(index);
            ctx.order(&member, down).await?;
            let mut others = servers.client_urls();
            others.remove(index);
            makes_progress(&ctx, &others).await?;
            ctx.order(&member, up).await?;
            makes_progress(&ctx, &[member.client_url()]).await?;
        }
    }
    Ok(())
}
