//! Hosts that are suspended: what their clocks and timers do, and what their runtime says of it.
#![allow(clippy::unwrap_used)]

use etcd3::runtime::Runtime;
use etcd3::{Client, Config};
use etcd3_sim::faults::{Fault, Planned};
use etcd3_sim::{ClusterConfig, Etcd, Host, Personality, World, run};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn scene(world: &World) -> (Etcd, Host, Client) {
    let etcd = world.etcd(ClusterConfig::new(1, Personality::of(3, 5, 30), world.seed()));
    let host = world.host();
    let client = host.client(Config::new(etcd.endpoints())).unwrap();
    (etcd, host, client)
}

/// The time of a runtime, in seconds, and how long it says that it was suspended.
fn clocks(rt: &dyn Runtime) -> (u64, u64) {
    (rt.now().as_nanos() / 1_000_000_000, rt.suspended().as_secs())
}

/// Notes the time of the world, in seconds, when the sleep of a task on this host is over.
fn sleeper(world: &World, host: &Host, until: Duration) -> Arc<Mutex<Option<u64>>> {
    let woken = Arc::<Mutex<Option<u64>>>::default();
    let (rt, note, world) = (host.runtime(), Arc::clone(&woken), world.clone());
    host.spawn(async move {
        rt.sleep_until(etcd3::runtime::Instant::ORIGIN + until).await;
        assert_eq!(rt.now(), etcd3::runtime::Instant::ORIGIN + until);
        *note.lock().unwrap() = Some(world.now().as_nanos() / 1_000_000_000);
    });
    woken
}

// I-L8
#[test]
fn the_clock_of_a_suspended_host_stands_still_and_its_runtime_tells_for_how_long() {
    run(1, |world| async move {
        let (host, other) = (world.host(), world.host());
        let (rt, beside) = (host.runtime(), other.runtime());
        world.sleep(seconds(10)).await;
        assert_eq!(clocks(&rt), (10, 0));
        host.suspend(seconds(60)).await;
        assert_eq!(clocks(&rt), (10, 60));
        assert_eq!(clocks(&beside), (70, 0));
        world.sleep(seconds(5)).await;
        assert_eq!(clocks(&rt), (15, 60));
        host.suspend(seconds(1)).await;
        assert_eq!((clocks(&rt), clocks(&beside)), ((15, 61), (76, 0)));
    })
    .unwrap();
}

#[test]
fn timers_are_late_by_the_time_that_their_host_was_suspended() {
    run(1, |world| async move {
        let (host, other) = (world.host(), world.host());
        let late = [5, 20, 200].map(|at| sleeper(&world, &host, seconds(at)));
        let beside = sleeper(&world, &other, seconds(20));
        world.sleep(seconds(10)).await;
        host.suspend(seconds(100)).await;
        let set_since = sleeper(&world, &host, seconds(30));
        world.sleep(seconds(500)).await;
        assert_eq!(late.map(|it| *it.lock().unwrap()), [Some(5), Some(120), Some(300)]);
        assert_eq!(*set_since.lock().unwrap(), Some(130));
        assert_eq!(*beside.lock().unwrap(), Some(20));
    })
    .unwrap();
}

// A timer of the host that a task elsewhere waits for: the clock that it counts on stands still.
#[test]
fn who_waits_elsewhere_waits_for_the_clock_of_the_host() {
    run(1, |world| async move {
        let host = world.host();
        let (rt, begin) = (host.runtime(), world.now());
        world.host().spawn({
            let host = host.clone();
            async move { host.suspend(seconds(3600)).await }
        });
        world.sleep(seconds(1)).await;
        rt.sleep_until(rt.now() + seconds(2)).await;
        assert_eq!(world.now().saturating_since(begin), seconds(3602));
        assert!(world.stats().steps < 100, "{} steps", world.stats().steps);
    })
    .unwrap();
}

#[test]
fn a_suspension_that_nobody_waits_for_any_more_is_over() {
    run(1, |world| async move {
        let host = world.host();
        let rt = host.runtime();
        let mut suspension = Box::pin(host.suspend(seconds(60)));
        assert!(futures_lite::future::poll_once(&mut suspension).await.is_none());
        world.sleep(seconds(7)).await;
        drop(suspension);
        world.sleep(seconds(3)).await;
        assert_eq!(clocks(&rt), (3, 7));
    })
    .unwrap();
}

// The clock of the machine is compared with that of the wall, so one that is set looks the same.
#[test]
fn a_wall_clock_that_is_set_counts_as_time_suspended_and_may_be_set_back() {
    run(1, |world| async move {
        let host = world.host();
        let rt = host.runtime();
        host.set_wall_clock_ahead(seconds(50));
        assert_eq!(clocks(&rt), (0, 50));
        host.suspend(seconds(10)).await;
        assert_eq!(clocks(&rt), (0, 60));
        host.set_wall_clock_ahead(seconds(20));
        assert_eq!(clocks(&rt), (0, 30));
    })
    .unwrap();
}

#[test]
fn a_client_goes_on_after_its_machine_was_suspended() {
    run(1, |world| async move {
        let (etcd, host, client) = scene(&world);
        client.put("key", "value").await.unwrap();
        let lasts = seconds(3600);
        let plan = [Planned { at: seconds(1), lasts, fault: Fault::Suspend { client: 0 } }];
        etcd.suffer(&plan, &[host.id()]).await;
        assert_eq!(client.runtime().suspended(), lasts);
        assert_eq!(client.get("key").await.unwrap().kvs[0].value, "value");
        host.set_suspended(true);
        etcd.recover(&[host.id()]);
        client.put("key", "other").await.unwrap();
    })
    .unwrap();
}
