//! Leases that are kept alive, in exact time.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

use etcd3::runtime::{Instant, Runtime};
use etcd3::{Client, Config, LeaseId, LeaseStatus, LossReason};
use etcd3_sim::{ClusterConfig, Etcd, Host, Link, Personality, Reachability, World, run};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

struct Scene {
    etcd: Etcd,
    host: Host,
    client: Client,
}

/// A client that is connected to all members.
async fn scene(world: &World, members: usize) -> Scene {
    let etcd = world.etcd(ClusterConfig::new(members, Personality::of(3, 5, 30), world.seed()));
    let host = world.host();
    let client = host.client(Config::new(etcd.endpoints())).unwrap();
    client.put("key", "value").await.unwrap();
    world.sleep(seconds(1)).await;
    Scene { etcd, host, client }
}

impl Scene {
    /// Returns the seconds that a lease has left for the leader; `None` if it has no such lease.
    fn left(&self, id: LeaseId) -> Option<i64> {
        self.etcd.model(|cluster, now| {
            let leader = cluster.leader().unwrap();
            let leases = cluster.replica(leader).unwrap().store().leases();
            leases.find(id.0).map(|lease| lease.remaining(now))
        })
    }

    fn leader(&self) -> usize {
        let leader = self.etcd.model(|cluster, _| cluster.leader().unwrap());
        (0..self.etcd.members()).find(|member| self.etcd.member_id(*member) == leader).unwrap()
    }

    /// Has all that is sent between the client and the cluster vanish, or not any more.
    fn black_hole(&self, world: &World, is_black: bool) {
        let reachability = if is_black { Reachability::Hang } else { Reachability::Open };
        for member in 0..self.etcd.members() {
            let link =
                Link { reachability, stall_up: is_black, stall_down: is_black, ..Link::default() };
            world.net().set_link(self.host.id(), self.etcd.address(member), link);
        }
    }
}

/// Notes each status of a lease, with the seconds since now at which it came.
fn follow(world: &World, scene: &Scene, lease: &etcd3::Lease) -> Arc<Mutex<Vec<(f64, String)>>> {
    let notes = Arc::<Mutex<Vec<_>>>::default();
    let (mut changes, world, note) = (lease.status_changes(), world.clone(), Arc::clone(&notes));
    let began = world.now();
    scene.host.spawn(async move {
        while let Some(status) = changes.next().await {
            let text = match status {
                LeaseStatus::Ok => "ok".to_owned(),
                LeaseStatus::Late { .. } => "late".to_owned(),
                LeaseStatus::Lost(lost) => format!("{:?}", lost.reason),
                other => format!("{other:?}"),
            };
            let at = world.now().saturating_since(began).as_secs_f64();
            note.lock().unwrap().push((at, text));
        }
    });
    notes
}

#[test]
fn a_lease_lives_as_long_as_its_handle_and_no_longer() {
    run(1, |world| async move {
        let scene = scene(&world, 3).await;
        let lease = scene.client.lease(seconds(10)).await.unwrap();
        let clone = lease.clone();
        scene.client.put("k", "v").lease(lease.id()).await.unwrap();
        drop(lease);
        for _ in 0..60 {
            world.sleep(seconds(1)).await;
            assert!(clone.is_valid());
            assert!(scene.left(clone.id()).unwrap() >= 6, "{:?}", scene.left(clone.id()));
            let left = clone.valid_until().saturating_since(scene.host.runtime().now());
            assert!(left >= seconds(6) && left <= seconds(10), "{left:?}");
        }
        let (id, lost) = (clone.id(), clone.lost());
        drop(clone);
        assert_eq!(lost.await.reason, LossReason::Orphaned);
        world.sleep(seconds(11)).await;
        assert_eq!(scene.left(id), None);
        assert_eq!(scene.client.get("k").await.unwrap().count, 0);
    })
    .unwrap();
}

// Case 16
#[test]
fn a_lease_in_trouble_says_so_before_it_is_lost() {
    for seed in 0..20 {
        run(seed, |world| async move {
            let scene = scene(&world, 3).await;
            let lease = scene.client.lease(seconds(10)).await.unwrap();
            world.sleep(Duration::from_millis(20_000 + world.below(4_000))).await;
            let notes = follow(&world, &scene, &lease);
            scene.black_hole(&world, true);
            world.sleep(seconds(6)).await;
            scene.black_hole(&world, false);
            world.sleep(seconds(20)).await;
            let notes = notes.lock().unwrap().clone();
            let texts: Vec<_> = notes.iter().map(|(_, text)| text.as_str()).collect();
            assert_eq!(texts, ["ok", "late", "ok"], "{notes:?}");
            assert!(notes[1].0 <= 4.0, "{notes:?}");
        })
        .unwrap();
    }
}

