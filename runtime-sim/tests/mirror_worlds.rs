//! Mirrors in worlds where things go wrong, and what becomes of keys with leases.
#![allow(clippy::unwrap_used)]

mod mirror_support;

use etcd3::recipes::mirror::{Leased, Step};
use etcd3_sim::faults::{Scope, swarm};
use etcd3_sim::{ClusterConfig, Personality, Reachability, World, run};
use futures_lite::future::{or, zip};
use mirror_support::{FROM, POSITION, Scene, TO, kinds, next, pairs, until};
use std::time::Duration;

/// How long things go wrong.
const STORM: Duration = Duration::from_secs(20);

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Changes, faults of both clusters and of the ways to them, and mirrors that are killed: each
/// revision comes once and whole, and in the end both have the same.
async fn storm(world: World, seed: u64) -> (usize, u32) {
    let personality =
        if seed.is_multiple_of(2) { Personality::of(3, 5, 30) } else { Personality::of(3, 7, 3) };
    let (source, target) = (
        ClusterConfig::new(3, personality, seed),
        ClusterConfig::new(3, Personality::of(3, 6, 16), seed + 1),
    );
    let scene = Scene::with(&world, source, target);
    let scope = Scope { clients: 1, members: 3, lasts: STORM };
    let ids = [scene.host.id()];
    let (ours, theirs) = (swarm(seed, scope), swarm(seed ^ 0x3172, scope));
    let faults = async {
        zip(scene.source.suffer(&ours, &ids), scene.target.suffer(&theirs, &ids)).await;
        scene.source.recover(&ids);
        scene.target.recover(&ids);
    };
    let writes = async {
        for n in 0..60 {
            world.sleep(Duration::from_millis(world.below(700))).await;
            let name = format!("{FROM}{}", world.below(20));
            // Whatever becomes of it: the logs of the clusters are compared.
            let _ = match world.below(3) {
                0 => scene.writer.delete(name).await.map(drop),
                _ => scene.writer.put(name, n.to_string()).await.map(drop),
            };
        }
    };
    let mut listings = 0;
    let storm = zip(faults, writes);
    let mirrors = async {
        loop {
            let mut mirror = scene.mirror().max_txn_ops(3);
            let life = async {
                loop {
                    let step = next(&mut mirror).await.step;
                    listings += u32::from(step == Step::Listing);
                }
            };
            or(life, world.sleep(seconds(1 + world.below(15)))).await;
        }
    };
    or(async { (storm.await).0 }, mirrors).await;
    let last = scene.put("last", "").await;
    until(&mut scene.mirror(), last).await;
    scene.assert_equal().await;
    (scene.assert_revisions(), listings)
}

// I-D3, D-06: faults of every kind on both sides.
#[test]
fn in_the_end_both_clusters_have_the_same() {
    let (mut revisions, mut listings) = (0, 0);
    let seeds = if cfg!(debug_assertions) { 25 } else { 400 };
    for seed in 0..seeds {
        let ((applied, listed), _) = run(seed, |world| storm(world, seed)).unwrap();
        revisions += applied;
        listings += listed;
    }
    assert!(revisions > 400, "{revisions} revisions");
    assert!(listings > u32::try_from(seeds).unwrap(), "{listings}: none after a compaction");
}

/// Writes a key on a lease of 5 s that is kept alive, and one without.
async fn leased(scene: &Scene) -> etcd3::Lease {
    let lease = scene.writer.lease(seconds(5)).await.unwrap();
    scene.writer.put("app/leased", "1").lease(lease.id()).await.unwrap();
    scene.put("plain", "1").await;
    lease
}

fn world_of<F: Future<Output = ()>>(program: impl FnOnce(World, Scene) -> F) {
    run(1, |world| {
        let scene = Scene::new(&world);
        program(world, scene)
    })
    .unwrap();
}

async fn names(scene: &Scene) -> Vec<String> {
    pairs(&scene.reader, TO).await.into_keys().collect()
}

