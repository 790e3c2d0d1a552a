//! What a torture of leases came to.

use super::fault::EndpointFault;
use super::holder::{TTL, Told};
use crate::failover::Role;
use etcd3::LossReason;
use etcd3::runtime::Instant;
use etcd3_lab::load;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How long after another client saw its key gone, or after the end of its validity, a loss may be
/// told on an idle machine.
const REPORT_LIMIT: Duration = Duration::from_secs(1);

/// What a torture of leases came to; printed as a few lines.
#[derive(Debug, Default)]
pub struct Report {
    /// How often each fault of one endpoint was made.
    pub faults: BTreeMap<(EndpointFault, Role), usize>,
    /// How often all renewals were kept from a quorum.
    pub outages: BTreeMap<&'static str, usize>,
    /// How many leases there were.
    pub leases: usize,
    /// How many renewals were acknowledged, as far as they were told apart.
    pub renewals: u64,
    /// How often leases were late.
    pub late: u64,
    /// Leases that were lost in an outage, and told to be.
    pub losses: usize,
    /// Losses that known bugs of the servers explain, by their issue.
    pub excused: BTreeMap<&'static str, usize>,
    /// The reads of the keys that were answered.
    pub reads: u64,
    /// What is not as it must be, in words.
    pub problems: Vec<String>,
    /// What went wrong last, for the problems.
    pub(super) during: String,
    /// The least validity that was left while one endpoint failed.
    least_left: Option<Duration>,
    /// The longest time from the end of the validity to the word of it.
    latest: Duration,
    /// The shortest time from that word to when another client saw the key gone; negative times are
    /// in `behind`.
    ahead: Option<Duration>,
    /// The longest time from when another client saw the key gone to the word of the loss.
    behind: Duration,
}

impl Report {
    pub(super) fn problem(&mut self, problem: impl fmt::Display) {
        self.problems.push(format!("{}: {problem}", self.during));
    }

    /// Counts what was told of a lease.
    pub(super) fn count(&mut self, told: &Told) {
        self.leases += 1;
        self.renewals += told.renewals;
        self.late += u64::from(told.late);
    }

    /// Judges a lease that one failing endpoint must not have cost.
    // I-L3
    pub(super) fn judge_kept(&mut self, key: &str, told: &Told, gone: Option<Instant>) {
        self.count(told);
        let left = self.least_left.get_or_insert(told.least_left);
        *left = told.least_left.min(*left);
        match (told.lost, gone) {
            (None, None) => {}
            (Some((_, reason)), None) => {
                self.problem(format!("{key} is lost, and its key is there: {reason:?}"));
            }
            (None, Some(_)) => self.problem(format!("{key} is gone, and nobody was told")),
            (Some((at, reason)), Some(gone)) => {
                let early = at.saturating_since(gone);
                self.problem(format!("{key} is lost: {reason:?}, {early:?} after its key"));
            }
        }
        self.judge_revived(key, told);
    }

    /// Judges a lease that a bug of the server may have cost: the loss is to be told.
    // L-10, I-L4
    pub(super) fn judge_excused(&mut self, key: &str, told: &Told, gone: Option<Instant>) {
        match (told.lost, gone) {
            (Some((_, LossReason::Expired)), Some(gone)) => {
                self.count(told);
                *self.excused.entry("etcd#15247, a leader that was frozen revokes").or_default() +=
                    1;
                self.judge_revived(key, told);
                // A renewal is due within a third of the time to live; nothing else tells.
                self.judge_told(key, told, gone + TTL / 3);
            }
            _ => self.judge_kept(key, told, gone),
        }
    }

    /// Judges a lease that nothing could save.
    // I-L1, I-L4
    pub(super) fn judge_lost(&mut self, key: &str, told: &Told, gone: Option<Instant>) {
        self.count(told);
        self.judge_revived(key, told);
        let Some((at, reason)) = told.lost else {
            return self.problem(format!("{key} is not told to be lost"));
        };
        self.losses += 1;
        if reason != LossReason::DeadlinePassed {
            self.problem(format!("{key} is lost for another reason: {reason:?}"));
        }
        let late = at.saturating_since(told.valid_until);
        self.latest = self.latest.max(late);
        let limit = load::stretched(REPORT_LIMIT);
        if late > limit {
            self.problem(format!("{key} was not valid for {late:?} when that was told"));
        }
        let Some(gone) = gone else {
            return self.problem(format!("{key} is never seen to be gone"));
        };
        if gone < told.valid_until {
            let before = told.valid_until.saturating_since(gone);
            self.problem(format!("{key} was gone {before:?} before its validity was over"));
        }
        self.judge_told(key, told, gone);
    }

