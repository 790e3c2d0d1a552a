//! Several etcd members that know each other.

use crate::etcd::Binary;
use crate::fault::Fault;
use crate::layout::{Layout, MemberOptions};
use crate::peers::Peers;
use crate::{Error, Member, Ports, Result, Spec, until};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tempfile::TempDir;

/// The longest wait for a leader, and for a cluster that takes a member.
const AGREEMENT_LIMIT: Duration = Duration::from_secs(20);

/// The limit of a request for the leader, so that a frozen member does not hold it up for long.
const STATUS_LIMIT: Duration = Duration::from_millis(500);

/// A member that is yet to be added to a cluster and started.
#[derive(Debug)]
pub struct Newcomer(Layout);

impl Newcomer {
    /// Returns where the others are to reach it.
    pub fn peer_url(&self) -> String {
        self.0.peer_url()
    }
}

/// A cluster of etcd members on loopback ports of their own.
///
/// Its drop ends the processes and removes their data; so does the end of the process that
/// started it, however that ends.
#[derive(Debug)]
pub struct Cluster {
    // Dropped in this order: the processes, their network, their files.
    members: RwLock<Vec<Arc<Member>>>,
    network: Option<Arc<Peers>>,
    https: bool,
    dir: TempDir,
}

impl Cluster {
    /// Returns the number of members, those that do not run included.
    pub fn len(&self) -> usize {
        self.members().len()
    }

    /// Tells whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the member with that index.
    ///
    /// # Panics
    ///
    /// Panics when there are fewer members.
    pub fn member(&self, index: usize) -> Arc<Member> {
        Arc::clone(&self.members()[index])
    }

    /// Returns all members.
    pub fn members(&self) -> Vec<Arc<Member>> {
        self.members.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the addresses for clients of all members, as endpoints.
    pub fn client_urls(&self) -> Vec<String> {
        self.members().iter().map(|member| member.client_url()).collect()
    }

    /// Returns the index of the leader, or `None` when no member takes itself for one.
    ///
    /// A leader that was cut off takes itself for one until it notices; the one with the highest
    /// term is returned.
    pub fn leader(&self) -> Option<usize> {
        let members = self.members();
        let statuses = members.iter().enumerate().filter_map(|(index, member)| {
            let status = member.gateway(STATUS_LIMIT).status().ok()?;
            status.is_leader().then_some((status.raft_term, index))
        });
        statuses.max().map(|(_, index)| index)
    }

    /// Waits until there is a leader and returns its index.
    ///
    /// # Errors
    ///
    /// Fails when there is none after 20 seconds.
    pub fn wait_leader(&self) -> Result<usize> {
        until(AGREEMENT_LIMIT, "a leader", || Ok(self.leader()))
    }

    /// Waits until a member other than that one leads, and returns its index.
    ///
    /// # Errors
    ///
    /// Fails when there is none after 20 seconds.
    pub fn wait_leader_other_than(&self, old: usize) -> Result<usize> {
        until(AGREEMENT_LIMIT, "another leader", || Ok(self.leader().filter(|&it| it != old)))
    }

    /// Cuts a member off from all others, in both directions: connections are reset, and new ones
    /// too. Clients still reach it.
    ///
    /// # Errors
    ///
    /// Fails when the cluster was not built with [`crate::Builder::behind_peer_proxy`].
    pub fn partition(&self, member: usize) -> Result<()> {
        (0..self.len()).filter(|&other| other != member).try_for_each(|it| self.cut(member, it))
    }

    /// Cuts the connections between two members, in both directions.
    ///
    /// # Errors
    ///
    /// Fails when the cluster was not built with [`crate::Builder::behind_peer_proxy`].
    pub fn cut(&self, a: usize, b: usize) -> Result<()> {
        self.network()?.cut(a, b);
        Ok(())
    }

    /// Sets what happens to the bytes between a member and all others, in both directions, until
    /// [`Cluster::heal`].
    ///
    /// # Errors
    ///
    /// Fails when the cluster was not built with [`crate::Builder::behind_peer_proxy`].
    pub fn set_peer_fault(&self, member: usize, fault: Fault) -> Result<()> {
        self.network()?.set_fault(member, fault);
        Ok(())
    }

    /// Ends all partitions, cuts and faults between members.
    ///
    /// # Errors
    ///
    /// Fails when the cluster was not built with [`crate::Builder::behind_peer_proxy`].
    pub fn heal(&self) -> Result<()> {
        self.network()?.heal();
        Ok(())
    }

    /// Adds a member to the running cluster, as a learner or a voter, and returns its index when
    /// it is ready.
    ///
    /// A cluster refuses that in its first five seconds, unless it was built with the flag
    /// `--strict-reconfig-check=false`; the call waits for it.
    ///
    /// # Errors
    ///
    /// Fails when the cluster refuses for 20 seconds, or the member does not become ready.
    pub fn add_member(&self, learner: bool) -> Result<usize> {
        let newcomer = self.newcomer()?;
        let urls = self.announce(&newcomer.peer_url(), learner)?;
        self.join(newcomer, &urls)
    }

    /// Chooses ports and a folder for one more member, which is yet to be added to the cluster.
    ///
    /// # Errors
    ///
    /// Fails when there are no ports.
    pub fn newcomer(&self) -> Result<Newcomer> {
        let layout = self.layout(self.len())?;
        if let Some(network) = &self.network {
            network.add(layout.listen)?;
        }
        Ok(Newcomer(layout))
    }

    /// Starts a member that was added to the running cluster, and returns its index when it is
    /// ready.
    ///
    /// It is told the addresses for peers of all members; those that the lab does not know get a
    /// name each. One newcomer joins at a time.
    ///
    /// # Errors
    ///
    /// Fails when the member does not become ready.
    pub fn join(&self, newcomer: Newcomer, peer_urls: &[String]) -> Result<usize> {
        let members = self.members();
        let first = members.first().ok_or_else(|| Error::new("the cluster has no member"))?;
        let Newcomer(layout) = newcomer;
        let named = peer_urls.iter().enumerate().map(|(number, url)| {
            let mut layouts = members.iter().map(|member| &member.layout).chain([&layout]);
            let known = layouts.find(|layout| layout.peer_url() == *url);
            let name = known.map_or_else(|| format!("unknown{number}"), |it| it.name.clone());
            format!("{name}={url}")
        });
        let mut options = first.options.clone();
        options.initial = named.collect::<Vec<_>>().join(",");
        options.initial_state = "existing";
        options.snapshot = None;
        let index = layout.index;
        let member = Arc::new(Member::new(layout, options, self.network.clone()));
        let mut all = self.members.write().unwrap_or_else(PoisonError::into_inner);
        all.push(Arc::clone(&member));
        drop(all);
        member.restart()?;
        Ok(index)
    }

    /// Chooses ports and folders for all members.
    pub(crate) fn lay_out(spec: &Spec, binary: &Binary) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("etcd3-lab-")
            .tempdir()
            .map_err(Error::doing("no temporary folder"))?;
        let network = spec.behind_peer_proxy.then(Arc::default);
        let mut cluster = Self { members: RwLock::default(), network, https: spec.https, dir };
        let layouts =
            (0..spec.members).map(|i| cluster.layout(i)).collect::<Result<Vec<Layout>>>()?;
        let initial: Vec<String> =
            layouts.iter().map(|it| format!("{}={}", it.name, it.peer_url())).collect();
        let (heartbeat_ms, election_ms) = spec.times_ms();
        let options = MemberOptions {
            binary: binary.clone(),
            heartbeat_ms,
            election_ms,
            token: unique("cluster"),
            flags: spec.flags.clone(),
            renamed: spec.renamed,
            env: spec.env.clone(),
            tls: spec.tls.clone(),
            jwt_ttl: spec.jwt_ttl,
            unix_socket: spec.unix_socket,
            ready_limit: spec.ready_limit,
            initial: initial.join(","),
            initial_state: "new",
            snapshot: spec.snapshot.clone(),
        };
        let mut members = Vec::new();
        for layout in layouts {
            if let Some(network) = &cluster.network {
                network.add(layout.listen)?;
            }
            let network = cluster.network.clone();
            members.push(Arc::new(Member::new(layout, options.clone(), network)));
        }
        cluster.members = RwLock::new(members);
        Ok(cluster)
    }

