//! What is given up right before its client is closed: its keys are gone when that is closed.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod auth_support;
mod lease_support;
mod mutex_support;
mod queues_support;

use etcd3::recipes::{DoubleBarrier, Election, LeaderLatch, Mutex, Queue, RwLock, Semaphore};
use etcd3::{LossReason, Session, prefix};
use etcd3_sim::{Etcd, World, run};
use futures_lite::future::or;
use lease_support::{Scene, scene, seconds};
use mutex_support::polled;
use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// More than any of these futures is polled.
const POLLS: usize = 30;

type Held = Box<dyn Any>;
type Holding = Pin<Box<dyn Future<Output = Held>>>;

/// Names what can be held, and begins to hold it.
const KINDS: [&str; 9] = [
    "a mutex",
    "a tried mutex",
    "a leadership",
    "a latch",
    "a permit",
    "a lock to read",
    "a lock to write",
    "a double barrier",
    "a lease",
];

fn hold(kind: &str, session: &Session) -> Holding {
    let session = session.clone();
    let name = "held";
    match kind {
        "a mutex" => Box::pin(async move { held(Mutex::new(&session, name).lock().await) }),
        "a tried mutex" => {
            Box::pin(async move { held(Mutex::new(&session, name).try_lock().await) })
        }
        "a leadership" => {
            Box::pin(async move { held(Election::new(&session, name).campaign("us").await) })
        }
        "a latch" => Box::pin(async move {
            let latch = LeaderLatch::new(&session, name, "us");
            let client = session.client().clone();
            held(latch.run(|_| async move { client.get("key").await.unwrap() }).await)
        }),
        "a permit" => {
            Box::pin(async move { held(Semaphore::new(&session, name, 1).acquire().await) })
        }
        "a lock to read" => Box::pin(async move { held(RwLock::new(&session, name).read().await) }),
        "a lock to write" => {
            Box::pin(async move { held(RwLock::new(&session, name).write().await) })
        }
        "a double barrier" => {
            Box::pin(async move { held(DoubleBarrier::new(&session, name, 1).enter().await) })
        }
        _ => Box::pin(async move {
            let client = session.client().clone();
            let lease = client.lease(seconds(60)).await.unwrap().revoke_on_drop();
            client.put("held/lease", "").lease(lease.id()).await.unwrap();
            Box::new(lease) as Held
        }),
    }
}

fn held<T: 'static, E: std::fmt::Debug>(result: Result<T, E>) -> Held {
    Box::new(result.unwrap())
}

/// Closes the client, and returns how long that took; nothing happens to the store later.
async fn close(world: &World, scene: &Scene) -> Duration {
    let before = world.now();
    scene.client.close().await;
    let took = world.now().saturating_since(before);
    assert_eq!(scene.host.tasks(), 0);
    nothing_changes_later(world, &scene.etcd).await;
    took
}

async fn nothing_changes_later(world: &World, etcd: &Etcd) {
    let changes = etcd.changes().len();
    world.sleep(seconds(1)).await;
    assert_eq!(etcd.changes().len(), changes, "something came later");
}

/// Returns the keys that are there, but for those that a double barrier leaves behind.
async fn keys(scene: &Scene) -> Vec<String> {
    let found = scene.observer.get(prefix("held")).await.unwrap();
    let keys = found.kvs.iter().map(|pair| pair.key_str().unwrap().to_owned());
    keys.filter(|key| key != "held/ready").collect()
}

// I-S5
#[test]
fn what_is_dropped_before_the_close_is_given_up_by_its_end() {
    for kind in KINDS.into_iter().filter(|kind| *kind != "a latch") {
        for keeps_session in [false, true] {
            run(1, move |world| async move {
                let scene = scene(&world).await;
                let session = scene.client.session(seconds(60)).await.unwrap();
                let held = hold(kind, &session).await;
                assert_eq!(keys(&scene).await.len(), 1, "{kind}");
                let _kept = keeps_session.then(|| session.clone());
                drop(held);
                drop(session);
                let took = close(&world, &scene).await;
                assert!(took < seconds(1), "{kind}: {took:?}");
                assert_eq!(keys(&scene).await, [""; 0], "{kind}");
            })
            .unwrap();
        }
    }
}

/// How long after a drop the client is closed: before or after what was begun has left.
const PAUSES: [Duration; 2] = [Duration::ZERO, Duration::from_micros(300)];

