//! Barriers, queues and locks that are shared, as Go's `experimental/recipes` has them.

use crate::{BoxError, Case, CaseResult, Ctx, case};
use etcd3::recipes::{
    Barrier, DoubleBarrier, Mutex, PriorityQueue, Queue, RecipeError, RwLock, Semaphore,
};
use etcd3::{Client, prefix};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);
/// Longer than anything here takes.
const TTL: Duration = Duration::from_secs(60);

pub(super) const CASES: &[Case] = &[
    case!(a_barrier_holds_all_until_it_is_released, ["REC-001", "REC-002", "REC-003"]),
    case!(all_pass_a_double_barrier_together, ["REC-004", "REC-005"]),
    case!(readers_and_writers_never_hold_together, ["REC-013", "REC-014"]),
    case!(every_item_is_taken_once, ["REC-015", "REC-016", "REC-017", "REC-018"]),
    case!(items_are_taken_by_priority, ["REC-019", "REC-020", "REC-021"]),
    case!(no_more_hold_a_semaphore_than_may, []),
];

/// Waits for tasks of which each says whether all was well.
async fn all<T>(
    ctx: &Ctx,
    tasks: impl IntoIterator<Item = impl Future<Output = T>>,
) -> Result<Vec<T>, BoxError> {
    let mut done = Vec::new();
    for task in tasks {
        done.push(ctx.within(LIMIT, task).await.ok_or("somebody waits for too long")?);
    }
    Ok(done)
}

/// REC-001, REC-002, REC-003, X41
async fn a_barrier_holds_all_until_it_is_released(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let mut clients = Vec::new();
    for url in cluster.client_urls() {
        clients.push(ctx.connect([url]).await?);
    }
    // By one client, and by a client of each member.
    for clients in [&clients[..1], &clients[..]] {
        let any = |n: usize| &clients[n % clients.len()];
        // A key that begins like it is none of it.
        any(0).put("test-barrier-0", "").await?;
        for n in 0..5 {
            Barrier::new(any(n), "test-barrier").wait().await?;
        }
        let barrier = Barrier::new(any(0), "test-barrier");
        barrier.hold().await?;
        let again = Barrier::new(any(1), "test-barrier").hold().await.unwrap_err();
        assert!(matches!(again, RecipeError::KeyExists(_)), "{again}");
        any(0).put("x", "").await?;

        let passed = Arc::new(AtomicI32::new(0));
        let waiters = (0..5).map(|n| {
            let (barrier, passed) = (Barrier::new(any(n), "test-barrier"), Arc::clone(&passed));
            ctx.spawn(async move {
                let waited = barrier.wait().await;
                passed.fetch_add(1, Ordering::Relaxed);
                waited
            })
        });
        let waiters: Vec<_> = waiters.collect();
        assert!(!Barrier::new(any(1), "test-barrier").wait_timeout(LIMIT / 50).await?);
        assert_eq!(passed.load(Ordering::Relaxed), 0);
        assert!(barrier.release().await?);
        for waited in all(&ctx, waiters).await? {
            waited?;
        }
        assert!(!barrier.release().await?);
    }
    Ok(())
}

