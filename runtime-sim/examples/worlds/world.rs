//! One world: clients at work while things go wrong, then the proof that nothing was lost.

use crate::leasing::{Leased, Leasing, Nature};
use crate::tally::Tally;
use crate::watching::Watching;
use etcd3::runtime::Instant;
use etcd3::{Client, Config, Error, Op, get, key, put};
use etcd3_core::rng::Rng;
use etcd3_sim::faults::{Planned, Scope, one_at_a_time, suspensions, swarm};
use etcd3_sim::history::{Completion, Entry, Invocation, check_order};
use etcd3_sim::model::Replica;
use etcd3_sim::trace::CallEnd;
use etcd3_sim::{ClusterConfig, Etcd, Host, Personality, Stats, Trace, World, attempt, record};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const MEMBERS: usize = 3;
const KEYS: u64 = 5;
/// How long things go wrong.
const STORM: Duration = Duration::from_secs(30);
/// How long after the end of all faults every call must have ended: its own timeout, and the time
/// to connect again.
const CALM: Duration = Duration::from_secs(15 + 7);

/// Times and sizes of watches, small enough for all that depends on them to happen in a storm.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);
const FRAGMENT_LIMIT: usize = 1_500;
const BATCH_REVISIONS: usize = 20;

/// What one world is made of; drawn from its seed.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) clients: u32,
    /// Operations of each client.
    pub(crate) operations: u32,
    /// How long a call may take.
    pub(crate) timeout: Duration,
    pub(crate) faults: Vec<Planned>,
    /// Whether leases are kept alive.
    pub(crate) leases: bool,
}

impl Plan {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut plan = Self { leases: true, ..Self::without_leases(seed) };
        let scope = Scope { clients: plan.clients, members: MEMBERS, lasts: STORM };
        match seed % 8 {
            3 => plan.faults = one_at_a_time(seed, scope),
            1 | 6 => {
                plan.faults.extend(suspensions(seed, scope));
                plan.faults.sort_unstable();
            }
            _ => {}
        }
        plan
    }

    /// Draws a world that only calls and watches.
    pub(crate) fn without_leases(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let clients = 3 + u32::try_from(rng.below(3)).unwrap_or_default();
        let operations = 60 + u32::try_from(rng.below(60)).unwrap_or_default();
        let scope = Scope { clients, members: MEMBERS, lasts: STORM };
        let timeout = Duration::from_secs(match rng.below(3) {
            0 => 1,
            1 => 4,
            _ => 15,
        });
        let faults = swarm(seed, scope);
        Self { seed, clients, operations, timeout, faults, leases: false }
    }
}

/// What a world that held came to.
pub(crate) struct Report {
    pub(crate) stats: Stats,
    pub(crate) tally: Tally,
}

/// Runs a world, and checks all that was promised.
pub(crate) fn simulate(plan: &Plan) -> Result<Report, String> {
    let program = |world, faults| judged(world, Plan { faults, ..plan.clone() });
    attempt(plan.seed, &plan.faults, &program).map(|(report, _)| report)
}

/// Runs a world as [`simulate`] does, and records it.
pub(crate) fn trace(plan: &Plan) -> Trace {
    let program = |world, faults| judged(world, Plan { faults, ..plan.clone() });
    record(plan.seed, &plan.faults, &program).1
}

async fn judged(world: World, plan: Plan) -> Result<Report, String> {
    let (clients, faults) = (u64::from(plan.clients), plan.faults.len() as u64);
    let tally = Tally { faults, ..live(world.clone(), plan).await? };
    let stats = world.stats();
    // I-C11, I-W12: no storm of connects, whatever happens.
    let seconds = stats.elapsed.as_secs() + 10;
    let most = clients * MEMBERS as u64 * seconds * 2;
    if stats.attempts > most {
        return Err(format!("{} connects in {seconds} s", stats.attempts));
    }
    Ok(Report { stats, tally })
}

type History = Arc<Mutex<Vec<Entry>>>;

