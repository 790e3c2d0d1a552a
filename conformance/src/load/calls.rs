//! What became of calls.

use super::millis;
use etcd3::Outcome;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// One call of a worker.
#[derive(Debug, Clone)]
pub struct CallRecord {
    /// Which worker made it; readers come first.
    pub worker: usize,
    /// What it asked for.
    pub kind: CallKind,
    /// When it was made; it was sent at this moment or later.
    pub begun: Instant,
    /// When its result was there.
    pub ended: Instant,
    /// The revision of the answer, or why there was none.
    pub result: Result<i64, CallFailure>,
}

/// What a call asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallKind {
    /// A linearizable read of a key that had been written before it began.
    Read {
        /// The key, if the response did not have it.
        stale: Option<String>,
    },
    /// A write of a key that nobody else writes, and this worker only once.
    Write {
        /// The key.
        key: String,
        /// The value, different from all others.
        value: String,
    },
}

/// Why there was no answer.
#[derive(Debug, Clone)]
pub struct CallFailure {
    /// What may have become of it.
    pub outcome: Outcome,
    /// How often the client tried.
    pub attempts: u32,
    /// Where the last attempt went.
    pub endpoint: Option<String>,
    /// The whole error.
    pub text: String,
}

impl CallRecord {
    /// Tells whether it is a write.
    pub fn is_write(&self) -> bool {
        matches!(self.kind, CallKind::Write { .. })
    }

    /// Tells whether it failed.
    pub fn failed(&self) -> bool {
        self.result.is_err()
    }

    /// Tells whether it failed with that outcome.
    pub fn failed_as(&self, outcome: Outcome) -> bool {
        self.result.as_ref().is_err_and(|failure| failure.outcome == outcome)
    }

    /// Returns how long it took.
    pub fn took(&self) -> Duration {
        self.ended - self.begun
    }
}

/// Counts the reads, or the writes, that failed with that outcome.
pub fn count_failed<'a>(
    calls: impl IntoIterator<Item = &'a CallRecord>,
    writes: bool,
    outcome: Outcome,
) -> usize {
    let calls = calls.into_iter().filter(|call| call.is_write() == writes);
    calls.filter(|call| call.failed_as(outcome)).count()
}

/// Returns the longest time between two consecutive successes of one reader that ended after
/// `from`; the first of the two may be earlier.
pub fn longest_gap(calls: &[CallRecord], from: Instant) -> Duration {
    let mut last: BTreeMap<usize, Instant> = BTreeMap::new();
    let mut longest = Duration::ZERO;
    for call in calls.iter().filter(|call| !call.is_write() && !call.failed()) {
        let before = last.insert(call.worker, call.ended);
        if let Some(before) = before.filter(|_| call.ended >= from) {
            longest = longest.max(call.ended.saturating_duration_since(before));
        }
    }
    longest
}

/// Returns the time within which so many percent of the successful calls were answered.
pub fn percentile(calls: &[CallRecord], percent: usize) -> Duration {
    let mut times: Vec<Duration> =
        calls.iter().filter(|call| !call.failed()).map(CallRecord::took).collect();
    times.sort_unstable();
    let index = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(index).copied().unwrap_or_default()
}

/// The columns of [`call_cells`].
pub const CALL_COLUMNS: [&str; 7] =
    ["calls", "reads failed", "unknown", "rejected", "not sent", "99 % within", "slowest"];

/// Returns the figures of the calls that ended from one moment on and before another one.
pub fn call_cells(calls: &[CallRecord], from: Instant, before: Option<Instant>) -> [String; 7] {
    let within: Vec<CallRecord> = calls
        .iter()
        .filter(|call| call.ended >= from && before.is_none_or(|before| call.ended < before))
        .cloned()
        .collect();
    let failed = |outcome| count_failed(&within, true, outcome).to_string();
    [
        within.len().to_string(),
        within.iter().filter(|call| !call.is_write() && call.failed()).count().to_string(),
        failed(Outcome::Unknown),
        failed(Outcome::Rejected),
        failed(Outcome::NotSent),
        millis(percentile(&within, 99)),
        millis(percentile(&within, 100)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(worker: usize, begun: Instant, took: u64, good: bool) -> CallRecord {
        let failure = || CallFailure {
            outcome: Outcome::Unknown,
            attempts: 1,
            endpoint: None,
            text: String::new(),
        };
        CallRecord {
            worker,
            kind: CallKind::Read { stale: None },
            begun,
            ended: begun + Duration::from_millis(took),
            result: if good { Ok(1) } else { Err(failure()) },
        }
    }

    #[test]
    fn a_gap_is_between_successes_of_one_reader() {
        let at = |ms| Duration::from_millis(ms);
        let zero = Instant::now();
        let calls = [
            read(0, zero, 0, true),
            read(1, zero + at(90), 0, true),
            read(0, zero + at(200), 0, false),
            read(1, zero + at(250), 0, true),
            read(0, zero + at(300), 0, true),
        ];
        assert_eq!(longest_gap(&calls, zero + at(100)), at(300));
        assert_eq!(longest_gap(&calls, zero + at(400)), Duration::ZERO);
        assert_eq!(count_failed(&calls, false, Outcome::Unknown), 1);
        assert_eq!(count_failed(&calls, true, Outcome::Unknown), 0);
    }

    #[test]
    fn a_percentile_is_a_time_that_was_seen() {
        let zero = Instant::now();
        let calls: Vec<_> = (1..=200).map(|ms| read(0, zero, ms, true)).collect();
        assert_eq!(percentile(&calls, 99), Duration::from_millis(198));
        assert_eq!(percentile(&calls[..1], 99), Duration::from_millis(1));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }

    #[test]
    fn a_row_has_the_calls_that_ended_in_its_time() {
        let zero = Instant::now();
        let at = |ms| zero + Duration::from_millis(ms);
        let kind = CallKind::Write { key: "k".to_owned(), value: "v".to_owned() };
        let calls = [
            read(0, zero, 9, true),
            read(0, zero, 10, true),
            CallRecord { kind, ..read(0, zero, 20, false) },
            read(0, zero, 25, false),
            read(0, zero, 30, true),
        ];
        let told = |before| call_cells(&calls, at(10), before).join(", ");
        assert_eq!(told(Some(at(30))), "3, 1, 1, 0, 0, 10 ms, 10 ms");
        assert_eq!(told(None), "4, 1, 1, 0, 0, 30 ms, 30 ms");
    }
}
