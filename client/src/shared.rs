//! What the handles, the calls and the tasks of one client share.

use crate::config::Config;
use crate::control;
use crate::pool::Pool;
use crate::runtime::Runtime;
use crate::tasks::Tasks;
use crate::telemetry::Telemetry;
use crate::tokens::Tokens;
use etcd3_core::Instant;
use etcd3_core::channel::{EndpointId, Input};
use etcd3_core::endpoint::Endpoint;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) pool: Arc<Pool>,
    pub(crate) tasks: Arc<Tasks>,
    seed: AtomicU64,
}

impl Shared {
    pub(crate) fn new(rt: Arc<dyn Runtime>, config: Config, endpoints: Vec<Endpoint>) -> Self {
        let seed = rt.seed();
        let (tokens, telemetry) =
            (Tokens::new(&config, seed).map(Arc::new), Telemetry::new(&config));
        let settings = config.channel_settings();
        let pool = Arc::new(Pool::new(rt, endpoints, settings, tokens, telemetry));
        let tasks = Arc::new(Tasks::new(Arc::clone(&pool)));
        Self { config, pool, tasks, seed: AtomicU64::new(seed) }
    }

    /// Makes what the leases of the client share: connections of their own to the same endpoints,
    /// and a control task. The tasks are those of the client.
    pub(crate) fn for_leases(&self) -> Arc<Self> {
        let shared = Arc::new(Self {
            config: self.config.clone(),
            pool: self.pool.make_leases(self.config.channel_settings()),
            tasks: Arc::clone(&self.tasks),
            seed: AtomicU64::new(self.pool.rt.seed()),
        });
        if !shared.pool.is_closed() {
            shared.tasks.spawn(control::run(Arc::clone(&shared)));
        }
        shared
    }

    pub(crate) fn now(&self) -> Instant {
        self.pool.rt.now()
    }

    /// Returns a seed for the jitter of one call.
    pub(crate) fn next_seed(&self) -> u64 {
        self.seed.fetch_add(1, Ordering::Relaxed)
    }

    /// Names an endpoint that is to be kept connected.
    pub(crate) fn pin(&self, endpoint: &Endpoint) -> EndpointId {
        self.pool.feed(Input::Pinned(endpoint.clone()));
        // The channel has just been told of it.
        self.pool.channel(|channel| channel.find(endpoint)).unwrap_or(EndpointId(u32::MAX))
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
