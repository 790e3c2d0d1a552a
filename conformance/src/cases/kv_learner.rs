//! Learners: what they answer, what they refuse, and where a refused call goes.

use super::kv_expect::{not_for_learners, only};
use super::kv_metrics::calls;
use crate::raw::refusal_of_stream;
use crate::{Case, CaseResult, Cluster, ClusterBuilder, Ctx, case};
use etcd3::proto::etcdserverpb as pb;
use etcd3::{Client, Config, EndpointState, Error, Outcome, key};
use etcd3_core::method;
use std::sync::Arc;

pub(super) const CASES: &[Case] = &[
    case!(
        a_learner_serves_nothing_but_serializable_reads_and_status,
        ["KV-029", "KV-030", "KV-031", "KV-032", "KV-033"]
    )
    .real("a learner that joins"),
    case!(a_learner_among_the_endpoints_costs_nothing, []).real("a learner that joins"),
    case!(what_a_learner_refuses_is_done_by_a_voter, []).real("a learner that joins"),
];

const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

/// The most reads by which a client asks in some seconds whether a member that failed a call is
/// well again, that call included.
const PROBES: u64 = 10;

/// Starts three voters and a learner, which is the last member.
pub(super) async fn with_learner(ctx: &Ctx) -> Result<(Arc<Cluster>, String), etcd3_lab::Error> {
    let build = |cluster: ClusterBuilder| cluster.flag("--strict-reconfig-check", "false");
    let cluster = Arc::new(ctx.cluster_with(build).await?);
    let adding = Arc::clone(&cluster);
    let index = ctx.blocking(move || adding.add_member(true)).await?;
    let learner = cluster.member(index).client_url();
    Ok((cluster, learner))
}

/// Waits until the learner has the key, which the leader sends in its own time.
async fn replicated(ctx: &Ctx, learner: &Client) -> CaseResult {
    let limit = std::time::Duration::from_secs(10);
    ctx.until("the learner to catch up", limit, || async {
        learner.get("foo").serializable().await.is_ok_and(|read| read.count == 1)
    })
    .await
}

/// KV-029, KV-030, KV-031, KV-032, KV-033
async fn a_learner_serves_nothing_but_serializable_reads_and_status(ctx: Ctx) -> CaseResult {
    let (cluster, url) = with_learner(&ctx).await?;
    let voters = ctx.connect(cluster.client_urls().into_iter().take(3)).await?;
    voters.put("foo", "bar").await?;
    let learner = ctx.connect_with(Config::new([url]).max_attempts(2)).await?;

    replicated(&ctx, &learner).await?;
    assert_eq!(only(&learner.get("foo").serializable().await?).value, "bar");

    let refusal = not_for_learners(ctx.etcd.version);
    let mut refused = vec![
        learner.get("foo").await.map(drop),
        learner.put("foo", "baz").await.map(drop),
        learner.delete("foo").await.map(drop),
        learner.txn().when([key("foo").create_revision().gt(0)]).await.map(drop),
        learner.rpc(pb::LeaseGrantRequest { ttl: 30, id: 0 }).await.map(drop),
        learner.rpc(pb::HashKvRequest { revision: 0 }).await.map(drop),
        learner.rpc(pb::MemberListRequest { linearizable: true }).await.map(drop),
    ];
    let raw = pb::TxnRequest {
        compare: vec![pb::Compare { key: "foo".into(), ..pb::Compare::default() }],
        ..pb::TxnRequest::default()
    };
    refused.push(learner.rpc(raw).await.map(drop));
    for (index, result) in refused.into_iter().enumerate() {
        let Err(error) = result else { panic!("number {index} was answered") };
        refusal.is_answered(&error);
        assert_eq!(error.attempts(), 1, "there is nobody else to ask: {error}");
        assert!(error.is_retryable());
    }

    let address = cluster.members().last().ok_or("no members")?.addr();
    let (watch, renewal) = (pb::WatchRequest::default(), pb::LeaseKeepAliveRequest { id: 1 });
    for status in [
        refusal_of_stream(&ctx, address, &method::WATCH, &watch).await?,
        refusal_of_stream(&ctx, address, &method::LEASE_KEEP_ALIVE, &renewal).await?,
    ] {
        refusal.is_read_from(&Error::from_status(status, Outcome::Rejected));
    }

    let status = learner.rpc(pb::StatusRequest {}).await?;
    assert_eq!(status.version, ctx.etcd.version.to_string());
    assert!(status.is_learner);
    assert_eq!(only(&voters.get("foo").await?).value, "bar", "nothing was written");
    Ok(())
}

