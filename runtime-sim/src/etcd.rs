//! Clusters of the model etcd in a world, and the processes of their members.

use crate::history::Change;
use crate::history::watch::{self, Log, Violation};
use crate::lock::locked;
use crate::model::{Call, Cluster, ClusterConfig, LeaseEnd};
use crate::net::HostId;
use crate::server::Service;
use crate::trace::{FaultKind, Recorder};
use crate::world::World;
use etcd3::proto::etcdserverpb as pb;
use etcd3::runtime::Instant;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

const ETCD_PORT: u16 = 2379;
/// The host that the first cluster itself runs on; those of its members follow.
const CLUSTER_HOST: u32 = 1_000_000;
/// From one cluster's host to that of the next.
const CLUSTER_HOSTS: u32 = 1000;

/// What faults of members are called in records.
const KILLED: &str = "killed";
const PAUSED: &str = "paused";
const ISOLATED: &str = "isolated";

/// A running cluster; its members are numbered from 0.
#[derive(Clone)]
pub struct Etcd {
    pub(crate) world: World,
    /// How many clusters the world had before.
    number: u8,
    service: Service,
    /// The ids of the members, by their numbers.
    members: Arc<Mutex<Vec<u64>>>,
    down: Arc<Mutex<BTreeMap<usize, Power>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Power {
    Killed,
    Paused,
}

impl World {
    /// Starts a cluster: member `i` listens at `etcd-i:2379`, that of the next cluster of this
    /// world at `etcd-1-i:2379`, and so on.
    #[must_use]
    pub fn etcd(&self, mut config: ClusterConfig) -> Etcd {
        let number = {
            let mut clusters = locked(&self.clusters);
            let number = *clusters;
            *clusters = number.saturating_add(1);
            number
        };
        // Members that are not told otherwise say where they listen.
        for (member, it) in config.members.iter_mut().enumerate() {
            if it.client_urls == [ClusterConfig::client_url(member)] {
                it.client_urls = vec![url(number, member)];
            }
        }
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
        let etcd = Etcd { world, number, service, members: Arc::default(), down };
        for id in members {
            etcd.add(id);
        }
        etcd
    }
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Etcd").field("members", &self.members()).finish_non_exhaustive()
    }
}

impl Etcd {
    /// Returns how many members there are.
    #[must_use]
    pub fn members(&self) -> usize {
        locked(&self.members).len()
    }