// Case 23 (a): a key that expires in the source is deleted by its event.
#[test]
fn a_key_that_expires_is_deleted_from_the_copy() {
    for policy in [Leased::Keep, Leased::Attach(seconds(10))] {
        world_of(|world, scene| async move {
            let lease = leased(&scene).await;
            let mut mirror = scene.mirror().leased(policy);
            until(&mut mirror, 3).await;
            assert_eq!(names(&scene).await, ["leased", "plain"]);
            lease.orphan();
            let begun = world.now();
            let gone = next(&mut mirror).await;
            assert!(world.now().saturating_since(begun) < seconds(5 + 2));
            assert_eq!((gone.puts, gone.deletes), (0, 1));
            assert_eq!(names(&scene).await, ["plain"]);
        });
    }
}

// Case 23: those that are kept are counted, since they outlive the source.
#[test]
fn keys_with_leases_are_kept_or_skipped() {
    for (policy, left) in [(Leased::Keep, 2), (Leased::Skip, 1)] {
        world_of(|_, scene| async move {
            let lease = leased(&scene).await;
            let mut mirror = scene.mirror().leased(policy);
            let steps = until(&mut mirror, 3).await;
            assert_eq!(steps.iter().map(|step| step.leased).sum::<u64>(), 1);
            assert_eq!(names(&scene).await.len(), left);
            assert!(
                scene
                    .reader
                    .get("copy/leased")
                    .await
                    .unwrap()
                    .kvs
                    .iter()
                    .all(|pair| { pair.lease == etcd3::LeaseId::NONE })
            );
            // With a lease, and without one again.
            let name = format!("{FROM}plain");
            scene.writer.put(&name, "2").lease(lease.id()).await.unwrap();
            assert_eq!(next(&mut mirror).await.leased, 1);
            assert_eq!(names(&scene).await.len(), 2 * (left - 1));
            scene.put("plain", "3").await;
            next(&mut mirror).await;
            assert_eq!(names(&scene).await.len(), left);
        });
    }
}

// Case 23 (b): renewed while the source is heard, gone within the time to live when it is not, and
// back when it is.
#[test]
fn attached_keys_live_as_long_as_the_source_is_heard() {
    for restarts in [false, true] {
        world_of(|world, scene| async move {
            let ttl = seconds(10);
            let _lease = leased(&scene).await;
            let mut mirror = scene.mirror().leased(Leased::Attach(ttl));
            until(&mut mirror, 3).await;
            let idle = async { _ = next(&mut mirror).await };
            or(idle, world.sleep(ttl * 4)).await;
            assert_eq!(names(&scene).await, ["leased", "plain"]);
            if restarts {
                drop(mirror);
                mirror = scene.mirror().leased(Leased::Attach(ttl));
                assert!(matches!(next(&mut mirror).await.step, Step::Resumed(_)));
                // It takes the lease over.
                let idle = async { _ = next(&mut mirror).await };
                or(idle, world.sleep(ttl * 4)).await;
                assert_eq!(names(&scene).await, ["leased", "plain"]);
            }
            scene.set_links(&scene.source, Reachability::Hang);
            let idle = async { _ = next(&mut mirror).await };
            or(idle, world.sleep(ttl + seconds(2))).await;
            assert_eq!(names(&scene).await, ["plain"]);
            scene.set_links(&scene.source, Reachability::Open);
            let mut steps = Vec::new();
            while !matches!(kinds(&steps).last(), Some(Step::Synced(_))) {
                steps.push(next(&mut mirror).await);
            }
            assert_eq!(names(&scene).await, ["leased", "plain"]);
            let position = scene.reader.get(POSITION).await.unwrap();
            let stored = position.kvs[0].value_str().unwrap().to_owned();
            let there = scene.reader.get("copy/leased").await.unwrap().kvs[0].lease;
            assert!(stored.ends_with(&format!(" {:x}", there.0)), "{stored} {there}");
        });
    }
}
