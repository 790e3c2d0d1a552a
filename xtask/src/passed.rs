//! What a step of `cargo xtask test` that came to its end has to tell.

use crate::tally::Tally;

/// What a step that came to its end has to tell.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    pub(crate) says: String,
    pub(crate) tally: Tally,
    pub(crate) broken: Option<String>,
    /// What must not be overlooked.
    pub(crate) alarms: Vec<String>,
}

impl Passed {
    /// Tells something with one line or more.
    pub(crate) fn saying(text: impl Into<String>) -> Self {
        Self { says: text.into(), ..Self::default() }
    }

    /// Tells something that must not be overlooked.
    pub(crate) fn alarming(text: impl Into<String>) -> Self {
        Self { alarms: vec![text.into()], ..Self::default() }
    }

    /// Tells how many test cases passed.
    pub(crate) fn counting(tally: Tally) -> Self {
        Self { says: tally.to_string(), tally, ..Self::default() }
    }

    /// Tells that test cases failed, with the whole output.
    pub(crate) fn broken(output: String, tally: Tally) -> Self {
        Self { tally, broken: Some(output), ..Self::default() }
    }
}
