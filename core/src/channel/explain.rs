//! Why there is no connection, in the words of an error.

use super::health::{ConnectionState, EndpointView};
use super::slot::Listed;
use super::{Channel, ConnectionError, EndpointId};
use crate::Instant;
use crate::error::{Cause, ConnectFailure, Error, ErrorKind};
use std::fmt;

impl Channel {
    /// Returns the error of a client that found no endpoint to connect to: of the only one that it
    /// has, or of all. `None` when none has failed.
    #[must_use]
    pub fn failed(&self, now: Instant) -> Option<Error> {
        let mut endpoints = self.health_of(None);
        let failures = endpoints.iter().filter_map(|it| it.last.as_ref()).map(|last| last.failure);
        let failure =
            failures.reduce(|one, other| if one == other { one } else { ConnectFailure::Mixed })?;
        if let [_] = &endpoints[..] {
            let only = endpoints.pop()?;
            return Some(only.last?.into_error().with_endpoint(only.endpoint.text()));
        }
        let cause = Cause::new(Each::new(now, endpoints));
        Some(Error::new(ErrorKind::Connect(failure)).with_cause(cause))
    }

    /// Returns why a call found no connection: what is known of the only endpoint that will do, or
    /// of all that it may go to.
    #[must_use]
    pub fn explain(&self, now: Instant, only: Option<EndpointId>) -> Cause {
        let endpoints = self.health_of(only);
        let is_connected = endpoints.iter().any(|it| is_connected(it.state));
        match self.failed(now) {
            Some(error) if only.is_none() && !is_connected => Cause::new(error),
            _ => match <[_; 1]>::try_from(endpoints) {
                Ok([one]) => describe(now, one),
                Err(endpoints) => Cause::new(Each::new(now, endpoints)),
            },
        }
    }

    /// Returns what is known of the endpoints that a call may go to.
    fn health_of(&self, only: Option<EndpointId>) -> Vec<EndpointView> {
        let mut endpoints = self.health();
        endpoints.retain(|it| only.map_or(it.listed != Listed::No, |only| only == it.id));
        endpoints
    }
}

impl ConnectionError {
    /// Turns into the error of a client that waits for the connection.
    #[must_use]
    pub fn into_error(self) -> Error {
        Error::new(ErrorKind::Connect(self.failure)).with_cause(self.cause)
    }
}

const fn is_connected(state: ConnectionState) -> bool {
    matches!(state, ConnectionState::Ready | ConnectionState::Suspect)
}

/// Returns what is known of an endpoint that could not be used.
fn describe(now: Instant, health: EndpointView) -> Cause {
    let endpoint = health.endpoint.text();
    let since = now.saturating_since(health.since);
    match (health.state, health.last) {
        (state, _) if is_connected(state) => {
            Cause::new(format!("{endpoint}: it is connected, and takes no more calls now"))
        }
        (_, Some(last)) => Cause::new(last.into_error().with_endpoint(endpoint)),
        (ConnectionState::Connecting, None) => {
            Cause::new(format!("{endpoint}: it has been connecting for {since:?}"))
        }
        (_, None) => Cause::new(format!("{endpoint}: it was not tried yet")),
    }
}

/// What is known of each of several endpoints.
#[derive(Debug)]
struct Each {
    causes: Vec<Cause>,
    /// How many there are beyond those.
    untold: usize,
}

/// The endpoints that an error tells of, at most; the others are counted.
const MAX_TOLD: usize = 8;

impl Each {
    fn new(now: Instant, endpoints: Vec<EndpointView>) -> Self {
        let untold = endpoints.len().saturating_sub(MAX_TOLD);
        let causes = endpoints.into_iter().take(MAX_TOLD).map(|it| describe(now, it)).collect();
        Self { causes, untold }
    }
}

impl fmt::Display for Each {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, cause) in self.causes.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{cause}")?;
        }
        match self.untold {
            0 => Ok(()),
            untold => write!(f, "; and {untold} more"),
        }
    }
}

impl std::error::Error for Each {}
