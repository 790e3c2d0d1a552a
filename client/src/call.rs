//! Runs one operation from its encoding to its typed answer.

use crate::driver::{Driver, Terms};
use crate::shared::Shared;
use etcd3_core::call::{Call, Options};
use etcd3_core::channel::{EndpointId, Impression};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::error::{Cause, Error, ErrorKind, Phase};
use etcd3_core::method::Effect;
use etcd3_core::request::Operation;
use std::error::Error as _;
use std::time::Duration;

/// How one call is made, where it differs from the configuration.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CallOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) require_leader: bool,
    /// The only endpoint that will do.
    pub(crate) only: Option<EndpointId>,
    pub(crate) max_attempts: Option<u32>,
}

/// Runs one operation; says also what the last attempt told of its endpoint.
pub(crate) async fn run<T: Operation>(
    shared: &Shared,
    mut operation: T,
    options: CallOptions,
) -> (Result<T::Response, Error>, Impression) {
    let method = operation.method();
    let body = match operation.encode(&shared.config.limits) {
        Ok(body) => body,
        Err(error) => return (Err(error.with_method(method.path)), Impression::None),
    };
    let terms = Terms {
        require_leader: options.require_leader || shared.config.require_leader,
        is_linearizable: operation.is_linearizable(),
        takes_cluster: operation.is_linearizable() || operation.effect() != Effect::Read,
        only: options.only,
    };
    let timeout = options.timeout.unwrap_or(shared.config.request_timeout);
    let options = Options {
        deadline: Some(shared.rt.now() + timeout),
        // With one endpoint there is no other to go to.
        attempt_timeout: (options.only.is_none() && shared.has_choice())
            .then_some(shared.config.attempt_timeout),
        is_checked: true,
        max_attempts: options.max_attempts.unwrap_or(shared.config.max_attempts),
        backoff: shared.config.retry_backoff,
        max_response_bytes: shared.config.max_response_bytes,
        require_leader: terms.require_leader,
        effect: operation.effect(),
        seed: shared.next_seed(),
    };
    let mut call = Call::new(method, options);
    let (reply, last) = Driver::new(shared, &mut call, body, terms).await;
    let at = |error: Error| error.with_endpoint(last.as_ref().map(Endpoint::text));
    let answer = match reply {
        Err(error) if error.endpoint().is_some() => Err(error),
        Err(error) => Err(at(explain(shared, terms.only, error))),
        Ok(reply) => operation
            .decode(reply.message)
            .map_err(|error| at(error.with_method(method.path).with_attempts(reply.attempts))),
    };
    (answer, call.impression())
}

/// Gives the cause of a wait for a connection that was in vain: why there was none.
fn explain(shared: &Shared, only: Option<EndpointId>, error: Error) -> Error {
    if error.kind() != ErrorKind::Timeout(Phase::Connection) || error.source().is_some() {
        return error;
    }
    let broken = shared.channel(|channel| {
        only.map_or_else(|| channel.last_failure(), |id| channel.failure_of(id)).cloned()
    });
    error.with_cause(broken.map(|broken| {
        Cause::new(Error::new(ErrorKind::Connect(broken.failure)).with_cause(broken.cause))
    }))
}
