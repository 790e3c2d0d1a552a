//! The simulated world: hosts, a network, a model etcd, and virtual time.

use crate::executor::{Executor, Stuck};
use crate::faults::{Fault, Planned};
use crate::history::Change;
use crate::model::{Cluster, ClusterConfig, Replica};
use crate::net::{CutLater, Direction, HostId, Link, Listener, Net, Reachability};
use crate::pipe::{Cut, Travel};
use crate::runtime::SimRuntime;
use crate::server::Service;
use etcd3::runtime::Instant;
use etcd3::{Client, Config, Error};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The virtual time that a run may take at most.
const TIME_LIMIT: Duration = Duration::from_secs(24 * 3600);
const ETCD_PORT: u16 = 2379;
/// The host that the first cluster itself runs on; those of its members follow.
const CLUSTER_HOST: u32 = 1_000_000;
/// From one cluster's host to that of the next.
const CLUSTER_HOSTS: u32 = 1000;

/// One simulated world; cheap to clone.
///
/// Everything in it happens on one thread, in virtual time, in an order drawn from the seed: the
/// same seed gives the same run, step for step.
#[derive(Clone)]
pub struct World {
    executor: Executor,
    net: Net,
    seed: u64,
    hosts: Arc<Mutex<u32>>,
    clusters: Arc<Mutex<u8>>,
}

/// Why a run did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunError {
    /// Nothing was left that could ever happen.
    Deadlock,
    /// A task kept the world from moving on.
    BusyLoop,
    /// A day of virtual time was over.
    TimeUp,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadlock => "deadlock: no task can go on and no timer is set",
            Self::BusyLoop => "busy loop: tasks wake each other without end",
            Self::TimeUp => "a day of virtual time is over",
        })
    }
}

impl std::error::Error for RunError {}

/// What a run took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// How much virtual time passed.
    pub elapsed: Duration,
    /// How many times a task was polled.
    pub steps: u64,
    /// How many connections were made.
    pub connections: u64,
    /// How many connections were tried, those made included.
    pub attempts: u64,
    /// A number that two runs share only if they took the same steps at the same moments.
    pub digest: u64,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("seed", &self.seed).finish_non_exhaustive()
    }
}

/// Runs a program in a world of its own, to its end.
///
/// # Errors
///
/// When the program cannot come to its end.
pub fn run<T, F: Future<Output = T>>(
    seed: u64,
    program: impl FnOnce(World) -> F,
) -> Result<(T, Stats), RunError> {
    let world = World::new(seed);
    let program = program(world.clone());
    let result = world.executor.run(program, Instant::ORIGIN + TIME_LIMIT);
    let output = result.map_err(|stuck| match stuck {
        Stuck::Deadlock => RunError::Deadlock,
        Stuck::BusyLoop => RunError::BusyLoop,
        Stuck::TimeUp => RunError::TimeUp,
    })?;
    Ok((output, world.stats()))
}

impl World {
    fn new(seed: u64) -> Self {
        let executor = Executor::new(seed);
        let net = Net::new(executor.clone());
        Self { executor, net, seed, hosts: Arc::default(), clusters: Arc::default() }
    }

