//! What a mirror does with keys that are special.

use std::time::Duration;

/// What becomes of keys that are attached to a lease in the source. A lease of one cluster means
/// nothing in another one.
// Case 23
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Leased {
    /// They are copied without a lease. When their lease ends, their deletion is copied; when the
    /// source is gone for good, they stay. [`Applied::leased`](super::Applied::leased) counts them.
    #[default]
    Keep,
    /// They are not copied. A key that gets a lease is deleted from the copy, and one that is
    /// written without its lease comes back.
    Skip,
    /// They are attached to one lease in the target, which the mirror renews as long as it hears
    /// the source: when the source or the mirror is gone, they are gone after this time to live.
    /// When the source is back, they are written again. Whole seconds, 2 at least.
    Attach(Duration),
}

/// What becomes of keys that the target has where the copy is to be, and the source has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Occupied {
    /// A mirror that finds keys and no position fails. After that the copy is the mirror's own:
    /// whatever the source does not have is deleted there.
    #[default]
    Refuse,
    /// The copy is the mirror's own from the beginning: whatever the source does not have is
    /// deleted there.
    Delete,
    /// They stay. So do keys that were deleted in the source while the mirror was away, if the
    /// deletions are compacted away when it is back.
    Keep,
}
