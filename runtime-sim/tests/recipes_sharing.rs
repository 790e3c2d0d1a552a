//! Locks of readers and writers, and semaphores: who holds, in which order, and who hears of it.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod lease_support;
mod queues_support;

use etcd3::recipes::{RecipeError, RwLock, RwLockGuard, Semaphore};
use etcd3::{Config, LossReason, Session, put};
use etcd3_sim::{World, run};
use futures_lite::future::{or, zip};
use lease_support::{Scene, scene, seconds};
use queues_support::{pairs, polled};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Held<T> = Pin<Box<dyn Future<Output = Result<T, RecipeError>> + Send>>;

/// Waits for a future for so long; its output if it was ready.
async fn ready<T>(world: &World, time: Duration, future: impl Future<Output = T>) -> Option<T> {
    or(async { Some(future.await) }, async {
        world.sleep(time).await;
        None
    })
    .await
}

fn read(lock: &RwLock) -> Held<RwLockGuard> {
    let lock = lock.clone();
    Box::pin(async move { lock.read().await })
}

fn write(lock: &RwLock) -> Held<RwLockGuard> {
    let lock = lock.clone();
    Box::pin(async move { lock.write().await })
}

async fn session(world: &World, scene: &Scene) -> (etcd3_sim::Host, Session) {
    let host = world.host();
    let client = host.client(Config::new(scene.etcd.endpoints())).unwrap();
    let session = client.session(seconds(5)).await.unwrap();
    (host, session)
}

// X45, REC-013: readers together, a writer alone, and in the order in which they came.
#[test]
fn readers_share_and_a_writer_is_alone() {
    run(1, |world| async move {
        let (scene, second) = (scene(&world).await, seconds(1));
        let (_, ours) = session(&world, &scene).await;
        let lock = RwLock::new(&ours, "l");
        let (one, two) = (lock.read().await.unwrap(), lock.read().await.unwrap());
        let mut writer = write(&lock);
        assert!(ready(&world, second, &mut writer).await.is_none());
        // A reader behind the writer waits for it.
        let mut reader = read(&lock);
        assert!(ready(&world, second, &mut reader).await.is_none());
        assert!(lock.try_read().await.unwrap().is_none());
        assert!(lock.try_write().await.unwrap().is_none());
        assert!(lock.write_timeout(second).await.unwrap().is_none());
        world.sleep(second).await;
        assert_eq!(pairs(&scene, "l/").await.len(), 4, "nothing of those who gave up");

        one.unlock().await.unwrap();
        assert!(ready(&world, second, &mut writer).await.is_none());
        drop(two);
        let writer = writer.await.unwrap();
        assert!(writer.key().starts_with(b"l/write/"));
        assert!(ready(&world, second, &mut reader).await.is_none());
        assert!(writer.unlock().await.is_ok() && !writer.is_valid());
        assert!(writer.unlock().await.is_ok(), "done before");
        let reader = reader.await.unwrap();
        assert!(lock.try_read().await.unwrap().is_some());
        reader.unlock().await.unwrap();
        world.sleep(second).await;
        assert!(lock.try_write().await.unwrap().is_some());
    })
    .unwrap();
}

// X45: those of Go contend, too; the last write of a key is what counts for it, which is its first.
#[test]
fn keys_of_go_are_waited_for() {
    run(1, |world| async move {
        let (scene, second) = (scene(&world).await, seconds(1));
        let (_, ours) = session(&world, &scene).await;
        let lock = RwLock::new(&ours, "l");
        scene.observer.put("l/read/1700000000000000000", "").await.unwrap();
        let reader = lock.read().await.unwrap();
        let mut writer = write(&lock);
        assert!(ready(&world, second, &mut writer).await.is_none());
        scene.observer.put("l/write/1700000000000000001", "").await.unwrap();
        reader.unlock().await.unwrap();
        assert!(ready(&world, second, &mut writer).await.is_none());
        scene.observer.delete("l/read/1700000000000000000").await.unwrap();
        writer.await.unwrap().unlock().await.unwrap();
        let mut reader = read(&lock);
        assert!(ready(&world, second, &mut reader).await.is_none());
        scene.observer.delete("l/write/1700000000000000001").await.unwrap();
        assert!(reader.await.unwrap().is_valid());
    })
    .unwrap();
}

