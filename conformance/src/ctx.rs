//! What a case works with: servers, clients, time.

use crate::BoxError;
use crate::case_result::CaseResult;
use crate::servers::{Cluster, EtcdSource, Member, Server};
use crate::task::JoinHandle;
use etcd3::runtime::Runtime;
use etcd3::{Client, Config, EndpointHealth, EndpointState, Error, TlsConfig};
use etcd3_lab::load::{self, Limit};
use etcd3_lab::{Authority, Builder, ClusterBuilder, MemberStatus, ServerBuilder, Tls, notes};
use futures_lite::FutureExt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The world of one case: its runtime, and the etcd that it is to run against.
#[derive(Clone)]
pub struct Ctx {
    /// The runtime under test.
    pub rt: Arc<dyn Runtime>,
    /// The etcd to start.
    pub etcd: EtcdSource,
    /// The name of the runtime.
    pub runtime: &'static str,
    /// The name of the case that runs.
    case: &'static str,
    /// The issuer of the certificates in a run over TLS
    /// ([`plain_and_tls`](crate::Case::plain_and_tls)).
    authority: Option<Arc<Authority>>,
}

impl Ctx {
    /// Makes the world of one case in plaintext.
    pub(crate) fn new(rt: Arc<dyn Runtime>, etcd: EtcdSource, runtime: &'static str) -> Self {
        Self { rt, etcd, runtime, case: "", authority: None }
    }

    /// Makes servers and clients speak TLS with each other.
    ///
    /// # Errors
    ///
    /// When no certificates can be made.
    pub(crate) fn over_tls(mut self) -> Result<Self, etcd3_lab::Error> {
        self.authority = Some(Authority::new()?);
        Ok(self)
    }

    /// Names the case that is to run.
    pub(crate) fn named(mut self, case: &'static str) -> Self {
        self.case = case;
        self
    }

