//! What the leases of a world, or of many, came to.

use etcd3::LossReason;
use etcd3_sim::history::lease::{Demands, Record, Status};
use std::fmt;

/// Counts of leases.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leased {
    pub(crate) leases: u64,
    pub(crate) renewals: u64,
    /// How often one was late, and how often it was renewed after that.
    pub(crate) late: u64,
    pub(crate) rescued: u64,
    /// By the reason of the loss.
    pub(crate) expired: u64,
    pub(crate) overdue: u64,
    pub(crate) revoked: u64,
    pub(crate) orphaned: u64,
    pub(crate) closed: u64,
    /// How many were kept by two clients.
    pub(crate) shared: u64,
    /// How many were held by a client whose machine was suspended.
    pub(crate) slept: u64,
    /// How many had to survive the trouble of one member, and did.
    pub(crate) survived: u64,
    /// Calls for leases: those that failed, and all.
    pub(crate) failed: u64,
    pub(crate) calls: u64,
}

impl Leased {
    pub(super) fn count(&mut self, record: &Record, demands: &Demands) {
        self.leases += 1;
        self.renewals += record.renewals();
        self.slept += u64::from(demands.is_suspended);
        self.survived += u64::from(demands.is_gentle && record.ttl.as_secs() >= 5);
        for pair in record.told.windows(2) {
            self.late += u64::from(pair[1].1 == Status::Late);
            self.rescued += u64::from(pair[0].1 == Status::Late && pair[1].1 == Status::Ok);
        }
        let count = match record.loss().map(|(_, reason)| reason) {
            Some(LossReason::Expired) => &mut self.expired,
            Some(LossReason::DeadlinePassed) => &mut self.overdue,
            Some(LossReason::Revoked) => &mut self.revoked,
            Some(LossReason::Orphaned) => &mut self.orphaned,
            _ => &mut self.closed,
        };
        *count += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let Self {
            leases,
            renewals,
            late,
            rescued,
            expired,
            overdue,
            revoked,
            orphaned,
            closed,
            shared,
            slept,
            survived,
            failed,
            calls,
        } = other;
        self.leases += leases;
        self.renewals += renewals;
        self.late += late;
        self.rescued += rescued;
        self.expired += expired;
        self.overdue += overdue;
        self.revoked += revoked;
        self.orphaned += orphaned;
        self.closed += closed;
        self.shared += shared;
        self.slept += slept;
        self.survived += survived;
        self.failed += failed;
        self.calls += calls;
    }
}

impl fmt::Display for Leased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} leases: {} renewals seen, {} times late; lost: {} expired, {} past their deadline, \
             {} revoked, {} orphaned, {} closed; {} calls for leases, {} failed",
            self.leases,
            self.renewals,
            self.late,
            self.expired,
            self.overdue,
            self.revoked,
            self.orphaned,
            self.closed,
            self.calls,
            self.failed
        )
    }
}
