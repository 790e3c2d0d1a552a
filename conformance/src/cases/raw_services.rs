//! The services `Lock` and `Election` that run within servers (X36).

use super::kv_expect::only;
use crate::{Case, CaseResult, Ctx, case};
use etcd3::raw::ServiceError;
use etcd3::{ErrorKind, LeaseId, Outcome, prefix};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);

pub(super) const CASES: &[Case] = &[
    case!(a_lock_of_the_server_is_held_by_one, []),
    case!(a_lock_that_is_given_up_leaves_no_key, []),
    case!(an_election_of_the_server_has_one_leader, []),
];

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

async fn a_lock_of_the_server_is_held_by_one(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let services = client.raw();
    let first = client.grant(seconds(60)).await?.id;
    let second = client.grant(seconds(60)).await?.id;
    let held = services.lock("l", first).await?;
    assert_eq!(held.key, format!("l/{:x}", first.0));
    assert_eq!(only(&client.get(&held.key).await?).lease, first);

    let error = services.lock("l", second).timeout(Duration::from_millis(300)).await.unwrap_err();
    assert!(error.is_timeout() && error.outcome() == Outcome::Unknown, "{error}");
    services.unlock(held.key.clone()).await?;
    services.unlock(held.key).await?;
    let held = services.lock("l", second).await?;
    client.revoke(second).await?;
    services.lock("l", first).await?;
    assert_eq!(client.get(held.key).await?.count, 0);

    // A lease that does not exist, in the words of the server under the code Unknown.
    let error = services.lock("l", 7).await.unwrap_err();
    assert!(error.is_lease_not_found() && error.outcome() == Outcome::Rejected, "{error}");
    // None at all is one of a minute.
    let held = services.lock("m", LeaseId::NONE).await?;
    let lease = only(&client.get(held.key).await?).lease;
    assert_eq!(client.time_to_live(lease).await?.granted, seconds(60));
    Ok(())
}

async fn a_lock_that_is_given_up_leaves_no_key(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let services = client.raw();
    let first = client.grant(seconds(60)).await?.id;
    let second = client.grant(seconds(60)).await?.id;
    services.lock("l", first).await?;
    let waiting = services.lock("l", second).timeout(seconds(60)).send();
    let count = |expected| {
        let client = client.clone();
        move || {
            let client = client.clone();
            async move { client.get(prefix("l/")).await.is_ok_and(|it| it.count == expected) }
        }
    };
    // It waits in the server, and is dropped then.
    let gone = async {
        let _ = waiting.await;
        Err("the lock was held twice".into())
    };
    futures_lite::future::or(gone, ctx.until("its key", LIMIT, count(2))).await?;
    ctx.until("that the server notices", LIMIT, count(1)).await
}

async fn an_election_of_the_server_has_one_leader(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let services = client.raw();
    let begin = ctx.rt.now();
    let error = services.leader("e").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Service(ServiceError::NoElectionLeader), "{error}");
    assert_eq!((error.outcome(), error.attempts()), (Outcome::Rejected, 1), "{error}");
    let took = ctx.rt.now().saturating_since(begin);
    assert!(took < ctx.at_most(seconds(5)), "it is not asked for again: {took:?}");

    let mut leaders = services.observe("e");
    let lease = client.grant(seconds(60)).await?.id;
    let elected = services.campaign("e", lease, "a").await?.elected;
    assert_eq!((&elected.name[..], elected.lease), (&b"e"[..], lease));
    assert_eq!(only(&client.get(&elected.key).await?).create_revision, elected.revision);
    assert_eq!(leaders.next().await.ok_or("a leader")??.kv.value, "a");
    services.proclaim(elected.clone(), "b").await?;
    assert_eq!(leaders.next().await.ok_or("a leader")??.kv.value, "b");
    let leader = services.leader("e").await?;
    assert_eq!((&leader.kv.key, &leader.kv.value[..]), (&elected.key, &b"b"[..]));

    let other = client.grant(seconds(60)).await?.id;
    let campaign = services.campaign("e", other, "c").timeout(Duration::from_millis(300));
    assert!(campaign.await.unwrap_err().is_timeout());
    services.resign(elected.clone()).await?;
    services.resign(elected.clone()).await?;
    let error = services.proclaim(elected, "d").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Service(ServiceError::NotElectionLeader), "{error}");
    services.campaign("e", other, "c").await?;
    assert_eq!(leaders.next().await.ok_or("a leader")??.kv.value, "c");
    Ok(())
}
