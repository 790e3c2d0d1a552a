//! Watches of the shipped client in virtual time.
#![allow(clippy::unwrap_used)]

use etcd3::{Client, Config, ErrorKind, EventKind, Previous, Watch, WatchItem, prefix};
use etcd3_sim::{ClusterConfig, Cut, Etcd, Host, Link, Personality, Reachability, World, run};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

async fn scene_of(world: &World, members: usize) -> (Etcd, Host, Client) {
    let etcd = world.etcd(ClusterConfig::new(members, Personality::of(3, 5, 30), world.seed()));
    let host = world.host();
    let client = host.client(Config::new(etcd.endpoints())).unwrap();
    client.put("before", "").await.unwrap();
    (etcd, host, client)
}

async fn scene(world: &World) -> (Etcd, Host, Client) {
    scene_of(world, 3).await
}

/// Takes events until so many have come; returns their keys and revisions.
async fn take(watch: &mut Watch, count: usize) -> Vec<(String, i64)> {
    let mut events = vec![];
    while events.len() < count {
        let batch = watch.next().await.unwrap().unwrap();
        events.extend(
            batch.into_iter().map(|it| (it.kv.key_str().unwrap().to_owned(), it.revision())),
        );
    }
    events
}

fn refusing() -> Link {
    Link { reachability: Reachability::Refuse, ..Link::default() }
}

fn stalled() -> Link {
    Link { stall_up: true, stall_down: true, ..Link::default() }
}

/// Cuts all connections of a host.
fn cut(world: &World, etcd: &Etcd, host: &Host) {
    for member in 0..etcd.members() {
        world.net().cut(host.id(), etcd.address(member), Cut::Reset);
    }
}

#[test]
fn events_say_what_happened() {
    run(1, |world| async move {
        let (_etcd, _host, client) = scene(&world).await;
        let mut watch = client.watch(prefix("k/")).prev_kv().await.unwrap();
        client.put("k/a", "1").await.unwrap();
        client.put("k/a", "").await.unwrap();
        client.put("other", "").await.unwrap();
        client.delete("k/a").await.unwrap();
        let mut seen = vec![];
        while seen.len() < 3 {
            seen.extend(watch.next().await.unwrap().unwrap());
        }
        assert!(seen[0].is_create() && seen[0].prev_kv() == Previous::Absent);
        assert!(seen[1].is_modify() && seen[1].prev_kv().pair().unwrap().value == "1");
        assert!(
            seen[2].kind == EventKind::Delete && seen[2].prev_kv().pair().unwrap().value.is_empty()
        );
        assert!(watch.status().is_live);
        watch.cancel().await;
    })
    .unwrap();
}

// I-W1, I-W2, W84: whatever is cut, each event comes once and in order.
#[test]
fn a_watch_survives_cuts_and_dead_members() {
    for seed in 0..30 {
        run(seed, |world| async move {
            let (etcd, host, client) = scene(&world).await;
            let writer = world.host().client(Config::new(etcd.endpoints())).unwrap();
            let mut watch = client.watch(prefix("k/")).await.unwrap();
            let start = watch.status().revision + 1;
            for n in 0..60 {
                // Whether it is written or not, the changes tell.
                let _ = writer.put(format!("k/{}", n % 7), n.to_string()).await;
                match world.below(6) {
                    0 => cut(&world, &etcd, &host),
                    1 => {
                        let member = usize::try_from(world.below(3)).unwrap();
                        etcd.kill(member);
                        world.sleep(SECOND / 2).await;
                        etcd.revive(member);
                    }
                    _ => {}
                }
            }
            etcd.heal();
            client.get("k").await.unwrap();
            let changes = etcd.changes().into_iter().filter(|it| it.revision >= start);
            let changes: Vec<_> = changes.map(|it| (it.key, it.revision)).collect();
            assert!(changes.len() > 30, "{}", changes.len());
            assert_eq!(take(&mut watch, changes.len()).await, changes);
        })
        .unwrap();
    }
}

// H1, H2, I-W5: nothing was delivered yet, and nothing of before or of the time between is wrong.
#[test]
fn an_idle_watch_that_is_cut_goes_on_where_it_began() {
    run(1, |world| async move {
        let (etcd, host, client) = scene(&world).await;
        client.put("k", "old").await.unwrap();
        let writer = world.host().client(Config::new(etcd.endpoints())).unwrap();
        let mut watch = client.watch("k").await.unwrap();
        cut(&world, &etcd, &host);
        let revision = writer.put("k", "new").await.unwrap().header.revision;
        assert_eq!(take(&mut watch, 1).await, [("k".to_owned(), revision)]);
    })
    .unwrap();
}

