//! Locks whose futures are dropped, at every await point.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod lease_support;
mod mutex_support;

use etcd3::recipes::Mutex;
use etcd3::{LeaseId, Session, prefix};
use etcd3_sim::{Cut, Link, World, run};
use futures_lite::future::or;
use lease_support::{Scene, scene, seconds};
use mutex_support::{polled, watchers};
use std::time::Duration;

/// More than any of these futures is polled.
const POLLS: usize = 200;

/// What else happens to the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Others {
    /// Nobody has it.
    None,
    /// Somebody has it, and keeps it.
    Hold,
    /// Somebody has it, and unlocks after a while.
    Unlock,
}

/// Returns the keys of the lock.
async fn keys(scene: &Scene) -> Vec<LeaseId> {
    let found = scene.observer.get(prefix("lock/")).await.unwrap();
    found.kvs.iter().map(|pair| pair.lease).collect()
}

/// Sees that nothing is left of a session's attempts, but for what others have.
async fn nothing_is_left(world: &World, scene: &Scene, session: &Session, others: &[LeaseId]) {
    let given = world.now();
    while keys(scene).await != others {
        assert!(world.now() < given + seconds(10), "a key is left: {:?}", keys(scene).await);
        world.sleep(Duration::from_millis(10)).await;
    }
    // Of those whose outcome is not known, one is on the watch for as long as the session is there.
    session.close().await.unwrap();
    world.sleep(seconds(1)).await;
    assert_eq!(watchers(&scene.etcd), 0);
    assert_eq!(scene.observer.leases().await.unwrap().leases, others);
    scene.client.close().await;
    assert_eq!(scene.host.tasks(), 0);
}

/// What happens when `lock` is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drops {
    /// It is dropped right after it was polled last.
    AtOnce,
    /// What it has sent is answered before that.
    Answered,
    /// Its connections break.
    Cut,
}

/// Drops `lock` after so many polls; returns whether it was over before.
fn lock_dropped_after(polls: usize, others: Others, drops: Drops) -> bool {
    let (is_over, _) = run(7, |world| async move {
        let scene = scene(&world).await;
        let session = scene.client.session(seconds(20)).await.unwrap();
        let theirs = scene.observer.session(seconds(20)).await.unwrap();
        let mut guard = None;
        if others != Others::None {
            guard = Some(Mutex::new(&theirs, "lock").lock().await.unwrap());
        }
        if others == Others::Unlock {
            let guard = guard.take().unwrap();
            let (rt, at) = (scene.observer.runtime().clone(), world.now() + seconds(1));
            scene.observer.spawn(async move {
                rt.sleep_until(at).await;
                guard.unlock().await.unwrap();
            });
        }
        let mutex = Mutex::new(&session, "lock");
        let for_a_while = async {
            world.sleep(seconds(3)).await;
            None
        };
        let mut lock = Box::pin(mutex.lock());
        let locked = or(polled(lock.as_mut(), polls), for_a_while).await;
        if drops == Drops::Answered {
            world.sleep(Duration::from_millis(100)).await;
        }
        drop(lock);
        if drops == Drops::Cut {
            for member in 0..3 {
                world.net().cut(scene.host.id(), scene.etcd.address(member), Cut::Reset);
            }
        }
        let is_over = locked.is_some();
        drop(locked);
        // The next one of the session finds the lock as if nothing had been.
        if others != Others::Hold {
            mutex.lock().await.unwrap().unlock().await.unwrap();
        }
        if drops != Drops::Cut {
            world.sleep(seconds(2)).await;
            assert_eq!(watchers(&scene.etcd), 0);
        }
        let left = guard.as_ref().map(|_| theirs.id());
        if left.is_none() {
            theirs.close().await.unwrap();
        }
        nothing_is_left(&world, &scene, &session, left.as_slice()).await;
        is_over
    })
    .unwrap();
    is_over
}

// I-S5
#[test]
fn a_lock_that_is_cancelled_anywhere_leaves_nothing() {
    for drops in [Drops::AtOnce, Drops::Answered, Drops::Cut] {
        for others in [Others::None, Others::Unlock] {
            let last = (0..POLLS).find(|polls| lock_dropped_after(*polls, others, drops));
            let waits = if others == Others::None { 1 } else { 5 };
            assert!(last.is_some_and(|polls| polls > waits), "{others:?}: {last:?}");
        }
        for polls in 0..10 {
            assert!(!lock_dropped_after(polls, Others::Hold, drops));
        }
    }
}

