//! What a client counts: each thing once, where it belongs.
#![allow(clippy::unwrap_used)]

use etcd3::{CallClass, CallMetrics, Client, Config, Latencies, Metrics, get, put};
use etcd3_sim::{ClusterConfig, Cut, CutLater, Direction, Etcd, Host, Personality, World, run};
use futures_lite::future::{poll_once, zip};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn scene_with(
    world: &World,
    members: usize,
    change: impl FnOnce(Config) -> Config,
) -> (Etcd, Host, Client) {
    let config = ClusterConfig::new(members, Personality::of(3, 5, 30), world.seed());
    let (etcd, host) = (world.etcd(config), world.host());
    let client = host.client(change(Config::new(etcd.endpoints()))).unwrap();
    (etcd, host, client)
}

fn scene(world: &World, members: usize) -> (Etcd, Host, Client) {
    scene_with(world, members, |config| config)
}

fn of(metrics: &Metrics, class: CallClass) -> CallMetrics {
    metrics.of(class).unwrap().clone()
}

/// The calls of a class: started, succeeded, attempts, retries.
fn counts(metrics: &Metrics, class: CallClass) -> [u64; 4] {
    let it = of(metrics, class);
    [it.started, it.succeeded, it.attempts, it.retries]
}

// OBS-001, OBS-002
#[test]
fn each_call_and_each_event_counts_once() {
    run(1, |world| async move {
        let (_etcd, _host, client) = scene(&world, 1);
        let before = client.metrics();
        assert!(before.calls.iter().all(|it| it.started == 0), "{before:?}");
        assert_eq!(before.calls.len(), CallClass::ALL.len());
        client.get("k").await.unwrap();
        assert_eq!(counts(&client.metrics(), CallClass::Read), [1, 1, 1, 0]);
        let mut watch = client.watch("foo").from_revision(2).await.unwrap();
        let before = client.metrics();
        client.put("foo", "bar").await.unwrap();
        watch.next().await.unwrap().unwrap();
        let after = client.metrics();
        assert_eq!(counts(&after, CallClass::Put), [1, 1, 1, 0]);
        assert_eq!((before.watches.batches, after.watches.batches), (0, 1));
        client.txn().then([put("foo", "1"), put("bar", "2")]).await.unwrap();
        client.delete("foo").await.unwrap();
        for _ in 0..2 {
            watch.next().await.unwrap().unwrap();
        }
        let after = client.metrics();
        assert_eq!((after.watches.batches, after.watches.events), (3, 3));
        assert_eq!((after.watches.streams, after.watches.reopened), (1, 0));
        assert_eq!(counts(&after, CallClass::Txn), [1, 1, 1, 0]);
        assert_eq!(counts(&after, CallClass::Delete), [1, 1, 1, 0]);
        let open = (after.connections.dialed, after.connections.made, after.connections.open());
        assert_eq!(open, (1, 1, 1));
        // Clones and pinned clients count together.
        let pinned = client.pinned_to(client.endpoints()[0].clone()).unwrap();
        pinned.clone().put("k", "v").await.unwrap();
        assert_eq!(counts(&client.metrics(), CallClass::Put), [2, 2, 2, 0]);
        client.close().await;
        world.sleep(SECOND).await;
        assert_eq!(client.metrics().connections.open(), 0);
    })
    .unwrap();
}

// A call is in one class of results, whichever way it ends.
#[test]
fn a_call_that_fails_counts_by_its_outcome() {
    run(2, |world| async move {
        let (etcd, host, client) = scene(&world, 1);
        client.put("k", "v").lease(77).await.unwrap_err();
        let it = of(&client.metrics(), CallClass::Put);
        assert_eq!((it.rejected, it.failed(), it.attempts), (1, 1, 1));
        // Its answer is lost.
        let cut = CutLater { direction: Direction::Down, bytes: 1, cut: Cut::Reset };
        assert_eq!(world.net().cut_later(host.id(), etcd.address(0), cut), 1);
        client.put("k", "v").await.unwrap_err();
        let it = of(&client.metrics(), CallClass::Put);
        assert_eq!((it.unknown, it.failed(), it.timed_out), (1, 2, 0));
        etcd.kill(0);
        client.put("k", "v").timeout(SECOND).await.unwrap_err();
        let it = of(&client.metrics(), CallClass::Put);
        assert_eq!((it.not_sent, it.failed(), it.timed_out, it.in_flight()), (1, 3, 1, 0));
        let failed = client.metrics().connections;
        assert!(failed.failed > 0 && failed.open() == 0, "{failed:?}");
        assert_eq!(failed.dialed, failed.failed + failed.made);
        // One that nobody waits for any more, and one that was never begun.
        let mut waiting = client.get("k").send();
        assert!(poll_once(&mut waiting).await.is_none());
        assert_eq!(of(&client.metrics(), CallClass::Read).in_flight(), 1);
        drop(waiting);
        drop(client.get("k").send());
        let it = of(&client.metrics(), CallClass::Read);
        assert_eq!((it.started, it.dropped, it.in_flight()), (1, 1, 0));
    })
    .unwrap();
}

