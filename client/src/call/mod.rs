//! Runs one operation from its encoding to its typed answer.

pub(crate) mod alarm;
pub(crate) mod attempt;
mod driver;
mod final_read;
pub(crate) mod messages;
pub(crate) mod open_stream;
pub(crate) mod streamed;
mod tally;

use crate::shared::Shared;
use crate::tokens;
use attempt::{Carrier, TokenUse};
use bytes::Bytes;
use driver::Driver;
use etcd3_core::Instant;
use etcd3_core::call::{Call, Options, Reply};
use etcd3_core::channel::{ConnectionId, EndpointId, HealthSignal};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::error::{Error, ErrorKind, Phase};
use etcd3_core::frame;
use etcd3_core::namespace::KeyPrefix;
use etcd3_core::request::{Limits, Operation};
use etcd3_core::rpc::Rpc;
use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// How one call is made, where it differs from the configuration.
#[derive(Debug, Clone, Copy, Default)]
pub struct CallOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) require_leader: Option<bool>,
    /// How long an attempt may take before another one is made elsewhere; for calls of our own.
    pub(crate) attempt_timeout: Option<Duration>,
    /// The endpoint that the first attempt avoids if there is another one.
    pub(crate) avoid: Option<EndpointId>,
    /// The only endpoint that will do.
    pub(crate) only: Option<EndpointId>,
    /// The only connection that will do, for a probe.
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) max_attempts: Option<u32>,
    /// Whether it is served while a client that is closed waits for its cleanup.
    pub(crate) is_cleanup: bool,
}

/// Runs one operation from its encoding to its typed answer; says also what the last attempt told
/// of its endpoint. Begins when it is polled first.
pub(crate) struct OperationCall<T> {
    shared: Arc<Shared>,
    /// `None` when it is over.
    operation: Option<Prefixed<T>>,
    options: CallOptions,
    /// `None` before it begins.
    driver: Option<Driver>,
}

/// An operation, and what is before its keys, unseen by the caller.
struct Prefixed<T> {
    operation: T,
    prefix: Option<KeyPrefix>,
}

impl<T: Operation> Prefixed<T> {
    fn encode(&mut self, limits: &Limits) -> Result<Bytes, Error> {
        self.operation.encode(limits, self.prefix.as_ref())
    }

    fn decode(self, message: Bytes) -> Result<T::Response, Error> {
        self.operation.decode(message, self.prefix.as_ref())
    }

    fn rpc(&self) -> Rpc {
        self.operation.rpc()
    }
}

// Nothing in it is ever pinned.
impl<T> Unpin for OperationCall<T> {}

impl<T: Operation> OperationCall<T> {
    /// Makes a call of an operation whose keys are named as a whole.
    pub(crate) const fn new(shared: Arc<Shared>, operation: T, options: CallOptions) -> Self {
        Self::under(None, shared, operation, options)
    }

    /// Makes a call that puts a prefix before all keys, and takes it off those of the answer.
    pub(crate) const fn under(
        prefix: Option<KeyPrefix>,
        shared: Arc<Shared>,
        operation: T,
        options: CallOptions,
    ) -> Self {
        let operation = Some(Prefixed { operation, prefix });
        Self { shared, operation, options, driver: None }
    }

    /// Returns when the last attempt was handed to a connection.
    pub(crate) fn last_sent(&self) -> Option<Instant> {
        self.driver.as_ref().and_then(|driver| driver.call.last_sent())
    }

    /// Returns the endpoint of the last attempt.
    pub(crate) fn last_endpoint(&self) -> Option<EndpointId> {
        self.driver.as_ref().and_then(|driver| driver.call.last_endpoint())
    }
}

