//! Hosts of a world, and what runs on them.

use crate::lock::locked;
use crate::net::HostId;
use crate::runtime::SimRuntime;
use crate::world::World;
use etcd3::{Client, Config, Error};
use std::future::Future;
use std::sync::Arc;

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
        self.world.executor.abort(self.id.0);
    }

    /// Freezes everything that runs on this host, or lets it go on.
    pub fn set_paused(&self, paused: bool) {
        self.world.executor.set_paused(self.id.0, paused);
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
    /// Adds a host to the network.
    #[must_use]
    pub fn host(&self) -> Host {
        let mut hosts = locked(&self.hosts);
        *hosts += 1;
        Host { world: self.clone(), id: HostId(*hosts) }
    }
}
