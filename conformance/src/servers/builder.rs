//! How servers and clusters are described before they start.

use super::{Cluster, Etcd, Server, only_real};
use etcd3_lab::{Error, Result, Tls};
use etcd3_sim::{ClusterConfig, Personality};
use std::str::FromStr;
use std::time::Duration;

/// Describes a [`Cluster`].
#[derive(Debug, Clone)]
pub struct ClusterBuilder {
    members: usize,
    flags: Vec<(String, String)>,
    env: Vec<(String, String)>,
    election_ms: Option<u32>,
    https: bool,
    tls: Option<Tls>,
    unix_socket: bool,
    behind_proxy: bool,
}

impl ClusterBuilder {
    pub(crate) fn new(members: usize) -> Self {
        Self {
            members,
            flags: Vec::new(),
            env: Vec::new(),
            election_ms: None,
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

    /// Adds a flag of etcd for all members, as in `flag("--max-request-bytes", "256")`. A model
    /// knows that one, `--max-txn-ops` and `--quota-backend-bytes`, and refuses to start with
    /// others.
    #[must_use]
    pub fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the time without heartbeats after which members elect, in milliseconds; 200 by
    /// default, and 100 for a single server.
    #[must_use]
    pub fn election(mut self, ms: u32) -> Self {
        self.election_ms = Some(ms);
        self
    }

    /// Makes clients speak TLS, which a model does not.
    #[must_use]
    pub fn https(mut self) -> Self {
        self.https = true;
        self
    }

    /// Makes clients speak TLS with these certificates, which a model does not.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self.https()
    }

    /// Makes clients speak TLS with these certificates, unless they do already.
    pub(crate) fn tls_by_default(self, tls: impl FnOnce() -> Tls) -> Self {
        if self.https { self } else { self.tls(tls()) }
    }

    /// Makes members listen on a unix socket, too, which a model does not.
    #[must_use]
    pub fn unix_socket(mut self) -> Self {
        self.unix_socket = true;
        self
    }

    /// Adds a variable to the environment of all members; a model has none.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Makes [`Cluster::partition`] work, which a model always can.
    #[must_use]
    pub fn behind_peer_proxy(mut self) -> Self {
        self.behind_proxy = true;
        self
    }

    /// Starts all members and waits until all are healthy.
    ///
    /// # Errors
    ///
    /// Fails when a member does not start, or the model cannot be as described.
    pub(crate) fn start(&self, etcd: &Etcd) -> Result<Cluster> {
        etcd.start(self)
    }

    /// Describes processes.
    pub(super) fn lab(&self) -> etcd3_lab::ClusterBuilder {
        let mut lab = etcd3_lab::Cluster::builder().members(self.members);
        for (name, value) in &self.flags {
            lab = lab.flag(name, value);
        }
        for (name, value) in &self.env {
            lab = lab.env(name, value);
        }
        if let Some(ms) = self.election_ms {
            lab = lab.election(ms);
        }
        let lab = match &self.tls {
            Some(tls) => lab.tls(tls.clone()),
            None if self.https => lab.https(),
            None => lab,
        };
        let lab = if self.unix_socket { lab.unix_socket() } else { lab };
        if self.behind_proxy { lab.behind_peer_proxy() } else { lab }
    }

    /// Describes a model.
    pub(super) fn model(&self, personality: Personality, seed: u64) -> Result<ClusterConfig> {
        if self.https {
            return Err(only_real("TLS"));
        }
        if self.unix_socket {
            return Err(only_real("unix socket"));
        }
        if !self.env.is_empty() {
            return Err(only_real("environment"));
        }
        let mut config = ClusterConfig::new(self.members, personality, seed);
        // As the lab starts its processes.
        let election_ms = self.election_ms.unwrap_or(if self.members == 1 { 100 } else { 200 });
        config.election_timeout = Duration::from_millis(election_ms.into());
        for (name, value) in &self.flags {
            match name.as_str() {
                "--max-request-bytes" => config.max_request_bytes = number(name, value)?,
                "--max-txn-ops" => config.max_txn_ops = number(name, value)?,
                "--quota-backend-bytes" => config.quota_bytes = Some(number(name, value)?),
                name => return Err(only_real(name)),
            }
        }
        Ok(config)
    }
}

fn number<T: FromStr>(name: &str, value: &str) -> Result<T> {
    value.parse().map_err(|_| Error::new(format!("{name} is a number, and {value} is none")))
}

/// Describes a [`Server`].
#[derive(Debug, Clone)]
pub struct ServerBuilder(ClusterBuilder);

impl ServerBuilder {
    pub(crate) fn new() -> Self {
        Self(ClusterBuilder::new(1))
    }

    /// Adds a flag of etcd, as [`ClusterBuilder::flag`] does.
    #[must_use]
    pub fn flag(self, name: &str, value: &str) -> Self {
        Self(self.0.flag(name, value))
    }

    /// Sets the election timeout, as [`ClusterBuilder::election`] does.
    #[must_use]
    pub fn election(self, ms: u32) -> Self {
        Self(self.0.election(ms))
    }

    /// Makes clients speak TLS, as [`ClusterBuilder::https`] does.
    #[must_use]
    pub fn https(self) -> Self {
        Self(self.0.https())
    }

    /// Makes clients speak TLS with these certificates, as [`ClusterBuilder::tls`] does.
    #[must_use]
    pub fn tls(self, tls: Tls) -> Self {
        Self(self.0.tls(tls))
    }

    /// Makes clients speak TLS with these certificates, unless they do already.
    pub(crate) fn tls_by_default(self, tls: impl FnOnce() -> Tls) -> Self {
        Self(self.0.tls_by_default(tls))
    }

    /// Makes the server listen on a unix socket, as [`ClusterBuilder::unix_socket`] does.
    #[must_use]
    pub fn unix_socket(self) -> Self {
        Self(self.0.unix_socket())
    }

    /// Adds a variable to the environment, as [`ClusterBuilder::env`] does.
    #[must_use]
    pub fn env(self, name: &str, value: &str) -> Self {
        Self(self.0.env(name, value))
    }

    /// Starts the server and waits until it is healthy.
    ///
    /// # Errors
    ///
    /// Fails when it does not start, or the model cannot be as described.
    pub(crate) fn start(&self, etcd: &Etcd) -> Result<Server> {
        self.0.start(etcd).map(Server::of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_takes_the_flags_it_has_and_refuses_others() {
        let of = Personality::of(3, 5, 16);
        let built = ClusterBuilder::new(1).flag("--max-txn-ops", "7").model(of, 1).unwrap();
        assert_eq!((built.members.len(), built.max_txn_ops), (1, 7));
        assert_eq!(built.election_timeout, Duration::from_millis(100));
        let refused = |builder: ClusterBuilder| builder.model(of, 1).unwrap_err().to_string();
        let text = refused(ClusterBuilder::new(3).flag("--auto-tls", "true"));
        assert_eq!(text, "a model has no --auto-tls; register the case with .real()");
        assert!(refused(ClusterBuilder::new(3).flag("--max-txn-ops", "x")).contains("is none"));
        assert!(refused(ClusterBuilder::new(3).https()).contains("TLS"));
    }
}
