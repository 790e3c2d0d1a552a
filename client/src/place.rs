//! A place on a connection for one attempt of a call.

use crate::link::Link;
use crate::shared::Shared;
use etcd3_core::Instant;
use etcd3_core::channel::{Checked, ConnectionId, Impression, Route};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::error::Cause;
use etcd3_core::header::Header;
use std::sync::Arc;

/// A place on a connection; gives it back when dropped.
pub(crate) struct Place {
    shared: Arc<Shared>,
    since: Instant,
    pub(crate) route: Route,
    pub(crate) endpoint: Endpoint,
    pub(crate) link: Arc<Link>,
    /// How often the calls there had been told to go elsewhere when this one came.
    migrations: u64,
    /// When and how it was given back.
    left: Option<(Instant, Impression)>,
}

impl Place {
    pub(crate) fn new(
        shared: Arc<Shared>,
        since: Instant,
        route: Route,
        (endpoint, link): (Endpoint, Arc<Link>),
    ) -> Self {
        let migrations = link.migrations();
        Self { shared, since, route, endpoint, link, migrations, left: None }
    }

    pub(crate) const fn connection(&self) -> ConnectionId {
        self.route.connection
    }

    /// Judges an answer that came here; one from elsewhere than the cluster is taken as it is.
    pub(crate) fn check(&self, header: &Header, is_linearizable: bool) -> Checked {
        match self.route.floor {
            None => Checked::Fresh,
            Some(floor) => {
                let floor = is_linearizable.then_some(floor);
                self.shared.check(self.route.connection, header, floor)
            }
        }
    }

    /// Whether the call has been told to go elsewhere if it may.
    pub(crate) fn must_migrate(&self) -> bool {
        self.link.migrations() != self.migrations
    }

    /// Why the connection was ended by this side, if it was.
    pub(crate) fn reason(&self) -> Option<Cause> {
        let broken = self.link.reason()?;
        Some(broken.cause.clone().unwrap_or_else(|| Cause::new(broken.failure.to_string())))
    }

    /// Gives the place back, and says how the endpoint did.
    pub(crate) fn leave(mut self, now: Instant, impression: Impression) {
        self.left = Some((now, impression));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (now, impression) =
            self.left.unwrap_or_else(|| (self.shared.rt.now(), Impression::None));
        let is_awaited = self.link.finish();
        self.shared.leave(now, self.route.connection, (self.since, impression), is_awaited);
    }
}
