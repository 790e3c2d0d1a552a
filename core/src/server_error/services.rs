//! The errors of the services `Lock` and `Election`, which servers send with the code `Unknown`.

// X36

use crate::status::Status;
use std::fmt;

/// An error of the services [`Lock` and `Election`](crate::request::services).
///
/// Source: etcd's `client/v3/concurrency`, which these services run within the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ServiceError {
    /// Nobody leads: there is no candidate.
    NoElectionLeader,
    /// The candidate does not lead, or not any more.
    NotElectionLeader,
    /// The lease ended while the lock was waited for.
    SessionExpired,
    /// The request does not say which leadership it is about.
    MissingLeaderKey,
}

impl ServiceError {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::NoElectionLeader,
        Self::NotElectionLeader,
        Self::SessionExpired,
        Self::MissingLeaderKey,
    ];

    /// The text of the server.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::NoElectionLeader => "election: no leader",
            Self::NotElectionLeader => "election: not leader",
            Self::SessionExpired => "mutex: session is expired",
            Self::MissingLeaderKey => "\"leader\" field must be provided",
        }
    }

    /// Recognises a status by its text; `None` for texts that are not known.
    #[must_use]
    pub fn from_status(status: &Status) -> Option<Self> {
        Self::ALL.iter().copied().find(|error| error.text() == status.message)
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