// X45, I-S2, etcd#16221: a waiter whose session expired does not believe that it holds the lock.
#[test]
fn a_waiter_that_expired_never_holds() {
    for is_semaphore in [false, true] {
        for millis in (4_000..12_000).step_by(500) {
            run(millis, move |world| async move {
                let scene = scene(&world).await;
                let (_, theirs) = session(&world, &scene).await;
                let ours = scene.client.session(seconds(5)).await.unwrap();
                let (lock, semaphore) =
                    (RwLock::new(&theirs, "l"), Semaphore::new(&theirs, "s", 1));
                let (held, permit) =
                    (lock.write().await.unwrap(), semaphore.acquire().await.unwrap());
                let waits = async {
                    let held = if is_semaphore {
                        let permit = Semaphore::new(&ours, "s", 1).acquire().await;
                        permit.map(|permit| permit.is_valid())
                    } else {
                        let held = RwLock::new(&ours, "l").read().await;
                        held.map(|held| held.is_valid())
                    };
                    (held, world.now())
                };
                let script = async {
                    world.sleep(seconds(1)).await;
                    scene.cut_off(&world, true);
                    world.sleep(Duration::from_millis(millis)).await;
                    scene.cut_off(&world, false);
                    let (one, two) = zip(held.unlock(), permit.release()).await;
                    one.unwrap();
                    two.unwrap();
                    world.now()
                };
                let ((held, _), _) = zip(waits, script).await;
                match &held {
                    // Only if it was not over.
                    Ok(is_valid) => assert!(*is_valid && ours.is_valid()),
                    Err(error) => assert!(error.is_session_lost(), "{error}"),
                }
                assert_eq!(held.is_ok(), ours.is_valid());
            })
            .unwrap();
        }
    }
}

// I-S2
#[test]
fn a_waiter_hears_within_one_round_trip() {
    run(1, |world| async move {
        let (scene, second) = (scene(&world).await, seconds(1));
        let (_, theirs) = session(&world, &scene).await;
        let (_, ours) = session(&world, &scene).await;
        let held = RwLock::new(&theirs, "l").write().await.unwrap();
        let lock = RwLock::new(&ours, "l");
        let mut waits = read(&lock);
        assert!(ready(&world, second, &mut waits).await.is_none());
        scene.observer.delete(etcd3::prefix("l/read/")).await.unwrap();
        let told = ready(&world, second, &mut waits).await.unwrap();
        assert!(matches!(told, Err(RecipeError::KeyDeleted(_))));

        let mut waits = read(&lock);
        assert!(ready(&world, second, &mut waits).await.is_none());
        scene.observer.revoke(ours.id()).await.unwrap();
        let Some(Err(RecipeError::SessionLost(lost))) = ready(&world, second, &mut waits).await
        else {
            panic!("it hears nothing");
        };
        assert_eq!(lost.reason, LossReason::Expired);
        assert!(held.is_valid());
        let lost = held.lost();
        scene.observer.delete(held.key()).await.unwrap();
        assert!(matches!(ready(&world, second, lost).await, Some(RecipeError::KeyDeleted(_))));
        assert!(!held.is_valid());
        let fenced = scene.observer.txn().when([held.fence()]).then([put("x", "")]).await;
        assert!(!fenced.unwrap().succeeded);
    })
    .unwrap();
}

