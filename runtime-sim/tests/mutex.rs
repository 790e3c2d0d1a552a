//! Locks, and what becomes of them when things go wrong.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod lease_support;

use etcd3::recipes::{Mutex, MutexGuard, RecipeError};
use etcd3::{Client, LossReason, OnLoss, Outcome, Session, prefix, put};
use etcd3_sim::{Cut, Link, World, run};
use futures_lite::future::{or, poll_once};
use lease_support::{Scene, scene, seconds};
use std::pin::pin;
use std::sync::{Arc, Mutex as StdMutex};
use std::time::Duration;

/// A holder by the one client, and another client's session that waits or is to.
struct Two {
    theirs: Session,
    held: MutexGuard,
    session: Session,
    mutex: Mutex,
}

async fn two(scene: &Scene) -> Two {
    let theirs = scene.observer.session(seconds(60)).await.unwrap();
    let held = Mutex::new(&theirs, "lock").lock().await.unwrap();
    let session = scene.client.session(seconds(10)).await.unwrap();
    let mutex = Mutex::new(&session, "lock");
    Two { theirs, held, session, mutex }
}

/// Returns how many keys the lock has.
async fn keys(client: &Client) -> u64 {
    client.get(prefix("lock/")).await.unwrap().count
}

fn cut(world: &World, scene: &Scene) {
    for member in 0..3 {
        world.net().cut(scene.host.id(), scene.etcd.address(member), Cut::Reset);
    }
}

fn reason(error: RecipeError) -> LossReason {
    match error {
        RecipeError::SessionLost(lost) => lost.reason,
        other => panic!("{other}"),
    }
}

// X10, X12, X14, X16, CONC-009
#[test]
fn the_lock_goes_from_one_to_the_next() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let a = scene.client.session(seconds(10)).await.unwrap();
        let b = scene.observer.session(seconds(10)).await.unwrap();
        let first = Mutex::new(&a, "lock").lock().await.unwrap();
        assert_eq!(first.key(), &format!("lock/{:x}", a.id().0).into_bytes());
        assert_eq!(first.header().revision, first.create_revision());
        let other = Mutex::new(&b, "lock");
        assert!(other.try_lock().await.unwrap().is_none());
        assert!(other.lock_timeout(seconds(1)).await.unwrap().is_none());
        world.sleep(seconds(1)).await;
        assert_eq!(scene.observer.get(prefix("lock/")).await.unwrap().count, 1);
        let mut waiting = pin!(other.lock());
        assert!(poll_once(waiting.as_mut()).await.is_none());
        first.unlock().await.unwrap();
        assert!(!first.is_valid());
        first.unlock().await.unwrap();
        let second = waiting.await.unwrap();
        assert!(second.create_revision() > first.create_revision());
        let mut lost = pin!(second.lost());
        assert!(poll_once(lost.as_mut()).await.is_none());
        b.close().await.unwrap();
        let RecipeError::SessionLost(lost) = lost.await else { panic!() };
        assert_eq!(lost.reason, LossReason::Revoked);
    })
    .unwrap();
}

// CONC-002, I-S2, X18, S-02, S-04
#[test]
fn a_waiter_whose_session_is_lost_ends_whatever_the_holder_does() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let Two { held, session, mutex, .. } = two(&scene).await;
        let mut before = world.now();
        let revoked = async {
            world.sleep(seconds(2)).await;
            // Somebody revokes it, which otherwise the next renewal would tell.
            before = world.now();
            scene.observer.revoke(session.id()).await.unwrap();
            std::future::pending().await
        };
        let error = or(mutex.lock(), revoked).await.unwrap_err();
        assert_eq!(reason(error), LossReason::Expired);
        assert!(world.now() < before + Duration::from_millis(100), "within a round trip or two");
        assert!(held.is_valid());
        assert_eq!(keys(&scene.observer).await, 1);
    })
    .unwrap();
}

// I-S2, I-S5
#[test]
fn a_waiter_whose_session_is_over_ends_at_once() {
    for by_close in [false, true] {
        run(1, |world| async move {
            let scene = scene(&world).await;
            let Two { held, session, mutex, .. } = two(&scene).await;
            let later = async {
                world.sleep(seconds(2)).await;
                if by_close {
                    session.close().await.unwrap();
                } else {
                    scene.cut_off(&world, true);
                }
                std::future::pending().await
            };
            let error = or(mutex.lock(), later).await.unwrap_err();
            let expected = if by_close { LossReason::Revoked } else { LossReason::DeadlinePassed };
            assert_eq!(reason(error), expected);
            scene.cut_off(&world, false);
            world.sleep(seconds(15)).await;
            assert!(held.is_valid());
            assert_eq!(keys(&scene.observer).await, 1);
        })
        .unwrap();
    }
}

