//! The scene of tests of leases: a client to which things happen, and one that looks on.
#![allow(dead_code, reason = "each program of tests uses a part")]

use etcd3::{Client, Config};
use etcd3_sim::{ClusterConfig, Etcd, Host, Link, Personality, Reachability, World};
use std::time::Duration;

pub(crate) const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) struct Scene {
    pub(crate) etcd: Etcd,
    pub(crate) host: Host,
    pub(crate) client: Client,
    /// Of another host, to which nothing happens.
    pub(crate) observer: Client,
}

/// Makes two clients that are connected to all of three members.
pub(crate) async fn scene(world: &World) -> Scene {
    let etcd = world.etcd(ClusterConfig::new(3, Personality::of(3, 5, 30), world.seed()));
    let host = world.host();
    let client = host.client(Config::new(etcd.endpoints())).unwrap();
    let observer = world.host().client(Config::new(etcd.endpoints())).unwrap();
    client.put("key", "value").await.unwrap();
    observer.get("key").await.unwrap();
    world.sleep(seconds(1)).await;
    Scene { etcd, host, client, observer }
}

impl Scene {
    pub(crate) fn set_links(&self, world: &World, link: Link) {
        for member in 0..self.etcd.members() {
            world.net().set_link(self.host.id(), self.etcd.address(member), link);
        }
    }

    /// Cuts the client off, or not any more.
    pub(crate) fn cut_off(&self, world: &World, is_cut: bool) {
        let reachability = if is_cut { Reachability::Hang } else { Reachability::Open };
        let link = Link { reachability, stall_up: is_cut, stall_down: is_cut, ..Link::default() };
        self.set_links(world, link);
    }

    /// Returns the value of a key, as others see it.
    pub(crate) async fn value(&self, key: &str) -> Option<String> {
        let found = self.observer.get(key.to_owned()).await.unwrap();
        found.kvs.first().map(|pair| pair.value_str().unwrap().to_owned())
    }

    /// Returns whether others see a key.
    pub(crate) async fn exists(&self, key: &str) -> bool {
        self.value(key).await.is_some()
    }
}