// I-S3
#[test]
fn waiting_survives_compaction_and_lost_watches() {
    for seed in 0..3 {
        run(seed, |world| async move {
            let (scene, second) = (scene(&world).await, seconds(1));
            let (_, theirs) = session(&world, &scene).await;
            let ours = scene.client.session(seconds(60)).await.unwrap();
            let held = RwLock::new(&theirs, "l").read().await.unwrap();
            let permit = Semaphore::new(&theirs, "s", 1).acquire().await.unwrap();
            let (lock, semaphore) = (RwLock::new(&ours, "l"), Semaphore::new(&ours, "s", 1));
            let mut waits = pin!(zip(lock.write(), semaphore.acquire()));
            assert!(ready(&world, second, waits.as_mut()).await.is_none());
            scene.cut_off(&world, true);
            for _ in 0..10 {
                scene.observer.put("noise", "").await.unwrap();
            }
            scene.etcd.compact(0);
            world.sleep(seconds(20)).await;
            scene.cut_off(&world, false);
            assert!(ready(&world, second, waits.as_mut()).await.is_none(), "no release");
            scene.cut_off(&world, true);
            held.unlock().await.unwrap();
            permit.release().await.unwrap();
            scene.etcd.compact(0);
            world.sleep(seconds(20)).await;
            scene.cut_off(&world, false);
            let (one, two) = waits.await;
            assert!(one.unwrap().is_valid() && two.unwrap().is_valid());
        })
        .unwrap();
    }
}

// The semaphore is fair: permits are given in the order in which they were asked for.
#[test]
fn permits_are_given_in_order_and_never_too_many() {
    for seed in 0..4 {
        run(seed, |world| async move {
            let scene = scene(&world).await;
            let state = Arc::new(Mutex::new((0, Vec::new())));
            let mut hosts = Vec::new();
            for worker in 0..6 {
                let (host, session) = session(&world, &scene).await;
                let (seen, its, etcd) = (Arc::clone(&state), world.clone(), scene.etcd.clone());
                host.spawn(async move {
                    let semaphore = Semaphore::new(&session, "s", 2);
                    let permit = semaphore.acquire().await.unwrap();
                    let held = {
                        let mut seen = seen.lock().unwrap();
                        seen.0 += 1;
                        seen.1.push(worker);
                        seen.0
                    };
                    assert!(held <= 2);
                    // None of those who came before it waits.
                    let mut there = Vec::new();
                    for change in etcd.changes() {
                        there.retain(|key| *key != change.key);
                        there.extend(change.value.map(|_| change.key));
                    }
                    there.retain(|key| key.starts_with("s/"));
                    let place = there.iter().position(|key| permit.key() == key.as_bytes());
                    assert!(place.is_some_and(|place| place < 2), "{place:?}");
                    its.sleep(Duration::from_millis(its.below(1000))).await;
                    seen.lock().unwrap().0 -= 1;
                    if worker % 2 == 0 {
                        drop(permit);
                    } else {
                        permit.release().await.unwrap();
                    }
                    its.sleep(seconds(1)).await;
                });
                hosts.push(host);
                // One after the other.
                while pairs(&scene, "s/").await.len() + state.lock().unwrap().1.len() < worker + 1 {
                    world.sleep(Duration::from_millis(1)).await;
                }
                world.sleep(Duration::from_millis(20)).await;
            }
            world.sleep(seconds(20)).await;
            state.lock().unwrap().1.sort_unstable();
            assert_eq!(state.lock().unwrap().1, [0, 1, 2, 3, 4, 5]);
            assert_eq!(pairs(&scene, "s/").await, []);
        })
        .unwrap();
    }
}

