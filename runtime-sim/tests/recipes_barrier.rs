//! Barriers: who passes, who is refused, and what becomes of those who wait when others die.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod lease_support;
mod queues_support;

use etcd3::recipes::{Barrier, DoubleBarrier, RecipeError};
use etcd3::{Client, Config, LossReason, Outcome};
use etcd3_sim::{Direction, World, run};
use futures_lite::future::{or, poll_once, zip};
use lease_support::{Scene, scene, seconds};
use queues_support::{cut_after, pairs, polled};
use std::pin::pin;
use std::sync::{Arc, Mutex};

/// Waits for a future for so long; whether it was ready.
async fn is_ready<T>(world: &World, time: u64, future: impl Future<Output = T>) -> bool {
    or(
        async {
            future.await;
            true
        },
        async {
            world.sleep(seconds(time)).await;
            false
        },
    )
    .await
}

// X41, S-13, I-S3, REC-001
#[test]
fn a_barrier_holds_until_it_is_released_whatever_happens_meanwhile() {
    for seed in 0..4 {
        run(seed, |world| async move {
            let scene = scene(&world).await;
            let (barrier, ours) =
                (Barrier::new(&scene.observer, "b"), Barrier::new(&scene.client, "b"));
            barrier.hold().await.unwrap();
            let error = ours.hold().await.unwrap_err();
            assert!(matches!(&error, RecipeError::KeyExists(key) if key == "b"), "{error}");
            scene.observer.put("b/not", "").await.unwrap();
            let mut waits = pin!(ours.wait());
            assert!(!is_ready(&world, 5, waits.as_mut()).await);

            // The store moves on, and what the wait would see next is compacted away.
            scene.cut_off(&world, true);
            for n in 0..10 {
                scene.observer.put("x", n.to_string()).await.unwrap();
            }
            scene.observer.put("b", "other").await.unwrap();
            scene.etcd.compact(0);
            world.sleep(seconds(30)).await;
            scene.cut_off(&world, false);
            assert!(!is_ready(&world, 5, waits.as_mut()).await, "a lost watch is no release");
            assert!(!ours.wait_timeout(seconds(1)).await.unwrap());

            scene.cut_off(&world, true);
            assert!(barrier.release().await.unwrap());
            scene.observer.put("x", "").await.unwrap();
            scene.etcd.compact(0);
            world.sleep(seconds(30)).await;
            scene.cut_off(&world, false);
            waits.await.unwrap();
            assert!(!barrier.release().await.unwrap());
            assert!(ours.wait_timeout(seconds(1)).await.unwrap());
        })
        .unwrap();
    }
}

// REC-003: no key but its own is one.
#[test]
fn a_barrier_that_nobody_holds_lets_through_at_once() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        Barrier::new(&scene.client, "b-0").hold().await.unwrap();
        for _ in 0..5 {
            Barrier::new(&scene.client, "b").wait().await.unwrap();
        }
    })
    .unwrap();
}

#[test]
fn a_hold_whose_answer_is_lost_is_looked_for() {
    for direction in [Direction::Down, Direction::Up] {
        for bytes in (0..300).step_by(5) {
            run(bytes, move |world| async move {
                let scene = scene(&world).await;
                let barrier = Barrier::new(&scene.client, "b");
                cut_after(&world, &scene, direction, bytes);
                let held = barrier.hold().await;
                let is_there = scene.exists("b").await;
                match held {
                    Ok(()) => assert!(is_there),
                    Err(error) => {
                        assert!(!is_there, "{error}");
                        assert_ne!(error.outcome(), Outcome::Rejected, "{error}");
                    }
                }
            })
            .unwrap();
        }
    }
}

/// The others of a double barrier, each on a host of its own.
async fn participant(world: &World, scene: &Scene) -> (etcd3_sim::Host, Client, etcd3::Session) {
    let host = world.host();
    let client = host.client(Config::new(scene.etcd.endpoints())).unwrap();
    let session = client.session(seconds(5)).await.unwrap();
    (host, client, session)
}

