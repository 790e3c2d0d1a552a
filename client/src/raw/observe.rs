//! Observing an election of the server.

use super::LeaderResponse;
use crate::call::CallOptions;
use crate::call::messages::Messages;
use crate::{Client, Error};
use bytes::Bytes;
use etcd3_core::method;
use etcd3_core::request::services::{observe, observed};
use futures_core::Stream;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// The leaders of an election, and what they proclaim: a stream of [`LeaderResponse`]. Made by
/// [`Services::observe`](super::Services::observe).
///
/// Where nobody leads it waits, for as long as it takes. It ends with a failure; after the loss of
/// its member, for example, observe anew: the present leader is told first.
///
/// # Cancel safety
///
/// Dropping the future of one `next` loses nothing; dropping the stream ends the call.
#[must_use = "a stream does nothing until it is polled"]
pub struct Observe(State);

enum State {
    Idle { name: Bytes, options: CallOptions, client: Client },
    Observing(Box<Messages<LeaderResponse>>),
    Done,
}

impl Observe {
    pub(super) fn new(client: Client, name: Bytes) -> Self {
        Self(State::Idle { name, options: CallOptions::default(), client })
    }

    /// Sets how long a leader may be waited for, connecting included; there is no bound otherwise.
    /// Counts from when it is waited for, and only before the stream is first polled.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        if let State::Idle { options, .. } = &mut self.0 {
            options.timeout = Some(timeout);
        }
        self
    }

    /// Waits for the next leader, or for what it proclaims next; `None` after a failure.
    ///
    /// # Errors
    ///
    /// Those of any read; a failure ends the stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<LeaderResponse, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Observe {
    type Item = Result<LeaderResponse, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match std::mem::replace(&mut self.0, State::Done) {
                State::Done => return Poll::Ready(None),
                State::Idle { name, options, client } => {
                    let method = &method::OBSERVE;
                    let request =
                        observe(&name, &client.shared().config.limits, client.key_prefix())
                            .map_err(|it| it.with_method(method.path).with_effect(method.effect))?;
                    let messages = Messages::new(client, method, request, observed, options);
                    self.0 = State::Observing(Box::new(messages));
                }
                State::Observing(mut messages) => {
                    let next = messages.poll_next(cx);
                    if !matches!(next, Poll::Ready(None)) {
                        self.0 = State::Observing(messages);
                    }
                    return Poll::Ready(ready!(next));
                }
            }
        }
    }
}

impl fmt::Debug for Observe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observe").finish_non_exhaustive()
    }
}