    /// Returns the seed of this world.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns the virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.executor.now()
    }

    /// A number below `n`, drawn from the seed.
    #[must_use]
    pub fn below(&self, n: u64) -> u64 {
        self.executor.below(n)
    }

    /// Lets virtual time pass.
    pub async fn sleep(&self, duration: Duration) {
        self.executor.sleep_until(self.now() + duration).await;
    }

    /// Returns the network, to break it.
    #[must_use]
    pub fn net(&self) -> &Net {
        &self.net
    }

    /// Returns what the run took so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            elapsed: self.now().saturating_since(Instant::ORIGIN),
            steps: self.executor.steps(),
            connections: self.net.connections_made(),
            attempts: self.net.connections_tried(),
            digest: self.executor.digest(),
        }
    }

    /// Adds a host to the network.
    #[must_use]
    pub fn host(&self) -> Host {
        let mut hosts = locked(&self.hosts);
        *hosts += 1;
        Host { world: self.clone(), id: HostId(*hosts) }
    }

    /// Listens at an address, for a server of one's own; clusters have those in `10.0.0.0/16`.
    #[must_use]
    pub fn listen(&self, at: SocketAddr) -> Listener {
        self.net.listen(at)
    }

    /// Starts a cluster: member `i` listens at `etcd-i:2379`, that of the next cluster of this
    /// world at `etcd-1-i:2379`, and so on.
    #[must_use]
    pub fn etcd(&self, config: ClusterConfig) -> Etcd {
        let number = {
            let mut clusters = locked(&self.clusters);
            let number = *clusters;
            *clusters = number.saturating_add(1);
            number
        };
        let cluster = Cluster::with_config(config);
        // Ids are drawn; the members are numbered as they were configured.
        let mut ids: Vec<(String, u64)> = cluster
            .member_ids()
            .into_iter()
            .filter_map(|id| cluster.member(id).map(|member| (member.name.clone(), id)))
            .collect();
        ids.sort();
        let service = Service::new(self.executor.clone(), self.net.clone(), cluster);
        let host = CLUSTER_HOST + CLUSTER_HOSTS * u32::from(number);
        self.executor.spawn(host, Box::pin(service.clone().pump()));
        let members: Vec<u64> = ids.into_iter().map(|(_, id)| id).collect();
        let (world, down) = (self.clone(), Arc::default());
        let etcd = Etcd { world, number, service, members: members.into(), down };
        for member in 0..etcd.members.len() {
            self.net.name(&etcd.name(member), [etcd.address(member)]);
            etcd.start(member);
        }
        etcd
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A host: what runs on it shares its fate.
#[derive(Debug, Clone)]
pub struct Host {
    world: World,
    id: HostId,
}

impl Host {
    /// Its name in links.
    #[must_use]
    pub fn id(&self) -> HostId {
        self.id
    }

    /// Returns the runtime of programs on this host.
    #[must_use]
    pub fn runtime(&self) -> SimRuntime {
        let world = &self.world;
        SimRuntime { executor: world.executor.clone(), net: world.net.clone(), host: self.id }
    }

    /// Makes a client that runs on this host and connects when it is used.
    ///
    /// # Errors
    ///
    /// As [`Client::connect_lazy_on`].
    pub fn client(&self, config: Config) -> Result<Client, Error> {
        Client::connect_lazy_on(Arc::new(self.runtime()), config)
    }

    /// Runs a task on this host.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.world.executor.spawn(self.id.0, Box::pin(task));
    }

    /// Ends everything that runs on this host, at once.
    pub fn crash(&self) {
        self.world.executor.abort(self.id.0);
    }

    /// Freezes everything that runs on this host, or lets it go on.
    pub fn set_paused(&self, paused: bool) {
        self.world.executor.set_paused(self.id.0, paused);
    }

    /// Returns how many tasks run on this host.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.world.executor.tasks_of(self.id.0)
    }

    /// Returns how many connections this host has open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.world.net.open_from(self.id)
    }
}

/// A running cluster; its members are numbered from 0.
#[derive(Clone)]
pub struct Etcd {
    world: World,
    /// How many clusters the world had before.
    number: u8,
    pub(crate) service: Service,
    members: Arc<[u64]>,
    down: Arc<Mutex<BTreeMap<usize, Power>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Power {
    Killed,
    Paused,
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Etcd").field("members", &self.members.len()).finish_non_exhaustive()
    }
}

