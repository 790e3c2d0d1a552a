//! Random operations under a namespace equal those of a client that puts the prefix there by hand,
//! and nothing outside of it changes (Y1).
//!
//! Each of the two has a cluster of its own. The operations are drawn twice from the same seed, for
//! the two places; answers, errors and events must be the same, and so must be the stores. How a
//! prefix is put there by hand is written down here once more, apart from the core.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod draw;
mod place;
mod steps;

use draw::Draw;
use etcd3::{Client, Config, KeyValue, all};
use etcd3_sim::{ClusterConfig, Personality, World, run};
use place::Place;
use std::collections::BTreeMap;
use std::time::Duration;
use steps::Step;

/// How many operations a whole run has.
const OPERATIONS: u64 = 10_000;
/// The lease that keys outside are attached to, too, and that nobody revokes.
const SHARED_LEASE: i64 = 7;

const PREFIXES: [&[u8]; 5] = [b"n/", b"\xff\xff", b"n\xff", b"\0", b"\xff"];

/// Keys around those with this prefix, the bare prefix among them.
fn strangers(prefix: &[u8]) -> Vec<Vec<u8>> {
    let (last, head) = prefix.split_last().unwrap();
    let mut near = vec![prefix.to_vec(), head.to_vec(), b"a".to_vec(), b"a/b".to_vec()];
    near.push([head, &[last.wrapping_add(1)]].concat());
    near.push([head, &[last.wrapping_sub(1), 0xff]].concat());
    near.push(vec![0, 0]);
    near.retain(|key| !key.is_empty() && (key == prefix || !key.starts_with(prefix)));
    near.sort();
    near.dedup();
    near
}

async fn begin(world: &World, prefix: &[u8]) -> Client {
    let config = ClusterConfig::new(1, Personality::of(3, 7, 3), 1);
    let etcd = world.etcd(config);
    let client = world.host().client(Config::new(etcd.endpoints())).unwrap();
    client.grant(Duration::from_secs(1_000_000)).id(SHARED_LEASE).await.unwrap();
    for key in strangers(prefix) {
        client.put(key, "outside").lease(SHARED_LEASE).await.unwrap();
    }
    client
}

async fn everything(client: &Client) -> Vec<KeyValue> {
    client.get(all()).await.unwrap().kvs
}

/// How often something happened, by its name.
type Counts = BTreeMap<&'static str, u64>;

async fn compare(world: World, seed: u64, prefix: &'static [u8], operations: u64) -> Counts {
    let (within, by_hand) = (begin(&world, prefix).await, begin(&world, prefix).await);
    let namespace = within.namespace(prefix);
    let (inside, outside) = (Place::Namespace, Place::ByHand(prefix.to_vec()));
    let is_outside = |pair: &KeyValue| pair.key == prefix || !pair.key.starts_with(prefix);
    let before = everything(&within).await;
    assert!(before.iter().all(is_outside) && before.len() > 3, "{before:?}");
    let (mut counts, mut draw) = (Counts::new(), Draw::new(seed));
    let mut streams = (steps::Open::default(), steps::Open::default());
    for n in 0..operations {
        let mut again = draw.clone();
        let expected = Step::draw(&mut again, &outside).run(&by_hand, &mut streams.1).await;
        let step = Step::draw(&mut draw, &inside);
        let (name, shown) = (step.name(), format!("{step:?}"));
        let found = step.run(&namespace, &mut streams.0).await;
        let expected = expected.seen_from(&outside);
        assert_eq!(found, expected, "seed {seed}, prefix {prefix:?}, step {n}: {shown}");
        *counts.entry(name).or_default() += 1;
        *counts.entry("errors").or_default() += u64::from(found.is_error());
        *counts.entry("keys").or_default() += found.keys();
        draw.learn(found.revision());
        if n % 500 == 0 || n + 1 == operations {
            let now = everything(&within).await;
            assert_eq!(now, everything(&by_hand).await, "seed {seed}: the stores, step {n}");
            let others: Vec<_> = now.into_iter().filter(is_outside).collect();
            assert_eq!(others, before, "seed {seed}, prefix {prefix:?}: others' keys, step {n}");
        }
    }
    counts
}

#[test]
fn operations_of_a_namespace_equal_those_with_the_prefix_by_hand() {
    let asked = std::env::var("ETCD3_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    for seed in 0..asked.unwrap_or(1) {
        for (n, prefix) in PREFIXES.into_iter().enumerate() {
            // Without being asked, one run as a whole: it takes its time without optimisation.
            let operations = if n == 0 || asked.is_some() { OPERATIONS } else { OPERATIONS / 20 };
            let run = run(seed, |world| compare(world, seed, prefix, operations));
            let counts = run.unwrap().0;
            let rare = counts.iter().filter(|(_, count)| **count < 50).count();
            let is_whole = operations == OPERATIONS;
            assert!(!is_whole || (rare == 0 && counts.len() > 14), "{counts:?}");
            println!("{prefix:?}: {counts:?}");
        }
    }
}
