//! Futures that a program runs by its client: closing waits for them, but not for ever.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

use etcd3::{Client, Config};
use etcd3_sim::{ClusterConfig, Personality, World, run};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn client(world: &World) -> Client {
    let etcd = world.etcd(ClusterConfig::new(1, Personality::of(3, 5, 30), world.seed()));
    world.host().client(Config::new(etcd.endpoints())).unwrap()
}

#[test]
fn closing_waits_for_what_was_spawned() {
    run(1, |world| async move {
        let client = client(&world);
        client.put("k", "v").await.unwrap();
        let is_done = Arc::new(AtomicBool::new(false));
        let (rt, done) = (Arc::clone(client.runtime()), Arc::clone(&is_done));
        client.spawn(async move {
            rt.sleep_until(rt.now() + 3 * SECOND).await;
            done.store(true, Ordering::Relaxed);
        });
        let begin = world.now();
        client.close().await;
        assert!(is_done.load(Ordering::Relaxed));
        assert_eq!(world.now().saturating_since(begin), 3 * SECOND);
    })
    .unwrap();
}

#[test]
fn closing_does_not_wait_for_ever() {
    run(2, |world| async move {
        let client = client(&world);
        client.put("k", "v").await.unwrap();
        client.spawn(std::future::pending());
        let begin = world.now();
        client.close().await;
        assert_eq!(world.now().saturating_since(begin), 5 * SECOND);
    })
    .unwrap();
}
