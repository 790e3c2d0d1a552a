//! Transactions and members that fail: what is repeated, what never is, and what must not answer.

use super::kv_expect::only;
use crate::{Case, CaseResult, Cluster, Ctx, case};
use etcd3::proto::etcdserverpb as pb;
use etcd3::{Code, Config, Error, ErrorKind, Op, Outcome, Phase, TxnResponse, get, key, put, txn};
use etcd3_lab::Bridge;
use futures_lite::future::poll_once;
use std::sync::Arc;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(a_write_to_a_stopped_member_fails_and_is_gone, ["TXN-003"]),
    case!(a_write_that_was_lost_is_not_sent_elsewhere, ["TXN-003"]).real("a bridge"),
    case!(transactions_that_only_read_outlive_a_restart, ["TXN-004"]).real("a bridge"),
    case!(a_condition_needs_a_quorum, []),
];

const SECOND: Duration = Duration::from_secs(1);

/// TXN-003, I-R1
async fn a_write_to_a_stopped_member_fails_and_is_gone(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect([cluster.member(0).client_url()]).await?;
    let other = ctx.connect([cluster.member(1).client_url()]).await?;
    client.get("foo").await?;
    let member = cluster.member(0);
    ctx.blocking(move || member.terminate()).await?;
    ctx.until("the client to notice", 5 * SECOND, || async {
        let read = client.get("foo").timeout(Duration::from_millis(50)).await;
        read.is_err_and(|error| error.kind() == ErrorKind::TimedOut(Phase::Connection))
    })
    .await?;

    let begin = ctx.rt.now();
    let write = client.txn().then([put("foo", "bar")]).timeout(SECOND);
    let error = write.await.unwrap_err();
    let took = ctx.rt.now().saturating_since(begin);
    assert!(took < ctx.at_most(5 * SECOND), "it took {took:?}");
    assert_eq!(error.kind(), ErrorKind::TimedOut(Phase::Connection), "{error}");
    assert_eq!((error.code(), error.outcome()), (Code::DeadlineExceeded, Outcome::NotSent));
    assert_eq!(other.get("foo").await?.count, 0);
    Ok(())
}

/// TXN-003, I-R1, I-R2: with another member at hand.
async fn a_write_that_was_lost_is_not_sent_elsewhere(ctx: Ctx) -> CaseResult {
    const WRITES: usize = 64;
    let cluster = ctx.cluster().await?;
    let bridge = Bridge::new(cluster.member(0).addr())?;
    let healthy = cluster.member(1).client_url();
    let client = ctx.connect([bridge.url(), healthy.clone()]).await?;
    ctx.until_connected(&client).await?;

    // What reaches the first member from now on disappears on the way.
    bridge.blackhole();
    let writes: Vec<_> = (0..WRITES)
        .map(|n| {
            let write = client.txn().then([put(format!("k{n}"), "x")]);
            ctx.spawn(write.into_future())
        })
        .collect();
    let under_way = || client.health().endpoints.iter().map(|it| it.calls).collect::<Vec<_>>();
    ctx.until("the others", 10 * SECOND, || async {
        matches!(under_way()[..], [lost, 0] if lost > 0)
    })
    .await?;
    bridge.reset_all();

    let other = ctx.connect([healthy]).await?;
    let mut lost = 0;
    for (n, write) in writes.into_iter().enumerate() {
        let found = other.get(format!("k{n}"));
        match write.await {
            Ok(_) => assert_eq!(only(&found.await?).version, 1),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
                assert_eq!((error.outcome(), error.attempts()), (Outcome::Unknown, 1), "{error}");
                assert_eq!(error.endpoint(), Some(&*bridge.url()));
                assert_eq!(found.await?.count, 0, "k{n} was sent elsewhere");
                lost += 1;
            }
        }
    }
    assert!((1..WRITES).contains(&lost), "{lost} of {WRITES}");
    Ok(())
}

/// Returns the four transactions of the scenario, none of which writes.
fn reads() -> [Op; 4] {
    let nothing = || txn().then(Vec::<Op>::new());
    [
        txn().then([get("foo")]).into(),
        txn().then([txn().then([get("foo")])]).into(),
        txn().then([nothing()]).into(),
        nothing().into(),
    ]
}

