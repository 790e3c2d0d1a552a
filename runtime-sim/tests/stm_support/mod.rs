//! What the tests of transactions in memory share.
#![allow(clippy::unwrap_used, dead_code, reason = "all of this is for tests")]

use etcd3::recipes::{Committed, Interrupted, Isolation, Stm, StmError, Transaction};
use etcd3::{Client, Config};
use etcd3_sim::{ClusterConfig, Cut, CutLater, Direction, Etcd, Host, Personality, World, run};
use std::future::Future;
use std::time::Duration;

/// The levels that have all reads at one revision.
pub(crate) const PINNED: [Isolation; 2] =
    [Isolation::SerializableSnapshot, Isolation::Serializable];
pub(crate) const ALL: [Isolation; 4] = [
    Isolation::SerializableSnapshot,
    Isolation::Serializable,
    Isolation::RepeatableReads,
    Isolation::ReadCommitted,
];

/// What a run ends with whose closure does not give up by itself.
pub(crate) type Run<T> = Result<Committed<T>, StmError<Interrupted>>;

/// A cluster, and a client that is connected to all of its members.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) etcd: Etcd,
    pub(crate) host: Host,
    pub(crate) client: Client,
    pub(crate) stm: Stm,
}

/// Runs a script with a cluster of so many members.
#[track_caller]
pub(crate) fn play<T, F: Future<Output = T>>(members: usize, script: impl FnOnce(Scene) -> F) -> T {
    play_with(1, members, script)
}

/// Runs a script under this seed.
#[track_caller]
pub(crate) fn play_with<T, F: Future<Output = T>>(
    seed: u64,
    members: usize,
    script: impl FnOnce(Scene) -> F,
) -> T {
    let played = run(seed, |world| async move {
        let config = ClusterConfig::new(members, Personality::of(3, 5, 30), world.seed());
        let etcd = world.etcd(config);
        let host = world.host();
        let client = host.client(Config::new(etcd.endpoints())).unwrap();
        client.put("begun", "").await.unwrap();
        world.sleep(Duration::from_secs(1)).await;
        assert_eq!(host.connections(), members);
        let stm = Stm::new(&client);
        script(Scene { world, etcd, host, client, stm }).await
    });
    played.unwrap().0
}

impl Scene {
    pub(crate) async fn value(&self, key: &str) -> Option<String> {
        self.client.get(key).await.unwrap().value_str().map(ToOwned::to_owned)
    }

    /// Loses what the client sends, or what it is to receive, from now on.
    pub(crate) fn lose(&self, direction: Direction) {
        lose(&self.world, &self.host, &self.etcd, direction);
    }
}

pub(crate) fn lose(world: &World, host: &Host, etcd: &Etcd, direction: Direction) {
    for member in 0..etcd.members() {
        let later = CutLater { direction, bytes: 0, cut: Cut::Stall };
        world.net().cut_later(host.id(), etcd.address(member), later);
    }
}

/// Reads a number, 0 for none.
pub(crate) async fn number(tx: &mut Transaction, key: &str) -> Result<i64, Interrupted> {
    let value = tx.get(key).await?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&value).parse().unwrap_or(0))
}