// I-W6, W78
#[test]
fn compaction_is_told_once_with_both_revisions() {
    run(1, |world| async move {
        let (etcd, host, client) = scene(&world).await;
        let writer = world.host().client(Config::new(etcd.endpoints())).unwrap();
        let mut watch = client.watch("k").await.unwrap();
        let start = watch.status().revision + 1;
        for member in 0..3 {
            world.net().set_link(host.id(), etcd.address(member), refusing());
        }
        cut(&world, &etcd, &host);
        for _ in 0..5 {
            writer.put("k", "").await.unwrap();
        }
        writer.compact(start + 3).await.unwrap();
        for member in 0..3 {
            world.net().set_link(host.id(), etcd.address(member), Link::default());
        }
        let error = watch.next().await.unwrap().unwrap_err();
        let expected = ErrorKind::WatchCompacted { requested: start, compacted: start + 3 };
        assert_eq!(error.kind(), expected, "{error}");
        assert!(error.is_compacted());
        assert!(watch.next().await.is_none());
    })
    .unwrap();
}

// W38, W81, I-W9
#[test]
fn cancelling_takes_no_time_when_nobody_answers() {
    run(1, |world| async move {
        let (etcd, host, client) = scene(&world).await;
        let mut watch = client.watch("k").await.unwrap();
        for member in 0..3 {
            world.net().set_link(host.id(), etcd.address(member), stalled());
        }
        let handle = watch.handle();
        let began = world.now();
        handle.cancel().await;
        assert_eq!(world.now(), began);
        assert!(watch.next().await.is_none());
        // One that no server has taken yet, too.
        let untaken = client.watch("k").from_revision(1).timeout(SECOND).send().await;
        assert!(untaken.unwrap_err().is_timeout());
    })
    .unwrap();
}

// W88, I-W9: the stream is given back a second after its last watch.
#[test]
fn a_stream_without_watches_is_closed() {
    run(1, |world| async move {
        let (_etcd, _host, client) = scene(&world).await;
        let streams =
            || client.health().endpoints.iter().map(|endpoint| endpoint.streams).sum::<u32>();
        let first = client.watch("a").await.unwrap();
        let second = client.watch("b").await.unwrap();
        assert_eq!(streams(), 1, "they share one");
        drop(first);
        world.sleep(2 * SECOND).await;
        assert_eq!(streams(), 1);
        drop(second);
        world.sleep(2 * SECOND).await;
        assert_eq!(streams(), 0);
        let third = client.watch("c").own_stream().await.unwrap();
        let _fourth = client.watch("d").await.unwrap();
        assert_eq!(streams(), 2);
        drop(third);
        client.close().await;
    })
    .unwrap();
}

// I-W9: what is refused before anything is sent needs no stream.
#[test]
fn a_watch_that_cannot_be_right_leaves_no_task_behind() {
    run(1, |world| async move {
        let (_etcd, host, client) = scene(&world).await;
        // Until all connections are there, each of which has a task.
        world.sleep(2 * SECOND).await;
        let before = host.tasks();
        for start in [-1, i64::MIN] {
            for watch in [client.watch("k"), client.watch("k").own_stream()] {
                let error = watch.from_revision(start).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error}");
            }
        }
        world.sleep(2 * SECOND).await;
        assert_eq!(host.tasks(), before);
    })
    .unwrap();
}

// I-W10: what is not read is bounded, and nothing is lost of it.
#[test]
fn a_watch_that_is_not_read_is_suspended_and_goes_on() {
    run(1, |world| async move {
        let (_etcd, _host, client) = scene(&world).await;
        let mut slow = client.watch(prefix("k/")).max_buffered_bytes(4_000).await.unwrap();
        let mut other = client.watch(prefix("k/")).await.unwrap();
        let mut written = vec![];
        for n in 0..200 {
            let key = format!("k/{n}");
            let revision = client.put(key.as_str(), "x".repeat(100)).await.unwrap().header.revision;
            written.push((key, revision));
        }
        assert_eq!(take(&mut other, 200).await, written);
        assert!(!slow.status().is_live);
        assert!(slow.status().revision < written[100].1);
        assert_eq!(take(&mut slow, 200).await, written);
    })
    .unwrap();
}

