//! How servers and clusters are described before they start.

use crate::etcd::{self, Binary};
use crate::{Cluster, Error, Result, Server, Tls, notes};
use std::time::Duration;

/// etcd's own times, in milliseconds, for a machine that is too busy for ours.
const PATIENT_HEARTBEAT_MS: u32 = 100;
const PATIENT_ELECTION_MS: u32 = 1000;

/// The smallest election timeout that etcd takes, in heartbeats.
const HEARTBEATS_OF_AN_ELECTION: u32 = 5;

/// Bounds the wait for a member that starts.
const READY_LIMIT: Duration = Duration::from_secs(20);

/// Bounds how often other ports are tried after another program took one.
const MAX_TRIES: u32 = 4;

/// Describes a [`Cluster`]; made by [`Cluster::builder`].
#[derive(Debug, Clone)]
pub struct ClusterBuilder {
    pub(crate) members: usize,
    pub(crate) binary: Option<Binary>,
    pub(crate) flags: Vec<(String, String)>,
    pub(crate) heartbeat_ms: Option<u32>,
    pub(crate) election_ms: Option<u32>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) https: bool,
    pub(crate) tls: Option<Tls>,
    pub(crate) unix_socket: bool,
    pub(crate) behind_proxy: bool,
    /// Bounds the wait for each member that starts.
    pub(crate) ready_limit: Duration,
}

impl ClusterBuilder {
    pub(crate) fn new(members: usize) -> Self {
        Self {
            members,
            binary: None,
            flags: Vec::new(),
            heartbeat_ms: None,
            election_ms: None,
            env: Vec::new(),
            https: false,
            tls: None,
            unix_socket: false,
            behind_proxy: false,
            ready_limit: READY_LIMIT,
        }
    }

    /// Sets the number of members, 3 by default.
    #[must_use]
    pub fn members(mut self, members: usize) -> Self {
        self.members = members;
        self
    }

    /// Sets the binary; without it [`etcd::any`] is asked.
    #[must_use]
    pub fn version(mut self, binary: &Binary) -> Self {
        self.binary = Some(binary.clone());
        self
    }

    /// Adds a flag of etcd for all members, as in `flag("--max-request-bytes", "256")`.
    #[must_use]
    pub fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the time between two heartbeats of the leader, in milliseconds; 20 by default, and 10
    /// for a single server.
    #[must_use]
    pub fn heartbeat(mut self, ms: u32) -> Self {
        self.heartbeat_ms = Some(ms);
        self
    }

    /// Sets the time without heartbeats after which members elect, in milliseconds, at least five
    /// heartbeats; 200 by default, and 100 for a single server. The shortest time to live of a
    /// lease follows from it.
    #[must_use]
    pub fn election(mut self, ms: u32) -> Self {
        self.election_ms = Some(ms);
        self
    }

    /// Adds a variable to the environment of all members.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Makes clients speak TLS; the certificates come by flags, `--auto-tls` for example. The lab
    /// itself asks on a plain port of its own then.
    #[must_use]
    pub fn https(mut self) -> Self {
        self.https = true;
        self
    }

    /// Makes clients speak TLS, as [`ClusterBuilder::https`] does, with these certificates.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self.https()
    }

    /// Makes members listen on a unix socket, too: [`crate::Member::socket`].
    #[must_use]
    pub fn unix_socket(mut self) -> Self {
        self.unix_socket = true;
        self
    }

    /// Puts a proxy between each member and the others, so that [`Cluster::partition`] works.
    #[must_use]
    pub fn behind_peer_proxy(mut self) -> Self {
        self.behind_proxy = true;
        self
    }

    /// Starts all members and waits until all are healthy.
    ///
    /// On a busy machine members may elect one leader after the other, since they do so within
    /// fractions of a second by default. A cluster that runs and does not become healthy is started
    /// once more, with etcd's own times where none were set, and a note says so.
    ///
    /// # Errors
    ///
    /// Fails with the end of a member's log when it does not start.
    pub fn start(self) -> Result<Cluster> {
        let binary = match &self.binary {
            Some(binary) => binary.clone(),
            None => etcd::any()?,
        };
        match self.try_start(&binary) {
            Err(Unstarted { error, is_slow: true }) => {
                let what = format!("{} of etcd {}", self.what(), binary.version);
                notes::say(&format!("{what} did not come up and was started once more: {error}"));
                self.patient().try_start(&binary).map_err(|again| again.error)
            }
            started => started.map_err(|unstarted| unstarted.error),
        }
    }

    /// Starts all members, on other ports when another program took one.
    fn try_start(&self, binary: &Binary) -> std::result::Result<Cluster, Unstarted> {
        let mut tries = 1;
        loop {
            let cluster = Cluster::lay_out(self, binary)?;
            match cluster.start_all() {
                Ok(()) => return Ok(cluster),
                Err(_) if tries < MAX_TRIES && cluster.lost_a_port() => tries += 1,
                Err(error) => return Err(Unstarted { error, is_slow: cluster.is_running() }),
            }
        }
    }

    /// Takes etcd's own times in place of those of the lab.
    fn patient(mut self) -> Self {
        let election = *self.election_ms.get_or_insert(PATIENT_ELECTION_MS);
        let longest = election / HEARTBEATS_OF_AN_ELECTION;
        self.heartbeat_ms.get_or_insert(PATIENT_HEARTBEAT_MS.min(longest).max(1));
        self
    }

    fn what(&self) -> String {
        match self.members {
            1 => "a server".to_owned(),
            members => format!("a cluster of {members} members"),
        }
    }
}

