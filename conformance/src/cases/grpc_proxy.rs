//! etcd's own proxy in front of etcd: a server of the API that is a client of the members.

use super::accounts::{Callers, balance, balance_without_failures};
use super::kv_metrics::calls;
use super::proxied;
use crate::BoxError;
use crate::{Case, CaseResult, Cluster, Ctx, Member, case};
use etcd3::{Client, ErrorKind, Outcome, Phase, ServerError};
use etcd3_lab::GrpcProxy;
use std::sync::Arc;
use std::time::Duration;

const PROXY: &str = "a process of etcd's grpc-proxy";

pub(super) const CASES: &[Case] = &[
    case!(calls_pass_the_proxy, []).real(PROXY),
    case!(the_proxy_is_killed_and_starts_again, []).real(PROXY),
    case!(a_member_behind_the_proxy_dies, []).real(PROXY),
    case!(the_majority_behind_the_proxy_is_silent, []).real(PROXY),
];

const SECOND: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(30);
const CALLERS: usize = 4;

/// Three members, a client that reaches them through the proxy, and one that does not.
struct Rig {
    cluster: Cluster,
    proxy: Arc<GrpcProxy>,
    client: Client,
    direct: Client,
}

impl Rig {
    async fn new(ctx: &Ctx) -> Result<Self, BoxError> {
        let cluster = ctx.cluster().await?;
        let proxy = ctx.grpc_proxy(cluster.client_urls()).await?;
        let client = ctx.connect([proxy.url()]).await?;
        let direct = ctx.connect(cluster.client_urls()).await?;
        Ok(Self { cluster, proxy, client, direct })
    }
}

/// Waits until the callers have made some more calls.
async fn more_calls(ctx: &Ctx, callers: &Callers, what: &str) -> CaseResult {
    let before = callers.calls();
    ctx.until(what, LIMIT, || async { callers.calls() >= before + 50 }).await
}

/// The texts of etcd's errors are the same, though the codes are not.
async fn calls_pass_the_proxy(ctx: Ctx) -> CaseResult {
    let rig = Rig::new(&ctx).await?;
    proxied::calls(&rig.client).await?;
    Ok(())
}

/// F1: of the writes that the proxy had, nobody knows; no read fails.
async fn the_proxy_is_killed_and_starts_again(ctx: Ctx) -> CaseResult {
    const KILLS: usize = 3;
    let rig = Rig::new(&ctx).await?;
    let callers = Callers::start(&ctx, &rig.client, CALLERS);
    for _ in 0..KILLS {
        more_calls(&ctx, &callers, "calls through the proxy").await?;
        let proxy = Arc::clone(&rig.proxy);
        ctx.blocking(move || proxy.kill().and_then(|()| proxy.restart())).await?;
    }
    more_calls(&ctx, &callers, "calls through the last proxy").await?;
    let accounts = callers.stop().await;
    balance(&accounts, &rig.direct).await?;
    for error in accounts.iter().flat_map(|account| &account.failed_writes) {
        assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    }
    Ok(())
}

/// F1: the proxy goes to another member; what it does not know of a write it does not tell either.
async fn a_member_behind_the_proxy_dies(ctx: Ctx) -> CaseResult {
    let rig = Rig::new(&ctx).await?;
    let callers = Callers::start(&ctx, &rig.client, CALLERS);
    let victim = rig.cluster.member(0);
    let used = || async { calls(&victim.metrics().unwrap_or_default(), "Put") > 10 };
    ctx.until("the proxy to use the member", LIMIT, used).await?;
    ctx.order(&victim, Member::kill).await?;
    more_calls(&ctx, &callers, "calls without it").await?;
    balance(&callers.stop().await, &rig.direct).await
}

/// F3, R40: a write is unknown, a read waits, and both work again afterwards.
async fn the_majority_behind_the_proxy_is_silent(ctx: Ctx) -> CaseResult {
    let rig = Rig::new(&ctx).await?;
    rig.client.put("foo", "bar").await?;
    for member in [0, 1] {
        ctx.order(&rig.cluster.member(member), Member::stop).await?;
    }
    let error = rig.client.put("foo", "baz").timeout(SECOND).await.unwrap_err();
    // The member keeps the deadline of the call, too, and may be the first to say so (E14).
    let by_member = ErrorKind::Server(ServerError::Timeout);
    let kinds = [ErrorKind::TimedOut(Phase::Answer), by_member];
    assert!(kinds.contains(&error.kind()), "{error}");
    assert_eq!((error.outcome(), error.attempts()), (Outcome::Unknown, 1), "{error}");
    let read = rig.client.clone();
    let read = ctx.spawn(async move { read.get("foo").timeout(LIMIT).await });
    ctx.pause(SECOND).await;
    assert!(!read.is_done(), "there is no majority");
    for member in [0, 1] {
        ctx.order(&rig.cluster.member(member), Member::cont).await?;
    }
    let version = read.await?.kvs[0].version;
    assert!((1..=2).contains(&version), "{version}");
    rig.client.put("foo", "qux").await?;
    let callers = Callers::start(&ctx, &rig.client, CALLERS);
    more_calls(&ctx, &callers, "calls afterwards").await?;
    balance_without_failures(&callers.stop().await, &rig.direct).await
}
