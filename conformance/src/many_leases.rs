//! Many leases on one client: the long form by `src/bin/leases.rs`, a short one as a case.

use crate::cases::lease_bulk::keep_beside_bulk;
use crate::load::{BlockingRuntime, Error};
use crate::{BoxError, Ctx, Member};
use etcd3::{Client, Lease};
use etcd3_lab::etcd::Binary;
use futures_lite::future::block_on;
use futures_util::future::try_join_all;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many leases are granted at once.
const AT_ONCE: usize = 100;
/// How long each round of grants, and each revocation, may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What it took to keep leases alive.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// How many leases there were.
    pub leases: usize,
    /// How many of them were lost.
    pub lost: usize,
    /// How many were late at some moment.
    pub late: usize,
    /// The streams that were opened for renewals.
    pub streams: u64,
    /// Renewals that the server acknowledged, a second.
    pub per_second: f64,
    /// How many a second are needed, with a tenth more.
    pub limit: f64,
    /// How long granting all of them took.
    pub granting: Duration,
}

impl Figures {
    /// Returns what is wrong.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = vec![];
        if self.lost > 0 {
            problems.push(format!("{} leases are lost", self.lost));
        }
        if self.per_second > self.limit {
            problems.push(format!("{:.1} renewals a second", self.per_second));
        }
        if self.streams != 1 {
            problems.push(format!("{} streams", self.streams));
        }
        problems
    }
}

/// Keeps so many leases alive for two of their times to live.
///
/// # Errors
///
/// When the server fails, or a lease is not granted.
pub async fn keep(ctx: &Ctx, count: usize, ttl: Duration) -> Result<Figures, BoxError> {
    let (server, client) = ctx.server_and_client().await?;
    let begin = Instant::now();
    let mut leases = vec![];
    while leases.len() < count {
        let some = grant(&client, ttl, AT_ONCE.min(count - leases.len()));
        leases.extend(ctx.within(LIMIT, some).await.ok_or("granting takes too long")??);
    }
    let granting = begin.elapsed();
    // From here on all are renewed.
    ctx.pause(ttl / 3).await;
    let (begin, before) = (Instant::now(), counted(&server)?);
    let (mut is_late, looks) = (vec![false; count], 2 * ttl.as_secs());
    for _ in 0..looks {
        ctx.pause(Duration::from_secs(1)).await;
        for (late, lease) in is_late.iter_mut().zip(&leases) {
            *late |= matches!(lease.status(), etcd3::LeaseStatus::Late { .. });
        }
    }
    let (took, after) = (begin.elapsed().as_secs_f64(), counted(&server)?);
    let lost = leases.iter().filter(|lease| !lease.is_valid()).count();
    let count_f64 = f64::from(u32::try_from(count)?);
    let renewals = f64::from(u32::try_from(after.renewals - before.renewals)?);
    let late = is_late.into_iter().filter(|late| *late).count();
    Ok(Figures {
        leases: count,
        lost,
        late,
        streams: after.streams,
        per_second: renewals / took,
        limit: count_f64 / (ttl.as_secs_f64() / 3.0) * 1.1,
        granting,
    })
}

async fn grant(client: &Client, ttl: Duration, count: usize) -> Result<Vec<Lease>, etcd3::Error> {
    try_join_all((0..count).map(|_| client.lease(ttl).send())).await
}

struct Counted {
    streams: u64,
    renewals: u64,
}

/// Counts the streams of renewals that a server has seen, and the renewals that it acknowledged.
fn counted(server: &Member) -> Result<Counted, BoxError> {
    let metrics = server.metrics()?;
    let count = |name: &str, label: &str| {
        let series = metrics.lines().filter(|line| line.starts_with(name) && line.contains(label));
        // The text of a large number has an exponent.
        let values = series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.map(|value| Duration::try_from_secs_f64(value).unwrap_or_default().as_secs()).sum()
    };
    Ok(Counted {
        streams: count("grpc_server_started_total", "\"LeaseKeepAlive\""),
        renewals: count("etcd_debugging_lease_renewed_total", ""),
    })
}

/// Runs the long form on one runtime against one version; tells whether all limits held.
///
/// # Errors
///
/// When the server fails.
pub fn run(runtime: &BlockingRuntime, etcd: &Binary) -> Result<bool, Error> {
    const LEASES: usize = 10_000;
    const TTL: Duration = Duration::from_secs(30);
    const BULK: Duration = Duration::from_secs(60);
    let ctx = Ctx::new(Arc::clone(&runtime.rt), etcd.clone().into(), runtime.name);
    println!("{} against etcd {}", runtime.name, etcd.version);
    let world = ctx.clone();
    let figures = block_on(runtime.spawn(async move { keep(&world, LEASES, TTL).await }))?;
    println!("    {figures:.1?}");
    let (gap, puts) = block_on(runtime.spawn(async move { keep_beside_bulk(&ctx, BULK).await }))?;
    println!("    beside {puts} puts of 1 MiB: {gap:.1?} from one renewal to the next at most");
    let problems = figures.problems();
    for problem in &problems {
        println!("BROKEN {problem}");
    }
    Ok(problems.is_empty())
}
