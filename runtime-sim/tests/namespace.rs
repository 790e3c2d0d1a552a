//! What a client of a namespace has, and that it stays there (Y1, NS-001, NS-002).
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

use etcd3::proto::etcdserverpb as pb;
use etcd3::{
    Client, Config, Difference, ErrorKind, KeyRange, ListWatchItem, Previous, ServerError, all,
    delete, from_key, get, key, ops, prefix, put, txn,
};
use etcd3_sim::{ClusterConfig, Personality, World, example, run};
use std::time::Duration;

const TTL: Duration = Duration::from_secs(60);

fn keys<'a>(pairs: impl IntoIterator<Item = &'a etcd3::KeyValue>) -> Vec<&'a str> {
    pairs.into_iter().map(|pair| pair.key_str().unwrap()).collect()
}

/// All keys there are, of the whole store.
async fn everything(client: &Client) -> Vec<String> {
    let found = client.get(all()).await.unwrap();
    keys(&found.kvs).into_iter().map(str::to_owned).collect()
}

/// The keys around those that begin with `n/`, the bare prefix among them.
const OUTSIDE: [&str; 6] = ["a", "n", "n.", "n/", "n0", "o"];

async fn fill(client: &Client) {
    for name in OUTSIDE {
        client.put(name, "outside").await.unwrap();
    }
}

// NS-001
#[test]
fn keys_lie_behind_the_prefix_and_nothing_else_is_touched() {
    example(|client| async move {
        fill(&client).await;
        let ns = client.namespace("n/");
        for name in ["a", "b", "c"] {
            ns.put(name, name).await?;
        }
        assert_eq!(client.get("n/a").await?.value_str(), Some("a"));
        for range in [all(), prefix(""), from_key("a"), KeyRange::from("a".."d")] {
            assert_eq!(keys(&ns.get(range).await?.kvs), ["a", "b", "c"]);
        }
        assert_eq!(keys(&ns.get("b"..).await?.kvs), ["b", "c"]);
        let before = ns.put("a", "new").prev_kv().await?.prev_kv.unwrap();
        assert_eq!((before.key_str()?, before.value_str()?), ("a", "a"));
        let gone = ns.delete(from_key("b")).prev_kv().await?;
        assert_eq!(keys(&gone.prev_kvs), ["b", "c"]);
        assert_eq!(ns.delete(all()).await?.deleted, 1);
        assert_eq!(everything(&client).await, OUTSIDE);
        Ok(())
    });
}

#[test]
fn transactions_and_compares_lie_behind_the_prefix() {
    example(|client| async move {
        fill(&client).await;
        let ns = client.namespace("n/");
        // Of the namespace, no key exists.
        assert!(ns.compare([all().missing()]).await?);
        let inner = txn().when([prefix("").missing()]).then([get(all()), get("a")]);
        let whole = txn()
            .when([key("a").missing()])
            .then(ops![put("a", "1"), inner, delete(from_key("b"))])
            .otherwise(ops![]);
        let done = ns.execute(whole).await?;
        assert!(done.succeeded);
        let nested = done.responses[1].as_txn().unwrap();
        assert!(nested.succeeded);
        assert_eq!(keys(&nested.get(0).unwrap().kvs), ["a"]);
        assert!(ns.compare([all().version().eq(1)]).await?);
        ns.delete(all()).await?;
        assert_eq!(everything(&client).await, OUTSIDE);
        Ok(())
    });
}

#[test]
fn pages_and_streams_lie_behind_the_prefix() {
    example(|client| async move {
        fill(&client).await;
        let ns = client.namespace("n/");
        let names: Vec<String> = (0..25).map(|n| format!("{n:02}")).collect();
        for name in &names {
            ns.put(name, "").await?;
        }
        for mut pages in [ns.pages(all()), ns.pages(all()).page_size(4)] {
            let mut found = vec![];
            while let Some(page) = pages.next().await {
                found.extend(keys(&page?.kvs).into_iter().map(str::to_owned));
            }
            assert_eq!(found, names);
        }
        let mut pieces = ns.range_stream(get(from_key("20")));
        let mut found = vec![];
        while let Some(piece) = pieces.next().await {
            found.extend(keys(&piece?.kvs).into_iter().map(str::to_owned));
        }
        assert_eq!(found, names[20..]);
        Ok(())
    });
}

