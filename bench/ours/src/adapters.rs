//! The runtimes, each with its adapter.

use etcd3_bench::Executor;
use etcd3_tokio::{Client, Config, Error};
use std::future::Future;

/// An adapter of the client.
pub trait Adapter: Send + Sync + 'static {
    /// Connects, with this configuration.
    fn connect(config: Config) -> impl Future<Output = Result<Client, Error>> + Send;
}

/// Tokio, on however many threads.
#[derive(Debug)]
pub struct Tokio;

/// Tokio, with the latency of each call measured.
#[derive(Debug)]
pub struct Measured;

/// Smol with its global executor.
#[derive(Debug)]
pub struct Smol;

/// async-std with its global executor.
#[derive(Debug)]
pub struct AsyncStd;

impl Adapter for Tokio {
    fn connect(config: Config) -> impl Future<Output = Result<Client, Error>> + Send {
        etcd3_tokio::connect(config)
    }
}

impl Adapter for Measured {
    fn connect(config: Config) -> impl Future<Output = Result<Client, Error>> + Send {
        etcd3_tokio::connect(config.measure_latencies(true))
    }
}

impl Adapter for Smol {
    fn connect(config: Config) -> impl Future<Output = Result<Client, Error>> + Send {
        etcd3_smol::connect(config)
    }
}

impl Adapter for AsyncStd {
    fn connect(config: Config) -> impl Future<Output = Result<Client, Error>> + Send {
        etcd3_async_std::connect(config)
    }
}

impl Executor for Smol {
    fn block_on<F: Future>(future: F) -> F::Output {
        smol::block_on(future)
    }

    fn spawn<T: Send + 'static>(
        task: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send {
        smol::spawn(task)
    }
}

impl Executor for AsyncStd {
    fn block_on<F: Future>(future: F) -> F::Output {
        async_std::task::block_on(future)
    }

    fn spawn<T: Send + 'static>(
        task: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send {
        async_std::task::spawn(task)
    }
}
