//! Locks, and what becomes of them when things go wrong.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod lease_support;

use etcd3::recipes::{Mutex, RecipeError};
use etcd3::{LossReason, prefix};
use etcd3_sim::run;
use futures_lite::future::poll_once;
use lease_support::{scene, seconds};
use std::pin::pin;

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
