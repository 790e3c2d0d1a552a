//! The record of all transactions of a bank, and what it comes to.

use super::Shared;
use crate::history::Change;
use crate::history::transactions::{Ending, Read, Transaction, placed};
use crate::lock::locked;
use etcd3::runtime::Instant;
use std::collections::BTreeSet;
use std::fmt;

/// The record of all transactions of a bank; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Shared<Pages>);

#[derive(Debug, Default)]
struct Pages {
    transactions: Vec<Transaction>,
    /// How many attempts each took, where that was told.
    attempts: u64,
    conflicts: u64,
    contended: u64,
    aborted: u64,
    /// A sum that a closure saw, where it was not what it has to be.
    odd_sum: Option<i64>,
}

/// A transaction under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number(usize);

impl Ledger {
    pub(super) fn begin(&self, at: Instant, token: &str) -> Number {
        let mut pages = locked(&self.0);
        pages.transactions.push(Transaction::begin(at, token));
        Number(pages.transactions.len() - 1)
    }

    fn change(&self, Number(number): Number, change: impl FnOnce(&mut Transaction)) {
        if let Some(one) = locked(&self.0).transactions.get_mut(number) {
            change(one);
        }
    }

    /// Forgets what the attempt before has read and was to write.
    pub(super) fn begin_attempt(&self, number: Number) {
        self.change(number, |one| {
            one.reads.clear();
            one.writes.clear();
        });
    }

    pub(super) fn read(&self, number: Number, read: Read) {
        self.change(number, |one| one.reads.push(read));
    }

    pub(super) fn write(&self, number: Number, key: String, value: Option<String>) {
        self.change(number, |one| drop(one.writes.insert(key, value)));
    }

    pub(super) fn end(&self, number: Number, at: Instant, ending: Ending) {
        self.change(number, |one| one.returned = Some((at, ending)));
    }

    pub(super) fn count_attempts(&self, attempts: u32) {
        let mut pages = locked(&self.0);
        pages.attempts += u64::from(attempts);
        pages.conflicts += u64::from(attempts.saturating_sub(1));
    }

    pub(super) fn count_contended(&self) {
        locked(&self.0).contended += 1;
    }

    pub(super) fn count_aborted(&self) {
        locked(&self.0).aborted += 1;
    }

    pub(super) fn note_odd_sum(&self, sum: i64) {
        locked(&self.0).odd_sum.get_or_insert(sum);
    }

    pub(super) fn odd_sum(&self) -> Option<i64> {
        locked(&self.0).odd_sum
    }

    /// Returns how many transactions were begun.
    #[must_use]
    pub fn len(&self) -> usize {
        locked(&self.0).transactions.len()
    }

    /// Returns whether no transaction was begun.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns all transactions so far.
    #[must_use]
    pub fn transactions(&self) -> Vec<Transaction> {
        locked(&self.0).transactions.clone()
    }
}

/// What the transactions of a bank, or of many, came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many there were.
    pub transactions: u64,
    /// How many were committed, those that only read included.
    pub committed: u64,
    /// How many of those only read.
    pub audits: u64,
    /// How many attempts were made again.
    pub conflicts: u64,
    /// How many runs met nothing but conflicts.
    pub contended: u64,
    /// How many closures gave up.
    pub aborted: u64,
    /// How many ended otherwise, and did not take place.
    pub failed: u64,
    /// How many were of unknown outcome, and settled by a token or by the order of the changes.
    pub unknown: u64,
    /// How many of those took place.
    pub unknown_applied: u64,
}

impl Tally {
    pub(super) fn of(ledger: &Ledger, changes: &[Change]) -> Self {
        let pages = locked(&ledger.0);
        let (conflicts, contended, aborted) = (pages.conflicts, pages.contended, pages.aborted);
        let mut tally = Self { conflicts, contended, aborted, ..Self::default() };
        let written: BTreeSet<&str> = changes.iter().map(|it| &it.key[..]).collect();
        for one in &pages.transactions {
            tally.transactions += 1;
            let is_applied = written.contains(&one.token[..]) && placed(one, changes).is_some();
            match one.returned.map(|(_, ending)| ending) {
                Some(Ending::Committed(_)) => {
                    tally.committed += 1;
                    tally.audits += u64::from(one.writes.is_empty());
                }
                Some(Ending::Failed) => tally.failed += 1,
                Some(Ending::Unknown | Ending::Settled(_)) | None => {
                    tally.unknown += 1;
                    tally.unknown_applied += u64::from(is_applied);
                }
            }
        }
        tally.failed = tally.failed.saturating_sub(tally.contended + tally.aborted);
        tally
    }

    /// Adds what another bank came to.
    pub fn add(&mut self, other: &Self) {
        self.transactions += other.transactions;
        self.committed += other.committed;
        self.audits += other.audits;
        self.conflicts += other.conflicts;
        self.contended += other.contended;
        self.aborted += other.aborted;
        self.failed += other.failed;
        self.unknown += other.unknown;
        self.unknown_applied += other.unknown_applied;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} transactions: {} committed, {} of them only read; {} conflicts; {} gave up, {} met \
             conflicts alone, {} failed; {} unknown, of which {} took place",
            self.transactions,
            self.committed,
            self.audits,
            self.conflicts,
            self.aborted,
            self.contended,
            self.failed,
            self.unknown,
            self.unknown_applied
        )
    }
}
