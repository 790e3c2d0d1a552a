//! What may have happened to a request that ended in an error.

use std::fmt;

/// What may have become of a request that failed (reliability classes of every error).
///
/// The same three for reads and writes, everywhere. What they mean for a read or a write is part of
/// the text of an [`Error`](crate::Error), which knows which of them it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// No server can have acted on it: it never left, or the peer declared it unprocessed.
    NotSent,
    /// A server answered that it changed nothing.
    Rejected,
    /// It may have been applied, may still be applied later, or not at all.
    Unknown,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSent => "not sent",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_read_as_they_are_documented() {
        let all = [Outcome::NotSent, Outcome::Rejected, Outcome::Unknown];
        assert_eq!(all.map(|outcome| outcome.to_string()), ["not sent", "rejected", "unknown"]);
    }
}
