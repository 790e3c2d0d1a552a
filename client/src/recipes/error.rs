//! Why a recipe failed.

use crate::{Bytes, Error, KeyValue, LeaseLost, Outcome};
use std::fmt;

/// Why a recipe failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecipeError {
    /// The session is lost or over, for this reason: what was held in its name is not held any
    /// more, and what was waited for will not come.
    SessionLost(LeaseLost),
    /// Somebody deleted the key by which it took part, while its session was valid.
    KeyDeleted(Bytes),
    /// It was given up by this program before: unlocked, resigned or dropped.
    Released,
    /// There is this key already: the barrier is held.
    KeyExists(Bytes),
    /// No more may take part than these many.
    TooManyClients(usize),
    /// This key holds what is no number, or one that the sum would not fit into.
    NotANumber(Bytes),
    /// An item of a queue was to be taken, and nobody knows whether it was.
    ClaimUnknown(Box<ClaimUnknown>),
    /// A call failed.
    Call(Error),
}

/// An item of a queue, which this reader has taken or somebody else has: the call by which it was
/// to be taken ended without an answer, and the item is gone since.
///
/// No reader gets it again. To process it means that it may be processed twice, not to means that
/// it may never be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimUnknown {
    /// The item.
    pub item: KeyValue,
    /// How the call ended.
    pub error: Error,
}

impl RecipeError {
    pub(super) fn claim_unknown(item: KeyValue, error: Error) -> Self {
        Self::ClaimUnknown(Box::new(ClaimUnknown { item, error }))
    }
}

impl RecipeError {
    /// Returns what became of the change that it was about to make: *rejected*, unless a call ended
    /// otherwise. It is *unknown* when the session was lost, since a call may have been under way
    /// then; what such a call wrote goes with the lease.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Call(error) => error.outcome(),
            Self::ClaimUnknown(_) | Self::SessionLost(_) => Outcome::Unknown,
            Self::KeyDeleted(_)
            | Self::Released
            | Self::KeyExists(_)
            | Self::TooManyClients(_)
            | Self::NotANumber(_) => Outcome::Rejected,
        }
    }

    /// Returns whether the session is lost or over.
    #[must_use]
    pub const fn is_session_lost(&self) -> bool {
        matches!(self, Self::SessionLost(_))
    }

    /// Returns the error of the call that failed, if it was one.
    #[must_use]
    pub const fn call(&self) -> Option<&Error> {
        match self {
            Self::Call(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for RecipeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SessionLost(lost) => write!(f, "the session is lost: {lost}"),
            Self::KeyDeleted(_) => f.write_str("its key was deleted by somebody else"),
            Self::Released => f.write_str("it was given up before"),
            Self::KeyExists(_) => f.write_str("the key exists"),
            Self::TooManyClients(limit) => write!(f, "{limit} take part, which is as many as may"),
            Self::NotANumber(_) => f.write_str("the key holds no number, or the sum is none"),
            Self::ClaimUnknown(claim) => {
                write!(f, "whether the item was taken is not known: {}", claim.error)
            }
            Self::Call(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RecipeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::SessionLost(lost) => lost.cause.as_ref().map(|error| error as _),
            Self::ClaimUnknown(claim) => claim.error.source(),
            Self::KeyDeleted(_)
            | Self::Released
            | Self::KeyExists(_)
            | Self::TooManyClients(_)
            | Self::NotANumber(_) => None,
            Self::Call(error) => error.source(),
        }
    }
}

impl From<Error> for RecipeError {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl From<LeaseLost> for RecipeError {
    fn from(lost: LeaseLost) -> Self {
        Self::SessionLost(lost)
    }
}
