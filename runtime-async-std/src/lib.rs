//! The etcd3 client on [`async_std`].
//!
//! ```no_run
//! # async fn demo() -> Result<(), etcd3_async_std::Error> {
//! let client = etcd3_async_std::connect("http://127.0.0.1:2379").await?;
//! client.put("greeting", "hello").await?;
//! let answer = client.get("greeting").await?;
//! assert_eq!(answer.kvs[0].value, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! # Operations
#![doc = etcd3::operations_table!()]
//! # More
#![doc = etcd3::list_of_pages!()]
//!
//! Everything else is documented in [`etcd3`], which is re-exported whole. async-std itself
//! is no longer maintained (RUSTSEC-2025-0052): new programs are better off with smol.
#![forbid(unsafe_code)]

pub use etcd3::*;

use async_executor::Executor;
use async_std::channel::{self, Sender};
use etcd3::runtime::{BoxFuture, Clock, Compat, Instant, Io, Lookup, Runtime, Target};

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// async-std, as a [`Runtime`] of the client: tasks go to its global executor, or to a
/// [dedicated](Self::dedicated) one.
#[derive(Debug, Clone)]
pub struct AsyncStd {
    clock: Clock,
    lookup: Lookup,
    dedicated: Option<Dedicated>,
}

/// An executor that one thread runs.
#[derive(Debug, Clone)]
struct Dedicated {
    executor: Arc<Executor<'static>>,
    /// What the thread waits for the end of: clones and tasks have it.
    thread: Sender<Infallible>,
}

impl AsyncStd {
    /// Takes the global executor.
    #[must_use]
    pub fn global() -> Self {
        Self { clock: Clock::start(), lookup: Lookup::system(), dedicated: None }
    }

    /// Starts a thread, named `etcd3`, and takes it alone: all tasks of the client run there, so a
    /// client goes on, and renews its leases, while the global executor is blocked by
    /// the program.
    ///
    /// The thread ends when all clones of this runtime, and with them all clients on it, are
    /// dropped, and their tasks have ended. Requests are polled where they are awaited, as always.
    ///
    /// ```no_run
    /// use etcd3::Client;
    /// use etcd3_async_std::AsyncStd;
    /// use std::sync::Arc;
    ///
    /// # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
    /// let runtime = Arc::new(AsyncStd::dedicated()?);
    /// let client = Client::connect_on(runtime, "http://127.0.0.1:2379").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the system refuses a thread.
    pub fn dedicated() -> io::Result<Self> {
        let executor = Arc::new(Executor::new());
        let (thread, ended) = channel::bounded(1);
        let runs = Arc::clone(&executor);
        let run = move || {
            let run = || async_std::task::block_on(runs.run(ended.recv()));
            // A task that panics ends alone, as on the global executor.
            while catch_unwind(AssertUnwindSafe(run)).is_err() {}
        };
        std::thread::Builder::new().name("etcd3".to_owned()).spawn(run)?;
        let dedicated = Some(Dedicated { executor, thread });
        Ok(Self { dedicated, ..Self::global() })
    }

    /// Resolves host names in this way instead of by the system.
    #[must_use]
    pub fn lookup(mut self, lookup: Lookup) -> Self {
        self.lookup = lookup;
        self
    }
}

/// Makes a client and waits until one endpoint can be used; see [`Client::connect_on`].
///
/// # Errors
///
/// Those of [`Client::connect_on`]: kind [`InvalidConfig`](ErrorKind::InvalidConfig) for settings
/// and endpoints that cannot be used, [`Connect`](ErrorKind::Connect) once every endpoint has
/// failed, and [`OldServer`](ErrorKind::OldServer) if the configuration asks for a version.
///
/// # Cancel safety
///
/// Dropping the future closes what was opened.
pub async fn connect(config: impl Into<Config>) -> Result<Client, Error> {
    Client::connect_on(Arc::new(AsyncStd::global()), config).await
}

/// Makes a client that connects when it is first used; see [`Client::connect_lazy_on`].
///
/// # Errors
///
/// Kind [`InvalidConfig`](ErrorKind::InvalidConfig) for settings and endpoints that cannot be used.
pub fn connect_lazy(config: impl Into<Config>) -> Result<Client, Error> {
    Client::connect_lazy_on(Arc::new(AsyncStd::global()), config)
}

impl Runtime for AsyncStd {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn seed(&self) -> u64 {
        self.clock.seed()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        let left = at.saturating_since(self.now());
        Box::pin(async move { async_std::task::sleep(left).await })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let Some(Dedicated { executor, thread }) = self.dedicated.clone() else {
            async_std::task::spawn(task);
            return;
        };
        let counted = async move {
            task.await;
            drop(thread);
        };
        executor.spawn(counted).detach();
    }

    fn resolve<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        self.lookup.resolve(host, port)
    }

    fn connect<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, io::Result<Box<dyn Io>>> {
        Box::pin(async move {
            let io: Box<dyn Io> = match target {
                Target::Tcp(address) => {
                    let stream = async_std::net::TcpStream::connect(*address).await?;
                    stream.set_nodelay(true)?;
                    Box::new(Compat(stream))
                }
                #[cfg(unix)]
                Target::Unix(path) => {
                    Box::new(Compat(async_std::os::unix::net::UnixStream::connect(path).await?))
                }
                #[cfg(any(target_os = "linux", target_os = "android"))]
                Target::UnixAbstract(name) => Box::new(Compat(
                    async_std::os::unix::net::UnixStream::connect(format!("\0{name}")).await?,
                )),
                _ => return Err(io::ErrorKind::Unsupported.into()),
            };
            Ok(io)
        })
    }

    fn suspended(&self) -> Duration {
        self.clock.suspended()
    }

    fn unix_time(&self) -> Option<Duration> {
        self.clock.unix_time()
    }
}

/// The program of the package's README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
