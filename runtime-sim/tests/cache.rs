//! Caches in virtual time.
#![allow(clippy::unwrap_used)]

use etcd3::{CacheItem, Client, Config, Difference, ErrorKind, key, prefix};
use etcd3_sim::{ClusterConfig, Cut, Etcd, Host, Link, Personality, Reachability, World, run};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn scene(world: &World) -> (Etcd, Host, Client) {
    let etcd = world.etcd(ClusterConfig::new(3, Personality::of(3, 5, 30), world.seed()));
    let host = world.host();
    let client = host.client(Config::new(etcd.endpoints())).unwrap();
    (etcd, host, client)
}

fn set_links(world: &World, etcd: &Etcd, host: &Host, reachability: Reachability) {
    for member in 0..etcd.members() {
        let link = Link { reachability, ..Link::default() };
        world.net().set_link(host.id(), etcd.address(member), link);
        if reachability != Reachability::Open {
            world.net().cut(host.id(), etcd.address(member), Cut::Reset);
        }
    }
}

// Y21: reads come from memory, and see what was written once that is waited for.
#[test]
fn a_cache_shows_what_was_written_before() {
    run(1, |world| async move {
        let (etcd, _host, client) = scene(&world);
        let writer = world.host().client(Config::new(etcd.endpoints())).unwrap();
        writer.put("k/a", "1").await.unwrap();
        let cache = client.cache(prefix("k/")).await.unwrap();
        assert_eq!(cache.get("k/a").unwrap().unwrap().value, "1");
        for n in 0..50 {
            let written = writer.put(format!("k/{}", n % 5), n.to_string()).await.unwrap();
            cache.wait_for(written.header.revision).await.unwrap();
            let found = cache.get(format!("k/{}", n % 5)).unwrap().unwrap();
            assert_eq!(
                (found.value, found.mod_revision),
                (n.to_string().into(), written.header.revision)
            );
        }
        // Of another key: the server says that there is nothing to tell.
        let other = writer.put("other", "").await.unwrap().header.revision;
        cache.wait_for(other).await.unwrap();
        assert_eq!(cache.catch_up().await.unwrap(), other);
        assert_eq!(cache.range(prefix("k/")).unwrap().len(), 6);
        assert_eq!(cache.range("k/2".."k/4").unwrap().len(), 2);
        for range in [prefix("k"), key("other"), prefix("")] {
            assert_eq!(cache.range(range).unwrap_err().kind(), ErrorKind::InvalidRequest);
        }
        let future = cache.wait_for(other + 1_000).await.unwrap_err();
        assert!(future.is_timeout() && future.is_retryable(), "{future}");
    })
    .unwrap();
}

// CACHE-003: nothing has come yet that the cache would have to be told of.
#[test]
fn an_idle_cache_hears_of_progress() {
    run(1, |world| async move {
        let (_etcd, _host, client) = scene(&world);
        client.put("k/a", "1").await.unwrap();
        let cache = client.cache(prefix("k/")).await.unwrap();
        let other = client.put("other", "").await.unwrap().header.revision;
        cache.wait_for(other).await.unwrap();
        assert!(cache.age().is_some());
    })
    .unwrap();
}

// Case 24: what is not remembered is said to be so, and never passed over.
#[test]
fn a_subscriber_gets_every_change_or_is_told() {
    run(1, |world| async move {
        let (_etcd, _host, client) = scene(&world);
        for n in 0..10 {
            client.put(format!("k/{n}"), "").await.unwrap();
        }
        let cache = client.cache(prefix("k/")).max_history_bytes(4_000).await.unwrap();
        let base = cache.revision();
        let mut old = cache.changes_from(prefix("k/"), base - 5).unwrap();
        let expected = ErrorKind::WatchCompacted { requested: base - 5, compacted: base + 1 };
        assert_eq!(old.next().await.unwrap().unwrap_err().kind(), expected);
        assert!(old.next().await.is_none());
        let mut all = cache.changes_from(prefix("k/"), 0).unwrap();
        let negative = cache.changes_from(prefix("k/"), -1).unwrap_err();
        assert_eq!(negative.kind(), ErrorKind::InvalidRequest);
        let mut some = cache.changes_from(key("k/3"), base + 1).unwrap();
        for n in 0..10 {
            client.put(format!("k/{n}"), "again").await.unwrap();
        }
        let mut seen = 0;
        while seen < 10 {
            let CacheItem::Events(batch) = all.next().await.unwrap().unwrap() else { panic!() };
            seen += batch.events.len();
        }
        let CacheItem::Events(batch) = some.next().await.unwrap().unwrap() else { panic!() };
        assert_eq!((batch.events.len(), &batch.events[0].kv.key[..]), (1, &b"k/3"[..]));
        // One that is not read while more passes than is remembered.
        for n in 0..100 {
            client.put(format!("k/{n}"), "x".repeat(100)).await.unwrap();
        }
        cache.catch_up().await.unwrap();
        let late = all.next().await.unwrap().unwrap_err();
        assert!(late.is_compacted(), "{late}");
    })
    .unwrap();
}

