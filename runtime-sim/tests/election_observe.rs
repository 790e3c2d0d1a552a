//! The leaders of an election as its followers see them: every leader in order, whatever happens.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod lease_support;

use etcd3::recipes::{Leader, LeaderChange, LeaderChanges};
use etcd3::{Client, delete, put};
use etcd3_sim::run;
use futures_lite::future::poll_once;
use lease_support::{Scene, scene, seconds};
use std::pin::pin;

/// Returns what the next change says: the kind and the value.
async fn next(changes: &mut LeaderChanges) -> String {
    match changes.next().await.expect("no end").expect("no failure") {
        LeaderChange::Elected(leader) => format!("elected {}", leader.value_str().unwrap()),
        LeaderChange::Proclaimed(leader) => format!("proclaimed {}", leader.value_str().unwrap()),
        _ => "vacant".to_owned(),
    }
}

/// Polls it once, and drops the future.
async fn check_waits(changes: &mut LeaderChanges) {
    assert!(poll_once(pin!(changes.next())).await.is_none());
}

/// Asserts that nothing more is to be told.
async fn check_quiet(scene: &Scene, world: &etcd3_sim::World, changes: &mut LeaderChanges) {
    scene.observer.put("other", "").await.unwrap();
    world.sleep(seconds(5)).await;
    check_waits(changes).await;
}

// X26, X27, CONC-017: each value of the leader is told, and who leads next.
#[test]
fn leaders_and_their_values_are_told_in_order() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let writer = &scene.observer;
        let mut changes = LeaderChanges::new(&scene.client, "e");
        assert_eq!(next(&mut changes).await, "vacant");
        assert_eq!(Leader::of(&scene.client, "e").await.unwrap(), None);
        writer.put("e/b", "b1").await.unwrap();
        assert_eq!(next(&mut changes).await, "elected b1");
        writer.put("e/a", "a1").await.unwrap();
        writer.put("e/b", "b2").await.unwrap();
        writer.put("e/a", "a2").await.unwrap();
        writer.put("e/b", "b2").await.unwrap();
        assert_eq!(next(&mut changes).await, "proclaimed b2");
        assert_eq!(next(&mut changes).await, "proclaimed b2");
        let leader = Leader::of(&scene.client, "e").await.unwrap().unwrap();
        assert_eq!(leader.key(), "e/b");
        assert!(writer.compare([leader.fence()]).await.unwrap());
        writer.delete("e/b").await.unwrap();
        assert_eq!(next(&mut changes).await, "elected a2");
        assert!(!writer.compare([leader.fence()]).await.unwrap());
        writer.delete("e/a").await.unwrap();
        assert_eq!(next(&mut changes).await, "vacant");
        check_quiet(&scene, &world, &mut changes).await;
    })
    .unwrap();
}

// X28: whoever was cut off hears of all that happened, and of nothing twice.
#[test]
fn nobody_who_led_meanwhile_is_passed_over() {
    for seed in 0..5 {
        run(seed, |world| async move {
            let scene = scene(&world).await;
            let writer = &scene.observer;
            writer.put("e/1", "1a").await.unwrap();
            let mut changes = LeaderChanges::new(&scene.client, "e");
            assert_eq!(next(&mut changes).await, "elected 1a");
            world.sleep(seconds(1)).await;
            scene.cut_off(&world, true);
            writer.put("e/1", "1b").await.unwrap();
            writer.put("e/2", "2a").await.unwrap();
            writer.delete("e/1").await.unwrap();
            writer.put("e/2", "2b").await.unwrap();
            writer.delete("e/2").await.unwrap();
            writer.put("e/1", "1c").await.unwrap();
            writer.delete("e/1").await.unwrap();
            writer.put("e/3", "3a").await.unwrap();
            check_waits(&mut changes).await;
            world.sleep(seconds(20)).await;
            scene.cut_off(&world, false);
            assert_eq!(next(&mut changes).await, "proclaimed 1b");
            let expected = ["elected 2a", "proclaimed 2b", "vacant", "elected 1c", "vacant"];
            for expected in expected.into_iter().chain(["elected 3a"]) {
                assert_eq!(next(&mut changes).await, expected);
            }
            check_quiet(&scene, &world, &mut changes).await;
        })
        .unwrap();
    }
}

