//! Transactions in memory under faults, judged by the order of revisions; and that what is wrong
//! is found. `cargo xtask bank` has many more worlds.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

use etcd3::recipes::{Isolation, Stm};
use etcd3::{Client, Config};
use etcd3_sim::bank::world::{Plan, simulate};
use etcd3_sim::bank::{Bank, Tally};
use etcd3_sim::history::transactions::{Ending, Read, Rule, Transaction, check};
use etcd3_sim::{ClusterConfig, Etcd, Personality, World, run};
use std::time::Duration;

const SEEDS: u64 = if cfg!(debug_assertions) { 6 } else { 60 };

// I-S7: the sum stays, each commit is in its place.
#[test]
fn the_sum_never_changes_and_each_commit_is_in_its_place() {
    let mut total = Tally::default();
    for seed in 0..SEEDS {
        let tally = simulate(&Plan::draw(seed)).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        total.add(&tally);
    }
    println!("{total}");
    assert!(total.committed > total.transactions / 2 && total.conflicts > 0, "{total}");
    assert!(total.unknown > 0 && total.aborted > 0 && total.audits > 0, "{total}");
}

// X34: the level that compares nothing loses money, and that is found.
#[test]
fn write_skew_is_found_where_the_level_allows_it() {
    let found = (0..SEEDS).find_map(|seed| {
        let plan =
            Plan { faults: vec![], levels: vec![Isolation::ReadCommitted], ..Plan::draw(seed) };
        simulate(&plan).err()
    });
    let found = found.unwrap();
    assert!(found.contains("Serializable") || found.contains("the sum is"), "{found}");
}

fn scene(world: &World) -> (Etcd, Client) {
    let etcd = world.etcd(ClusterConfig::new(3, Personality::of(3, 5, 30), world.seed()));
    let client = world.host().client(Config::new(etcd.endpoints()[..1].to_vec())).unwrap();
    (etcd, client)
}

/// Reads a key by any member that is asked, as a transaction must not.
async fn read_anywhere(world: &World, client: &Client) -> Transaction {
    let mut read = Transaction::begin(world.now(), "none");
    let answer = client.get("a").serializable().await.unwrap();
    let found = answer.first().map(|kv| (kv.value_str().unwrap().to_owned(), kv.mod_revision));
    read.reads = vec![Read::Key { key: "a".to_owned(), found }];
    read.returned = Some((world.now(), Ending::Committed(answer.header.revision)));
    read
}

// X33: what another member has is not what was acknowledged.
#[test]
fn a_stale_read_is_found() {
    let checked = |is_stale| {
        run(1, move |world| async move {
            let (etcd, client) = scene(&world);
            client.put("a", "1").await.unwrap();
            let begun = client.get("a").await.unwrap().header.revision;
            world.sleep(Duration::from_secs(1)).await;
            if is_stale {
                etcd.hold_back(2);
            }
            let mut write = Transaction::begin(world.now(), "token");
            let written = Stm::new(&client).token(etcd3::recipes::StmToken::new("token"));
            let written = written.run(|mut tx| async move {
                tx.put("a", "2");
                Ok::<_, etcd3::recipes::Interrupted>(())
            });
            let revision = written.await.unwrap().revision;
            write.writes = [("a".to_owned(), Some("2".to_owned()))].into();
            write.returned = Some((world.now(), Ending::Committed(revision)));
            world.sleep(Duration::from_secs(1)).await;
            let third = world.host().client(Config::new([etcd.endpoints()[2].clone()])).unwrap();
            let read = read_anywhere(&world, &third).await;
            check(&[write, read], &etcd.changes(), begun).map(|violation| violation.rule)
        })
        .unwrap()
        .0
    };
    assert_eq!((checked(false), checked(true)), (None, Some(Rule::RealTime)));
}

#[test]
fn a_bank_on_a_cluster_that_is_well_has_no_unknown_transaction() {
    let tally = run(3, |world| async move {
        let (etcd, client) = scene(&world);
        let bank = Bank::open(&client).await.unwrap();
        bank.work(&client, 0, 50).await;
        assert_eq!(bank.ledger().len(), 50);
        bank.check(&etcd.changes()).unwrap()
    });
    let tally = tally.unwrap().0;
    assert_eq!((tally.transactions, tally.unknown, tally.failed, tally.conflicts), (50, 0, 0, 0));
}