// CACHE-012: what vanished while changes were compacted is dropped, all at once.
#[test]
fn a_cache_survives_compaction() {
    run(1, |world| async move {
        let (etcd, host, client) = scene(&world);
        let writer = world.host().client(Config::new(etcd.endpoints())).unwrap();
        for n in 0..5 {
            writer.put(format!("k/{n}"), "old").await.unwrap();
        }
        let cache = client.cache(prefix("k/")).await.unwrap();
        let mut changes = cache.changes(prefix("k/")).unwrap();
        set_links(&world, &etcd, &host, Reachability::Refuse);
        writer.delete("k/0").await.unwrap();
        let last = writer.put("k/1", "new").await.unwrap().header.revision;
        writer.compact(last).await.unwrap();
        assert_eq!(cache.range(prefix("k/")).unwrap().len(), 5, "the last state that is known");
        set_links(&world, &etcd, &host, Reachability::Open);
        cache.wait_for(last).await.unwrap();
        assert_eq!(cache.get("k/0").unwrap(), None);
        assert_eq!(cache.get("k/1").unwrap().unwrap().value, "new");
        let item = changes.next().await.unwrap().unwrap();
        let CacheItem::Differences(revision, differences) = item else { panic!("{item:?}") };
        assert_eq!(revision, last);
        assert!(matches!(&differences[..], [Difference::Delete(_), Difference::Put(_)]));
    })
    .unwrap();
}

// Case 24: a key that was created and deleted again meanwhile is no difference, and a change that
// was not delivered: its subscriber is told.
#[test]
fn a_subscriber_is_told_of_a_compaction_without_differences() {
    run(1, |world| async move {
        let (etcd, host, client) = scene(&world);
        let writer = world.host().client(Config::new(etcd.endpoints())).unwrap();
        let cache = client.cache(prefix("k/")).await.unwrap();
        let mut changes = cache.changes("k/x").unwrap();
        set_links(&world, &etcd, &host, Reachability::Refuse);
        writer.put("k/x", "").await.unwrap();
        writer.delete("k/x").await.unwrap();
        let last = writer.put("k/other", "").await.unwrap().header.revision;
        writer.compact(last).await.unwrap();
        set_links(&world, &etcd, &host, Reachability::Open);
        cache.wait_for(last).await.unwrap();
        writer.put("k/x", "again").await.unwrap();
        let item = changes.next().await.unwrap().unwrap();
        assert_eq!(item, CacheItem::Differences(last, vec![]));
        assert!(matches!(changes.next().await, Some(Ok(CacheItem::Events(_)))));
    })
    .unwrap();
}

// Case 25
#[test]
fn a_value_that_comes_back_is_seen() {
    run(1, |world| async move {
        let (_etcd, _host, client) = scene(&world);
        let cache = client.cache("cfg").await.unwrap();
        let mut value =
            cache.value("cfg", |pair| pair.value_str().unwrap().parse::<u32>()).unwrap();
        assert!(value.changed().await.unwrap().is_none());
        client.put("cfg", "1").await.unwrap();
        assert_eq!(*value.changed().await.unwrap().unwrap(), Ok(1));
        client.delete("cfg").await.unwrap();
        client.put("cfg", "1").await.unwrap();
        cache.catch_up().await.unwrap();
        // The same text, and yet another value: it was created anew.
        assert_eq!(*value.changed().await.unwrap().unwrap(), Ok(1));
        client.put("cfg", "x").await.unwrap();
        cache.catch_up().await.unwrap();
        assert!(value.get().unwrap().unwrap().is_err());
    })
    .unwrap();
}

#[test]
fn a_cache_ends_with_its_last_clone_and_with_its_client() {
    run(1, |world| async move {
        let (_etcd, host, client) = scene(&world);
        let streams =
            || client.health().endpoints.iter().map(|endpoint| endpoint.streams).sum::<u32>();
        let cache = client.cache(prefix("k/")).await.unwrap();
        let clone = cache.clone();
        drop(cache);
        world.sleep(2 * SECOND).await;
        assert_eq!(streams(), 1);
        drop(clone);
        world.sleep(2 * SECOND).await;
        assert_eq!(streams(), 0);
        let cache = client.cache(prefix("k/")).await.unwrap();
        client.close().await;
        assert_eq!(cache.get("k/a").unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(host.tasks(), 0);
    })
    .unwrap();
}

// Y21: the watch behind it is asked, also while it has delivered nothing.
#[test]
fn a_cache_of_which_nothing_changes_catches_up() {
    run(1, |world| async move {
        let (_etcd, _host, client) = scene(&world);
        client.put("k/a", "").await.unwrap();
        let cache = client.cache(prefix("k/")).await.unwrap();
        let other = client.put("other", "").await.unwrap().header.revision;
        let began = world.now();
        assert_eq!(cache.catch_up().await.unwrap(), other);
        let took = world.now().saturating_since(began);
        assert!(took < SECOND, "{took:?}");
        assert!(cache.age().unwrap() < SECOND && cache.status().unwrap().is_live);
    })
    .unwrap();
}
