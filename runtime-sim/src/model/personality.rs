//! What servers of different versions do differently.

use etcd3::Code;

/// The version of the servers of a model cluster, and with it all that depends on the version.
///
/// Each switch can be set by hand, for a server that exists nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "a list of independent switches")]
pub struct Personality {
    /// Major, minor and patch number, as `Status` tells them.
    pub version: (u16, u16, u16),
    /// The header of a created message is filled when the message is sent, and not before the
    /// watcher is registered: what is written between the two is an event of the watcher at or
    /// below the revision of that header.
    // H1
    pub created_header_after_registration: bool,
    /// A watch with a start below zero is refused when it is created.
    // W7
    pub refuses_negative_start: bool,
    /// When a progress request is answered.
    // W23, W24
    pub progress: ProgressPolicy,
    /// A member that was brought up to date by a snapshot delivers events again that a watcher had
    /// before (etcd#15271).
    pub restore_replays: bool,
    /// A snapshot makes a watcher with a future start begin at once (W65, etcd#20221).
    pub restore_forgets_future_start: bool,
    /// A compaction at the revision of a deletion forgets the deletion.
    // W67
    pub compaction_drops_tombstone: bool,
    /// Orders and targets of a sort that have no name are refused; otherwise such a target ends the
    /// server, and such an order is none.
    // CFG-057
    pub refuses_unknown_sort: bool,
    /// The operations of a transaction are checked one after the other; otherwise all puts are, and
    /// then all reads, so that of two faults another one is named.
    pub checks_txn_in_order: bool,
    /// Of a put in a transaction the lease is looked up before the key whose value or lease it
    /// keeps, as of one outside.
    pub checks_lease_first: bool,
    /// A range of keys alone does not tell their leases, since it is answered from the index; one
    /// that is sorted by values still does.
    pub keys_lack_lease: bool,
    /// The method `RangeStream` exists.
    // K22, V5
    pub has_range_stream: bool,
    /// Members that were not asked leave the reads of a transaction out, so that they execute what
    /// the one that was asked refuses for the revision of a read (etcd#18667).
    pub leaves_unawaited_reads_out: bool,
    /// The method `AuthStatus` and the option `MemberList.linearizable` exist.
    pub has_auth_status: bool,
    /// The method `Downgrade` exists.
    // M26
    pub has_downgrade: bool,
    /// `AuthStatus` answers everybody, though it refuses a bad token.
    // V5
    pub auth_status_is_free: bool,
    /// An empty or reversed permission range is refused.
    // A4
    pub checks_permission_range: bool,
    /// A role grant without a permission is refused; otherwise it kills the server.
    // A5
    pub checks_permission_given: bool,
    /// Changing a password to the empty one leaves a user that cannot authenticate.
    pub empty_password_locks: bool,
    /// Tokens are looked at even while authentication is off.
    // AUTH-006
    pub checks_token_while_off: bool,
    /// The keys of a lease are listed only to users who may read them.
    pub guards_lease_keys: bool,
    /// Lease and maintenance calls, `MemberList` and `Compact` need a user, some of them root; and
    /// transactions are checked as deeply as plain requests.
    // A14, L7, K38
    pub guards_everything: bool,
    /// `Status` needs root.
    // A14
    pub status_needs_root: bool,
    /// A watch from a key on needs no more than the right to that key.
    // W16
    pub watch_scope_hole: bool,
    /// `Alarm` answers without a header, and its auth errors come with code Unknown and the text of
    /// the auth store.
    // E5
    pub raw_alarms: bool,
    /// The auth errors of `Defragment`, `Hash`, `HashKV` and `Snapshot` come with code Unknown and
    /// the text of the auth store.
    // E5
    pub raw_maintenance: bool,
    /// A member is added also while another one is down, if the new majority is connected.
    // M14
    pub adds_with_member_down: bool,
    /// To change the addresses of a learner makes it a voter in the list.
    // M15
    pub update_forgets_learner: bool,
    /// The code of "context deadline exceeded", which ends a write that found no leader to go to.
    pub deadline_code: Code,
    /// The code of "rpc not supported for learner".
    pub learner_code: Code,
}

