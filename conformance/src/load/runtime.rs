//! A runtime whose tasks run while the thread that made it blocks.

use super::Error;
use crate::JoinHandle;
use etcd3::runtime::Runtime;
use etcd3::{Client, Config};
use etcd3_async_std::AsyncStd;
use etcd3_smol::Smol;
use etcd3_tokio::Tokio;
use futures_lite::future::block_on;
use std::sync::Arc;
use std::time::Duration;

/// The runtimes that have an adapter.
pub const RUNTIMES: [&str; 3] = ["tokio", "smol", "async-std"];

/// A runtime, for a program that is no test target.
pub struct BlockingRuntime {
    /// Its name.
    pub name: &'static str,
    /// What a client takes of it.
    pub rt: Arc<dyn Runtime>,
    /// Tokio has no global one.
    tokio: Option<tokio::runtime::Runtime>,
}

impl std::fmt::Debug for BlockingRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockingRuntime").field("name", &self.name).finish_non_exhaustive()
    }
}

impl BlockingRuntime {
    /// Makes the runtime of that name.
    ///
    /// # Errors
    ///
    /// When it cannot start.
    pub fn named(name: &'static str) -> Result<Self, Error> {
        let (rt, tokio): (Arc<dyn Runtime>, _) = match name {
            "smol" => (Arc::new(Smol::global()), None),
            "async-std" => (Arc::new(AsyncStd::global()), None),
            _ => {
                let mut builder = tokio::runtime::Builder::new_multi_thread();
                let tokio = builder.worker_threads(2).enable_all().build()?;
                let rt = {
                    let _inside = tokio.enter();
                    Arc::new(Tokio::current())
                };
                (rt, Some(tokio))
            }
        };
        Ok(Self { name, rt, tokio })
    }

    /// Takes a runtime that somebody else drives.
    pub(crate) fn driven(name: &'static str, rt: Arc<dyn Runtime>) -> Self {
        Self { name, rt, tokio: None }
    }

    /// Runs a future on the runtime.
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        spawn(&self.rt, future)
    }

    /// Runs a future on the runtime and blocks this thread until it is done.
    pub fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        block_on(self.spawn(future))
    }

    /// Connects a client with the defaults.
    ///
    /// # Errors
    ///
    /// When no endpoint can be used.
    pub fn connect<E: Into<String>>(
        &self,
        endpoints: impl IntoIterator<Item = E>,
    ) -> Result<Client, Error> {
        self.connect_with(Config::new(endpoints))
    }

    /// Connects a client.
    ///
    /// # Errors
    ///
    /// When no endpoint can be used.
    pub fn connect_with(&self, config: Config) -> Result<Client, Error> {
        Ok(self.run(Client::connect_on(Arc::clone(&self.rt), config))?)
    }
}

impl Drop for BlockingRuntime {
    fn drop(&mut self) {
        if let Some(tokio) = self.tokio.take() {
            tokio.shutdown_background();
        }
    }
}

/// Runs a future on a runtime.
pub(crate) fn spawn<T: Send + 'static>(
    rt: &Arc<dyn Runtime>,
    future: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let (task, slot) = JoinHandle::new();
    rt.spawn(Box::pin(async move { slot.fill(future.await) }));
    task
}

/// Lets time pass on a runtime.
pub(crate) async fn pause(rt: &Arc<dyn Runtime>, time: Duration) {
    rt.sleep_until(rt.now() + time).await;
}
