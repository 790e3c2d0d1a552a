//! Several handles of one session in an election, which are one candidate.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod election_support;
mod lease_support;

use election_support::{Two, candidates, reason, two};
use etcd3::recipes::{Election, RecipeError};
use etcd3::{LossReason, prefix};
use etcd3_sim::run;
use futures_lite::future::{or, pending, poll_once};
use lease_support::{scene, seconds};
use std::pin::pin;
use std::time::Duration;

// CONC-013: one session is one candidate.
#[test]
fn who_campaigns_again_proclaims() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let Two { leader, theirs, session, election } = two(&scene).await;
        let mut first = pin!(election.campaign("one"));
        assert!(poll_once(first.as_mut()).await.is_none());
        let another = Election::new(&session, "e");
        let second = async { another.campaign("two").await };
        let mut second = pin!(second);
        for _ in 0..100 {
            assert!(poll_once(first.as_mut()).await.is_none());
            assert!(poll_once(second.as_mut()).await.is_none());
            world.sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(candidates(&scene.observer).await, ["theirs", "two"]);
        leader.resign().await.unwrap();
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        assert_eq!(first.create_revision(), second.create_revision());

        // What the one proclaims, the other may follow.
        first.proclaim("three").await.unwrap();
        second.proclaim("four").await.unwrap();
        first.proclaim("five").await.unwrap();
        assert_eq!(candidates(&scene.observer).await, ["five"]);
        let third = Election::new(&session, "e").campaign("five").await.unwrap();
        drop((second, third));
        world.sleep(seconds(2)).await;
        assert!(first.is_valid(), "a guest leaves the key alone");
        let mut lost = pin!(first.lost());
        assert!(poll_once(lost.as_mut()).await.is_none());
        let guest = another.resume().await.unwrap().unwrap();
        guest.resign().await.unwrap();
        let told = lost.await;
        assert!(matches!(told, RecipeError::KeyDeleted(_)), "{told}");
        drop(first);
        let again = Election::new(&theirs, "e").campaign("theirs").await.unwrap();
        assert!(again.is_valid());
    })
    .unwrap();
}

// CONC-013: a guest whose host gives up takes part by itself.
#[test]
fn a_guest_goes_on_when_its_host_gives_up() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let Two { leader, session, election, .. } = two(&scene).await;
        let another = Election::new(&session, "e");
        let mut second = pin!(another.campaign("two"));
        {
            let mut first = pin!(election.campaign("one"));
            for _ in 0..100 {
                assert!(poll_once(first.as_mut()).await.is_none());
                assert!(poll_once(second.as_mut()).await.is_none());
                world.sleep(Duration::from_millis(20)).await;
            }
        }
        let later = async {
            world.sleep(seconds(5)).await;
            assert_eq!(candidates(&scene.observer).await, ["theirs", "two"]);
            leader.resign().await.unwrap();
            pending().await
        };
        let second = or(second, later).await.unwrap();
        assert!(second.is_valid());
        assert_eq!(candidates(&scene.observer).await, ["two"]);
        drop(second);
        world.sleep(seconds(1)).await;
        assert_eq!(candidates(&scene.observer).await, [""; 0]);
    })
    .unwrap();
}

// CONC-001: a handle of what is over holds nobody up.
#[test]
fn who_leads_no_more_campaigns_again() {
    for by_guest in [false, true] {
        run(1, move |world| async move {
            let scene = scene(&world).await;
            let session = scene.client.session(seconds(60)).await.unwrap();
            let election = Election::new(&session, "e");
            let first = election.campaign("one").await.unwrap();
            if by_guest {
                election.resume().await.unwrap().unwrap().resign().await.unwrap();
            } else {
                scene.observer.delete(prefix("e/")).await.unwrap();
            }
            let second = election.campaign_timeout("two", seconds(5)).await.unwrap().unwrap();
            let told = first.lost().await;
            assert!(matches!(told, RecipeError::KeyDeleted(_)), "{told}");
            drop(first);
            world.sleep(seconds(1)).await;
            assert!(second.is_valid());
            assert_eq!(candidates(&scene.observer).await, ["two"]);
            drop(second);
            world.sleep(seconds(1)).await;
            assert_eq!(candidates(&scene.observer).await, [""; 0]);
            assert!(session.is_valid());
        })
        .unwrap();
    }
}

// I-S2: also where another handle of the session is at it.
#[test]
fn a_guest_ends_with_its_session() {
    for waits in [false, true] {
        run(1, move |world| async move {
            let scene = scene(&world).await;
            let session = scene.client.session(seconds(10)).await.unwrap();
            let election = Election::new(&session, "e");
            let first = election.campaign("one").await.unwrap();
            if waits {
                first.resign().await.unwrap();
            }
            scene.cut_off(&world, true);
            let begin = world.now();
            assert_eq!(
                reason(election.campaign("two").await.unwrap_err()),
                LossReason::DeadlinePassed
            );
            assert!(world.now() <= begin + seconds(10));
            assert_eq!(
                reason(election.campaign("two").await.unwrap_err()),
                LossReason::DeadlinePassed
            );
        })
        .unwrap();
    }
}
