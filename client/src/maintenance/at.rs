//! An operation that is addressed to one endpoint.

// M1, M6

use crate::call::CallOptions;
use crate::request::{Execute, Operation, sealed};
use crate::runtime::BoxFuture;
use crate::{Client, Error};
use etcd3_core::rpc::Rpc;
use std::time::Duration;

/// An operation that is addressed to one endpoint: what the requests of
/// [`Maintenance`](crate::Maintenance) for one member hold.
#[derive(Debug, Clone, PartialEq)]
pub struct At<T> {
    endpoint: String,
    operation: T,
    /// How long it may take unless the request says otherwise; by the configuration without.
    timeout: Option<Duration>,
}

impl<T> At<T> {
    pub(super) fn new(endpoint: impl Into<String>, operation: T) -> Self {
        Self { endpoint: endpoint.into(), operation, timeout: None }
    }

    /// Sets how long it may take unless the request says otherwise.
    pub(super) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl<T> sealed::Sealed for At<T> {}

impl<T> Execute for At<T>
where
    T: Operation + Send + 'static,
    T::Response: Send,
{
    type Output = Result<T::Response, Error>;
    type Future = BoxFuture<'static, Self::Output>;

    fn execute(self, client: Client, options: CallOptions) -> Self::Future {
        let Self { endpoint, operation, timeout } = self;
        let options = CallOptions { timeout: options.timeout.or(timeout), ..options };
        Box::pin(call(client, endpoint, operation, options))
    }
}

/// Makes a call to this endpoint and no other; each of its errors names it.
pub(super) async fn call<T: Operation>(
    client: Client,
    endpoint: String,
    operation: T,
    options: CallOptions,
) -> Result<T::Response, Error> {
    let Rpc { method, effect, .. } = operation.rpc();
    let pinned = client
        .pinned_to(&endpoint)
        .map_err(|error| error.with_method(method.path).with_effect(effect));
    let answer = match pinned {
        Ok(pinned) => pinned.run(operation, options).await,
        Err(error) => Err(error),
    };
    answer.map_err(|error| match error.endpoint() {
        Some(_) => error,
        // It never was connected.
        None => error.with_endpoint(Some(endpoint.into())),
    })
}