// I-L4
#[test]
fn a_lease_that_nobody_can_renew_is_lost_before_the_cluster_lets_it_go() {
    for seed in 0..20 {
        run(seed, |world| async move {
            let scene = scene(&world, 3).await;
            let lease = scene.client.lease(seconds(5)).await.unwrap();
            world.sleep(Duration::from_millis(20_000 + world.below(2_000))).await;
            scene.black_hole(&world, true);
            let lost = lease.lost().await;
            assert_eq!(lost.reason, LossReason::DeadlinePassed);
            assert!(scene.left(lease.id()).is_some());
            world.sleep(seconds(3)).await;
            assert_eq!(scene.left(lease.id()), None);
            scene.black_hole(&world, false);
            world.sleep(seconds(10)).await;
            assert!(matches!(lease.status(), LeaseStatus::Lost(_)));
        })
        .unwrap();
    }
}

// I-L3, L-01, L-02: the leader, which all of them forward to, is paused, cut off, or killed.
#[test]
fn a_lease_survives_every_fault_of_one_member() {
    for (seed, fault) in (0..30).map(|seed| (seed, seed % 3)) {
        run(seed, |world| async move {
            let scene = scene(&world, 3).await;
            let lease = scene.client.lease(seconds(5)).await.unwrap();
            world.sleep(Duration::from_millis(8_000 + world.below(2_000))).await;
            let notes = follow(&world, &scene, &lease);
            for _ in 0..5 {
                let leader = scene.leader();
                match fault {
                    0 => scene.etcd.pause(leader),
                    1 => scene.etcd.kill(leader),
                    _ => scene.etcd.isolate(leader),
                }
                world.sleep(Duration::from_millis(8_000 + world.below(2_000))).await;
                match fault {
                    2 => scene.etcd.heal(),
                    _ => scene.etcd.revive(leader),
                }
                world.sleep(Duration::from_millis(8_000 + world.below(2_000))).await;
            }
            assert!(lease.is_valid(), "{fault}: {:?}", notes.lock().unwrap());
        })
        .unwrap();
    }
}

#[test]
fn a_lease_is_ended_in_the_ways_that_there_are() {
    run(1, |world| async move {
        let scene = scene(&world, 3).await;
        let client = &scene.client;
        let [revoked, orphaned, expired, closed, dropped] =
            std::array::from_fn::<_, 5, _>(|_| client.lease(seconds(10)));
        let (revoked, orphaned) = (revoked.await.unwrap(), orphaned.await.unwrap());
        let (expired, closed) = (expired.await.unwrap(), closed.await.unwrap());
        let dropped = dropped.await.unwrap().revoke_on_drop();
        let also = client.keep_alive(revoked.id()).await.unwrap();

        revoked.revoke().await.unwrap();
        assert_eq!(revoked.lost().await.reason, LossReason::Revoked);
        assert_eq!(also.lost().await.reason, LossReason::Revoked);
        assert_eq!(scene.left(revoked.id()), None);
        revoked.revoke().await.unwrap();

        orphaned.orphan();
        assert_eq!(orphaned.lost().await.reason, LossReason::Orphaned);

        let other = world.host().client(Config::new(scene.etcd.endpoints())).unwrap();
        other.revoke(expired.id()).await.unwrap();
        client.keep_alive_once(expired.id()).await.unwrap_err();
        assert_eq!(expired.lost().await.reason, LossReason::Expired);
        let error = client.keep_alive_once(expired.id()).await.unwrap_err();
        assert!(error.is_lease_not_found(), "{error:?}");
        let error = client.keep_alive(expired.id()).await.unwrap_err();
        assert!(error.is_lease_not_found(), "{error:?}");

        let id = dropped.id();
        drop(dropped);
        world.sleep(Duration::from_millis(100)).await;
        assert_eq!(scene.left(id), None);

        client.close().await;
        assert_eq!(closed.lost().await.reason, LossReason::Closed);
        assert!(client.lease(seconds(10)).await.unwrap_err().is_closed());
        assert!(client.keep_alive(closed.id()).await.unwrap_err().is_closed());
        assert!(client.keep_alive_once(closed.id()).await.unwrap_err().is_closed());
        assert_eq!(scene.host.tasks(), 0);
    })
    .unwrap();
}

