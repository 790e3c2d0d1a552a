//! Contenders for one lock in worlds full of faults: one holds at a time, everybody is served once
//! all is well again, and nothing is left.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod mutex_support;

use etcd3::recipes::{Mutex, MutexGuard};
use etcd3::{Client, Config, Session, prefix, put};
use etcd3_sim::faults::{Scope, swarm};
use etcd3_sim::{ClusterConfig, Etcd, Host, Personality, World, run};
use mutex_support::{polled, watchers};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex as StdMutex};
use std::time::Duration;

const SEEDS: u64 = if cfg!(debug_assertions) { 8 } else { 1_000 };
const SECOND: Duration = Duration::from_secs(1);

/// What the contenders of a world share.
#[derive(Default)]
struct Shared {
    /// The holders of the lock, as far as each of them knows.
    holders: StdMutex<Vec<Arc<MutexGuard>>>,
    held: AtomicU32,
    fenced: AtomicU32,
    is_over: AtomicBool,
    /// What must not be; a task of a client may panic without ending the world.
    wrong: StdMutex<Vec<String>>,
}

impl Shared {
    /// Notes a holder; no other one may believe that it is one.
    // I-S1, case 20
    fn enter(&self, guard: &Arc<MutexGuard>) {
        let mut holders = self.holders.lock().unwrap();
        let others: Vec<_> = holders.iter().filter(|it| it.is_valid()).collect();
        if !others.is_empty() {
            let wrong = format!("{guard:?} holds it beside {others:?}");
            self.wrong.lock().unwrap().push(wrong);
        }
        holders.clear();
        holders.push(Arc::clone(guard));
        drop(holders);
        self.held.fetch_add(1, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// Holds the lock for a while, and gives it back in one way or another.
async fn hold(world: &World, client: &Client, shared: &Shared, guard: MutexGuard) {
    let guard = Arc::new(guard);
    shared.enter(&guard);
    // Now and then for longer than the lease lives without renewals.
    let most = if world.below(4) == 0 { 8_000 } else { 300 };
    world.sleep(Duration::from_millis(world.below(most))).await;
    let revision = guard.create_revision().to_string();
    let write = client.txn().when([guard.fence()]).then([put("fenced", revision)]);
    if write.await.is_ok_and(|done| done.succeeded) {
        shared.fenced.fetch_add(1, Ordering::Relaxed);
    }
    if world.below(3) > 0 {
        // What it says is a matter of other tests.
        let _ = guard.unlock().await;
    }
    shared.holders.lock().unwrap().retain(|it| !Arc::ptr_eq(it, &guard));
}

/// Contends until the world is over, in the name of one session after the other.
async fn contend(world: World, client: Client, shared: Arc<Shared>) {
    while !shared.is_over() {
        let Ok(session) = client.session(Duration::from_secs(3 + world.below(5))).await else {
            world.sleep(SECOND / 2).await;
            continue;
        };
        let mutex = Mutex::new(&session, "lock");
        while session.is_valid() && !shared.is_over() {
            let guard = match world.below(4) {
                0 => mutex.try_lock().await.ok().flatten(),
                1 => polled(mutex.lock(), 1 + usize::try_from(world.below(8)).unwrap())
                    .await
                    .and_then(Result::ok),
                2 => mutex.lock_timeout(SECOND * 2).await.ok().flatten(),
                _ => mutex.lock().await.ok(),
            };
            match guard {
                Some(guard) => hold(&world, &client, &shared, guard).await,
                None => world.sleep(Duration::from_millis(world.below(300))).await,
            }
        }
        if world.below(2) == 0 {
            let _ = session.close().await;
        }
    }
}

/// Sees that all get the lock once nothing goes wrong any more.
async fn all_are_served(world: &World, clients: &[Client]) -> Vec<Session> {
    let mut sessions = Vec::new();
    for client in clients {
        let begun = world.now();
        let session = client.session(SECOND * 20).await.unwrap();
        let guard = Mutex::new(&session, "lock").lock_timeout(SECOND * 40).await.unwrap();
        assert!(guard.is_some(), "not within {:?}", world.now().saturating_since(begun));
        let guard = guard.unwrap();
        // A connection that broke during the faults may be noticed only now.
        while guard.unlock().await.is_err() {}
        sessions.push(session);
    }
    sessions
}

async fn nothing_is_left(world: &World, etcd: &Etcd, client: &Client, sessions: &[Session]) {
    for session in sessions {
        session.close().await.unwrap();
    }
    // Sessions that were dropped have their leases for a while.
    world.sleep(SECOND * 15).await;
    assert_eq!(client.get(prefix("lock/")).await.unwrap().count, 0);
    assert!(client.leases().await.unwrap().leases.is_empty());
    assert_eq!(watchers(etcd), 0);
}

// I-S1, I-S3, I-S5
#[test]
fn a_lock_holds_in_every_world() {
    let (mut held, mut fenced) = (0, 0);
    for seed in 0..SEEDS {
        let (counts, _) = run(seed, |world| async move {
            let etcd = world.etcd(ClusterConfig::new(3, Personality::of(3, 5, 30), seed));
            let count = 2 + u32::try_from(world.below(4)).unwrap();
            let hosts: Vec<Host> = (0..count).map(|_| world.host()).collect();
            let config = || Config::new(etcd.endpoints());
            let clients: Vec<Client> =
                hosts.iter().map(|it| it.client(config()).unwrap()).collect();
            let shared = Arc::<Shared>::default();
            for client in &clients {
                client.spawn(contend(world.clone(), client.clone(), Arc::clone(&shared)));
            }
            let ids: Vec<_> = hosts.iter().map(Host::id).collect();
            let scope = Scope { clients: count, members: 3, lasts: SECOND * 20 };
            etcd.suffer(&swarm(seed, scope), &ids).await;
            etcd.recover(&ids);
            world.sleep(SECOND * 10).await;
            shared.is_over.store(true, Ordering::Relaxed);
            world.sleep(SECOND * 10).await;
            let sessions = all_are_served(&world, &clients).await;
            nothing_is_left(&world, &etcd, &clients[0], &sessions).await;
            assert_eq!(*shared.wrong.lock().unwrap(), [""; 0]);
            (shared.held.load(Ordering::Relaxed), shared.fenced.load(Ordering::Relaxed))
        })
        .unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        held += counts.0;
        fenced += counts.1;
    }
    assert!(u64::from(fenced) > SEEDS * 3 && held >= fenced, "{held} held, {fenced} wrote");
}