// I-S3
#[test]
fn a_waiter_that_missed_the_deletion_and_its_history_gets_the_lock() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let Two { held, mutex, .. } = two(&scene).await;
        let later = async {
            world.sleep(seconds(2)).await;
            scene.cut_off(&world, true);
            held.unlock().await.unwrap();
            for _ in 0..3 {
                scene.observer.put("other", "").await.unwrap();
            }
            scene.etcd.compact(0);
            world.sleep(seconds(3)).await;
            cut(&world, &scene);
            scene.cut_off(&world, false);
            std::future::pending().await
        };
        let guard = or(mutex.lock(), later).await.unwrap();
        assert!(guard.is_valid());
    })
    .unwrap();
}

// I-S3
#[test]
fn waiting_goes_on_while_members_are_lost() {
    for member in 0..3 {
        run(1, |world| async move {
            let scene = scene(&world).await;
            let Two { held, mutex, .. } = two(&scene).await;
            let later = async {
                world.sleep(seconds(2)).await;
                scene.etcd.kill(member);
                world.sleep(seconds(3)).await;
                held.unlock().await.unwrap();
                std::future::pending().await
            };
            let guard = or(mutex.lock(), later).await.unwrap();
            // The session has its lease by another member, too.
            world.sleep(seconds(20)).await;
            assert!(guard.is_valid());
            scene.etcd.revive(member);
            guard.unlock().await.unwrap();
            assert_eq!(keys(&scene.observer).await, 0);
        })
        .unwrap();
    }
}

// S-05
#[test]
fn a_key_that_somebody_deletes_ends_the_wait_and_the_lock() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let Two { held, session, mutex, theirs } = two(&scene).await;
        let own = format!("lock/{:x}", session.id().0);
        let later = async {
            world.sleep(seconds(2)).await;
            scene.observer.delete(own.clone()).await.unwrap();
            std::future::pending().await
        };
        let error = or(mutex.lock(), later).await.unwrap_err();
        assert_eq!(error, RecipeError::KeyDeleted(own.into()));
        assert!(session.is_valid() && held.is_valid());

        let mut lost = pin!(held.lost());
        assert!(poll_once(lost.as_mut()).await.is_none());
        world.sleep(seconds(1)).await;
        let key = held.key().clone();
        scene.observer.delete(&key).await.unwrap();
        assert_eq!(lost.await, RecipeError::KeyDeleted(key.clone()));
        assert!(!held.is_valid() && theirs.is_valid());
        // Another lock of the same session is not theirs to delete.
        let again = Mutex::new(&theirs, "lock").lock().await.unwrap();
        assert_eq!(held.unlock().await, Err(RecipeError::KeyDeleted(key)), "as it was told");
        drop(held);
        world.sleep(seconds(1)).await;
        assert!(again.is_valid() && keys(&scene.observer).await == 1);
    })
    .unwrap();
}

// I-S5: the own key is what tells.
#[test]
fn a_lock_whose_answer_is_lost_is_held_by_the_first_attempt() {
    for member in 0..3 {
        run(member, |world| async move {
            let scene = scene(&world).await;
            let session = scene.client.session(seconds(20)).await.unwrap();
            let mutex = Mutex::new(&session, "lock");
            scene.set_links(&world, Link { stall_down: true, ..Link::default() });
            let later = async {
                world.sleep(Duration::from_millis(500)).await;
                assert_eq!(keys(&scene.observer).await, 1, "it was applied");
                cut(&world, &scene);
                scene.set_links(&world, Link::default());
                std::future::pending().await
            };
            let guard = or(mutex.lock(), later).await.unwrap();
            let own = scene.observer.get(guard.key()).await.unwrap();
            assert_eq!(own.first().unwrap().create_revision, guard.create_revision());
            let done = scene.client.txn().when([guard.fence()]).then([put("fenced", "1")]).await;
            assert!(done.unwrap().succeeded);
            guard.unlock().await.unwrap();
            assert_eq!(keys(&scene.observer).await, 0);
        })
        .unwrap();
    }
}

