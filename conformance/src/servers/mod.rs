//! Servers that a case works with: real ones and models, by the same methods.
//!
//! What a model cannot do ends in an error that says so; a case that needs it is registered with
//! [`Case::real`](crate::Case::real).

mod etcd;
mod model;
mod watched;

pub use etcd::EtcdSource;
pub use watched::WatchCounts;

use etcd3_lab::{Error, Identity, MemberStatus, Replace, Result};
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Returns the error of a model for what only real servers do.
fn only_real(what: &str) -> Error {
    Error::new(format!("a model has no {what}; register the case with .real()"))
}

/// One etcd, which may be stopped and started again.
#[derive(Debug)]
pub struct Member(OneMember);

#[derive(Debug)]
enum OneMember {
    Real(Arc<etcd3_lab::Member>),
    Model(etcd3_sim::Etcd, usize),
}

impl Member {
    /// Returns the address for clients, as an endpoint.
    pub fn client_url(&self) -> String {
        match &self.0 {
            OneMember::Real(member) => member.client_url(),
            OneMember::Model(etcd, index) => etcd.endpoints().swap_remove(*index),
        }
    }

    /// Returns the address for clients.
    pub fn addr(&self) -> SocketAddr {
        match &self.0 {
            OneMember::Real(member) => member.addr(),
            OneMember::Model(etcd, index) => etcd.address(*index),
        }
    }

    /// Returns the port for clients.
    pub fn port(&self) -> u16 {
        self.addr().port()
    }

