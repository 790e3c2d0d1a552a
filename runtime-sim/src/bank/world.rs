//! Worlds with a bank: eight clerks at work while things go wrong.

use super::{Bank, Tally};
use crate::etcd::Etcd;
use crate::explore::{attempt, record};
use crate::faults::{Planned, Scope, one_at_a_time, swarm};
use crate::host::Host;
use crate::model::{ClusterConfig, Personality};
use crate::trace::Trace;
use crate::world::World;
use etcd3::recipes::Isolation;
use etcd3::{Client, Config};
use etcd3_core::rng::Rng;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const MEMBERS: usize = 3;
/// How many clerks there are; each two share a client.
const CLERKS: u32 = 8;
/// How long things go wrong.
const STORM: Duration = Duration::from_secs(20);
/// How long after that no transaction may end.
const CALM: Duration = Duration::from_secs(60);

/// What one world is made of; drawn from its seed.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// How many transactions each clerk makes.
    pub transactions: u32,
    /// How long a call may take.
    pub timeout: Duration,
    /// What goes wrong.
    pub faults: Vec<Planned>,
    /// The levels of the transactions; all that exclude write skew without any.
    pub levels: Vec<Isolation>,
}

impl Plan {
    /// Draws a world.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0xba4c);
        let scope = Scope { clients: CLERKS / 2, members: MEMBERS, lasts: STORM };
        let timeout = match rng.below(3) {
            0 => Duration::from_millis(300),
            1 => Duration::from_secs(2),
            _ => Duration::from_secs(8),
        };
        let transactions = 30 + u32::try_from(rng.below(50)).unwrap_or_default();
        let faults =
            if rng.below(4) == 0 { one_at_a_time(seed, scope) } else { swarm(seed, scope) };
        Self { seed, transactions, timeout, faults, levels: vec![] }
    }
}

/// Runs a world, and checks all that was promised.
///
/// # Errors
///
/// What did not hold, in words.
pub fn simulate(plan: &Plan) -> Result<Tally, String> {
    let program = |world, faults| live(world, Plan { faults, ..plan.clone() });
    attempt(plan.seed, &plan.faults, &program).map(|(tally, _)| tally)
}

/// Runs a world as [`simulate`] does, and records it.
#[must_use]
pub fn trace(plan: &Plan) -> Trace {
    let program = |world, faults| live(world, Plan { faults, ..plan.clone() });
    record(plan.seed, &plan.faults, &program).1
}

async fn live(world: World, plan: Plan) -> Result<Tally, String> {
    let etcd = world.etcd(ClusterConfig::new(MEMBERS, Personality::draw(plan.seed), plan.seed));
    let mut bank = open(&world, &etcd).await?;
    if !plan.levels.is_empty() {
        bank = bank.at_levels(plan.levels.iter().copied());
    }
    let left = Arc::new(AtomicUsize::new((CLERKS * plan.transactions) as usize));
    let mut hosts: Vec<(Host, Client)> = vec![];
    for number in 0..CLERKS / 2 {
        let host = world.host().named(format!("clerks {number}"));
        let config = Config::new(etcd.endpoints()).request_timeout(plan.timeout);
        let client = host.client(config).map_err(|error| error.report().to_string())?;
        hosts.push((host, client));
    }
    for number in 0..CLERKS {
        let Some((host, client)) = hosts.get(number as usize / 2) else { continue };
        let (bank, client, left) = (bank.clone(), client.clone(), Arc::clone(&left));
        let (world, transactions) = (world.clone(), plan.transactions);
        host.spawn(async move {
            for n in 0..transactions {
                world.sleep(Duration::from_millis(world.below(300))).await;
                bank.make_one(&client, format!("{}{number}-{n}", super::TOKEN_PREFIX)).await;
                left.fetch_sub(1, Ordering::Relaxed);
            }
        });
    }
    let ids: Vec<_> = hosts.iter().map(|(host, _)| host.id()).collect();
    etcd.suffer(&plan.faults, &ids).await;
    etcd.recover(&ids);
    let left = world.until_none_left(CALM, || left.load(Ordering::Relaxed)).await;
    left.map_err(|left| format!("{left} transactions are left, none ended for {CALM:?}"))?;
    for (_, client) in &hosts {
        client.close().await;
    }
    bank.check(&etcd.changes())
}

async fn open(world: &World, etcd: &Etcd) -> Result<Bank, String> {
    let founder = world.host().named("founder");
    let client = founder.client(Config::new(etcd.endpoints()));
    let client = client.map_err(|error| error.report().to_string())?;
    let bank = Bank::open(&client).await.map_err(|error| error.report().to_string())?;
    client.close().await;
    Ok(bank)
}
