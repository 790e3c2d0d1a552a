//! The counter: nothing is added twice, and nothing is said that is not known.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod lease_support;
mod queues_support;

use etcd3::Outcome;
use etcd3::recipes::{Counter, RecipeError};
use etcd3_sim::{Direction, run};
use futures_lite::future::zip;
use lease_support::{Scene, scene, seconds};
use queues_support::{cut_after, forget_cuts};

#[test]
fn sums_are_exact_whoever_adds() {
    for seed in 0..4 {
        run(seed, |world| async move {
            let scene = scene(&world).await;
            let add = |client: etcd3::Client, amount: i64| async move {
                let counter = Counter::new(&client, "c");
                let mut sums = Vec::new();
                for _ in 0..20 {
                    sums.push(counter.add(amount).await.unwrap());
                }
                assert!(sums.is_sorted());
                sums
            };
            let both = zip(add(scene.client.clone(), 1), add(scene.observer.clone(), 100));
            let (ones, hundreds) = both.await;
            assert_eq!(Counter::new(&scene.client, "c").get().await.unwrap(), 2020);
            let mut all: Vec<_> = ones.into_iter().chain(hundreds).collect();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), 40, "no two saw the same sum");
            assert_eq!(scene.value("c").await.as_deref(), Some("2020"));
        })
        .unwrap();
    }
}

#[test]
fn what_is_no_number_is_an_error() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let counter = Counter::new(&scene.client, "c");
        assert_eq!(counter.compare_and_set(1, 2).await.unwrap(), Err(0));
        assert_eq!(counter.compare_and_set(0, -5).await.unwrap(), Ok(()));
        assert_eq!(counter.add(-5).await.unwrap(), -10);
        for (value, is_number) in [("7\n", true), ("", false), ("x", false), ("1.5", false)] {
            scene.observer.put("c", value).await.unwrap();
            let found = counter.get().await;
            match found {
                Ok(found) => assert!(is_number && found == 7),
                Err(error) => {
                    assert!(matches!(&error, RecipeError::NotANumber(key) if key == "c"));
                    assert!(!is_number && error.outcome() == Outcome::Rejected);
                }
            }
        }
        scene.observer.put("c", i64::MAX.to_string()).await.unwrap();
        assert!(matches!(counter.add(1).await, Err(RecipeError::NotANumber(_))));
        assert_eq!(counter.add(-1).await.unwrap(), i64::MAX - 1);
        // Deleted, it begins anew.
        scene.observer.delete("c").await.unwrap();
        assert_eq!(counter.add(3).await.unwrap(), 3);
    })
    .unwrap();
}

// I-R2: an answer is lost, while somebody else adds or nobody does; nothing is added twice.
#[test]
fn an_addition_whose_answer_is_lost_is_made_once() {
    let (mut made, mut failed) = (0, 0);
    for (is_busy, is_deleted) in [(false, false), (true, false), (true, true)] {
        for direction in [Direction::Down, Direction::Up] {
            for bytes in (0..500).step_by(if is_busy { 25 } else { 10 }) {
                let (is_made, _) = run(bytes, move |world| async move {
                    let scene = scene(&world).await;
                    let (ours, other) =
                        (Counter::new(&scene.client, "c"), Counter::new(&scene.observer, "c"));
                    other.add(1000).await.unwrap();
                    if is_deleted {
                        scene.observer.delete("c").await.unwrap();
                    }
                    cut_after(&world, &scene, direction, bytes);
                    let others = async {
                        for _ in 0..u32::from(is_busy) * 50 {
                            world.sleep(std::time::Duration::from_millis(1)).await;
                            other.add(100).await.unwrap();
                        }
                    };
                    let (added, ()) = zip(ours.add(1), others).await;
                    forget_cuts(&world, &scene);
                    world.sleep(seconds(3)).await;
                    let ones = other.get().await.unwrap() % 100;
                    match added {
                        Ok(_) => assert_eq!(ones, 1, "added once"),
                        Err(error) if error.outcome() == Outcome::Unknown => panic!("{error}"),
                        Err(_) => assert_eq!(ones, 0),
                    }
                    ones == 1
                })
                .unwrap();
                made += u32::from(is_made);
                failed += u32::from(!is_made);
            }
        }
    }
    assert!(made > 0, "{made} made, {failed} failed");
}

