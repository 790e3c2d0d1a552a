//! What a channel knows of its endpoints, to look at.

use super::slot::{Listed, Slot, State};
use super::{Channel, ConnectionError, EndpointId};
use crate::Instant;
use crate::endpoint::Endpoint;

/// How an endpoint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionState {
    /// Nothing has been asked of it yet.
    Idle,
    /// A connection is being made.
    Connecting,
    /// It is connected and takes calls.
    Ready,
    /// It is connected, but left calls unanswered or says that it cannot serve them; calls go there
    /// only when there is no other.
    Suspect,
    /// It is connected, but nothing has come since another connection was found dead: no calls go
    /// there until it is known to be alive, or is connected anew.
    Unconfirmed,
    /// It could not be connected to, or the connection broke; the next try is at `retry_at`.
    Down {
        /// When it is dialled again.
        retry_at: Instant,
    },
}

/// What is known of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointView {
    /// Its number.
    pub id: EndpointId,
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Why it is known.
    pub listed: Listed,
    /// How it does.
    pub state: ConnectionState,
    /// Since when it is connected, being connected to, or down.
    pub since: Instant,
    /// How many calls are under way there.
    pub calls: u32,
    /// How many streams are open there.
    pub streams: u32,
    /// The last failure to connect, or to stay connected.
    pub last: Option<ConnectionError>,
}

impl Channel {
    /// Returns what is known of each endpoint, those that have been known the longest first.
    #[must_use]
    pub fn health(&self) -> Vec<EndpointView> {
        self.slots.iter().map(Slot::health).collect()
    }
}

impl Slot {
    fn health(&self) -> EndpointView {
        let state = match &self.state {
            State::Idle => ConnectionState::Idle,
            State::Dialing(_) => ConnectionState::Connecting,
            State::Ready(_) if self.suspicion.is_some() => ConnectionState::Suspect,
            State::Ready(ready) if ready.unconfirmed.is_some() => ConnectionState::Unconfirmed,
            State::Ready(_) => ConnectionState::Ready,
            State::Backoff { until } => ConnectionState::Down { retry_at: *until },
        };
        EndpointView {
            id: self.id,
            endpoint: self.endpoint.clone(),
            listed: self.listed,
            state,
            since: self.since,
            calls: self.ready().map_or(0, |ready| ready.calls),
            streams: self.ready().map_or(0, |ready| ready.streams),
            last: self.last.clone(),
        }
    }
}