    /// Demands that a loss was told before another client saw it, or soon after.
    fn judge_told(&mut self, key: &str, told: &Told, gone: Instant) {
        let Some((at, _)) = told.lost else { return };
        let behind = at.saturating_since(gone);
        self.behind = self.behind.max(behind);
        if at <= gone {
            let ahead = gone.saturating_since(at);
            self.ahead = Some(self.ahead.map_or(ahead, |least| least.min(ahead)));
        }
        if behind > load::stretched(REPORT_LIMIT) {
            self.problem(format!("{key} was gone for {behind:?} when its loss was told"));
        }
    }

    fn judge_revived(&mut self, key: &str, told: &Told) {
        if told.is_revived {
            self.problem(format!("{key} was said to be valid after it was lost"));
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
        let faults = self.faults.iter();
        let faults: Vec<String> =
            faults.map(|((fault, role), count)| format!("{fault} of a {role} {count}")).collect();
        writeln!(f, "  faults of one endpoint: {}", faults.join(", "))?;
        let outages: Vec<String> =
            self.outages.iter().map(|(what, count)| format!("{what} {count}")).collect();
        writeln!(f, "  outages: {}", outages.join(", "))?;
        writeln!(
            f,
            "  {} leases, {} renewals seen, {} times late, {} reads of their keys",
            self.leases, self.renewals, self.late, self.reads
        )?;
        let left = self.least_left.unwrap_or_default();
        writeln!(f, "  one endpoint: at least {left:.1?} of {TTL:?} left; none may be lost")?;
        writeln!(
            f,
            "  outages: {} lost and told, at most {:.0?} after the validity was over (limit {:?})",
            self.losses, self.latest, REPORT_LIMIT
        )?;
        let ahead = self.ahead.unwrap_or_default();
        writeln!(
            f,
            "  told at least {ahead:.1?} before another client saw it, at most {:.0?} after (limit \
             {REPORT_LIMIT:?})",
            self.behind
        )?;
        for (issue, count) in &self.excused {
            writeln!(f, "  known bug of servers: {issue}, {count} times")?;
        }
        for problem in self.problems.iter().take(20) {
            writeln!(f, "BROKEN {problem}")?;
        }
        if self.problems.len() > 20 {
            writeln!(f, "BROKEN … {} in all", self.problems.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lost: Option<(u64, LossReason)>) -> Told {
        let valid_until = Instant::from_origin(Duration::from_secs(100));
        let lost = lost.map(|(second, reason)| (at(second), reason));
        Told { lost, ..Told::new(valid_until) }
    }

    fn at(second: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(second))
    }

    fn problems(judge: impl FnOnce(&mut Report)) -> String {
        let mut report = Report::default();
        judge(&mut report);
        report.problems.join("; ")
    }

    #[test]
    fn a_lease_that_is_lost_or_gone_under_one_fault_is_a_problem() {
        let kept = |told: &Told, gone| problems(|it| it.judge_kept("a", told, gone));
        assert_eq!(kept(&told(None), None), "");
        let lost = told(Some((100, LossReason::DeadlinePassed)));
        assert!(kept(&lost, None).contains("its key is there"));
        assert!(kept(&lost, Some(at(101))).contains("is lost: DeadlinePassed"));
        assert!(kept(&told(None), Some(at(1))).contains("nobody was told"));
        let revived = Told { is_revived: true, ..told(None) };
        assert!(kept(&revived, None).contains("valid after it was lost"));
    }

    #[test]
    fn a_loss_that_is_told_late_or_never_is_a_problem() {
        let lost = |told: &Told, gone| problems(|it| it.judge_lost("a", told, gone));
        let in_time = told(Some((100, LossReason::DeadlinePassed)));
        assert_eq!(lost(&in_time, Some(at(101))), "");
        assert!(lost(&told(None), Some(at(101))).contains("not told to be lost"));
        assert!(lost(&in_time, None).contains("never seen to be gone"));
        assert!(lost(&in_time, Some(at(99))).contains("1s before its validity was over"));
        let late = told(Some((150, LossReason::DeadlinePassed)));
        let said = lost(&late, Some(at(102)));
        assert!(said.contains("was not valid for 50s") && said.contains("gone for 48s"), "{said}");
        let other = told(Some((100, LossReason::Expired)));
        assert!(lost(&other, Some(at(101))).contains("another reason"));
    }

    #[test]
    fn a_loss_that_a_bug_of_the_server_explains_is_counted_apart() {
        let mut report = Report::default();
        report.judge_excused("a", &told(Some((50, LossReason::Expired))), Some(at(49)));
        assert_eq!((report.is_good(), report.excused.len()), (true, 1), "{report}");
        report.judge_excused("a", &told(Some((90, LossReason::Expired))), Some(at(49)));
        assert!(report.problems[0].contains("when its loss was told"), "{report}");
        report.judge_excused("a", &told(Some((50, LossReason::DeadlinePassed))), Some(at(51)));
        assert_eq!(report.problems.len(), 2, "{report}");
    }
}
