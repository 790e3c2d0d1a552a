//! One key that is there as long as the program is.

use super::begin::{self, BeginSession, OnLoss};
use super::handle::Session;
use crate::call::CallOptions;
use crate::request::{Execute, Request, sealed};
use crate::runtime::BoxFuture;
use crate::{Client, Error, LeaseLost};
use etcd3_core::{Bytes, IntoBytes};
use std::future::Future;
use std::time::Duration;

/// The time to live of a registration that says nothing else.
const TTL: Duration = Duration::from_secs(10);

/// The request that [`Client::register`] makes: a key that is to be registered.
#[derive(Clone, PartialEq, Eq)]
pub struct BeginRegistration {
    key: Bytes,
    value: Bytes,
    ttl: Duration,
}

impl BeginRegistration {
    pub(crate) fn new(key: impl IntoBytes, value: impl IntoBytes) -> Self {
        Self { key: key.into_bytes(), value: value.into_bytes(), ttl: TTL }
    }
}

/// Without the value, which may be a secret.
impl std::fmt::Debug for BeginRegistration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BeginRegistration")
            .field("key", &self.key)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

impl Request<BeginRegistration> {
    /// Sets for how long the key stays when the program is gone; 10 s by default.
    pub fn ttl(self, ttl: Duration) -> Self {
        self.map(|begin| BeginRegistration { ttl, ..begin })
    }
}

impl sealed::Sealed for BeginRegistration {}

impl Execute for BeginRegistration {
    type Output = Result<Registration, Error>;
    type Future = BoxFuture<'static, Self::Output>;

    fn execute(self, client: Client, options: CallOptions) -> Self::Future {
        Box::pin(async move {
            let Self { key, value, ttl } = self;
            let shared = client.shared();
            let timeout = options.timeout.unwrap_or(shared.config.request_timeout);
            let deadline = shared.now() + timeout;
            let session = BeginSession { on_loss: OnLoss::Regrant, ..BeginSession::new(ttl) };
            let session = begin::begin(client.clone(), session, options).await?;
            session.register_by(deadline, key.clone(), value, options).await?;
            Ok(Registration { session, key })
        })
    }
}

/// A key that is there as long as this lives, for service discovery. Made by
/// [`Client::register`](crate::Client::register).
///
/// Its lease is kept alive; if it is lost all the same, another one is granted and the key is
/// written again. When the last clone is dropped, or the program dies, the key is deleted after the
/// time to live.
#[derive(Debug, Clone)]
#[must_use = "a registration that is dropped ends"]
pub struct Registration {
    session: Session,
    key: Bytes,
}

impl Registration {
    /// Returns the session on which the key is registered; others may be registered on it, too.
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Returns whether its lease is valid now; while it is not, the key is missing, or is soon.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.session.is_valid()
    }

    /// Completes when it is over, with the reason: after it was closed or dropped, or its client
    /// was. The loss of a lease is not the end.
    pub fn lost(&self) -> impl Future<Output = LeaseLost> + Send + 'static {
        self.session.lost()
    }

    /// Writes another value.
    ///
    /// # Errors
    ///
    /// Those of [`Session::register`].
    pub async fn set_value(&self, value: impl IntoBytes) -> Result<(), Error> {
        self.session.register(self.key.clone(), value).await.map(drop)
    }

    /// Ends it: the key is deleted now.
    ///
    /// # Errors
    ///
    /// Those of [`Session::close`].
    ///
    /// # Cancel safety
    ///
    /// Once polled, the key is not written again.
    pub async fn close(&self) -> Result<(), Error> {
        self.session.close().await
    }
}
