//! What is held in the name of a session: who is told of its loss and when, and what is left.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod election_support;
mod lease_support;

use election_support::{candidates, cut};
use etcd3::recipes::{
    DoubleBarrier, Election, LeaderChanges, LeaderLatch, Mutex, MutexGuard, RecipeError, RwLock,
    Semaphore,
};
use etcd3::{Config, prefix};
use etcd3_sim::{Link, run};
use futures_lite::future::{or, pending, poll_once, zip};
use lease_support::{scene, seconds};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

type Tried<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

// S-05, I-S2: the event says all there is to know; what comes after it may take its time.
#[test]
fn a_deletion_is_told_though_nothing_can_be_asked_any_more() {
    for waits in [false, true] {
        run(1, move |world| async move {
            let scene = scene(&world).await;
            let theirs = scene.observer.session(seconds(60)).await.unwrap();
            let session = scene.client.session(seconds(60)).await.unwrap();
            let _before =
                if waits { Some(Mutex::new(&theirs, "lock").lock().await.unwrap()) } else { None };
            let mutex = Mutex::new(&session, "lock");
            let told = async {
                if waits {
                    return mutex.lock().await.unwrap_err();
                }
                let guard = mutex.lock().await.unwrap();
                guard.lost().await
            };
            let mut told = pin!(told);
            let second = world.sleep(seconds(1));
            assert!(
                or(async { Some((&mut told).await) }, async {
                    second.await;
                    None
                })
                .await
                .is_none()
            );
            let own = format!("lock/{:x}", session.id().0);
            // What is sent does not arrive; the event does.
            scene.set_links(&world, Link { stall_up: true, ..Link::default() });
            scene.observer.delete(own.clone()).await.unwrap();
            let before = world.now();
            assert_eq!(told.await, RecipeError::KeyDeleted(own.into()));
            assert!(
                world.now() <= before + seconds(2),
                "{:?}",
                world.now().saturating_since(before)
            );
        })
        .unwrap();
    }
}

// X18, I-S2, I-S3: what nobody saw happen is found by reading.
#[test]
fn a_key_that_is_gone_without_a_sign_wins_nothing() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let theirs = scene.observer.session(seconds(60)).await.unwrap();
        let held = Mutex::new(&theirs, "lock").lock().await.unwrap();
        let session = scene.client.session(seconds(10)).await.unwrap();
        let mutex = Mutex::new(&session, "lock");
        let own = format!("lock/{:x}", session.id().0);
        let meanwhile = async {
            world.sleep(seconds(2)).await;
            scene.set_links(&world, Link { stall_up: true, stall_down: true, ..Link::default() });
            scene.observer.delete(own.clone()).await.unwrap();
            held.unlock().await.unwrap();
            let last = scene.observer.put("other", "").await.unwrap().header.revision;
            scene.observer.compact(last).await.unwrap();
            cut(&world, &scene);
            scene.set_links(&world, Link::default());
            pending().await
        };
        let error = or(mutex.lock(), meanwhile).await.unwrap_err();
        assert_eq!(error, RecipeError::KeyDeleted(own.into()));
        assert!(session.is_valid());
    })
    .unwrap();
}

// CONC-013: the candidacy is given up by the handle that began it, also where that one began it
// beside another whose key was gone.
#[test]
fn a_candidacy_is_its_handles_when_the_handle_before_it_is_dropped() {
    for resumes in [false, true] {
        run(1, move |world| async move {
            let scene = scene(&world).await;
            let session = scene.client.session(seconds(60)).await.unwrap();
            let election = Election::new(&session, "e");
            let first = election.campaign("one").await.unwrap();
            scene.observer.delete(prefix("e/")).await.unwrap();
            let second = election.campaign("two").await.unwrap();
            drop(first);
            world.sleep(seconds(1)).await;
            let third = if resumes {
                election.resume().await.unwrap().unwrap()
            } else {
                election.campaign("three").await.unwrap()
            };
            assert_eq!(third.create_revision(), second.create_revision());
            drop(third);
            world.sleep(seconds(1)).await;
            assert_eq!(candidates(&scene.observer).await.len(), 1, "a guest leaves it alone");
            assert!(second.is_valid());
            drop(second);
            world.sleep(seconds(1)).await;
            assert_eq!(candidates(&scene.observer).await, [""; 0]);
        })
        .unwrap();
    }
}

