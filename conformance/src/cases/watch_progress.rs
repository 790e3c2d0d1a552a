//! Word of how far everything has been delivered.

use super::watch_expect::{LIMIT, Reader, lines, revision};
use crate::{BoxError, Case, CaseResult, Ctx, Server, case};
use etcd3::{Client, WatchItem, prefix};

pub(super) const CASES: &[Case] = &[
    case!(progress_is_told_at_intervals, ["WATCH-014", "WATCH-094"]),
    case!(progress_is_told_to_all_who_asked, ["WATCH-016", "WATCH-017"]),
    case!(progress_is_told_to_who_wants_it, ["WATCH-059"]),
    case!(progress_waits_until_all_is_delivered, ["WATCH-066"]),
];

const INTERVAL_MS: u32 = 200;

/// A server that tells of progress every 200 ms, and a client of it.
async fn telling(ctx: &Ctx) -> Result<(Server, Client), BoxError> {
    let server = ctx.server_with(|server| server.progress_interval(INTERVAL_MS)).await?;
    let client = ctx.connect([server.client_url()]).await?;
    Ok((server, client))
}

/// WATCH-014, WATCH-094
async fn progress_is_told_at_intervals(ctx: Ctx) -> CaseResult {
    let (_server, client) = telling(&ctx).await?;
    let base = revision(&client).await?;
    let mut reader = Reader::new(&ctx, client.watch("foo").progress_notify().await?);
    assert!(matches!(reader.item().await?, WatchItem::Created(_)));
    assert_eq!(reader.item().await?, WatchItem::Progress(base));
    let elsewhere = client.put("elsewhere", "").await?.header.revision;
    loop {
        match reader.item().await? {
            WatchItem::Progress(told) if told == elsewhere => break,
            WatchItem::Progress(told) => assert_eq!(told, base),
            item => panic!("{item:?}"),
        }
    }
    assert_eq!(reader.handle().status().revision, elsewhere);
    Ok(())
}

/// WATCH-016, WATCH-017, W77
async fn progress_is_told_to_all_who_asked(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    let base = revision(&client).await?;
    let mut first = Reader::new(&ctx, client.watch(prefix("/")).await?);
    let mut second = Reader::new(&ctx, client.watch(prefix("/")).await?);
    assert_eq!(server.watch_counts()?.streams, 1);
    client.put("/a", "b").await?;
    for reader in [&mut first, &mut second] {
        assert_eq!(lines(base, &reader.take(1).await?), ["1 /a=b"]);
    }
    client.put("x", "").await?;
    let (one, other) = (first.handle(), second.handle());
    let asked = futures_lite::future::zip(one.request_progress(), other.request_progress());
    let told = ctx.within(LIMIT, asked).await.ok_or("no progress is told")?;
    assert_eq!((told.0?, told.1?), (base + 2, base + 2));
    for reader in [&mut first, &mut second] {
        assert_eq!(reader.item().await?, WatchItem::Progress(base + 2));
    }
    Ok(())
}

/// WATCH-059
async fn progress_is_told_to_who_wants_it(ctx: Ctx) -> CaseResult {
    let (_server, client) = telling(&ctx).await?;
    let base = revision(&client).await?;
    let mut wants = Reader::new(&ctx, client.watch("foo").progress_notify().await?);
    let mut other = Reader::new(&ctx, client.watch("foo").await?);
    for _ in 0..3 {
        while !matches!(wants.item().await?, WatchItem::Progress(_)) {}
    }
    client.put("foo", "bar").await?;
    assert!(matches!(other.item().await?, WatchItem::Created(_)));
    let WatchItem::Events(batch) = other.item().await? else { panic!("no progress for this one") };
    assert_eq!(lines(base, &batch.events), ["1 foo=bar"]);
    Ok(())
}

/// WATCH-066: the watch catches up, and has no events.
async fn progress_waits_until_all_is_delivered(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let written = client.put("bar", "1").await?.header.revision;
    let mut reader = Reader::new(&ctx, client.watch("foo").from_revision(written).await?);
    assert_eq!(reader.all_to(written).await?, []);
    Ok(())
}