// X42, REC-004, REC-005, S-12
#[test]
fn all_enter_together_one_more_is_refused_and_all_leave_together() {
    for seed in 0..5 {
        run(seed, |world| async move {
            let scene = scene(&world).await;
            let session = scene.client.session(seconds(5)).await.unwrap();
            let barrier = DoubleBarrier::new(&session, "d", 4);
            let mut three: Vec<_> = (0..3).map(|_| Box::pin(barrier.enter())).collect();
            for enters in &mut three {
                assert!(!is_ready(&world, 1, enters).await);
            }
            let last = barrier.enter().await.unwrap();
            let mut inside = Vec::new();
            for enters in three {
                inside.push(enters.await.unwrap());
            }
            // One more, also at the same time as another one.
            let both = zip(barrier.enter(), barrier.enter()).await;
            for refused in [both.0, both.1] {
                let error = refused.unwrap_err();
                assert!(matches!(error, RecipeError::TooManyClients(4)), "{error}");
            }
            assert_eq!(pairs(&scene, "d/waiters/").await.len(), 4);
            let mut leave: Vec<_> = inside.iter().map(|it| Box::pin(it.leave())).collect();
            for leaves in &mut leave {
                assert!(!is_ready(&world, 1, leaves).await);
            }
            last.leave().await.unwrap();
            for leaves in leave {
                leaves.await.unwrap();
            }
            assert_eq!(pairs(&scene, "d/").await, []);
        })
        .unwrap();
    }
}

// S-12: more than may, all at once.
#[test]
fn of_many_at_once_so_many_enter() {
    for seed in 0..10 {
        run(seed, |world| async move {
            let scene = scene(&world).await;
            let session = scene.client.session(seconds(5)).await.unwrap();
            let barrier = DoubleBarrier::new(&session, "d", 2);
            let two = || zip(barrier.enter(), barrier.enter());
            let (one, other) = zip(two(), two()).await;
            let all = [one.0, one.1, other.0, other.1];
            assert_eq!(all.iter().filter(|it| it.is_ok()).count(), 2, "{all:?}");
            assert_eq!(pairs(&scene, "d/waiters/").await.len(), 2);
        })
        .unwrap();
    }
}

// I-S8: the last one dies between its key and `ready`.
#[test]
fn a_participant_that_dies_between_two_steps_leaves_nobody_waiting() {
    let (mut between, mut before) = (0, 0);
    for micros in (0..30_000).step_by(500) {
        let (was_between, _) = run(micros, move |world| async move {
            let scene = scene(&world).await;
            let ours = scene.client.session(seconds(60)).await.unwrap();
            let barrier = DoubleBarrier::new(&ours, "d", 2);
            let mut enters = pin!(barrier.enter());
            assert!(!is_ready(&world, 1, enters.as_mut()).await);

            let (host, _client, theirs) = participant(&world, &scene).await;
            let dies = DoubleBarrier::new(&theirs, "d", 2);
            host.spawn(async move {
                let _inside = dies.enter().await;
                std::future::pending::<()>().await;
            });
            world.sleep(std::time::Duration::from_micros(micros)).await;
            host.crash();
            let written = |key: &str| {
                let changes = scene.etcd.changes();
                changes.iter().filter(|it| it.key.starts_with(key) && it.value.is_some()).count()
            };
            let was_ready = written("d/ready") > 0;
            // What it had sent arrives.
            world.sleep(seconds(1)).await;
            let had_entered = written("d/waiters/") == 2;
            if had_entered {
                // All were there at one moment.
                let inside = enters.await.unwrap();
                inside.leave().await.unwrap();
                assert_eq!(pairs(&scene, "d/").await, []);
            } else {
                assert!(!is_ready(&world, 10, enters.as_mut()).await);
                let (_host, _client, theirs) = participant(&world, &scene).await;
                let other = DoubleBarrier::new(&theirs, "d", 2);
                let (one, two) = zip(enters, other.enter()).await;
                let (one, two) = (one.unwrap(), two.unwrap());
                let (one, two) = zip(one.leave(), two.leave()).await;
                one.unwrap();
                two.unwrap();
            }
            (had_entered && !was_ready, !had_entered)
        })
        .unwrap();
        between += u32::from(was_between.0);
        before += u32::from(was_between.1);
    }
    assert!(between > 0 && before > 0, "{between} between, {before} before");
}

