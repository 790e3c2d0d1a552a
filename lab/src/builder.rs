//! How servers and clusters are described before they start.

use crate::etcd::{self, Binary};
use crate::{Cluster, Result, Server, Tls};

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
    /// # Errors
    ///
    /// Fails with the end of a member's log when it does not start.
    pub fn start(self) -> Result<Cluster> {
        let binary = match &self.binary {
            Some(binary) => binary.clone(),
            None => etcd::any()?,
        };
        let mut tries = 1;
        loop {
            let cluster = Cluster::lay_out(&self, &binary)?;
            match cluster.start_all() {
                Ok(()) => return Ok(cluster),
                Err(_) if tries < MAX_TRIES && cluster.lost_a_port() => tries += 1,
                Err(error) => return Err(error),
            }
        }
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
