//! Reads that a member answers by itself, and that do not go back in time all the same (Y2).

use crate::{BoxError, Case, CaseResult, ClusterBuilder, Ctx, case};
use etcd3::{Client, Error, ErrorKind, get};
use std::time::Duration;

pub(super) const CASES: &[Case] = &[case!(
    a_member_that_is_behind_answers_nothing_older,
    ["ORD-001", "ORD-002", "ORD-003", "ORD-004"]
)
.real("two members that are cut off")];

/// Long enough for a few answers of a member that is behind.
const SHORT: Duration = Duration::from_millis(500);
const LIMIT: Duration = Duration::from_secs(20);

/// ORD-001, ORD-002, ORD-003, ORD-004, I-R8, R-09
///
/// Two of five members are cut off before a write, which is the state that the rows reach by
/// stopping members: a real one that was started again serves nobody without a majority.
async fn a_member_that_is_behind_answers_nothing_older(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster_with(|it| ClusterBuilder::behind_peer_proxy(it).members(5)).await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    let old = client.put("foo", "bar").await?.header.revision;
    let urls = cluster.client_urls();
    for url in &urls[3..] {
        let one = client.pinned_to(url)?;
        ctx.until("a member that has the write", LIMIT, || async {
            one.get("foo").serializable().await.is_ok_and(|it| it.header.revision >= old)
        })
        .await?;
    }
    let leader = cluster.wait_leader()?;
    // Not the leader, so that the others go on.
    let behind: Vec<usize> = (0..5).filter(|member| *member != leader).take(2).collect();
    for member in &behind {
        cluster.partition(*member)?;
    }
    client.set_endpoints([&urls[leader]])?;
    let new = client.put("foo", "buzz").await?.header.revision;
    let ordered = client.get("foo").serializable().not_older().await?;
    assert_eq!((ordered.header.revision, ordered.value_str()), (new, Some("buzz")));

    // One that is behind, then both.
    for some in [&behind[..1], &behind[..]] {
        client.set_endpoints(some.iter().map(|member| &urls[*member]))?;
        let plain = client.get("foo").serializable().await?;
        assert_eq!((plain.header.revision, plain.value_str()), (old, Some("bar")));
        refuse_the_past(&ctx, &client, (old, new)).await?;
    }

    // Another member has what is missing.
    client.set_endpoints(&urls)?;
    ctx.until_connected(&client).await?;
    for _ in 0..10 {
        let found = client.get("foo").serializable().not_older().await?;
        assert_eq!((found.header.revision, found.value_str()), (new, Some("buzz")));
    }

    cluster.heal()?;
    client.set_endpoints([&urls[behind[0]]])?;
    let limit = ctx.stretched(LIMIT);
    let found = client.get("foo").serializable().not_older().timeout(limit).await?;
    assert_eq!((found.header.revision, found.value_str()), (new, Some("buzz")));
    Ok(())
}

async fn refuse_the_past(
    ctx: &Ctx,
    client: &Client,
    (revision, seen): (i64, i64),
) -> Result<(), BoxError> {
    let is_refused = |error: &Error| {
        assert_eq!(error.kind(), ErrorKind::StaleRead { revision, seen }, "{}", error.report());
        assert!(error.attempts() > 1, "{}", error.report());
    };
    let limit = ctx.stretched(SHORT);
    let read = client.get("foo").serializable().not_older().timeout(limit).await;
    is_refused(&read.err().ok_or("a read")?);
    let read = || get("foo").serializable();
    let done = client.txn().then([read()]).not_older().timeout(limit).await;
    is_refused(&done.err().ok_or("a transaction")?);
    let done = client.txn().then([read().not_older()]).timeout(limit).await;
    is_refused(&done.err().ok_or("a transaction")?);
    let mut pages = client.pages("foo").serializable().not_older().timeout(limit);
    is_refused(&pages.next().await.ok_or("a page")?.err().ok_or("an error")?);
    assert!(client.txn().then([read()]).await?.succeeded);
    Ok(())
}
