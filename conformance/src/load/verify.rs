//! Every write against what the cluster has in the end.

use super::workers::PREFIX;
use super::{BlockingRuntime, CallKind, CallRecord, Error};
use etcd3::{Client, Outcome, prefix};
use std::collections::BTreeMap;
use std::time::Instant;

/// Problems that are told one by one; the others are only counted.
const MAX_TOLD: usize = 10;

/// What the cluster has of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its value.
    pub value: Vec<u8>,
    /// How often it was written.
    pub version: i64,
    /// The revision of the last write.
    pub modified: i64,
}

/// What a check has found.
#[derive(Debug, Clone, Default)]
pub struct Verification {
    /// Acknowledged writes.
    pub acknowledged: usize,
    /// Writes of unknown outcome that are there.
    pub applied: usize,
    /// Writes of unknown outcome that are not.
    pub lost: usize,
    /// Reads that did not see a write that was acknowledged before they began.
    pub stale: usize,
    /// What is not as it should be.
    pub problems: Vec<String>,
}

/// Reads all keys of the load.
///
/// # Errors
///
/// When the cluster does not answer.
pub fn read_all(
    runtime: &BlockingRuntime,
    client: &Client,
) -> Result<BTreeMap<String, Stored>, Error> {
    let client = client.clone();
    runtime.run(async move {
        let mut stored = BTreeMap::new();
        let mut pages = client.pages(prefix(PREFIX));
        while let Some(page) = pages.next().await {
            for kv in page?.kvs {
                let key = String::from_utf8_lossy(&kv.key).into_owned();
                let value = kv.value.to_vec();
                let (version, modified) = (kv.version, kv.mod_revision);
                stored.insert(key, Stored { value, version, modified });
            }
        }
        Ok(stored)
    })
}

/// Compares what the callers were told with what is there (I-R1): an acknowledged write is there,
/// at the revision of its answer; a write that was not sent, or rejected, is not; one of unknown
/// outcome is there once or not at all. Acknowledged writes have revisions in the order of time.
pub fn check_calls(calls: &[CallRecord], stored: &BTreeMap<String, Stored>) -> Verification {
    let mut checked = Verification::default();
    let mut known = 0;
    for call in calls {
        match &call.kind {
            CallKind::Read { stale: None } => {}
            CallKind::Read { stale: Some(key) } => {
                checked.stale += 1;
                checked.problems.push(format!("a read did not see {key}"));
            }
            CallKind::Write { key, value } => {
                let found = stored.get(key);
                known += usize::from(found.is_some());
                let problem = checked.problem(call, value, found);
                checked.problems.extend(problem.map(|problem| format!("{key} {problem}")));
            }
        }
    }
    if known != stored.len() {
        let all = stored.len();
        checked.problems.push(format!("{all} keys are there, and {known} were written"));
    }
    checked.order(calls);
    let all = checked.problems.len();
    if all > MAX_TOLD {
        checked.problems.truncate(MAX_TOLD);
        checked.problems.push(format!("and {} more", all - MAX_TOLD));
    }
    checked
}

impl Verification {
    /// Says what is wrong with one write, and counts it.
    fn problem(
        &mut self,
        call: &CallRecord,
        value: &str,
        found: Option<&Stored>,
    ) -> Option<String> {
        if let Some(it) = found.filter(|it| it.value != value.as_bytes() || it.version != 1) {
            return Some(format!("is there as {it:?}"));
        }
        match (&call.result, found) {
            (Ok(revision), Some(it)) => {
                self.acknowledged += 1;
                let modified = it.modified;
                (modified != *revision).then(|| format!("is of {modified}, not {revision}"))
            }
            (Ok(_), None) => Some("is not there, and was acknowledged".to_owned()),
            (Err(failure), _) if failure.outcome == Outcome::Unknown => {
                self.applied += usize::from(found.is_some());
                self.lost += usize::from(found.is_none());
                None
            }
            (Err(failure), Some(_)) => Some(format!("is there, and failed: {}", failure.text)),
            (Err(_), None) => None,
        }
    }

    /// Checks that a write that began after the end of another one has a later revision.
    fn order(&mut self, calls: &[CallRecord]) {
        let writes = calls.iter().filter(|call| call.is_write());
        let mut known: Vec<(Instant, Instant, i64)> = writes
            .filter_map(|call| Some((call.begun, call.ended, *call.result.as_ref().ok()?)))
            .collect();
        let mut by_end = known.clone();
        known.sort_unstable_by_key(|write| write.0);
        by_end.sort_unstable_by_key(|write| write.1);
        let mut ended = by_end.into_iter().peekable();
        let mut floor = 0;
        for (begun, _, revision) in known {
            while let Some((.., before)) = ended.next_if(|write| write.1 < begun) {
                floor = floor.max(before);
            }
            if revision <= floor {
                let text = format!("revision {revision} came after {floor} was acknowledged");
                self.problems.push(text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::CallFailure;
    use super::*;
    use std::time::Duration;

    fn write(number: u64, result: Result<i64, Outcome>) -> CallRecord {
        let begun = Instant::now() + Duration::from_secs(number);
        let (key, value) = (format!("k{number}"), format!("v{number}"));
        let failure =
            |outcome| CallFailure { outcome, attempts: 1, endpoint: None, text: "no".into() };
        CallRecord {
            worker: 0,
            kind: CallKind::Write { key, value },
            begun,
            ended: begun + Duration::from_millis(1),
            result: result.map_err(failure),
        }
    }

    fn stored(number: u64, version: i64, modified: i64) -> (String, Stored) {
        let value = format!("v{number}").into_bytes();
        (format!("k{number}"), Stored { value, version, modified })
    }

    #[test]
    fn what_callers_were_told_has_to_be_true() {
        let calls = [
            write(1, Ok(2)),
            write(2, Err(Outcome::Unknown)),
            write(3, Err(Outcome::Unknown)),
            write(4, Err(Outcome::NotSent)),
            write(5, Ok(4)),
        ];
        let good = BTreeMap::from([stored(1, 1, 2), stored(2, 1, 3), stored(5, 1, 4)]);
        let checked = check_calls(&calls, &good);
        assert_eq!(checked.problems, Vec::<String>::new());
        assert_eq!((checked.acknowledged, checked.applied, checked.lost), (2, 1, 1));
    }

    #[test]
    fn each_lie_is_found() {
        let lies = [
            (write(1, Ok(2)), vec![]),
            (write(1, Ok(2)), vec![stored(1, 1, 3)]),
            (write(1, Ok(2)), vec![stored(1, 2, 2)]),
            (write(1, Err(Outcome::Unknown)), vec![stored(1, 2, 2)]),
            (write(1, Err(Outcome::NotSent)), vec![stored(1, 1, 2)]),
            (write(1, Err(Outcome::Rejected)), vec![stored(1, 1, 2)]),
            (write(1, Ok(2)), vec![stored(1, 1, 2), stored(2, 1, 3)]),
        ];
        for (call, there) in lies {
            let checked = check_calls(&[call], &there.into_iter().collect());
            assert_eq!(checked.problems.len(), 1, "{checked:?}");
        }
        let calls = [write(1, Ok(3)), write(2, Ok(2))];
        let there = BTreeMap::from([stored(1, 1, 3), stored(2, 1, 2)]);
        assert_eq!(check_calls(&calls, &there).problems.len(), 1, "out of order");
    }
}
