//! The client, and how it makes a call.

use crate::driver::Driver;
use crate::pages::Pages;
use crate::request::Request;
use crate::runtime::Runtime;
use crate::shared::Shared;
use crate::{Config, control};
use etcd3_core::call::{Call, Options};
use etcd3_core::channel;
use etcd3_core::endpoint::Endpoint;
use etcd3_core::error::{Cause, Error, ErrorKind, Phase};
use etcd3_core::request::{
    Compact, Compare, Delete, Get, Op, Operation, Put, PutValue, Raw, Txn, When,
};
use etcd3_core::{IntoBytes, KeyRange, UnaryRequest};
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

/// A client of one etcd cluster.
///
/// Cheap to clone; all clones share their connections. Every method takes `&self`. Requests are
/// built by the methods named after the operations and sent by awaiting them.
///
/// Dropping the last clone, requests under way included, ends its tasks and connections; so does
/// [`close`](Self::close).
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

/// Closes the client when the last clone goes.
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("endpoints", &self.shared().endpoints)
            .finish_non_exhaustive()
    }
}

/// How one call is made, where it differs from the configuration.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CallOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) require_leader: bool,
}

impl Client {
    /// Makes a client that connects when it is first used.
    ///
    /// # Errors
    ///
    /// Kind [`InvalidConfig`](ErrorKind::InvalidConfig) when there is no endpoint, or one that
    /// cannot be read.
    pub fn lazy(rt: Arc<dyn Runtime>, config: Config) -> Result<Self, Error> {
        let endpoints = config.parse_endpoints()?;
        let shared = Arc::new(Shared::new(rt, config, endpoints));
        shared.spawn(control::run(Arc::clone(&shared)));
        Ok(Self { handle: Arc::new(Handle(shared)) })
    }

    /// Makes a client and waits until one endpoint can be used.
    ///
    /// Fails as soon as every endpoint has been tried once in vain; to wait longer, make a
    /// [`lazy`](Self::lazy) client and let its calls wait.
    ///
    /// # Errors
    ///
    /// Kind [`InvalidConfig`](ErrorKind::InvalidConfig) as in [`lazy`](Self::lazy), or
    /// [`Connect`](ErrorKind::Connect) with the cause of the last endpoint.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was opened.
    pub async fn connect(rt: Arc<dyn Runtime>, config: Config) -> Result<Self, Error> {
        let client = Self::lazy(rt, config)?;
        let shared = client.shared();
        shared.tell(channel::Input::Wanted);
        loop {
            let changed = shared.changed();
            if shared.channel(|channel| channel.is_ready()) {
                return Ok(client);
            }
            if let Some(broken) = shared.channel(|channel| channel.broken().cloned()) {
                let endpoint = shared.endpoints.last().map(Endpoint::text);
                return Err(Error::new(ErrorKind::Connect(broken.failure))
                    .with_cause(broken.cause)
                    .with_endpoint(endpoint));
            }
            changed.await;
        }
    }

    /// Closes the client and all its clones, and waits until its tasks have ended.
    ///
    /// Calls under way, and later ones, end in an error of kind [`Closed`](ErrorKind::Closed).
    /// May be called more than once.
    ///
    /// # Cancel safety
    ///
    /// The client is closed as soon as the future is first polled; dropping it only stops waiting.
    pub async fn close(&self) {
        self.shared().close();
        self.shared().ended().await;
    }

    /// Whether [`close`](Self::close) was called on this client or one of its clones.
    pub fn is_closed(&self) -> bool {
        self.shared().is_closed()
    }

    /// Reads one key, or all keys of a range.
    pub fn get(&self, range: impl Into<KeyRange>) -> Request<Get> {
        self.request(etcd3_core::get(range))
    }

    /// Reads a range page by page, all pages at the revision of the first one.
    pub fn pages(&self, range: impl Into<KeyRange>) -> Pages {
        Pages::new(self.clone(), range.into())
    }

    /// Writes one key.
    pub fn put(&self, key: impl IntoBytes, value: impl Into<PutValue>) -> Request<Put> {
        self.request(etcd3_core::put(key, value))
    }

    /// Deletes one key, or all keys of a range.
    pub fn delete(&self, range: impl Into<KeyRange>) -> Request<Delete> {
        self.request(etcd3_core::delete(range))
    }

    /// Begins a transaction.
    pub fn txn(&self) -> Request<Txn<When>> {
        self.request(etcd3_core::txn())
    }

    /// Compacts the history up to this revision.
    pub fn compact(&self, revision: i64) -> Request<Compact> {
        self.request(etcd3_core::compact(revision))
    }

    /// Runs an operation that was made before.
    pub fn execute(&self, op: impl Into<Op>) -> Request<Op> {
        self.request(op.into())
    }

    /// Calls any unary method of the API with its message as it is on the wire.
    ///
    /// For what has no typed request. Nothing is checked but for values that crash servers.
    pub fn unary<Q: UnaryRequest>(&self, message: Q) -> Request<Raw<Q>> {
        self.request(Raw(message))
    }

    /// Evaluates a condition; short for a transaction of nothing but compares.
    ///
    /// # Errors
    ///
    /// Those of any read.
    pub async fn check(&self, compares: impl IntoIterator<Item = Compare>) -> Result<bool, Error> {
        Ok(self.txn().when(compares).await?.succeeded)
    }

    fn request<T>(&self, operation: T) -> Request<T> {
        Request::new(self.clone(), operation)
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.0
    }

    /// Gives the cause of a wait for a connection that was in vain: why there was none.
    fn explain(&self, error: Error) -> Error {
        if error.kind() != ErrorKind::Timeout(Phase::Connection) || error.source().is_some() {
            return error;
        }
        let broken = self.shared().channel(|channel| channel.last_failure().cloned());
        error.with_cause(broken.map(|broken| {
            Cause::new(Error::new(ErrorKind::Connect(broken.failure)).with_cause(broken.cause))
        }))
    }

    /// Runs one operation from its encoding to its typed answer.
    pub(crate) async fn run<T: Operation>(
        &self,
        mut operation: T,
        options: CallOptions,
    ) -> Result<T::Response, Error> {
        let shared = self.shared();
        let method = operation.method();
        let body =
            operation.encode(&shared.config.limits).map_err(|e| e.with_method(method.path))?;
        let timeout = options.timeout.unwrap_or(shared.config.request_timeout);
        let options = Options {
            deadline: Some(shared.rt.now() + timeout),
            max_attempts: shared.config.max_attempts,
            backoff: shared.config.retry_backoff,
            max_response_bytes: shared.config.max_response_bytes,
            require_leader: options.require_leader || shared.config.require_leader,
            effect: operation.effect(),
            seed: shared.next_seed(),
        };
        let mut call = Call::new(method, options);
        let at = |endpoint| shared.endpoint(endpoint).map(Endpoint::text);
        let reply = Driver { shared, call: &mut call, body, options }.run().await;
        let reply =
            reply.map_err(|e| self.explain(e).with_endpoint(call.last_endpoint().and_then(at)))?;
        operation.decode(reply.message).map_err(|error| {
            error
                .with_method(method.path)
                .with_attempts(reply.attempts)
                .with_endpoint(at(reply.endpoint))
        })
    }
}
