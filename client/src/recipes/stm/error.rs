//! Why a transaction was not committed.

use super::{StmToken, TokenState};
use crate::{Error, Outcome};
use std::error::Error as StdError;
use std::fmt;

/// The attempt of a transaction cannot go on: a read failed, or the transaction has to begin anew.
///
/// The closure passes it on, as `?` does. Whatever the closure makes of it, the attempt is not
/// committed: [`Stm::run`](super::Stm::run) knows of it and begins anew, or returns the error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interrupted {
    pub(super) error: Option<Error>,
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.error {
            Some(_) => "a read of the transaction failed",
            None => "the attempt of the transaction is over",
        })
    }
}

impl StdError for Interrupted {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.as_ref().map(|error| error as _)
    }
}

/// Why a transaction was not committed, or may have been. `E` is what the closure ends with when
/// it gives up.
///
/// Nothing is written unless it is [`Unknown`](Self::Unknown), or
/// [`TokenUsed`](Self::TokenUsed) by an earlier run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum StmError<E> {
    /// The closure gave up, with this error.
    Aborted(E),
    /// Every attempt met a conflict, or a compaction of the revision that it read at.
    Contended {
        /// How many attempts there were, which is as many as may be.
        attempts: u32,
    },
    /// It compares or writes more than one transaction of the servers may
    /// (`--max-txn-ops`, 128 by default).
    TooManyOps {
        /// How many compares it takes: one for each key that was read, one for each range, one for
        /// the token; at `SerializableSnapshot` one for each key that is only written, too.
        compares: usize,
        /// How many keys it writes, the token not counted.
        writes: usize,
        /// The refusal.
        error: Error,
    },
    /// The commit may have taken place or not, and may still take place. It is not tried again.
    Unknown {
        /// How the commit failed.
        error: Error,
        /// How many attempts there were.
        attempts: u32,
        /// What tells whether it took place, by [`StmToken::settle`], if the transaction had a
        /// token.
        token: Option<StmToken>,
    },
    /// The token is used already: the transaction took place in an earlier run, or cannot take
    /// place any more.
    TokenUsed(TokenState),
    /// A call failed, in one of the reads or in the commit, and nothing was written.
    Call {
        /// How it failed. The outcome of a read, which may be unknown, is not that of the
        /// transaction.
        error: Error,
        /// How many attempts there were.
        attempts: u32,
    },
}

impl<E> StmError<E> {
    /// Returns what became of the writes of the transaction: *unknown* or *rejected*.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Unknown { .. } => Outcome::Unknown,
            _ => Outcome::Rejected,
        }
    }

    /// Returns what the closure gave up with, if it did.
    #[must_use]
    pub const fn aborted(&self) -> Option<&E> {
        match self {
            Self::Aborted(error) => Some(error),
            _ => None,
        }
    }

    /// Returns the error of the call that failed, if it was one.
    #[must_use]
    pub const fn call(&self) -> Option<&Error> {
        match self {
            Self::Call { error, .. }
            | Self::Unknown { error, .. }
            | Self::TooManyOps { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl<E: fmt::Display> fmt::Display for StmError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aborted(error) => error.fmt(f),
            Self::Contended { attempts } => {
                write!(f, "the transaction met conflicts in all of {attempts} attempts")
            }
            Self::TooManyOps { compares, writes, .. } => {
                write!(f, "the transaction is too large: {compares} compares, {writes} writes")
            }
            Self::Unknown { attempts, .. } => {
                write!(f, "whether the transaction was committed is unknown, attempt {attempts}")
            }
            Self::TokenUsed(TokenState::Committed { revision }) => {
                write!(f, "the transaction was committed before, at revision {revision}")
            }
            Self::TokenUsed(TokenState::Void) => {
                f.write_str("the token of the transaction was made void")
            }
            Self::Call { attempts, .. } => {
                write!(f, "a call of the transaction failed, attempt {attempts}")
            }
        }
    }
}

impl<E: StdError + 'static> StdError for StmError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Aborted(error) => error.source(),
            _ => self.call().map(|error| error as _),
        }
    }
}
