//! What is held in the name of a session: who is told of its loss and when, and what is left.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod lease_support;

use etcd3::recipes::{Mutex, RecipeError};
use etcd3_sim::{Link, run};
use futures_lite::future::or;
use lease_support::{scene, seconds};
use std::pin::pin;

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