impl Etcd {
    /// Returns how many members there are.
    #[must_use]
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// Returns the endpoints of all members.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        let names = (0..self.members.len()).map(|member| self.name(member));
        names.map(|name| format!("http://{name}:{ETCD_PORT}")).collect()
    }

    /// Returns where a member listens.
    #[must_use]
    pub fn address(&self, member: usize) -> SocketAddr {
        let last = u8::try_from(member + 1).unwrap_or(u8::MAX);
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, self.number, last)), ETCD_PORT)
    }

    /// Looks at the model, or changes it, at this moment.
    pub fn model<T>(&self, act: impl FnOnce(&mut Cluster, Instant) -> T) -> T {
        self.service.cluster(act)
    }

    /// Returns the id of a member in the model.
    #[must_use]
    pub fn member_id(&self, member: usize) -> u64 {
        self.members[member]
    }

    /// Tells whether the process of a member exists; a frozen one does.
    #[must_use]
    pub fn is_running(&self, member: usize) -> bool {
        locked(&self.down).get(&member) != Some(&Power::Killed)
    }

    /// Ends the process of a member; its data stays.
    pub fn kill(&self, member: usize) {
        if self.set_power(member, Power::Killed) {
            self.model(|cluster, now| cluster.kill(now, self.members[member]));
            self.world.executor.set_paused(self.host_of(member).0, false);
            self.world.executor.abort(self.host_of(member).0);
        }
    }

    /// Freezes a member; its connections stay open.
    pub fn pause(&self, member: usize) {
        if !locked(&self.down).contains_key(&member) && self.set_power(member, Power::Paused) {
            self.model(|cluster, now| cluster.pause(now, self.members[member]));
            self.world.executor.set_paused(self.host_of(member).0, true);
        }
    }

    /// Starts a member that was killed, or lets one that was paused go on.
    pub fn revive(&self, member: usize) {
        let was = locked(&self.down).remove(&member);
        let id = self.members[member];
        match was {
            Some(Power::Killed) => {
                self.model(|cluster, now| cluster.restart(now, id));
                self.start(member);
            }
            Some(Power::Paused) => {
                self.model(|cluster, now| cluster.resume(now, id));
                self.world.executor.set_paused(self.host_of(member).0, false);
            }
            None => {}
        }
    }

    /// Cuts a member off from the others; clients still reach it.
    pub fn isolate(&self, member: usize) {
        self.model(|cluster, now| cluster.isolate(now, self.members[member]));
    }

    /// Joins all members again.
    pub fn heal(&self) {
        self.model(Cluster::heal);
    }

    /// Makes the next member in line the leader.
    pub fn move_leader(&self) {
        self.model(|cluster, now| {
            let at = cluster.leader().and_then(|id| self.members.iter().position(|m| *m == id));
            let next = at.map_or(0, |at| (at + 1) % self.members.len());
            cluster.transfer_leadership(now, self.members[next]);
        });
    }

    /// Returns all changes of the store so far, as the most advanced member has them, in order.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        self.model(|cluster, _| {
            let replicas = self.members.iter().filter_map(|id| cluster.replica(*id));
            let stores = replicas.map(Replica::store);
            let Some(store) = stores.max_by_key(|store| store.revision()) else {
                return Vec::new();
            };
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let events = store.history().iter().flat_map(|(revision, events)| {
                events.iter().filter_map(move |event| {
                    let kv = event.kv.as_ref()?;
                    let value = (event.r#type == 0).then(|| text(&kv.value));
                    Some(Change { revision: *revision, key: text(&kv.key), value })
                })
            });
            events.collect()
        })
    }

    /// Carries out a schedule; completes when the last fault is over.
    pub async fn suffer(&self, plan: &[Planned], clients: &[HostId]) {
        let origin = self.world.now();
        let mut moments: Vec<(Duration, bool, Fault)> = Vec::new();
        for planned in plan {
            moments.push((planned.at, true, planned.fault));
            moments.push((planned.at + planned.lasts, false, planned.fault));
        }
        moments.sort_unstable();
        for (at, begins, fault) in moments {
            self.world.executor.sleep_until(origin + at).await;
            self.apply(fault, begins, clients);
        }
    }

    fn apply(&self, fault: Fault, begins: bool, clients: &[HostId]) {
        let net = &self.world.net;
        let change = |client: u32, member: usize, change: &dyn Fn(&mut Link)| {
            let Some(client) = clients.get(client as usize) else { return };
            let mut link = net.link(*client, self.address(member));
            change(&mut link);
            net.set_link(*client, self.address(member), link);
        };
        match fault {
            Fault::StallUp { client, member } => {
                change(client, member, &|link| link.stall_up = begins);
            }
            Fault::StallDown { client, member } => {
                change(client, member, &|link| link.stall_down = begins);
            }
            Fault::Refuse { client, member } => {
                let reachability = if begins { Reachability::Refuse } else { Reachability::Open };
                change(client, member, &|link| link.reachability = reachability);
            }
            Fault::Hang { client, member } => {
                let reachability = if begins { Reachability::Hang } else { Reachability::Open };
                change(client, member, &|link| link.reachability = reachability);
            }
            Fault::Slow { client, member } => {
                let travel = if begins { SLOW } else { Travel::default() };
                change(client, member, &|link| link.travel = travel);
            }
            Fault::Kill { member } if begins => self.kill(member),
            Fault::Pause { member } if begins => self.pause(member),
            Fault::Kill { member } | Fault::Pause { member } => self.revive(member),
            Fault::Isolate { member } if begins => self.isolate(member),
            Fault::Isolate { .. } => self.heal(),
            Fault::Cut { client, member, cut } if begins => {
                if let Some(client) = clients.get(client as usize) {
                    net.cut(*client, self.address(member), Cut::from(cut));
                }
            }
            Fault::CutAfter { client, member, bytes, cut } if begins => {
                if let Some(client) = clients.get(client as usize) {
                    let later = CutLater { direction: Direction::Down, bytes, cut: cut.into() };
                    net.cut_later(*client, self.address(member), later);
                }
            }
            Fault::MoveLeader if begins => self.move_leader(),
            Fault::Cut { .. } | Fault::CutAfter { .. } | Fault::MoveLeader => {}
        }
    }

    /// Ends all faults: members run and reach each other, every link is open and fast.
    pub fn recover(&self, clients: &[HostId]) {
        self.heal();
        for member in 0..self.members.len() {
            self.revive(member);
            for client in clients {
                self.world.net.set_link(*client, self.address(member), Link::default());
                self.world.net.forget_cuts(*client, self.address(member));
            }
        }
    }

    fn start(&self, member: usize) {
        self.service.serve(self.host_of(member), self.members[member], self.address(member));
    }

    fn name(&self, member: usize) -> String {
        match self.number {
            0 => format!("etcd-{member}"),
            number => format!("etcd-{number}-{member}"),
        }
    }

    fn host_of(&self, member: usize) -> HostId {
        let cluster = CLUSTER_HOST + CLUSTER_HOSTS * u32::from(self.number);
        HostId(cluster + 1 + u32::try_from(member).unwrap_or_default())
    }

    /// Notes what a member is; false when nothing changes.
    fn set_power(&self, member: usize, power: Power) -> bool {
        locked(&self.down).insert(member, power) != Some(power)
    }
}

/// Far away, over a bad line.
const SLOW: Travel = Travel {
    latency: Duration::from_millis(120),
    jitter: Duration::from_millis(200),
    throttle: Some(20_000),
    chunk: 9,
    buffer: 2048,
};
