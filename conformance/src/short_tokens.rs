//! Tokens that live for two seconds, on connections that are cut every second: the long form by
//! `src/bin/tokens.rs`, a short one as a case.

use crate::cases::token_expect::{LIMIT, config, connect, guard, server};
use crate::load::{BlockingRuntime, Error};
use crate::{BoxError, Ctx};
use etcd3::{CallClass, Client, key};
use etcd3_lab::Bridge;
use etcd3_lab::etcd::Binary;
use std::sync::Arc;
use std::time::Duration;

/// How long a token lives that is not used, in seconds.
const TTL: u32 = 2;
const SECOND: Duration = Duration::from_secs(1);
/// Each use prolongs the life of a token, a renewal of the lease, too, and servers look for tokens
/// that are over once a second: between two renewals, a third of this apart, the token ends.
const LEASE_TTL: Duration = Duration::from_secs(12);
/// So long has all the time between two renewals in it, whenever it begins.
const QUIET: Duration = Duration::from_secs(8);
/// Every so many cuts there is such a time without calls.
const CUTS_IN_A_ROW: u32 = 4;

/// What the client made of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    /// How often its connections were cut.
    pub cuts: u32,
    /// How many logins it made.
    pub logins: u64,
    /// How many lives of a token it took.
    pub lives: u64,
    /// How many events its watch delivered, of one for each cut.
    pub events: u32,
}

/// Cuts all connections of a client so many times, a second apart, and now and then only after its
/// token has ended; sees that its watch delivers everything once and its lease lives.
///
/// # Errors
///
/// When the server fails, the watch ends, an event is missing, or there are more logins than tokens
/// can have ended.
///
/// # Panics
///
/// When an event is not the next one, or the lease is lost.
pub async fn run(ctx: &Ctx, cuts: u32) -> Result<Figures, BoxError> {
    let server = server(ctx, TTL).await?;
    guard(ctx, server.client_url()).await?;
    // It writes by itself, so that the client uses its token for its streams alone.
    let writer = ctx.connect_with(config([server.client_url()], "app")).await?;
    let bridge = Bridge::new(server.addr())?;
    let client = connect(ctx, ctx.url(bridge.addr()), "app").await?;
    let mut watch = client.watch(key("a")).await?;
    let lease = client.lease(LEASE_TTL).await?;
    writer.put("a", "first").await?;
    ctx.within(LIMIT, watch.next()).await.flatten().ok_or("no event")??;
    let (before, begin) = (logins(&client), ctx.rt.now());
    let mut figures = Figures::default();
    for n in 0..cuts {
        bridge.reset_all();
        figures.cuts += 1;
        writer.put("a", n.to_string()).await?;
        let next = ctx.within(LIMIT, watch.next()).await.flatten();
        let batch = next.ok_or("the watch has ended, or hangs")??;
        assert_eq!(batch.events.len(), 1, "{batch:?}");
        assert_eq!(batch.events[0].kv.value, n.to_string(), "nothing is lost or repeated");
        figures.events += 1;
        assert!(lease.is_valid(), "{lease:?}");
        let is_last = (n + 1) % CUTS_IN_A_ROW == 0;
        ctx.pause(if is_last { QUIET } else { SECOND }).await;
    }
    client.keep_alive_once(lease.id()).await?;
    figures.logins = logins(&client) - before;
    let took = ctx.rt.now().saturating_since(begin);
    figures.lives = took.as_secs() / u64::from(TTL) + 1;
    if figures.logins == 0 || figures.logins > figures.lives {
        return Err(format!("no token has ended, or too many logins: {figures:?}").into());
    }
    Ok(figures)
}

/// Counts the logins that a client has begun.
fn logins(client: &Client) -> u64 {
    client.metrics().of(CallClass::Login).map_or(0, |logins| logins.started)
}

/// Cuts for a minute, and prints what came of it; returns whether all is well.
///
/// # Errors
///
/// As [`run`](fn@run), and when the server does not start.
pub fn long(runtime: &BlockingRuntime, etcd: &Binary) -> Result<bool, Error> {
    let ctx = Ctx::new(Arc::clone(&runtime.rt), etcd.clone().into(), runtime.name);
    let figures = runtime.run(async move { run(&ctx, 60).await })?;
    println!("{} {}: {figures:?}", runtime.name, etcd.version);
    Ok(figures.cuts == figures.events)
}
