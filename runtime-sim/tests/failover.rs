//! A cluster with a broken member is still a working cluster: what readers and writers see of each
//! fault, at the default timeouts.
#![allow(clippy::unwrap_used)]

use etcd3::runtime::Instant;
use etcd3::{Client, Config, Error, Outcome};
use etcd3_sim::{
    ClusterConfig, Cut, Etcd, Host, HostId, Link, Personality, Reachability, World, run,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MEMBERS: usize = 3;
const READERS: u32 = 8;
const WRITERS: u32 = 4;
/// Between two calls of one worker.
const PACE: Duration = Duration::from_millis(50);
/// How long a fault lasts.
const LASTS: Duration = Duration::from_secs(20);
/// How many seeds are run unless `ETCD3_SEEDS` says otherwise; without optimisation only one.
const SEEDS: u64 = if cfg!(debug_assertions) { 1 } else { 12 };

fn seeds() -> std::ops::Range<u64> {
    let asked = std::env::var("ETCD3_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    0..asked.unwrap_or(SEEDS)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Kill,
    Stop,
    Partition,
    /// Nothing passes between the client and the member.
    BlackHole,
    /// What the member sends does not arrive.
    Deaf,
}

const FAULTS: [Fault; 5] =
    [Fault::Kill, Fault::Stop, Fault::Partition, Fault::BlackHole, Fault::Deaf];

#[derive(Default)]
struct Seen {
    reads: u64,
    failed_reads: Vec<Error>,
    writes: u64,
    /// When they were sent.
    failed_writes: Vec<(Instant, Error)>,
    longest_gap: Duration,
    acknowledged: Vec<String>,
}

type Log = Arc<Mutex<Seen>>;

async fn read(world: World, client: Client, log: Log, end: Instant) {
    let mut last = world.now();
    while world.now() < end {
        let result = client.get("key").await;
        let now = world.now();
        {
            let mut log = log.lock().unwrap();
            match result {
                Ok(_) => {
                    log.reads += 1;
                    log.longest_gap = log.longest_gap.max(now.saturating_since(last));
                    last = now;
                }
                Err(error) => log.failed_reads.push(error),
            }
        }
        world.sleep(PACE).await;
    }
}

async fn write(world: World, client: Client, log: Log, number: u32, end: Instant) {
    let mut count = 0;
    while world.now() < end {
        let sent = world.now();
        let key = format!("w-{number}-{count}");
        let result = client.put(&key, "value").await;
        count += 1;
        {
            let mut log = log.lock().unwrap();
            match result {
                Ok(_) => {
                    log.writes += 1;
                    log.acknowledged.push(key);
                }
                Err(error) => log.failed_writes.push((sent, error)),
            }
        }
        world.sleep(PACE).await;
    }
}

fn begin(world: &World, etcd: &Etcd, host: HostId, fault: Fault, member: usize) {
    let link = |link: Link| world.net().set_link(host, etcd.address(member), link);
    match fault {
        Fault::Kill => etcd.kill(member),
        Fault::Stop => etcd.pause(member),
        Fault::Partition => etcd.isolate(member),
        Fault::BlackHole => {
            world.net().cut(host, etcd.address(member), Cut::Stall);
            link(Link { reachability: Reachability::Hang, ..Link::default() });
        }
        Fault::Deaf => link(Link { stall_down: true, ..Link::default() }),
    }
}

fn end(world: &World, etcd: &Etcd, host: HostId, fault: Fault, member: usize) {
    match fault {
        Fault::Kill | Fault::Stop => etcd.revive(member),
        Fault::Partition => etcd.heal(),
        Fault::BlackHole | Fault::Deaf => {
            world.net().set_link(host, etcd.address(member), Link::default());
        }
    }
}

/// Returns when a majority without that member answers a write that was begun after the fault.
async fn majority(world: &World, etcd: &Etcd, member: usize) -> Instant {
    let others = etcd.endpoints().into_iter().enumerate().filter(|(index, _)| *index != member);
    let others: Vec<_> = others.map(|(_, endpoint)| endpoint).collect();
    let client = world.host().client(Config::new(others)).unwrap();
    while client.put("majority", "x").timeout(Duration::from_millis(500)).await.is_err() {}
    let now = world.now();
    client.close().await;
    now
}

/// Returns what is seen of one fault of one member; true says that it led.
async fn suffer(world: World, fault: Fault, member: usize, seed: u64) -> (Seen, bool, Instant) {
    let personality = [Personality::of(3, 4, 23), Personality::of(3, 5, 16)][(seed % 2) as usize];
    let etcd = world.etcd(ClusterConfig::new(MEMBERS, personality, seed));
    let host: Host = world.host();
    let client = host.client(Config::new(etcd.endpoints())).unwrap();
    client.put("key", "value").await.unwrap();
    let leads = etcd.model(|cluster, _| cluster.leader()) == Some(etcd.member_id(member));
    let log = Log::default();
    let stop = world.now() + Duration::from_secs(1) + LASTS + Duration::from_secs(20);
    for _ in 0..READERS {
        host.spawn(read(world.clone(), client.clone(), Arc::clone(&log), stop));
    }
    for number in 0..WRITERS {
        host.spawn(write(world.clone(), client.clone(), Arc::clone(&log), number, stop));
    }
    world.sleep(Duration::from_secs(1)).await;
    let begun = world.now();
    begin(&world, &etcd, host.id(), fault, member);
    let again = majority(&world, &etcd, member).await;
    world.sleep(LASTS.saturating_sub(world.now().saturating_since(begun))).await;
    end(&world, &etcd, host.id(), fault, member);
    while host.tasks() > MEMBERS + 1 {
        world.sleep(Duration::from_millis(100)).await;
        assert!(world.now() < stop + Duration::from_secs(20), "workers hang");
    }
    let all = std::mem::take(&mut *log.lock().unwrap());
    let changes = etcd.changes();
    for key in &all.acknowledged {
        let applied = changes.iter().filter(|change| change.key == *key).count();
        assert_eq!(applied, 1, "{key}: {fault:?} of {member}, seed {seed}");
    }
    (all, leads, again)
}

fn limit(fault: Fault, leads: bool) -> Duration {
    Duration::from_secs(match (fault, leads) {
        (Fault::Kill, false) => 2,
        (Fault::Kill, true) => 5,
        _ => 12,
    })
}

// I-C1, I-C7, I-R1, B12–B16
#[test]
fn reads_never_fail_and_writes_only_as_unknown() {
    let mut longest = [Duration::ZERO; FAULTS.len()];
    for seed in seeds() {
        for (index, fault) in FAULTS.into_iter().enumerate() {
            // With one member after the other, each leads in some of the runs.
            let member = usize::try_from(seed).unwrap() % MEMBERS;
            let what = format!("{fault:?} of member {member}, seed {seed}");
            let ((seen, leads, again), _) =
                run(seed, |world| suffer(world, fault, member, seed)).unwrap();
            assert!(seen.reads > 2_500 && seen.writes > 1_000, "{what}: too little");
            if let Some(error) = seen.failed_reads.first() {
                panic!("{what}: {} reads failed: {error}", seen.failed_reads.len());
            }
            for (sent, error) in &seen.failed_writes {
                assert_eq!(error.outcome(), Outcome::Unknown, "{what}: {error}");
                let late = sent.saturating_since(again);
                // What was sent before the client could know that the member is silent.
                assert!(late <= Duration::from_millis(400), "{what}: {late:?} late: {error}");
            }
            let most = limit(fault, leads);
            assert!(seen.longest_gap <= most, "{what}: a gap of {:?}", seen.longest_gap);
            longest[index] = longest[index].max(seen.longest_gap);
        }
    }
    println!("longest gaps: {FAULTS:?} {longest:?}");
}

// C7: two of three endpoints are dead, and the cluster is well.
#[test]
fn dead_endpoints_cost_nothing() {
    for seed in seeds() {
        let program = |world: World| async move {
            let etcd = world.etcd(ClusterConfig::new(1, Personality::of(3, 5, 16), seed));
            let mut endpoints = etcd.endpoints();
            endpoints.insert((seed % 2) as usize, "http://etcd-0:1".to_owned());
            endpoints.push("http://nobody:2379".to_owned());
            let client = world.host().client(Config::new(endpoints)).unwrap();
            for n in 0..500 {
                client.put("key", format!("{n}")).await.unwrap();
                client.get("key").await.unwrap();
            }
        };
        run(seed, program).unwrap();
    }
}
