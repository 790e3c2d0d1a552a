//! What a transaction may see of others.

/// What a [`Transaction`](super::Transaction) may see of others that go on at the same time.
///
/// The compares of a commit are those of Go's `concurrency.STM`, so programs of both may work on
/// the same keys. Whatever the level, a value is read once, from a majority of the members: later
/// reads of the key in the same attempt give the same, and what the transaction itself wrote.
///
/// | level | reads at one revision | keys read are unchanged | ranges, too | keys only written |
/// |---|---|---|---|---|
/// | `SerializableSnapshot` | yes | yes | yes, and none was added | unchanged, too |
/// | `Serializable` | yes | yes | yes, and none was added | |
/// | `RepeatableReads` | | yes | the keys found | |
/// | `ReadCommitted` | | | | |
///
/// Two transactions that each read what the other one writes, and would not both have written had
/// one run after the other (*write skew*), exclude each other at the first three levels. At
/// `RepeatableReads` they do only if they read keys that exist, or read them by their names: one
/// that finds nothing in a range does not notice what others add to it (*phantoms*).
// X30–X34
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Isolation {
    /// As `Serializable`; and of what the transaction writes, nothing was written by others after
    /// what it read. That a key was deleted meanwhile is noticed only if it was read, since etcd
    /// does not know when a key was deleted that is not there.
    #[default]
    SerializableSnapshot,
    /// The transactions that were committed are equivalent to one after the other, in the order of
    /// their revisions, which is also that of real time.
    Serializable,
    /// Reads may be of different revisions while the closure runs; none of the keys that were found
    /// has changed when it is committed.
    RepeatableReads,
    /// Nothing is compared: every value that was read was committed, and may have changed since.
    ReadCommitted,
}

impl Isolation {
    /// Tells whether all reads of an attempt are at one revision.
    pub(super) const fn is_pinned(self) -> bool {
        matches!(self, Self::SerializableSnapshot | Self::Serializable)
    }

    /// Tells whether what was read must not have changed at the commit.
    pub(super) const fn validates_reads(self) -> bool {
        !matches!(self, Self::ReadCommitted)
    }
}