// I-S4, CONC-013: whoever looks out for a key that may come late waits for all handles that have
// one, also for the one that created it beside another.
#[test]
fn what_is_late_is_not_confused_with_what_another_handle_creates() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let session = scene.client.session(seconds(60)).await.unwrap();
        let election = Election::new(&session, "e");
        scene.set_links(&world, Link { stall_up: true, ..Link::default() });
        let limit = Duration::from_millis(20);
        assert!(election.campaign_timeout("lost", limit).await.unwrap().is_none());
        cut(&world, &scene);
        scene.set_links(&world, Link::default());
        world.sleep(seconds(15)).await;
        let first = election.campaign("one").await.unwrap();
        scene.observer.delete(prefix("e/")).await.unwrap();
        let second = election.campaign("two").await.unwrap();
        drop(first);
        world.sleep(seconds(5)).await;
        assert_eq!(candidates(&scene.observer).await, ["two"]);
        drop(second);
        world.sleep(seconds(1)).await;
        assert_eq!(candidates(&scene.observer).await, [""; 0]);
        assert_eq!(
            election.campaign("three").await.unwrap().key(),
            &format!("e/{:x}", session.id().0).into_bytes()
        );
    })
    .unwrap();
}

// CONC-013: nobody else deleted the key.
#[test]
fn a_guest_whose_host_gives_up_at_any_moment_leads() {
    for step in 0..60 {
        run(1, move |world| async move {
            let scene = scene(&world).await;
            let session = scene.client.session(seconds(60)).await.unwrap();
            let election = Election::new(&session, "e");
            let first = election.campaign("one").await.unwrap();
            let resigns = async {
                world.sleep(Duration::from_micros(step * 100)).await;
                first.resign().await.unwrap();
                drop(first);
            };
            let (second, ()) = zip(election.campaign("two"), resigns).await;
            let second = second.unwrap_or_else(|error| panic!("{step}: {error}"));
            // It may have won together with its host.
            drop(second);
            world.sleep(seconds(2)).await;
            assert_eq!(candidates(&scene.observer).await, [""; 0]);
        })
        .unwrap();
    }
}

// What passes is waited for, for as long as the session is there: as long as the docs say.
#[test]
fn what_is_tried_waits_for_what_passes() {
    for case in 0..7 {
        run(1, move |world| async move {
            let scene = scene(&world).await;
            let session = scene.client.session(seconds(60)).await.unwrap();
            let semaphore = Semaphore::new(&session, "s", 1);
            let (barrier, election) =
                (DoubleBarrier::new(&session, "b", 1), Election::new(&session, "e"));
            let (mutex, rw) = (Mutex::new(&session, "m"), RwLock::new(&session, "r"));
            scene.cut_off(&world, true);
            cut(&world, &scene);
            let heals = async {
                world.sleep(seconds(20)).await;
                scene.cut_off(&world, false);
                pending().await
            };
            let tried: Tried<'_, Result<bool, RecipeError>> = match case {
                0 => Box::pin(async { Ok(semaphore.try_acquire().await?.is_some()) }),
                1 => Box::pin(async { Ok(barrier.enter().await?.is_valid()) }),
                2 => Box::pin(async { Ok(election.try_campaign("one").await?.is_some()) }),
                3 => Box::pin(async { Ok(mutex.try_lock().await?.is_some()) }),
                4 => Box::pin(async { Ok(rw.try_write().await?.is_some()) }),
                5 => Box::pin(async { Ok(semaphore.acquire().await?.is_valid()) }),
                _ => Box::pin(async { Ok(rw.try_read().await?.is_some()) }),
            };
            let tried = or(tried, heals).await;
            assert_eq!(tried, Ok(true), "{case}");
        })
        .unwrap();
    }
}

// I-S2: the same, when the session does not outlive it.
#[test]
fn what_is_tried_ends_with_its_session() {
    for case in 0..4 {
        run(1, move |world| async move {
            let scene = scene(&world).await;
            let session = scene.client.session(seconds(2)).await.unwrap();
            let semaphore = Semaphore::new(&session, "s", 1);
            let (barrier, election) =
                (DoubleBarrier::new(&session, "b", 1), Election::new(&session, "e"));
            scene.cut_off(&world, true);
            cut(&world, &scene);
            let before = world.now();
            let tried: Tried<'_, Option<RecipeError>> = match case {
                0 => Box::pin(async { semaphore.try_acquire().await.err() }),
                1 => Box::pin(async { barrier.enter().await.err() }),
                2 => Box::pin(async { election.try_campaign("one").await.err() }),
                _ => Box::pin(async { election.resume().await.err() }),
            };
            let told = tried.await.unwrap();
            assert!(told.is_session_lost(), "{case}: {told}");
            assert!(
                world.now() <= before + seconds(2),
                "{case}: {:?}",
                world.now().saturating_since(before)
            );
        })
        .unwrap();
    }
}

