//! Work that is done only while leading, and what ends it.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod lease_support;

use etcd3::recipes::{Election, LeaderLatch, RecipeError};
use etcd3::{LossReason, OnLoss, prefix};
use etcd3_sim::run;
use futures_lite::future::{or, pending, zip};
use lease_support::{Scene, scene, seconds};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Counts those that are at work, and all that ever were.
#[derive(Clone, Default)]
struct Works {
    now: Arc<AtomicUsize>,
    ever: Arc<AtomicUsize>,
}

/// One that is at work.
struct Work(Works);

impl Works {
    fn begin(&self) -> Work {
        self.now.fetch_add(1, Ordering::Relaxed);
        self.ever.fetch_add(1, Ordering::Relaxed);
        Work(self.clone())
    }

    fn counts(&self) -> (usize, usize) {
        (self.now.load(Ordering::Relaxed), self.ever.load(Ordering::Relaxed))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

fn reason(error: RecipeError) -> LossReason {
    match error {
        RecipeError::SessionLost(lost) => lost.reason,
        other => panic!("{other}"),
    }
}

async fn keys(scene: &Scene) -> u64 {
    scene.observer.get(prefix("e/")).await.unwrap().count
}

#[test]
fn the_leadership_is_given_up_when_the_work_is_done() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let session = scene.client.session(seconds(10)).await.unwrap();
        let latch = LeaderLatch::new(&session, "e", "ours");
        let (works, observer) = (Works::default(), scene.observer.clone());
        for again in [false, true] {
            let work = |leadership: etcd3::recipes::Leadership| {
                let (one, observer) = (works.begin(), observer.clone());
                async move {
                    let _one = one;
                    assert!(observer.compare([leadership.fence()]).await.unwrap());
                    7
                }
            };
            let done = if again { latch.run_until_done(work).await } else { latch.run(work).await };
            assert_eq!(done, Ok(7));
            assert_eq!(keys(&scene).await, 0);
        }
        assert_eq!(works.counts(), (0, 2));
        assert!(session.is_valid());
        drop(world);
    })
    .unwrap();
}

// Case 20: the work is dropped before the local deadline, so before the cluster lets the lease go.
#[test]
fn the_work_is_dropped_before_the_lease_is_over() {
    for margin in [None, Some(0), Some(2), Some(100)] {
        run(1, move |world| async move {
            let scene = scene(&world).await;
            let session = scene.client.session(seconds(10)).await.unwrap();
            let mut latch = LeaderLatch::new(&session, "e", "ours");
            if let Some(margin) = margin {
                latch = latch.margin(seconds(margin));
            }
            let works = Works::default();
            let (of_it, lease) = (works.clone(), session.lease());
            scene.client.spawn(async move {
                let work = |_| {
                    let one = of_it.begin();
                    async move {
                        let _one = one;
                        pending::<()>().await;
                    }
                };
                assert_eq!(reason(latch.run(work).await.unwrap_err()), LossReason::DeadlinePassed);
            });
            world.sleep(seconds(60)).await;
            assert_eq!(works.counts(), (1, 1), "a margin is nothing while renewals work");
            scene.cut_off(&world, true);
            world.sleep(seconds(1)).await;
            while works.counts().0 > 0 {
                world.sleep(Duration::from_millis(1)).await;
            }
            let left = lease.valid_until().saturating_since(world.now());
            let at_least = match margin {
                None => 1,
                Some(margin) => margin.min(5),
            };
            let slack = Duration::from_millis(5);
            assert!(left + slack >= seconds(at_least) && left <= seconds(at_least), "{left:?}");
            assert_eq!(keys(&scene).await, 1, "the cluster has not let go");
        })
        .unwrap();
    }
}

#[test]
fn the_work_is_dropped_when_the_key_is_deleted() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let session = scene.client.session(seconds(60)).await.unwrap();
        let latch = LeaderLatch::new(&session, "e", "ours");
        let works = Works::default();
        let work = |_| {
            let one = works.begin();
            async move {
                let _one = one;
                pending::<()>().await;
            }
        };
        let later = async {
            world.sleep(seconds(5)).await;
            scene.observer.delete(prefix("e/")).await.unwrap();
            pending().await
        };
        let error = or(latch.run(work), later).await.unwrap_err();
        assert!(matches!(error, RecipeError::KeyDeleted(_)), "{error}");
        assert_eq!(works.counts(), (0, 1));
    })
    .unwrap();
}