// What cannot be found out is told as such.
#[test]
fn an_addition_whose_history_is_compacted_may_be_unknown() {
    let mut unknown = 0;
    for bytes in (0..400).step_by(20) {
        let (is_unknown, _) = run(bytes, move |world| async move {
            let scene = scene(&world).await;
            let (ours, other) =
                (Counter::new(&scene.client, "c"), Counter::new(&scene.observer, "c"));
            cut_after(&world, &scene, Direction::Down, bytes);
            let others = async {
                for _ in 0..50 {
                    world.sleep(std::time::Duration::from_millis(1)).await;
                    other.add(100).await.unwrap();
                    scene.etcd.compact(0);
                }
            };
            let (added, ()) = zip(ours.add(1), others).await;
            world.sleep(seconds(3)).await;
            let ones = other.get().await.unwrap() % 100;
            match added {
                Ok(_) => assert_eq!(ones, 1),
                Err(error) if error.outcome() == Outcome::Unknown => return true,
                Err(_) => assert_eq!(ones, 0),
            }
            false
        })
        .unwrap();
        unknown += u32::from(is_unknown);
    }
    assert!(unknown > 0);
}

/// Adds 1 to 1000 while answers are lost, and somebody else does this as soon as it is written;
/// what came of it, and how often it was written.
fn add_and(seed: u64, meddle: impl AsyncFn(&Scene) + 'static) -> (Result<i64, RecipeError>, usize) {
    let (done, _) = run(seed, move |world| async move {
        let scene = scene(&world).await;
        let ours = Counter::new(&scene.client, "c");
        Counter::new(&scene.observer, "c").add(1000).await.unwrap();
        cut_after(&world, &scene, Direction::Down, seed);
        let others = async {
            for _ in 0..1000 {
                world.sleep(std::time::Duration::from_millis(1)).await;
                if scene.value("c").await.as_deref() == Some("1001") {
                    return meddle(&scene).await;
                }
            }
        };
        let (added, ()) = zip(ours.add(1), others).await;
        let is_ours = |it: &&etcd3_sim::history::Change| it.key == "c/writer";
        let changes = scene.etcd.changes();
        let written = changes.iter().filter(is_ours).filter(|it| it.value.is_some()).count();
        (added, written - 1)
    })
    .unwrap();
    done
}

// I-R2: whatever others make of the keys before it is found out.
#[test]
fn what_became_of_an_addition_is_not_guessed() {
    let mut unknown = 0;
    for bytes in (0..400).step_by(10) {
        let (added, written) = add_and(bytes, async |scene| {
            scene.observer.put("c", "x").await.unwrap();
        });
        match added {
            Ok(sum) => assert_eq!((sum, written), (1001, 1)),
            Err(error) if error.outcome() == Outcome::Unknown => panic!("{error}"),
            Err(_) => assert_eq!(written, 0, "{bytes}: it was added before others wrote"),
        }
        for key in [&["c/writer"][..], &["c", "c/writer"]] {
            let (added, written) = add_and(bytes, async move |scene| {
                let deletions = key.iter().map(|key| etcd3::delete(*key));
                scene.observer.txn().then(deletions).await.unwrap();
            });
            match added {
                Ok(sum) => assert_eq!((sum, written), (1001, 1), "{bytes} {key:?}"),
                Err(error) if error.outcome() == Outcome::Unknown => unknown += 1,
                Err(_) => assert_eq!(written, 0),
            }
        }
    }
    assert!(unknown > 0, "once both are gone");
}
