//! Queues: what becomes of items when answers are lost, futures are dropped, and watches end.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod lease_support;
mod queues_support;

use etcd3::recipes::{PriorityQueue, Queue, RecipeError};
use etcd3::{Client, KeyValue, Outcome, put};
use etcd3_sim::{Direction, run};
use futures_lite::future::{poll_once, zip};
use lease_support::{Scene, scene, seconds};
use queues_support::{cut_after, forget_cuts, pairs, polled, values};
use std::pin::pin;

fn text(item: &KeyValue) -> String {
    item.value_str().unwrap().to_owned()
}

/// Takes all items there are.
async fn drain(client: &Client, name: &str) -> Vec<String> {
    let queue = Queue::new(client, name);
    let mut items = Vec::new();
    while let Some(item) = queue.try_dequeue().await.unwrap() {
        items.push(text(&item));
    }
    items
}

// X43, REC-015
#[test]
fn items_are_taken_in_the_order_of_their_revisions() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let queue = Queue::new(&scene.client, "q");
        for n in 0..20 {
            queue.enqueue(n.to_string()).await.unwrap();
        }
        // One of Go's, whose name comes before or after those of the others.
        scene.observer.put("q/1700000000000000000", "20").await.unwrap();
        let expected: Vec<_> = (0..=20).map(|n| n.to_string()).collect();
        assert_eq!(drain(&scene.observer, "q").await, expected);
    })
    .unwrap();
}

// X43: "q" is the beginning of "q2".
#[test]
fn a_queue_does_not_see_those_whose_names_begin_with_its_own() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        Queue::new(&scene.client, "q2").enqueue("other").await.unwrap();
        PriorityQueue::new(&scene.client, "q3").enqueue("other", 0).await.unwrap();
        let queue = Queue::new(&scene.client, "q");
        assert!(queue.try_dequeue().await.unwrap().is_none());
        let mut waits = pin!(queue.dequeue());
        assert!(poll_once(waits.as_mut()).await.is_none());
        world.sleep(seconds(1)).await;
        Queue::new(&scene.client, "q2").enqueue("another").await.unwrap();
        queue.enqueue("mine").await.unwrap();
        assert_eq!(text(&waits.await.unwrap()), "mine");
        assert_eq!(drain(&scene.observer, "q2").await, ["other", "another"]);
    })
    .unwrap();
}

// I-S3: the history that a reader waits for is compacted while it is cut off.
#[test]
fn a_wait_survives_compaction_and_lost_watches() {
    for seed in 0..4 {
        run(seed, |world| async move {
            let scene = scene(&world).await;
            let queue = Queue::new(&scene.client, "q");
            let ranked = PriorityQueue::new(&scene.client, "p");
            let mut waits = pin!(zip(queue.dequeue(), ranked.dequeue()));
            assert!(poll_once(waits.as_mut()).await.is_none());
            let waiting = futures_lite::future::or(async { Some(waits.as_mut().await) }, async {
                world.sleep(seconds(2)).await;
                None
            });
            assert!(waiting.await.is_none());

            scene.cut_off(&world, true);
            let ours = Queue::new(&scene.observer, "q");
            ours.enqueue("a").await.unwrap();
            PriorityQueue::new(&scene.observer, "p").enqueue("b", 7).await.unwrap();
            for _ in 0..10 {
                scene.observer.put("noise", "").await.unwrap();
            }
            scene.etcd.compact(0);
            world.sleep(seconds(60)).await;
            scene.cut_off(&world, false);
            let (first, second) = waits.await;
            assert_eq!((text(&first.unwrap()), text(&second.unwrap())), ("a".into(), "b".into()));
        })
        .unwrap();
    }
}

