//! What a channel is told, and what it asks for.

use super::{ConnectionId, EndpointId};
use crate::Instant;
use crate::endpoint::Endpoint;
use crate::error::{Cause, ConnectFailure};

/// Why an endpoint is not connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionError {
    /// The kind of failure.
    pub failure: ConnectFailure,
    /// The underlying error.
    pub cause: Option<Cause>,
}

/// How a server says that a connection takes no new calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Retirement {
    /// By a GOAWAY with the code `NO_ERROR`.
    NoError,
    /// With another code, or not at all.
    Other,
}

/// What is to leave a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Migration {
    /// The streams; calls end where they are.
    Streams,
    /// The streams, and the calls that may be repeated.
    All,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// An attempt needs a connection and there is none.
    Wanted,
    /// These are the endpoints from now on. Connections of others drain.
    Endpoints {
        /// Those that calls go to.
        primary: Vec<Endpoint>,
        /// Those for when none of the others works.
        fallback: Vec<Endpoint>,
    },
    /// Somebody names this endpoint; it is kept connected until as many said
    /// [`Unpinned`](Self::Unpinned).
    Pinned(Endpoint),
    /// Somebody no longer does.
    Unpinned(EndpointId),
    /// The connection can take calls.
    Connected(ConnectionId),
    /// The connection could not be made.
    Failed(ConnectionId, ConnectionError),
    /// The connection takes no new calls, though those under way may still end well (GOAWAY).
    Retired(ConnectionId, Retirement),
    /// The connection is gone.
    Ended(ConnectionId, ConnectionError),
    /// The server finds that it is pinged too often (`ENHANCE_YOUR_CALM`).
    TooManyPings,
    /// The last byte from the server came at this moment.
    Heard(ConnectionId, Instant),
    /// The probe is over; says whether it was answered well.
    Probed(ConnectionId, bool),
    /// The revision that was seen is not to be expected any more.
    ForgetFloor,
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Connect to the endpoint, and report how it went under this number.
    Dial(EndpointId, ConnectionId),
    /// Send a PING.
    Ping(ConnectionId),
    /// Make a linearizable read, and report with [`Input::Probed`] how it went.
    Probe(EndpointId, ConnectionId),
    /// End the connection, or the attempt to make it; nobody uses it.
    Close(ConnectionId),
    /// End the connection: it is dead. The calls on it are lost for this reason.
    Kill(ConnectionId, ConnectionError),
    /// Let these go from this connection to another one, which is there.
    Migrate(ConnectionId, Migration),
    /// Let the attempts that wait for a connection look again.
    Changed,
}
