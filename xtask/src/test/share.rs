//! The parts of the time that a test run may take, on two cores in a fresh clone.

/// A part of the whole run's time, which some steps share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// The conformance suite.
    Conformance,
    /// What is mostly the compiler.
    Compiling,
    /// Short tortures, simulated worlds and the comparison of the model.
    Tortures,
    /// What fetches or builds the programs of others.
    Packages,
}

impl Share {
    pub(super) const ALL: [Self; 4] =
        [Self::Conformance, Self::Compiling, Self::Tortures, Self::Packages];

    pub(super) const fn minutes(self) -> u32 {
        match self {
            Self::Conformance => 25,
            Self::Compiling => 20,
            Self::Tortures => 8,
            Self::Packages => 6,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Conformance => "conformance",
            Self::Compiling => "compiling",
            Self::Tortures => "tortures and worlds",
            Self::Packages => "packages",
        }
    }
}