/// REC-004, REC-005, X42
async fn all_pass_a_double_barrier_together(ctx: Ctx) -> CaseResult {
    const COUNT: usize = 10;
    let (_server, client) = ctx.server_and_client().await?;
    let entered = Arc::new(AtomicI32::new(0));
    let left = Arc::new(AtomicI32::new(0));
    let mut workers = Vec::new();
    for _ in 1..COUNT {
        let session = client.session(TTL).await?;
        let (entered, left) = (Arc::clone(&entered), Arc::clone(&left));
        workers.push(ctx.spawn(async move {
            let barrier = DoubleBarrier::new(&session, "test-barrier", COUNT);
            let inside = barrier.enter().await?;
            entered.fetch_add(1, Ordering::Relaxed);
            inside.leave().await?;
            left.fetch_add(1, Ordering::Relaxed);
            Ok::<_, RecipeError>(())
        }));
    }
    let waiting = |expected| {
        let client = client.clone();
        move || {
            let client = client.clone();
            async move {
                let found = client.get(prefix("test-barrier/waiters/")).count_only().await;
                found.is_ok_and(|found| found.count == expected)
            }
        }
    };
    ctx.until("nine participants", LIMIT, waiting(9)).await?;
    assert_eq!(entered.load(Ordering::Relaxed), 0, "before the tenth");
    let session = client.session(TTL).await?;
    let barrier = DoubleBarrier::new(&session, "test-barrier", COUNT);
    let last = ctx.within(LIMIT, barrier.enter()).await.ok_or("it does not pass")??;
    let all_in = || async { entered.load(Ordering::Relaxed) == 9 };
    ctx.until("the others to pass", LIMIT, all_in).await?;
    // The others are leaving, but for those that are inside until all have left.
    ctx.until("the others to leave", LIMIT, waiting(1)).await?;
    assert_eq!(left.load(Ordering::Relaxed), 0, "before the tenth");

    // As many as may are inside; one more is refused, and leaves no key.
    let pair = DoubleBarrier::new(&session, "pair", 2);
    let first = {
        let pair = pair.clone();
        ctx.spawn(async move { pair.enter().await })
    };
    let second = ctx.within(LIMIT, pair.enter()).await.ok_or("it does not pass")??;
    let first = first.await?;
    let refused = pair.enter().await.unwrap_err();
    assert!(matches!(refused, RecipeError::TooManyClients(2)), "{refused}");
    assert_eq!(client.get(prefix("pair/waiters")).count_only().await?.count, 2);
    drop((first, second));

    last.leave().await?;
    for worked in all(&ctx, workers).await? {
        worked?;
    }
    assert_eq!(client.get(prefix("test-barrier/")).await?.count, 0);
    Ok(())
}

/// REC-013, REC-014, X45
async fn readers_and_writers_never_hold_together(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let mut clients = Vec::new();
    for url in cluster.client_urls() {
        clients.push(ctx.connect([url]).await?);
    }
    // How many readers hold it, or -1 for a writer.
    let state = Arc::new(AtomicI32::new(0));
    for clients in [&clients[..1], &clients[..]] {
        let mut workers = Vec::new();
        for n in 0..5 {
            let session = clients[n % clients.len()].session(TTL).await?;
            let (state, rt) = (Arc::clone(&state), Arc::clone(&ctx.rt));
            workers.push(ctx.spawn(async move {
                let lock = RwLock::new(&session, "test-lock");
                for round in 0..4 {
                    let writes = (n + round) % 3 == 0;
                    let held = if writes { lock.write().await? } else { lock.read().await? };
                    let change = if writes { -1 } else { 1 };
                    let before = state.fetch_add(change, Ordering::SeqCst);
                    assert!(if writes { before == 0 } else { before >= 0 }, "{before}");
                    rt.sleep_until(rt.now() + Duration::from_millis(2)).await;
                    state.fetch_sub(change, Ordering::SeqCst);
                    held.unlock().await?;
                }
                Ok::<_, RecipeError>(())
            }));
        }
        for worked in all(&ctx, workers).await? {
            worked?;
        }
    }
    assert_eq!(clients[0].get(prefix("test-lock/")).await?.count, 0);
    Ok(())
}

/// A queue of either kind, and a way to write to it and to read from it.
#[derive(Clone)]
enum Line {
    Fifo(Queue),
    Ranked(PriorityQueue),
}

impl Line {
    async fn enqueue(&self, item: String, priority: u16) -> Result<(), RecipeError> {
        match self {
            Self::Fifo(queue) => queue.enqueue(item).await.map(drop),
            Self::Ranked(queue) => queue.enqueue(item, priority).await.map(drop),
        }
    }

    async fn dequeue(&self) -> Result<String, RecipeError> {
        let item = match self {
            Self::Fifo(queue) => queue.dequeue().await?,
            Self::Ranked(queue) => queue.dequeue().await?,
        };
        Ok(String::from_utf8_lossy(&item.value).into_owned())
    }
}

