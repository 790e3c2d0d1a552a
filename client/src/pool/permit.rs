//! The right of one attempt to a stream on a connection.

use super::{ConnectionHandle, Pool};
use etcd3_core::Instant;
use etcd3_core::channel::{Admission, ConnectionId, Finished, Freshness, HealthSignal};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::error::Cause;
use std::sync::Arc;

/// A permit for one stream on a connection; released when dropped.
pub(crate) struct Permit {
    pool: Arc<Pool>,
    pub(crate) admission: Admission,
    pub(crate) endpoint: Endpoint,
    pub(crate) connection: Arc<ConnectionHandle>,
    /// How often its kind had been told to leave the connection when it came.
    migrations: u64,
    is_released: bool,
}

impl Permit {
    pub(super) fn new(
        pool: Arc<Pool>,
        admission: Admission,
        endpoint: Endpoint,
        connection: Arc<ConnectionHandle>,
    ) -> Self {
        let migrations = connection.migrations(admission.kind);
        Self { pool, admission, endpoint, connection, migrations, is_released: false }
    }

    pub(crate) const fn id(&self) -> ConnectionId {
        self.admission.connection
    }

    /// Returns whether the attempt has been told to go elsewhere if it may.
    pub(crate) fn must_migrate(&self) -> bool {
        self.connection.migrations(self.admission.kind) != self.migrations
    }

    /// Returns why the connection was ended by this side, if it was.
    pub(crate) fn reason(&self) -> Option<Cause> {
        let error = self.connection.reason()?;
        Some(error.cause.clone().unwrap_or_else(|| Cause::new(error.failure.to_string())))
    }

    /// Gives the permit back, and says how the attempt ended; returns what its response is worth.
    pub(crate) fn release(mut self, now: Instant, finished: impl Into<Finished>) -> Freshness {
        self.give_back(now, finished.into())
    }

    fn give_back(&mut self, now: Instant, finished: Finished) -> Freshness {
        self.is_released = true;
        let is_awaited = self.connection.finish(self.admission.kind);
        self.pool.release(now, &self.admission, finished, is_awaited)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.is_released {
            let now = self.pool.rt.now();
            self.give_back(now, HealthSignal::None.into());
        }
    }
}
