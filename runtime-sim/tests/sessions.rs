//! Sessions: what is registered on them, and what becomes of it when their lease is lost.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod lease_support;

use etcd3::{LossReason, OnLoss};
use etcd3_sim::{Link, run};
use futures_lite::future::{or, poll_once};
use lease_support::{scene, seconds};
use std::pin::pin;
use std::time::Duration;

// X2, X3
#[test]
fn a_session_that_may_fail_ends_with_its_lease() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let session = scene.client.session(seconds(5)).await.unwrap();
        session.register("a", "1").await.unwrap();
        session.register("b", "1").await.unwrap();
        session.unregister("b").await.unwrap();
        assert_eq!(scene.value("b").await, None);
        world.sleep(seconds(20)).await;
        assert_eq!(scene.value("a").await.as_deref(), Some("1"));
        let mut lost = pin!(session.lost());
        assert!(poll_once(lost.as_mut()).await.is_none());

        scene.cut_off(&world, true);
        assert_eq!(lost.await.reason, LossReason::DeadlinePassed);
        assert_eq!(scene.value("a").await.as_deref(), Some("1"), "lost before the cluster lets go");
        scene.cut_off(&world, false);
        assert!(session.register("c", "1").await.is_err());
        world.sleep(seconds(10)).await;
        assert!(!session.is_valid());
        assert_eq!((scene.value("a").await, scene.value("c").await), (None, None));
    })
    .unwrap();
}

#[test]
fn a_session_that_is_granted_anew_has_its_keys_again() {
    for seed in 0..10 {
        run(seed, |world| async move {
            let scene = scene(&world).await;
            let begin = scene.client.session(seconds(5)).on_loss(OnLoss::Regrant);
            let session = begin.await.unwrap();
            session.register("a", "1").await.unwrap();
            session.register("a", "2").await.unwrap();
            session.register("gone", "1").await.unwrap();
            session.unregister("gone").await.unwrap();
            let first = session.id();
            let mut lost = pin!(session.lost());
            world.sleep(Duration::from_millis(world.below(5_000))).await;

            scene.cut_off(&world, true);
            world.sleep(seconds(9)).await;
            assert!(!session.is_valid());
            assert_eq!(scene.value("a").await, None);
            // What is registered meanwhile waits for the lease.
            let mut late = pin!(session.register("b", "1"));
            assert!(poll_once(late.as_mut()).await.is_none());
            scene.cut_off(&world, false);
            late.await.unwrap();
            world.sleep(seconds(20)).await;
            assert!(session.is_valid() && session.id() != first);
            assert_eq!(session.regrants(), 1);
            assert_eq!(scene.value("a").await.as_deref(), Some("2"));
            assert_eq!(scene.value("b").await.as_deref(), Some("1"));
            assert_eq!(scene.value("gone").await, None);

            // Somebody revokes it.
            scene.observer.revoke(session.id()).await.unwrap();
            world.sleep(seconds(5)).await;
            assert_eq!(session.regrants(), 2);
            assert_eq!(scene.value("a").await.as_deref(), Some("2"));

            assert!(poll_once(lost.as_mut()).await.is_none());
            session.close().await.unwrap();
            assert_eq!(lost.await.reason, LossReason::Revoked);
            assert_eq!((scene.value("a").await, scene.value("b").await), (None, None));
            assert!(session.register("c", "1").await.unwrap_err().is_lease_not_found());
            world.sleep(seconds(10)).await;
            assert_eq!(session.regrants(), 2);
        })
        .unwrap();
    }
}

// A session that is closed while another lease is being granted leaves no key behind.
#[test]
fn a_session_that_ends_while_it_is_granted_anew_stays_ended() {
    for seed in 0..10 {
        run(seed, |world| async move {
            let scene = scene(&world).await;
            let begin = scene.client.session(seconds(5)).on_loss(OnLoss::Regrant);
            let session = begin.await.unwrap();
            session.register("a", "1").await.unwrap();
            scene.cut_off(&world, true);
            world.sleep(seconds(8)).await;
            scene.cut_off(&world, false);
            world.sleep(Duration::from_millis(world.below(300))).await;
            let _ = session.close().await;
            world.sleep(seconds(12)).await;
            assert_eq!(scene.value("a").await, None);
            assert!(scene.observer.leases().await.unwrap().leases.is_empty());
        })
        .unwrap();
    }
}

// Case 13
#[test]
fn a_session_that_is_dropped_is_not_renewed() {
    for on_loss in [OnLoss::Fail, OnLoss::Regrant] {
        run(1, move |world| async move {
            let scene = scene(&world).await;
            let session = scene.client.session(seconds(5)).on_loss(on_loss).await.unwrap();
            session.register("a", "1").await.unwrap();
            let clone = session.clone();
            drop(session);
            world.sleep(seconds(10)).await;
            assert_eq!(scene.value("a").await.as_deref(), Some("1"));
            let lost = clone.lost();
            drop(clone);
            assert_eq!(lost.await.reason, LossReason::Orphaned);
            world.sleep(seconds(7)).await;
            assert_eq!(scene.value("a").await, None);
            scene.client.get("key").await.unwrap();
            scene.client.close().await;
            assert_eq!(scene.host.tasks(), 0);
        })
        .unwrap();
    }
}

