//! What a cluster is like, before anything of it runs.

use crate::Tls;
use crate::etcd::Binary;
use crate::renamed::RenamedFlags;
use std::path::PathBuf;
use std::time::Duration;

/// The heartbeat and the election timeout of a single server, which need not wait for others.
const SERVER_TIMES_MS: (u32, u32) = (10, 100);
/// The same of a cluster.
const CLUSTER_TIMES_MS: (u32, u32) = (20, 200);

/// etcd's own times, for a machine that is too busy for ours.
const PATIENT_HEARTBEAT_MS: u32 = 100;
const PATIENT_ELECTION_MS: u32 = 1000;

/// The smallest election timeout that etcd takes, in heartbeats.
const HEARTBEATS_OF_AN_ELECTION: u32 = 5;

/// The longest wait for a member that starts.
const READY_LIMIT: Duration = Duration::from_secs(20);

/// The description of a cluster; [`Builder`](crate::Builder) makes it.
///
/// It is public for those who start something else by it than processes, a model for example.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The number of members, one or more.
    pub members: usize,
    /// The program; without it [`etcd::any`](crate::etcd::any) is asked.
    pub binary: Option<Binary>,
    /// Flags of etcd for all members, with their values.
    pub flags: Vec<(String, String)>,
    /// The time between two heartbeats of the leader, in milliseconds, where it was set.
    pub heartbeat_ms: Option<u32>,
    /// The time without heartbeats after which members elect, in milliseconds, where it was set.
    pub election_ms: Option<u32>,
    /// Flags that have other names in other versions.
    pub renamed: RenamedFlags,
    /// Variables of the environment of all members, with their values.
    pub env: Vec<(String, String)>,
    /// Whether clients speak TLS.
    pub https: bool,
    /// The certificates, unless flags name them.
    pub tls: Option<Tls>,
    /// The life of the JSON web tokens that members make in place of simple ones.
    pub jwt_ttl: Option<Duration>,
    /// Whether members listen on a unix socket, too.
    pub unix_socket: bool,
    /// Whether there is a proxy between each member and the others.
    pub behind_peer_proxy: bool,
    /// The snapshot that the members begin with, if any.
    pub snapshot: Option<PathBuf>,
    /// The longest wait for each member that starts.
    pub ready_limit: Duration,
}

impl Spec {
    pub(crate) fn new(members: usize) -> Self {
        Self {
            members,
            binary: None,
            flags: Vec::new(),
            heartbeat_ms: None,
            election_ms: None,
            renamed: RenamedFlags::default(),
            env: Vec::new(),
            https: false,
            tls: None,
            jwt_ttl: None,
            unix_socket: false,
            behind_peer_proxy: false,
            snapshot: None,
            ready_limit: READY_LIMIT,
        }
    }

    /// Returns the heartbeat and the election timeout, in milliseconds, those that were not set
    /// included.
    #[must_use]
    pub fn times_ms(&self) -> (u32, u32) {
        let (heartbeat, election) =
            if self.members == 1 { SERVER_TIMES_MS } else { CLUSTER_TIMES_MS };
        (self.heartbeat_ms.unwrap_or(heartbeat), self.election_ms.unwrap_or(election))
    }

    /// Takes etcd's own times in place of those of the lab.
    pub(crate) fn patient(mut self) -> Self {
        let election = *self.election_ms.get_or_insert(PATIENT_ELECTION_MS);
        let longest = election / HEARTBEATS_OF_AN_ELECTION;
        self.heartbeat_ms.get_or_insert(PATIENT_HEARTBEAT_MS.min(longest).max(1));
        self
    }

    /// Names it for a person.
    pub(crate) fn what(&self) -> String {
        match self.members {
            1 => "a server".to_owned(),
            members => format!("a cluster of {members} members"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_takes_the_times_of_etcd_and_keeps_those_that_were_set() {
        let times = |heartbeat_ms, election_ms| {
            Spec { heartbeat_ms, election_ms, ..Spec::new(3) }.patient().times_ms()
        };
        assert_eq!(times(None, None), (100, 1000));
        assert_eq!(times(None, Some(300)), (60, 300));
        assert_eq!(times(Some(20), Some(200)), (20, 200));
    }

    #[test]
    fn a_single_server_elects_sooner_unless_told_otherwise() {
        assert_eq!(Spec::new(1).times_ms(), (10, 100));
        assert_eq!(Spec::new(3).times_ms(), (20, 200));
        assert_eq!(Spec { election_ms: Some(50), ..Spec::new(3) }.times_ms(), (20, 50));
    }
}
