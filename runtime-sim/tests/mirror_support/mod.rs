//! Two clusters, a mirror between them, and the proof that it applied each revision once and whole.
#![allow(dead_code, reason = "each program of tests uses a part")]

use etcd3::recipes::mirror::{Applied, Mirror, MirrorError, Step};
use etcd3::{Client, Config, ResumeToken, delete, ops, prefix, put};
use etcd3_sim::history::Change;
use etcd3_sim::{ClusterConfig, Etcd, Host, Link, Personality, Reachability, World};
use std::collections::BTreeMap;
use std::time::Duration;

/// The prefix in the source, that in the target, and the key of the position.
pub(crate) const FROM: &str = "app/";
pub(crate) const TO: &str = "copy/";
pub(crate) const POSITION: &str = "mirrors/app";

pub(crate) type Pairs = BTreeMap<String, String>;

pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) source: Etcd,
    pub(crate) target: Etcd,
    /// The host of the mirror, and its clients of both clusters.
    pub(crate) host: Host,
    pub(crate) from: Client,
    pub(crate) to: Client,
    /// Clients of another host, to which nothing happens.
    pub(crate) writer: Client,
    pub(crate) reader: Client,
}

impl Scene {
    pub(crate) fn new(world: &World) -> Self {
        let source = ClusterConfig::new(3, Personality::of(3, 5, 30), world.seed());
        Self::with(world, source, ClusterConfig::new(3, Personality::of(3, 7, 3), world.seed() + 1))
    }

    pub(crate) fn with(world: &World, source: ClusterConfig, target: ClusterConfig) -> Self {
        let (source, target) = (world.etcd(source), world.etcd(target));
        let (host, other) = (world.host(), world.host());
        let client = |host: &Host, etcd: &Etcd| {
            let config = Config::new(etcd.endpoints()).request_timeout(Duration::from_secs(2));
            host.client(config).unwrap()
        };
        Self {
            world: world.clone(),
            from: client(&host, &source),
            to: client(&host, &target),
            writer: client(&other, &source),
            reader: client(&other, &target),
            source,
            target,
            host,
        }
    }

    pub(crate) fn mirror(&self) -> Mirror {
        Mirror::new(&self.from, &self.to, FROM, POSITION).dest_prefix(TO)
    }

    /// Sets how the host of the mirror reaches a cluster.
    pub(crate) fn set_links(&self, etcd: &Etcd, reachability: Reachability) {
        for member in 0..etcd.members() {
            let is_cut = reachability != Reachability::Open;
            let link =
                Link { reachability, stall_up: is_cut, stall_down: is_cut, ..Link::default() };
            self.world.net().set_link(self.host.id(), etcd.address(member), link);
        }
    }

    /// Writes a key, several times if answers are lost.
    pub(crate) async fn put(&self, name: &str, value: &str) -> i64 {
        loop {
            if let Ok(done) = self.writer.put(format!("{FROM}{name}"), value).await {
                return done.header.revision;
            }
        }
    }

    pub(crate) async fn delete(&self, name: &str) -> i64 {
        self.writer.delete(format!("{FROM}{name}")).await.unwrap().header.revision
    }

    /// Makes a change of the source, of one key or of several at once; returns its revision.
    pub(crate) async fn change(&self, n: u64) -> i64 {
        let name = |n: u64| format!("{FROM}{}", n % 17);
        let below = self.world.below(17);
        match self.world.below(4) {
            0 => {
                let both = ops![put(name(below), n.to_string()), delete(name(below + 1))];
                let three = both.into_iter().chain([put(name(below + 2), n.to_string()).into()]);
                self.writer.txn().then(three).await.unwrap().header.revision
            }
            1 => self.writer.delete(name(below)).await.unwrap().header.revision,
            _ => self.put(&below.to_string(), &n.to_string()).await,
        }
    }

    /// Returns what the source has, and what the copy has, by names without prefixes.
    pub(crate) async fn both(&self) -> (Pairs, Pairs) {
        (pairs(&self.writer, FROM).await, pairs(&self.reader, TO).await)
    }

    pub(crate) async fn assert_equal(&self) {
        let (source, copy) = self.both().await;
        assert_eq!(copy, source, "seed {}", self.world.seed());
    }

    /// Checks that each revision of the source after the first complete copy became one
    /// transaction of the target, once, whole, in order; returns how many.
    // D-08, I-D3
    pub(crate) fn assert_revisions(&self) -> usize {
        let (mut applied, mut last) = (0, 0);
        for (changes, token) in transactions(&self.target.changes()) {
            let Some(token) = token else {
                last = 0;
                continue;
            };
            let revision = token.revision - 1;
            assert!(revision >= last, "{revision} after {last}");
            if !changes.is_empty() && last > 0 {
                assert!(revision > last, "{revision} twice");
                let whole = self.source.changes();
                let of = |change: &&Change| {
                    change.key.starts_with(FROM) && (last + 1..=revision).contains(&change.revision)
                };
                let whole: Vec<_> = whole.iter().filter(of).collect();
                assert!(whole.iter().all(|change| change.revision == revision), "{revision}: gap");
                let mut theirs: Vec<(String, _)> = whole
                    .iter()
                    .map(|it| (it.key[FROM.len()..].into(), it.value.clone()))
                    .collect();
                let mut ours: Vec<(String, _)> = changes
                    .iter()
                    .map(|it| (it.key[TO.len()..].into(), it.value.clone()))
                    .collect();
                theirs.sort();
                ours.sort();
                assert_eq!(ours, theirs, "revision {revision}");
                applied += 1;
            }
            last = revision;
        }
        applied
    }
}

/// The changes of one transaction, and the position that it stored.
type Transaction = (Vec<Change>, Option<ResumeToken>);

/// Groups what happened in the target; every change is one of a transaction that stored a position.
fn transactions(changes: &[Change]) -> Vec<Transaction> {
    let mut groups: BTreeMap<i64, Vec<Change>> = BTreeMap::new();
    for change in changes {
        groups.entry(change.revision).or_default().push(change.clone());
    }
    let groups = groups.into_values().map(|mut changes| {
        let position = changes.iter().position(|change| change.key == POSITION).unwrap();
        let text = changes.remove(position).value.unwrap();
        (changes, text.split(' ').next().unwrap().parse().ok())
    });
    groups.collect()
}

pub(crate) async fn pairs(client: &Client, start: &str) -> Pairs {
    let found = client.get(prefix(start)).await.unwrap();
    let pair = |it: &etcd3::KeyValue| {
        (it.key_str().unwrap()[start.len()..].to_owned(), it.value_str().unwrap().to_owned())
    };
    found.kvs.iter().map(pair).collect()
}

/// Applies until the copy has this revision of the source; returns the steps.
pub(crate) async fn until(mirror: &mut Mirror, revision: i64) -> Vec<Applied> {
    let mut steps = Vec::new();
    while mirror.position().is_none_or(|position| position.revision <= revision) {
        steps.push(next(mirror).await);
    }
    steps
}

/// Returns what is applied next, with as many attempts as it takes.
pub(crate) async fn next(mirror: &mut Mirror) -> Applied {
    loop {
        match mirror.next().await {
            Ok(applied) => return applied,
            Err(MirrorError::Source(error) | MirrorError::Target(error))
                if error.is_retryable() => {}
            Err(error) => panic!("{error}"),
        }
    }
}

pub(crate) fn kinds(steps: &[Applied]) -> Vec<Step> {
    steps.iter().map(|applied| applied.step).collect()
}
