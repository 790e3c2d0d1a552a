//! What was measured of one row.

use super::programs::Job;
use super::stats::Rounds;

/// The measurements of one row, in nanoseconds of processor time and in instructions.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) job: Job,
    pub(crate) floor: Rounds,
    pub(crate) ours: Rounds,
    pub(crate) peer: Rounds,
    pub(crate) go: GoCost,
    pub(crate) floor_instructions: f64,
    pub(crate) our_instructions: f64,
}

/// The cost of Go's client.
#[derive(Debug)]
pub(crate) enum GoCost {
    Measured(Rounds),
    /// Comes from the file, brought to this run by the floor's figures; it is not judged.
    FromFile(f64),
    Unknown,
}

impl GoCost {
    /// Returns the figure to show, in nanoseconds, and whether it comes from the file.
    pub(crate) fn shown(&self) -> Option<(f64, bool)> {
        match self {
            Self::Measured(rounds) => Some((rounds.median(), false)),
            Self::FromFile(figure) => Some((*figure, true)),
            Self::Unknown => None,
        }
    }
}
