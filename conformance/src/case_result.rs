//! How a case ends.

use std::error::Error;
use std::pin::Pin;

/// The end of a case: `Ok`, an error, or a panic.
pub type CaseResult = Result<(), BoxError>;

/// An error of any kind.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A case that runs.
pub type CaseFuture = Pin<Box<dyn Future<Output = CaseResult> + Send>>;
