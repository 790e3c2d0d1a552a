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

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::time;

/// Tokio, as a [`Runtime`] of the client: tasks go to the runtime that it was made on, or to a
/// [dedicated](Self::dedicated) one.
///
/// The runtime that it is made on needs its drivers of IO and of time, as `#[tokio::main]` and
/// [`Builder::enable_all`](tokio::runtime::Builder::enable_all) make it. Without them tokio panics
/// in the client's tasks.
#[derive(Debug, Clone)]
pub struct Tokio {
    handle: Handle,
    clock: Clock,
    lookup: Lookup,
    /// What the thread of a dedicated runtime waits for the end of: clones and tasks have it.
    thread: Option<Arc<oneshot::Sender<Infallible>>>,
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
        Self { handle: Handle::current(), clock, lookup: Lookup::system(), thread: None }
    }

    /// Starts a thread, named `etcd3`, and takes it alone: all tasks of the client run there, so a
    /// client goes on, and renews its leases, while the runtime of the caller is blocked by
    /// the program.
    ///
    /// The thread ends when all clones of this runtime, and with them all clients on it, are
    /// dropped, and their tasks have ended. Requests are polled where they are awaited, as always.
    ///
    /// ```no_run
    /// use etcd3::Client;
    /// use etcd3_tokio::Tokio;
    /// use std::sync::Arc;
    ///
    /// # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
    /// let runtime = Arc::new(Tokio::dedicated()?);
    /// let client = Client::connect_on(runtime, "http://127.0.0.1:2379").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the system refuses a thread, or what a runtime waits for sockets with.
    pub fn dedicated() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, (thread, ended)) = (runtime.handle().clone(), oneshot::channel());
        let run = move || runtime.block_on(ended);
        std::thread::Builder::new().name("etcd3".to_owned()).spawn(run)?;
        let (clock, thread) = (Clock::start(), Some(Arc::new(thread)));
        Ok(Self { handle, clock, lookup: Lookup::system(), thread })
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
        match self.thread {
            Some(_) => self.clock.now(),
            // Of tokio's time again.
            None => self.clock.at(time::Instant::now().into_std()),
        }
    }

    fn seed(&self) -> u64 {
        self.clock.seed()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        let (handle, thread) = (self.handle.clone(), self.thread.clone());
        match self.clock.to_std(at) {
            // On the runtime that polls it, which may be another one; on this one without any, or
            // if that never stands still.
            Some(at) => Box::pin(async move {
                let is_own = thread.is_some() || Handle::try_current().is_err();
                let entered = is_own.then(|| handle.enter());
                let sleep = time::sleep_until(at.into());
                drop(entered);
                sleep.await;
            }),
            None => Box::pin(std::future::pending()), // beyond the clock of the machine
        }
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        match self.thread.clone() {
            None => self.handle.spawn(task),
            Some(thread) => self.handle.spawn(async move {
                task.await;
                drop(thread);
            }),
        };
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

    fn unix_time(&self) -> Option<Duration> {
        self.clock.unix_time()
    }
}

/// The program of the package's README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