/// When a server answers a progress request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressPolicy {
    /// Always and at once, ahead of events that were not sent yet.
    Always,
    /// When the stream has watchers and all of them are caught up.
    CaughtUp,
    /// As `CaughtUp`, and when no watcher has a start above the current revision: not even the
    /// next one.
    Started,
}

impl Personality {
    /// Returns the personality of this version. Known well are 3.4.23, 3.5.16, 3.5.30, 3.6.16 and
    /// 3.7.3; for other versions the change logs decide.
    #[must_use]
    pub fn of(major: u16, minor: u16, patch: u16) -> Self {
        let version = (major, minor, patch);
        // The first fixed releases of the lines 3.4 and 3.5; later lines have every fix.
        let since = |v34: u16, v35: u16| match (major, minor) {
            (3, 0..=3) | (0..=2, _) => false,
            (3, 4) => patch >= v34,
            (3, 5) => patch >= v35,
            _ => true,
        };
        let started = since(38, 22);
        Self {
            version,
            created_header_after_registration: started,
            refuses_negative_start: since(38, 24),
            progress: match (started, since(25, 8)) {
                (true, _) => ProgressPolicy::Started,
                (false, true) => ProgressPolicy::CaughtUp,
                (false, false) => ProgressPolicy::Always,
            },
            restore_replays: !since(25, 8),
            restore_forgets_future_start: !started,
            compaction_drops_tombstone: !since(34, 16),
            refuses_unknown_sort: (major, minor) >= (3, 6),
            checks_txn_in_order: (major, minor) >= (3, 6),
            checks_lease_first: (major, minor) >= (3, 7),
            keys_lack_lease: (major, minor) >= (3, 7),
            has_range_stream: (major, minor) >= (3, 7),
            leaves_unawaited_reads_out: (major, minor) < (3, 7),
            has_auth_status: since(u16::MAX, 0),
            has_downgrade: since(u16::MAX, 0),
            auth_status_is_free: (major, minor) >= (3, 7),
            checks_permission_range: since(25, 8),
            checks_permission_given: since(u16::MAX, 0),
            empty_password_locks: since(u16::MAX, 0),
            checks_token_while_off: !since(u16::MAX, 0),
            guards_lease_keys: since(26, 9),
            guards_everything: since(42, 28),
            status_needs_root: match (major, minor) {
                (3, 6) => (9..12).contains(&patch),
                _ => since(42, 28) && !since(u16::MAX, 32),
            },
            watch_scope_hole: !since(u16::MAX, 33),
            raw_alarms: !since(u16::MAX, 0),
            raw_maintenance: (major, minor) < (3, 6),
            adds_with_member_down: match (major, minor) {
                (3, 6) => patch >= 11,
                _ => since(u16::MAX, 30),
            },
            update_forgets_learner: match (major, minor) {
                (3, 6) => patch < 12,
                _ => !since(u16::MAX, 31),
            },
            deadline_code: if (major, minor) >= (3, 5) {
                Code::DeadlineExceeded
            } else {
                Code::Unknown
            },
            learner_code: if (major, minor) >= (3, 6) {
                Code::FailedPrecondition
            } else {
                Code::Unavailable
            },
        }
    }

    /// Returns the personality of one of the versions that are known well, drawn from a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        match seed % 5 {
            0 => Self::of(3, 4, 23),
            1 => Self::of(3, 5, 16),
            2 => Self::of(3, 5, 30),
            3 => Self::of(3, 6, 16),
            _ => Self::of(3, 7, 3),
        }
    }

    /// Returns the version as `Status` tells it.
    #[must_use]
    pub fn version_text(&self) -> String {
        let (major, minor, patch) = self.version;
        format!("{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_version_that_is_known_well_is_drawn() {
        let drawn: BTreeSet<_> = (0..5).map(|seed| Personality::draw(seed).version).collect();
        let known = [(3, 4, 23), (3, 5, 16), (3, 5, 30), (3, 6, 16), (3, 7, 3)];
        assert_eq!(drawn, known.into());
        assert_eq!(Personality::draw(7), Personality::draw(2));
    }
}