// W76, W77, I-W7
#[test]
fn progress_is_told_on_request() {
    for version in [(3, 4, 23), (3, 5, 30), (3, 7, 3)] {
        run(1, |world| async move {
            let (major, minor, patch) = version;
            let personality = Personality::of(major, minor, patch);
            let etcd = world.etcd(ClusterConfig::new(1, personality, world.seed()));
            let client = world.host().client(Config::new(etcd.endpoints())).unwrap();
            let mut watch = client.watch("k").await.unwrap();
            client.put("k", "").await.unwrap();
            let revision = client.put("other", "").await.unwrap().header.revision;
            assert_eq!(watch.request_progress().await.unwrap(), revision, "{version:?}");
            let mut items = vec![];
            for _ in 0..3 {
                items.push(watch.next_item().await.unwrap().unwrap());
            }
            assert!(matches!(items[0], WatchItem::Created(_)));
            assert!(matches!(&items[1], WatchItem::Events(batch) if batch.events.len() == 1));
            assert_eq!(items[2], WatchItem::Progress(revision));
            assert_eq!(watch.status().revision, revision);
        })
        .unwrap();
    }
}

// W53, W54, I-W13
#[test]
fn closing_the_client_ends_its_watches_with_a_reason() {
    run(1, |world| async move {
        let (_etcd, host, client) = scene(&world).await;
        let mut watch = client.watch("k").await.unwrap();
        client.close().await;
        assert_eq!(watch.next().await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
        assert!(watch.next().await.is_none());
        assert_eq!(client.watch("k").await.unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(host.tasks(), 0);
    })
    .unwrap();
}

// I-W11: the server is there and says nothing, as one behind a proxy that forwards nothing more.
#[test]
fn a_silent_server_is_left() {
    run(1, |world| async move {
        let (etcd, host, client) = scene(&world).await;
        let writer = world.host().client(Config::new(etcd.endpoints())).unwrap();
        let mut watch = client.watch("k").await.unwrap();
        let at = client.health().endpoints.iter().position(|it| it.streams == 1).unwrap();
        world.net().set_link(host.id(), etcd.address(at), stalled());
        let began = world.now();
        let revision = writer.put("k", "").await.unwrap().header.revision;
        assert_eq!(take(&mut watch, 1).await, [("k".to_owned(), revision)]);
        let took = world.now().saturating_since(began);
        assert!(took < 20 * SECOND, "{took:?}");
    })
    .unwrap();
}

// Ranges that the server serves one after the other come in the order of the revisions, and a
// revision that touches several of them is whole.
#[test]
fn several_ranges_are_one_stream_in_order() {
    for seed in 0..20 {
        run(seed, |world| async move {
            let (etcd, host, client) = scene(&world).await;
            let writer = world.host().client(Config::new(etcd.endpoints())).unwrap();
            let ranges = [prefix("a/"), prefix("b/"), prefix("c/")];
            let mut all = client.watch_ranges(ranges).await.unwrap();
            let mut written = vec![];
            for n in 0..40 {
                let area = ["a", "b", "c"][usize::try_from(world.below(3)).unwrap()];
                let keys = match world.below(3) {
                    0 => vec!["a/both".to_owned(), "c/both".to_owned()],
                    _ => vec![format!("{area}/{n}")],
                };
                let puts = keys.iter().map(|key| etcd3::put(key.as_str(), ""));
                let done = writer.txn().then(puts).await.unwrap();
                written.push((done.header.revision, keys));
                if world.below(10) == 0 {
                    cut(&world, &etcd, &host);
                }
            }
            for expected in written {
                let batch = all.next().await.unwrap().unwrap();
                let keys = batch.events.iter().map(|it| it.kv.key_str().unwrap().to_owned());
                assert_eq!((batch.revision(), keys.collect::<Vec<_>>()), expected, "seed {seed}");
            }
        })
        .unwrap();
    }
}

// W8, W23: a server keeps a watch that it has ended for a compaction until it is cancelled, and
// tells of no progress on its stream meanwhile.
#[test]
fn a_watch_that_is_compacted_is_cancelled_at_the_server() {
    run(1, |world| async move {
        let (etcd, _host, client) = scene_of(&world, 1).await;
        let watch = client.watch("k").await.unwrap();
        let mut revision = 0;
        for _ in 0..5 {
            revision = client.put("k", "").await.unwrap().header.revision;
        }
        client.compact(revision).await.unwrap();
        let mut old = client.watch("k").from_revision(2).await.unwrap();
        assert!(old.next().await.unwrap().unwrap_err().is_compacted());
        let revision = client.put("other", "").await.unwrap().header.revision;
        assert_eq!(watch.request_progress().await.unwrap(), revision);
        let (_, watchers) = etcd.model(|cluster, _| cluster.watch_counts());
        assert_eq!(watchers, 1);
    })
    .unwrap();
}

// W8, I-W6: a server counts from the last event of a watch, whatever it told of progress since. A
// snapshot has it look again, and call a watch compacted that misses nothing.
#[test]
fn a_compaction_of_what_is_not_needed_ends_no_watch() {
    for version in [(3, 4, 23), (3, 5, 30), (3, 7, 3)] {
        run(1, |world| async move {
            let personality = Personality::of(version.0, version.1, version.2);
            let etcd = world.etcd(ClusterConfig::new(3, personality, world.seed()));
            let client = world.host().client(Config::new(etcd.endpoints())).unwrap();
            let leader = etcd.model(|cluster, _| cluster.leader()).unwrap();
            let leader = (0..3).find(|it| etcd.member_id(*it) == leader).unwrap();
            let follower = (leader + 1) % 3;
            let endpoint = |member: usize| etcd.endpoints()[member].clone();
            let writer = client.pinned_to(endpoint(leader)).unwrap();
            let pinned = client.pinned_to(endpoint(follower)).unwrap();
            let mut watch = pinned.watch("k").progress_notify().await.unwrap();
            writer.put("k", "").await.unwrap();
            take(&mut watch, 1).await;
            let mut last = 0;
            for _ in 0..5 {
                last = writer.put("other", "").await.unwrap().header.revision;
            }
            while watch.status().revision < last {
                world.sleep(60 * SECOND).await;
            }
            writer.compact(last).await.unwrap();
            etcd.hold_back(follower);
            writer.put("other", "").await.unwrap();
            etcd.send_snapshot(follower);
            let revision = writer.put("k", "").await.unwrap().header.revision;
            assert_eq!(take(&mut watch, 1).await, [("k".to_owned(), revision)], "{version:?}");
        })
        .unwrap();
    }
}

// Whoever reads a watch that was cancelled gets `None` next, also when it had ended before, with
// items that were not taken.
#[test]
fn nothing_comes_out_of_a_watch_that_was_cancelled() {
    run(1, |world| async move {
        let (_etcd, _host, client) = scene_of(&world, 1).await;
        let mut watch = client.watch("k").max_buffered_bytes(1).await.unwrap();
        let mut revision = 0;
        for _ in 0..5 {
            revision = client.put("k", "").await.unwrap().header.revision;
        }
        client.compact(revision).await.unwrap();
        world.sleep(SECOND).await;
        // Taken, so that the rest is asked for, which is gone.
        take(&mut watch, 1).await;
        world.sleep(SECOND).await;
        assert!(watch.status().last_error.is_some_and(|error| error.is_compacted()));
        let handle = watch.handle();
        handle.cancel().await;
        assert!(watch.next_item().await.is_none());
    })
    .unwrap();
}

// W24, I-W7: what a server before 3.4.25 tells of progress moves no watch, and yet nothing less is
// told by the member where the watch goes on.
#[test]
fn progress_that_was_told_does_not_go_back() {
    run(1, |world| async move {
        let etcd = world.etcd(ClusterConfig::new(3, Personality::of(3, 4, 23), world.seed()));
        let writer = world.host().client(Config::new(etcd.endpoints())).unwrap();
        writer.put("k", "").await.unwrap();
        let host = world.host();
        let client = host.client(Config::new(etcd.endpoints())).unwrap();
        let watch = client.watch("k").await.unwrap();
        let at = watch.status().endpoint.unwrap();
        let at = etcd.endpoints().iter().position(|it| **it == *at).unwrap();
        let others = [(at + 1) % 3, (at + 2) % 3];
        let writer = writer.pinned_to(etcd.endpoints()[at].clone()).unwrap();
        for other in others {
            etcd.hold_back(other);
        }
        for _ in 0..5 {
            writer.put("other", "").await.unwrap();
        }
        let told = watch.request_progress().await.unwrap();
        world.net().set_link(host.id(), etcd.address(at), refusing());
        cut(&world, &etcd, &host);
        let keep_up = async {
            world.sleep(3 * SECOND).await;
            for other in others {
                etcd.keep_up(other);
            }
        };
        let (again, ()) = futures_lite::future::zip(watch.request_progress(), keep_up).await;
        assert!(again.unwrap() >= told);
    })
    .unwrap();
}
