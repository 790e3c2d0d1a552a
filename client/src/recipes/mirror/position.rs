//! What a mirror stores in the target: how far the copy has come, and who wrote that.
//!
//! `42@cdf818194e3a8c32 5f3a.17 7587` says that the copy has all up to revision 41 of that cluster,
//! written as the 17th transaction of the mirror `5f3a`, and that keys are attached to the lease
//! `7587`, which is 0 where there is none. `listing` in place of the revision says that a listing
//! is not complete.

use crate::{LeaseId, ResumeToken};
use std::fmt;

/// A position as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// From where to go on; `None` where a listing is not complete.
    pub(super) token: Option<ResumeToken>,
    /// A number that no other mirror has.
    pub(super) writer: u64,
    /// Counts what the writer wrote.
    pub(super) sequence: u64,
    pub(super) lease: LeaseId,
}

const LISTING: &str = "listing";

impl Position {
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(text).ok()?.split(' ');
        let token = match words.next()? {
            LISTING => None,
            token => Some(token.parse().ok()?),
        };
        let (writer, sequence) = words.next()?.split_once('.')?;
        let lease = LeaseId(i64::from_str_radix(words.next()?, 16).ok()?);
        let writer = u64::from_str_radix(writer, 16).ok()?;
        let position = Self { token, writer, sequence: sequence.parse().ok()?, lease };
        words.next().is_none().then_some(position)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.token {
            Some(token) => write!(f, "{token}")?,
            None => f.write_str(LISTING)?,
        }
        let lease = self.lease.0;
        write!(f, " {:x}.{} {lease:x}", self.writer, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        let token = ResumeToken { revision: 42, cluster_id: 0xcdf8 };
        for token in [Some(token), None] {
            let lease = LeaseId(0x7587);
            let position = Position { token, writer: u64::MAX, sequence: 17, lease };
            assert_eq!(Position::parse(position.to_string().as_bytes()), Some(position));
        }
        let text = "42@cdf8 5f3a.17 0";
        assert_eq!(Position::parse(text.as_bytes()).unwrap().to_string(), text);
        for text in ["", "42", "42@cdf8", "42@cdf8 1.x 0", "42@cdf8 1.1 0 0", "0@1 1.1 0", "\u{e9}"]
        {
            assert_eq!(Position::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Position::parse(&[0xff]), None);
    }
}
