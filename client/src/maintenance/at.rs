//! Calls that are addressed to one endpoint.

// M1, M6

use crate::call::CallOptions;
use crate::request::{Execute, Operation, sealed};
use crate::runtime::BoxFuture;
use crate::{Client, Error};
use etcd3_core::Instant;
use etcd3_core::request::maintenance::{MemberStatus, status};
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
        Box::pin(async move {
            let (answer, _) = call(&client, &endpoint, operation, options).await?;
            Ok(answer)
        })
    }
}

/// Makes a call to this endpoint and no other; each of its errors names it. Returns also the client
/// that is pinned to it.
async fn call<T: Operation>(
    client: &Client,
    endpoint: &str,
    operation: T,
    options: CallOptions,
) -> Result<(T::Response, Client), Error> {
    let Rpc { method, effect, .. } = operation.rpc();
    let pinned = client
        .pinned_to(endpoint)
        .map_err(|error| error.with_method(method.path).with_effect(effect));
    let answer = match pinned {
        Ok(pinned) => pinned.clone().run(operation, options).await.map(|it| (it, pinned)),
        Err(error) => Err(error),
    };
    answer.map_err(|error| match error.endpoint() {
        Some(_) => error,
        // It never was connected.
        None => error.with_endpoint(Some(endpoint.into())),
    })
}

/// The request that [`Maintenance::status`](super::Maintenance::status) makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusOf {
    pub(super) endpoint: String,
}

impl sealed::Sealed for StatusOf {}

impl Execute for StatusOf {
    type Output = Result<MemberStatus, Error>;
    type Future = BoxFuture<'static, Self::Output>;

    fn execute(self, client: Client, options: CallOptions) -> Self::Future {
        Box::pin(async move { ask(&client, &self.endpoint, options).await })
    }
}

/// Asks a member for its status, and remembers its version.
pub(crate) async fn ask(
    client: &Client,
    endpoint: &str,
    options: CallOptions,
) -> Result<MemberStatus, Error> {
    let (told, pinned) = call(client, endpoint, status(), options).await?;
    if let Some(version) = told.minor_version() {
        pinned.shared().pool.note_version(pinned.only(), version);
    }
    Ok(told)
}

/// Calls one after the other, which have one deadline together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Calls<'a> {
    pub(super) client: &'a Client,
    options: CallOptions,
    deadline: Instant,
}

impl<'a> Calls<'a> {
    pub(super) fn new(client: &'a Client, options: CallOptions) -> Self {
        let shared = client.shared();
        let timeout = options.timeout.unwrap_or(shared.config.request_timeout);
        Self { client, options, deadline: shared.now() + timeout }
    }

    /// Returns the options of the next one: the time that is left.
    pub(super) fn options(&self) -> CallOptions {
        let left = self.deadline.saturating_since(self.client.shared().now());
        CallOptions { timeout: Some(left), ..self.options }
    }

    /// Makes a call to any member.
    pub(super) async fn run<T: Operation>(&self, operation: T) -> Result<T::Response, Error> {
        self.client.clone().run(operation, self.options()).await
    }

    /// Makes a call to one member.
    pub(super) async fn at<T: Operation>(
        &self,
        endpoint: &str,
        operation: T,
    ) -> Result<T::Response, Error> {
        Ok(call(self.client, endpoint, operation, self.options()).await?.0)
    }
}
