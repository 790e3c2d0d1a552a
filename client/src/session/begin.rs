//! Beginning a session.

use super::handle::{Inner, Session};
use super::regrant;
use crate::call::CallOptions;
use crate::request::{Execute, Request, sealed};
use crate::runtime::BoxFuture;
use crate::{Client, Error, Lease};
use etcd3_core::LeaseId;
use std::sync::Arc;
use std::time::Duration;

/// What becomes of a session whose lease is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnLoss {
    /// It is over, and whoever did something in its name stops. What locks and elections need.
    #[default]
    Fail,
    /// A new lease is granted, and the keys that are registered are written again. What service
    /// discovery needs: between the loss and that, the keys are missing.
    Regrant,
}

/// The request that [`Client::session`] and [`Client::session_on`] make: a session that is to be
/// begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginSession {
    pub(super) lease: BeginWith,
    pub(super) on_loss: OnLoss,
}

/// The lease that a session begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BeginWith {
    /// A new one, with this time to live.
    Grant(Duration),
    /// One that exists.
    KeepAlive(LeaseId),
}

impl BeginSession {
    pub(crate) const fn new(ttl: Duration) -> Self {
        Self { lease: BeginWith::Grant(ttl), on_loss: OnLoss::Fail }
    }

    pub(crate) const fn on(id: LeaseId) -> Self {
        Self { lease: BeginWith::KeepAlive(id), on_loss: OnLoss::Fail }
    }
}

impl Request<BeginSession> {
    /// Sets what becomes of the session when its lease is lost; [`OnLoss::Fail`] by default.
    pub fn on_loss(self, on_loss: OnLoss) -> Self {
        self.map(|begin| BeginSession { on_loss, ..begin })
    }
}

impl sealed::Sealed for BeginSession {}

impl Execute for BeginSession {
    type Output = Result<Session, Error>;
    type Future = BoxFuture<'static, Self::Output>;

    fn execute(self, client: Client, options: CallOptions) -> Self::Future {
        Box::pin(begin(client, self, options))
    }
}

pub(super) async fn begin(
    client: Client,
    begin: BeginSession,
    options: CallOptions,
) -> Result<Session, Error> {
    let (lease, ttl): (Lease, Duration) = match begin.lease {
        BeginWith::KeepAlive(id) => {
            let lease = client.keep_alive(id).options(options).await?;
            let ttl = lease.ttl();
            (lease, ttl)
        }
        BeginWith::Grant(ttl) => (client.lease(ttl).options(options).await?, ttl),
    };
    let inner = Arc::new(Inner::new(client.clone(), lease, ttl, begin.on_loss));
    if begin.on_loss == OnLoss::Regrant {
        client.spawn(regrant::run(Arc::clone(&inner)));
    }
    Ok(Session::new(inner))
}
