//! Watches that begin in the past, of which something may be compacted.

use super::watch_expect::{LIMIT, Reader, lines, revision};
use crate::{BoxError, Case, CaseResult, Ctx, Member, case};
use etcd3::{Client, Error, ErrorKind, Outcome};
use etcd3_lab::MemberStatus;
use etcd3_lab::etcd::Version;

/// Deletions at the compacted revision are kept from here on, of the versions that the suite has.
// W67
const KEEPS_DELETIONS: Version = Version { major: 3, minor: 5, patch: 18 };

pub(super) const CASES: &[Case] = &[
    case!(compaction_during_an_outage_is_told, ["WATCH-010"]),
    case!(a_start_that_is_compacted_is_told, ["WATCH-011"]),
    case!(negative_revisions_are_not_sent, ["WATCH-033"]).since(Version::minor(3, 5)),
    case!(a_deletion_at_the_compacted_revision_is_seen, ["WATCH-082"]).since(KEEPS_DELETIONS),
    case!(watches_from_compacted_revisions_miss_nothing, ["WATCH-083", "WATCH-084"])
        .since(KEEPS_DELETIONS)
        .plain_and_tls(),
];

/// WATCH-010, I-W6: everything, or word of what cannot be had any more.
async fn compaction_during_an_outage_is_told(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect([cluster.member(0).client_url()]).await?;
    let writer = ctx.connect([cluster.member(1).client_url()]).await?;
    let base = revision(&client).await?;
    let mut watch = client.watch("foo").from_revision(base).await?;
    let first = cluster.member(0);
    let gone = ctx.blocking(move || first.status()).await?.member_id;
    ctx.order(&cluster.member(0), Member::terminate).await?;
    for other in [1, 2] {
        let lives = |it: &MemberStatus| ![0, gone].contains(&it.leader);
        ctx.until_member(&cluster.member(other), "a leader that lives", LIMIT, lives).await?;
    }
    for n in 0..5 {
        writer.put("foo", n.to_string()).await?;
    }
    writer.compact(base + 2).await?;
    let member = cluster.member(0);
    let restart = ctx.blocking(move || member.restart());
    let mut seen = vec![];
    while seen.len() < 5 {
        let next = ctx.within(LIMIT, watch.next()).await.ok_or("nothing comes")?;
        match next.ok_or("it ends without a reason")? {
            Ok(batch) => seen.extend(batch),
            Err(error) => {
                let requested = base + i64::try_from(seen.len())?;
                let compacted = base + 2;
                let expected = ErrorKind::WatchCompacted { requested, compacted };
                assert_eq!(error.kind(), expected, "{error}");
                assert!(watch.next().await.is_none());
                break;
            }
        }
    }
    let all = ["1 foo=0", "2 foo=1", "3 foo=2", "4 foo=3", "5 foo=4"];
    assert_eq!(lines(base, &seen), all[..seen.len()], "no gap");
    restart.await?;
    Ok(())
}

/// WATCH-011, W8, W78: servers take the watch first.
async fn a_start_that_is_compacted_is_told(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let base = revision(&client).await?;
    for n in 0..5 {
        client.put("foo", n.to_string()).await?;
    }
    client.compact(base + 3).await?;
    let mut reader = Reader::new(&ctx, client.watch("foo").from_revision(base + 1).await?);
    let error = reader.end().await?;
    let expected = ErrorKind::WatchCompacted { requested: base + 1, compacted: base + 3 };
    assert_eq!((error.kind(), error.outcome()), (expected, Outcome::Rejected), "{error}");
    assert!(error.is_compacted());
    // The compacted revision itself is there.
    let mut reader = Reader::new(&ctx, client.watch("foo").from_revision(base + 3).await?);
    let expected = ["3 foo=2", "4 foo=3", "5 foo=4"];
    assert_eq!(lines(base, &reader.all_to(base + 5).await?), expected);
    Ok(())
}

/// WATCH-033, W7: some servers refuse them, others compare them with the compacted revision.
async fn negative_revisions_are_not_sent(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    for start in [-1, i64::MIN] {
        let error = client.watch("/").from_revision(start).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error}");
        assert_eq!((error.outcome(), error.attempts()), (Outcome::NotSent, 0), "{error}");
    }
    assert_eq!(server.watch_counts()?.streams, 0);
    Ok(())
}

/// WATCH-082, W67
async fn a_deletion_at_the_compacted_revision_is_seen(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    for value in ["v2", "v3", "v4"] {
        client.put("k", value).await?;
    }
    let deleted = client.delete("k").await?.header.revision;
    client.put("k", "v6").await?;
    client.compact(deleted).physical().await?;
    let mut reader = Reader::new(&ctx, client.watch("k").from_revision(deleted).await?);
    assert_eq!(lines(deleted, &reader.take(2).await?), ["0 -k", "1 k=v6"]);
    Ok(())
}

/// How often the history is compacted, in changes.
const EVERY: i64 = 7;
const CHANGES: i64 = 98;

/// Makes one change of the key: every seventh deletes it, if that is wanted.
async fn change(client: &Client, n: i64, deletes: bool) -> Result<i64, Error> {
    if deletes && n % EVERY == 0 {
        return Ok(client.delete("foo").await?.header.revision);
    }
    Ok(client.put("foo", n.to_string()).await?.header.revision)
}

/// Compacts at every seventh change and watches from there on.
async fn watch_from_compactions(ctx: &Ctx, deletes: bool) -> Result<(), BoxError> {
    let (_server, client) = ctx.server_and_client().await?;
    let base = revision(&client).await?;
    let is_deletion = |n: i64| deletes && n % EVERY == 0;
    let line = |n: i64| if is_deletion(n) { format!("{n} -foo") } else { format!("{n} foo={n}") };
    let mut seen = vec![];
    for first in (0..CHANGES).step_by(usize::try_from(EVERY)?) {
        for n in first + 1..=first + EVERY {
            assert_eq!(change(&client, n, deletes).await?, base + n);
        }
        if first > 0 {
            client.compact(base + first).physical().await?;
        }
        let start = base + first.max(1);
        let mut reader = Reader::new(ctx, client.watch("foo").from_revision(start).await?);
        let events = lines(base, &reader.all_to(base + first + EVERY).await?);
        // The first one is that at which the watch before ended.
        let repeated = usize::from(first > 0);
        assert_eq!(events[..repeated], seen[seen.len() - repeated..], "from {first}");
        seen.extend_from_slice(&events[repeated..]);
    }
    assert_eq!(seen, (1..=CHANGES).map(line).collect::<Vec<_>>());
    Ok(())
}

/// WATCH-083, WATCH-084, W67
async fn watches_from_compacted_revisions_miss_nothing(ctx: Ctx) -> CaseResult {
    watch_from_compactions(&ctx, true).await?;
    watch_from_compactions(&ctx, false).await
}