// A client that is closed waits for nobody who looks out for what may come late.
#[test]
fn a_close_is_not_held_up_by_what_may_come_late() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let session = scene.client.session(seconds(60)).await.unwrap();
        scene.set_links(&world, Link { stall_up: true, ..Link::default() });
        let limit = Duration::from_millis(20);
        assert!(Mutex::new(&session, "m").lock_timeout(limit).await.unwrap().is_none());
        cut(&world, &scene);
        scene.set_links(&world, Link::default());
        drop(session);
        world.sleep(seconds(15)).await;
        let before = world.now();
        scene.client.close().await;
        assert!(world.now() < before + seconds(1), "{:?}", world.now().saturating_since(before));
        assert_eq!(scene.host.tasks(), 0);
    })
    .unwrap();
}

// Case 20: a machine that slept through the end of the lease does not go on with the work.
#[test]
fn work_is_not_polled_once_the_lease_is_over() {
    for slept in [8, 20, 100] {
        run(1, move |world| async move {
            let scene = scene(&world).await;
            let session = scene.client.session(seconds(10)).await.unwrap();
            let late = Arc::new(AtomicUsize::new(0));
            let (seen, lease, its) = (Arc::clone(&late), session.lease(), scene.client.clone());
            let latch = LeaderLatch::new(&session, "e", "ours");
            scene.client.spawn(async move {
                let work = |_| async {
                    let rt = its.runtime();
                    loop {
                        rt.sleep_until(rt.now() + Duration::from_millis(10)).await;
                        let margin = seconds(1);
                        let is_late = !lease.is_valid() || rt.now() >= lease.valid_until() - margin;
                        seen.fetch_add(usize::from(is_late), Ordering::Relaxed);
                    }
                };
                let told: Result<(), _> = latch.run(work).await;
                assert!(matches!(told, Err(RecipeError::SessionLost(_))));
            });
            world.sleep(seconds(5)).await;
            scene.cut_off(&world, true);
            scene.host.suspend(seconds(slept)).await;
            world.sleep(seconds(30)).await;
            assert_eq!(late.load(Ordering::Relaxed), 0, "polled after {slept} s of sleep");
        })
        .unwrap();
    }
}

// X18, S-02: nobody wins by a lease that is over by the own clock, though the cluster has it yet.
#[test]
fn who_slept_past_the_end_of_the_lease_wins_nothing() {
    for case in 0..4 {
        run(1, move |world| async move {
            let scene = scene(&world).await;
            let theirs = scene.observer.session(seconds(60)).await.unwrap();
            let session = scene.client.session(seconds(10)).await.unwrap();
            let lease = session.lease();
            let guard = Mutex::new(&theirs, "m").lock().await.unwrap();
            let leads = Election::new(&theirs, "e").campaign("theirs").await.unwrap();
            let permit = Semaphore::new(&theirs, "s", 1).acquire().await.unwrap();
            let held = RwLock::new(&theirs, "r").write().await.unwrap();
            let (mutex, election) = (Mutex::new(&session, "m"), Election::new(&session, "e"));
            let (semaphore, lock) = (Semaphore::new(&session, "s", 1), RwLock::new(&session, "r"));
            let waits: Tried<'_, Result<bool, RecipeError>> = match case {
                0 => Box::pin(async { Ok(mutex.lock().await?.is_valid()) }),
                1 => Box::pin(async { Ok(election.campaign("ours").await?.is_valid()) }),
                2 => Box::pin(async { Ok(semaphore.acquire().await?.is_valid()) }),
                _ => Box::pin(async { Ok(lock.read().await?.is_valid()) }),
            };
            let sleeps = async {
                world.sleep(seconds(2)).await;
                scene.host.set_suspended(true);
                for _ in 0..6 {
                    world.sleep(seconds(4)).await;
                    scene.observer.keep_alive_once(lease.id()).await.unwrap();
                }
                guard.unlock().await.unwrap();
                leads.resign().await.unwrap();
                permit.release().await.unwrap();
                held.unlock().await.unwrap();
                scene.host.set_suspended(false);
                pending().await
            };
            let told = or(waits, sleeps).await;
            assert!(matches!(told, Err(RecipeError::SessionLost(_))), "{case}: {told:?}");
        })
        .unwrap();
    }
}