// Case 17, S-03, S-15, X16
#[test]
fn an_unlock_whose_answer_is_lost_can_be_repeated() {
    for is_applied in [false, true] {
        run(1, |world| async move {
            let scene = scene(&world).await;
            let session = scene.client.session(seconds(60)).await.unwrap();
            let guard = Mutex::new(&session, "lock").lock().await.unwrap();
            let link = Link { stall_down: is_applied, stall_up: !is_applied, ..Link::default() };
            scene.set_links(&world, link);
            let later = async {
                world.sleep(Duration::from_millis(500)).await;
                cut(&world, &scene);
                std::future::pending().await
            };
            let error = or(guard.unlock(), later).await.unwrap_err();
            assert_eq!(error.outcome(), Outcome::Unknown, "the key may still be there");
            assert_eq!(keys(&scene.observer).await, u64::from(!is_applied));
            assert!(!guard.is_valid(), "nobody relies on it from here on");
            scene.set_links(&world, Link::default());
            let next = Mutex::new(&session, "lock");
            let mut waiting = pin!(next.lock());
            assert!(poll_once(waiting.as_mut()).await.is_none());
            assert_eq!(guard.unlock().await, Ok(()));
            assert_eq!(guard.unlock().await, Ok(()));
            let next = waiting.await.unwrap();
            drop(guard);
            world.sleep(seconds(1)).await;
            assert!(next.create_revision() > 0 && keys(&scene.observer).await == 1);
        })
        .unwrap();
    }
}

// I-S1
#[test]
fn an_unlock_of_what_was_lost_says_so() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let session = scene.client.session(seconds(60)).await.unwrap();
        let guard = Mutex::new(&session, "lock").lock().await.unwrap();
        scene.observer.delete(guard.key()).await.unwrap();
        assert_eq!(guard.unlock().await, Err(RecipeError::KeyDeleted(guard.key().clone())));
        assert_eq!(guard.unlock().await, Ok(()));

        let guard = Mutex::new(&session, "lock").lock().await.unwrap();
        scene.observer.revoke(session.id()).await.unwrap();
        assert_eq!(reason(guard.unlock().await.unwrap_err()), LossReason::Expired);
    })
    .unwrap();
}

// I-S4, S-06, X10, REC-011
#[test]
fn two_handles_of_one_session_exclude_each_other() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let session = scene.client.session(seconds(20)).await.unwrap();
        let first = Mutex::new(&session, "lock").lock().await.unwrap();
        let other = Mutex::new(&session.clone(), "lock");
        assert!(other.try_lock().await.unwrap().is_none());
        assert!(other.lock_timeout(seconds(1)).await.unwrap().is_none());
        assert!(Mutex::new(&session, "another").try_lock().await.unwrap().is_some());
        let later = async {
            world.sleep(seconds(1)).await;
            drop(first);
            std::future::pending().await
        };
        let second = or(other.lock(), later).await.unwrap();
        assert_eq!(keys(&scene.observer).await, 1);
        second.unlock().await.unwrap();
    })
    .unwrap();
}

// REC-007, REC-012
#[test]
fn many_waiters_are_served_in_order_and_none_is_passed_over() {
    for seed in 0..5 {
        run(seed, |world| async move {
            let scene = scene(&world).await;
            let served = Arc::new(StdMutex::new(Vec::new()));
            let first = scene.observer.session(seconds(60)).await.unwrap();
            let first = Mutex::new(&first, "lock").lock().await.unwrap();
            for number in 0..12 {
                let client = if number % 2 == 0 { &scene.client } else { &scene.observer };
                let (it, served) = (client.clone(), Arc::clone(&served));
                client.spawn(async move {
                    let session = it.session(seconds(60)).await.unwrap();
                    let guard = Mutex::new(&session, "lock").lock().await.unwrap();
                    served.lock().unwrap().push((number, guard.create_revision()));
                    let rt = it.runtime();
                    rt.sleep_until(rt.now() + Duration::from_millis(50)).await;
                    if number % 3 == 0 {
                        guard.unlock().await.unwrap();
                    }
                });
                world.sleep(Duration::from_millis(20)).await;
            }
            first.unlock().await.unwrap();
            world.sleep(seconds(10)).await;
            let served = served.lock().unwrap().clone();
            assert_eq!(served.len(), 12);
            assert!(served.is_sorted_by_key(|(_, revision)| *revision), "{served:?}");
            assert_eq!(keys(&scene.observer).await, 0);
        })
        .unwrap();
    }
}