// I-S5
#[test]
fn an_attempt_that_is_cancelled_anywhere_leaves_nothing() {
    for is_held in [false, true] {
        let last = (0..POLLS).find(|polls| {
            let (is_over, _) = run(7, |world| async move {
                let scene = scene(&world).await;
                let session = scene.client.session(seconds(20)).await.unwrap();
                let theirs = scene.observer.session(seconds(20)).await.unwrap();
                let held = Mutex::new(&theirs, "lock");
                let guard = if is_held { held.try_lock().await.unwrap() } else { None };
                let mutex = Mutex::new(&session, "lock");
                let tried = polled(mutex.try_lock(), *polls).await;
                let is_over = tried.is_some();
                if let Some(tried) = tried {
                    assert_eq!(tried.unwrap().is_none(), is_held);
                }
                if guard.is_none() {
                    theirs.close().await.unwrap();
                }
                let left = guard.as_ref().map(|_| theirs.id());
                nothing_is_left(&world, &scene, &session, left.as_slice()).await;
                is_over
            })
            .unwrap();
            is_over
        });
        assert!(last.is_some_and(|polls| polls > 1), "{last:?}");
    }
}

// I-S5, X16
#[test]
fn an_unlock_that_is_cancelled_anywhere_unlocks_all_the_same() {
    let last = (0..POLLS).find(|polls| {
        let (is_over, _) = run(7, |world| async move {
            let scene = scene(&world).await;
            let session = scene.client.session(seconds(20)).await.unwrap();
            let guard = Mutex::new(&session, "lock").lock().await.unwrap();
            let is_over = polled(guard.unlock(), *polls).await.is_some();
            drop(guard);
            nothing_is_left(&world, &scene, &session, &[]).await;
            is_over
        })
        .unwrap();
        is_over
    });
    assert!(last.is_some_and(|polls| polls > 1), "{last:?}");
}

// I-S5: what drops the guard may drop the session right after it.
#[test]
fn a_guard_that_is_dropped_with_its_session_unlocks_at_once() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        {
            let session = scene.client.session(seconds(60)).await.unwrap();
            let _guard = Mutex::new(&session, "lock").lock().await.unwrap();
            assert_eq!(keys(&scene).await, [session.id()]);
        }
        world.sleep(seconds(1)).await;
        assert!(keys(&scene).await.is_empty());
        scene.client.close().await;
        assert_eq!(scene.host.tasks(), 0);
    })
    .unwrap();
}

// I-S5: a member that is suspended carries out what it was sent when it goes on, long after the
// caller has given up and found that nothing was there.
#[test]
fn a_key_that_comes_late_is_deleted() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let session = scene.client.session(seconds(60)).await.unwrap();
        let own = format!("lock/{:x}", session.id().0);
        let late = || async {
            scene.observer.put(own.clone(), "").lease(session.id()).await.unwrap();
            world.sleep(seconds(1)).await;
            !keys(&scene).await.is_empty()
        };
        let mutex = Mutex::new(&session, "lock");
        mutex.lock().await.unwrap().unlock().await.unwrap();
        assert!(late().await, "nothing was in doubt");
        mutex.lock().await.unwrap().unlock().await.unwrap();

        let before = scene.etcd.changes().len();
        scene.set_links(&world, Link { stall_up: true, ..Link::default() });
        assert!(mutex.lock_timeout(Duration::from_millis(20)).await.unwrap().is_none());
        for member in 0..3 {
            world.net().cut(scene.host.id(), scene.etcd.address(member), Cut::Reset);
        }
        scene.set_links(&world, Link::default());
        world.sleep(seconds(15)).await;
        assert_eq!(scene.etcd.changes().len(), before, "the request was lost");
        assert!(!late().await);
        // It was the only one.
        assert!(late().await);
        mutex.lock().await.unwrap().unlock().await.unwrap();
        nothing_is_left(&world, &scene, &session, &[]).await;
    })
    .unwrap();
}