/// Why a cluster did not start.
struct Unstarted {
    error: Error,
    /// Tells that all its processes ran: only time was lacking, perhaps.
    is_slow: bool,
}

impl From<Error> for Unstarted {
    fn from(error: Error) -> Self {
        Self { error, is_slow: false }
    }
}

/// Describes a [`Server`]; made by [`Server::builder`].
#[derive(Debug, Clone)]
pub struct ServerBuilder(pub(crate) ClusterBuilder);

impl ServerBuilder {
    /// Sets the binary; without it [`etcd::any`] is asked.
    #[must_use]
    pub fn version(self, binary: &Binary) -> Self {
        Self(self.0.version(binary))
    }

    /// Adds a flag of etcd, as in `flag("--max-request-bytes", "256")`.
    #[must_use]
    pub fn flag(self, name: &str, value: &str) -> Self {
        Self(self.0.flag(name, value))
    }

    /// Sets the heartbeat, as [`ClusterBuilder::heartbeat`] does.
    #[must_use]
    pub fn heartbeat(self, ms: u32) -> Self {
        Self(self.0.heartbeat(ms))
    }

    /// Sets the election timeout, as [`ClusterBuilder::election`] does.
    #[must_use]
    pub fn election(self, ms: u32) -> Self {
        Self(self.0.election(ms))
    }

    /// Adds a variable to the environment, as [`ClusterBuilder::env`] does.
    #[must_use]
    pub fn env(self, name: &str, value: &str) -> Self {
        Self(self.0.env(name, value))
    }

    /// Makes clients speak TLS, as [`ClusterBuilder::https`] does.
    #[must_use]
    pub fn https(self) -> Self {
        Self(self.0.https())
    }

    /// Makes clients speak TLS, as [`ClusterBuilder::tls`] does.
    #[must_use]
    pub fn tls(self, tls: Tls) -> Self {
        Self(self.0.tls(tls))
    }

    /// Makes the server listen on a unix socket, too: [`crate::Member::socket`].
    #[must_use]
    pub fn unix_socket(self) -> Self {
        Self(self.0.unix_socket())
    }

    /// Starts the server and waits until it is healthy.
    ///
    /// # Errors
    ///
    /// Fails with the end of the server's log when it does not start.
    pub fn start(self) -> Result<Server> {
        self.0.start().map(Server::of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_takes_the_times_of_etcd_and_keeps_those_that_were_set() {
        let times = |builder: ClusterBuilder| {
            let patient = builder.patient();
            (patient.heartbeat_ms, patient.election_ms)
        };
        let builder = || ClusterBuilder::new(3);
        assert_eq!(times(builder()), (Some(100), Some(1000)));
        assert_eq!(times(builder().election(300)), (Some(60), Some(300)));
        assert_eq!(times(builder().heartbeat(20).election(200)), (Some(20), Some(200)));
    }

    /// A program that is etcd with etcd's own times, and does nothing with others.
    fn impatient(dir: &std::path::Path) -> Binary {
        use std::os::unix::fs::PermissionsExt;
        let etcd = etcd::any().expect("an etcd");
        let path = dir.join("etcd");
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in *=100\\ --election-timeout=1000*) exec '{}' \"$@\";; esac\n\
             exec sleep 600\n",
            etcd.path.display()
        );
        std::fs::write(&path, script).expect("a script");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("a program");
        Binary { path, ..etcd }
    }

    #[test]
    fn a_server_that_does_not_come_up_is_started_once_more_with_the_times_of_etcd() {
        let dir = tempfile::tempdir().expect("a folder");
        let notes = dir.path().join("notes");
        notes::keep_in(&notes);
        let mut builder = ClusterBuilder::new(1).version(&impatient(dir.path()));
        builder.ready_limit = Duration::from_secs(5);
        let cluster = builder.clone().start().expect("a server");
        cluster.member(0).put("a", "b").expect("it serves");
        let said = std::fs::read_to_string(&notes).expect("notes");
        assert!(said.contains("a server of etcd") && said.contains("started once more"), "{said}");

        // Times that were set are kept, and these do not help.
        builder.ready_limit = Duration::from_millis(200);
        let error = builder.heartbeat(20).start().expect_err("not with these times").to_string();
        assert!(error.contains("gave up after 200ms"), "{error}");
    }
}