/// Drops what is about to be held after so many polls, and closes the client; returns whether it
/// was held, or over, before, or waits for somebody else.
fn dropped_after(kind: &'static str, polls: usize, pause: Duration, is_free: bool) -> bool {
    run(3, move |world| async move {
        let scene = scene(&world).await;
        let session = scene.client.session(seconds(60)).await.unwrap();
        let theirs = scene.observer.session(seconds(60)).await.unwrap();
        let _others = if is_free { None } else { Some(hold(kind, &theirs).await) };
        let before = keys(&scene).await;
        let waits = async {
            world.sleep(seconds(2)).await;
            true
        };
        let is_over = async { polled(hold(kind, &session), polls).await.is_some() };
        let is_over = or(is_over, waits).await;
        world.sleep(pause).await;
        let took = close(&world, &scene).await;
        assert!(took < seconds(1), "{kind}, {polls}: {took:?}");
        assert_eq!(keys(&scene).await, before, "{kind}, {polls}");
        is_over
    })
    .unwrap()
    .0
}

// I-S5
#[test]
fn what_is_cancelled_before_the_close_is_given_up_by_its_end() {
    for kind in KINDS.into_iter().filter(|kind| !matches!(*kind, "a lease")) {
        for pause in PAUSES {
            // One more participant than there may be fails.
            let others: &[bool] = if kind == "a double barrier" { &[true] } else { &[true, false] };
            for &is_free in others {
                let ends = (0..POLLS).find(|polls| dropped_after(kind, *polls, pause, is_free));
                assert!(ends.is_some_and(|ends| ends > 0), "{kind}: {ends:?}");
            }
        }
    }
}

// An item is with its reader, or in the queue.
#[test]
fn an_item_that_was_being_taken_is_there_after_the_close() {
    for (pause, keeps_reader) in PAUSES.into_iter().flat_map(|it| [(it, false), (it, true)]) {
        let ends = (0..POLLS).find(|polls| {
            let polls = *polls;
            run(1, move |world| async move {
                let scene = scene(&world).await;
                let queue = Queue::new(&scene.client, "q");
                queue.enqueue("item").await.unwrap();
                let taken = polled(queue.dequeue(), polls).await;
                world.sleep(pause).await;
                let _kept = keeps_reader.then_some(queue);
                let took = close(&world, &scene).await;
                assert!(took < Duration::from_millis(500), "{polls}: {took:?}");
                let there = queues_support::values(&scene, "q/").await;
                let taken: Vec<_> = taken.into_iter().map(|it| it.unwrap().value).collect();
                assert_eq!(there.len() + taken.len(), 1, "{polls}: {there:?}, {taken:?}");
                !taken.is_empty()
            })
            .unwrap()
            .0
        });
        assert!(ends.is_some_and(|ends| ends > 1), "{ends:?}");
    }
}

// What is deleted may need another token than the last one.
#[test]
fn a_client_logs_in_once_more_to_give_up_what_it_held() {
    run(1, |world| async move {
        let etcd = auth_support::cluster(&world, (3, 5, 30), seconds(2));
        auth_support::guard(&world, &etcd).await;
        let client = auth_support::client(&world, &etcd, "app", auth_support::PASSWORD);
        let session = client.session(seconds(60)).await.unwrap();
        let guard = Mutex::new(&session, "a").lock().await.unwrap();
        let key = guard.key().clone();
        world.sleep(seconds(5)).await;
        let before = auth_support::logins(&etcd);
        drop(guard);
        client.close().await;
        assert_eq!(auth_support::logins(&etcd), before + 1);
        let observer = auth_support::client(&world, &etcd, "root", auth_support::PASSWORD);
        assert_eq!(observer.get(key).await.unwrap().count, 0);
    })
    .unwrap();
}

// What is held until its client is closed is lost, and stays for as long as the lease.
#[test]
fn what_is_held_at_the_close_stays() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let session = scene.client.session(seconds(60)).await.unwrap();
        let guard = Mutex::new(&session, "held").lock().await.unwrap();
        close(&world, &scene).await;
        assert_eq!(session.lost().await.reason, LossReason::Closed);
        drop(guard);
        world.sleep(seconds(1)).await;
        assert_eq!(keys(&scene).await.len(), 1);
        assert_eq!(scene.host.tasks(), 0);
    })
    .unwrap();
}
