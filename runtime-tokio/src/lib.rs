//! The etcd3 client on [tokio].
//!
//! ```no_run
//! # async fn demo() -> Result<(), etcd3_tokio::Error> {
//! let client = etcd3_tokio::connect("http://127.0.0.1:2379").await?;
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
//! Everything else is documented in [`etcd3`], which is re-exported whole.
#![forbid(unsafe_code)]

pub use etcd3::*;

use etcd3::runtime::{BoxFuture, Clock, Instant, Io, Lookup, Runtime, Target};

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time;

/// Tokio, as a [`Runtime`] of the client: tasks go to the runtime that it was made on.
///
/// That runtime needs its drivers of IO and of time, as `#[tokio::main]` and
/// [`Builder::enable_all`](tokio::runtime::Builder::enable_all) make it. Without them tokio panics
/// in the client's tasks.
#[derive(Debug, Clone)]
pub struct Tokio {
    handle: Handle,
    clock: Clock,
    lookup: Lookup,
}

impl Tokio {
    /// Takes the tokio runtime of the caller.
    ///
    /// # Panics
    ///
    /// When it is called outside of a tokio runtime, as [`Handle::current`] does.
    #[must_use]
    pub fn current() -> Self {
        // Of tokio's time, which a test may pause.
        let clock = Clock::from_origin(time::Instant::now().into_std());
        Self { handle: Handle::current(), clock, lookup: Lookup::system() }
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
/// # Panics
///
/// When it is polled outside of a tokio runtime.
///
/// # Cancel safety
///
/// Dropping the future closes what was opened.
pub async fn connect(config: impl Into<Config>) -> Result<Client, Error> {
    Client::connect_on(Arc::new(Tokio::current()), config).await
}

/// Makes a client that connects when it is first used; see [`Client::connect_lazy_on`].
///
/// # Errors
///
/// Kind [`InvalidConfig`](ErrorKind::InvalidConfig) for settings and endpoints that cannot be used.
///
/// # Panics
///
/// When it is called outside of a tokio runtime.
pub fn connect_lazy(config: impl Into<Config>) -> Result<Client, Error> {
    Client::connect_lazy_on(Arc::new(Tokio::current()), config)
}

impl Runtime for Tokio {
    fn now(&self) -> Instant {
        self.clock.at(time::Instant::now().into_std())
    }

    fn seed(&self) -> u64 {
        self.clock.seed()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        let handle = self.handle.clone();
        match self.clock.to_std(at) {
            // On the runtime that polls it, which may be another one; on this one without any.
            Some(at) => Box::pin(async move {
                let entered = Handle::try_current().is_err().then(|| handle.enter());
                let sleep = time::sleep_until(at.into());
                drop(entered);
                sleep.await;
            }),
            None => Box::pin(std::future::pending()), // beyond the clock of the machine
        }
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.handle.spawn(task);
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
                    let stream = tokio::net::TcpStream::connect(address).await?;
                    stream.set_nodelay(true)?;
                    Box::new(stream)
                }
                #[cfg(unix)]
                Target::Unix(path) => Box::new(tokio::net::UnixStream::connect(path).await?),
                #[cfg(any(target_os = "linux", target_os = "android"))]
                Target::UnixAbstract(name) => {
                    Box::new(tokio::net::UnixStream::connect(format!("\0{name}")).await?)
                }
                _ => return Err(io::ErrorKind::Unsupported.into()),
            };
            Ok(io)
        })
    }

    fn suspended(&self) -> Duration {
        self.clock.suspended()
    }
}

/// The program of the package's README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
