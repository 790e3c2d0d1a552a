//! Listings and the changes after them, in virtual time: what is delivered adds up to the state.
#![allow(clippy::unwrap_used)]

use etcd3::{Client, Config, Difference, KeyValue, ListWatch, ListWatchItem, prefix};
use etcd3_sim::{
    ClusterConfig, Cut, Etcd, Host, Link, Personality, Reachability, Travel, World, run,
};
use std::collections::BTreeMap;
use std::time::Duration;

type State = BTreeMap<String, i64>;

fn text(key: &[u8]) -> String {
    String::from_utf8(key.to_vec()).unwrap()
}

/// What was delivered, added up.
#[derive(Default)]
struct Sum {
    state: State,
    revision: i64,
    resyncs: u32,
    is_behind: bool,
}

impl Sum {
    fn put(&mut self, pair: &KeyValue) {
        self.state.insert(text(&pair.key), pair.mod_revision);
    }

    fn add(&mut self, item: ListWatchItem) {
        match item {
            ListWatchItem::Page(pairs) => pairs.iter().for_each(|pair| self.put(pair)),
            ListWatchItem::Listed(revision) => self.revision = revision,
            ListWatchItem::Events(batch) => {
                assert!(batch.events[0].revision() > self.revision && !self.is_behind);
                self.revision = batch.revision();
                for event in batch {
                    if event.is_delete() {
                        self.state.remove(&text(&event.kv.key)).unwrap();
                    } else {
                        self.put(&event.kv);
                    }
                }
            }
            ListWatchItem::Compacted { requested, .. } => {
                assert!(requested > self.revision || self.is_behind);
                self.is_behind = true;
            }
            ListWatchItem::Differences(differences) => {
                assert!(self.is_behind);
                for difference in differences {
                    match difference {
                        Difference::Put(pair) => self.put(&pair),
                        Difference::Delete(key) => {
                            self.state.remove(&text(&key)).unwrap();
                        }
                        _ => {}
                    }
                }
            }
            ListWatchItem::Resynced(revision) => {
                assert!(std::mem::take(&mut self.is_behind));
                self.resyncs += 1;
                self.revision = revision;
            }
            _ => {}
        }
    }

    /// Takes items until it is told of a compaction.
    async fn until_compacted(&mut self, list: &mut ListWatch) {
        while !self.is_behind {
            self.add(list.next().await.unwrap().unwrap());
        }
    }

    /// Takes items until this revision has been seen.
    async fn until(&mut self, list: &mut ListWatch, revision: i64) {
        while self.revision < revision || self.is_behind {
            self.add(list.next().await.unwrap().unwrap());
        }
    }
}

async fn state(client: &Client) -> State {
    let found = client.get(prefix("k/")).await.unwrap();
    found.kvs.iter().map(|pair| (text(&pair.key), pair.mod_revision)).collect()
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

// I-W6, I-D3: writes, deletions, outages and compactions meanwhile, and it adds up every time.
#[test]
fn what_is_delivered_adds_up_to_the_state() {
    let mut resyncs = 0;
    for seed in 0..60 {
        let ((), _) = run(seed, |world| {
            let resyncs = &mut resyncs;
            async move {
                let personality = if world.below(2) == 0 {
                    Personality::of(3, 5, 30)
                } else {
                    Personality::of(3, 7, 3)
                };
                let etcd = world.etcd(ClusterConfig::new(3, personality, world.seed()));
                let (host, other) = (world.host(), world.host());
                let client = host.client(Config::new(etcd.endpoints())).unwrap();
                let writer = other.client(Config::new(etcd.endpoints())).unwrap();
                for n in 0..world.below(40) {
                    writer.put(format!("k/{n}"), "").await.unwrap();
                }
                let mut watched = client.list_watch(prefix("k/"));
                let mut sum = Sum::default();
                for _ in 0..6 {
                    let is_out = world.below(2) == 0;
                    if is_out {
                        set_links(&world, &etcd, &host, Reachability::Refuse);
                    }
                    let mut newest = 0;
                    for _ in 0..=world.below(30) {
                        let key = format!("k/{}", world.below(40));
                        newest = if world.below(3) == 0 {
                            writer.delete(key).await.unwrap().header.revision
                        } else {
                            writer.put(key, "").await.unwrap().header.revision
                        };
                    }
                    // Something to see, also where nothing was there to be deleted.
                    newest = newest.max(writer.put("k/last", "").await.unwrap().header.revision);
                    if world.below(2) == 0 {
                        writer.compact(newest).await.unwrap();
                    }
                    set_links(&world, &etcd, &host, Reachability::Open);
                    sum.until(&mut watched, newest).await;
                    assert_eq!(sum.state, state(&writer).await, "seed {seed}");
                }
                *resyncs += sum.resyncs;
            }
        })
        .unwrap();
    }
    assert!(resyncs > 20, "{resyncs} listings after a compaction: too few to show anything");
}

/// How long a message travels where that is to take a while.
const DISTANCE: Duration = Duration::from_millis(80);

// I-W6, I-D3: an outage that is longer than any call may take meets the second listing, or the
// watch behind it, and neither ends the stream.
#[test]
fn an_outage_during_a_later_listing_ends_nothing() {
    for seed in 0..20 {
        run(seed, |world| async move {
            let etcd = world.etcd(ClusterConfig::new(3, Personality::of(3, 7, 3), world.seed()));
            let (host, other) = (world.host(), world.host());
            let config = Config::new(etcd.endpoints()).request_timeout(Duration::from_secs(1));
            let client = host.client(config).unwrap();
            let writer = other.client(Config::new(etcd.endpoints())).unwrap();
            writer.put("k/0", "").await.unwrap();
            let mut watched = client.list_watch(prefix("k/"));
            let mut sum = Sum::default();
            sum.until(&mut watched, 2).await;
            for round in 0..5 {
                set_links(&world, &etcd, &host, Reachability::Refuse);
                writer.put("k/missed", "").await.unwrap();
                let last = writer.put(format!("k/{round}"), "").await.unwrap().header.revision;
                writer.compact(last).await.unwrap();
                for member in 0..etcd.members() {
                    let travel = Travel { latency: DISTANCE, ..Travel::default() };
                    let far = Link { travel, ..Link::default() };
                    world.net().set_link(host.id(), etcd.address(member), far);
                }
                sum.until_compacted(&mut watched).await;
                // During the listing, or while the watch behind it is being begun.
                let some = Duration::from_millis(world.below(500));
                let cut = async {
                    world.sleep(some).await;
                    set_links(&world, &etcd, &host, Reachability::Hang);
                    world.sleep(Duration::from_secs(4)).await;
                    set_links(&world, &etcd, &host, Reachability::Open);
                };
                futures_lite::future::zip(cut, sum.until(&mut watched, last)).await;
                assert_eq!(sum.state, state(&writer).await, "seed {seed}");
            }
        })
        .unwrap();
    }
}