// NS-002
#[test]
fn watches_lie_behind_the_prefix() {
    example(|client| async move {
        fill(&client).await;
        let ns = client.namespace("n/");
        let mut watch = ns.watch(all()).prev_kv().await?;
        let mut ranges = ns.watch_ranges([key("a"), prefix("b")]).await?;
        let mut plain = client.watch("n/a").await?;
        for name in OUTSIDE {
            client.put(name, "outside").await?;
        }
        let first = ns.put("a", "1").await?.header.revision;
        client.delete("n/a").await?;
        ns.put("b", "2").await?;
        let mut events = vec![];
        while events.len() < 3 {
            events.extend(watch.next().await.unwrap()?);
        }
        assert_eq!(keys(events.iter().map(|event| &event.kv)), ["a", "a", "b"]);
        assert_eq!(events[0].revision(), first);
        let Previous::Pair(pair) = events[1].prev_kv() else { panic!("{:?}", events[1]) };
        assert_eq!((pair.key_str()?, pair.value_str()?), ("a", "1"));
        assert_eq!(plain.next().await.unwrap()?.events[0].kv.key, "n/a");
        let mut seen = vec![];
        while seen.len() < 3 {
            seen.extend(ranges.next().await.unwrap()?);
        }
        assert_eq!(keys(seen.iter().map(|event| &event.kv)), ["a", "a", "b"]);

        // The token is one of the store, and any client of it takes it.
        let token = etcd3::ResumeToken { revision: first, cluster_id: 0 };
        let mut again = ns.watch(key("a")).resume(token).await?;
        assert_eq!(again.next().await.unwrap()?.events[0].kv.key, "a");
        // As servers do it, an empty key is the lowest one.
        drop(ns.watch("").await?);
        Ok(())
    });
}

#[test]
fn caches_and_listings_lie_behind_the_prefix() {
    example(|client| async move {
        fill(&client).await;
        let ns = client.namespace("n/");
        let mut listing = ns.list_watch(all());
        ns.put("a", "1").await?;
        let cache = ns.cache(all()).await?;
        assert_eq!(cache.get("a")?.unwrap().key, "a");
        let written = ns.put("b", "2").await?.header.revision;
        cache.wait_for(written).await?;
        assert_eq!(cache.get("b")?.unwrap().value, "2");
        let mut found = vec![];
        while found.len() < 2 {
            let item: ListWatchItem = listing.next().await.unwrap()?;
            for difference in item.into_differences() {
                if let Difference::Put(pair) = difference {
                    found.push(pair.key);
                }
            }
        }
        assert_eq!(found, ["a", "b"]);
        Ok(())
    });
}

#[test]
fn leases_and_sessions_have_the_keys_of_the_namespace() {
    example(|client| async move {
        let ns = client.namespace("n/");
        let lease = client.grant(TTL).await?.id;
        for name in ["n", "n/", "n/a", "n0"] {
            client.put(name, "").lease(lease).await?;
        }
        ns.put("b", "").lease(lease).await?;
        let mut attached = ns.time_to_live(lease).keys().await?.keys;
        attached.sort();
        assert_eq!(attached, ["a", "b"]);
        assert_eq!(client.time_to_live(lease).keys().await?.keys.len(), 5);

        let session = ns.session(TTL).await?;
        session.client().put("own", "").lease(session.id()).await?;
        let registration = ns.register("services/a", "10.0.0.1:80").await?;
        let there = client.get(prefix("n/")).keys_only().await?;
        assert_eq!(keys(&there.kvs), ["n/", "n/a", "n/b", "n/own", "n/services/a"]);
        registration.close().await?;
        session.close().await?;
        assert_eq!(keys(&ns.get(all()).await?.kvs), ["a", "b"]);
        Ok(())
    });
}

#[test]
fn messages_as_they_are_lie_behind_the_prefix() {
    example(|client| async move {
        let ns = client.namespace("n/");
        let message = pb::PutRequest { key: "k".into(), value: "v".into(), ..Default::default() };
        ns.rpc(message).await?;
        assert_eq!(client.get("n/k").await?.value_str(), Some("v"));
        let (key, range_end) = ([0].to_vec().into(), [0].to_vec().into());
        let message = pb::RangeRequest { key, range_end, ..Default::default() };
        assert_eq!(ns.rpc(message).await?.kvs[0].key, "k");
        assert_eq!(ns.rpc(pb::StatusRequest {}).await?.version, "3.7.3");
        Ok(())
    });
}

// X36; cases.md 18: locks and elections of one name, within and outside.
#[test]
fn locks_and_elections_of_servers_lie_behind_the_prefix() {
    run(1, |world| async move {
        let client = client_of(&world);
        let ns = client.namespace("team-a/");
        let mut leases = vec![];
        for _ in 0..3 {
            leases.push(client.grant(TTL).await.unwrap().id);
        }
        let within = ns.raw().campaign("job", leases[0], "within").await.unwrap().elected;
        let outside = client.raw().campaign("job", leases[1], "outside").await.unwrap().elected;
        // Another election of the namespace, whose name begins with this one's and a slash.
        ns.raw().campaign("job2", leases[2], "other").await.unwrap();
        assert_eq!((&within.name[..], &outside.name[..]), (&b"job"[..], &b"job"[..]));
        assert_eq!(within.key, format!("job/{:x}", leases[0].0));

        assert_eq!(ns.raw().leader("job").await.unwrap().kv.value, "within");
        assert_eq!(client.raw().leader("job").await.unwrap().kv.value, "outside");
        let mut observing = ns.raw().observe("job");
        let seen = observing.next().await.unwrap().unwrap().kv;
        assert_eq!((&seen.key, &seen.value[..]), (&within.key, &b"within"[..]));
        ns.raw().proclaim(within.clone(), "still").await.unwrap();
        assert_eq!(observing.next().await.unwrap().unwrap().kv.value, "still");
        let fence = key(within.key.clone()).create_revision().eq(within.revision);
        assert!(ns.compare([fence]).await.unwrap());
        ns.raw().resign(within).await.unwrap();
        assert_eq!(client.raw().leader("job").await.unwrap().kv.value, "outside");

        let held = ns.raw().lock("l", leases[0]).await.unwrap().key;
        assert_eq!(held, format!("l/{:x}", leases[0].0));
        assert_eq!(client.get(prefix("team-a/l/")).await.unwrap().count, 1);
        client.raw().lock("l", leases[1]).await.unwrap();
        ns.raw().unlock(held).await.unwrap();
        assert_eq!(client.get(prefix("team-a/l/")).await.unwrap().count, 0);
        assert_eq!(client.get(prefix("l/")).await.unwrap().count, 1);
    })
    .unwrap();
}