    /// Returns the address for the other members.
    ///
    /// # Errors
    ///
    /// Fails on models.
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        match &self.0 {
            OneMember::Real(member) => Ok(member.peer_addr()),
            OneMember::Model(..) => Err(only_real("port for its peers")),
        }
    }

    /// Tells whether the process exists; a frozen one does.
    pub fn is_running(&self) -> bool {
        match &self.0 {
            OneMember::Real(member) => member.is_running(),
            OneMember::Model(etcd, index) => etcd.is_running(*index),
        }
    }

    /// Ends the process at once.
    ///
    /// # Errors
    ///
    /// Fails when the process does not end.
    pub fn kill(&self) -> Result<()> {
        match &self.0 {
            OneMember::Real(member) => member.kill(),
            OneMember::Model(etcd, index) => {
                etcd.kill(*index);
                Ok(())
            }
        }
    }

    /// Asks the process to end, and waits until it is gone. A model ends at once.
    ///
    /// # Errors
    ///
    /// Fails when the process does not end.
    pub fn terminate(&self) -> Result<()> {
        match &self.0 {
            OneMember::Real(member) => member.terminate(),
            OneMember::Model(..) => self.kill(),
        }
    }

    /// Freezes the process; its connections stay open.
    ///
    /// # Errors
    ///
    /// Fails when there is no process.
    pub fn stop(&self) -> Result<()> {
        match &self.0 {
            OneMember::Real(member) => member.stop(),
            OneMember::Model(etcd, index) => {
                etcd.pause(*index);
                Ok(())
            }
        }
    }

    /// Lets a frozen process go on.
    ///
    /// # Errors
    ///
    /// Fails when there is no process.
    pub fn cont(&self) -> Result<()> {
        match &self.0 {
            OneMember::Real(member) => member.cont(),
            OneMember::Model(etcd, index) => {
                etcd.revive(*index);
                Ok(())
            }
        }
    }

    /// Starts the member again, with the same address and data, and waits until it is ready; kills
    /// it first if it runs. A model is ready only when time has passed.
    ///
    /// # Errors
    ///
    /// Fails when the member does not become ready.
    pub fn restart(&self) -> Result<()> {
        match &self.0 {
            OneMember::Real(member) => member.restart(),
            OneMember::Model(etcd, index) => {
                etcd.kill(*index);
                etcd.revive(*index);
                Ok(())
            }
        }
    }

    /// Starts the member again like [`Member::restart`], with more flags this time.
    ///
    /// # Errors
    ///
    /// Fails when the member does not become ready, and on models.
    pub fn restart_with(&self, flags: &[(&str, &str)]) -> Result<()> {
        match &self.0 {
            OneMember::Real(member) => member.restart_with(flags),
            OneMember::Model(..) => Err(only_real("flags of one start")),
        }
    }

    /// Starts the member again like [`Member::restart`], without what it had stored, and without
    /// waiting until it is ready.
    ///
    /// # Errors
    ///
    /// Fails when no process can be started, and on models.
    pub fn launch_without_data(&self) -> Result<()> {
        match &self.0 {
            OneMember::Real(member) => {
                member.kill()?;
                member.forget_data()?;
                member.launch(&[])
            }
            OneMember::Model(..) => Err(only_real("data of its own")),
        }
    }

    /// Starts the member again like [`Member::restart`], without waiting until it is ready.
    ///
    /// # Errors
    ///
    /// Fails when no process can be started.
    pub fn launch(&self) -> Result<()> {
        match &self.0 {
            OneMember::Real(member) => member.launch(&[]),
            OneMember::Model(..) => self.restart(),
        }
    }

    /// Waits until the process has ended by itself, for so long at most.
    ///
    /// # Errors
    ///
    /// Fails when it has not, and on models.
    pub fn wait_end(&self, limit: Duration) -> Result<()> {
        match &self.0 {
            OneMember::Real(member) => member.wait_end(limit),
            OneMember::Model(..) => Err(only_real("process to wait for")),
        }
    }

    /// Returns the metrics, in the text format of Prometheus.
    ///
    /// # Errors
    ///
    /// Fails when the member does not answer, and on models.
    pub fn metrics(&self) -> Result<String> {
        match &self.0 {
            OneMember::Real(member) => member.metrics(),
            OneMember::Model(..) => Err(only_real("metrics")),
        }
    }

    /// Returns all that the member has written to its log, over all restarts.
    ///
    /// # Errors
    ///
    /// Fails on models.
    pub fn log(&self) -> Result<String> {
        match &self.0 {
            OneMember::Real(member) => Ok(member.log()),
            OneMember::Model(..) => Err(only_real("log of its own")),
        }
    }

    /// Returns the path of the unix socket that the member listens on.
    ///
    /// # Errors
    ///
    /// Fails when the member was built without one, and on models.
    pub fn socket(&self) -> Result<PathBuf> {
        match &self.0 {
            OneMember::Real(member) => {
                member.socket().ok_or_else(|| Error::new("the member was built without a socket"))
            }
            OneMember::Model(..) => Err(only_real("unix socket")),
        }
    }

    /// Replaces the certificate that the member shows from the next handshake on.
    ///
    /// # Errors
    ///
    /// Fails when the files cannot be written, and on models.
    pub fn replace_identity(&self, identity: &Identity, how: Replace) -> Result<()> {
        match &self.0 {
            OneMember::Real(member) => member.replace_identity(identity, how),
            OneMember::Model(..) => Err(only_real("certificate")),
        }
    }

    /// Posts a JSON text to a page of the JSON gateway, such as `/v3/auth/user/add`.
    ///
    /// # Errors
    ///
    /// Fails when the member does not answer with status 200, and on models.
    pub fn http_post(&self, path: &str, json: &str) -> Result<String> {
        match &self.0 {
            OneMember::Real(member) => member.http_post(path, json),
            OneMember::Model(..) => Err(only_real("gateway")),
        }
    }

    /// Asks the member what it thinks of itself and its cluster, by another way than the client
    /// under test.
    ///
    /// # Errors
    ///
    /// Fails when the member does not answer.
    pub fn status(&self) -> Result<MemberStatus> {
        match &self.0 {
            OneMember::Real(member) => member.status(),
            OneMember::Model(etcd, index) => {
                let id = etcd.member_id(*index);
                let status = etcd.model(|cluster, now| {
                    let replica = cluster.replica(id).filter(|_| cluster.is_up(id))?;
                    Some(MemberStatus {
                        member_id: id,
                        leader: cluster.leader_seen_by(now, id).unwrap_or_default(),
                        raft_term: cluster.term(),
                        revision: replica.store().revision(),
                    })
                });
                status.ok_or_else(|| Error::new(format!("member {index} does not run")))
            }
        }
    }
}

/// A single etcd; it has all methods of [`Member`].
#[derive(Debug)]
pub struct Server {
    member: Arc<Member>,
    _cluster: Cluster,
}

impl Server {
    fn of(cluster: Cluster) -> Self {
        Self { member: cluster.member(0), _cluster: cluster }
    }
}

impl Deref for Server {
    type Target = Member;

    fn deref(&self) -> &Member {
        &self.member
    }
}

/// A member that is yet to be added to a cluster, by the client under test, and started.
#[derive(Debug)]
pub struct Newcomer(OneNewcomer);

#[derive(Debug)]
enum OneNewcomer {
    Real(etcd3_lab::Newcomer),
    Model { peer_url: String },
}

impl Newcomer {
    /// Returns where the others are to reach it.
    pub fn peer_url(&self) -> String {
        match &self.0 {
            OneNewcomer::Real(newcomer) => newcomer.peer_url(),
            OneNewcomer::Model { peer_url } => peer_url.clone(),
        }
    }
}

/// Several etcd members that know each other.
#[derive(Debug)]
pub struct Cluster(Members);

