//! Beginnings of leases: with extreme values, and given up at any moment.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod lease_support;

use etcd3::runtime::BoxFuture;
use etcd3::{LeaseId, OnLoss};
use etcd3_sim::run;
use lease_support::{scene, seconds};
use std::time::Duration;

// Whatever is asked for, the answer is one of a server.
#[test]
fn extremes_are_refused_or_work() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let client = &scene.client;
        for id in [0, -1, i64::MIN, i64::MAX] {
            assert!(client.keep_alive(id).await.unwrap_err().is_lease_not_found(), "{id}");
            assert!(client.keep_alive_once(id).await.unwrap_err().is_lease_not_found(), "{id}");
            let lease = client.lease(seconds(5)).id(id).await.unwrap();
            assert!(id == 0 || lease.id() == LeaseId(id));
            world.sleep(seconds(12)).await;
            assert!(lease.is_valid(), "{id}");
        }
        let short = client.lease(Duration::ZERO).await.unwrap();
        let long = client.lease(seconds(9_000_000_000)).await.unwrap();
        let late = client.lease(seconds(5)).timeout(Duration::MAX).await.unwrap();
        let kept = client.keep_alive(late.id()).timeout(Duration::MAX).await.unwrap();
        world.sleep(seconds(30)).await;
        assert!(short.is_valid() && long.is_valid() && late.is_valid() && kept.is_valid());
        assert!(client.lease(Duration::MAX).await.is_err());
        assert!(client.session(Duration::MAX).on_loss(OnLoss::Regrant).await.is_err());
        assert!(client.register("k", "v").ttl(Duration::MAX).await.is_err());
        assert!(client.lease(seconds(5)).timeout(Duration::ZERO).await.unwrap_err().is_timeout());
        let zero = client.keep_alive(long.id()).timeout(Duration::ZERO).await;
        assert!(zero.unwrap_err().is_timeout());
    })
    .unwrap();
}

// Whenever that is.
#[test]
fn a_beginning_that_is_dropped_leaves_nothing_that_is_renewed() {
    for seed in 0..200 {
        run(seed, |world| async move {
            let scene = scene(&world).await;
            let id = scene.observer.grant(seconds(5)).await.unwrap().id;
            let clients = [(); 5].map(|()| scene.client.clone());
            let [lease, keep, once, session, register] = clients;
            let after = Duration::from_micros(world.below(10_000));
            let both = |work: BoxFuture<'static, ()>| {
                let clock = world.clone();
                scene.host.spawn(futures_lite::future::or(work, async move {
                    clock.sleep(after).await;
                }));
            };
            both(Box::pin(async move { drop(lease.lease(seconds(5)).await) }));
            both(Box::pin(async move { drop(keep.keep_alive(id).await) }));
            both(Box::pin(async move { drop(once.keep_alive_once(id).await) }));
            both(Box::pin(async move {
                drop(session.session(seconds(5)).on_loss(OnLoss::Regrant).await);
            }));
            both(Box::pin(async move { drop(register.register("k", "v").ttl(seconds(5)).await) }));
            world.sleep(seconds(20)).await;
            assert!(scene.observer.leases().await.unwrap().leases.is_empty());
            scene.client.close().await;
            assert_eq!(scene.host.tasks(), 0);
        })
        .unwrap();
    }
}
