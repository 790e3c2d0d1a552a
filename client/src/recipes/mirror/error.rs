//! Why a mirror failed.

use crate::{Bytes, Error};
use std::fmt;

/// Why a mirror failed, and on which side.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MirrorError {
    /// The source cannot be read.
    Source(Error),
    /// The target cannot be read or written.
    Target(Error),
    /// The target has keys where the copy is to be, and no position yet. Nothing was written; see
    /// [`Mirror::occupied`](super::Mirror::occupied).
    Occupied,
    /// What is stored under the key of the position is no position.
    NoPosition(Bytes),
    /// Another mirror has stored a position since. The next call goes on from that one.
    Overtaken,
    /// This key of the source has no place in the target: without its prefix it is empty, or the
    /// key of the position.
    NoPlace(Bytes),
    /// What the mirror writes lies in the range that it copies: both are the same cluster, and it
    /// would copy its own changes for ever. The copy and the key of the position have to lie
    /// elsewhere.
    Loop,
}

impl MirrorError {
    /// Returns the error of the call that failed, if it was one.
    #[must_use]
    pub const fn call(&self) -> Option<&Error> {
        match self {
            Self::Source(error) | Self::Target(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for MirrorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => write!(f, "the source: {error}"),
            Self::Target(error) => write!(f, "the target: {error}"),
            Self::Occupied => f.write_str("the target has keys where the copy is to be"),
            Self::NoPosition(_) => f.write_str("the key of the position has another value"),
            Self::Overtaken => f.write_str("another mirror has stored a position"),
            Self::Loop => f.write_str("the mirror copies what it writes itself"),
            Self::NoPlace(_) => f.write_str("a key of the source has no place in the target"),
        }
    }
}

impl std::error::Error for MirrorError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.call().and_then(std::error::Error::source)
    }
}