    /// Starts a server for this case alone.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn server(&self) -> Result<Server, etcd3_lab::Error> {
        self.server_with(|server| server).await
    }

    /// Starts a server for this case alone, with flags of its own.
    ///
    /// A model knows the flags `--max-request-bytes`, `--max-txn-ops`, `--quota-backend-bytes`,
    /// `--max-concurrent-streams`, `--snapshot-count` and `--strict-reconfig-check`, and what the
    /// builder has names for but the heartbeat. It refuses to start with anything else.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn server_with(
        &self,
        build: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> Result<Server, etcd3_lab::Error> {
        let builder = self.in_transport(build(etcd3_lab::Server::builder()));
        let etcd = self.etcd.clone();
        self.blocking(move || etcd.server(builder)).await
    }

    /// Starts a cluster of three members for this case alone, and waits until it has a leader.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn cluster(&self) -> Result<Cluster, etcd3_lab::Error> {
        self.cluster_with(|cluster| cluster).await
    }

    /// Starts a cluster for this case alone, of three members unless told otherwise.
    ///
    /// A model takes what it takes of a server ([`Ctx::server_with`]). Any can be partitioned.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn cluster_with(
        &self,
        build: impl FnOnce(ClusterBuilder) -> ClusterBuilder,
    ) -> Result<Cluster, etcd3_lab::Error> {
        let builder = self.in_transport(build(etcd3_lab::Cluster::builder()));
        let etcd = self.etcd.clone();
        self.blocking(move || {
            let cluster = etcd.cluster(builder)?;
            cluster.wait_leader()?;
            Ok(cluster)
        })
        .await
    }

    /// Makes what is described speak TLS in a run over TLS, unless the case has it do so anyway.
    fn in_transport<S>(&self, builder: Builder<S>) -> Builder<S> {
        match &self.authority {
            Some(authority) if !builder.spec().https => builder.tls(Tls::new(authority)),
            _ => builder,
        }
    }

    /// Starts a configuration that fits the servers of this case.
    pub fn config<E: Into<String>>(&self, endpoints: impl IntoIterator<Item = E>) -> Config {
        self.secured(Config::new(endpoints))
    }

    /// Returns the endpoint at an address that leads to a server of this case, as a bridge does.
    pub fn url(&self, address: SocketAddr) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{address}")
    }

    fn secured(&self, config: Config) -> Config {
        match &self.authority {
            Some(authority) => config.tls(TlsConfig::new().ca_pem(authority.pem())),
            None => config,
        }
    }

    /// Connects a client with the defaults.
    ///
    /// # Errors
    ///
    /// When no endpoint can be used.
    pub async fn connect<E: Into<String>>(
        &self,
        endpoints: impl IntoIterator<Item = E>,
    ) -> Result<Client, Error> {
        self.connect_with(Config::new(endpoints)).await
    }

    /// Connects a client; in a run over TLS it trusts the servers of this case.
    ///
    /// # Errors
    ///
    /// When no endpoint can be used.
    pub async fn connect_with(&self, config: Config) -> Result<Client, Error> {
        Client::connect_on(Arc::clone(&self.rt), self.secured(config)).await
    }

    /// Starts a server and connects a client to it, both with the defaults.
    ///
    /// # Errors
    ///
    /// When either fails.
    pub async fn server_and_client(&self) -> Result<(Server, Client), BoxError> {
        let server = self.server().await?;
        let client = self.connect([server.client_url()]).await?;
        Ok((server, client))
    }

    /// Runs a future beside the case, on its runtime.
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let (task, slot) = JoinHandle::new();
        self.rt.spawn(Box::pin(async move { slot.fill(future.await) }));
        task
    }

    /// Runs a function that blocks, on a thread, so that the runtime goes on meanwhile. In a
    /// simulation nothing blocks, and there are no threads: it runs at once.
    pub fn blocking<T: Send + 'static>(
        &self,
        function: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let (task, slot) = JoinHandle::new();
        if self.etcd.is_model() {
            slot.fill(function());
        } else {
            std::thread::spawn(move || slot.fill(function()));
        }
        task
    }

    /// Has a member started, stopped or the like, on a thread.
    ///
    /// # Errors
    ///
    /// Those of the order.
    pub async fn order(
        &self,
        member: &Arc<Member>,
        order: fn(&Member) -> etcd3_lab::Result<()>,
    ) -> etcd3_lab::Result<()> {
        let member = Arc::clone(member);
        self.blocking(move || order(&member)).await
    }

    /// Waits for a future; `None` if it takes longer than `limit`, which stretches with the load of
    /// the machine. A note says so when that made a difference.
    pub async fn within<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        if self.etcd.is_model() {
            let timeout = async {
                self.pause(limit).await;
                None
            };
            return async { Some(future.await) }.or(timeout).await;
        }
        let patience = Limit::new(limit);
        let timeout = async {
            // No wake-up of this one before the limit could be over: it polls the future, too, and
            // would hide that nothing else wakes it.
            loop {
                let left = patience.left();
                if left.is_zero() {
                    return None;
                }
                self.pause(left).await;
            }
        };
        let result = async { Some(future.await) }.or(timeout).await;
        if let Some(took) = patience.stretched_to().filter(|_| result.is_some()) {
            let case = self.case;
            notes::say(&format!("{case} waited {took:.1?}, {limit:?} allowed when idle"));
        }
        result
    }

    /// Stretches an amount of time by the load of the machine that is seen now, for a bound on what
    /// the machine takes. In virtual time nothing is stretched.
    pub fn stretched(&self, time: Duration) -> Duration {
        if self.etcd.is_model() { time } else { load::stretched(time) }
    }

    /// Returns the most that something may take which is over within `time` in virtual time, where
    /// that is exact. A machine that is not busy on average pauses now and then, for its disk or
    /// another one of its guests.
    pub fn at_most(&self, time: Duration) -> Duration {
        const PAUSE: Duration = Duration::from_secs(1);
        if self.etcd.is_model() { time } else { load::stretched(time + PAUSE) }
    }

    /// Waits until all endpoints of a client are connected.
    ///
    /// # Errors
    ///
    /// When they are not within ten seconds.
    pub async fn until_connected(&self, client: &Client) -> CaseResult {
        const LIMIT: Duration = Duration::from_secs(10);
        let is_ready = |it: &EndpointHealth| it.state == EndpointState::Ready;
        let all = || client.health().endpoints.iter().all(is_ready);
        self.until("all connections", LIMIT, || async { all() }).await
    }

    /// Waits until a condition holds, looking again every few milliseconds.
    ///
    /// # Errors
    ///
    /// When it does not hold within `limit`; the error says what was waited for.
    pub async fn until<F: Future<Output = bool>>(
        &self,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut() -> F,
    ) -> CaseResult {
        let looking = async {
            while !condition().await {
                self.pause(Duration::from_millis(5)).await;
            }
        };
        self.within(limit, looking).await.ok_or_else(|| format!("waited for {what}").into())
    }

    /// Waits until a member says of itself what it should, looking again every few milliseconds.
    ///
    /// # Errors
    ///
    /// As [`Ctx::until`].
    pub async fn until_member(
        &self,
        member: &Arc<Member>,
        what: &str,
        limit: Duration,
        holds: impl Fn(&MemberStatus) -> bool,
    ) -> CaseResult {
        self.until(what, limit, || async {
            let member = Arc::clone(member);
            self.blocking(move || member.status()).await.is_ok_and(|status| holds(&status))
        })
        .await
    }

    /// Lets time pass, where time is what the case is about.
    pub async fn pause(&self, duration: Duration) {
        self.rt.sleep_until(self.rt.now() + duration).await;
    }
}
