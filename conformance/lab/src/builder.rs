//! How servers and clusters are described before they start.

use crate::etcd::{self, Binary};
use crate::{Cluster, Error, Result, Server, Spec, Tls, notes};
use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;

/// The largest number of tries with other ports after another program took one.
const MAX_TRIES: u32 = 4;

/// The number of members of a cluster, unless told otherwise.
const MEMBERS: usize = 3;

/// The description of what is to be started: a [`Cluster`] or a [`Server`].
#[derive(Debug)]
pub struct Builder<S> {
    spec: Spec,
    starts: PhantomData<fn() -> S>,
}

/// The description of a [`Cluster`]; made by [`Cluster::builder`].
pub type ClusterBuilder = Builder<Cluster>;

/// The description of a [`Server`]; made by [`Server::builder`].
pub type ServerBuilder = Builder<Server>;

impl<S> Clone for Builder<S> {
    fn clone(&self) -> Self {
        Self::of(self.spec.clone())
    }
}

impl<S> Builder<S> {
    fn of(spec: Spec) -> Self {
        Self { spec, starts: PhantomData }
    }

    /// Returns what was described so far.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Sets the binary; without it [`etcd::any`] is asked.
    #[must_use]
    pub fn version(mut self, binary: &Binary) -> Self {
        self.spec.binary = Some(binary.clone());
        self
    }

    /// Adds a flag of etcd for all members, as in `flag("--max-request-bytes", "256")`.
    #[must_use]
    pub fn flag(mut self, name: &str, value: &str) -> Self {
        self.spec.flags.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the time between two heartbeats of the leader, in milliseconds; 20 by default, and 10
    /// for a single server.
    #[must_use]
    pub fn heartbeat(mut self, ms: u32) -> Self {
        self.spec.heartbeat_ms = Some(ms);
        self
    }

    /// Sets the time without heartbeats after which members elect, in milliseconds, at least five
    /// heartbeats; 200 by default, and 100 for a single server. The shortest time to live of a
    /// lease follows from it.
    #[must_use]
    pub fn election(mut self, ms: u32) -> Self {
        self.spec.election_ms = Some(ms);
        self
    }

    /// Sets how often servers tell of the progress of a watch that asks for it, in milliseconds;
    /// ten minutes by default. The flag for it has another name in each generation of etcd.
    #[must_use]
    pub fn progress_interval(mut self, ms: u32) -> Self {
        self.spec.renamed.progress_interval_ms = Some(ms);
        self
    }

    /// Sets how many entries of the log are kept behind a snapshot: members that lag by more get
    /// the snapshot. No flag sets it before etcd 3.5, where members do not start with this.
    #[must_use]
    pub fn catch_up_entries(mut self, entries: u32) -> Self {
        self.spec.renamed.catch_up_entries = Some(entries);
        self
    }

    /// Adds a variable to the environment of all members.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.spec.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Makes clients speak TLS; the certificates come by flags, `--auto-tls` for example. The lab
    /// itself asks on a plain port of its own then.
    #[must_use]
    pub fn https(mut self) -> Self {
        self.spec.https = true;
        self
    }

    /// Makes clients speak TLS, as [`Builder::https`] does, with these certificates.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.spec.tls = Some(tls);
        self.https()
    }

    /// Makes members give their users JSON web tokens that live this long, in place of simple
    /// tokens.
    #[must_use]
    pub fn jwt(mut self, ttl: Duration) -> Self {
        self.spec.jwt_ttl = Some(ttl);
        self
    }

    /// Makes the members begin with the data of a snapshot, which etcd's own tool of the version
    /// [restores](crate::restore).
    #[must_use]
    pub fn restored_from(mut self, snapshot: impl Into<PathBuf>) -> Self {
        self.spec.snapshot = Some(snapshot.into());
        self
    }

    /// Makes members listen on a unix socket, too: [`crate::Member::socket`].
    #[must_use]
    pub fn unix_socket(mut self) -> Self {
        self.spec.unix_socket = true;
        self
    }
}

impl Builder<Cluster> {
    /// Sets the number of members, 3 by default.
    #[must_use]
    pub fn members(mut self, members: usize) -> Self {
        self.spec.members = members;
        self
    }

    /// Puts a proxy between each member and the others, so that [`Cluster::partition`] works.
    #[must_use]
    pub fn behind_peer_proxy(mut self) -> Self {
        self.spec.behind_peer_proxy = true;
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
        start(self.spec)
    }
}

impl Builder<Server> {
    /// Starts the server and waits until it is healthy, as a cluster does.
    ///
    /// # Errors
    ///
    /// Fails with the end of the server's log when it does not start.
    pub fn start(self) -> Result<Server> {
        start(self.spec).map(Server::of)
    }
}

impl Cluster {
    /// Starts to describe a cluster of three members.
    pub fn builder() -> ClusterBuilder {
        Builder::of(Spec::new(MEMBERS))
    }
}

impl Server {
    /// Starts to describe a server.
    pub fn builder() -> ServerBuilder {
        Builder::of(Spec::new(1))
    }

    /// Starts a server with any etcd that is at hand.
    ///
    /// # Errors
    ///
    /// Fails when there is no etcd, or it does not start.
    pub fn start() -> Result<Self> {
        Self::builder().start()
    }
}

/// Describes the only member of a server.
impl From<ServerBuilder> for ClusterBuilder {
    fn from(builder: ServerBuilder) -> Self {
        Self::of(builder.spec)
    }
}

/// Starts a cluster, once more with etcd's own times when only time was lacking.
fn start(spec: Spec) -> Result<Cluster> {
    let binary = match &spec.binary {
        Some(binary) => binary.clone(),
        None => etcd::any()?,
    };
    match try_start(&spec, &binary) {
        Err(Unstarted { error, is_slow: true }) => {
            let what = format!("{} of etcd {}", spec.what(), binary.version);
            notes::say(&format!("{what} did not come up and was started once more: {error}"));
            try_start(&spec.patient(), &binary).map_err(|again| again.error)
        }
        started => started.map_err(|unstarted| unstarted.error),
    }
}

/// Starts all members, on other ports when another program took one.
fn try_start(spec: &Spec, binary: &Binary) -> std::result::Result<Cluster, Unstarted> {
    let mut tries = 1;
    loop {
        let cluster = Cluster::lay_out(spec, binary)?;
        match cluster.start_all() {
            Ok(()) => return Ok(cluster),
            Err(_) if tries < MAX_TRIES && cluster.lost_a_port() => tries += 1,
            Err(error) => return Err(Unstarted { error, is_slow: cluster.is_running() }),
        }
    }
}

/// Why a cluster did not start.
struct Unstarted {
    error: Error,
    /// Whether all its processes ran: only time was lacking, perhaps.
    is_slow: bool,
}

impl From<Error> for Unstarted {
    fn from(error: Error) -> Self {
        Self { error, is_slow: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
        let mut builder = Cluster::builder().members(1).version(&impatient(dir.path()));
        builder.spec.ready_limit = Duration::from_secs(5);
        let cluster = builder.clone().start().expect("a server");
        cluster.member(0).put("a", "b").expect("it serves");
        let said = std::fs::read_to_string(&notes).expect("notes");
        assert!(said.contains("a server of etcd") && said.contains("started once more"), "{said}");

        // Times that were set are kept, and these do not help.
        builder.spec.ready_limit = Duration::from_millis(200);
        let error = builder.heartbeat(20).start().expect_err("not with these times").to_string();
        assert!(error.contains("gave up after 200ms"), "{error}");
    }
}