async fn live(world: World, plan: Plan) -> Result<Tally, String> {
    let personality = Personality::draw(plan.seed);
    let mut config = ClusterConfig::new(MEMBERS, personality, plan.seed);
    config.watch.progress_interval = PROGRESS_INTERVAL;
    config.watch.fragment_limit = FRAGMENT_LIMIT;
    config.watch.batch_revisions = BATCH_REVISIONS;
    let etcd = world.etcd(config);
    let watching = Watching::new(&world, &etcd, personality.version);
    let nature = Nature::of(&plan.faults);
    let leasing = plan.leases.then(|| Leasing::new(&world, &etcd, nature));
    let history = History::default();
    let busy = Arc::new(AtomicUsize::new(plan.clients as usize));
    let mut hosts = Vec::new();
    let mut clients = Vec::new();
    for number in 0..plan.clients {
        let host = world.host().named(format!("client {number}"));
        let config = Config::new(etcd.endpoints()).request_timeout(plan.timeout);
        let client = host.client(config).map_err(|e| e.report().to_string())?;
        let worker = Worker {
            world: world.clone(),
            host: host.clone(),
            client: client.clone(),
            number,
            operations: plan.operations,
            history: Arc::clone(&history),
            seen: 0,
        };
        let busy = Arc::clone(&busy);
        host.spawn(async move {
            worker.work().await;
            busy.fetch_sub(1, Ordering::Relaxed);
        });
        watching.begin(&host, &client, number);
        if let Some(leasing) = &leasing {
            leasing.begin(&host, &client, number);
        }
        clients.push(client);
        hosts.push(host);
    }
    let ids: Vec<_> = hosts.iter().map(Host::id).collect();
    etcd.suffer(&plan.faults, &ids).await;
    etcd.recover(&ids);
    leasing.iter().for_each(Leasing::calm);
    let left = world.until_none_left(CALM * 2, || busy.load(Ordering::Relaxed)).await;
    left.map_err(|left| format!("{left} workers hang {:?} after all is well", CALM * 2))?;
    for (number, client) in clients.iter().enumerate() {
        still_works(&world, client)
            .await
            .map_err(|e| format!("client {number} does not recover: {e}"))?;
    }
    if let Some(client) = clients.first() {
        watching.complete(client).await?;
    }
    if let Some(leasing) = &leasing {
        leasing.complete().await?;
    }
    for host in &hosts {
        all_is_connected(&world, host).await?;
        newcomer(host, &etcd).await.map_err(|e| format!("a new client: {e}"))?;
    }
    finish(&world, &hosts, clients).await?;
    let leased = match &leasing {
        Some(leasing) => leasing.check().await?,
        None => Leased::default(),
    };
    members_agree(&etcd)?;
    let history = history.lock().unwrap_or_else(PoisonError::into_inner);
    let mut changes = etcd.changes();
    changes.retain(|change| change.key.starts_with("key-"));
    check_order(&history, &changes).map_err(|violation| {
        violation.at().into_iter().for_each(|at| world.mark_at(at, &violation));
        violation.to_string()
    })?;
    Ok(Tally { watched: watching.check()?, leased, ..Tally::of(&history, &changes) })
}

/// The name of an operation in a record.
struct Named<'a>(&'a Invocation);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Invocation::Put { key, value } => write!(f, "put {key} = {value}"),
            Invocation::CompareAndPut { key, expected, value } => {
                write!(f, "if {key} at {expected}, put {value}")
            }
            Invocation::PutBoth { keys: [a, b], value } => write!(f, "put {a}, {b} = {value}"),
            Invocation::PutBesideRead { key, value, revision } => {
                write!(f, "put {key} = {value}, get at {revision}")
            }
            Invocation::Get { key, serializable: false } => write!(f, "get {key}"),
            Invocation::Get { key, serializable: true } => write!(f, "get {key}, serializable"),
        }
    }
}

/// Checks that every member holds the same, with the same revisions, once all of it has arrived.
fn members_agree(etcd: &Etcd) -> Result<(), String> {
    etcd.model(|cluster, _| {
        let store = |member| cluster.replica(etcd.member_id(member)).map(Replica::store);
        let content = |member| store(member).map(|store| (store.revision(), store.history()));
        match (1..etcd.members()).find(|member| content(*member) != content(0)) {
            None => Ok(()),
            Some(other) => Err(format!("the members 0 and {other} differ")),
        }
    })
}

/// Connections may be dead without a sign, a leader may have to be elected: calls may fail for a
/// while, but not for long.
async fn still_works(world: &World, client: &Client) -> Result<(), Error> {
    let end = world.now() + CALM;
    loop {
        match client.put("calm", "x").await {
            Ok(_) => break,
            Err(error) if world.now() >= end => return Err(error),
            Err(_) => {}
        }
    }
    client.get("calm").timeout(CALM).await.map(drop)
}

