//! Watches that nobody reads, beside others on the same connection.

// H3, H4, H5, I-W10

use super::LIMIT;
use crate::{BoxError, Ctx};
use etcd3::{Client, Error, Watch, prefix};
use etcd3_lab::Bridge;
use futures_util::future::try_join_all;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Watches that are not read.
const WATCHES: usize = 3;
/// Writers of small values.
const WRITERS: u64 = 64;
const LARGE: usize = 64 << 10;
/// What may wait for each watch that is not read.
const LIMIT_BYTES: usize = 4 << 20;

/// What passes while it is not read.
#[derive(Debug, Clone, Copy)]
pub struct Unread {
    /// Events of a few bytes, each of a revision of its own.
    pub small: u64,
    /// Bytes of large values after them.
    pub large: usize,
    /// How many calls a second are measured meanwhile, if they are.
    pub rate: Option<u32>,
}

/// What was seen meanwhile.
#[derive(Debug, Clone, Default)]
pub struct UnreadFigures {
    /// Connections that the client made.
    pub connections: u64,
    /// Events that each watch delivered in the end, those that are not read included.
    pub events: u64,
    /// Events that were to be delivered by each.
    pub written: u64,
    /// The most bytes of large values that waited for a watch that is not read.
    pub waiting: u64,
    /// Calls beside, and the time within which 99 of 100 were answered.
    pub calls: usize,
    /// The time within which 99 of 100 of them were answered.
    pub p99: Duration,
    /// The same before anything was left unread.
    pub p99_before: Duration,
}

impl UnreadFigures {
    /// Returns what is wrong.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = vec![];
        if self.connections != 1 {
            problems.push(format!("{} connections were needed", self.connections));
        }
        if self.events != self.written {
            problems.push(format!("{} of {} events came", self.events, self.written));
        }
        // What is received at once may be more than the limit, by one batch.
        if self.waiting == 0 || self.waiting > 2 * LIMIT_BYTES as u64 {
            problems.push(format!("{} bytes waited", self.waiting));
        }
        problems
    }
}

/// Has events pass that three watches do not read, while one beside them is read and calls are
/// made on the same connection; reads all of them in the end.
///
/// # Errors
///
/// When the server fails, a call does, or a watch.
pub async fn leave_unread(ctx: &Ctx, what: Unread) -> Result<UnreadFigures, BoxError> {
    let server = ctx.server_with(|it| it.flag("--quota-backend-bytes", "4294967296")).await?;
    let bridge = Bridge::new(server.addr())?;
    let client = ctx.connect([bridge.url()]).await?;
    let direct = ctx.connect([server.client_url()]).await?;
    let p99_before = match what.rate {
        Some(rate) => Calls::start(ctx, &client, rate).after(Duration::from_secs(5), ctx).await?.1,
        None => Duration::ZERO,
    };
    let mut unread = vec![];
    for n in 0..WATCHES {
        let watch = client.watch(prefix("k/")).max_buffered_bytes(LIMIT_BYTES);
        let watch = if n == 0 { watch.own_stream() } else { watch };
        unread.push(watch.await?);
    }
    let read = client.watch(prefix("k/")).await?;
    let calls = Calls::start(ctx, &client, what.rate.unwrap_or(50));
    let large = u64::try_from(what.large / LARGE)?;
    let written = what.small + large;
    let reading = ctx.spawn(count(read, written));
    write_small(&direct, what.small).await?;
    // The others have enough waiting already.
    let late = client.watch(prefix("k/")).max_buffered_bytes(LIMIT_BYTES).await?;
    let before = late.status().revision;
    for _ in 0..large {
        direct.put("k/large", vec![b'v'; LARGE]).await?;
    }
    let events = ctx.within(LIMIT, reading).await.ok_or("the other watch is held up")??;
    let waiting = u64::try_from(late.status().revision - before)? * LARGE as u64;
    let (made, p99) = calls.after(Duration::ZERO, ctx).await?;
    let mut fewest = events;
    for watch in unread {
        let counted = ctx.within(10 * LIMIT, count(watch, written)).await;
        fewest = fewest.min(counted.ok_or("a watch does not go on when it is read")??);
    }
    let counted = ctx.within(LIMIT, count(late, large)).await;
    if counted.ok_or("the last watch does not go on when it is read")?? != large {
        return Err("events are missing of the last watch".into());
    }
    let connections = bridge.connections().accepted;
    let calls = made;
    Ok(UnreadFigures { connections, events: fewest, written, waiting, calls, p99, p99_before })
}

/// Writes small values, many at a time.
async fn write_small(client: &Client, count: u64) -> Result<(), Error> {
    let next = AtomicU64::new(0);
    let writers = (0..WRITERS).map(|writer| {
        let next = &next;
        async move {
            while next.fetch_add(1, Ordering::SeqCst) < count {
                client.put(format!("k/{writer}"), "0123456789").await?;
            }
            Ok::<(), Error>(())
        }
    });
    try_join_all(writers).await.map(drop)
}

/// Takes so many events; each is of a revision above that of the one before.
async fn count(mut watch: Watch, all: u64) -> Result<u64, BoxError> {
    let (mut counted, mut last) = (0, 0);
    while counted < all {
        for event in watch.next().await.ok_or("it has ended")?? {
            if event.revision() <= last {
                return Err(format!("{} after {last}", event.revision()).into());
            }
            last = event.revision();
            counted += 1;
        }
    }
    Ok(counted)
}

/// Calls at a rate, each measured.
struct Calls {
    is_over: Arc<AtomicBool>,
    task: crate::JoinHandle<Result<Vec<Duration>, Error>>,
}

impl Calls {
    fn start(ctx: &Ctx, client: &Client, rate: u32) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (until, client, rt) = (Arc::clone(&is_over), client.clone(), Arc::clone(&ctx.rt));
        let task = ctx.spawn(async move {
            let mut took = vec![];
            while !until.load(Ordering::SeqCst) {
                let began = Instant::now();
                client.get("k").await?;
                took.push(began.elapsed());
                rt.sleep_until(rt.now() + Duration::from_secs(1) / rate).await;
            }
            Ok(took)
        });
        Self { is_over, task }
    }

    /// Ends the calls after this time; returns how many there were, and how long 99 of 100 took at
    /// most.
    async fn after(self, time: Duration, ctx: &Ctx) -> Result<(usize, Duration), BoxError> {
        ctx.pause(time).await;
        self.is_over.store(true, Ordering::SeqCst);
        let mut took = ctx.within(LIMIT, self.task).await.ok_or("a call hangs")??;
        took.sort();
        Ok((took.len(), took.get(took.len() * 99 / 100).copied().unwrap_or_default()))
    }
}