/// Case 5, R41: what it refuses is sent once more, to the voter, and it is asked hardly ever again;
/// watches and leases go on.
async fn a_learner_among_the_endpoints_costs_nothing(ctx: Ctx) -> CaseResult {
    const CALLS: u64 = 200;
    let (cluster, url) = with_learner(&ctx).await?;
    let learner = cluster.members().pop().ok_or("no members")?;
    let leader = cluster.member(cluster.leader().ok_or("there is a leader")?);
    let client = ctx.connect([leader.client_url(), url.clone()]).await?;
    ctx.until_connected(&client).await?;
    let mut watch = client.watch("foo").await?;
    let lease = client.lease(5 * SECOND).await?;
    let valid_at_first = lease.valid_until();
    let before = leader.metrics()?;
    for n in 1..=CALLS {
        client.put("foo", n.to_string()).await?;
        assert_eq!(only(&client.get("foo").await?).version, i64::try_from(n)?, "written once");
    }
    let after = leader.metrics()?;
    let answered = |method| calls(&after, method) - calls(&before, method);
    assert_eq!(answered("Put"), CALLS);
    // The client may have asked the leader whether it is well.
    assert!((CALLS..=CALLS + PROBES).contains(&answered("Range")), "{}", answered("Range"));
    let metrics = learner.metrics()?;
    let refused = calls(&metrics, "Put") + calls(&metrics, "Range");
    assert!(refused <= PROBES, "{refused} calls went to the learner");

    let mut seen = 0;
    while seen < CALLS {
        let batch = ctx.within(20 * SECOND, watch.next()).await.ok_or("a watch that hangs")?;
        seen += u64::try_from(batch.ok_or("a watch that ended")??.events.len())?;
    }
    assert_eq!(seen, CALLS, "each once");
    ctx.until("two renewals of the lease", 20 * SECOND, || async {
        lease.valid_until() > valid_at_first + 3 * SECOND
    })
    .await?;
    assert!(lease.is_valid());

    // One that is alone is asked once, and says so at once.
    let alone = ctx.connect([url]).await?;
    let begun = ctx.rt.now();
    let put = alone.put("foo", "bar").timeout(15 * SECOND).await.map(drop);
    let get = alone.get("foo").timeout(15 * SECOND).await.map(drop);
    let took = ctx.rt.now().saturating_since(begun);
    assert!(took < ctx.at_most(SECOND), "{took:?}");
    for result in [put, get] {
        let error = result.unwrap_err();
        not_for_learners(ctx.etcd.version).is_answered(&error);
        assert_eq!((error.attempts(), error.outcome()), (1, Outcome::Rejected), "{error}");
    }
    Ok(())
}

/// R41
async fn what_a_learner_refuses_is_done_by_a_voter(ctx: Ctx) -> CaseResult {
    let (cluster, url) = with_learner(&ctx).await?;
    let client = ctx.connect([url, cluster.member(0).client_url()]).await?;
    ctx.until_connected(&client).await?;
    // Calls go to the endpoints in turn, some in a row, so that some of these meet the learner.
    for n in 0..40 {
        let value = n.to_string();
        let put = client.put("foo", value.as_str()).await?;
        let read = client.get("foo").await?;
        assert_eq!(only(&read).value, value);
        assert_eq!((only(&read).version, put.header.revision), (n + 1, n + 2), "written once");
    }
    // It does not count what it refuses, but who was refused suspects it.
    let learner = client.health().endpoints.swap_remove(0);
    assert_eq!(learner.state, EndpointState::Suspect, "no call met the learner: {learner:?}");
    Ok(())
}
