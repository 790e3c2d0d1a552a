//! One conversation, cut after every byte, in either direction and in every way.
//!
//! The seed is always the same, so up to the cut each run is the same conversation.
#![allow(clippy::unwrap_used)]

use etcd3::{Client, Config, Error, Outcome, key, put};
use etcd3_sim::history::{Completion, Entry, Invocation, check_order};
use etcd3_sim::{ClusterConfig, Cut, CutLater, Direction, Personality, World, run};
use std::time::Duration;

const SEED: u64 = 4;
/// More than the conversation has, in either direction; a test checks that.
const BYTES: u64 = 1200;
/// Without optimisation only some of the cuts are made.
const STEP: usize = if cfg!(debug_assertions) { 13 } else { 1 };

fn invocations() -> Vec<Invocation> {
    let (a, b) = ("a".to_owned(), "b".to_owned());
    let get = |key: &String| Invocation::Get { key: key.clone(), serializable: false };
    vec![
        Invocation::Put { key: a.clone(), value: "1".to_owned() },
        get(&a),
        Invocation::CompareAndPut { key: a.clone(), expected: 2, value: "2".to_owned() },
        Invocation::PutBoth { keys: [a.clone(), b.clone()], value: "3".to_owned() },
        get(&b),
        get(&a),
    ]
}

async fn act(client: &Client, invocation: &Invocation) -> Result<Completion, Error> {
    match invocation {
        Invocation::Put { key, value } => {
            Ok(Completion::Written(client.put(key, value).await?.header.revision))
        }
        Invocation::CompareAndPut { key: name, expected, value } => {
            let held = key(name).mod_revision().eq(*expected);
            let done = client.txn().when([held]).then([put(name, value)]).await?;
            let revision = done.header.revision;
            Ok(if done.succeeded {
                Completion::Written(revision)
            } else {
                Completion::NotHeld(revision)
            })
        }
        Invocation::PutBoth { keys: [a, b], value } => {
            let done = client.txn().then([put(a, value), put(b, value)]).await?;
            Ok(Completion::Written(done.header.revision))
        }
        Invocation::PutBesideRead { .. } => Err(Error::invalid_request("it is never sent")),
        Invocation::Get { key, .. } => {
            let answer = client.get(key).await?;
            let found = answer
                .kvs
                .first()
                .map(|kv| (String::from_utf8_lossy(&kv.value).into_owned(), kv.mod_revision));
            Ok(Completion::Read { revision: answer.header.revision, found })
        }
    }
}

fn failed(entry: &Entry, outcome: Outcome) -> bool {
    matches!(entry.returned, Some((_, Completion::Failed(failed))) if failed == outcome)
}

/// Holds the conversation; returns how many of its writes ended in an unknown outcome.
async fn converse(world: World, cut: Option<CutLater>) -> usize {
    let etcd = world.etcd(ClusterConfig::new(1, Personality::of(3, 5, 30), SEED));
    let host = world.host();
    let config = Config::new(etcd.endpoints()).request_timeout(Duration::from_secs(2));
    let client = host.client(config).unwrap();
    client.get("warm").await.unwrap();
    if let Some(cut) = cut {
        assert_eq!(world.net().cut_later(host.id(), etcd.address(0), cut), 1);
    }
    let mut history = Vec::new();
    for invocation in invocations() {
        let invoked = world.now();
        let completion = act(&client, &invocation).await;
        if completion.is_err() {
            world.net().forget_cuts(host.id(), etcd.address(0));
        }
        let completion = completion.unwrap_or_else(|error| Completion::Failed(error.outcome()));
        history.push(Entry { invoked, returned: Some((world.now(), completion)), invocation });
    }
    client.close().await;
    world.sleep(Duration::from_secs(1)).await;
    assert_eq!((host.tasks(), host.connections()), (0, 0));
    check_order(&history, &etcd.changes())
        .unwrap_or_else(|violation| panic!("{cut:?}: {violation}"));
    let is_rejected = history.iter().any(|entry| failed(entry, Outcome::Rejected));
    assert!(!is_rejected, "{cut:?}: nothing is wrong with any of it");
    history.iter().filter(|entry| failed(entry, Outcome::Unknown)).count()
}

// I-R1, I-R4, I-D1, I-D4
#[test]
fn every_cut_is_survived() {
    let mut unknown = 0;
    for direction in [Direction::Up, Direction::Down] {
        for cut in [Cut::Reset, Cut::Fin, Cut::Stall] {
            for bytes in (0..BYTES).step_by(STEP) {
                let cut = Some(CutLater { direction, bytes, cut });
                unknown += run(SEED, |world| converse(world, cut)).unwrap().0;
            }
        }
    }
    assert!(unknown > 20, "{unknown}: the cuts hit the conversation");
}

#[test]
fn the_sweep_reaches_the_end_of_the_conversation() {
    for direction in [Direction::Up, Direction::Down] {
        let late = Some(CutLater { direction, bytes: BYTES, cut: Cut::Reset });
        assert_eq!(run(SEED, |world| converse(world, late)).unwrap().0, 0);
    }
    assert_eq!(run(SEED, |world| converse(world, None)).unwrap().0, 0);
}
