//! Clusters that lose members: what still works, what waits, and what fails.

use super::kv_expect::{Refusal, only};
use super::kv_metrics::sum;
use crate::{Case, CaseResult, Cluster, Ctx, Member, case};
use etcd3::{Code, Config, ErrorKind, Outcome, Phase, ServerError};
use std::future::IntoFuture;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(no_leader_is_told_to_who_asked, ["KV-007"]).real("metrics"),
    case!(a_read_waits_for_its_member, ["KV-017"]),
    case!(a_put_that_timed_out_does_not_happen_later, ["KV-018"]),
    case!(without_a_quorum_only_serializable_reads_work, ["KV-074", "KV-075"]),
    case!(a_put_survives_the_restart_of_another_member, ["KV-079"]),
];

const NO_LEADER: Refusal = Refusal {
    error: ServerError::NoLeader,
    code: Code::Unavailable,
    text: "etcdserver: no leader",
};
const SECOND: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(20);

/// Stops two members, and waits until the third knows that there is no leader any more.
async fn leave_alone(ctx: &Ctx, cluster: &Cluster, index: usize) -> CaseResult {
    for other in (0..3).filter(|other| *other != index) {
        ctx.order(&cluster.member(other), Member::kill).await?;
    }
    let member = cluster.member(index);
    ctx.until_member(&member, "the leader to be gone", LIMIT, |status| status.leader == 0).await
}

/// KV-007, W18, R41, C30
async fn no_leader_is_told_to_who_asked(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    leave_alone(&ctx, &cluster, 0).await?;
    let member = cluster.member(0);
    let config = Config::new([member.client_url()]);

    let thrice = ctx.connect_with(config.clone().max_attempts(3)).await?;
    let error = thrice.put("foo", "bar").require_leader(true).await.unwrap_err();
    NO_LEADER.is_answered(&error);
    assert_eq!(error.attempts(), 3);
    assert!(error.is_retryable(), "nothing was proposed");

    // Two attempts at once; the deadline ends the wait for the third.
    let patient = ctx
        .connect_with(config.retry_backoff_min(10 * SECOND).retry_backoff_max(10 * SECOND))
        .await?;
    let error = patient.put("foo", "bar").require_leader(true).timeout(SECOND).await.unwrap_err();
    NO_LEADER.is_answered(&error);
    assert_eq!(error.attempts(), 2);

    let metrics = member.metrics()?;
    let labels = ["type=\"unary\"", "client_api_version=\"3.7\""];
    let seen = sum(&metrics, "etcd_server_client_requests_total", &labels);
    assert!(seen >= 1, "{seen} requests with a version");
    Ok(())
}

/// KV-017, R40
async fn a_read_waits_for_its_member(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let leader = cluster.leader().ok_or("there is no leader")?;
    let follower = cluster.member((leader + 1) % 3);
    let client = ctx.connect([follower.client_url()]).await?;
    assert_eq!(client.put("foo", "bar").await?.header.revision, 2);
    ctx.order(&follower, Member::terminate).await?;
    let read = ctx.spawn(client.get("foo").timeout(LIMIT).into_future());
    ctx.pause(Duration::from_millis(100)).await;
    assert!(!read.is_done(), "nobody could have answered");
    ctx.order(&follower, Member::restart).await?;
    let answer = read.await?;
    let found = only(&answer);
    assert_eq!((&found.key[..], &found.value[..]), (&b"foo"[..], &b"bar"[..]));
    assert_eq!((found.create_revision, found.mod_revision, found.version), (2, 2, 1));
    Ok(())
}

/// KV-018, I-R1, I-R4
async fn a_put_that_timed_out_does_not_happen_later(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let member = cluster.member(0);
    let client = ctx.connect([member.client_url()]).await?;
    ctx.order(&member, Member::terminate).await?;
    let error = client.put("foo", "bar").timeout(SECOND).await.unwrap_err();
    match error.outcome() {
        Outcome::NotSent => {
            assert_eq!(error.kind(), ErrorKind::TimedOut(Phase::Connection), "{error}");
            assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
        }
        // It was written to a connection whose end had not been seen yet.
        Outcome::Unknown => assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}"),
        Outcome::Rejected => panic!("nobody could have answered: {error}"),
    }
    let read = ctx.spawn(client.get("foo").timeout(LIMIT).into_future());
    ctx.pause(Duration::from_millis(100)).await;
    assert!(!read.is_done(), "nobody could have answered");
    ctx.order(&member, Member::restart).await?;
    let answer = read.await?;
    assert_eq!((answer.kvs, answer.count), (Vec::new(), 0));
    Ok(())
}

/// KV-074, KV-075, K15
async fn without_a_quorum_only_serializable_reads_work(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect([cluster.member(2).client_url()]).await?;
    client.put("foo", "bar").await?;
    leave_alone(&ctx, &cluster, 2).await?;
    let answer = client.get("foo").serializable().timeout(ctx.stretched(SECOND)).await?;
    assert_eq!(only(&answer).value, "bar");
    let error = client.get("foo").timeout(SECOND).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    Ok(())
}

/// KV-079: whether the leader is restarted, or a follower.
async fn a_put_survives_the_restart_of_another_member(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    for leads in [true, false] {
        let cluster_leader = cluster.leader().ok_or("there is no leader")?;
        let stopped = if leads { cluster_leader } else { (cluster_leader + 1) % 3 };
        let used = (stopped + 1) % 3;
        let client = ctx.connect([cluster.member(used).client_url()]).await?;
        let member = cluster.member(stopped);
        ctx.order(&member, Member::terminate).await?;
        ctx.order(&member, Member::restart).await?;
        match client.put("foo", "bar").timeout(10 * SECOND).await {
            Ok(put) => {
                let read = client.get("foo").await?;
                assert_eq!(only(&read).mod_revision, put.header.revision);
            }
            Err(error) => assert!(error.status().is_some(), "no server said so: {error}"),
        }
    }
    Ok(())
}