#[derive(Debug)]
enum Members {
    Real(etcd3_lab::Cluster),
    Model(etcd3_sim::Etcd),
}

impl Cluster {
    /// Returns the number of members, those that do not run included.
    pub fn len(&self) -> usize {
        match &self.0 {
            Members::Real(cluster) => cluster.len(),
            Members::Model(etcd) => etcd.members(),
        }
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
        self.members().swap_remove(index)
    }

    /// Returns all members.
    pub fn members(&self) -> Vec<Arc<Member>> {
        let members: Vec<_> = match &self.0 {
            Members::Real(cluster) => cluster.members().into_iter().map(OneMember::Real).collect(),
            Members::Model(etcd) => {
                (0..etcd.members()).map(|index| OneMember::Model(etcd.clone(), index)).collect()
            }
        };
        members.into_iter().map(|member| Arc::new(Member(member))).collect()
    }

    /// Returns the addresses for clients of all members, as endpoints.
    pub fn client_urls(&self) -> Vec<String> {
        self.members().iter().map(|member| member.client_url()).collect()
    }

    /// Returns the index of the leader, or `None` when no member takes itself for one.
    pub fn leader(&self) -> Option<usize> {
        match &self.0 {
            Members::Real(cluster) => cluster.leader(),
            Members::Model(etcd) => {
                let leader = etcd.model(|cluster, _| cluster.leader())?;
                (0..etcd.members()).find(|index| etcd.member_id(*index) == leader)
            }
        }
    }

    /// Waits until there is a leader and returns its index. A model cannot wait.
    ///
    /// # Errors
    ///
    /// Fails when there is none after 20 seconds, or, of a model, now.
    pub fn wait_leader(&self) -> Result<usize> {
        match &self.0 {
            Members::Real(cluster) => cluster.wait_leader(),
            Members::Model(_) => self.leader().ok_or_else(|| Error::new("there is no leader")),
        }
    }

    /// Cuts a member off from all others, in both directions. Clients still reach it.
    ///
    /// # Errors
    ///
    /// Fails when the cluster was not built with [`etcd3_lab::Builder::behind_peer_proxy`].
    pub fn partition(&self, member: usize) -> Result<()> {
        match &self.0 {
            Members::Real(cluster) => cluster.partition(member),
            Members::Model(etcd) => {
                etcd.isolate(member);
                Ok(())
            }
        }
    }

    /// Ends all partitions.
    ///
    /// # Errors
    ///
    /// Fails when the cluster was not built with [`etcd3_lab::Builder::behind_peer_proxy`].
    pub fn heal(&self) -> Result<()> {
        match &self.0 {
            Members::Real(cluster) => cluster.heal(),
            Members::Model(etcd) => {
                etcd.heal();
                Ok(())
            }
        }
    }

    /// Adds a member to the running cluster, as a learner or a voter, and returns its index when
    /// it is ready.
    ///
    /// # Errors
    ///
    /// Fails when the cluster refuses, or the member does not become ready, and on models.
    pub fn add_member(&self, learner: bool) -> Result<usize> {
        match &self.0 {
            Members::Real(cluster) => cluster.add_member(learner),
            Members::Model(_) => Err(only_real("changes of the membership")),
        }
    }

    /// Prepares one more member, which is yet to be added to the cluster.
    ///
    /// # Errors
    ///
    /// Fails when there are no ports.
    pub fn newcomer(&self) -> Result<Newcomer> {
        let newcomer = match &self.0 {
            Members::Real(cluster) => OneNewcomer::Real(cluster.newcomer()?),
            Members::Model(etcd) => {
                let peer_url = format!("http://etcd-{}:2380", etcd.members());
                OneNewcomer::Model { peer_url }
            }
        };
        Ok(Newcomer(newcomer))
    }

    /// Starts a member that was added to the running cluster, whose members are these now; returns
    /// its index when it is ready. A model is ready only when time has passed.
    ///
    /// # Errors
    ///
    /// Fails when it was not added, or does not become ready.
    pub fn join(&self, newcomer: Newcomer, members: &[etcd3::Member]) -> Result<usize> {
        match (&self.0, newcomer.0) {
            (Members::Real(cluster), OneNewcomer::Real(newcomer)) => {
                let urls = members.iter().flat_map(|member| member.peer_urls.clone());
                cluster.join(newcomer, &urls.collect::<Vec<_>>())
            }
            (Members::Model(etcd), OneNewcomer::Model { peer_url }) => {
                let added = members.iter().find(|member| member.peer_urls == [&*peer_url]);
                let added = added.ok_or_else(|| Error::new(format!("{peer_url} is not added")))?;
                Ok(etcd.join(added.id.0))
            }
            _ => Err(Error::new("the newcomer is one of another cluster")),
        }
    }
}
