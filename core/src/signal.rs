//! What an attempt tells: of its endpoint, and how fresh its response is.

use crate::ResponseHeader;
use crate::error::ErrorKind;
use crate::method::Method;
use std::time::Duration;

/// A server that was silent for less than this is not to blame when the time of a call is up.
const MIN_SILENCE: Duration = Duration::from_secs(1);

/// What an attempt told of its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HealthSignal {
    /// Nothing: it was dropped, or its fate says nothing of the endpoint.
    None,
    /// It was answered, though not with what takes a cluster: the member may be alone.
    Alive,
    /// It was answered by a member of a working cluster.
    Healthy,
    /// It was left without an answer, or the answer was that the member cannot serve it.
    Unhealthy,
}

/// What an answer is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Freshness {
    /// It may be handed out.
    Fresh,
    /// It is older than what the client had seen before it asked.
    Stale {
        /// The revision that the answer should have reached.
        floor: i64,
    },
    /// It comes from another cluster than the rest of the endpoints.
    Foreign {
        /// The cluster that the client belongs to.
        expected: u64,
    },
    /// The endpoints have become another cluster; said once.
    Changed {
        /// The cluster as it was.
        expected: u64,
    },
}

impl HealthSignal {
    /// What it tells of an endpoint that it was silent for so long when the time of a call was up.
    pub(crate) fn of_silence(method: &Method, silence: Duration) -> Self {
        if silence >= MIN_SILENCE && !method.waits { Self::Unhealthy } else { Self::None }
    }
}

impl Freshness {
    /// Returns why an answer with this header is not handed out; `None` if it is.
    pub(crate) const fn refusal(self, header: &ResponseHeader) -> Option<ErrorKind> {
        match self {
            Self::Fresh => None,
            Self::Stale { floor } => {
                Some(ErrorKind::StaleRead { revision: header.revision, seen: floor })
            }
            Self::Foreign { expected } | Self::Changed { expected } => {
                Some(ErrorKind::ClusterChanged { expected, found: header.cluster_id })
            }
        }
    }
}
