//! The simulation, as a runtime of the client.

use crate::executor::Executor;
use crate::net::{HostId, Net};
use etcd3::runtime::{BoxFuture, Instant, Io, Runtime, Target};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// When worlds begin, as the time since 1970.
const BEGINNING: Duration = Duration::from_secs(1_700_000_000);

/// One host of a simulation, as a [`Runtime`]: virtual time, seeded chance, the simulated network.
#[derive(Clone)]
pub struct SimRuntime {
    pub(crate) executor: Executor,
    pub(crate) net: Net,
    pub(crate) host: HostId,
}

impl std::fmt::Debug for SimRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimRuntime").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Runtime for SimRuntime {
    fn now(&self) -> Instant {
        self.executor.now_of(self.host.0)
    }

    fn seed(&self) -> u64 {
        self.executor.draw()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        Box::pin(self.executor.sleep_of(self.host.0, at))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.executor.spawn(self.host.0, task);
    }

    fn resolve<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        let resolved = self.net.resolve(host, port);
        Box::pin(async move { resolved })
    }

    fn connect<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, io::Result<Box<dyn Io>>> {
        Box::pin(async move {
            match target {
                Target::Tcp(to) => Ok(self.net.connect(self.host, *to).await?.boxed()),
                _ => Err(io::ErrorKind::Unsupported.into()),
            }
        })
    }

    /// Runs the work at once: a thread of its own would end whenever the machine has it so.
    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        work();
        Ok(())
    }

    fn suspended(&self) -> Duration {
        self.executor.suspended_of(self.host.0)
    }

    fn unix_time(&self) -> Option<Duration> {
        let since = self.now().saturating_since(Instant::ORIGIN);
        Some(BEGINNING + since + self.suspended())
    }
}