    pub(crate) fn start_all(&self) -> Result<()> {
        let members = self.members();
        members.iter().try_for_each(|member| member.launch(&[]))?;
        members.iter().try_for_each(|member| member.wait_ready())
    }

    pub(crate) fn lost_a_port(&self) -> bool {
        self.members().iter().any(|member| member.lost_its_port())
    }

    /// Tells whether all processes run, healthy or not.
    pub(crate) fn is_running(&self) -> bool {
        self.members().iter().all(|member| member.is_running())
    }

    fn network(&self) -> Result<&Peers> {
        self.network.as_deref().ok_or_else(|| {
            Error::new("this cluster was built without behind_peer_proxy, so nothing can be cut")
        })
    }

    fn layout(&self, index: usize) -> Result<Layout> {
        let mut ports = Ports::reserve(2 + usize::from(self.https))?;
        let (client, listen) = (ports.take()?, ports.take()?);
        let is_behind_proxy = self.network.is_some();
        let advertised = if is_behind_proxy { Peers::advertised(index)? } else { listen };
        let plain = self.https.then(|| ports.take()).transpose()?;
        let name = unique(&format!("m{index}"));
        let dir = self.dir.path().join(&name);
        Ok(Layout { index, name, client, plain, listen, advertised, dir })
    }

    /// Asks each member in turn until one adds the new member.
    fn announce(&self, peer_url: &str, learner: bool) -> Result<Vec<String>> {
        let members = self.members();
        let mut last = String::new();
        let added = until(AGREEMENT_LIMIT, "the cluster to take a member", || {
            for member in members.iter().filter(|member| member.is_running()) {
                match member.gateway(STATUS_LIMIT * 4).member_add(peer_url, learner) {
                    Ok(urls) => return Ok(Some(urls)),
                    Err(error) => last = error.to_string(),
                }
            }
            Ok(None)
        });
        added.map_err(|error| Error::new(format!("{error}: {last}")))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A member that somebody else still holds must not outlive its files.
        self.members().iter().for_each(|member| member.end());
    }
}

/// Makes a name that no other lab on this machine uses at the same time.
fn unique(stem: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{stem}-{}-{number}", std::process::id())
}