#[test]
fn who_lost_the_leadership_campaigns_again_until_the_session_is_over() {
    for seed in 0..5 {
        run(seed, |world| async move {
            let scene = scene(&world).await;
            let begin = scene.client.session(seconds(5)).on_loss(OnLoss::Regrant);
            let session = begin.await.unwrap();
            let latch = LeaderLatch::new(&session, "e", "ours");
            let works = Works::default();
            let work = |_| {
                let one = works.begin();
                async move {
                    let _one = one;
                    pending::<()>().await;
                }
            };
            let others = async {
                world.sleep(seconds(5)).await;
                assert_eq!(works.counts(), (1, 1));
                // The lease is lost, and somebody else leads for a while.
                scene.cut_off(&world, true);
                let theirs = scene.observer.session(seconds(60)).await.unwrap();
                let other = Election::new(&theirs, "e").campaign("theirs").await.unwrap();
                assert_eq!(works.counts(), (0, 1), "two lead");
                scene.cut_off(&world, false);
                world.sleep(seconds(20)).await;
                assert_eq!(works.counts(), (0, 1), "two lead");
                other.resign().await.unwrap();
                world.sleep(seconds(1)).await;
                assert_eq!(works.counts(), (1, 2));
                // Somebody deletes its key, or the lease.
                scene.observer.delete(prefix("e/")).await.unwrap();
                world.sleep(seconds(1)).await;
                assert_eq!(works.counts(), (1, 3));
                scene.observer.revoke(session.id()).await.unwrap();
                world.sleep(seconds(10)).await;
                assert_eq!(works.counts(), (1, 4));
                session.close().await.unwrap();
                pending().await
            };
            let error = or(latch.run_until_done(work), others).await.unwrap_err();
            assert_eq!(reason(error), LossReason::Revoked);
            assert_eq!(works.counts(), (0, 4));
            session.close().await.unwrap();
            assert_eq!(keys(&scene).await, 0);
        })
        .unwrap();
    }
}

#[test]
fn a_session_that_may_fail_ends_it() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let session = scene.client.session(seconds(5)).await.unwrap();
        let latch = LeaderLatch::new(&session, "e", "ours");
        let later = async {
            world.sleep(seconds(3)).await;
            scene.observer.revoke(session.id()).await.unwrap();
            pending().await
        };
        let error = or(latch.run_until_done(|_| pending::<()>()), later).await.unwrap_err();
        assert_eq!(reason(error), LossReason::Expired);
        // A latch that is dropped resigns.
        let session = scene.client.session(seconds(60)).await.unwrap();
        let latch = LeaderLatch::new(&session, "e", "ours");
        let for_a_while = async {
            world.sleep(seconds(3)).await;
            assert_eq!(keys(&scene).await, 1);
            Ok(())
        };
        or(latch.run(|_| pending::<()>()), for_a_while).await.unwrap();
        world.sleep(seconds(1)).await;
        assert_eq!(keys(&scene).await, 0);
    })
    .unwrap();
}

// Case 20: as long as no renewal is acknowledged there is no work, and so nothing to campaign for.
#[test]
fn nobody_campaigns_while_the_lease_leaves_no_time_for_work() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let session = scene.client.session(seconds(10)).await.unwrap();
        let latch = LeaderLatch::new(&session, "e", "ours").margin(seconds(5));
        let works = Works::default();
        let of_it = works.clone();
        scene.client.spawn(async move {
            let work = |_| {
                let one = of_it.begin();
                async move {
                    let _one = one;
                    pending::<()>().await;
                }
            };
            latch.run_until_done(work).await.unwrap_err();
        });
        world.sleep(seconds(3)).await;
        let (before, begun) = (scene.etcd.revision(), works.counts().1);
        scene.host.suspend(Duration::from_millis(6_600)).await;
        world.sleep(seconds(2)).await;
        assert_eq!(works.counts(), (1, begun + 1));
        assert_eq!(scene.etcd.revision() - before, 2, "it resigned and campaigned once");
        assert!(session.is_valid());
    })
    .unwrap();
}

// CONC-013: the candidacy is given up by the handle that began it.
#[test]
fn who_is_done_does_not_resign_for_another_latch_of_its_session() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let session = scene.client.session(seconds(10)).await.unwrap();
        let (works, its) = (Works::default(), world.clone());
        let (of_it, latch) = (works.clone(), LeaderLatch::new(&session, "e", "one"));
        let leads = async {
            latch
                .run(|_| async move {
                    let _one = of_it.begin();
                    its.sleep(seconds(5)).await;
                    1
                })
                .await
        };
        let joins = async {
            world.sleep(seconds(1)).await;
            let other = LeaderLatch::new(&session, "e", "two");
            assert_eq!(other.run(|_| async { 2 }).await, Ok(2));
            world.sleep(seconds(1)).await;
            assert_eq!((works.counts(), keys(&scene).await), ((1, 1), 1));
        };
        let (first, ()) = zip(leads, joins).await;
        assert_eq!(first, Ok(1));
        assert_eq!(keys(&scene).await, 0);
    })
    .unwrap();
}
