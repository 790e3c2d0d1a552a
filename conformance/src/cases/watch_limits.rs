//! Watches and the limits of a connection: its streams, and its bandwidth.

use super::watch_expect::{LIMIT, Reader};
use crate::{BoxError, Case, CaseResult, Ctx, Server, case};
use etcd3::{Client, ErrorKind, Outcome, Watch, all};
use etcd3_lab::etcd::Version;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(a_call_has_the_last_stream, ["WATCH-095"]).plain_and_tls(),
    case!(a_call_waits_for_a_stream, ["WATCH-096"]).plain_and_tls(),
    case!(watches_that_share_a_stream_need_one, []),
    case!(watches_do_not_starve_behind_large_reads, ["WATCH-080", "WATCH-081"])
        .real("other work at the same time")
        .plain_and_tls(),
];

/// A server that takes so many streams on a connection.
async fn with_streams(ctx: &Ctx, streams: usize) -> Result<(Server, Client), BoxError> {
    let limit = streams.to_string();
    let build = |server: etcd3_lab::ServerBuilder| server.flag("--max-concurrent-streams", &limit);
    let server = ctx.server_with(build).await?;
    let client = ctx.connect([server.client_url()]).await?;
    Ok((server, client))
}

/// Begins watches on streams of their own.
async fn watches(client: &Client, count: usize) -> Result<Vec<Watch>, etcd3::Error> {
    let mut watches = vec![];
    for _ in 0..count {
        watches.push(client.watch("a").from_revision(1).own_stream().await?);
    }
    Ok(watches)
}

/// WATCH-095
async fn a_call_has_the_last_stream(ctx: Ctx) -> CaseResult {
    for streams in [3, 100] {
        let (server, client) = with_streams(&ctx, streams).await?;
        let watches = watches(&client, streams - 1).await?;
        client.get("a").await?;
        assert_eq!(server.watch_counts()?.streams, i64::try_from(watches.len())?);
    }
    Ok(())
}

/// WATCH-096: its time goes on meanwhile.
async fn a_call_waits_for_a_stream(ctx: Ctx) -> CaseResult {
    for streams in [3, 100] {
        let (server, client) = with_streams(&ctx, streams).await?;
        let mut watches = watches(&client, streams).await?;
        assert_eq!(server.watch_counts()?.streams, i64::try_from(streams)?);
        let error = client.get("a").timeout(Duration::from_secs(1)).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::TimedOut(_)), "{error}");
        assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
        let waiting = ctx.spawn(client.get("a").timeout(LIMIT).into_future());
        watches.pop().ok_or("a watch")?.cancel().await;
        waiting.await?;
    }
    Ok(())
}

/// I-W9: the limit is one of streams.
async fn watches_that_share_a_stream_need_one(ctx: Ctx) -> CaseResult {
    let (server, client) = with_streams(&ctx, 3).await?;
    let mut watches = vec![];
    for _ in 0..100 {
        watches.push(client.watch("a").await?);
    }
    client.put("a", "").await?;
    for watch in watches {
        Reader::new(&ctx, watch).take(1).await?;
    }
    assert_eq!(server.watch_counts()?.streams, 1);
    Ok(())
}

/// Servers before that starve watches themselves where they speak TLS.
// W69
const SHARES: Version = Version { major: 3, minor: 5, patch: 8 };
/// What a watch may wait, where etcd's own tests allow 250 ms on a machine that does nothing else.
const PATIENCE: Duration = Duration::from_secs(2);
const ROUNDS: usize = 20;
const READERS: usize = 10;

/// WATCH-080, WATCH-081
async fn watches_do_not_starve_behind_large_reads(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    if server.client_url().starts_with("https") && ctx.etcd.version < SHARES {
        return Ok(());
    }
    for n in 0..50 {
        client.put(format!("large/{n}"), vec![b'x'; 100 << 10]).await?;
    }
    let mut reader = Reader::new(&ctx, client.watch("key").await?);
    client.put("key", "").await?;
    reader.take(1).await?;
    let (is_over, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let (until, reads) = (Arc::clone(&is_over), Arc::clone(&reads));
            let client = client.clone();
            ctx.spawn(async move {
                while !until.load(Ordering::SeqCst) {
                    client.get(all()).timeout(LIMIT).await?;
                    reads.fetch_add(1, Ordering::SeqCst);
                }
                Ok::<(), etcd3::Error>(())
            })
        })
        .collect();
    let handle = reader.handle();
    for _ in 0..ROUNDS {
        let told = ctx.within(PATIENCE, handle.request_progress()).await;
        told.ok_or("progress is not told")??;
        client.put("key", "").await?;
        ctx.within(PATIENCE, reader.take(1)).await.ok_or("an event is held up")??;
        ctx.pause(Duration::from_millis(100)).await;
    }
    is_over.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await?;
    }
    assert!(reads.load(Ordering::SeqCst) >= READERS, "others read meanwhile");
    Ok(())
}
