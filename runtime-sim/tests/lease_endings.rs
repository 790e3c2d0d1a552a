//! Leases that end, and what is under way meanwhile.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

use etcd3::{Client, Config};
use etcd3_sim::{ClusterConfig, Etcd, Host, Link, Personality, World, run};
use futures_lite::future::poll_once;
use std::pin::pin;
use std::time::Duration;

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

struct Scene {
    etcd: Etcd,
    host: Host,
    client: Client,
    /// Of another host, to which nothing happens.
    observer: Client,
}

async fn scene(world: &World) -> Scene {
    let etcd = world.etcd(ClusterConfig::new(3, Personality::of(3, 5, 30), world.seed()));
    let host = world.host();
    let client = host.client(Config::new(etcd.endpoints())).unwrap();
    let observer = world.host().client(Config::new(etcd.endpoints())).unwrap();
    client.put("key", "value").await.unwrap();
    observer.get("key").await.unwrap();
    world.sleep(seconds(1)).await;
    Scene { etcd, host, client, observer }
}

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