// X28, S-09: the first one of several that came together leads, not the last, nor the first key.
#[test]
fn of_several_candidates_in_one_batch_the_first_one_leads() {
    for seed in 0..5 {
        run(seed, |world| async move {
            let scene = scene(&world).await;
            let writer = &scene.observer;
            let mut changes = LeaderChanges::new(&scene.client, "e");
            assert_eq!(next(&mut changes).await, "vacant");
            check_waits(&mut changes).await;
            world.sleep(seconds(1)).await;
            scene.cut_off(&world, true);
            writer.put("e/2", "two").await.unwrap();
            writer.put("e/1", "one").await.unwrap();
            writer.put("e/3", "three").await.unwrap();
            world.sleep(seconds(20)).await;
            scene.cut_off(&world, false);
            assert_eq!(next(&mut changes).await, "elected two");
            check_waits(&mut changes).await;

            // A candidate that takes part and one that leaves, in one revision.
            let change = [put("e/0", "zero").into(), delete("e/2").into()];
            let change: [etcd3::Op; 2] = change;
            writer.txn().then(change).await.unwrap();
            assert_eq!(next(&mut changes).await, "elected one");
        })
        .unwrap();
    }
}

// S-08, CONC-016: what has been compacted away is left out; what there is is told, once.
#[test]
fn a_compaction_is_survived() {
    for seed in 0..5 {
        for is_vacant in [false, true] {
            run(seed, move |world| async move {
                let scene = scene(&world).await;
                let writer = &scene.observer;
                if !is_vacant {
                    writer.put("e/1", "1").await.unwrap();
                }
                let mut changes = LeaderChanges::new(&scene.client, "e");
                let first = if is_vacant { "vacant" } else { "elected 1" };
                assert_eq!(next(&mut changes).await, first);
                {
                    check_waits(&mut changes).await;
                    world.sleep(seconds(1)).await;
                    scene.cut_off(&world, true);
                    let last = replace_all(writer).await;
                    writer.compact(last).await.unwrap();
                    world.sleep(seconds(20)).await;
                    scene.cut_off(&world, false);
                    assert_eq!(next(&mut changes).await, "elected 3b");
                }
                // Nothing has changed for who was cut off once more.
                scene.cut_off(&world, true);
                let last = writer.put("other", "").await.unwrap().header.revision;
                writer.compact(last).await.unwrap();
                world.sleep(seconds(20)).await;
                scene.cut_off(&world, false);
                check_quiet(&scene, &world, &mut changes).await;
                writer.put("e/3", "3c").await.unwrap();
                assert_eq!(next(&mut changes).await, "proclaimed 3c");
            })
            .unwrap();
        }
    }
}

/// Has others lead; returns the last revision.
async fn replace_all(writer: &Client) -> i64 {
    writer.put("e/2", "2").await.unwrap();
    writer.delete("e/1").await.unwrap();
    writer.put("e/3", "3a").await.unwrap();
    writer.delete("e/2").await.unwrap();
    writer.put("e/3", "3b").await.unwrap();
    writer.put("other", "").await.unwrap().header.revision
}

// Case 18
#[test]
fn an_election_is_not_disturbed_by_what_is_stored_below_it() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let writer = &scene.observer;
        for other in ["job/sub/1a", "job/config", "job/", "job", "jobs/1a", "job/0123456789abcdef0"]
        {
            writer.put(other, "other").await.unwrap();
        }
        for n in 0..40 {
            writer.put(format!("job/sub/{n:x}"), "other").await.unwrap();
        }
        assert_eq!(Leader::of(&scene.client, "job").await.unwrap(), None);
        let mut changes = LeaderChanges::new(&scene.client, "job");
        assert_eq!(next(&mut changes).await, "vacant");
        writer.put("job/sub/2b", "other").await.unwrap();
        check_quiet(&scene, &world, &mut changes).await;
        writer.put("job/7f", "ours").await.unwrap();
        assert_eq!(next(&mut changes).await, "elected ours");
        let leader = Leader::of(&scene.client, "job").await.unwrap().unwrap();
        assert_eq!((&leader.key()[..], &leader.value()[..]), (&b"job/7f"[..], &b"ours"[..]));
        let leader = Leader::of(&scene.client, "job/sub").await.unwrap().unwrap();
        assert_eq!(leader.key(), "job/sub/1a");
    })
    .unwrap();
}

// I-S6: the stream ends with a reason, once.
#[test]
fn the_end_is_told_with_its_reason() {
    for is_vacant in [false, true] {
        run(1, move |world| async move {
            let scene = scene(&world).await;
            if !is_vacant {
                scene.observer.put("e/1", "1").await.unwrap();
            }
            let mut changes = LeaderChanges::new(&scene.client, "e");
            next(&mut changes).await;
            check_waits(&mut changes).await;
            world.sleep(seconds(1)).await;
            scene.client.close().await;
            assert!(changes.next().await.unwrap().unwrap_err().is_closed());
            assert!(changes.next().await.is_none());
            drop(changes);
            world.sleep(seconds(1)).await;
            assert_eq!((scene.host.tasks(), scene.host.connections()), (0, 0));
        })
        .unwrap();
    }
}
