//! Calls that are begun and then neither polled nor dropped.

use crate::{Case, CaseResult, Ctx, case};
use futures_lite::future::poll_once;
use std::future::IntoFuture;
use std::time::Duration;

pub(super) const CASES: &[Case] =
    &[case!(a_thousand_calls_that_nobody_polls_delay_nobody, []).any_version()];

/// The number of calls that fit beside others into one connection, with the defaults.
const HELD: usize = 1_000;
const LARGE: usize = 1 << 20;

/// I-C5: each keeps a part of the window of the connection, and leaves enough for others; those
/// whose deadline has passed keep nothing.
async fn a_thousand_calls_that_nobody_polls_delay_nobody(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    client.put("large", vec![7; LARGE]).await?;
    let mut held = Vec::new();
    for _ in 0..HELD {
        let mut get = client.get("large").timeout(Duration::from_secs(10)).into_future();
        let polled = poll_once(&mut get).await;
        assert!(polled.is_none(), "it takes a round trip");
        held.push(get);
    }
    let health = client.health();
    assert_eq!(health.endpoints[0].calls, u32::try_from(HELD)?);
    for n in 0..100 {
        client.put("small", n.to_string()).await?;
        let large = client.get("large").await?;
        assert_eq!(large.kvs[0].value.len(), LARGE);
    }
    let is_free = || async { client.health().endpoints[0].calls == 0 };
    ctx.until("the end of calls that nobody polls", Duration::from_secs(60), is_free).await?;
    for get in held {
        assert!(get.await.is_err(), "its deadline has passed");
    }
    client.get("large").await?;
    Ok(())
}