#[test]
fn what_is_sent_again_is_a_retry() {
    run(3, |world| async move {
        let (etcd, _host, client) = scene(&world, 3);
        client.put("k", "v").await.unwrap();
        world.sleep(SECOND).await;
        for member in 0..2 {
            // With reads under way at each of the members.
            let mut reads: Vec<_> = (0..60).map(|_| client.get("k").send()).collect();
            for read in &mut reads {
                assert!(poll_once(read).await.is_none());
            }
            etcd.kill(member);
            etcd.revive(member);
            for read in reads {
                read.await.unwrap();
            }
            world.sleep(10 * SECOND).await;
        }
        let it = of(&client.metrics(), CallClass::Read);
        assert_eq!((it.attempts, it.failed()), (it.succeeded + it.retries, 0), "{it:?}");
        assert!(it.retries > 0, "{it:?}");
        let connections = client.metrics().connections;
        assert!(connections.ended >= 2 && connections.open() == 3, "{connections:?}");
    })
    .unwrap();
}

#[test]
fn latencies_are_measured_where_they_are_wanted() {
    run(4, |world| async move {
        let (etcd, _host, client) = scene_with(&world, 1, |it| it.measure_latencies(true));
        client.put("k", "v").await.unwrap();
        for _ in 0..9 {
            zip(client.get("k").send(), client.execute(get("k")).send()).await.0.unwrap();
        }
        client.put("k", "v").lease(7).await.unwrap_err();
        let metrics = client.metrics();
        for (class, count) in [(CallClass::Put, 1), (CallClass::Read, 18), (CallClass::Txn, 0)] {
            let Latencies { sum, .. } = of(&metrics, class).latencies.unwrap();
            assert_eq!(of(&metrics, class).latencies.unwrap().count(), count, "{class}");
            assert_eq!(sum.is_zero(), count == 0, "{class}: {sum:?}");
        }
        etcd.pause(0);
        let (slow, wait) = (client.get("k").send(), world.sleep(2 * SECOND));
        let reviving = async {
            wait.await;
            etcd.revive(0);
        };
        zip(slow, reviving).await.0.unwrap();
        let latencies = of(&client.metrics(), CallClass::Read).latencies.unwrap();
        let over = Latencies::BOUNDS.iter().position(|bound| *bound > SECOND).unwrap();
        assert_eq!(latencies.counts[over..].iter().sum::<u64>(), 1, "{latencies:?}");
        assert!(latencies.sum >= 2 * SECOND);

        let (_etcd, _host, client) = scene(&world, 1);
        client.put("k", "v").await.unwrap();
        assert_eq!(of(&client.metrics(), CallClass::Put).latencies, None);
    })
    .unwrap();
}

#[test]
fn renewals_losses_and_resumed_watches_are_counted() {
    run(5, |world| async move {
        let (etcd, _host, client) = scene(&world, 1);
        let lease = client.lease(3 * SECOND).await.unwrap();
        let mut watch = client.watch("k").await.unwrap();
        world.sleep(10 * SECOND).await;
        let leases = client.metrics().leases;
        assert!(leases.renewed >= 5 && leases.streams == 1 && leases.lost == 0, "{leases:?}");
        etcd.kill(0);
        world.sleep(20 * SECOND).await;
        etcd.revive(0);
        world.sleep(20 * SECOND).await;
        assert!(!lease.is_valid());
        client.put("k", "v").await.unwrap();
        watch.next().await.unwrap().unwrap();
        let metrics = client.metrics();
        let (leases, watches) = (metrics.leases, metrics.watches);
        assert!(leases.lost == 1 && leases.late >= 1 && leases.reopened >= 1, "{leases:?}");
        assert!(watches.reopened >= 1 && watches.resumed == 1, "{watches:?}");
        assert_eq!((watches.events, watches.failed), (1, 0));
        client.compact(client.put("k", "v").await.unwrap().header.revision).await.unwrap();
        client.watch("k").from_revision(1).await.unwrap().next().await.unwrap().unwrap_err();
        assert_eq!(client.metrics().watches.failed, 1);
    })
    .unwrap();
}

// Streams of answers are calls as well.
#[test]
fn a_snapshot_is_a_call() {
    run(6, |world| async move {
        let (_etcd, _host, client) = scene(&world, 1);
        let mut snapshot = client.maintenance().snapshot();
        snapshot.next().await.unwrap().unwrap();
        assert_eq!(of(&client.metrics(), CallClass::Other).in_flight(), 1);
        while let Some(chunk) = snapshot.next().await {
            chunk.unwrap();
        }
        assert_eq!(counts(&client.metrics(), CallClass::Other), [1, 1, 1, 0]);
        drop(snapshot);
        let mut dropped = client.maintenance().snapshot();
        dropped.next().await.unwrap().unwrap();
        drop(dropped);
        let it = of(&client.metrics(), CallClass::Other);
        assert_eq!((it.started, it.succeeded, it.dropped, it.in_flight()), (2, 1, 1, 0));
    })
    .unwrap();
}
