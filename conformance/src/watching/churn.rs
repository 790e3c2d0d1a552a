//! Watches that come and go, of which nothing must be left at the server.

// W38, W81, I-W9

use super::LIMIT;
use crate::{BoxError, Ctx, Server, WatchCounts};
use etcd3::{Client, Error};
use futures_lite::future::{poll_once, yield_now};

/// Begins so many watches and gives them up at every stage of their beginning, beside none and
/// beside one that stays; returns what is left at the server.
///
/// # Errors
///
/// When the server fails, a watch does, or the one that stays is harmed.
pub async fn come_and_go(ctx: &Ctx, watches: usize) -> Result<WatchCounts, BoxError> {
    let (server, client) = ctx.server_and_client().await?;
    churn(&client, watches).await?;
    settle(ctx, &server, 0).await?;
    let mut stays = client.watch("stays").await?;
    churn(&client, watches).await?;
    settle(ctx, &server, 1).await?;
    client.put("stays", "").await?;
    ctx.within(LIMIT, stays.next()).await.ok_or("no event")?.ok_or("it has ended")??;
    settle(ctx, &server, 1).await?;
    stays.cancel().await;
    settle(ctx, &server, 0).await
}

/// Waits until the server has so many watchers, and as many streams.
async fn settle(ctx: &Ctx, server: &Server, left: i64) -> Result<WatchCounts, BoxError> {
    let expected = WatchCounts { streams: left, watchers: left };
    let is_settled = || async { server.watch_counts().is_ok_and(|counts| counts == expected) };
    let waited = ctx.until("the watchers to go", LIMIT, is_settled).await;
    let counts = server.watch_counts()?;
    waited.map_err(|error| format!("{error}: {counts:?}"))?;
    Ok(counts)
}

async fn churn(client: &Client, watches: usize) -> Result<(), Error> {
    for n in 0..watches {
        let begin = client.watch("come and go").from_revision(1);
        match n % 4 {
            // On its way, somewhere.
            0 | 1 => {
                let mut begin = Box::pin(begin.send());
                for _ in 0..n % 23 {
                    if poll_once(&mut begin).await.is_some() {
                        break;
                    }
                    yield_now().await;
                }
            }
            2 => drop(begin.await?),
            _ => begin.await?.cancel().await,
        }
    }
    Ok(())
}