// A listing that fails while a reader waits is made again; the first one is not.
#[test]
fn what_passes_ends_no_wait_but_the_first_read_fails() {
    run(2, |world| async move {
        let scene = scene(&world).await;
        let queue = Queue::new(&scene.client, "q");
        scene.cut_off(&world, true);
        let error = queue.dequeue().await.unwrap_err();
        assert!(matches!(&error, RecipeError::Call(error) if error.is_timeout()), "{error}");
        scene.cut_off(&world, false);

        let taken = queue.dequeue();
        let script = async {
            world.sleep(seconds(1)).await;
            queue.enqueue("a").await.unwrap();
            // Before the reader lists.
            scene.cut_off(&world, true);
            world.sleep(seconds(30)).await;
            scene.cut_off(&world, false);
        };
        assert_eq!(text(&zip(taken, script).await.0.unwrap()), "a");
        scene.client.close().await;
        assert!(queue.dequeue().await.unwrap_err().call().unwrap().is_closed());
    })
    .unwrap();
}

// The time is over whether or not the members answer, also to the listing that follows an event.
#[test]
fn a_wait_with_a_bound_ends_in_time_also_while_nobody_answers() {
    let mut taken = 0;
    for delay in 0..40 {
        let (is_taken, _) = run(2, |world| async move {
            let scene = scene(&world).await;
            let queue = Queue::new(&scene.client, "q");
            let begin = world.now();
            let elapsed = || world.now().saturating_since(begin);
            let bounded = async { (queue.dequeue_timeout(seconds(10)).await, elapsed()) };
            let script = async {
                world.sleep(seconds(1)).await;
                Queue::new(&scene.observer, "q").enqueue("a").await.unwrap();
                world.sleep(std::time::Duration::from_millis(delay)).await;
                scene.cut_off(&world, true);
                world.sleep(seconds(60)).await;
            };
            let ((item, after), ()) = zip(bounded, script).await;
            match item {
                Ok(None) => assert_eq!(after.as_secs(), 10, "{delay}"),
                Ok(Some(_)) => return true,
                // The claim had begun.
                Err(error) => assert!(matches!(error, RecipeError::ClaimUnknown(_)), "{error}"),
            }
            let before = elapsed();
            assert_eq!(queue.dequeue_timeout(seconds(1)).await.unwrap(), None);
            assert_eq!(elapsed().saturating_sub(before).as_secs(), 1);
            false
        })
        .unwrap();
        taken += u32::from(is_taken);
    }
    assert!((1..40).contains(&taken), "{taken}");
}

/// Enqueues while the connections are cut after so many bytes; whether that came.
async fn enqueue_and_cut(scene: &Scene, call: impl Future<Output = Result<(), RecipeError>>) {
    let done = call.await;
    let mut items = values(scene, "q/").await;
    items.extend(values(scene, "p/").await);
    match &done {
        Ok(()) => assert_eq!(items, ["a"]),
        Err(error) => {
            // Nobody took it, so that it was not written, unless it is yet to be.
            assert_eq!(items, [""; 0], "{error}");
            assert!(error.outcome() != Outcome::Rejected, "{error}");
        }
    }
}

// I-R2, S-05: the answer of an enqueue is lost, or the request.
#[test]
fn an_enqueue_whose_answer_is_lost_is_looked_for() {
    for direction in [Direction::Down, Direction::Up] {
        for bytes in (0..400).step_by(7) {
            run(bytes, move |world| async move {
                let scene = scene(&world).await;
                let queue = Queue::new(&scene.client, "q");
                cut_after(&world, &scene, direction, bytes);
                enqueue_and_cut(&scene, async { queue.enqueue("a").await.map(drop) }).await;
            })
            .unwrap();
            run(bytes, move |world| async move {
                let scene = scene(&world).await;
                let queue = PriorityQueue::new(&scene.client, "p");
                cut_after(&world, &scene, direction, bytes);
                enqueue_and_cut(&scene, async { queue.enqueue("a", 1).await.map(drop) }).await;
            })
            .unwrap();
        }
    }
}

/// Dequeues while the connections are cut after so many bytes; what came of it.
async fn dequeue_and_cut(
    world: &etcd3_sim::World,
    scene: &Scene,
    taken: Result<KeyValue, RecipeError>,
    under: &str,
) -> &'static str {
    forget_cuts(world, scene);
    world.sleep(seconds(3)).await;
    let rest = values(scene, under).await;
    match taken {
        Ok(item) => {
            assert_eq!(text(&item), "a");
            assert_eq!(rest, ["b"]);
            "taken"
        }
        Err(RecipeError::ClaimUnknown(unknown)) => {
            assert_eq!(text(&unknown.item), "a");
            assert_eq!(unknown.error.outcome(), Outcome::Unknown);
            assert_eq!(rest, ["b"], "nobody else gets it");
            "unknown"
        }
        Err(error) => {
            assert!(error.outcome() != Outcome::Unknown, "{error}");
            assert_eq!(rest, ["a", "b"]);
            "failed"
        }
    }
}

