//! What the clones of a client have in common, and what ends with the last of them.

use crate::shared::Shared;
use crate::{lease, watch};
use etcd3_core::channel::{EndpointId, Input};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::error::ErrorKind;
use std::sync::{Arc, OnceLock};

/// The connections of calls, those of leases, and the watches. Closes the client when its last
/// clone is dropped.
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    /// Connections of their own, since a renewal must not queue behind bulk data.
    leases: OnceLock<Arc<Shared>>,
    pub(crate) watches: Arc<watch::Registry>,
    pub(crate) lease_streams: Arc<lease::Registry>,
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            leases: OnceLock::new(),
            watches: Arc::default(),
            lease_streams: Arc::default(),
        }
    }

    /// Returns what the leases of the client share; made when it is first asked for.
    pub(crate) fn leases(&self) -> &Arc<Shared> {
        self.leases.get_or_init(|| self.shared.for_leases())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.pool.close(ErrorKind::Closed);
    }
}

/// An endpoint that calls name, and leases: kept connected as long as this lives.
pub(crate) struct PinnedEndpoint {
    shared: Arc<Shared>,
    endpoint: Endpoint,
    /// Its number among the connections of calls.
    pub(crate) id: EndpointId,
    /// Its number among those of leases, once it was asked for.
    in_leases: OnceLock<(Arc<Shared>, EndpointId)>,
}

impl PinnedEndpoint {
    pub(crate) fn new(shared: &Arc<Shared>, endpoint: Endpoint) -> Self {
        let id = shared.pin(&endpoint);
        Self { shared: Arc::clone(shared), endpoint, id, in_leases: OnceLock::new() }
    }

    /// Returns its number among the connections of leases.
    pub(crate) fn in_leases(&self, leases: &Arc<Shared>) -> EndpointId {
        self.in_leases.get_or_init(|| (Arc::clone(leases), leases.pin(&self.endpoint))).1
    }
}

impl Drop for PinnedEndpoint {
    fn drop(&mut self) {
        self.shared.pool.feed(Input::Unpinned(self.id));
        if let Some((leases, id)) = self.in_leases.get() {
            leases.pool.feed(Input::Unpinned(*id));
        }
    }
}
