//! Hosts of a world, and what runs on them.

use crate::lock::locked;
use crate::net::HostId;
use crate::runtime::SimRuntime;
use crate::trace::{CallEnd, FaultKind, OpenCall};
use crate::world::World;
use etcd3::{Client, Config, Error};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

const SUSPENDED: &str = "suspended";

/// A host: what runs on it shares its fate.
#[derive(Debug, Clone)]
pub struct Host {
    world: World,
    id: HostId,
}

impl Host {
    /// Its name in links.
    #[must_use]
    pub fn id(&self) -> HostId {
        self.id
    }

    /// Names this host in records; it is called `host 1`, `host 2` and so on otherwise.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        self.world.net.recorder().name(self.id, name.into());
        self
    }

    /// Makes a call, and records it if the run is recorded: when it began and ended, its outcome,
    /// and its error. A call whose future is dropped is recorded as dropped.
    ///
    /// # Errors
    ///
    /// As the call.
    ///
    /// # Cancel safety
    ///
    /// As the call: dropping the future drops the call.
    pub async fn call<T>(
        &self,
        name: impl fmt::Display,
        call: impl IntoFuture<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let open = self.begin_call(name);
        let result = call.await;
        match &result {
            Ok(_) => open.end(CallEnd::Completed, ""),
            Err(error) => open.end(CallEnd::Failed(error.outcome()), error.report()),
        }
        result
    }

    /// Begins to record something that is no single call of a client; [`call`](Self::call) is for
    /// those.
    pub fn begin_call(&self, name: impl fmt::Display) -> OpenCall {
        self.world.net.recorder().begin_call(self.id, name)
    }

    /// Records a batch of events that a watch of this host delivered just now: the watch by a name
    /// such as its key, the revisions of the first event and the last, and how many events it has.
    pub fn batch(&self, watch: &str, revisions: RangeInclusive<i64>, events: usize) {
        self.world.net.recorder().batch(self.id, watch, revisions, events);
    }

    /// Returns the runtime of programs on this host.
    #[must_use]
    pub fn runtime(&self) -> SimRuntime {
        let world = &self.world;
        SimRuntime { executor: world.executor.clone(), net: world.net.clone(), host: self.id }
    }

    /// Makes a client that runs on this host and connects when it is used.
    ///
    /// # Errors
    ///
    /// As [`Client::connect_lazy_on`].
    pub fn client(&self, config: Config) -> Result<Client, Error> {
        Client::connect_lazy_on(Arc::new(self.runtime()), config)
    }

    /// Runs a task on this host.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.world.executor.spawn(self.id.0, Box::pin(task));
    }

    /// Ends everything that runs on this host, at once.
    pub fn crash(&self) {
        self.world.net.recorder().fault(self.id, FaultKind::Down, "crashed");
        self.world.executor.abort(self.id.0);
    }

    /// Freezes everything that runs on this host, or lets it go on.
    pub fn set_paused(&self, paused: bool) {
        let recorder = self.world.net.recorder();
        if paused {
            recorder.begin_fault(self.id, FaultKind::Paused, "paused");
        } else {
            recorder.end_fault(self.id, "paused");
        }
        self.world.executor.set_paused(self.id.0, paused);
    }

    /// Suspends this machine for a while: nothing runs on it and its clock stands still, while the
    /// world goes on. Its timers are late by this, and what its runtime says of the time that it
    /// was [suspended](etcd3::runtime::Runtime::suspended) has grown by it afterwards.
    ///
    /// To be waited for on another host, or in the main program of the world.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future resumes the host.
    pub async fn suspend(&self, duration: Duration) {
        struct Resumed<'a>(&'a Host);

        impl Drop for Resumed<'_> {
            fn drop(&mut self) {
                self.0.set_suspended(false);
            }
        }

        self.set_suspended(true);
        let _resumed = Resumed(self);
        self.world.sleep(duration).await;
    }

    /// Suspends this machine, or resumes it; see [`suspend`](Self::suspend).
    pub fn set_suspended(&self, suspended: bool) {
        self.world.set_suspended(self.id, suspended);
    }

    /// Sets the wall clock of this machine: ahead of the time of the world by this from now on.
    ///
    /// Its runtime cannot tell that from a suspended machine, and says that it was suspended for
    /// longer, or for less if the clock is set back.
    pub fn set_wall_clock_ahead(&self, ahead: Duration) {
        let recorder = self.world.net.recorder();
        recorder.fault(self.id, FaultKind::Order, format!("wall clock ahead by {ahead:?}"));
        self.world.executor.set_wall_ahead(self.id.0, ahead);
    }

    /// Returns how many tasks run on this host.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.world.executor.tasks_of(self.id.0)
    }

    /// Returns how many connections this host has open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.world.net.open_from(self.id)
    }
}

impl World {
    /// Suspends a host, or resumes it.
    pub(crate) fn set_suspended(&self, host: HostId, suspended: bool) {
        let recorder = self.net.recorder();
        if suspended {
            recorder.begin_fault(host, FaultKind::Paused, SUSPENDED);
            self.executor.suspend(host.0);
        } else {
            recorder.end_fault(host, SUSPENDED);
            self.executor.resume(host.0);
        }
    }

    /// Adds a host to the network.
    #[must_use]
    pub fn host(&self) -> Host {
        let mut hosts = locked(&self.hosts);
        *hosts += 1;
        Host { world: self.clone(), id: HostId(*hosts) }.named(format!("host {hosts}"))
    }
}