// I-S8: a claim without an answer is never taken for a failure.
#[test]
fn a_claim_whose_answer_is_lost_is_settled_or_told_with_the_item() {
    for ranked in [false, true] {
        let mut seen = Vec::new();
        for direction in [Direction::Down, Direction::Up] {
            for bytes in (0..500).step_by(3) {
                let (came, _) = run(bytes, move |world| async move {
                    let scene = scene(&world).await;
                    if ranked {
                        let queue = PriorityQueue::new(&scene.observer, "p");
                        queue.enqueue("b", 2).await.unwrap();
                        queue.enqueue("a", 1).await.unwrap();
                        cut_after(&world, &scene, direction, bytes);
                        let taken = PriorityQueue::new(&scene.client, "p").dequeue().await;
                        dequeue_and_cut(&world, &scene, taken, "p/").await
                    } else {
                        scene.observer.put("q/2", "a").await.unwrap();
                        scene.observer.put("q/3", "b").await.unwrap();
                        cut_after(&world, &scene, direction, bytes);
                        let taken = Queue::new(&scene.client, "q").dequeue().await;
                        dequeue_and_cut(&world, &scene, taken, "q/").await
                    }
                })
                .unwrap();
                seen.push((direction == Direction::Up, came));
            }
        }
        assert!(seen.contains(&(false, "unknown")), "no answer of a claim was lost: {seen:?}");
        assert!(seen.contains(&(true, "taken")), "no claim was made again: {seen:?}");
    }
}

// The sweep of cancellation: dropped at every await point, and the same reader goes on.
#[test]
fn a_reader_that_gives_up_gets_the_item_later() {
    for times in 0..100 {
        let (ended, _) = run(7, move |world| async move {
            let scene = scene(&world).await;
            for item in ["a", "b"] {
                Queue::new(&scene.observer, "q").enqueue(item).await.unwrap();
            }
            let queue = Queue::new(&scene.client, "q");
            let taken = polled(times, queue.dequeue()).await;
            if let Some(item) = &taken {
                assert_eq!(text(item.as_ref().unwrap()), "a");
            } else {
                assert_eq!(text(&queue.dequeue().await.unwrap()), "a");
            }
            assert_eq!(text(&queue.dequeue().await.unwrap()), "b");
            assert_eq!(pairs(&scene, "q").await, []);
            taken.is_some()
        })
        .unwrap();
        if ended {
            assert!(times > 2, "it was ready at once");
            return;
        }
    }
    panic!("it was never ready");
}

// The same, and nobody goes on: the item is put back, after a second, or when the reader is
// dropped.
#[test]
fn an_item_that_nobody_takes_any_more_is_put_back() {
    for (keeps, ranked) in [(false, false), (true, false), (false, true)] {
        for times in 0..100 {
            let (ended, _) = run(7, move |world| async move {
                let scene = scene(&world).await;
                let write = PriorityQueue::new(&scene.observer, "q");
                for (priority, item) in [(1, "a"), (2, "b")] {
                    write.enqueue(item, priority).await.unwrap();
                }
                let (fifo, by_rank) =
                    (Queue::new(&scene.client, "q"), PriorityQueue::new(&scene.client, "q"));
                let taken = if ranked {
                    polled(times, by_rank.dequeue()).await
                } else {
                    polled(times, fifo.dequeue()).await
                };
                if !keeps {
                    drop((fifo, by_rank));
                }
                world.sleep(seconds(5)).await;
                let mut items = values(&scene, "q/").await;
                if let Some(item) = &taken {
                    items.insert(0, text(item.as_ref().unwrap()));
                }
                assert_eq!(items, ["a", "b"], "put back in the order of its key");
                taken.is_some()
            })
            .unwrap();
            if ended {
                break;
            }
            assert!(times < 99, "it was never ready");
        }
    }
}