fn client_of(world: &World) -> Client {
    let config = ClusterConfig::new(3, Personality::of(3, 7, 3), world.seed());
    let etcd = world.etcd(config);
    world.host().client(Config::new(etcd.endpoints())).unwrap()
}

#[test]
fn a_namespace_of_the_last_keys_has_no_end() {
    example(|client| async move {
        client.put("a", "outside").await?;
        for bytes in [&[0xff][..], &[0xff, 0xff], &[0xff, 0xff, 0xff]] {
            let ns = client.namespace(bytes);
            ns.put("k", "v").await?;
            ns.put([0xff], "v").await?;
            let found = ns.get(all()).await?;
            assert_eq!(found.kvs[0].key, "k");
            assert_eq!(found.kvs.last().unwrap().key, [0xff][..]);
            ns.delete(all()).await?;
            assert_eq!(ns.get(all()).await?.count, 0);
        }
        assert_eq!(client.delete("a").await?.deleted, 1);
        Ok(())
    });
}

#[test]
fn namespaces_nest_and_the_empty_prefix_is_the_client_itself() {
    example(|client| async move {
        let nested = client.namespace("a/").namespace("b/").namespace("");
        nested.put("k", "v").await?;
        assert_eq!(client.get("a/b/k").await?.count, 1);
        assert_eq!(client.namespace("a/").delete("b/k").await?.deleted, 1);
        let same = client.namespace("");
        same.put("k", "v").await?;
        assert_eq!(client.get("k").await?.count, 1);
        assert_eq!(same.delete(all()).await?.deleted, 1);
        Ok(())
    });
}

#[test]
fn a_client_of_a_member_and_a_namespace_is_of_both() {
    example(|client| async move {
        client.put("k", "outside").await?;
        let endpoint = client.endpoints().remove(1);
        let member = |it: &etcd3::ResponseHeader| it.member_id;
        let asked = client.pinned_to(&endpoint)?.get("k").await?;
        for both in [
            client.namespace("n/").pinned_to(&endpoint)?,
            client.pinned_to(&endpoint)?.namespace("n/"),
        ] {
            for _ in 0..5 {
                let found = both.get("k").await?;
                assert_eq!((found.count, member(&found.header)), (0, member(&asked.header)));
            }
        }
        Ok(())
    });
}

// E10.1: the same as without a namespace.
#[test]
fn an_empty_key_is_refused_as_servers_refuse_it() {
    example(|client| async move {
        let expected = ErrorKind::Server(ServerError::EmptyKey);
        for one in [client.clone(), client.namespace("n/")] {
            assert_eq!(one.get("").await.unwrap_err().kind(), expected);
            assert_eq!(one.put("", "v").await.unwrap_err().kind(), expected);
            assert_eq!(one.delete("").await.unwrap_err().kind(), expected);
            let compare = one.compare([key("").missing()]).await;
            assert_eq!(compare.unwrap_err().kind(), expected);
            let nested = one.txn().then([txn().then([put("", "v")])]).await;
            assert_eq!(nested.unwrap_err().kind(), expected);
            let page = one.pages("").next().await.unwrap();
            assert_eq!(page.unwrap_err().kind(), expected);
            let error = one.get("").await.unwrap_err();
            assert_eq!(error.method(), Some("/etcdserverpb.KV/Range"));
        }
        Ok(())
    });
}

/// What is of the cluster is of all: closing, too.
#[test]
fn a_namespace_shares_all_but_the_keys() {
    example(|client| async move {
        let ns = client.namespace("n/");
        let revision = ns.put("k", "v").await?.header.revision;
        assert_eq!(client.put("k", "v").await?.header.revision, revision + 1);
        ns.compact(revision).await?;
        assert!(client.get("k").revision(revision - 1).await.unwrap_err().is_compacted());
        let lease = ns.grant(TTL).await?.id;
        assert_eq!(client.leases().await?.leases, [lease]);
        assert_eq!(ns.endpoints(), client.endpoints());
        ns.close().await;
        assert!(client.is_closed());
        Ok(())
    });
}
