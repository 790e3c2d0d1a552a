//! What one fault did to the calls, and which limits it broke.

use super::fault::Hit;
use super::limits::{FaultLimits, MOMENT};
use crate::load::{CallRecord, Table, count_failed, longest_gap, millis, offset};
use etcd3::Outcome;
use std::time::{Duration, Instant};

/// The explanation of the columns.
pub(super) const LEGEND: &str = "\
used: whether the client read from the member right before; gap: the longest time between two
answers to one reader; tries: the most attempts of a failed call; last sent: when the last write
that failed was made; majority: when the survivors had answered a write that was made after the
fault; slack: how much earlier the last failed write was; late: failed writes that were made later;
lost to it: those of them that went to the member itself
";

/// Failures of one kind that are told one by one.
const MAX_TOLD: usize = 3;

/// One fault, and the calls that ended between its begin and the calm after it.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) hit: Hit,
    pub(super) limits: FaultLimits,
    pub(super) begin: Instant,
    pub(super) majority: Option<Instant>,
    pub(super) trouble: Vec<String>,
    pub(super) calls: Vec<CallRecord>,
}

impl Row {
    /// Leaves out what ended before the fault, but for what a gap needs.
    pub(super) fn sifted(mut self) -> Self {
        let from = self.begin.checked_sub(Duration::from_secs(2)).unwrap_or(self.begin);
        self.calls.retain(|call| call.ended >= from);
        self
    }

    fn calls(&self, writes: bool) -> impl Iterator<Item = &CallRecord> {
        let ended = self.calls.iter().filter(|call| call.ended >= self.begin);
        ended.filter(move |call| call.is_write() == writes)
    }

    fn failed_writes(&self) -> impl Iterator<Item = &CallRecord> {
        self.calls(true).filter(|call| call.failed())
    }

    /// Failed writes that were made after the surviving majority had answered.
    fn late(&self) -> Vec<&CallRecord> {
        let answered = self.majority;
        self.failed_writes().filter(|call| answered.is_some_and(|at| call.begun > at)).collect()
    }

    /// Tells whether a late write went to the member that was hit, before that could be noticed:
    /// soon after the fault, or when the others had only just begun to answer.
    fn is_excused(&self, call: &CallRecord) -> bool {
        let went = call.result.as_ref().err().and_then(|failure| failure.endpoint.as_deref());
        let others_answer = self.majority.map(|at| at + MOMENT);
        let known = others_answer.into_iter().chain([self.begin + self.limits.unnoticed]).max();
        went == Some(&self.hit.url) && known.is_some_and(|known| call.begun <= known)
    }

    fn gap(&self) -> Duration {
        longest_gap(&self.calls, self.begin)
    }

    fn cells(&self) -> Vec<String> {
        let failed_reads = self.calls(false).filter(|call| call.failed()).count();
        let failed = |outcome| count_failed(self.calls(true), true, outcome).to_string();
        let all = self.calls(false).chain(self.calls(true));
        let tries = all.filter_map(|call| call.result.as_ref().err()).map(|it| it.attempts).max();
        let last = self.failed_writes().map(|call| call.begun).max();
        let slack = match (last, self.majority) {
            (Some(last), Some(majority)) if last <= majority => millis(majority - last),
            (Some(last), Some(majority)) => format!("-{}", millis(last - majority)),
            _ => "-".to_owned(),
        };
        let late = self.late();
        let excused = late.iter().filter(|call| self.is_excused(call)).count();
        let broken = if self.broken().is_empty() { "ok" } else { "BROKEN" };
        vec![
            self.name(),
            if self.hit.used { "yes" } else { "no" }.to_owned(),
            self.calls(false).count().to_string(),
            failed_reads.to_string(),
            self.calls(true).count().to_string(),
            failed(Outcome::Unknown),
            failed(Outcome::Rejected),
            failed(Outcome::NotSent),
            millis(self.gap()),
            tries.map_or_else(|| "-".to_owned(), |tries| tries.to_string()),
            offset(last, self.begin),
            offset(self.majority, self.begin),
            slack,
            late.len().to_string(),
            excused.to_string(),
            broken.to_owned(),
        ]
    }

    fn name(&self) -> String {
        format!("{} of member {} ({})", self.hit.fault, self.hit.member, self.hit.role)
    }