/// Asserts that the four answers are those to the four transactions.
fn check_reads(answers: &[TxnResponse]) -> CaseResult {
    let [plain, nested, empty_nested, empty] = answers else { panic!("{answers:?}") };
    assert!(answers.iter().all(|answer| answer.succeeded));
    assert_eq!(only(plain.get(0).ok_or("no read")?).value, "bar");
    let inner = nested.responses[0].as_txn().ok_or("not nested")?;
    assert_eq!(only(inner.get(0).ok_or("no read")?).value, "bar");
    let inner = empty_nested.responses[0].as_txn().ok_or("not nested")?;
    assert!(inner.succeeded && inner.responses.is_empty());
    assert!(empty.responses.is_empty());
    Ok(())
}

/// TXN-004, I-R3: the connection breaks under them, and the member is away for a while.
async fn transactions_that_only_read_outlive_a_restart(ctx: Ctx) -> CaseResult {
    let cluster = Arc::new(ctx.cluster().await?);
    let bridge = Bridge::new(cluster.member(0).addr())?;
    let client = ctx.connect([bridge.url()]).await?;
    client.put("foo", "bar").await?;

    // On their way, but never answered.
    bridge.blackhole();
    let mut pending = Vec::new();
    for op in reads() {
        let mut read = client.execute(op).into_future();
        assert!(poll_once(&mut read).await.is_none());
        pending.push(ctx.spawn(read));
    }
    let member = cluster.member(0);
    ctx.blocking(move || member.kill()).await?;
    bridge.unblackhole();
    // Begun while there is nobody.
    let waiting: Vec<_> =
        reads().into_iter().map(|op| ctx.spawn(client.execute(op).into_future())).collect();
    ctx.pause(Duration::from_millis(100)).await;
    assert!(pending.iter().chain(&waiting).all(|task| !task.is_done()));
    let member = cluster.member(0);
    ctx.blocking(move || member.restart()).await?;

    for tasks in [pending, waiting] {
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await?.into_txn().ok_or("not a transaction")?);
        }
        check_reads(&answers)?;
    }
    Ok(())
}

/// Kills two members, and waits until the third knows that there is no leader any more.
async fn leave_the_first_alone(ctx: &Ctx, cluster: &Arc<Cluster>) -> CaseResult {
    for member in [cluster.member(1), cluster.member(2)] {
        ctx.blocking(move || member.kill()).await?;
    }
    let survivor = cluster.member(0);
    ctx.until_member(&survivor, "the leader to be gone", 20 * SECOND, |it| it.leader == 0).await
}

/// K37, G3: a transaction of compares alone is answered by the cluster, not by one member.
async fn a_condition_needs_a_quorum(ctx: Ctx) -> CaseResult {
    let cluster = Arc::new(ctx.cluster().await?);
    let url = cluster.member(0).client_url();
    let config = Config::new([url]).request_timeout(SECOND + SECOND / 2);
    let client = ctx.connect_with(config).await?;
    client.put("foo", "bar").await?;
    let holds = || key("foo").version().eq(1);
    let answer = client.txn().when([holds()]).await?;
    assert!(answer.succeeded && answer.responses.is_empty(), "the read is not shown: {answer:?}");
    assert!(!client.txn().when([key("foo").version().eq(2)]).await?.succeeded);
    leave_the_first_alone(&ctx, &cluster).await?;

    let bare = ctx.spawn(client.txn().when([holds()]).into_future());
    let checked = client.clone();
    let checked = ctx.spawn(async move { checked.compare([holds()]).await.map(|_| ()) });
    // As they are, both are answered by the survivor alone.
    let compare = pb::Compare {
        key: "foo".into(),
        target_union: Some(pb::compare::TargetUnion::Version(1)),
        ..pb::Compare::default()
    };
    let raw = pb::TxnRequest { compare: vec![compare], ..pb::TxnRequest::default() };
    assert!(client.rpc(raw).await?.succeeded);
    assert!(client.rpc(pb::TxnRequest::default()).await?.succeeded);
    unanswered(&bare.await.map(|_| ()).unwrap_err());
    unanswered(&checked.await.unwrap_err());
    Ok(())
}

#[track_caller]
fn unanswered(error: &Error) {
    assert!(
        matches!(error.code(), Code::DeadlineExceeded | Code::Unavailable),
        "only the time ended it: {error}"
    );
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
}
