//! A call with many messages in answer that may go on for ever, as one who takes them sees it.

use super::streamed::StreamDriver;
use super::{CallOptions, explain};
use crate::{Client, Error};
use bytes::Bytes;
use etcd3_core::endpoint::Endpoint;
use etcd3_core::method::Method;
use etcd3_core::namespace::KeyPrefix;
use etcd3_core::stream::server_stream::{Options, ServerStream};
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Longer than anybody waits.
const FOREVER: Duration = Duration::MAX;

/// Reads a message, and takes the prefix of the client off its keys.
type Decode<T> = fn(Bytes, Option<&KeyPrefix>) -> Result<T, Error>;

/// The messages of one call, none of which is the last by its content.
pub(crate) struct Messages<T> {
    driver: StreamDriver,
    request: Bytes,
    decode: Decode<T>,
    is_over: bool,
    /// Declared last so that it is dropped last.
    client: Client,
}

impl<T> Messages<T> {
    /// Makes a call that has not begun, of this encoded request.
    pub(crate) fn new(
        client: Client,
        method: &'static Method,
        request: Bytes,
        decode: Decode<T>,
        options: CallOptions,
    ) -> Self {
        let shared = client.shared();
        let config = &shared.config;
        let machine = ServerStream::new(
            method,
            Options {
                message_timeout: options.timeout.unwrap_or(FOREVER),
                deadline: None,
                // Silence is no failure: nothing may happen for long.
                attempt_timeout: FOREVER,
                max_attempts: config.max_attempts,
                backoff: config.retry_backoff,
                max_message_bytes: config.max_response_bytes,
                require_leader: options.require_leader.unwrap_or(config.require_leader),
                is_linearizable: false,
                is_ordered: false,
                local_revision: 0,
                only: client.only(),
                is_optional: false,
                header: None,
                seed: shared.next_seed(),
            },
        );
        let driver = StreamDriver::new(shared.pool.clone(), machine);
        Self { driver, request, decode, is_over: false, client }
    }

    /// Waits for the next message; `None` after the last one, or after a failure.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, Error>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let Self { driver, request, client, .. } = self;
        let now = client.shared().now();
        let next = ready!(driver.poll_next(now, cx, &mut || Ok(request.clone())));
        let prefix = self.client.key_prefix();
        let decoded = next.map(|next| next.and_then(|it| (self.decode)(it, prefix)));
        let next = decoded.map(|next| next.map_err(|it| self.complete(it)));
        self.is_over = !matches!(next, Some(Ok(_)));
        Poll::Ready(next)
    }

    fn complete(&self, error: Error) -> Error {
        let method = self.driver.machine.method();
        let error = error.with_method(method.path).with_effect(method.effect);
        match error.endpoint() {
            Some(_) => error,
            None => explain(self.client.shared(), self.client.only(), error)
                .with_endpoint(self.driver.last().map(Endpoint::text)),
        }
    }
}
