//! The check of one handle.

use super::record::{Record, Span, Status};
use crate::model::LeaseEnd;
use etcd3::LossReason;
use etcd3::runtime::Instant;
use std::fmt;
use std::time::Duration;

/// What a renewal may take where nothing is wrong: round trips, and a member that is behind.
const SLACK: Duration = Duration::from_secs(1);
/// A lease with less than this is not promised to survive a member.
// I-L3
const SURVIVES_FROM: Duration = Duration::from_secs(5);

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A lease is not valid for longer than the leader keeps it.
    // I-L1, I-L8
    Safe,
    /// One that somebody else revoked is not valid any more once a renewal has failed, and at last
    /// when the time of the last renewal is over.
    Learned,
    /// A lease is not lost while it was acknowledged to be valid, nor while the cluster has it, if
    /// that is the reason.
    // I-L4, I-L5
    NotEarly,
    /// A loss is told once; nothing follows, and it never changes.
    // I-L4
    Once,
    /// The reason fits what happened.
    Reason,
    /// Where nothing is wrong, it is renewed in time.
    // I-L2
    Progress,
    /// One whose renewal is overdue for long is late.
    // I-L3
    Late,
    /// It survives the faults of one member.
    // I-L3
    Survives,
}

/// What is wrong with a handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule that does not hold.
    pub rule: Rule,
    /// The moment at which that showed.
    pub at: Instant,
    /// The handle, and what it said.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.saturating_since(Instant::ORIGIN).as_secs_f64();
        write!(f, "{:?}: {} at {at:.3} s", self.rule, self.text)
    }
}

impl std::error::Error for Violation {}

/// What the run demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Demands {
    /// From when on nothing is wrong any more, elections and dead connections included.
    pub calm_from: Option<Instant>,
    /// Whether at most one member was in trouble at a time.
    pub is_gentle: bool,
    /// Whether the machine of the client was suspended: what is overdue then shows late.
    pub is_suspended: bool,
}

/// Checks what one handle said, against how leases ended. Returns the first thing that is wrong.
#[must_use]
pub fn check(record: &Record, ends: &[LeaseEnd], demands: &Demands) -> Option<Violation> {
    // More than one of a grant whose answer was lost, and that was made again later.
    let mut ends = ends.iter().filter(|end| end.lease == record.lease).copied();
    let first = ends.next();
    let judge = Judge { record, first, end: ends.last().or(first), demands };
    let rules = [Judge::safe, Judge::learned, Judge::once, Judge::loss, Judge::renewed];
    rules.into_iter().find_map(|rule| rule(&judge).err())
}

type Verdict = Result<(), Violation>;

struct Judge<'a> {
    record: &'a Record,
    /// The first end of a lease of this id, and the last.
    first: Option<LeaseEnd>,
    end: Option<LeaseEnd>,
    demands: &'a Demands,
}

impl Judge<'_> {
    fn fail(&self, rule: Rule, at: Instant, what: impl fmt::Display) -> Verdict {
        let Record { name, ttl, .. } = self.record;
        Err(Violation { rule, at, text: format!("{name}, {ttl:?}: {what}") })
    }

    fn valid(&self) -> impl Iterator<Item = &Span> {
        self.record.spans.iter().filter(|span| span.first.status.is_valid())
    }

    /// Returns until when it was said to be valid, the last time.
    fn claimed(&self) -> Option<Instant> {
        self.valid().last().map(|span| span.first.valid_until)
    }

    fn safe(&self) -> Verdict {
        if let Some(sample) = self.record.contradicted {
            return self.fail(Rule::Safe, sample.at, format_args!("{sample:?}"));
        }
        let Some(end) = self.end.filter(|end| !end.is_by_former_leader) else { return Ok(()) };
        let Some(expired) = end.expired else { return Ok(()) };
        match self.valid().find(|span| span.last > expired) {
            Some(span) => self.fail(
                Rule::Safe,
                span.last,
                format_args!("it expired at {expired:?}: {span:?}"),
            ),
            None => Ok(()),
        }
    }

    fn learned(&self) -> Verdict {
        let Some(revoked) = self.end.filter(|end| end.expired.is_none()) else { return Ok(()) };
        let ttl = self.record.ttl;
        let calm = self.demands.calm_from.map(|calm| calm.max(revoked.at) + ttl / 3 + SLACK);
        let by = calm.into_iter().fold(revoked.at + ttl, Instant::min);
        match self.valid().find(|span| span.last > by) {
            Some(span) => self.fail(
                Rule::Learned,
                span.last,
                format_args!("it was revoked at {:?}: {span:?}", revoked.at),
            ),
            None => Ok(()),
        }
    }

    fn once(&self) -> Verdict {
        let Record { told, spans, is_over, .. } = self.record;
        let ended = told.iter().position(|(_, status)| !status.is_valid());
        if let Some(at) = ended
            && let Some((after, status)) = told.get(at + 1)
        {
            return self.fail(Rule::Once, *after, format_args!("{status:?} after it was lost"));
        }
        if let (None, true) = (ended, is_over) {
            let at = told.last().map_or(Instant::ORIGIN, |(at, _)| *at);
            return self.fail(Rule::Once, at, "its changes end without a loss");
        }
        let loss = self.record.loss();
        let disagrees = |span: &&Span| match (loss, span.first.status) {
            (Some((at, reason)), Status::Lost(said)) => said != reason && span.last >= at,
            (Some((at, _)), _) => span.last > at,
            (None, status) => !status.is_valid() && *is_over,
        };
        match spans.iter().find(disagrees) {
            Some(span) => self.fail(
                Rule::Once,
                span.last,
                format_args!("{span:?}, and it was told to be lost: {loss:?}"),
            ),
            None => Ok(()),
        }
    }

    fn loss(&self) -> Verdict {
        let Some((at, reason)) = self.record.loss() else { return Ok(()) };
        let is_ended = self.first.is_some_and(|end| end.at <= at);
        let is_let_go = |end: LeaseEnd| end.expired.is_none() || end.is_by_former_leader;
        let is_revoked = self.end.is_some_and(|end| is_let_go(end) && end.at <= at);
        let text = || format!("{reason:?}, claimed until {:?}, {:?}", self.claimed(), self.end);
        match reason {
            LossReason::Expired if !is_ended => self.fail(Rule::NotEarly, at, text()),
            LossReason::DeadlinePassed if self.claimed().is_some_and(|until| until > at) => {
                self.fail(Rule::NotEarly, at, text())
            }
            LossReason::Expired | LossReason::DeadlinePassed => {
                let is_promised =
                    self.demands.is_gentle && self.record.ttl >= SURVIVES_FROM && !is_revoked;
                if is_promised { self.fail(Rule::Survives, at, text()) } else { Ok(()) }
            }
            _ if self.record.given_up.contains(&reason) => Ok(()),
            _ => self.fail(Rule::Reason, at, text()),
        }
    }

    fn renewed(&self) -> Verdict {
        let ttl = self.record.ttl;
        for span in self.valid() {
            let left = span.first.valid_until.saturating_since(span.last);
            let is_calm = self.demands.calm_from.is_some_and(|calm| calm + ttl / 3 <= span.last);
            if is_calm && left + ttl / 3 + SLACK < ttl {
                return self.fail(Rule::Progress, span.last, format_args!("{span:?}"));
            }
            let is_silent = span.first.status == Status::Ok && left + SLACK < ttl / 3;
            if is_silent && !self.demands.is_suspended {
                return self.fail(Rule::Late, span.last, format_args!("{span:?}"));
            }
        }
        Ok(())
    }
}
