//! What happened in many worlds: counts, medians, and what must have happened sometimes.

use crate::leasing::Leased;
use crate::watching::Watched;
use etcd3::Outcome;
use etcd3_sim::history::{Change, Completion, Entry, Invocation};
use std::collections::BTreeSet;

/// What happened in one world, or in many.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) operations: u64,
    pub(crate) faults: u64,
    pub(crate) acknowledged: u64,
    pub(crate) rejected: u64,
    pub(crate) not_sent: u64,
    pub(crate) unknown: u64,
    /// Writes of unknown outcome that the store has, and that it has not.
    pub(crate) unknown_applied: u64,
    pub(crate) unknown_lost: u64,
    pub(crate) not_held: u64,
    /// Transactions that the client must not send.
    pub(crate) refused: u64,
    /// Reads that showed less than what was acknowledged when they began.
    pub(crate) stale_reads: u64,
    /// Linearizable reads that took long enough for a fault to lie between.
    pub(crate) patient_reads: u64,
    pub(crate) watched: Watched,
    pub(crate) leased: Leased,
}

impl Tally {
    pub(crate) fn of(history: &[Entry], changes: &[Change]) -> Self {
        let applied: BTreeSet<&str> =
            changes.iter().filter_map(|change| change.value.as_deref()).collect();
        let mut tally = Self { operations: history.len() as u64, ..Self::default() };
        for entry in history {
            tally.count(entry, &applied, history);
        }
        tally
    }

    fn count(&mut self, entry: &Entry, applied: &BTreeSet<&str>, history: &[Entry]) {
        let Some((returned, completion)) = &entry.returned else { return };
        let value = match &entry.invocation {
            Invocation::Put { value, .. }
            | Invocation::PutBoth { value, .. }
            | Invocation::CompareAndPut { value, .. } => Some(value.as_str()),
            Invocation::Get { .. } => None,
            Invocation::PutBesideRead { .. } => {
                self.refused += 1;
                return;
            }
        };
        match completion {
            Completion::Written(_) => self.acknowledged += 1,
            Completion::NotHeld(_) => self.not_held += 1,
            Completion::Failed(Outcome::NotSent) => self.not_sent += 1,
            Completion::Failed(Outcome::Rejected) => self.rejected += 1,
            Completion::Failed(Outcome::Unknown) => {
                self.unknown += 1;
                match value {
                    Some(value) if applied.contains(value) => self.unknown_applied += 1,
                    Some(_) => self.unknown_lost += 1,
                    None => {}
                }
            }
            Completion::Read { revision, .. } => {
                let known = history.iter().filter_map(|other| match &other.returned {
                    Some((at, Completion::Written(written))) if *at < entry.invoked => {
                        Some(*written)
                    }
                    _ => None,
                });
                self.stale_reads += u64::from(known.max().is_some_and(|known| known > *revision));
                let took = returned.saturating_since(entry.invoked);
                self.patient_reads += u64::from(took.as_millis() > 1000);
            }
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let Self {
            operations,
            faults,
            acknowledged,
            rejected,
            not_sent,
            unknown,
            unknown_applied,
            unknown_lost,
            not_held,
            refused,
            stale_reads,
            patient_reads,
            watched,
            leased,
        } = other;
        self.operations += operations;
        self.faults += faults;
        self.acknowledged += acknowledged;
        self.rejected += rejected;
        self.not_sent += not_sent;
        self.unknown += unknown;
        self.unknown_applied += unknown_applied;
        self.unknown_lost += unknown_lost;
        self.not_held += not_held;
        self.refused += refused;
        self.stale_reads += stale_reads;
        self.patient_reads += patient_reads;
        self.watched.add(watched);
        self.leased.add(leased);
    }

    /// Returns what must have happened sometimes in a batch, or the batch proves little.
    pub(crate) fn sometimes(&self) -> [(&'static str, u64); 20] {
        [
            ("a write of unknown outcome was applied", self.unknown_applied),
            ("a write of unknown outcome was lost", self.unknown_lost),
            ("a write was provably not sent", self.not_sent),
            ("a comparison did not hold", self.not_held),
            ("a transaction that may divide the cluster was refused", self.refused),
            ("a serializable read was stale", self.stale_reads),
            ("a read outlived a fault", self.patient_reads),
            ("a write was acknowledged", self.acknowledged),
            ("a watch went on after a loss", self.watched.resumed),
            ("a watch ended as compacted", self.watched.compacted),
            ("a watch was cancelled", self.watched.cancelled),
            ("progress was told", self.watched.progress),
            ("a listing was made again after a compaction", self.watched.resyncs),
            ("a lease was late", self.leased.late),
            ("a lease that was late was renewed", self.leased.rescued),
            ("a lease was lost at its deadline", self.leased.overdue),
            ("a lease was found to be gone", self.leased.expired),
            ("a lease was kept by two clients", self.leased.shared),
            ("a client slept while it had a lease", self.leased.slept),
            ("a lease survived the trouble of one member", self.leased.survived),
        ]
    }
}
