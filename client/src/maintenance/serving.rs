//! Whether a server says that it serves, told again after each change.

use crate::call::CallOptions;
use crate::call::messages::Messages;
use crate::{Client, Error};
use etcd3_core::method;
use etcd3_core::request::maintenance::{Serving, health_watch, served};
use futures_core::Stream;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

/// What a server says of itself, now and after each change: a stream of [`Serving`]. Made by
/// [`Maintenance::serving_changes`](crate::Maintenance::serving_changes).
///
/// Waits for as long as it takes, also for a connection. A failure ends it.
#[must_use = "a stream does nothing until it is polled"]
pub struct ServingChanges(Messages<Serving>);

impl ServingChanges {
    pub(super) fn new(client: &Client, endpoint: &str) -> Result<Self, Error> {
        let method = &method::HEALTH_WATCH;
        let complete = |error: Error| error.with_method(method.path).with_effect(method.effect);
        let pinned = client.pinned_to(endpoint).map_err(complete)?;
        let request = health_watch().map_err(complete)?;
        // A server says so whether it has a leader or not.
        let options = CallOptions { require_leader: Some(false), ..CallOptions::default() };
        let decode = |message, _: Option<&_>| served(message);
        Ok(Self(Messages::new(pinned, method, request, decode, options)))
    }

    /// Waits for the next change; the state as it is, at first. `None` after a failure.
    ///
    /// # Errors
    ///
    /// Those of any read; a failure ends the stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Serving, Error>> {
        poll_fn(|cx| self.0.poll_next(cx)).await
    }
}

impl Stream for ServingChanges {
    type Item = Result<Serving, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(cx)
    }
}

impl fmt::Debug for ServingChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServingChanges").finish_non_exhaustive()
    }
}
