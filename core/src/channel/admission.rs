//! What an attempt wants of a channel, and what it is given.

use super::freshness::RevisionFloor;
use super::{ConnectionId, EndpointId};
use crate::Instant;
use crate::endpoint::Endpoint;
use crate::header::ResponseHeader;
use crate::signal::HealthSignal;

/// What an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum AttemptKind {
    /// A unary call, whose response is waited for. Some go to one endpoint in a row.
    #[default]
    Call,
    /// A stream that stays open: nobody waits for it, and streams are spread over the endpoints.
    Stream,
}

/// What an attempt wants of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Want {
    /// What it is.
    pub kind: AttemptKind,
    /// The endpoint that failed last: another one is taken if there is one.
    pub avoid: Option<EndpointId>,
    /// The only endpoint that will do.
    pub only: Option<EndpointId>,
    /// The only connection that will do, also one that may be dead: for a probe.
    pub connection: Option<ConnectionId>,
    /// Whether it repeats one that a server may have seen, and counts as a retry.
    // I-R5
    pub is_retry: bool,
    /// Whether its message must not be sent in plain text.
    pub is_secret: bool,
}

impl Want {
    /// Returns whether any endpoint will do.
    pub(super) const fn accepts_any(&self) -> bool {
        self.only.is_none() && self.connection.is_none()
    }
}

/// A connection that an attempt was admitted to. To be given back by
/// [`Channel::release`](super::Channel::release).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// What was admitted.
    pub kind: AttemptKind,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Its connection.
    pub connection: ConnectionId,
    /// When it was admitted.
    pub since: Instant,
    /// How far the cluster had been seen; `None` for an endpoint that may be of another cluster.
    pub floor: Option<RevisionFloor>,
    /// Whether a repetition could go to another endpoint.
    pub has_choice: bool,
}

/// Why an attempt was not admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// There is no connection with a permit to spare: say [`Input::Wanted`](super::Input::Wanted)
    /// and wait for [`Output::Changed`](super::Output::Changed).
    NoConnection,
    /// Too many calls are being repeated: to be made later, after a long wait.
    Throttled,
    /// It holds a secret, and its turn is at this endpoint, to which the connection is in plain
    /// text. To be made nowhere.
    Plaintext(Endpoint),
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// What it tells of its endpoint.
    pub signal: HealthSignal,
    /// The header of a response that was received whole.
    pub header: Option<ResponseHeader>,
    /// Whether that is of the cluster, and must not be older than what had been seen when the
    /// attempt was admitted.
    pub is_linearizable: bool,
    /// Whether it must not be older than that although a member answers by itself, which may be
    /// behind by right.
    pub is_ordered: bool,
}

impl From<HealthSignal> for Finished {
    fn from(signal: HealthSignal) -> Self {
        Self { signal, header: None, is_linearizable: false, is_ordered: false }
    }
}
