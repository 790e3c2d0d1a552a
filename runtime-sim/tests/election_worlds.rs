//! Small worlds: candidates that lead in turns while everything goes wrong, judged by the order of
//! revisions.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

use etcd3::recipes::{Election, LeaderChange, LeaderChanges, RecipeError};
use etcd3::runtime::Instant;
use etcd3::{Client, Config, put};
use etcd3_sim::faults::{Scope, swarm};
use etcd3_sim::{ClusterConfig, Etcd, Personality, World, run};
use futures_lite::future::{or, pending};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Without optimisation only some of the worlds are seen.
const SEEDS: u64 = if cfg!(debug_assertions) { 4 } else { 500 };
/// How long faults begin.
const TROUBLE: Duration = Duration::from_secs(40);
/// How long all of them take to get over them.
const RECOVERY: Duration = Duration::from_secs(60);

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Leads once, for a while, with fenced writes.
async fn lead(world: &World, client: &Client, number: usize) -> Result<(), RecipeError> {
    let session = client.session(seconds(5)).await?;
    let election = Election::new(&session, "e");
    let leadership = election.campaign(number.to_string()).await?;
    let revision = leadership.create_revision().to_string();
    let work = async {
        for turn in 0..=world.below(8) {
            let write = put("state", revision.clone());
            let done = client.txn().when([leadership.fence()]).then([write]).await?;
            if !done.succeeded {
                return Ok(());
            }
            leadership.proclaim(format!("{number} {turn}")).await?;
            world.sleep(Duration::from_millis(world.below(800))).await;
        }
        Ok(())
    };
    or(async { Err(leadership.lost().await) }, work).await?;
    match world.below(3) {
        0 => leadership.resign().await,
        1 => Ok(session.close().await?),
        // Dropped.
        _ => Ok(()),
    }
}

/// Leads again and again until then; returns how often that went well after `healed`.
async fn compete(world: World, client: Client, number: usize, times: [Instant; 2]) -> usize {
    let [healed, end] = times;
    let mut count = 0;
    while world.now() < end {
        let led = or(lead(&world, &client, number), async {
            world.sleep(end.saturating_since(world.now())).await;
            pending().await
        });
        let until_end = async {
            world.sleep(end.saturating_since(world.now())).await;
            Ok(())
        };
        let is_led = or(led, until_end).await.is_ok();
        count += usize::from(is_led && world.now() > healed && world.now() < end);
        world.sleep(Duration::from_millis(10 + world.below(300))).await;
    }
    count
}

/// What a follower saw: the revision of creation and that of the value; zero for nobody.
type Seen = Arc<Mutex<Vec<(i64, i64)>>>;

async fn follow(client: Client, seen: Seen) {
    let mut changes = LeaderChanges::new(&client, "e");
    while let Some(change) = changes.next().await {
        match change {
            Ok(LeaderChange::Elected(leader) | LeaderChange::Proclaimed(leader)) => {
                let revisions = (leader.create_revision(), leader.kv().mod_revision);
                seen.lock().unwrap().push(revisions);
            }
            Ok(_) => seen.lock().unwrap().push((0, 0)),
            Err(error) => assert!(error.is_closed(), "{}", error.report()),
        }
    }
}

/// Returns who led when, and with which value, by all that changed.
fn history(etcd: &Etcd) -> Vec<(i64, i64)> {
    let mut candidates: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    let mut leaders = vec![(0, 0)];
    let changes = etcd.changes();
    for (at, change) in changes.iter().enumerate() {
        if change.key.starts_with("e/") {
            if change.value.is_some() {
                let own = candidates.entry(change.key.clone()).or_insert((change.revision, 0));
                own.1 = change.revision;
            } else {
                candidates.remove(&change.key);
            }
        }
        let is_whole = changes.get(at + 1).is_none_or(|next| next.revision > change.revision);
        let leader = candidates.values().min().copied().unwrap_or_default();
        if is_whole && leaders.last() != Some(&leader) {
            leaders.push(leader);
        }
    }
    leaders
}