impl<T: Operation> Future for OperationCall<T> {
    type Output = (Result<T::Response, Error>, HealthSignal);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { shared, operation: rest, options, driver } = &mut *self;
        // Polling after completion returns `Pending` forever.
        let Some(operation) = rest else { return Poll::Pending };
        let now = shared.now();
        let driver = match driver {
            Some(driver) => driver,
            None => match begin(shared, now, operation, *options) {
                Ok(begun) => driver.insert(begun),
                Err(error) => {
                    *rest = None;
                    return Poll::Ready((Err(error), HealthSignal::None));
                }
            },
        };
        let limits = &shared.config.limits;
        let reply = ready!(driver.poll(now, cx, &mut || operation.encode(limits)));
        let signal = driver.call.signal();
        let answer =
            rest.take().map(|operation| answer(shared, operation, driver, options.only, reply));
        answer.map_or(Poll::Pending, |answer| Poll::Ready((answer, signal)))
    }
}

/// Encodes an operation, and makes its call.
fn begin<T: Operation>(
    shared: &Arc<Shared>,
    now: Instant,
    operation: &mut Prefixed<T>,
    options: CallOptions,
) -> Result<Driver, Error> {
    let body = match operation.encode(&shared.config.limits) {
        Ok(body) => body,
        Err(error) => return Err(of(&operation.rpc(), error)),
    };
    // After the encoding, which may complete the message.
    let Rpc { method, effect, is_linearizable, is_ordered, local_revision, .. } = operation.rpc();
    let timeout = options.timeout.unwrap_or(shared.config.request_timeout);
    let (config, is_cleanup) = (&shared.config, options.is_cleanup);
    let options = Options {
        deadline: Some(now + timeout),
        attempt_timeout: Some(options.attempt_timeout.unwrap_or(config.attempt_timeout)),
        max_attempts: options.max_attempts.unwrap_or(config.max_attempts),
        backoff: config.retry_backoff,
        max_response_bytes: config.max_response_bytes,
        request_len: body.len().checked_sub(frame::HEAD),
        require_leader: options.require_leader.unwrap_or(config.require_leader),
        is_linearizable,
        is_ordered,
        local_revision,
        effect,
        avoid: options.avoid,
        only: options.only,
        connection: options.connection,
        allow_plaintext_secrets: config.plaintext_passwords,
        seed: shared.next_seed(),
    };
    let token_use = match options.connection {
        _ if !method.takes_token() => TokenUse::None,
        // A probe, which is not to wait for a login at the member that it probes.
        Some(_) => TokenUse::Optional,
        None => TokenUse::Needed,
    };
    let carrier = Carrier::new(Arc::clone(&shared.pool)).token_use(token_use).cleanup(is_cleanup);
    Ok(Driver::new(now, Call::new(method, options), body, carrier))
}

/// Decodes the response, or completes the error.
fn answer<T: Operation>(
    shared: &Shared,
    operation: Prefixed<T>,
    driver: &Driver,
    only: Option<EndpointId>,
    reply: Result<Reply, Error>,
) -> Result<T::Response, Error> {
    let at = |error: Error| error.with_endpoint(driver.last().map(Endpoint::text));
    match reply {
        Err(error) if driver.awaited_token => Err(tokens::explain(shared, only, error)),
        Err(error) if error.endpoint().is_some() => Err(error),
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported { .. }) => {
            let endpoint = driver.call.last_endpoint();
            Err(at(error.with_version(endpoint.and_then(|it| shared.pool.version_of(it)))))
        }
        Err(error) => Err(at(explain(shared, only, error))),
        Ok(reply) => {
            let rpc = operation.rpc();
            let attempts = reply.attempts;
            let decoded = operation.decode(reply.message);
            decoded.map_err(|error| at(of(&rpc, error).with_attempts(attempts)))
        }
    }
}

/// Completes the error of a request that was not sent, or of an answer that cannot be read.
fn of(rpc: &Rpc, error: Error) -> Error {
    error.with_method(rpc.method.path).with_effect(rpc.effect)
}

/// Adds why there was no connection to the error of a call that waited for one.
pub(crate) fn explain(shared: &Shared, only: Option<EndpointId>, error: Error) -> Error {
    if error.kind() != ErrorKind::TimedOut(Phase::Connection) || error.source().is_some() {
        return error;
    }
    let now = shared.now();
    error.with_cause(shared.pool.channel(|channel| channel.explain(now, only)))
}
