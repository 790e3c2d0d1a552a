//! What calls know of authentication tokens.

/// The generation of a token: a newer token has a higher one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);
