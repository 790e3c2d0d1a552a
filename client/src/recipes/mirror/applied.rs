//! What a mirror says of its steps.

/// What [`Mirror::next`](super::Mirror::next) has applied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// What it was.
    pub step: Step,
    /// How many keys were written.
    pub puts: u64,
    /// How many keys were deleted; those that were not there count, too.
    pub deletes: u64,
    /// How many of the pairs had a lease in the source, whatever became of them.
    pub leased: u64,
    /// How many transactions it took; more than 1 for a revision that is larger than the target
    /// takes at once, whose parts can be seen one after the other there.
    pub transactions: u64,
}

/// A step of a [`Mirror`](super::Mirror).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The mirror goes on where an earlier one was: the target has all up to this revision of the
    /// source.
    Resumed(i64),
    /// Everything is being compared, from here on.
    Listing,
    /// A part of that.
    Differences,
    /// The copy is complete, at this revision of the source.
    Synced(i64),
    /// All that this revision of the source changed.
    Revision(i64),
    /// Nothing changed up to this revision of the source.
    Progress(i64),
    /// Changes were compacted away: everything will be compared.
    Compacted,
}

impl Applied {
    pub(super) const fn new(step: Step) -> Self {
        Self { step, puts: 0, deletes: 0, leased: 0, transactions: 0 }
    }
}
