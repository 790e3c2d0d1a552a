//! Watches and leases of clients with credentials: what outlives a token, and what is forbidden.

use super::token_expect::{config, connect, guard, quick};
use crate::{Case, CaseResult, Ctx, case};
use etcd3::{LeaseStatus, PutResponse, key, prefix};
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(cuts_and_short_tokens_lose_no_watch_and_no_lease, []).real("a bridge"),
    case!(one_forbidden_lease_among_a_hundred, []),
    case!(a_frozen_member_is_passed_over_for_an_ordinary_user, []).real("metrics"),
];

const SECOND: Duration = Duration::from_secs(1);

/// A-01, I-A1, W16, case 28: the short form; the long one is the program `tokens`.
async fn cuts_and_short_tokens_lose_no_watch_and_no_lease(ctx: Ctx) -> CaseResult {
    crate::short_tokens::run(&ctx, 6).await.map(drop)
}

/// L10, A14: the stream of renewals ends in the refusal of one of them.
async fn one_forbidden_lease_among_a_hundred(ctx: Ctx) -> CaseResult {
    let server = ctx.server_with(quick).await?;
    let root = guard(&ctx, server.client_url()).await?;
    let client = connect(&ctx, server.client_url(), "app").await?;
    let forbidden = root.grant(60 * SECOND).await?.id;
    root.put("c", "of root").lease(forbidden).await?;
    let mut leases = Vec::new();
    for n in 0..99 {
        let lease = client.lease(6 * SECOND).await?;
        client.put(format!("a{n}"), "v").lease(lease.id()).await?;
        leases.push(lease);
    }
    let other = client.keep_alive(forbidden).await;
    // Twice the time to live: all were renewed, or are gone.
    ctx.pause(12 * SECOND).await;
    for lease in &leases {
        assert!(lease.is_valid(), "{lease:?}");
    }
    assert_eq!(client.get(prefix("a")).count_only().await?.count, 99);
    if let Ok(other) = other {
        assert!(
            !matches!(other.status(), LeaseStatus::Lost(_)) || other.lost().await.cause.is_some()
        );
    }
    Ok(())
}

/// Case 3, A14: members are probed by reads, and never by what ordinary users may not ask for.
async fn a_frozen_member_is_passed_over_for_an_ordinary_user(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster_with(|cluster| cluster.flag("--bcrypt-cost", "4")).await?;
    // Asked before that takes a user.
    let frozen = (cluster.wait_leader()? + 1) % 3;
    guard(&ctx, cluster.member(0).client_url()).await?;
    let client = ctx.connect_with(config(cluster.client_urls(), "app")).await?;
    ctx.until_connected(&client).await?;
    client.put("a", "v").await?;
    let member = cluster.member(frozen);
    member.stop()?;
    let mut read = 0;
    let begin = ctx.rt.now();
    while ctx.rt.now().saturating_since(begin) < 6 * SECOND {
        client.get("a").await?;
        client.put("a", "v").await.or_else(|error| {
            // Writes that were under way at the frozen member are not repeated.
            if error.outcome() == etcd3::Outcome::Unknown {
                Ok(PutResponse::default())
            } else {
                Err(error)
            }
        })?;
        read += 1;
        ctx.pause(SECOND / 50).await;
    }
    assert!(read > 50, "{read} reads");
    member.cont()?;
    ctx.until_connected(&client).await?;
    let watch = client.watch(key("a")).await?;
    drop(watch);
    Ok(())
}