    /// Returns the endpoints of all members.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        (0..self.members()).map(|member| url(self.number, member)).collect()
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
        locked(&self.members)[member]
    }

    /// Starts the process of a member that was added to the cluster; returns its number. It listens
    /// as the others do, and takes its name from there.
    pub fn join(&self, id: u64) -> usize {
        let member = self.members();
        let (name, urls) = (self.name(member), vec![url(self.number, member)]);
        self.model(|cluster, now| cluster.start_member(now, id, &name, urls));
        self.add(id);
        member
    }

    /// Serves a member under the next number.
    fn add(&self, id: u64) {
        let member = {
            let mut members = locked(&self.members);
            members.push(id);
            members.len() - 1
        };
        self.world.net.name(&self.name(member), [self.address(member)]);
        self.recorder().name(self.host_of(member), self.name(member));
        self.start(member);
    }

    /// Tells whether the process of a member exists; a frozen one does.
    #[must_use]
    pub fn is_running(&self, member: usize) -> bool {
        let is_killed = locked(&self.down).get(&member) == Some(&Power::Killed);
        !is_killed && !self.service.peek(|cluster| cluster.is_removed(self.member_id(member)))
    }

    /// Ends the process of a member; its data stays.
    pub fn kill(&self, member: usize) {
        if self.set_power(member, Power::Killed) {
            self.recorder().end_fault(self.host_of(member), PAUSED);
            self.recorder().begin_fault(self.host_of(member), FaultKind::Down, KILLED);
            self.model(|cluster, now| cluster.kill(now, self.member_id(member)));
            self.world.executor.set_paused(self.host_of(member).0, false);
            self.world.executor.abort(self.host_of(member).0);
        }
    }

    /// Freezes a member; its connections stay open.
    pub fn pause(&self, member: usize) {
        if !locked(&self.down).contains_key(&member) && self.set_power(member, Power::Paused) {
            self.recorder().begin_fault(self.host_of(member), FaultKind::Paused, PAUSED);
            self.model(|cluster, now| cluster.pause(now, self.member_id(member)));
            self.world.executor.set_paused(self.host_of(member).0, true);
        }
    }

    /// Starts a member that was killed, or lets one that was paused go on.
    pub fn revive(&self, member: usize) {
        let was = locked(&self.down).remove(&member);
        let id = self.member_id(member);
        match was {
            Some(Power::Killed) => {
                self.recorder().end_fault(self.host_of(member), KILLED);
                self.model(|cluster, now| cluster.restart(now, id));
                self.start(member);
            }
            Some(Power::Paused) => {
                self.recorder().end_fault(self.host_of(member), PAUSED);
                self.model(|cluster, now| cluster.resume(now, id));
                self.world.executor.set_paused(self.host_of(member).0, false);
            }
            None => {}
        }
    }

    /// Ends the connections that a member has by GOAWAY with `NO_ERROR`; it takes new ones.
    pub fn go_away(&self, member: usize) {
        self.recorder().fault(self.host_of(member), FaultKind::Order, "GOAWAY");
        self.service.go_away(self.member_id(member));
    }

    /// Cuts a member off from the others; clients still reach it.
    pub fn isolate(&self, member: usize) {
        self.recorder().begin_fault(self.host_of(member), FaultKind::Isolated, ISOLATED);
        self.model(|cluster, now| cluster.isolate(now, self.member_id(member)));
    }

    /// Joins all members again.
    pub fn heal(&self) {
        for member in 0..self.members() {
            self.recorder().end_fault(self.host_of(member), ISOLATED);
        }
        self.model(Cluster::heal);
    }

    /// Makes the next member in line the leader.
    pub fn move_leader(&self) {
        let members = locked(&self.members).clone();
        let next = self.model(|cluster, now| {
            let at = cluster.leader().and_then(|id| members.iter().position(|m| *m == id));
            let next = at.map_or(0, |at| (at + 1) % members.len());
            cluster.transfer_leadership(now, members[next]);
            next
        });
        self.recorder().fault(self.host_of(next), FaultKind::Order, "to be the leader");
    }

    /// Ends the history of the store so many revisions before the last one; nothing happens without
    /// a leader, or where it ends later already.
    pub fn compact(&self, keep: i64) {
        self.model(|cluster, now| {
            let Some(leader) = cluster.leader() else { return };
            let Some(last) = cluster.replica(leader).map(|it| it.store().revision()) else {
                return;
            };
            let compaction = pb::CompactionRequest { revision: last - keep, physical: false };
            let ticket = cluster.submit(now, Call::new(leader, compaction));
            cluster.forget(ticket);
        });
    }

    /// Has a member fall behind: it applies nothing of what the others agree on.
    pub fn hold_back(&self, member: usize) {
        self.model(|cluster, now| cluster.hold_applying(now, self.member_id(member), true));
    }

    /// Lets a member that was held back apply what it has missed.
    pub fn keep_up(&self, member: usize) {
        self.model(|cluster, now| cluster.hold_applying(now, self.member_id(member), false));
    }

    /// Brings a member up to date by a snapshot: its store jumps ahead.
    pub fn send_snapshot(&self, member: usize) {
        self.model(|cluster, now| cluster.send_snapshot(now, self.member_id(member)));
    }

    /// Returns the last revision that any member has.
    #[must_use]
    pub fn revision(&self) -> i64 {
        let members = locked(&self.members).clone();
        self.model(|cluster, _| {
            let replicas = members.iter().filter_map(|id| cluster.replica(*id));
            replicas.map(|replica| replica.store().revision()).max().unwrap_or_default()
        })
    }

    /// Returns all changes of the store so far, in order, what has been compacted included.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.model(|cluster, _| {
            let changes = cluster.changes().iter().filter_map(|event| {
                let kv = event.kv.as_ref()?;
                let value = (event.r#type == 0).then(|| text(&kv.value));
                Some(Change { revision: kv.mod_revision, key: text(&kv.key), value })
            });
            changes.collect()
        })
    }

    /// Returns when a lease runs out if nobody renews it, as the leader counts; `None` while there
    /// is no leader, or it has no such lease.
    #[must_use]
    pub fn lease_expiry(&self, lease: i64) -> Option<Instant> {
        self.service.peek(|cluster| {
            let leader = cluster.replica(cluster.leader()?)?;
            leader.store().leases().find(lease)?.expiry()
        })
    }

    /// Returns how the leases ended that the cluster does not have any more, in order.
    #[must_use]
    pub fn lease_ends(&self) -> Vec<LeaseEnd> {
        self.service.peek(|cluster| cluster.lease_ends().to_vec())
    }

    /// Returns all changes and compactions so far, to check watches with.
    ///
    /// # Errors
    ///
    /// When they cannot be those of one store.
    pub fn log(&self) -> Result<Log, Violation> {
        self.model(|cluster, _| {
            let changes = cluster.changes().iter().filter_map(watch::Change::of).collect();
            Log::new(changes, cluster.compactions().iter().copied())
        })
    }

    fn recorder(&self) -> &Recorder {
        self.world.net.recorder()
    }

    fn start(&self, member: usize) {
        self.service.serve(self.host_of(member), self.member_id(member), self.address(member));
    }

    fn name(&self, member: usize) -> String {
        name(self.number, member)
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

/// Returns the name of the host of a member, in the cluster of this number.
fn name(cluster: u8, member: usize) -> String {
    match cluster {
        0 => format!("etcd-{member}"),
        cluster => format!("etcd-{cluster}-{member}"),
    }
}

/// Returns where a member listens for clients.
fn url(cluster: u8, member: usize) -> String {
    format!("http://{}:{ETCD_PORT}", name(cluster, member))
}
