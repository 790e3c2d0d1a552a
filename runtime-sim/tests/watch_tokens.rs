//! Where later watches go on, and states that are kept from what watches deliver, in virtual time.
#![allow(clippy::unwrap_used)]

use etcd3::{
    Client, Config, Difference, ErrorKind, KeyValue, ListWatchItem, ResumeToken, Watch, WatchItem,
    prefix,
};
use etcd3_sim::{ClusterConfig, Etcd, Host, Link, Personality, Reachability, World, run};
use std::collections::BTreeMap;

async fn scene(world: &World) -> (Etcd, Host, Client) {
    let etcd = world.etcd(ClusterConfig::new(3, Personality::of(3, 5, 30), world.seed()));
    let host = world.host();
    let client = host.client(Config::new(etcd.endpoints())).unwrap();
    client.put("before", "").await.unwrap();
    (etcd, host, client)
}

/// Takes one batch; returns the revisions in it.
async fn take(watch: &mut Watch) -> Vec<i64> {
    let batch = watch.next().await.unwrap().unwrap();
    batch.iter().map(etcd3::Event::revision).collect()
}

// I-W3, I-W4: what was delivered and not taken is not behind the token, and nothing else is lost.
#[test]
fn a_token_is_behind_what_was_taken() {
    run(1, |world| async move {
        let (_etcd, _host, client) = scene(&world).await;
        let mut watch = client.watch(prefix("k/")).await.unwrap();
        let begin = watch.resume_token();
        assert_eq!(begin.revision, watch.status().revision + 1);
        let mut written = vec![];
        for n in 0..5 {
            written.push(client.put(format!("k/{n}"), "").await.unwrap().header.revision);
        }
        let other = client.put("other", "").await.unwrap().header.revision;
        assert_eq!(watch.request_progress().await.unwrap(), other);
        assert_eq!(watch.status().revision, other, "all of it waits to be taken");
        assert_eq!(watch.resume_token(), begin);
        let mut revisions = take(&mut watch).await;
        revisions.extend(take(&mut watch).await);
        let token = watch.resume_token();
        assert_eq!(token, ResumeToken { revision: revisions.last().unwrap() + 1, ..begin });
        watch.cancel().await;

        let token: ResumeToken = token.to_string().parse().unwrap();
        let mut watch = client.watch(prefix("k/")).resume(token).await.unwrap();
        while revisions.len() < written.len() {
            revisions.extend(take(&mut watch).await);
        }
        assert_eq!(revisions, written);
        // The revision alone is enough to begin, and the server tells the cluster.
        let watch = client.watch("k/0").from_revision(token.revision).await.unwrap();
        assert_eq!(watch.resume_token(), token);
    })
    .unwrap();
}

// A token of one stream of several ranges begins all of them, and names their cluster.
#[test]
fn several_ranges_go_on_behind_a_batch_of_all() {
    run(1, |world| async move {
        let (_etcd, _host, client) = scene(&world).await;
        let ranges = || [prefix("a/"), prefix("b/")];
        let mut both = client.watch_ranges(ranges()).await.unwrap();
        client.put("a/1", "").await.unwrap();
        let first = both.next().await.unwrap().unwrap();
        drop(both);
        client.put("b/1", "").await.unwrap();
        client.put("a/2", "").await.unwrap();
        let token = first.resume_token();
        let mut both = client.watch_ranges(ranges()).resume(token).await.unwrap();
        for key in ["b/1", "a/2"] {
            assert_eq!(both.next().await.unwrap().unwrap().events[0].key(), key);
        }
        let wrong = ResumeToken { cluster_id: 1, ..token };
        let refused = client.watch_ranges(ranges()).resume(wrong).await.unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::ClusterChanged { .. }), "{refused}");
    })
    .unwrap();
}

#[test]
fn other_news_come_with_the_same_handle_and_token() {
    run(1, |world| async move {
        let (_etcd, _host, client) = scene(&world).await;
        let mut items = client.watch("k").await.unwrap().into_items();
        client.put("k", "").await.unwrap();
        let created = items.next().await.unwrap().unwrap();
        assert!(matches!(created, WatchItem::Created(_)) && created.into_batch().is_none());
        let batch = items.next().await.unwrap().unwrap().into_batch().unwrap();
        assert_eq!(items.resume_token(), batch.resume_token());
        assert!(items.status().is_live && !items.status().is_over);
        items.handle().cancel().await;
        assert!(items.status().is_over && !items.status().is_live);
        assert!(items.next().await.is_none());
    })
    .unwrap();
}

type State = BTreeMap<Vec<u8>, i64>;

fn state_of(pairs: Vec<KeyValue>) -> State {
    pairs.into_iter().map(|pair| (pair.key.to_vec(), pair.mod_revision)).collect()
}

fn apply(state: &mut State, differences: Vec<Difference>) {
    for difference in differences {
        match difference {
            Difference::Put(pair) => state.insert(pair.key.to_vec(), pair.mod_revision),
            Difference::Delete(key) => state.remove(&key[..]),
            _ => None,
        };
    }
}

fn set_links(world: &World, etcd: &Etcd, host: &Host, reachability: Reachability) {
    for member in 0..etcd.members() {
        let link = Link { reachability, ..Link::default() };
        world.net().set_link(host.id(), etcd.address(member), link);
        if reachability != Reachability::Open {
            world.net().cut(host.id(), etcd.address(member), etcd3_sim::Cut::Reset);
        }
    }
}

// I-W6, I-D3: pages, events and what is different after a compaction add up in the same way.
#[test]
fn differences_add_up_to_the_state_whatever_they_came_from() {
    run(1, |world| async move {
        let (etcd, host, client) = scene(&world).await;
        let writer = world.host().client(Config::new(etcd.endpoints())).unwrap();
        for n in 0..9 {
            writer.put(format!("k/{n}"), "").await.unwrap();
        }
        let mut listing = client.list_watch(prefix("k/")).own_stream();
        let cache = client.cache(prefix("k/")).await.unwrap();
        writer.put("other", "").await.unwrap();
        cache.catch_up().await.unwrap();
        assert!(cache.status().unwrap().is_live);
        let (pairs, mut changes) = cache.range_and_changes(prefix("k/")).unwrap();
        let (mut listed, mut cached) = (State::new(), state_of(pairs));
        assert_eq!(cached.len(), 9);
        loop {
            let item = listing.next().await.unwrap().unwrap();
            let is_listed = matches!(item, ListWatchItem::Listed(_));
            apply(&mut listed, item.into_differences());
            if is_listed {
                break;
            }
        }
        writer.delete("k/0").await.unwrap();
        set_links(&world, &etcd, &host, Reachability::Refuse);
        writer.put("k/1", "").await.unwrap();
        writer.delete("k/2").await.unwrap();
        let last = writer.put("k/9", "").await.unwrap().header.revision;
        writer.compact(last).await.unwrap();
        set_links(&world, &etcd, &host, Reachability::Open);
        cache.wait_for(last).await.unwrap();
        let expected = state_of(writer.get(prefix("k/")).await.unwrap().kvs);
        while listed != expected {
            apply(&mut listed, listing.next().await.unwrap().unwrap().into_differences());
        }
        while cached != expected {
            apply(&mut cached, changes.next().await.unwrap().unwrap().into_differences());
        }
    })
    .unwrap();
}