// X42: `ready` of a previous round, all of whose participants died.
#[test]
fn what_is_left_of_an_earlier_round_lets_nobody_in() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let (host, _client, theirs) = participant(&world, &scene).await;
        let first = DoubleBarrier::new(&theirs, "d", 2);
        let inside = zip(first.enter(), first.enter()).await;
        assert!(inside.0.is_ok() && inside.1.is_ok());
        host.crash();
        world.sleep(seconds(10)).await;
        assert_eq!(pairs(&scene, "d/").await, [("d/ready".into(), String::new())]);

        let ours = scene.client.session(seconds(60)).await.unwrap();
        let barrier = DoubleBarrier::new(&ours, "d", 2);
        let mut enters = pin!(barrier.enter());
        assert!(!is_ready(&world, 5, enters.as_mut()).await, "nobody else is there");
        let (one, two) = zip(enters, barrier.enter()).await;
        let (one, two) = (one.unwrap(), two.unwrap());
        // One dies inside: the other one leaves once its key is gone.
        drop(two);
        one.leave().await.unwrap();
        assert_eq!(pairs(&scene, "d/").await, []);
    })
    .unwrap();
}

// X42: whoever is first to have left enters the next round, while others still leave this one.
#[test]
fn rounds_follow_each_other_and_nobody_is_in_two_at_once() {
    for seed in 0..6 {
        run(seed, |world| async move {
            let scene = scene(&world).await;
            let log = Arc::new(Mutex::new(Vec::new()));
            let mut work = Vec::new();
            for worker in 0..3 {
                let (_, _, session) = participant(&world, &scene).await;
                let (log, world) = (Arc::clone(&log), world.clone());
                work.push(Box::pin(async move {
                    let barrier = DoubleBarrier::new(&session, "d", 3);
                    for round in 0..4 {
                        let inside = barrier.enter().await.unwrap();
                        log.lock().unwrap().push((round, worker));
                        let work = std::time::Duration::from_millis(world.below(300));
                        world.sleep(work).await;
                        inside.leave().await.unwrap();
                    }
                }));
            }
            let (mut left, end) = (work, world.now() + seconds(120));
            while !left.is_empty() {
                let mut open = Vec::new();
                for mut it in left {
                    if poll_once(&mut it).await.is_none() {
                        open.push(it);
                    }
                }
                left = open;
                world.sleep(std::time::Duration::from_millis(1)).await;
                assert!(world.now() < end, "somebody waits for ever");
            }
            let rounds: Vec<_> = log.lock().unwrap().iter().map(|it| it.0).collect();
            assert_eq!(rounds, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]);
        })
        .unwrap();
    }
}

// I-S2
#[test]
fn whoever_waits_hears_of_the_loss_of_its_session_and_key() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let session = scene.client.session(seconds(5)).await.unwrap();
        let barrier = DoubleBarrier::new(&session, "d", 2);
        let mut enters = pin!(barrier.enter());
        assert!(!is_ready(&world, 1, enters.as_mut()).await);
        scene.observer.delete(etcd3::prefix("d/waiters/")).await.unwrap();
        assert!(matches!(enters.await.unwrap_err(), RecipeError::KeyDeleted(_)));

        let mut enters = pin!(barrier.enter());
        assert!(!is_ready(&world, 1, enters.as_mut()).await);
        scene.observer.revoke(session.id()).await.unwrap();
        let begin = world.now();
        let error = enters.await.unwrap_err();
        assert!(
            matches!(&error, RecipeError::SessionLost(lost) if lost.reason == LossReason::Expired)
        );
        assert!(world.now().saturating_since(begin) < seconds(1));

        // One that is inside, and waits to leave.
        let session = scene.client.session(seconds(5)).await.unwrap();
        let barrier = DoubleBarrier::new(&session, "d", 2);
        let (one, _two) = zip(barrier.enter(), barrier.enter()).await;
        let one = one.unwrap();
        let lost = one.lost();
        let mut leaves = pin!(one.leave());
        assert!(!is_ready(&world, 1, leaves.as_mut()).await);
        scene.cut_off(&world, true);
        assert!(leaves.await.unwrap_err().is_session_lost());
        lost.await;
        assert!(!one.is_valid());
    })
    .unwrap();
}

