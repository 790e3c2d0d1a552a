//! What watches of many ranges and starts see of the same changes.

use super::watch_expect::{Reader, lines, revision};
use crate::{Case, CaseResult, Ctx, case};
use etcd3::{Client, Error, KeyRange, all, delete, from_key, key, ops, prefix, put};

pub(super) const CASES: &[Case] = &[
    case!(
        keys_and_ranges_see_what_is_in_them,
        ["WATCH-097", "WATCH-098", "WATCH-100", "WATCH-101", "WATCH-102"]
    ),
    case!(everything_and_what_comes_after_a_key, ["WATCH-103", "WATCH-105", "WATCH-106"]),
    case!(later_starts_see_less, ["WATCH-107", "WATCH-108", "WATCH-109", "WATCH-111", "WATCH-112"]),
    case!(the_latest_revisions_are_whole, ["WATCH-113", "WATCH-114"]),
];

/// Writes what has been written when the watches begin: revisions 2 to 10, counted from `base`.
async fn write_before(client: &Client) -> Result<(), Error> {
    client.put("/foo/a", "2").await?;
    client.put("/foo/b", "3").await?;
    client.delete("/foo/a").await?;
    client.txn().then(ops![put("/foo/a", "5"), delete("/foo/b")]).await?;
    client.put("/foo/c", "6").await?;
    client.put("/foo/bar", "7").await?;
    client.put("/foo/baz", "8").await?;
    client.put("/foo/yoo", "9").await?;
    client.put("/yoo", "10").await?;
    Ok(())
}

/// Writes the rest.
async fn write_after(client: &Client) -> Result<(), Error> {
    client.put("/foo/x", "11").await?;
    let last = ops![put("/foo/m", "12"), delete("/foo/c"), put("/foo/n", "12"), put("/yoo", "12")];
    client.txn().then(last).await?;
    Ok(())
}

/// A watch, and what it sees.
struct Row {
    id: &'static str,
    range: KeyRange,
    /// Counted from 1, as on an empty store; 0 for now.
    start: i64,
    sees: &'static [&'static str],
}

const fn row(id: &'static str, range: KeyRange, start: i64, sees: &'static [&'static str]) -> Row {
    Row { id, range, start, sees }
}

/// Begins these watches between the two parts of what is written, and compares.
async fn check(ctx: &Ctx, rows: Vec<Row>) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let base = revision(&client).await? - 1;
    write_before(&client).await?;
    let mut readers = vec![];
    for row in rows {
        let start = if row.start == 0 { 0 } else { base + row.start };
        let watch = client.watch(row.range.clone()).from_revision(start).await?;
        readers.push((row, Reader::new(ctx, watch)));
    }
    write_after(&client).await?;
    for (row, mut reader) in readers {
        let events = reader.all_to(base + 12).await?;
        assert_eq!(lines(base, &events), row.sees, "{}", row.id);
    }
    Ok(())
}

/// WATCH-097, WATCH-098, WATCH-100, WATCH-101, WATCH-102
async fn keys_and_ranges_see_what_is_in_them(ctx: Ctx) -> CaseResult {
    let of_a: &[&str] = &["2 /foo/a=2", "4 -/foo/a", "5 /foo/a=5"];
    let of_b = &["3 /foo/b=3", "5 -/foo/b", "7 /foo/bar=7", "8 /foo/baz=8"];
    let rows = vec![
        row("WATCH-097", key("/foo/a"), 2, of_a),
        row("WATCH-098", key("/foo/missing"), 2, &[]),
        row("WATCH-100", KeyRange::from("/foo/a".."/foo/b"), 2, of_a),
        row("WATCH-101", prefix("/foo/b"), 2, of_b),
        row("WATCH-102", prefix("/foo/missing"), 2, &[]),
    ];
    check(&ctx, rows).await
}

/// WATCH-103, WATCH-105, WATCH-106
async fn everything_and_what_comes_after_a_key(ctx: Ctx) -> CaseResult {
    const ALL: &[&str] = &[
        "2 /foo/a=2",
        "3 /foo/b=3",
        "4 -/foo/a",
        "5 /foo/a=5",
        "5 -/foo/b",
        "6 /foo/c=6",
        "7 /foo/bar=7",
        "8 /foo/baz=8",
        "9 /foo/yoo=9",
        "10 /yoo=10",
        "11 /foo/x=11",
        "12 /foo/m=12",
        "12 -/foo/c",
        "12 /foo/n=12",
        "12 /yoo=12",
    ];
    let above = &["9 /foo/yoo=9", "10 /yoo=10", "11 /foo/x=11", "12 /foo/n=12", "12 /yoo=12"];
    let rows = vec![
        row("WATCH-103", prefix(""), 2, ALL),
        row("WATCH-105", from_key(""), 2, ALL),
        row("WATCH-105, as it may be written, too", all(), 2, ALL),
        row("WATCH-106", from_key("/foo/missing"), 2, above),
    ];
    check(&ctx, rows).await
}

/// What is written after the watches began, and before: of the last revisions, all of a prefix.
const LATEST: &[&str] = &["11 /foo/x=11", "12 /foo/m=12", "12 -/foo/c", "12 /foo/n=12"];

/// WATCH-107, WATCH-108, WATCH-109, WATCH-111, WATCH-112
async fn later_starts_see_less(ctx: Ctx) -> CaseResult {
    let from_5 = &[
        "5 /foo/a=5",
        "5 -/foo/b",
        "6 /foo/c=6",
        "7 /foo/bar=7",
        "8 /foo/baz=8",
        "9 /foo/yoo=9",
        "11 /foo/x=11",
        "12 /foo/m=12",
        "12 -/foo/c",
        "12 /foo/n=12",
    ];
    let from_4 = &["4 -/foo/a", "5 /foo/a=5", "5 -/foo/b", "7 /foo/bar=7", "8 /foo/baz=8"];
    let rows = vec![
        row("WATCH-107", key("/foo/a"), 4, &["4 -/foo/a", "5 /foo/a=5"]),
        row("WATCH-108", key("/foo/a"), 6, &[]),
        row("WATCH-109", prefix("/foo"), 5, from_5),
        row("WATCH-111", KeyRange::from("/foo/a".."/foo/c"), 4, from_4),
        row("WATCH-112", prefix("/foo"), 0, LATEST),
    ];
    check(&ctx, rows).await
}

/// WATCH-113, WATCH-114
async fn the_latest_revisions_are_whole(ctx: Ctx) -> CaseResult {
    let rows = vec![
        row("WATCH-113", prefix("/foo"), 11, LATEST),
        row("WATCH-114", prefix("/foo"), 12, &LATEST[1..]),
    ];
    check(&ctx, rows).await
}
