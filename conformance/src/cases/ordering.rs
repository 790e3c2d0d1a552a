//! Reads that a member answers by itself, and that do not go back in time all the same, or are of a
//! revision that it lacks (Y2, R-08).

use crate::{BoxError, Case, CaseResult, ClusterBuilder, Ctx, case};
use etcd3::{CallClass, Client, Error, ErrorKind, ServerError, get, prefix};
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(
        a_member_that_is_behind_answers_nothing_older,
        ["ORD-001", "ORD-002", "ORD-003", "ORD-004"]
    )
    .real("two members that are cut off"),
    case!(a_member_that_lacks_a_revision_that_was_seen_is_passed_over, [])
        .real("a member that is cut off"),
];

/// Long enough for a few answers of a member that is behind.
const SHORT: Duration = Duration::from_millis(500);
const LIMIT: Duration = Duration::from_secs(20);
/// Enough for each member to have its turn: calls go to one in bursts.
const KEYS: u32 = 60;

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

/// I-R8, R-08, X32, I-D2
async fn a_member_that_lacks_a_revision_that_was_seen_is_passed_over(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster_with(|it| ClusterBuilder::behind_peer_proxy(it).members(3)).await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    let urls = cluster.client_urls();
    let leader = cluster.wait_leader()?;
    let behind = (leader + 1) % 3;
    cluster.partition(behind)?;
    client.set_endpoints([&urls[leader]])?;
    for n in 0..KEYS {
        client.put(format!("many/{n:02}"), "v").await?;
    }
    let seen = client.put("foo", "bar").await?.header.revision;

    // Calls go to each member in its turn.
    client.set_endpoints(&urls)?;
    ctx.until_connected(&client).await?;
    let retries = || client.metrics().of(CallClass::Read).map_or(0, |it| it.retries);
    let before = retries();
    let mut pages = client.pages(prefix("many/")).serializable().revision(seen).page_size(1);
    for n in 0..KEYS {
        let page = pages.next().await.ok_or("a page")??;
        assert_eq!(page.kvs[0].key_str()?, format!("many/{n:02}"));
    }
    let read = || get("foo").serializable().revision(seen);
    for _ in 0..KEYS {
        assert_eq!(client.execute(read()).await?.value_str(), Some("bar"));
    }
    assert!(retries() > before, "a member that is behind had no turn");

    client.set_endpoints([&urls[behind]])?;
    ctx.until_connected(&client).await?;
    lacks_what_was_seen(&ctx, &client, seen).await?;
    let future = get("foo").serializable().revision(seen + 1);
    let error = client.execute(future).await.err().ok_or("a revision that was not seen")?;
    assert_eq!((error.server_error(), error.attempts()), (Some(ServerError::FutureRev), 1));

    cluster.heal()?;
    let limit = ctx.stretched(LIMIT);
    let found = client.get("foo").serializable().revision(seen).timeout(limit).await?;
    assert_eq!(found.value_str(), Some("bar"));
    Ok(())
}

/// Asserts what all kinds of reads say of a member that is alone and behind.
async fn lacks_what_was_seen(ctx: &Ctx, client: &Client, seen: i64) -> Result<(), BoxError> {
    let is_refused = |error: &Error| {
        let report = error.report().to_string();
        assert_eq!(error.kind(), ErrorKind::StaleRead { revision: 0, seen }, "{report}");
        assert!(error.attempts() > 1 && report.contains("future revision"), "{report}");
    };
    let limit = ctx.stretched(SHORT);
    let read = client.get("foo").serializable().revision(seen).timeout(limit).await;
    is_refused(&read.err().ok_or("a read")?);
    let reads = [get("foo").serializable(), get("foo").serializable().revision(seen)];
    let done = client.txn().then(reads).timeout(limit).await;
    is_refused(&done.err().ok_or("a transaction")?);
    let mut pages = client.pages("foo").serializable().revision(seen).timeout(limit);
    is_refused(&pages.next().await.ok_or("a page")?.err().ok_or("an error")?);
    Ok(())
}
