//! Simulates a program of one's own: two workers share jobs through etcd, and each job must be
//! done once.
//!
//! As it stands, a worker claims a job by reading it and then writing its name on it. Some seed
//! finds what is wrong with that, and the run is drawn to `target/sim`; `--fixed` claims in a
//! transaction instead.

use etcd3::{Client, Config, KeyRange, Outcome, put};
use etcd3_sim::faults::{Planned, Scope};
use etcd3_sim::{ClusterConfig, Personality, World, explore, record};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const JOBS: u32 = 5;

/// What a worker does: the code under test. It knows nothing of the simulation.
async fn work(client: Client, name: &'static str, fixed: bool, done: Arc<Mutex<Vec<u32>>>) {
    for job in 0..JOBS {
        let key = format!("jobs/{job}");
        let claimed = if fixed {
            let claim = client.txn().when([KeyRange::key(&key).missing()]).then([put(&key, name)]);
            match claim.await {
                Ok(claim) => claim.succeeded,
                // Whether it is ours, only the key knows.
                Err(error) if error.outcome() == Outcome::Unknown => {
                    owner_is(&client, &key, name).await
                }
                Err(_) => false,
            }
        } else {
            let free = client.get(&key).await.is_ok_and(|found| found.count == 0);
            free && client.put(&key, name).await.is_ok()
        };
        if claimed {
            done.lock().expect("no worker panics").push(job);
        }
    }
}

async fn owner_is(client: &Client, key: &str, name: &str) -> bool {
    let found = client.get(key).await;
    found.is_ok_and(|found| found.kvs.first().is_some_and(|kv| kv.value == name))
}

/// A world with both workers, and what must hold at the end.
async fn program(world: World, faults: Vec<Planned>, fixed: bool) -> Result<(), String> {
    let etcd = world.etcd(ClusterConfig::new(3, Personality::of(3, 5, 30), world.seed()));
    let done = Arc::new(Mutex::new(Vec::new()));
    let hosts = [world.host().named("worker one"), world.host().named("worker two")];
    for (host, name) in hosts.iter().zip(["one", "two"]) {
        let client =
            host.client(Config::new(etcd.endpoints())).map_err(|e| e.report().to_string())?;
        let (start, done) = (Duration::from_millis(world.below(3000)), Arc::clone(&done));
        let world = world.clone();
        host.spawn(async move {
            world.sleep(start).await;
            work(client, name, fixed, done).await;
        });
    }
    etcd.suffer(&faults, &hosts.map(|host| host.id())).await;
    world.sleep(Duration::from_secs(120)).await;
    let done = done.lock().expect("no worker panics");
    match (0..JOBS).find(|job| done.iter().filter(|other| *other == job).count() > 1) {
        Some(job) => Err(format!("job {job} was done twice")),
        None => Ok(()),
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut fixed, mut seeds) = (false, 0..1000);
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), arguments.next().and_then(|seed| seed.parse().ok())) {
            ("--seed", Some(seed)) => seeds = seed..seed + 1,
            _ => fixed = argument == "--fixed",
        }
    }
    let scope = Scope { clients: 2, members: 3, lasts: Duration::from_secs(5) };
    let program = |world, faults| program(world, faults, fixed);
    match explore(seeds.clone(), scope, program) {
        Ok(()) => {
            println!("{} seeds, and every job was done once at most", seeds.end - seeds.start);
            ExitCode::SUCCESS
        }
        Err(found) => {
            println!("{found}");
            let path = format!("target/sim/two-workers-{}.html", found.seed);
            match record(found.seed, &found.faults, &program).1.write_html(&path) {
                Ok(()) => println!("drawn: {path}"),
                Err(error) => println!("not drawn, {path}: {error}"),
            }
            println!(
                "again: cargo run -p etcd3-sim --example two_workers -- --seed {}",
                found.seed
            );
            ExitCode::FAILURE
        }
    }
}
