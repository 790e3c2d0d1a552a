//! The one error of the lab: a sentence.

use std::fmt;

/// An error: a sentence on what went wrong, for a person who reads a test's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

/// The result of everything in the lab that can fail.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Makes an error of a sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// Says what was being done when `cause` happened; made for `map_err`.
    pub(crate) fn doing<C: fmt::Display>(what: impl fmt::Display) -> impl FnOnce(C) -> Self {
        move |cause| Self(format!("{what}: {cause}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
