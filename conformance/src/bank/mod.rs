//! A bank of transactions in memory, in worlds and on real members: `cargo xtask bank`.
//!
//! Eight clerks move money between twenty accounts while members are killed, frozen and cut off.
//! The sum must not change; each commit is placed by its revision, and what it read is compared
//! with what the store held there; what became of a commit of unknown outcome is what its token
//! says.

mod worlds;

pub use worlds::{again, run_worlds};

use crate::failover::MemberFault;
use crate::load::{self, BlockingRuntime, Error, pause, spawn};
use etcd3::{Client, Config, EventKind, prefix};
use etcd3_core::rng::Rng;
use etcd3_lab::Cluster;
use etcd3_lab::etcd::Binary;
use etcd3_sim::bank::{self, Bank, Tally};
use etcd3_sim::history::Change;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How many clients there are, and how many clerks share each.
const CLIENTS: usize = 4;
const CLERKS_OF_A_CLIENT: usize = 2;
/// How long a call may take: less than an election, so that some are of unknown outcome.
const TIMEOUT: Duration = Duration::from_millis(700);
/// How long a fault lasts, and how long the members are well before the next one.
const FAULT: Duration = Duration::from_millis(1200);
const WELL: Duration = Duration::from_millis(500);
/// How long clerks think between two transactions.
const THINKING: Duration = Duration::from_millis(5);
/// How long reading all changes may take.
const READING: Duration = Duration::from_secs(60);

/// How long a bank suffers on real members, and what that is drawn from.
#[derive(Debug, Clone, Copy)]
pub struct Scene {
    /// How long things go wrong.
    pub lasts: Duration,
    /// What the faults are drawn from.
    pub seed: u64,
}

/// Runs a bank on three real members; tells whether all that must hold did.
///
/// # Errors
///
/// When the servers fail, so that nothing can be said about the client.
pub fn run(runtime: &BlockingRuntime, etcd: &Binary, scene: &Scene) -> Result<bool, Error> {
    println!("bank on {} against etcd {}, seed {}", runtime.name, etcd.version, scene.seed);
    let cluster = load::three_members(etcd)?;
    let founder = runtime.connect(cluster.client_urls())?;
    let opened = founder.clone();
    let bank = runtime.run(async move { Bank::open(&opened).await })?;
    let is_over = Arc::new(AtomicBool::new(false));
    let mut clerks = Vec::new();
    for client in 0..CLIENTS {
        let config = Config::new(cluster.client_urls()).request_timeout(TIMEOUT);
        let shared = runtime.connect_with(config)?;
        for clerk in 0..CLERKS_OF_A_CLIENT {
            let clerk = Clerk {
                bank: bank.clone(),
                client: shared.clone(),
                number: client * CLERKS_OF_A_CLIENT + clerk,
                is_over: Arc::clone(&is_over),
            };
            clerks.push(spawn(&runtime.rt, clerk.work()));
        }
    }
    let faults = break_members(&cluster, scene)?;
    is_over.store(true, Ordering::Relaxed);
    runtime.run(async move {
        for clerk in clerks {
            clerk.await;
        }
    });
    load::wait_healthy(&cluster)?;
    let changes = runtime.run(all_changes(founder))?;
    Ok(told(bank.check(&changes), faults))
}

/// Prints what became of a bank; tells whether all held, and enough happened.
fn told(checked: Result<Tally, String>, faults: u32) -> bool {
    match checked {
        Ok(tally) => {
            println!("{faults} faults; {tally}");
            let is_much = tally.committed > 0 && tally.conflicts > 0;
            if !is_much {
                println!("BROKEN too little happened");
            }
            is_much
        }
        Err(violation) => {
            println!("BROKEN {violation}");
            false
        }
    }
}

struct Clerk {
    bank: Bank,
    client: Client,
    number: usize,
    is_over: Arc<AtomicBool>,
}

impl Clerk {
    async fn work(self) {
        let mut n = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            let token = format!("{}tokens/{}-{n}", bank::PREFIX, self.number);
            self.bank.make_one(&self.client, token).await;
            pause(self.client.runtime(), THINKING).await;
            n += 1;
        }
    }
}

/// Has one member after the other fail; returns how often.
fn break_members(cluster: &Cluster, scene: &Scene) -> Result<u32, Error> {
    let mut rng = Rng::new(scene.seed);
    let mut draw = |below: usize| usize::try_from(rng.below(below as u64)).unwrap_or_default();
    let end = Instant::now() + scene.lasts;
    let mut faults = 0;
    while Instant::now() < end {
        thread::sleep(WELL);
        let leader = cluster.wait_leader()?;
        // Every other time the one that leads, since others are hardly noticed.
        let member = if draw(2) == 0 { leader } else { draw(cluster.len()) };
        // The first one is killed: a short run has few.
        let fault = MemberFault::ALL[if faults == 0 { 0 } else { draw(MemberFault::ALL.len()) }];
        fault.begin(cluster, member)?;
        thread::sleep(FAULT);
        fault.end(cluster, member)?;
        faults += 1;
    }
    Ok(faults)
}

/// Reads all changes there were to the keys of a bank.
async fn all_changes(client: Client) -> Result<Vec<Change>, Error> {
    let end = format!("{}end", bank::PREFIX);
    let last = client.put(&end, "").timeout(READING).await?.header.revision;
    let mut watch = client.watch(prefix(bank::PREFIX)).from_revision(1).await?;
    let mut changes = Vec::new();
    while let Some(batch) = watch.next().await {
        for event in batch?.events {
            let key = String::from_utf8_lossy(&event.kv.key).into_owned();
            let value = String::from_utf8_lossy(&event.kv.value).into_owned();
            let value = (event.kind == EventKind::Put).then_some(value);
            if event.kv.mod_revision == last {
                return Ok(changes);
            }
            changes.push(Change { revision: event.kv.mod_revision, key, value });
        }
    }
    Err("the watch ended before all changes were read".into())
}