// I-S5
#[test]
fn an_entry_that_is_given_up_leaves_no_key() {
    for times in 0..40 {
        run(3, move |world| async move {
            let scene = scene(&world).await;
            let session = scene.client.session(seconds(5)).await.unwrap();
            let barrier = DoubleBarrier::new(&session, "d", 2);
            assert!(
                polled(times, barrier.enter_timeout(seconds(2)))
                    .await
                    .is_none_or(|it| it.unwrap().is_none())
            );
            world.sleep(seconds(1)).await;
            assert_eq!(pairs(&scene, "d/").await, []);
            // And nobody is held up by it.
            let (one, two) = zip(barrier.enter(), barrier.enter()).await;
            let (one, two) = (one.unwrap(), two.unwrap());
            let (one, two) = zip(one.leave(), two.leave()).await;
            one.unwrap();
            two.unwrap();
        })
        .unwrap();
    }
}

// A compaction, and the loss of watches, while they wait.
#[test]
fn a_double_barrier_survives_compaction_and_lost_watches() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let session = scene.client.session(seconds(60)).await.unwrap();
        let barrier = DoubleBarrier::new(&session, "d", 2);
        let mut enters = pin!(barrier.enter());
        assert!(!is_ready(&world, 1, enters.as_mut()).await);
        scene.cut_off(&world, true);
        let (_host, _client, theirs) = participant(&world, &scene).await;
        let other = DoubleBarrier::new(&theirs, "d", 2);
        let other = other.enter().await.unwrap();
        for _ in 0..5 {
            scene.observer.put("noise", "").await.unwrap();
        }
        scene.etcd.compact(0);
        world.sleep(seconds(30)).await;
        scene.cut_off(&world, false);
        let ours = enters.await.unwrap();
        let (one, two) = zip(ours.leave(), other.leave()).await;
        one.unwrap();
        two.unwrap();
        assert_eq!(pairs(&scene, "d/").await, []);
    })
    .unwrap();
}

// X42: the next round has begun before the last one who leaves looks who is left.
#[test]
fn who_leaves_does_not_wait_for_the_next_round() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let ours = scene.client.session(seconds(60)).await.unwrap();
        let (_host, _client, theirs) = participant(&world, &scene).await;
        let (one, other) = (DoubleBarrier::new(&ours, "d", 2), DoubleBarrier::new(&theirs, "d", 2));
        let (slow, quick) = zip(one.enter(), other.enter()).await;
        let (slow, quick) = (slow.unwrap(), quick.unwrap());
        let script = async {
            quick.leave().await.unwrap();
            // The slow one has left, and does not know it yet.
            let mut next = pin!(other.enter());
            assert!(!is_ready(&world, 1, next.as_mut()).await);
            assert_eq!(pairs(&scene, "d/waiters/").await.len(), 1);
            stall_answers(&world, &scene, false);
            assert!(!is_ready(&world, 5, next.as_mut()).await);
        };
        stall_answers(&world, &scene, true);
        let leaves = async {
            slow.leave().await.unwrap();
            world.now()
        };
        let begin = world.now();
        let (left, ()) = zip(leaves, script).await;
        assert!(left.saturating_since(begin) < seconds(3), "it waited for the next round");
    })
    .unwrap();
}

/// Holds back what the members send to the client, or not any more.
fn stall_answers(world: &World, scene: &Scene, is_stalled: bool) {
    scene
        .set_links(world, etcd3_sim::Link { stall_down: is_stalled, ..etcd3_sim::Link::default() });
}

// X41: it was released, whatever came after.
#[test]
fn a_release_is_not_missed_where_the_barrier_is_held_anew() {
    for is_compacted in [false, true] {
        run(1, move |world| async move {
            let scene = scene(&world).await;
            let (barrier, ours) =
                (Barrier::new(&scene.observer, "b"), Barrier::new(&scene.client, "b"));
            barrier.hold().await.unwrap();
            let mut waits = pin!(ours.wait());
            assert!(!is_ready(&world, 5, waits.as_mut()).await);
            scene.cut_off(&world, true);
            barrier.release().await.unwrap();
            barrier.hold().await.unwrap();
            if is_compacted {
                scene.etcd.compact(0);
            }
            world.sleep(seconds(30)).await;
            scene.cut_off(&world, false);
            assert!(is_ready(&world, 20, waits).await);
            assert!(!ours.wait_timeout(seconds(1)).await.unwrap(), "this one was not");
        })
        .unwrap();
    }
}