// What does not pass ends whatever waits: an answer that is too large stays so.
#[test]
fn an_answer_that_is_too_large_is_not_asked_for_again() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let config = Config::new(scene.etcd.endpoints()).max_response_bytes(10_000);
        let host = world.host();
        let client = host.client(config).unwrap();
        let session = client.session(seconds(60)).await.unwrap();
        let own = format!("e/{:x}", session.id().0);
        scene.observer.put(own, vec![0; 100_000]).lease(session.id()).await.unwrap();
        let told = async {
            let changed = LeaderChanges::new(&client, "e").next().await;
            assert!(changed.unwrap().unwrap_err().is_too_large());
            let resumed = Election::new(&session, "e").resume().await;
            assert!(resumed.unwrap_err().call().unwrap().is_too_large());
            true
        };
        let late = async {
            world.sleep(seconds(30)).await;
            false
        };
        assert!(or(told, late).await);
    })
    .unwrap();
}

// I-S5: those who came later do not take the permit of an attempt whose answer was lost.
#[test]
fn a_permit_whose_answer_is_lost_is_held() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let theirs = scene.observer.session(seconds(60)).await.unwrap();
        let session = scene.client.session(seconds(60)).await.unwrap();
        let (semaphore, later) =
            (Semaphore::new(&session, "s", 1), Semaphore::new(&theirs, "s", 1));
        let script = async {
            // Its answer, after the one that counts.
            while scene.observer.get(prefix("s/")).await.unwrap().count == 0 {
                world.sleep(Duration::from_micros(100)).await;
            }
            scene.set_links(&world, Link { stall_down: true, ..Link::default() });
            let behind = later.acquire_timeout(seconds(1)).await.unwrap();
            assert!(behind.is_none());
            let heals = async {
                world.sleep(seconds(1)).await;
                cut(&world, &scene);
                scene.set_links(&world, Link::default());
                pending().await
            };
            or(async { later.acquire().await.map(drop) }, heals).await.unwrap();
            pending().await
        };
        let tried = or(semaphore.try_acquire(), script).await.unwrap();
        assert!(tried.is_some_and(|permit| permit.is_valid()));
    })
    .unwrap();
}

// X16, S-05: an unlock says the same, whether or not somebody was told of the loss before.
#[test]
fn an_unlock_of_what_was_told_to_be_lost_says_so() {
    for is_told in [false, true] {
        run(1, move |world| async move {
            let scene = scene(&world).await;
            let session = scene.client.session(seconds(10)).await.unwrap();
            let guard = Mutex::new(&session, "m").lock().await.unwrap();
            let gone = RecipeError::KeyDeleted(guard.key().clone());
            scene.observer.delete(guard.key().clone()).await.unwrap();
            if is_told {
                assert_eq!(guard.lost().await, gone);
            }
            assert_eq!(guard.unlock().await, Err(gone));
            assert_eq!(guard.unlock().await, Ok(()), "there is nothing left to unlock");
        })
        .unwrap();
    }
}

// S-05: what is given up is told at once, also where the cluster cannot be reached.
#[test]
fn what_is_given_up_is_told_at_once() {
    for is_dropped in [false, true] {
        run(1, move |world| async move {
            let scene = scene(&world).await;
            let session = scene.client.session(seconds(60)).await.unwrap();
            let guard = Mutex::new(&session, "m").lock().await.unwrap();
            let mut lost = pin!(guard.lost());
            assert!(poll_once(lost.as_mut()).await.is_none());
            scene.cut_off(&world, true);
            let mut guard = Some(guard);
            if is_dropped {
                guard = None;
            } else {
                let unlocks = guard.iter().map(MutexGuard::unlock).next().unwrap();
                assert!(poll_once(pin!(unlocks)).await.is_none());
            }
            assert_eq!(poll_once(lost).await, Some(RecipeError::Released));
            drop(guard);
        })
        .unwrap();
    }
}
