//! What an attempt tells: of its endpoint, and how fresh its response is.

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
