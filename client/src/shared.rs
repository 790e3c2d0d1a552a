//! What the handles, the calls and the tasks of one client share.

use crate::config::Config;
use crate::pool::Pool;
use crate::runtime::Runtime;
use crate::tasks::Tasks;
use etcd3_core::Instant;
use etcd3_core::channel::{Channel, EndpointId, Input};
use etcd3_core::endpoint::Endpoint;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) pool: Arc<Pool>,
    pub(crate) tasks: Arc<Tasks>,
    /// The endpoints that the user gave. Locked before the pool.
    given: Mutex<Arc<[Endpoint]>>,
    seed: AtomicU64,
}

impl Shared {
    pub(crate) fn new(rt: Arc<dyn Runtime>, config: Config, endpoints: Vec<Endpoint>) -> Self {
        let seed = rt.seed();
        let given = Mutex::new(Arc::from(&endpoints[..]));
        let channel = Channel::new(endpoints, config.channel_settings(), seed);
        let pool = Arc::new(Pool::new(rt, channel));
        let tasks = Arc::new(Tasks::new(Arc::clone(&pool)));
        Self { config, pool, tasks, given, seed: AtomicU64::new(seed) }
    }

    pub(crate) fn now(&self) -> Instant {
        self.pool.rt.now()
    }

    /// Returns a seed for the jitter of one call.
    pub(crate) fn next_seed(&self) -> u64 {
        self.seed.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the endpoints that the user gave.
    pub(crate) fn given(&self) -> Arc<[Endpoint]> {
        Arc::clone(&self.lock())
    }

    /// Replaces the endpoints that the user gave.
    pub(crate) fn set_given(&self, endpoints: Vec<Endpoint>) {
        let mut given = self.lock();
        *given = Arc::from(&endpoints[..]);
        self.pool.feed(Input::Endpoints { primary: endpoints, fallback: Vec::new() });
    }

    /// Takes over the members of the cluster, unless the user has given other endpoints than these
    /// since.
    pub(crate) fn set_members(&self, members: Vec<Endpoint>, expected: &Arc<[Endpoint]>) {
        let given = self.lock();
        if Arc::ptr_eq(&given, expected) {
            self.pool.feed(Input::Endpoints { primary: members, fallback: expected.to_vec() });
        }
    }

    /// Names an endpoint that is to be kept connected.
    pub(crate) fn pin(&self, endpoint: &Endpoint) -> EndpointId {
        self.pool.feed(Input::Pinned(endpoint.clone()));
        // The channel has just been told of it.
        self.pool.channel(|channel| channel.find(endpoint)).unwrap_or(EndpointId(u32::MAX))
    }

    fn lock(&self) -> MutexGuard<'_, Arc<[Endpoint]>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use crate::still::Still;
    use std::collections::BTreeSet;

    #[test]
    fn each_call_has_a_jitter_of_its_own() {
        let shared = Still::shared(&["http://a"]);
        let seeds: BTreeSet<_> = (0..100).map(|_| shared.next_seed()).collect();
        assert_eq!(seeds.len(), 100);
    }
}
