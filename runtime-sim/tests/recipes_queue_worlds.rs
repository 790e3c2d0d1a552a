//! Worlds in which many write to queues and many read from them, under faults of every kind, and
//! some give up in the middle: no item is taken twice, and none is lost without a word.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod lease_support;
mod queues_support;

use etcd3::recipes::{PriorityQueue, Queue, RecipeError};
use etcd3::{Config, KeyValue, Outcome};
use etcd3_sim::faults::{Scope, swarm};
use etcd3_sim::{ClusterConfig, Host, Personality, World, run};
use lease_support::seconds;
use queues_support::polled;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SEEDS: u64 = if cfg!(debug_assertions) { 6 } else { 300 };
const CLIENTS: u32 = 3;
const ITEMS: u32 = 15;

/// What everybody knows of the items.
#[derive(Debug, Default)]
struct Log {
    /// They were enqueued.
    written: BTreeSet<String>,
    /// They may have been.
    may_be: BTreeSet<String>,
    taken: BTreeMap<String, u32>,
    /// Nobody knows who has them.
    unknown: BTreeSet<String>,
    gave_up: u32,
    is_over: bool,
}

/// A queue of either kind.
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

    async fn dequeue_timeout(&self, time: Duration) -> Result<Option<KeyValue>, RecipeError> {
        match self {
            Self::Fifo(queue) => queue.dequeue_timeout(time).await,
            Self::Ranked(queue) => queue.dequeue_timeout(time).await,
        }
    }
}

async fn write(world: World, line: Line, who: u32, log: Arc<Mutex<Log>>) {
    for n in 0..ITEMS {
        world.sleep(Duration::from_millis(world.below(1_500))).await;
        let item = format!("{who}.{n}");
        let written = line.enqueue(item.clone(), u16::try_from(n % 3).unwrap()).await;
        let mut log = log.lock().unwrap();
        match written {
            Ok(()) => drop(log.written.insert(item)),
            Err(error) if error.outcome() == Outcome::Unknown => drop(log.may_be.insert(item)),
            Err(_) => {}
        }
    }
}

async fn read(world: World, line: Line, log: Arc<Mutex<Log>>) {
    loop {
        // Every now and then the future is dropped, wherever it is.
        let times = if world.below(4) == 0 { 1 + world.below(6) } else { u64::MAX };
        let times = u32::try_from(times).unwrap_or(u32::MAX);
        let taken = polled(times, line.dequeue_timeout(seconds(1))).await;
        let is_over = {
            let mut log = log.lock().unwrap();
            match taken {
                None => log.gave_up += 1,
                Some(Ok(Some(item))) => {
                    *log.taken.entry(item.value_str().unwrap().to_owned()).or_default() += 1;
                    continue;
                }
                Some(Err(RecipeError::ClaimUnknown(claim))) => {
                    log.unknown.insert(claim.item.value_str().unwrap().to_owned());
                }
                Some(Ok(None)) if log.is_over => return,
                Some(Ok(None) | Err(_)) => {}
            }
            log.is_over
        };
        if !is_over {
            world.sleep(Duration::from_millis(world.below(300))).await;
        }
    }
}

/// Runs a world; what is known of its items in the end.
async fn world_of(world: World, ranked: bool) -> Log {
    let etcd = world.etcd(ClusterConfig::new(3, Personality::of(3, 5, 30), world.seed()));
    let hosts: Vec<Host> = (0..CLIENTS).map(|_| world.host()).collect();
    let log = Arc::new(Mutex::new(Log::default()));
    for (who, host) in (0..CLIENTS).zip(&hosts) {
        let config = Config::new(etcd.endpoints()).request_timeout(seconds(2));
        let client = host.client(config).unwrap();
        let line = || {
            if ranked {
                Line::Ranked(PriorityQueue::new(&client, "q"))
            } else {
                Line::Fifo(Queue::new(&client, "q"))
            }
        };
        host.spawn(write(world.clone(), line(), who, Arc::clone(&log)));
        host.spawn(read(world.clone(), line(), Arc::clone(&log)));
    }
    let ids: Vec<_> = hosts.iter().map(Host::id).collect();
    let scope = Scope { clients: CLIENTS, members: 3, lasts: seconds(20) };
    etcd.suffer(&swarm(world.seed(), scope), &ids).await;
    etcd.recover(&ids);
    // Whatever is under way comes to its end; then everything is read.
    world.sleep(seconds(60)).await;
    log.lock().unwrap().is_over = true;
    world.sleep(seconds(30)).await;
    std::mem::take(&mut *log.lock().unwrap())
}

// I-S8, case 23; X43, X44
#[test]
fn no_item_is_taken_twice_and_none_is_lost() {
    let (mut gave_up, mut unknown, mut taken) = (0, 0, 0);
    for seed in 0..SEEDS {
        let (log, _) = run(seed, move |world| world_of(world, seed % 2 == 1)).unwrap();
        let twice: Vec<_> = log.taken.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "seed {seed}: taken twice: {twice:?}");
        for item in &log.written {
            let is_known = log.taken.contains_key(item) || log.unknown.contains(item);
            assert!(is_known, "seed {seed}: {item} is lost: {log:?}");
        }
        for item in log.taken.keys() {
            let was_written = log.written.contains(item) || log.may_be.contains(item);
            assert!(was_written, "seed {seed}: {item} was never enqueued");
        }
        gave_up += log.gave_up;
        unknown += log.unknown.len();
        taken += log.taken.len();
    }
    println!("{taken} taken, {unknown} unknown, given up {gave_up} times");
    assert!(gave_up > 0 && taken > 0);
}