/// Has writers enqueue `each` items, and readers take all of them.
async fn busy(ctx: &Ctx, of: impl Fn(&str) -> Line, writers: usize, readers: usize) -> CaseResult {
    const EACH: usize = 6;
    let name = format!("queue-{writers}-{readers}");
    let mut reading = Vec::new();
    for _ in 0..readers {
        let line = of(&name);
        let share = writers * EACH / readers;
        reading.push(ctx.spawn(async move {
            let mut items = Vec::new();
            for _ in 0..share {
                items.push(line.dequeue().await?);
            }
            Ok::<_, RecipeError>(items)
        }));
    }
    let mut writing = Vec::new();
    for writer in 0..writers {
        let line = of(&name);
        writing.push(ctx.spawn(async move {
            for n in 0..EACH {
                let priority = u16::try_from(n % 3).unwrap_or_default();
                line.enqueue(format!("{writer}.{n}"), priority).await?;
            }
            Ok::<_, RecipeError>(())
        }));
    }
    for written in all(ctx, writing).await? {
        written?;
    }
    let mut taken = Vec::new();
    for items in all(ctx, reading).await? {
        taken.extend(items?);
    }
    let unique: BTreeSet<_> = taken.iter().collect();
    assert_eq!((taken.len(), unique.len()), (writers * EACH, writers * EACH), "{taken:?}");
    Ok(())
}

/// REC-015, REC-016, REC-017, REC-018, X43
async fn every_item_is_taken_once(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let queue = Queue::new(&client, "testq");
    for n in 0..5 {
        queue.enqueue(n.to_string()).await?;
    }
    for n in 0..5 {
        assert_eq!(queue.dequeue().await?.value, n.to_string());
    }
    assert!(queue.try_dequeue().await?.is_none());
    assert!(queue.dequeue_timeout(Duration::from_millis(20)).await?.is_none());
    let other = ctx.connect(client.endpoints()).await?;
    let of = |name: &str| {
        // Both clients write and read.
        let client: &Client = if name.len().is_multiple_of(2) { &client } else { &other };
        Line::Fifo(Queue::new(client, name))
    };
    for (writers, readers) in [(1, 3), (3, 1), (3, 3)] {
        busy(&ctx, of, writers, readers).await?;
    }
    assert_eq!(client.get(prefix("queue-")).await?.count, 0);
    Ok(())
}

/// REC-019, REC-020, REC-021, X44
async fn items_are_taken_by_priority(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let queue = PriorityQueue::new(&client, "testprq");
    for n in 0..5_u16 {
        queue.enqueue(n.to_string(), [2, 0, 1, 0, 2][usize::from(n)]).await?;
    }
    for expected in ["1", "3", "2", "0", "4"] {
        assert_eq!(queue.dequeue().await?.value, expected);
    }
    assert!(queue.try_dequeue().await?.is_none());
    let of = |name: &str| Line::Ranked(PriorityQueue::new(&client, name));
    for (writers, readers) in [(1, 1), (3, 3)] {
        busy(&ctx, of, writers, readers).await?;
    }

    // What is measured there, once: a lock with four who wait for it.
    let mut workers = Vec::new();
    for _ in 0..4 {
        let session = client.session(TTL).await?;
        workers.push(ctx.spawn(async move {
            let mutex = Mutex::new(&session, "bench");
            for _ in 0..5 {
                mutex.lock().await?.unlock().await?;
            }
            Ok::<_, RecipeError>(())
        }));
    }
    for worked in all(&ctx, workers).await? {
        worked?;
    }
    assert_eq!(client.get(prefix("bench/")).await?.count, 0);
    Ok(())
}

async fn no_more_hold_a_semaphore_than_may(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let held = Arc::new(AtomicI32::new(0));
    let mut workers = Vec::new();
    for _ in 0..6 {
        let session = client.session(TTL).await?;
        let (held, rt) = (Arc::clone(&held), Arc::clone(&ctx.rt));
        workers.push(ctx.spawn(async move {
            let semaphore = Semaphore::new(&session, "seats", 2);
            for _ in 0..3 {
                let permit = semaphore.acquire().await?;
                assert!(held.fetch_add(1, Ordering::SeqCst) < 2);
                rt.sleep_until(rt.now() + Duration::from_millis(2)).await;
                held.fetch_sub(1, Ordering::SeqCst);
                permit.release().await?;
            }
            Ok::<_, RecipeError>(())
        }));
    }
    for worked in all(&ctx, workers).await? {
        worked?;
    }
    assert_eq!(client.get(prefix("seats/")).await?.count, 0);
    Ok(())
}
