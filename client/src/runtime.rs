//! What the client needs from an async runtime, and helpers for those who write an adapter.

use crate::blocking;
pub use crate::clock::Clock;
pub use crate::compat::Compat;
pub use crate::lookup::Lookup;
pub use etcd3_core::Instant;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A connected byte stream, in the IO traits that h2 speaks.
///
/// Runtimes with the traits of futures-io wrap theirs in [`Compat`].
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for T {}

/// What to connect to: one address, or one path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// A TCP address. The stream is to have `TCP_NODELAY` set.
    Tcp(SocketAddr),
    /// The path of a unix socket.
    Unix(PathBuf),
    /// The name of an abstract unix socket, which exists on Linux alone: the address is a NUL byte
    /// and this name.
    UnixAbstract(String),
}

/// An async runtime, as far as the client needs one.
///
/// Implement it to run the client on a runtime that has no adapter; the example `own_runtime` does
/// so in about 70 lines. All that the client knows of time, chance and the network comes from here,
/// so a deterministic implementation makes the client deterministic.
///
/// # Examples
///
/// A runtime that counts the tasks of the client, and leaves the rest to another one:
///
/// ```
/// use etcd3::runtime::{BoxFuture, Instant, Io, Runtime, Target};
/// use etcd3::{Client, Config};
/// use std::net::SocketAddr;
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use std::io;
/// use std::time::Duration;
///
/// struct Counting {
///     inner: Arc<dyn Runtime>,
///     tasks: AtomicUsize,
/// }
///
/// impl Runtime for Counting {
///     fn now(&self) -> Instant {
///         self.inner.now()
///     }
///
///     fn seed(&self) -> u64 {
///         self.inner.seed()
///     }
///
///     fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
///         self.inner.sleep_until(at)
///     }
///
///     fn spawn(&self, task: BoxFuture<'static, ()>) {
///         self.tasks.fetch_add(1, Ordering::Relaxed);
///         self.inner.spawn(task);
///     }
///
///     fn resolve<'a>(
///         &'a self,
///         host: &'a str,
///         port: u16,
///     ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
///         self.inner.resolve(host, port)
///     }
///
///     fn connect<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, io::Result<Box<dyn Io>>> {
///         self.inner.connect(target)
///     }
///
///     fn suspended(&self) -> Duration {
///         self.inner.suspended()
///     }
///
///     fn unix_time(&self) -> Option<Duration> {
///         self.inner.unix_time()
///     }
/// }
///
/// # etcd3_sim::example_with(|_, etcd, world| async move {
/// let inner = Arc::new(world.host().runtime());
/// let runtime = Arc::new(Counting { inner, tasks: AtomicUsize::new(0) });
/// let client = Client::connect_on(runtime.clone(), Config::new(etcd.endpoints())).await?;
/// client.put("k", "v").await?;
/// // The control task, and one for each connection.
/// assert!(runtime.tasks.load(Ordering::Relaxed) >= 2);
/// # Ok(())
/// # });
/// ```
pub trait Runtime: Send + Sync + 'static {
    /// Tells the time; never goes back.
    fn now(&self) -> Instant;

    /// A number that differs from call to call and from process to process; not for secrets.
    fn seed(&self) -> u64;

    /// Completes once [`now`](Self::now) has reached `at`.
    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()>;

    /// Runs a task in the background until it ends.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Resolves a host name to addresses, in the order of the resolver. The client keeps the family
    /// of the first one, begins with any address of each family, so that many clients spread over
    /// them, and tries the families in turns.
    fn resolve<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;

    /// Opens a byte stream. The client sets the deadline, by dropping the future. A target of a
    /// kind that the runtime cannot connect to ends in [`io::ErrorKind::Unsupported`].
    fn connect<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, io::Result<Box<dyn Io>>>;

    /// Returns for how long the machine was suspended, as far as [`now`](Self::now) did not count
    /// it: the time since some fixed moment, of which only the growth means anything.
    ///
    /// What a server keeps for a limited time, such as a lease, has gone on there meanwhile. The
    /// value may be no better than a wall clock that is compared with `now`: it grows, too, when
    /// that is set ahead, and goes back when that is set back. So growth of at most a second from
    /// one look to the next counts as none.
    ///
    /// By default it is always zero, which is right for a runtime whose `now` goes on while the
    /// machine is suspended. [`Clock::suspended`] has it for the clock of the standard library.
    // I-L8
    fn suspended(&self) -> Duration {
        Duration::ZERO
    }

    /// Tells the time since 1970 by the wall clock of the machine; `None`, the default, if that is
    /// not known. [`Clock::unix_time`] has it for the clock of the standard library.
    ///
    /// The client uses it for one thing: to renew a JWT before it expires. Without it, or with one
    /// that is wrong, such a token is renewed when the server refuses it.
    // A17
    fn unix_time(&self) -> Option<Duration> {
        None
    }

    /// Runs work that blocks, such as writing a file, where that does no harm to others.
    ///
    /// By default a thread of its own, which ends with the work: an executor whose own threads did
    /// it would have to wait for it when it is dropped. The client asks for one piece of work at a
    /// time for each file that it writes, and for nothing else.
    ///
    /// # Errors
    ///
    /// Those of the system when it has no thread to give; the work is dropped then.
    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        blocking::on_a_thread(work)
    }
}
