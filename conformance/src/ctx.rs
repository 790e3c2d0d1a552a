//! What a case works with: servers, clients, time.

use crate::CaseResult;
use crate::task::Task;
use etcd3_client::{Client, Config, Error, Runtime};
use etcd3_lab::etcd::Binary;
use etcd3_lab::{Cluster, ClusterBuilder, Server, ServerBuilder};
use futures_lite::FutureExt;
use std::sync::Arc;
use std::time::Duration;

/// The world of one case: its runtime, and the etcd that it is to run against.
#[derive(Clone)]
pub struct Ctx {
    /// The runtime under test.
    pub rt: Arc<dyn Runtime>,
    /// The etcd to start.
    pub etcd: Binary,
    /// The name of the runtime.
    pub runtime: &'static str,
}

impl Ctx {
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
    /// # Errors
    ///
    /// When it does not start.
    pub async fn server_with(
        &self,
        build: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> Result<Server, etcd3_lab::Error> {
        let builder = build(Server::builder().version(&self.etcd));
        self.blocking(move || builder.start()).await
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
    /// # Errors
    ///
    /// When it does not start.
    pub async fn cluster_with(
        &self,
        build: impl FnOnce(ClusterBuilder) -> ClusterBuilder,
    ) -> Result<Cluster, etcd3_lab::Error> {
        let builder = build(Cluster::builder().members(3).version(&self.etcd));
        self.blocking(move || {
            let cluster = builder.start()?;
            cluster.wait_leader()?;
            Ok(cluster)
        })
        .await
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

    /// Connects a client.
    ///
    /// # Errors
    ///
    /// When no endpoint can be used.
    pub async fn connect_with(&self, config: Config) -> Result<Client, Error> {
        Client::connect(Arc::clone(&self.rt), config).await
    }

    /// Starts a server and connects a client to it, both with the defaults.
    ///
    /// # Errors
    ///
    /// When either fails.
    pub async fn server_and_client(
        &self,
    ) -> Result<(Server, Client), Box<dyn std::error::Error + Send + Sync>> {
        let server = self.server().await?;
        let client = self.connect([server.client_url()]).await?;
        Ok((server, client))
    }

    /// Runs a future beside the case, on its runtime.
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        let (task, slot) = Task::new();
        self.rt.spawn(Box::pin(async move { slot.fill(future.await) }));
        task
    }

    /// Runs a function that blocks, on a thread, so that the runtime goes on meanwhile.
    pub fn blocking<T: Send + 'static>(
        &self,
        function: impl FnOnce() -> T + Send + 'static,
    ) -> Task<T> {
        let (task, slot) = Task::new();
        std::thread::spawn(move || slot.fill(function()));
        task
    }

    /// Waits for a future; `None` if it takes longer than `limit`.
    pub async fn within<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        let deadline = self.rt.now() + limit;
        let timeout = async {
            self.rt.sleep_until(deadline).await;
            None
        };
        async { Some(future.await) }.or(timeout).await
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

    /// Lets time pass, where time is what the case is about.
    pub async fn pause(&self, duration: Duration) {
        self.rt.sleep_until(self.rt.now() + duration).await;
    }
}
