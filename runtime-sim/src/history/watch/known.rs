//! Bugs of servers that break the guarantees of watches, by version.

use super::check::Cause;
use super::log::Log;
use super::record::Kind;

/// A bug of some servers that excuses a violation. Lists are made by [`Known::of`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Known {
    /// Progress that was requested overtakes events of the same or a lower revision, or the news
    /// that they are compacted. What is lost because a watch was resumed from such progress is the
    /// client's fault and not excused.
    // W-06, W24
    ProgressOvertakes,
    /// A member that was brought up to date by a snapshot delivers old events again.
    // W-12
    BackInTime,
    /// A deletion at the revision of a compaction is not delivered.
    // W-15, W67
    DeleteAtCompaction,
    /// The same, when the compaction is finished after a restart.
    // W-15
    DeleteAtResumedCompaction,
    /// A watcher with a start in the future, as on a lagging member, gets older events.
    // W-13, W65
    FutureStart,
    /// Watchers that lag lose events when history is compacted.
    // W-14
    LostInStarvation,
}

impl Known {
    /// All of them, those that explain least first: where two explain a violation, the first is
    /// named.
    pub const ALL: [Self; 6] = [
        Self::ProgressOvertakes,
        Self::BackInTime,
        Self::DeleteAtCompaction,
        Self::DeleteAtResumedCompaction,
        Self::FutureStart,
        Self::LostInStarvation,
    ];

    /// Returns the issue that describes it.
    #[must_use]
    pub fn issue(self) -> &'static str {
        match self {
            Self::ProgressOvertakes => "etcd#15220",
            Self::BackInTime => "etcd#15271",
            Self::LostInStarvation => "etcd#17529",
            Self::DeleteAtCompaction => "etcd#18089",
            Self::DeleteAtResumedCompaction => "etcd#19179",
            Self::FutureStart => "etcd#20221",
        }
    }

    /// Returns the bugs of a server of this version.
    #[must_use]
    pub fn of(version: (u16, u16, u16)) -> Vec<Self> {
        Self::ALL.into_iter().filter(|known| known.is_in(version)).collect()
    }

    /// The first releases without it of 3.4, 3.5 and 3.6; the lines before have it, and those
    /// after do not.
    fn fixed(self) -> [u16; 3] {
        match self {
            Self::ProgressOvertakes | Self::BackInTime => [25, 8, 0],
            Self::LostInStarvation => [31, 13, 0],
            Self::DeleteAtCompaction => [34, 16, 0],
            Self::DeleteAtResumedCompaction => [36, 18, 0],
            Self::FutureStart => [38, 22, 2],
        }
    }

    fn is_in(self, (major, minor, patch): (u16, u16, u16)) -> bool {
        let [v34, v35, v36] = self.fixed();
        match (major, minor) {
            (0..=2, _) | (3, 0..=3) => true,
            (3, 4) => patch < v34,
            (3, 5) => patch < v35,
            (3, 6) => patch < v36,
            _ => false,
        }
    }

    /// Returns whether it explains what was found.
    pub(super) fn explains(self, cause: Cause, log: &Log) -> bool {
        let is_compacted_delete = |at: usize| {
            let change = &log.changes()[at];
            change.kind == Kind::Delete && log.compactions().contains(&change.revision())
        };
        match (self, cause) {
            (Self::ProgressOvertakes, Cause::Overtaken)
            | (Self::BackInTime, Cause::Regressed | Cause::Repeated)
            | (Self::FutureStart, Cause::BelowStart) => true,
            (Self::LostInStarvation, Cause::Missing(at)) => {
                log.is_lost_before(log.changes()[at].revision().saturating_add(1))
            }
            (Self::DeleteAtCompaction | Self::DeleteAtResumedCompaction, Cause::Missing(at)) => {
                is_compacted_delete(at)
            }
            _ => false,
        }
    }
}
