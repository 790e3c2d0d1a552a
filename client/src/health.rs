//! How the endpoints of a client do.

use crate::shared::Shared;
use etcd3_core::channel::{self, Listed};
use etcd3_core::error::Error;
use event_listener::EventListener;
use futures_core::Stream;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// How the endpoints of a client do at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Each endpoint, those that have been known the longest first.
    pub endpoints: Vec<EndpointHealth>,
}

/// How one endpoint does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointHealth {
    /// The endpoint, as it was given or named by the cluster.
    pub endpoint: Arc<str>,
    /// Its state.
    pub state: EndpointState,
    /// For how long it has been connected, being connected to, or down.
    pub elapsed: Duration,
    /// Whether it is only used when no other works.
    pub is_fallback: bool,
    /// Whether it is there only for those who named it (`Client::pinned_to`).
    pub is_pinned: bool,
    /// How many calls are under way there.
    pub calls: u32,
    /// How many streams are open there.
    pub streams: u32,
    /// Why it is, or last was, not connected.
    pub last_error: Option<Error>,
}

/// The state of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndpointState {
    /// Nothing has been asked of it yet.
    Idle,
    /// A connection is being made.
    Connecting,
    /// It is connected and takes calls.
    Ready,
    /// It is connected, but left calls unanswered or says that it cannot serve them. Calls go there
    /// only when there is no other, until it answers again.
    Suspect,
    /// It is connected, but nothing has come since the connection of another endpoint was found
    /// dead. No calls go there until it is known to be alive, or is connected anew.
    Unconfirmed,
    /// It could not be connected to, or the connection broke.
    Down {
        /// How long until the next try.
        retry_in: Duration,
    },
    /// The client is closed, or the runtime that it was made on has ended.
    Closed,
}

impl Health {
    /// Returns whether calls can be made now: some endpoint is connected, not counting those that
    /// are only there for who named them.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        let listed = self.endpoints.iter().filter(|endpoint| !endpoint.is_pinned);
        let mut states = listed.map(|endpoint| endpoint.state);
        states.any(|state| matches!(state, EndpointState::Ready | EndpointState::Suspect))
    }

    pub(crate) fn of(shared: &Shared) -> Self {
        let now = shared.now();
        let health = shared.pool.channel(|channel| channel.health());
        let is_closed = shared.pool.is_closed();
        let endpoints = health.into_iter().map(|it| EndpointHealth {
            state: match it.state {
                _ if is_closed => EndpointState::Closed,
                channel::ConnectionState::Connecting => EndpointState::Connecting,
                channel::ConnectionState::Ready => EndpointState::Ready,
                channel::ConnectionState::Suspect => EndpointState::Suspect,
                channel::ConnectionState::Unconfirmed => EndpointState::Unconfirmed,
                channel::ConnectionState::Down { retry_at } => {
                    EndpointState::Down { retry_in: retry_at.saturating_since(now) }
                }
                _ => EndpointState::Idle,
            },
            elapsed: now.saturating_since(it.since),
            is_fallback: it.listed == Listed::Fallback,
            is_pinned: it.listed == Listed::No,
            calls: it.calls,
            streams: it.streams,
            last_error: it.last.map(|last| last.into_error().with_endpoint(it.endpoint.text())),
            endpoint: it.endpoint.text(),
        });
        Self { endpoints: endpoints.collect() }
    }

    /// The states alone: what is news.
    fn states(&self) -> Vec<(Arc<str>, u8)> {
        let number = |state| match state {
            EndpointState::Ready => 1,
            EndpointState::Suspect => 2,
            EndpointState::Unconfirmed => 3,
            EndpointState::Idle
            | EndpointState::Connecting
            | EndpointState::Down { .. }
            | EndpointState::Closed => 0,
        };
        let states = self.endpoints.iter().map(|it| (Arc::clone(&it.endpoint), number(it.state)));
        states.collect()
    }
}

/// How the endpoints of a client do, after each change; a stream of [`Health`].
///
/// A change is that an endpoint is connected or is not any more, comes under suspicion or is
/// cleared of it, or that the list changes.
#[must_use = "a stream does nothing until it is polled"]
pub struct HealthChanges {
    shared: Arc<Shared>,
    listener: Option<EventListener>,
    told: Option<Vec<(Arc<str>, u8)>>,
}

impl HealthChanges {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared, listener: None, told: None }
    }

    /// Waits for the next change; `None` once the client is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Health> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl fmt::Debug for HealthChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthChanges").finish_non_exhaustive()
    }
}

impl Stream for HealthChanges {
    type Item = Health;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Health>> {
        loop {
            if let Some(listener) = &mut self.listener {
                ready!(Pin::new(listener).poll(cx));
            }
            // Made before the look, so that no change is missed.
            self.listener = Some(self.shared.pool.health_changed());
            if self.shared.pool.is_closed() {
                // Nothing changes any more.
                self.listener = None;
                return Poll::Ready(None);
            }
            let health = Health::of(&self.shared);
            let states = health.states();
            if self.told.as_ref() != Some(&states) {
                self.told = Some(states);
                return Poll::Ready(Some(health));
            }
        }
    }
}
