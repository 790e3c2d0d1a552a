//! Leases that end, and what is under way meanwhile.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod lease_support;

use etcd3::LossReason;
use etcd3_sim::{Cut, CutLater, Direction, Link, run};
use futures_lite::future::poll_once;
use lease_support::{scene, seconds};
use std::pin::pin;
use std::time::Duration;

// A renewal from before the revocation is answered after it.
#[test]
fn what_was_revoked_is_not_revived_by_an_old_answer() {
    for seed in 0..60 {
        run(seed, |world| async move {
            let scene = scene(&world).await;
            let lease = scene.client.lease(seconds(60)).await.unwrap();
            world.sleep(seconds(25)).await;
            let member = usize::try_from(world.seed() % 3).unwrap();
            let (host, at) = (scene.host.id(), scene.etcd.address(member));
            world.net().set_link(host, at, Link { stall_down: true, ..Link::default() });
            {
                let mut once = pin!(scene.client.keep_alive_once(lease.id()).send());
                assert!(poll_once(once.as_mut()).await.is_none());
                world.sleep(Duration::from_millis(20)).await;
            }
            lease.revoke().await.unwrap();
            world.net().set_link(host, at, Link::default());
            let again = scene.client.keep_alive(lease.id()).await;
            assert!(again.is_err(), "revoked before: {again:?}");
        })
        .unwrap();
    }
}

// Whichever of its handles is asked, and whether or not it has one.
#[test]
fn a_revocation_of_an_id_is_told_at_once() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let lease = scene.client.lease(seconds(600)).await.unwrap();
        let also = scene.client.keep_alive(lease.id()).await.unwrap();
        scene.client.revoke(lease.id()).await.unwrap();
        assert_eq!(lease.lost().await.reason, LossReason::Revoked);
        world.sleep(Duration::from_millis(1)).await;
        assert!(!lease.is_valid() && !also.is_valid());
        assert_eq!(also.lost().await.reason, LossReason::Revoked);
        let error = scene.client.revoke(lease.id()).await.unwrap_err();
        assert!(error.is_lease_not_found());
    })
    .unwrap();
}

// The answer is lost, whichever member gives it.
#[test]
fn a_revocation_whose_answer_is_lost_is_repeated_after_a_pause() {
    let mut took = Duration::ZERO;
    for seed in 0..20 {
        took += run(seed, |world| async move {
            let scene = scene(&world).await;
            let lease = scene.client.lease(seconds(600)).await.unwrap();
            for member in 0..3 {
                let later = CutLater { direction: Direction::Down, bytes: 0, cut: Cut::Reset };
                world.net().cut_later(scene.host.id(), scene.etcd.address(member), later);
            }
            let began = world.now();
            lease.revoke().await.unwrap();
            assert_eq!(scene.observer.time_to_live(lease.id()).await.unwrap().ttl, None);
            world.now().saturating_since(began)
        })
        .unwrap()
        .0;
    }
    assert!(took > Duration::from_millis(20 * 30), "{took:?} for all of them");
}