// X1, X4
#[test]
fn a_session_may_have_a_lease_that_exists() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let id = scene.client.grant(seconds(5)).await.unwrap().id;
        let session = scene.client.session_on(id).await.unwrap();
        assert_eq!((session.id(), session.lease().ttl()), (id, seconds(5)));
        session.orphan();
        assert_eq!(session.lost().await.reason, LossReason::Orphaned);
        session.close().await.unwrap();
        assert!(scene.client.time_to_live(id).await.unwrap().ttl.is_some(), "orphaned before");

        let none = scene.client.session_on(7).await;
        assert!(none.unwrap_err().is_lease_not_found());
    })
    .unwrap();
}

#[test]
fn a_registration_is_there_as_long_as_it_lives() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let service = scene.client.register("s", "1").ttl(seconds(5)).await.unwrap();
        scene.cut_off(&world, true);
        world.sleep(seconds(9)).await;
        assert!(!service.is_valid());
        assert_eq!(scene.value("s").await, None);
        scene.cut_off(&world, false);
        world.sleep(seconds(3)).await;
        assert_eq!(scene.value("s").await.as_deref(), Some("1"));
        service.set_value("2").await.unwrap();
        assert_eq!(scene.value("s").await.as_deref(), Some("2"));
        assert!(service.is_valid());
        let mut lost = pin!(service.lost());
        assert!(poll_once(lost.as_mut()).await.is_none(), "a lease that is lost is not the end");
        drop(service);
        assert_eq!(lost.await.reason, LossReason::Orphaned);
        world.sleep(seconds(7)).await;
        assert_eq!(scene.value("s").await, None);
    })
    .unwrap();
}

// A future that is kept and not polled has begun to write a key.
#[test]
fn a_registration_that_is_not_polled_holds_up_no_other_for_ever() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let begin = scene.client.session(seconds(60)).on_loss(OnLoss::Regrant);
        let session = begin.await.unwrap();
        session.register("a", "1").await.unwrap();
        let mut stuck = pin!(session.register("b", "1"));
        assert!(poll_once(stuck.as_mut()).await.is_none());
        // It waits for its turn, and is not polled either.
        let mut waits = pin!(session.register("c", "1"));
        assert!(poll_once(waits.as_mut()).await.is_none());
        world.sleep(seconds(1)).await;
        let first = session.id();
        scene.observer.revoke(first).await.unwrap();
        let _ = scene.client.keep_alive_once(first).await;
        world.sleep(seconds(20)).await;
        assert!(session.id() != first && session.is_valid());
        assert_eq!(scene.value("a").await.as_deref(), Some("1"));
        session.register("b", "2").await.unwrap();
        // What it wrote is gone, or was overwritten.
        assert!(stuck.await.is_err());
        assert!(waits.await.is_err());
        assert_eq!(scene.value("b").await.as_deref(), Some("2"));
        assert_eq!(session.regrants(), 1);
    })
    .unwrap();
}

// The members that are left have no leader when the key is written.
#[test]
fn the_options_of_a_registration_are_those_of_the_write_too() {
    let mut writes = 0;
    for seed in 0..60 {
        writes += run(seed, |world| async move {
            let scene = scene(&world).await;
            let begin = scene.client.register("s", "1").ttl(seconds(60));
            let begin = begin.require_leader(true).timeout(seconds(8));
            let mut begin = pin!(begin.send());
            let moment = Duration::from_micros(world.below(6_000));
            let early = async {
                world.sleep(moment).await;
                None
            };
            let done = or(async { Some(begin.as_mut().await.is_ok()) }, early).await;
            if done.is_some() {
                return 0;
            }
            (0..2).for_each(|member| scene.etcd.kill(member));
            let held_back = Link { stall_up: true, ..Link::default() };
            for (link, time) in [(held_back, 3), (Link::default(), 0)] {
                for member in 0..3 {
                    world.net().set_link(scene.host.id(), scene.etcd.address(member), link);
                }
                world.sleep(seconds(time)).await;
            }
            let Err(error) = begin.await else { return 0 };
            if error.method() != Some("/etcdserverpb.KV/Put") {
                return 0;
            }
            let report = error.report().to_string();
            let is_early = ["the connection was lost", "etcdserver: request timed out"];
            if is_early.iter().any(|text| report.contains(text)) {
                return 0;
            }
            assert!(report.contains("no leader"), "{moment:?} {report}");
            1
        })
        .unwrap()
        .0;
    }
    assert!(writes > 3, "{writes} were written without a leader");
}