// X44, REC-019: also one that comes between the listing and the claim is taken first.
#[test]
fn priorities_go_up_and_equal_ones_are_in_order() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let queue = PriorityQueue::new(&scene.client, "p");
        for n in 0..30_u16 {
            queue.enqueue(format!("{}.{n:02}", n % 3), n % 3).await.unwrap();
        }
        // Two of Go's.
        scene.observer.put("p/00001/0000000000000100", "1.99").await.unwrap();
        queue.enqueue("1.990", 1).await.unwrap();
        let mut items = Vec::new();
        while let Some(item) = queue.try_dequeue().await.unwrap() {
            items.push(text(&item));
        }
        let mut sorted = items.clone();
        sorted.sort();
        assert_eq!(items, sorted);
        assert_eq!(items.len(), 32);
    })
    .unwrap();
}

// X44: the number is that of the last one, and whoever lost the race reads again.
#[test]
fn writers_of_one_priority_never_share_a_number() {
    for seed in 0..5 {
        run(seed, |world| async move {
            let scene = scene(&world).await;
            let (one, two) =
                (PriorityQueue::new(&scene.client, "p"), PriorityQueue::new(&scene.observer, "p"));
            let write = |queue: PriorityQueue, who: char| async move {
                for n in 0..10 {
                    queue.enqueue(format!("{who}{n}"), 3).await.unwrap();
                }
            };
            zip(write(one.clone(), 'a'), write(two, 'b')).await;
            let keys: Vec<String> =
                pairs(&scene, "p/").await.into_iter().map(|(key, _)| key).collect();
            let numbers: Vec<_> = keys.iter().map(|key| &key[..24]).collect();
            let expected: Vec<_> = (0..20).map(|n| format!("p/00003/{n:016}")).collect();
            assert_eq!(numbers, expected);
            // In the order of the revisions.
            let found = scene.observer.get(etcd3::prefix("p/")).await.unwrap();
            assert!(found.kvs.is_sorted_by_key(|pair| pair.create_revision));
        })
        .unwrap();
    }
}

// The item that was listed first is first no more.
#[test]
fn an_item_is_not_taken_before_one_that_came_meanwhile() {
    let mut overtaken = 0;
    for micros in (0..40_000).step_by(400) {
        let (was, _) = run(3, move |world| async move {
            let scene = scene(&world).await;
            let queue = PriorityQueue::new(&scene.client, "p");
            queue.enqueue("late", 5).await.unwrap();
            let script = async {
                world.sleep(std::time::Duration::from_micros(micros)).await;
                let urgent = PriorityQueue::new(&scene.observer, "p");
                urgent.enqueue("urgent", 1).await.unwrap();
            };
            let (taken, ()) = zip(queue.dequeue(), script).await;
            let taken = taken.unwrap();
            let changes = scene.etcd.changes();
            let at = |key: &str, written: bool| {
                let mut it = changes.iter().filter(|it| it.key.starts_with(key));
                it.find(|it| it.value.is_some() == written).map(|it| it.revision)
            };
            let (urgent, gone) = (at("p/00001/", true).unwrap(), at("p/00005/", false));
            if text(&taken) == "late" {
                assert!(gone.unwrap() < urgent, "taken before one of a higher priority");
            }
            text(&taken) == "urgent"
        })
        .unwrap();
        overtaken += u32::from(was);
    }
    assert!(overtaken > 0);
}

// What is put under the prefix by others is an item, whatever its name.
#[test]
fn an_item_of_any_name_is_taken() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        scene.observer.execute(put("p/x", "b")).await.unwrap();
        scene.observer.execute(put("p/00001/huh", "a")).await.unwrap();
        scene.observer.execute(put("p/", "bare")).await.unwrap();
        let queue = PriorityQueue::new(&scene.client, "p");
        queue.enqueue("c", 1).await.unwrap();
        for expected in ["bare", "c", "a", "b"] {
            assert_eq!(text(&queue.dequeue().await.unwrap()), expected);
        }
    })
    .unwrap();
}