/// I-C1, I-C7: no endpoint is given up for good, whatever a dial met.
async fn all_is_connected(world: &World, host: &Host) -> Result<(), String> {
    let end = world.now() + CALM;
    while host.connections() < MEMBERS {
        if world.now() >= end {
            return Err(format!("{} of {MEMBERS} members connected", host.connections()));
        }
        world.sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// A client that has nothing yet gets all it needs at once, where nothing is wrong.
async fn newcomer(host: &Host, etcd: &Etcd) -> Result<(), Error> {
    let client = host.client(Config::new(etcd.endpoints()))?;
    client.get("calm").timeout(Duration::from_secs(2)).await?;
    client.close().await;
    Ok(())
}

/// I-C10: nothing is left of a client that was closed.
async fn finish(world: &World, hosts: &[Host], clients: Vec<Client>) -> Result<(), String> {
    for client in &clients {
        client.close().await;
    }
    drop(clients);
    // The servers have to hear of it, over lines that may be slow.
    world.sleep(Duration::from_secs(5)).await;
    for host in hosts {
        if (host.tasks(), host.connections()) != (0, 0) {
            let (tasks, connections) = (host.tasks(), host.connections());
            return Err(format!("after close: {tasks} tasks, {connections} connections"));
        }
    }
    Ok(())
}

/// One client, doing one thing after the other.
struct Worker {
    world: World,
    host: Host,
    client: Client,
    number: u32,
    operations: u32,
    history: History,
    /// The revision of the last change it knows of, to compare with.
    seen: i64,
}

impl Worker {
    async fn work(mut self) {
        for n in 0..self.operations {
            let think = Duration::from_millis(self.world.below(400));
            self.world.sleep(think).await;
            let invocation = self.draw(n);
            let index = self.begin(invocation.clone());
            let call = self.host.begin_call(Named(&invocation));
            let result = self.act(&invocation).await;
            match &result {
                Ok(completion) => call.end(CallEnd::Completed, format_args!("{completion:?}")),
                Err(error) => call.end(CallEnd::Failed(error.outcome()), error.report()),
            }
            let failed = |error: Error| Completion::Failed(error.outcome());
            self.end(index, result.unwrap_or_else(failed));
        }
    }

    fn draw(&self, n: u32) -> Invocation {
        let any_key = || format!("key-{}", self.world.below(KEYS));
        let value = format!("{}-{n}", self.number);
        match self.world.below(10) {
            0..3 => Invocation::Put { key: any_key(), value },
            3..5 => Invocation::CompareAndPut { key: any_key(), expected: self.seen, value },
            5 => {
                let first = self.world.below(KEYS - 1);
                let keys = [format!("key-{first}"), format!("key-{}", KEYS - 1)];
                Invocation::PutBoth { keys, value }
            }
            6 => Invocation::Get { key: any_key(), serializable: true },
            7 if self.world.below(4) == 0 => {
                let revision = match self.world.below(4) {
                    0 => self.seen.max(1),
                    1 => self.seen + 1000,
                    2 => -1,
                    _ => i64::MIN,
                };
                Invocation::PutBesideRead { key: any_key(), value, revision }
            }
            _ => Invocation::Get { key: any_key(), serializable: false },
        }
    }

    async fn act(&mut self, invocation: &Invocation) -> Result<Completion, Error> {
        match invocation {
            Invocation::Put { key, value } => self
                .client
                .put(key, value)
                .await
                .map(|done| Completion::Written(done.header.revision)),
            Invocation::PutBoth { keys: [a, b], value } => self
                .client
                .txn()
                .then([put(a, value), put(b, value)])
                .await
                .map(|done| Completion::Written(done.header.revision)),
            Invocation::CompareAndPut { key: name, expected, value } => self
                .client
                .txn()
                .when([key(name).mod_revision().eq(*expected)])
                .then([put(name, value)])
                .await
                .map(|done| {
                    let revision = done.header.revision;
                    if done.succeeded {
                        Completion::Written(revision)
                    } else {
                        Completion::NotHeld(revision)
                    }
                }),
            Invocation::PutBesideRead { key, value, revision } => self
                .client
                .txn()
                .then([Op::from(put(key, value)), get(key).revision(*revision).into()])
                .await
                .map(|done| Completion::Written(done.header.revision)),
            Invocation::Get { key, serializable } => self.get(key, *serializable).await,
        }
    }

    async fn get(&mut self, key: &str, serializable: bool) -> Result<Completion, Error> {
        let request = self.client.get(key);
        let request = if serializable { request.serializable() } else { request };
        let answer = request.await?;
        let found = answer
            .kvs
            .first()
            .map(|kv| (String::from_utf8_lossy(&kv.value).into_owned(), kv.mod_revision));
        self.seen = found.as_ref().map_or(0, |(_, revision)| *revision);
        Ok(Completion::Read { revision: answer.header.revision, found })
    }

    fn begin(&self, invocation: Invocation) -> usize {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.push(Entry { invoked: self.world.now(), returned: None, invocation });
        history.len() - 1
    }

    fn end(&self, index: usize, completion: Completion) {
        let now: Instant = self.world.now();
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history[index].returned = Some((now, completion));
    }
}