    /// Returns the limits that did not hold, in words.
    pub(super) fn broken(&self) -> Vec<String> {
        let mut broken = self.trouble.clone();
        let mut tell = |what: &str, calls: Vec<&CallRecord>| {
            for call in calls.iter().take(MAX_TOLD) {
                let text = call.result.as_ref().err().map_or("", |failure| &failure.text);
                let made = offset(Some(call.begun), self.begin);
                let took = millis(call.took());
                broken.push(format!("{what}: made at {made}, ended after {took}: {text}"));
            }
            if calls.len() > MAX_TOLD {
                broken.push(format!("{what}: {} more", calls.len() - MAX_TOLD));
            }
        };
        tell("a read failed", self.calls(false).filter(|call| call.failed()).collect());
        let known = |call: &&CallRecord| !call.failed_as(Outcome::Unknown);
        tell("a write failed, and not as unknown", self.failed_writes().filter(known).collect());
        let late = self.late().into_iter().filter(|call| !self.is_excused(call)).collect();
        tell("a write failed that was made after the majority had answered", late);
        if self.majority.is_none() {
            broken.push("the surviving majority did not answer".to_owned());
        }
        let (gap, most) = (self.gap(), self.limits.gap);
        if gap > most {
            broken.push(format!("a reader waited {}, {} allowed", millis(gap), millis(most)));
        }
        broken.into_iter().map(|it| format!("{}: {it}", self.name())).collect()
    }
}

/// One line for each fault.
pub(super) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new([
        "fault",
        "used",
        "reads",
        "failed",
        "writes",
        "unknown",
        "rejected",
        "not sent",
        "gap",
        "tries",
        "last sent",
        "majority",
        "slack",
        "late",
        "lost to it",
        "",
    ]);
    for row in rows {
        table.row(row.cells());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::{MemberFault, Role};
    use crate::load::{CallFailure, CallKind};

    const HIT: &str = "http://hit";

    fn failed_write(begun: Instant, outcome: Outcome, endpoint: &str) -> CallRecord {
        let (key, value, text) = (String::new(), String::new(), "no".to_owned());
        let endpoint = Some(endpoint.to_owned());
        CallRecord {
            worker: 1,
            kind: CallKind::Write { key, value },
            begun,
            ended: begun + Duration::from_millis(1),
            result: Err(CallFailure { outcome, attempts: 1, endpoint, text }),
        }
    }

    fn read(ended: Instant) -> CallRecord {
        CallRecord {
            worker: 0,
            kind: CallKind::Read { stale: None },
            begun: ended,
            ended,
            result: Ok(1),
        }
    }

    /// A fault whose surviving majority answers after a second.
    fn row(fault: MemberFault, calls: impl FnOnce(Instant) -> Vec<CallRecord>) -> Row {
        let (role, begin) = (Role::Follower, Instant::now());
        Row {
            hit: Hit { fault, member: 0, role, used: true, url: HIT.to_owned() },
            limits: FaultLimits::of(fault, role),
            begin,
            majority: Some(begin + Duration::from_secs(1)),
            trouble: Vec::new(),
            calls: calls(begin),
        }
    }

    fn write(fault: MemberFault, after_ms: u64, outcome: Outcome, endpoint: &str) -> usize {
        let made = Duration::from_millis(after_ms);
        row(fault, |begin| vec![failed_write(begin + made, outcome, endpoint)]).broken().len()
    }

    #[test]
    fn a_write_may_fail_as_unknown_until_the_survivors_answer() {
        assert_eq!(write(MemberFault::Kill, 900, Outcome::Unknown, HIT), 0);
        assert_eq!(write(MemberFault::Kill, 1101, Outcome::Unknown, HIT), 1);
        assert_eq!(write(MemberFault::Kill, 900, Outcome::NotSent, HIT), 1);
        assert_eq!(write(MemberFault::Kill, 900, Outcome::Rejected, HIT), 1);
    }

    #[test]
    fn what_went_to_a_silent_member_may_be_lost_until_that_can_be_noticed() {
        assert_eq!(write(MemberFault::Stop, 1100, Outcome::Unknown, HIT), 0);
        assert_eq!(write(MemberFault::Stop, 1001, Outcome::Unknown, "http://other"), 1);
        assert_eq!(write(MemberFault::Partition, 12_100, Outcome::Unknown, HIT), 1);
    }

    #[test]
    fn a_reader_may_not_wait_longer_than_its_limit() {
        let gap = |ms| {
            let reads = |begin| vec![read(begin), read(begin + Duration::from_millis(ms))];
            row(MemberFault::Kill, reads).broken().len()
        };
        assert_eq!((gap(2000), gap(2001)), (0, 1));
    }
}