#[test]
fn a_permit_that_is_tried_for_leaves_no_key() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let (_, ours) = session(&world, &scene).await;
        let semaphore = Semaphore::new(&ours, "s", 2);
        let (one, two) = zip(semaphore.try_acquire(), semaphore.try_acquire()).await;
        let held: Vec<_> = [one.unwrap(), two.unwrap()].into_iter().flatten().collect();
        assert!(!held.is_empty());
        let last = semaphore.acquire_timeout(seconds(1)).await.unwrap();
        if held.len() == 2 {
            assert!(last.is_none() && semaphore.try_acquire().await.unwrap().is_none());
        }
        world.sleep(seconds(1)).await;
        assert_eq!(pairs(&scene, "s/").await.len(), 2);
        let revisions: Vec<_> = held.iter().map(etcd3::recipes::Permit::create_revision).collect();
        assert!(revisions.iter().all(|it| *it > 0));
        drop((held, last));
        world.sleep(seconds(1)).await;
        assert_eq!(pairs(&scene, "s/").await, []);
    })
    .unwrap();
}

// I-S5: given up at every await point, neither a key nor a place is left.
#[test]
fn what_is_given_up_leaves_no_key() {
    for is_semaphore in [false, true] {
        for times in 0..30 {
            run(3, move |world| async move {
                let scene = scene(&world).await;
                let (_, theirs) = session(&world, &scene).await;
                let ours = scene.client.session(seconds(5)).await.unwrap();
                let (lock, semaphore) = (RwLock::new(&ours, "l"), Semaphore::new(&ours, "l/x", 1));
                let before = RwLock::new(&theirs, "l").read().await.unwrap();
                let other = Semaphore::new(&theirs, "l/x", 1).acquire().await.unwrap();
                let gave_up = if is_semaphore {
                    polled(times, semaphore.acquire_timeout(seconds(2))).await.map(drop)
                } else {
                    polled(times, lock.write_timeout(seconds(2))).await.map(drop)
                };
                let _ = gave_up;
                world.sleep(seconds(1)).await;
                assert_eq!(pairs(&scene, "l/").await.len(), 2);
                before.unlock().await.unwrap();
                other.release().await.unwrap();
                world.sleep(seconds(1)).await;
                assert_eq!(pairs(&scene, "l/").await, []);
            })
            .unwrap();
        }
    }
}

// X45, case 18: what is stored below the name holds nobody up.
#[test]
fn a_writer_does_not_wait_for_what_is_stored_below_the_name() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let (_, ours) = session(&world, &scene).await;
        let lock = RwLock::new(&ours, "report");
        for _ in 0..2 {
            let writer = ready(&world, seconds(5), lock.write()).await.unwrap().unwrap();
            let write = put("report/text", "…");
            scene.client.txn().when([writer.fence()]).then([write]).await.unwrap();
            writer.unlock().await.unwrap();
        }
        let writer = lock.try_write().await.unwrap().unwrap();
        assert!(lock.try_write().await.unwrap().is_none());
        assert!(lock.try_read().await.unwrap().is_none());
        writer.unlock().await.unwrap();
        let reader = lock.read().await.unwrap();
        assert!(lock.try_write().await.unwrap().is_none());
        assert!(ready(&world, seconds(1), lock.write()).await.is_none());
        assert!(reader.is_valid());
    })
    .unwrap();
}

// Case 18: the same of permits.
#[test]
fn what_is_stored_below_a_semaphore_takes_no_permit() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let (_, ours) = session(&world, &scene).await;
        for n in 0..100 {
            scene.observer.put(format!("s/file-{n}"), "").await.unwrap();
        }
        let _other = Semaphore::new(&ours, "s/other", 1).acquire().await.unwrap();
        let semaphore = Semaphore::new(&ours, "s", 2);
        let one = ready(&world, seconds(5), semaphore.acquire()).await.unwrap().unwrap();
        let two = semaphore.try_acquire().await.unwrap().unwrap();
        assert!(semaphore.try_acquire().await.unwrap().is_none());
        let mut three = pin!(semaphore.acquire());
        assert!(ready(&world, seconds(1), three.as_mut()).await.is_none());
        scene.observer.delete("s/file-7").await.unwrap();
        assert!(ready(&world, seconds(1), three.as_mut()).await.is_none());
        one.release().await.unwrap();
        assert!(ready(&world, seconds(1), three).await.is_some());
        assert!(two.is_valid());
    })
    .unwrap();
}
