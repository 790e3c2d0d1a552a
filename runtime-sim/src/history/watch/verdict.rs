//! What a check found.

use super::known::Known;
use std::fmt;

/// A rule that histories of watches obey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Each event lies in the range and passes the filters.
    // ROB-001, I-W14
    Filter,
    /// Events come in the order of the store.
    // ROB-002, I-W2
    Ordered,
    /// No event comes twice.
    // ROB-003, I-W2
    Unique,
    /// All events of a revision come in one batch.
    // ROB-004, I-W3
    Atomic,
    /// After progress at a revision nothing up to it comes, and progress never goes back.
    // ROB-005, I-W7
    Bookmarkable,
    /// The first event after the start, or after a resumption, is the first one that matches.
    // ROB-006, I-W5
    Resumable,
    /// The events are exactly the matching ones from the start to the position, as they happened.
    // ROB-007, I-W1
    Reliable,
    /// An event creates its key if and only if the key was absent before.
    // ROB-008
    IsCreate,
    /// The previous pair is the state before the revision.
    // ROB-009
    PrevKv,
    /// A batch can be resumed after its last revision, and its header is no older than that.
    // I-W3, I-W4
    Position,
    /// A watch ends as compacted only where history is gone, and at its own position.
    // I-W6
    Compaction,
    /// The changes can be those of one store.
    Log,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 12] = [
        Self::Filter,
        Self::Ordered,
        Self::Unique,
        Self::Atomic,
        Self::Bookmarkable,
        Self::Resumable,
        Self::Reliable,
        Self::IsCreate,
        Self::PrevKv,
        Self::Position,
        Self::Compaction,
        Self::Log,
    ];
}

/// What is wrong, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule that does not hold.
    pub rule: Rule,
    /// The name of the watch; empty for the changes of the store.
    pub watch: String,
    /// What came, and what was expected.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}: {}", self.rule, self.watch, self.text)
    }
}

impl std::error::Error for Violation {}

/// All that is wrong with a watch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// What no known bug of the server explains.
    pub violations: Vec<Violation>,
    /// What a known bug of the server explains.
    pub excused: Vec<(Known, Violation)>,
}

impl Verdict {
    /// Returns whether nothing is wrong but what known bugs explain.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// Returns the number of violations of a rule.
    #[must_use]
    pub fn count(&self, rule: Rule) -> usize {
        self.violations.iter().filter(|violation| violation.rule == rule).count()
    }

    /// Adds what was found at another watch.
    pub fn merge(&mut self, other: Self) {
        self.violations.extend(other.violations);
        self.excused.extend(other.excused);
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for violation in &self.violations {
            writeln!(f, "{violation}")?;
        }
        for (known, violation) in &self.excused {
            writeln!(f, "known ({}): {violation}", known.issue())?;
        }
        Ok(())
    }
}