/// Asserts that what was seen happened, in that order; all of it where nothing was compacted.
fn check_seen(told: &[(i64, i64)], history: &[(i64, i64)], seed: u64) {
    let is_of_history = |told: &[(i64, i64)]| {
        let mut rest = history.iter();
        told.iter().all(|one| rest.any(|other| other == one))
    };
    assert!(is_of_history(told), "seed {seed}: {told:?} of {history:?}");
    assert_eq!(told.last(), history.last(), "seed {seed}");
    let created: Vec<i64> = told.iter().map(|it| it.0).filter(|it| *it > 0).collect();
    assert!(created.is_sorted(), "seed {seed}: {created:?}");
}

/// Returns how much of the history a follower saw, and how much there is.
fn world_of(seed: u64) -> (usize, usize) {
    let (counts, _) = run(seed, |world| async move {
        let etcd = world.etcd(ClusterConfig::new(3, Personality::of(3, 5, 30), seed));
        let count = 2 + usize::try_from(seed % 4).unwrap();
        let hosts: Vec<_> = (0..=count).map(|_| world.host()).collect();
        let connect = |host: &etcd3_sim::Host| host.client(Config::new(etcd.endpoints())).unwrap();
        let clients: Vec<Client> = hosts.iter().map(connect).collect();
        let ids: Vec<_> = hosts.iter().map(etcd3_sim::Host::id).collect();
        let calm = connect(&world.host());
        let told = [Seen::default(), Seen::default()];
        calm.spawn(follow(calm.clone(), Arc::clone(&told[0])));
        hosts[count].spawn(follow(clients[count].clone(), Arc::clone(&told[1])));
        world.sleep(seconds(1)).await;

        let healed = world.now() + TROUBLE + seconds(15);
        let times = [healed, healed + RECOVERY];
        let mut led = Vec::new();
        for number in 0..count {
            let result = Arc::new(Mutex::new(None));
            let (world, client) = (world.clone(), clients[number].clone());
            led.push(Arc::clone(&result));
            hosts[number].spawn(async move {
                let count = compete(world, client, number, times).await;
                *result.lock().unwrap() = Some(count);
            });
        }
        let members = etcd.members();
        let clients_hit = u32::try_from(ids.len()).unwrap();
        let plan = swarm(seed, Scope { clients: clients_hit, members, lasts: TROUBLE });
        etcd.suffer(&plan, &ids).await;
        etcd.recover(&ids);
        let limit = times[1] + seconds(60);
        while led.iter().any(|it| it.lock().unwrap().is_none()) {
            assert!(world.now() < limit, "seed {seed}: somebody hangs");
            world.sleep(seconds(1)).await;
        }
        let led: usize = led.iter().map(|it| it.lock().unwrap().unwrap_or(0)).sum();
        assert!(led > 3, "seed {seed}: they led {led} times after all was well");
        // No key is left once the leases are over.
        world.sleep(seconds(20)).await;
        assert_eq!(calm.get(etcd3::prefix("e/")).await.unwrap().count, 0, "seed {seed}");

        // I-S1: no write of a past leader was applied.
        let states = etcd.changes().into_iter().filter(|it| it.key == "state");
        let states: Vec<i64> = states.map(|it| it.value.unwrap().parse().unwrap()).collect();
        assert!(states.is_sorted(), "seed {seed}: {states:?}");
        // I-S6
        let history = history(&etcd);
        for told in &told {
            check_seen(&told.lock().unwrap(), &history, seed);
        }
        let all_told = told[0].lock().unwrap().len();
        for client in clients.iter().chain([&calm]) {
            client.close().await;
        }
        (all_told, history.len())
    })
    .unwrap();
    counts
}

// I-S1, I-S5, I-S6
#[test]
fn elections_hold_whatever_goes_wrong() {
    let mut missed = 0;
    for seed in 0..SEEDS {
        let (told, all) = world_of(seed);
        assert!(all > 10, "seed {seed}: {all}");
        missed += usize::from(told < all);
    }
    assert!(missed <= usize::try_from(SEEDS / 2).unwrap(), "{missed}: only compactions hide any");
}
