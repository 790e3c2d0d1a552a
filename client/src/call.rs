//! Runs one operation from its encoding to its typed answer.

use crate::driver::{Driver, Terms};
use crate::health;
use crate::shared::Shared;
use etcd3_core::Instant;
use etcd3_core::call::{Call, Options, Reply};
use etcd3_core::channel::{ConnectionId, EndpointId, Impression};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::error::{Error, ErrorKind, Phase};
use etcd3_core::frame;
use etcd3_core::method::Effect;
use etcd3_core::request::Operation;
use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// How one call is made, where it differs from the configuration.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CallOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) require_leader: bool,
    /// The only endpoint that will do.
    pub(crate) only: Option<EndpointId>,
    /// The only connection that will do, for a probe.
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) max_attempts: Option<u32>,
}

/// Runs one operation from its encoding to its typed answer; says also what the last attempt told
/// of its endpoint. Begins when it is polled first.
pub(crate) struct Run<T> {
    shared: Arc<Shared>,
    /// `None` when it is over.
    operation: Option<T>,
    options: CallOptions,
    /// `None` before it begins.
    driver: Option<Driver>,
}

// Nothing in it is ever pinned.
impl<T> Unpin for Run<T> {}

impl<T: Operation> Run<T> {
    pub(crate) const fn new(shared: Arc<Shared>, operation: T, options: CallOptions) -> Self {
        Self { shared, operation: Some(operation), options, driver: None }
    }
}

impl<T: Operation> Future for Run<T> {
    type Output = (Result<T::Response, Error>, Impression);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { shared, operation: rest, options, driver } = &mut *self;
        // Polling after completion returns `Pending` forever.
        let Some(operation) = rest else { return Poll::Pending };
        let now = shared.rt.now();
        let driver = match driver {
            Some(driver) => driver,
            None => match begin(shared, now, operation, *options) {
                Ok(begun) => driver.insert(begun),
                Err(error) => {
                    *rest = None;
                    return Poll::Ready((Err(error), Impression::None));
                }
            },
        };
        let limits = &shared.config.limits;
        let reply = ready!(driver.poll(now, cx, &mut || operation.encode(limits)));
        let impression = driver.call.impression();
        let answer = rest.take().map(|operation| answer(shared, operation, driver, reply));
        answer.map_or(Poll::Pending, |answer| Poll::Ready((answer, impression)))
    }
}

/// Encodes an operation, and makes its call.
fn begin<T: Operation>(
    shared: &Arc<Shared>,
    now: Instant,
    operation: &mut T,
    options: CallOptions,
) -> Result<Driver, Error> {
    let method = operation.method();
    let effect = operation.effect();
    let refused = |error: Error| error.with_method(method.path).with_effect(effect);
    let body = operation.encode(&shared.config.limits).map_err(refused)?;
    let is_linearizable = operation.is_linearizable();
    let terms = Terms {
        require_leader: options.require_leader || shared.config.require_leader,
        is_linearizable,
        takes_cluster: is_linearizable || effect != Effect::Read,
        only: options.only,
        connection: options.connection,
    };
    let timeout = options.timeout.unwrap_or(shared.config.request_timeout);
    let options = Options {
        deadline: Some(now + timeout),
        // With one endpoint there is no other to go to.
        attempt_timeout: (options.only.is_none() && shared.has_choice())
            .then_some(shared.config.attempt_timeout),
        is_checked: true,
        max_attempts: options.max_attempts.unwrap_or(shared.config.max_attempts),
        backoff: shared.config.retry_backoff,
        max_response_bytes: shared.config.max_response_bytes,
        request_len: body.len().checked_sub(frame::HEAD),
        require_leader: terms.require_leader,
        effect,
        seed: shared.next_seed(),
    };
    Ok(Driver::new(Arc::clone(shared), Call::new(method, options), body, terms))
}

/// Decodes what came, or completes the error.
fn answer<T: Operation>(
    shared: &Shared,
    operation: T,
    driver: &Driver,
    reply: Result<Reply, Error>,
) -> Result<T::Response, Error> {
    let at = |error: Error| error.with_endpoint(driver.last.as_ref().map(Endpoint::text));
    match reply {
        Err(error) if error.endpoint().is_some() => Err(error),
        Err(error) => Err(at(explain(shared, driver.terms.only, error))),
        Ok(reply) => {
            let effect = operation.effect();
            operation.decode(reply.message).map_err(|error| {
                let error = error.with_method(driver.call.method().path).with_effect(effect);
                at(error.with_attempts(reply.attempts))
            })
        }
    }
}

/// Gives the cause of a wait for a connection that was in vain: why there was none.
fn explain(shared: &Shared, only: Option<EndpointId>, error: Error) -> Error {
    if error.kind() != ErrorKind::Timeout(Phase::Connection) || error.source().is_some() {
        return error;
    }
    error.with_cause(health::waiting(shared, only))
}
