//! The errors of others, as causes of ours.

use super::Error;
use crate::status::Escaped;
use std::error::Error as StdError;
use std::fmt::{self, Write};
use std::sync::Arc;

/// An underlying error, shared; two are equal when they read the same.
#[derive(Debug, Clone)]
pub struct Cause(Arc<dyn StdError + Send + Sync>);

impl Cause {
    /// Wraps an error.
    ///
    /// An [`Error`] then shows nothing of method, outcome and attempts, which the one that it is
    /// the cause of has, too. One whose text holds control characters, as a peer may send them, is
    /// replaced by its text with these escaped.
    pub fn new(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let error = match error.into().downcast::<Error>() {
            Ok(error) => Box::new(error.into_nested()),
            Err(error) => error,
        };
        if is_plain(&*error) {
            return Self(Arc::from(error));
        }
        let text = Escaped(&Chain(Some(&*error)).to_string()).to_string();
        Self(Arc::from(Box::<dyn StdError + Send + Sync>::from(text)))
    }

    /// Returns the error itself.
    #[must_use]
    pub fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.0
    }
}

/// Writes the error and all that it was caused by in one line.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Chain(Some(self.as_error())).fmt(f)
    }
}

impl PartialEq for Cause {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_string() == other.0.to_string()
    }
}

impl Eq for Cause {}

/// An error and its sources in one line: `what: why: why`.
pub(super) struct Chain<'a>(pub(super) Option<&'a (dyn StdError + 'static)>);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut error = self.0;
        let mut is_first = true;
        while let Some(it) = error {
            let colon = if std::mem::take(&mut is_first) { "" } else { ": " };
            write!(f, "{colon}{it}")?;
            error = it.source();
        }
        Ok(())
    }
}

/// Returns whether an error, its sources included, can be put into a line of a log as it is.
fn is_plain(error: &(dyn StdError + 'static)) -> bool {
    /// Takes no control characters.
    struct Plain;

    impl Write for Plain {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            if text.contains(char::is_control) { Err(fmt::Error) } else { Ok(()) }
        }
    }

    write!(Plain, "{}", Chain(Some(error))).is_ok()
}
