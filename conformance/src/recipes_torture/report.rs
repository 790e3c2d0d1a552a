//! What a torture of recipes came to.

use etcd3::runtime::Instant;
use etcd3_lab::load;
use etcd3_sim::history::Change;
use etcd3_sim::history::contention::{Hold, Item, check_holds, check_items};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long after another one holds it a loss may be told on an idle machine.
const TOLD: Duration = Duration::from_secs(1);

/// After so many outages somebody has held something in one of them.
const MANY: usize = 6;
/// The name of the fault that costs sessions.
pub(super) const OUTAGE: &str = "outage of half";

/// What all contenders were told.
#[derive(Debug, Clone, Default)]
pub(super) struct Told(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    holds: Vec<Hold>,
    items: BTreeMap<String, Item>,
    counts: Counts,
}

/// What is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// How often something was held.
    pub acquisitions: u64,
    /// How often it was told to be lost.
    pub losses: u64,
    /// Fenced writes that were made.
    pub accepted: u64,
    /// Those that were not, since their fence did not hold.
    pub refused: u64,
    /// Items that were taken.
    pub items: u64,
    /// Writes and claims of which nobody knows.
    pub unknown: u64,
}

impl Told {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn acquired(&self, hold: Hold) -> usize {
        let mut seen = self.seen();
        seen.counts.acquisitions += 1;
        seen.holds.push(hold);
        seen.holds.len() - 1
    }

    pub(super) fn over(&self, hold: usize, now: Instant) {
        self.seen().holds[hold].until.get_or_insert(now);
    }

    pub(super) fn deleted(&self, hold: usize) {
        self.seen().holds[hold].is_deleted = true;
    }

    pub(super) fn lost(&self, is_lost: bool) {
        self.seen().counts.losses += u64::from(is_lost);
    }

    /// Counts a fenced write; `None` is one of which nobody knows.
    pub(super) fn wrote(&self, is_accepted: Option<bool>) {
        let counts = &mut self.seen().counts;
        match is_accepted {
            Some(true) => counts.accepted += 1,
            Some(false) => counts.refused += 1,
            None => counts.unknown += 1,
        }
    }

    pub(super) fn item(&self, value: &str, change: impl FnOnce(&mut Item)) {
        change(self.seen().items.entry(value.to_owned()).or_default());
    }
}

/// What a torture of recipes came to; printed as a few lines.
#[derive(Debug, Default)]
pub struct Report {
    /// How often each fault was made.
    pub faults: BTreeMap<String, usize>,
    /// What was counted.
    pub counts: Counts,
    /// What is not as it must be, in words.
    pub problems: Vec<String>,
}

impl Report {
    pub(super) fn judge(&mut self, told: &Told, changes: &[Change]) {
        let seen = told.seen();
        self.problems.extend(check_holds(&seen.holds, changes, load::stretched(TOLD)).err());
        self.problems.extend(check_items(&seen.items).err());
        self.counts = seen.counts;
        for item in seen.items.values() {
            self.counts.items += u64::from(item.taken);
            self.counts.unknown += u64::from(item.unknown);
        }
        let Counts { acquisitions, accepted, items, .. } = self.counts;
        let outages = self.faults.get(OUTAGE).copied().unwrap_or_default();
        if outages >= MANY && self.counts.losses == 0 {
            self.problems.push("half was cut off so often, and nobody lost anything".to_owned());
        }
        if acquisitions.min(accepted).min(items) == 0 {
            self.problems.push("nothing was held, written or taken".to_owned());
        }
    }

    /// Tells whether all is as it must be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<String> =
            self.faults.iter().map(|(what, count)| format!("{what} {count}")).collect();
        writeln!(f, "  faults: {}", faults.join(", "))?;
        let Counts { acquisitions, losses, accepted, refused, items, unknown } = self.counts;
        writeln!(
            f,
            "  {acquisitions} acquisitions, {losses} losses, {accepted} fenced writes accepted and \
             {refused} refused, {items} items, {unknown} unknown"
        )?;
        self.problems.iter().try_for_each(|problem| writeln!(f, "BROKEN {problem}"))
    }
}