#[test]
fn the_stream_ends_when_there_is_no_lease_and_begins_again() {
    run(1, |world| async move {
        let scene = scene(&world, 1).await;
        let before = scene.host.tasks();
        for _ in 0..3 {
            let id = scene.client.grant(seconds(10)).await.unwrap().id;
            scene.client.keep_alive_once(id).await.unwrap();
            world.sleep(seconds(7)).await;
            // The control task and the connection of leases stay.
            assert_eq!(scene.host.tasks(), before + 2);
        }
    })
    .unwrap();
}

// I-L8
#[test]
fn time_that_the_machine_was_suspended_counts() {
    run(1, |world| async move {
        let scene = scene(&world, 3).await;
        let long = scene.client.lease(seconds(60)).await.unwrap();
        let short = scene.client.lease(seconds(10)).await.unwrap();
        world.sleep(seconds(20)).await;
        scene.host.suspend(seconds(12)).await;
        // Before anything else ran.
        let short = short.status();
        assert!(matches!(short, LeaseStatus::Lost(_)), "{short:?}");
        let now = scene.host.runtime().now();
        let left = long.valid_until().saturating_since(now);
        assert!(left <= seconds(48), "{left:?}");
        world.sleep(seconds(30)).await;
        assert!(long.is_valid());
        assert!(long.valid_until().saturating_since(scene.host.runtime().now()) > seconds(38));
        assert!(scene.left(long.id()).is_some());
    })
    .unwrap();
}

// I-L1, I-L8: a call that renews a lease is under way when the machine is suspended; the server
// counts from before that.
#[test]
fn a_renewal_that_is_answered_after_a_suspension_counts_from_before_it() {
    for seed in 0..20 {
        run(seed, |world| async move {
            let scene = scene(&world, 3).await;
            let lease = scene.client.lease(seconds(12)).await.unwrap();
            let granted = lease.valid_until();
            while lease.valid_until() == granted {
                world.sleep(Duration::from_millis(10)).await;
            }
            for member in 0..3 {
                let link = Link { stall_down: true, ..Link::default() };
                world.net().set_link(scene.host.id(), scene.etcd.address(member), link);
            }
            // It was asked for on the stream, and then by a call of its own.
            world.sleep(Duration::from_millis(5_800 + world.below(1_500))).await;
            scene.host.suspend(Duration::from_millis(2_500 + world.below(1_000))).await;
            scene.black_hole(&world, false);
            for _ in 0..40 {
                world.sleep(Duration::from_millis(50)).await;
                let left = lease.valid_until().saturating_since(scene.host.runtime().now());
                let expiry = scene.etcd.lease_expiry(lease.id().0).unwrap();
                let is_safe = world.now() + left <= expiry || !lease.is_valid();
                assert!(is_safe, "{left:?} at {:?}, {expiry:?}", world.now());
            }
        })
        .unwrap();
    }
}

// L-03, L-04: what nobody reads changes nothing.
#[test]
fn renewals_are_as_frequent_as_they_have_to_be() {
    run(1, |world| async move {
        let scene = scene(&world, 3).await;
        let lease = scene.client.lease(seconds(9)).await.unwrap();
        let _unread = lease.status_changes();
        let mut renewals = Vec::new();
        let mut last = Instant::ORIGIN;
        for _ in 0..6_000 {
            world.sleep(Duration::from_millis(10)).await;
            let until = lease.valid_until();
            if until != last {
                renewals.push(until);
                last = until;
            }
        }
        for pair in renewals.windows(2) {
            let between = pair[1].saturating_since(pair[0]);
            assert!(
                between >= Duration::from_millis(2_700) && between <= seconds(3),
                "{between:?}"
            );
        }
        assert!((20..=23).contains(&renewals.len()), "{}", renewals.len());
    })
    .unwrap();
}

// I-L1: an answer that was long on its way says little of how long the lease lives.
#[test]
fn a_lease_that_was_granted_long_ago_is_renewed_before_it_is_handed_out() {
    run(1, |world| async move {
        let scene = scene(&world, 1).await;
        let link = Link { stall_down: true, ..Link::default() };
        world.net().set_link(scene.host.id(), scene.etcd.address(0), link);
        let (net, host, at) = (world.net().clone(), scene.host.id(), scene.etcd.address(0));
        let begin = world.clone();
        scene.host.spawn(async move {
            begin.sleep(Duration::from_millis(2_500)).await;
            net.set_link(host, at, Link::default());
        });
        let lease = scene.client.lease(seconds(4)).await.unwrap();
        let left = lease.valid_until().saturating_since(scene.host.runtime().now());
        assert!(left > seconds(3), "{left:?}");
        world.sleep(seconds(20)).await;
        assert!(lease.is_valid());
    })
    .unwrap();
}
