//! How errors read.
//!
//! ```text
//! {}      Put: the connection was lost [outcome unknown: it may have been applied; attempts: 1]
//! report  Put: the connection was lost: connection reset [outcome unknown: …; attempts: 1]
//! ```
//!
//! `{}` leaves the causes to [`source`](StdError::source), for whoever prints chains of sources.

use super::cause::Chain;
use super::{Error, ErrorKind, Parts};
use crate::method::Effect;
use crate::outcome::Outcome;
use std::error::Error as StdError;
use std::fmt;

/// An error in one line, its causes included; made by [`Error::report`].
#[derive(Debug, Clone, Copy)]
pub struct Report<'a>(pub(super) &'a Error);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = &*self.0.0;
        parts.fmt_what(f)?;
        if let Some(cause) = self.0.source() {
            write!(f, ": {}", Chain(Some(cause)))?;
        }
        parts.fmt_details(f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_what(f)?;
        self.0.fmt_details(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return f.debug_tuple("Error").field(&self.0).finish();
        }
        fmt::Display::fmt(&self.report(), f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.as_ref().map(|cause| cause.as_error() as &(dyn StdError + 'static))
    }
}

impl Parts {
    /// Writes what was called and what went wrong.
    fn fmt_what(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.endpoint, self.method) {
            (Some(endpoint), _) if self.is_nested => write!(f, "{endpoint}: ")?,
            (_, Some(method)) if !self.is_nested => {
                write!(f, "{}: ", method.rsplit('/').next().unwrap_or(method))?;
            }
            _ => {}
        }
        // What is lacking says more than the text of the server.
        let is_lacking = matches!(self.kind, ErrorKind::Unsupported { .. });
        match self.status.as_ref().filter(|_| !is_lacking) {
            Some(status) => write!(f, "{status}"),
            None => write!(f, "{}", self.kind),
        }
    }

    /// Writes what may have become of it, after how many attempts, and where.
    fn fmt_details(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_nested {
            return Ok(());
        }
        let mut separator = " [";
        if let Some(outcome) = self.outcome_in_words() {
            write!(f, "{separator}{outcome}")?;
            separator = "; ";
        }
        if self.attempts > 0 {
            write!(f, "{separator}attempts: {}", self.attempts)?;
            separator = "; ";
        }
        if let Some(endpoint) = &self.endpoint {
            write!(f, "{separator}endpoint: {endpoint}")?;
            separator = "; ";
        }
        f.write_str(if separator == "; " { "]" } else { "" })
    }

    /// Returns what is worth saying of the outcome: nothing where there was no request, nor that a
    /// read may have changed something.
    fn outcome_in_words(&self) -> Option<&'static str> {
        let is_request = self.effect.is_some() || self.method.is_some();
        match (self.outcome, self.effect) {
            (Outcome::NotSent, _) => is_request.then_some("not sent"),
            (Outcome::Rejected, Some(Effect::Read)) => Some("rejected"),
            (Outcome::Rejected, _) => Some("rejected, nothing changed"),
            (Outcome::Unknown, Some(Effect::Read)) => None,
            (Outcome::Unknown, Some(_)) => Some("outcome unknown: it may have been applied"),
            (Outcome::Unknown, None) => Some("outcome unknown"),
        }
    }
}
