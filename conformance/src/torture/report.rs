//! What a torture came to.

use super::board::Board;
use super::faults::Trouble;
use super::verify::Checked;
use etcd3_sim::history::watch::{Log, Record};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// What a torture came to; printed as a few lines.
#[derive(Debug, Clone)]
pub struct Report {
    /// How many events were lost, came again, out of order, or in pieces.
    pub zeros: [(&'static str, usize); 4],
    /// What is not as it must be, in words.
    pub problems: Vec<String>,
    /// How many watches there were, and events that they delivered.
    pub watches: usize,
    /// How many events were delivered.
    pub events: usize,
    /// The last revision of the store.
    pub revisions: i64,
    /// From the end of all faults until everything was delivered to half of those who watch, and
    /// to the last of them.
    pub caught_up: (Duration, Duration),
    /// How often each kind of fault was made.
    pub counts: BTreeMap<Trouble, usize>,
    /// Violations that known bugs of the servers explain, by their issue.
    pub excused: BTreeMap<&'static str, usize>,
    /// Calls that were checked one by one, and reads of the past.
    pub(crate) calls: usize,
    pub(crate) reads: usize,
    /// What was checked, and against what.
    pub(crate) records: Vec<Record>,
    pub(crate) log: Log,
    failed_writes: u64,
}

impl Report {
    pub(super) fn new(
        board: &Board,
        checked: Checked,
        log: Log,
        healed: Instant,
        counts: BTreeMap<Trouble, usize>,
    ) -> Self {
        let mut state = board.lock();
        state.complete.sort_unstable();
        let after = |at: Option<&Instant>| {
            at.map_or(Duration::ZERO, |at| at.saturating_duration_since(healed))
        };
        let half = state.complete.get(state.complete.len() / 2);
        let caught_up = (after(half), after(state.complete.last()));
        let mut excused = BTreeMap::new();
        for (known, _) in &checked.verdict.excused {
            *excused.entry(known.issue()).or_default() += 1;
        }
        Self {
            zeros: checked.zeros(),
            problems: std::mem::take(&mut state.problems),
            watches: checked.watches,
            events: checked.events,
            revisions: log.last(),
            caught_up,
            counts,
            excused,
            failed_writes: state.failed_writes,
            calls: state.history.len(),
            reads: state.reads.len(),
            records: checked.records,
            log,
        }
    }

    /// Tells whether all is as it must be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.problems.is_empty() && self.zeros.iter().all(|(_, count)| *count == 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zeros: Vec<String> =
            self.zeros.iter().map(|(what, count)| format!("{what} {count}")).collect();
        let counts: Vec<String> =
            self.counts.iter().map(|(trouble, count)| format!("{trouble} {count}")).collect();
        writeln!(f, "{}", zeros.join(", "))?;
        writeln!(f, "  faults: {}", counts.join(", "))?;
        writeln!(
            f,
            "  {} revisions, {} watches, {} events, {} checked calls, {} failed writes",
            self.revisions, self.watches, self.events, self.calls, self.failed_writes
        )?;
        let (half, all) = self.caught_up;
        writeln!(f, "  caught up after healing: half {half:.1?}, all {all:.1?}")?;
        for (issue, count) in &self.excused {
            writeln!(f, "  known bug of this version: {issue}, {count} times")?;
        }
        for problem in &self.problems {
            writeln!(f, "BROKEN {problem}")?;
        }
        Ok(())
    }
}