// Cases 19, 20: the end of the lock is told no later than the lease is over by the own clock, and
// before anybody else has it.
#[test]
fn a_holder_that_is_cut_off_knows_before_another_one_holds() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let session = scene.client.session(seconds(5)).await.unwrap();
        let mutex = Mutex::new(&session, "lock");
        let guard = mutex.lock_timeout(seconds(2)).await.unwrap().unwrap();
        // Held for as long as it is, whatever the limit of acquiring it was.
        world.sleep(seconds(15)).await;
        assert!(guard.is_valid());
        let theirs = scene.observer.session(seconds(5)).await.unwrap();
        let other = Mutex::new(&theirs, "lock");
        let mut waiting = pin!(other.lock());
        assert!(poll_once(waiting.as_mut()).await.is_none());
        scene.cut_off(&world, true);
        let lost = async { Err(guard.lost().await) };
        let error = or(lost, waiting.as_mut()).await.unwrap_err();
        assert_eq!(reason(error), LossReason::DeadlinePassed);
        assert!(world.now() <= session.lease().valid_until());
        assert!(!guard.is_valid());
        let next = waiting.await.unwrap();
        scene.cut_off(&world, false);
        let late = scene.client.txn().when([guard.fence()]).then([put("fenced", "late")]).await;
        assert!(!late.unwrap().succeeded);
        drop(guard);
        world.sleep(seconds(2)).await;
        assert!(next.is_valid() && keys(&scene.observer).await == 1);
    })
    .unwrap();
}

#[test]
fn a_client_that_is_closed_ends_what_waits() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let Two { mutex, held, .. } = two(&scene).await;
        let later = async {
            world.sleep(seconds(2)).await;
            scene.client.close().await;
            std::future::pending().await
        };
        let error = or(mutex.lock(), later).await.unwrap_err();
        assert_eq!(reason(error), LossReason::Closed);
        assert_eq!(reason(mutex.lock().await.unwrap_err()), LossReason::Closed);
        scene.client.close().await;
        assert_eq!(scene.host.tasks(), 0);
        assert!(held.is_valid());
    })
    .unwrap();
}

// The lock is that of one lease: with the next one it is lost.
#[test]
fn a_session_that_is_granted_anew_does_not_hold_what_it_held() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let begin = scene.client.session(seconds(5)).on_loss(OnLoss::Regrant);
        let session = begin.await.unwrap();
        let guard = Mutex::new(&session, "lock").lock().await.unwrap();
        let mut lost = pin!(guard.lost());
        assert!(poll_once(lost.as_mut()).await.is_none());
        let first = session.id();
        scene.observer.revoke(first).await.unwrap();
        assert_eq!(reason(lost.await), LossReason::Expired);
        while session.id() == first {
            world.sleep(seconds(1)).await;
        }
        assert!(session.is_valid() && !guard.is_valid());
        let again = Mutex::new(&session, "lock").lock().await.unwrap();
        assert!(again.is_valid());
    })
    .unwrap();
}

// X11: another life of the same contender.
#[test]
fn a_session_on_the_same_lease_goes_on_where_the_other_was() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let first = scene.client.session(seconds(20)).await.unwrap();
        let guard = Mutex::new(&first, "lock").lock().await.unwrap();
        let second = scene.observer.session_on(first.id()).await.unwrap();
        for again in [
            Mutex::new(&second, "lock").lock().await.unwrap(),
            Mutex::new(&first, "lock").lock_timeout(seconds(0)).await.unwrap().unwrap_or(guard),
        ] {
            assert!(again.is_valid());
            assert!(again.create_revision() <= again.header().revision);
        }
    })
    .unwrap();
}

// I-S1
#[test]
fn what_is_lost_by_being_given_back_says_so() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let session = scene.client.session(seconds(20)).await.unwrap();
        let guard = Mutex::new(&session, "lock").lock().await.unwrap();
        let mut lost = pin!(guard.lost());
        assert!(poll_once(lost.as_mut()).await.is_none());
        world.sleep(seconds(1)).await;
        guard.unlock().await.unwrap();
        assert_eq!(lost.await, RecipeError::Released);
    })
    .unwrap();
}

// Case 18
#[test]
fn a_lock_is_not_held_up_by_what_is_stored_below_its_name() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let session = scene.client.session(seconds(20)).await.unwrap();
        let theirs = scene.observer.session(seconds(20)).await.unwrap();
        for key in ["lock/readme", "lock/12345678901234567", "lock/A"] {
            scene.observer.put(key, "").await.unwrap();
        }
        let below = Mutex::new(&theirs, "lock/below").lock().await.unwrap();
        let (ours, other) = (Mutex::new(&session, "lock"), Mutex::new(&theirs, "lock"));
        let guard = ours.lock().await.unwrap();
        assert!(other.try_lock().await.unwrap().is_none());
        assert!(other.lock_timeout(seconds(1)).await.unwrap().is_none());
        guard.unlock().await.unwrap();
        let guard = other.try_lock().await.unwrap().unwrap();
        assert!(guard.header().revision >= guard.create_revision());
        assert!(ours.try_lock().await.unwrap().is_none());
        assert!(below.is_valid());
        drop(guard);
        world.sleep(seconds(1)).await;
        assert_eq!(keys(&scene.observer).await, 4);
    })
    .unwrap();
}
