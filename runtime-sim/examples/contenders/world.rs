//! One world: clients that contend while things go wrong, then the proof that nobody did harm.

use crate::contender::{Contender, Healed, TOLD};
use crate::log::{Counters, Log};
use crate::queue::{NAME, User};
use etcd3::{Client, Config};
use etcd3_core::rng::Rng;
use etcd3_sim::faults::{Planned, Scope, one_at_a_time, swarm};
use etcd3_sim::history::contention::{check_holds, check_items};
use etcd3_sim::{ClusterConfig, Etcd, Host, Personality, World, attempt};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const MEMBERS: usize = 3;
/// How long things go wrong.
const STORM: Duration = Duration::from_secs(20);
/// How long after that it may take until one more had everything once more: five things for each of
/// five, each held for seconds, and sessions to be granted anew.
const CALM: Duration = Duration::from_secs(60);
/// How long it may take until one more of the keys is gone that nobody could delete: the leases of
/// sessions that were lost, which a new leader gives their whole time again.
const GONE: Duration = Duration::from_secs(20);

/// What one world is made of; drawn from its seed.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) contenders: u32,
    pub(crate) faults: Vec<Planned>,
}

impl Plan {
    pub(crate) fn draw(seed: u64) -> Self {
        let contenders = 2 + u32::try_from(Rng::new(seed).below(4)).unwrap_or_default();
        let scope = Scope { clients: contenders, members: MEMBERS, lasts: STORM };
        let faults = if seed % 4 == 3 { one_at_a_time(seed, scope) } else { swarm(seed, scope) };
        Self { seed, contenders, faults }
    }
}

/// Runs a world, and judges it.
pub(crate) fn simulate(plan: &Plan) -> Result<Counters, String> {
    let program = |world, faults| live(world, Plan { faults, ..plan.clone() });
    attempt(plan.seed, &plan.faults, &program).map(|(counters, _)| counters)
}

async fn live(world: World, plan: Plan) -> Result<Counters, String> {
    let etcd = world.etcd(ClusterConfig::new(MEMBERS, Personality::draw(plan.seed), plan.seed));
    let (log, healed, busy) = (Log::default(), Healed::default(), Arc::new(AtomicUsize::new(0)));
    let mut hosts: Vec<(Host, Client)> = Vec::new();
    for number in 0..plan.contenders {
        let host = world.host();
        let config = Config::new(etcd.endpoints()).request_timeout(Duration::from_secs(3));
        let client = host.client(config).map_err(|e| e.report().to_string())?;
        let rng = |salt: u64| Rng::new(plan.seed ^ salt << 32 ^ u64::from(number));
        let contender = Contender {
            world: world.clone(),
            client: client.clone(),
            rng: rng(1),
            log: log.clone(),
            healed: healed.clone(),
        };
        let user = User {
            world: world.clone(),
            client: client.clone(),
            number,
            rng: rng(2),
            log: log.clone(),
            healed: healed.clone(),
        };
        busy.fetch_add(2, Ordering::Relaxed);
        let (one, other) = (Arc::clone(&busy), Arc::clone(&busy));
        host.spawn(async move {
            contender.work().await;
            one.fetch_sub(1, Ordering::Relaxed);
        });
        host.spawn(async move {
            user.work().await;
            other.fetch_sub(1, Ordering::Relaxed);
        });
        hosts.push((host, client));
    }
    let ids: Vec<_> = hosts.iter().map(|(host, _)| host.id()).collect();
    etcd.suffer(&plan.faults, &ids).await;
    etcd.recover(&ids);
    healed.set(world.now());
    let waiting = world.until_none_left(CALM, || busy.load(Ordering::Relaxed)).await;
    waiting.map_err(|left| format!("{left} contend yet, none had everything for {CALM:?}"))?;
    drain(&world, &hosts, &log, &healed).await;
    let keys = world.until_none_left(GONE, || left(&etcd)).await;
    keys.map_err(|left| format!("{left} keys are left, none has gone for {GONE:?}"))?;
    for (_, client) in &hosts {
        client.close().await;
    }
    world.sleep(Duration::from_secs(2)).await;
    if let Some((host, _)) = hosts.iter().find(|(host, _)| host.tasks() > 0) {
        return Err(format!("{} tasks are left of a closed client", host.tasks()));
    }
    finish(&log, &etcd)
}

async fn drain(world: &World, hosts: &[(Host, Client)], log: &Log, healed: &Healed) {
    let Some((_, client)) = hosts.first() else { return };
    let user = User {
        world: world.clone(),
        client: client.clone(),
        number: u32::MAX,
        rng: Rng::new(0),
        log: log.clone(),
        healed: healed.clone(),
    };
    user.drain().await;
}

/// Counts the keys that contenders and items have.
fn left(etcd: &Etcd) -> usize {
    let mut there = std::collections::BTreeSet::new();
    for change in etcd.changes() {
        if change.value.is_some() {
            there.insert(change.key);
        } else {
            there.remove(&change.key);
        }
    }
    there.iter().filter(|key| key.starts_with("held/") || key.starts_with(NAME)).count()
}

fn finish(log: &Log, etcd: &Etcd) -> Result<Counters, String> {
    let mut seen = log.seen();
    check_holds(&seen.holds, &etcd.changes(), TOLD)?;
    check_items(&seen.items)?;
    let items = seen.items.values();
    let (taken, unknown) = items.fold((0, 0), |(taken, unknown), item| {
        (taken + u64::from(item.taken), unknown + u64::from(item.unknown))
    });
    seen.counters.items += taken;
    seen.counters.unknown += unknown;
    Ok(seen.counters)
}
