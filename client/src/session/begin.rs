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

/// The request that [`Client::session`] makes: a session that is to be begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginSession {
    pub(super) ttl: Duration,
    pub(super) lease: Option<LeaseId>,
    pub(super) on_loss: OnLoss,
}

impl BeginSession {
    pub(crate) const fn new(ttl: Duration) -> Self {
        Self { ttl, lease: None, on_loss: OnLoss::Fail }
    }
}

impl Request<BeginSession> {
    /// Takes a lease that exists, instead of a new one; its time to live is its own. The session
    /// begins once it was renewed.
    // X1, X4
    pub fn lease(self, id: impl Into<LeaseId>) -> Self {
        self.map(|begin| BeginSession { lease: Some(id.into()), ..begin })
    }

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
    let lease: Lease = match begin.lease {
        Some(id) => client.keep_alive(id).options(options).await?,
        None => client.lease(begin.ttl).options(options).await?,
    };
    let ttl = if begin.lease.is_some() { lease.ttl() } else { begin.ttl };
    let inner = Arc::new(Inner::new(client.clone(), lease, ttl, begin.on_loss));
    if begin.on_loss == OnLoss::Regrant {
        client.spawn(regrant::run(Arc::clone(&inner)));
    }
    Ok(Session::new(inner))
}
