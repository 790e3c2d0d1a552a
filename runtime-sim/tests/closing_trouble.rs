//! A client that is closed while there is trouble with what is to be given up before.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod election_support;
mod lease_support;

use election_support::{cut, reason};
use etcd3::recipes::{Mutex, MutexGuard};
use etcd3::{Client, ErrorKind, LossReason, Session, StreamEvent, prefix};
use etcd3_core::method;
use etcd3_sim::{Link, Reachability, World, run};
use futures_lite::future::{poll_once, zip};
use lease_support::{Scene, scene, seconds};
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const BOUND: Duration = seconds(5);

/// Locks a mutex of this client.
async fn locked(client: &Client) -> (Session, MutexGuard) {
    let session = client.session(seconds(60)).await.unwrap();
    let guard = Mutex::new(&session, "lock").lock().await.unwrap();
    (session, guard)
}

async fn keys(scene: &Scene) -> i64 {
    scene.observer.get(prefix("lock")).count_only().await.unwrap().count.try_into().unwrap()
}

async fn close(world: &World, client: &Client) -> Duration {
    let before = world.now();
    client.close().await;
    world.now().saturating_since(before)
}

// The documented bound, to the nanosecond.
#[test]
fn a_close_waits_for_an_answer_that_does_not_come_for_as_long_as_it_says() {
    for stalled in [false, true] {
        run(1, move |world| async move {
            let scene = scene(&world).await;
            let (_session, guard) = locked(&scene.client).await;
            if stalled {
                scene.set_links(&world, Link { stall_down: true, ..Link::default() });
            } else {
                scene.cut_off(&world, true);
            }
            drop(guard);
            assert_eq!(close(&world, &scene.client).await, BOUND);
            world.sleep(Duration::from_millis(1)).await;
            assert_eq!(scene.host.tasks(), 0);
            // The server has it deleted where its answer alone is missing.
            assert_eq!(keys(&scene).await, i64::from(!stalled));
        })
        .unwrap();
    }
}

#[test]
fn a_close_waits_for_nothing_where_no_endpoint_can_be_connected_to() {
    for reachability in [Reachability::Hang, Reachability::Refuse] {
        run(1, move |world| async move {
            let scene = scene(&world).await;
            let (_session, guard) = locked(&scene.client).await;
            scene.set_links(&world, Link { reachability, ..Link::default() });
            cut(&world, &scene);
            world.sleep(seconds(15)).await;
            drop(guard);
            let call = scene.client.for_cleanup();
            assert!(poll_once(pin!(call.get("key").send())).await.is_none());
            assert_eq!(close(&world, &scene.client).await, Duration::ZERO);
            assert_eq!(scene.host.tasks(), 0);
            assert!(call.get("key").await.unwrap_err().is_closed());
        })
        .unwrap();
    }
}

// It was connected when it was closed, and is not any more.
#[test]
fn a_close_waits_no_longer_when_the_connections_break() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let (_session, guard) = locked(&scene.client).await;
        scene.set_links(&world, Link { stall_up: true, ..Link::default() });
        drop(guard);
        let breaks = async {
            world.sleep(seconds(2)).await;
            let reachability = Reachability::Refuse;
            scene.set_links(&world, Link { reachability, ..Link::default() });
            cut(&world, &scene);
        };
        let took = zip(close(&world, &scene.client), breaks).await.0;
        assert!(took >= seconds(2) && took < seconds(3), "{took:?}");
        assert_eq!(scene.host.tasks(), 0);
    })
    .unwrap();
}

// A deletion that fails is made again, on the next connection.
#[test]
fn a_deletion_that_fails_while_the_client_is_closed_is_made_again() {
    for seed in 0..10 {
        run(seed, |world| async move {
            let scene = scene(&world).await;
            let (_session, guard) = locked(&scene.client).await;
            world.sleep(seconds(60)).await;
            scene.set_links(&world, Link { stall_down: true, ..Link::default() });
            drop(guard);
            let breaks = async {
                world.sleep(Duration::from_millis(200)).await;
                scene.set_links(&world, Link::default());
                cut(&world, &scene);
            };
            let took = zip(close(&world, &scene.client), breaks).await.0;
            assert!(took < seconds(2), "{took:?}");
            assert_eq!((keys(&scene).await, scene.host.tasks()), (0, 0));
        })
        .unwrap();
    }
}

// C23: nothing but the cleanup goes on, and that from the first moment.
#[test]
fn a_client_is_closed_for_its_users_while_it_waits() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let client = &scene.client;
        let (session, guard) = locked(client).await;
        let mut watch = client.watch("key").await.unwrap();
        let lease = client.lease(seconds(60)).await.unwrap();
        let mut raw = client.raw_stream(&method::WATCH);
        assert!(matches!(raw.next().await, Some(Ok(StreamEvent::Opened))));
        scene.set_links(&world, Link { stall_down: true, ..Link::default() });
        let mut called = pin!(client.put("key", "called").send());
        assert!(poll_once(called.as_mut()).await.is_none());
        let spawned = Arc::new(AtomicBool::new(false));
        let (its, told) = (client.clone(), Arc::clone(&spawned));
        client.spawn(async move {
            let error = its.get("key").await.unwrap_err();
            told.store(error.is_closed(), Ordering::Relaxed);
        });
        let read = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&read);
        client.spawn(async move {
            let error = raw.next().await.unwrap().unwrap_err();
            told.store(error.is_closed(), Ordering::Relaxed);
        });
        drop(guard);
        world.sleep(Duration::from_millis(100)).await;
        let mut closing = pin!(client.close());
        assert!(poll_once(closing.as_mut()).await.is_none());
        world.sleep(Duration::from_millis(1)).await;
        assert!(spawned.load(Ordering::Relaxed) && read.load(Ordering::Relaxed));

        let before = world.now();
        assert!(client.is_closed());
        assert_eq!(client.closed().await.kind(), ErrorKind::Closed);
        assert!(called.await.unwrap_err().is_closed());
        assert!(watch.next().await.unwrap().unwrap_err().is_closed());
        assert!(client.get("key").await.unwrap_err().is_closed());
        assert!(client.watch("key").from_revision(1).await.unwrap_err().is_closed());
        assert!(client.lease(seconds(60)).await.unwrap_err().is_closed());
        assert!(client.keep_alive(session.id()).await.unwrap_err().is_closed());
        assert!(client.maintenance().snapshot().next().await.unwrap().unwrap_err().is_closed());
        assert_eq!(lease.lost().await.reason, LossReason::Closed);
        assert_eq!(session.lost().await.reason, LossReason::Closed);
        let error = Mutex::new(&session, "other").lock().await.unwrap_err();
        assert_eq!(reason(error), LossReason::Closed);
        assert_eq!(world.now(), before, "none of them waits");

        assert!(poll_once(closing.as_mut()).await.is_none());
        scene.set_links(&world, Link::default());
        closing.await;
        assert!(world.now() < before + seconds(1));
        assert_eq!((keys(&scene).await, scene.host.tasks()), (0, 0));
    })
    .unwrap();
}

#[test]
fn closes_wait_together_and_one_that_is_dropped_only_stops_waiting() {
    for heals in [false, true] {
        run(1, move |world| async move {
            let scene = scene(&world).await;
            let (_session, guard) = locked(&scene.client).await;
            scene.cut_off(&world, true);
            drop(guard);
            let before = world.now();
            assert!(poll_once(pin!(scene.client.close())).await.is_none());
            world.sleep(seconds(1)).await;
            assert!(scene.host.tasks() > 0, "the cleanup goes on");
            let clone = scene.client.clone();
            let script = async {
                world.sleep(seconds(1)).await;
                if heals {
                    scene.cut_off(&world, false);
                }
            };
            zip(zip(scene.client.close(), clone.close()), script).await;
            let took = world.now().saturating_since(before);
            if heals {
                assert!(took >= seconds(2) && took < seconds(3), "{took:?}");
            } else {
                assert_eq!(took, BOUND, "the bound is that of the first");
            }
            assert_eq!(keys(&scene).await, i64::from(!heals));
            assert_eq!(close(&world, &scene.client).await, Duration::ZERO);
            assert_eq!(scene.host.tasks(), 0);
        })
        .unwrap();
    }
}

// Nobody waits for the end, and it comes.
#[test]
fn a_client_whose_close_is_dropped_is_over_in_time() {
    for heals in [false, true] {
        run(1, move |world| async move {
            let scene = scene(&world).await;
            let (session, guard) = locked(&scene.client).await;
            scene.cut_off(&world, true);
            drop(guard);
            drop(session);
            assert!(poll_once(pin!(scene.client.close())).await.is_none());
            world.sleep(Duration::from_millis(4_999)).await;
            assert!(scene.host.tasks() > 0);
            if heals {
                scene.cut_off(&world, false);
            }
            world.sleep(Duration::from_millis(2)).await;
            assert_eq!(scene.host.tasks(), 0);
        })
        .unwrap();
    }
}

// Each of them waits for itself, and not for ever.
#[test]
fn a_task_may_close_its_client() {
    for is_cleanup in [false, true] {
        run(1, move |world| async move {
            let scene = scene(&world).await;
            let (_session, guard) = locked(&scene.client).await;
            drop(guard);
            let client = if is_cleanup { scene.client.for_cleanup() } else { scene.client.clone() };
            let is_over = Arc::new(AtomicBool::new(false));
            let (its, over) = (client.clone(), Arc::clone(&is_over));
            client.spawn(async move {
                its.close().await;
                over.store(true, Ordering::Relaxed);
            });
            world.sleep(BOUND + Duration::from_millis(1)).await;
            assert!(is_over.load(Ordering::Relaxed));
            assert_eq!((keys(&scene).await, scene.host.tasks()), (0, 0));
        })
        .unwrap();
    }
}

// What a program does for cleanup is waited for, whatever becomes of it.
#[test]
fn the_cleanup_of_a_program_is_waited_for() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let client = scene.client.for_cleanup();
        client.clone().spawn(async move {
            for n in 0..100 {
                client.put(format!("cleanup/{n}"), "").await.unwrap();
            }
            assert!(client.watch("key").await.unwrap_err().is_closed());
            assert!(client.is_closed());
            client.put("cleanup/last", "").await.unwrap();
        });
        scene.client.close().await;
        assert_eq!(scene.host.tasks(), 0);
        assert!(scene.exists("cleanup/last").await);
        let late = scene.client.for_cleanup();
        assert!(late.put("cleanup/late", "").await.unwrap_err().is_closed());
    })
    .unwrap();
    run(1, |world| async move {
        let scene = scene(&world).await;
        scene.client.for_cleanup().spawn(pending());
        assert_eq!(close(&world, &scene.client).await, BOUND);
    })
    .unwrap();
}
