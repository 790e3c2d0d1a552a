//! The check of one watch: each delivery in turn, then what is missing.

use super::known::Known;
use super::log::Log;
use super::missing;
use super::record::{Asked, Batch, Delivery, End, Event, Prev, Record, Start};
use super::verdict::{Rule, Verdict, Violation};
use etcd3::proto::mvccpb::KeyValue;
use std::ops::Range;

/// What the run demands beside the guarantees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Demands<'a> {
    /// The revision up to which a watch that is still open must have delivered everything; 0 to
    /// demand nothing.
    pub through: i64,
    /// The bugs of the servers, whose effects are excused.
    pub known: &'a [Known],
}

/// Checks what one watch delivered against all changes of the store.
///
/// It takes `O(n log n)` time for `n` changes and events.
#[must_use]
pub fn check(log: &Log, record: &Record, demands: &Demands<'_>) -> Verdict {
    let mut scan = Scan::new(log, record, demands);
    for delivery in &record.deliveries {
        match delivery {
            Delivery::Batch(batch) => scan.batch(batch),
            Delivery::Progress(revision) => scan.progress(*revision),
            Delivery::Resumed => scan.resumed(),
        }
    }
    scan.compacted();
    missing::find(&mut scan);
    scan.verdict
}

/// What exactly is wrong; finer than the rules, since known bugs excuse no more than they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// An event outside of the range, or that a filter holds back.
    Unasked,
    /// An event older than one of a batch before.
    Regressed,
    /// An event older than one before it in its batch.
    Shuffled,
    /// An event that a batch before had.
    Repeated,
    /// An event that is twice in its batch.
    Doubled,
    /// An event of a revision that a batch before had others of.
    Split,
    /// A revision of which a part is missing.
    Torn,
    /// An event, or a compaction, at or below a revision that progress claimed.
    Overtaken,
    /// Progress that cannot be.
    FalseProgress,
    /// An event from before the start.
    BelowStart,
    /// The change at this place was not delivered.
    Missing(usize),
    /// Revisions that are missing after the start or a resumption.
    Skipped,
    /// Revisions that are missing elsewhere.
    Lost,
    /// An event that never happened.
    Invented,
    /// An event that differs from the change.
    Altered,
    /// A wrong word on whether the key was created.
    IsCreate,
    /// A wrong previous pair.
    PrevKv,
    /// A wrong resume token or header, or a batch without events.
    Position,
    /// A compaction that cannot have ended the watch.
    Compaction,
}

impl Cause {
    fn rule(self) -> Rule {
        match self {
            Self::Unasked => Rule::Filter,
            Self::Regressed | Self::Shuffled => Rule::Ordered,
            Self::Repeated | Self::Doubled => Rule::Unique,
            Self::Split | Self::Torn => Rule::Atomic,
            Self::Overtaken | Self::FalseProgress => Rule::Bookmarkable,
            Self::BelowStart | Self::Skipped => Rule::Resumable,
            Self::Missing(_) | Self::Lost | Self::Invented | Self::Altered => Rule::Reliable,
            Self::IsCreate => Rule::IsCreate,
            Self::PrevKv => Rule::PrevKv,
            Self::Position => Rule::Position,
            Self::Compaction => Rule::Compaction,
        }
    }
}

/// The state of a check.
pub(super) struct Scan<'a> {
    pub(super) log: &'a Log,
    pub(super) record: &'a Record,
    pub(super) demands: &'a Demands<'a>,
    /// Which changes were delivered.
    pub(super) seen: Vec<bool>,
    /// The lowest revision of an event that was taken.
    pub(super) lowest: Option<i64>,
    /// Places in the log between a start or a resumption and the event that came next.
    pub(super) edges: Vec<Range<usize>>,
    /// The highest place of an event that was taken.
    last: Option<usize>,
    /// The highest revision of an event in a batch before this one.
    closed: i64,
    progress: i64,
    /// Where the first event is to be looked for, after the start or a resumption.
    fresh: Option<usize>,
    verdict: Verdict,
}

impl<'a> Scan<'a> {
    fn new(log: &'a Log, record: &'a Record, demands: &'a Demands<'a>) -> Self {
        let first = match record.asked.start {
            Start::At(revision) => revision,
            Start::Now { by, .. } => by,
        };
        Self {
            log,
            record,
            demands,
            seen: vec![false; log.changes().len()],
            lowest: None,
            edges: Vec::new(),
            last: None,
            closed: 0,
            progress: 0,
            fresh: Some(log.first_at(first)),
            verdict: Verdict::default(),
        }
    }

    fn asked(&self) -> &'a Asked {
        &self.record.asked
    }

    /// Returns the last revision that certainly lies before the watch.
    fn before_start(&self) -> i64 {
        match self.asked().start {
            Start::At(revision) => revision.saturating_sub(1),
            Start::Now { after, .. } => after,
        }
    }

    fn last_revision(&self) -> i64 {
        self.last.map_or(0, |at| self.log.changes()[at].revision())
    }

    /// Returns the revision up to which everything was delivered, by the events.
    pub(super) fn delivered(&self) -> i64 {
        self.before_start().max(self.last_revision())
    }

    /// Returns the revision up to which everything was delivered, by events and progress.
    pub(super) fn position(&self) -> i64 {
        self.delivered().max(self.progress)
    }

    /// Notes what is wrong, unless a known bug explains it.
    pub(super) fn report(&mut self, cause: Cause, text: String) {
        let violation = Violation { rule: cause.rule(), watch: self.record.name.clone(), text };
        match self.excuse(cause) {
            Some(known) => self.verdict.excused.push((known, violation)),
            None => self.verdict.violations.push(violation),
        }
    }

    pub(super) fn excuse(&self, cause: Cause) -> Option<Known> {
        self.demands.known.iter().copied().find(|known| known.explains(cause, self.log))
    }

    fn batch(&mut self, batch: &Batch) {
        self.token(batch);
        for event in &batch.events {
            self.event(event);
        }
        self.closed = self.last_revision();
    }

    // I-W3, I-W4, W9
    fn token(&mut self, batch: &Batch) {
        let Some(last) = batch.events.iter().map(|event| event.kv.mod_revision).max() else {
            return self.report(Cause::Position, "a batch has no events".to_owned());
        };
        if let Some(next) = batch.next.filter(|next| *next != last.saturating_add(1)) {
            let text = format!("a batch up to revision {last} is to be resumed at {next}");
            self.report(Cause::Position, text);
        }
        if batch.header < last {
            let text = format!("a batch up to revision {last} has a header of {}", batch.header);
            self.report(Cause::Position, text);
        }
    }

    fn event(&mut self, event: &Event) {
        if !self.asked().covers(&event.kv.key) || !self.asked().admits(event.kind) {
            return self.report(Cause::Unasked, format!("it did not ask for {}", brief(event)));
        }
        let Some(at) = self.log.find(&event.kv) else {
            return self.report(Cause::Invented, format!("never happened: {}", brief(event)));
        };
        let (revision, start) = (event.kv.mod_revision, self.before_start());
        if revision <= start {
            let text = format!("began after revision {start}, and got {}", brief(event));
            return self.report(Cause::BelowStart, text);
        }
        if std::mem::replace(&mut self.seen[at], true) {
            let cause = if revision <= self.closed { Cause::Repeated } else { Cause::Doubled };
            return self.report(cause, format!("came before: {}", brief(event)));
        }
        self.order(at, event);
        self.content(at, event);
        self.lowest = Some(self.lowest.map_or(revision, |lowest| lowest.min(revision)));
    }

    fn order(&mut self, at: usize, event: &Event) {
        let revision = event.kv.mod_revision;
        let last = self.last_revision();
        if self.last.is_some_and(|last| at < last) {
            let cause = if revision < self.closed { Cause::Regressed } else { Cause::Shuffled };
            return self.report(cause, format!("{} came after revision {last}", brief(event)));
        }
        if revision <= self.progress {
            let text = format!("{} came after progress at {}", brief(event), self.progress);
            self.report(Cause::Overtaken, text);
        }
        if revision == self.closed {
            let text = format!("a batch before had events of the revision of {}", brief(event));
            self.report(Cause::Split, text);
        }
        self.last = Some(at);
        if let Some(from) = self.fresh.take() {
            self.edges.push(from..at);
        }
    }

    // ROB-007, ROB-008, ROB-009
    fn content(&mut self, at: usize, event: &Event) {
        let log = self.log;
        let (change, before) = (&log.changes()[at], log.before(at));
        if (change.kind, &change.kv) != (event.kind, &event.kv) {
            let got = (event.kind, &event.kv);
            self.report(Cause::Altered, format!("{got:?} came, and what happened is {change:?}"));
        }
        // Nothing deletes a key that is absent.
        let is_create = before.is_none();
        if event.is_create != is_create {
            let text = format!("is_create must be {is_create} of {}", brief(event));
            self.report(Cause::IsCreate, text);
        }
        if !self.fits(event, before) {
            let text =
                format!("{:?} came with {}, before was {before:?}", event.prev, brief(event));
            self.report(Cause::PrevKv, text);
        }
    }

    // W10
    fn fits(&self, event: &Event, before: Option<&KeyValue>) -> bool {
        match (&event.prev, before) {
            (Prev::NotAsked, _) => !self.asked().prev_kv,
            _ if !self.asked().prev_kv => false,
            (Prev::Absent, before) => before.is_none(),
            (Prev::Unavailable, before) => {
                before.is_some() && self.log.is_lost_before(event.kv.mod_revision)
            }
            (Prev::Pair(pair), before) => Some(pair) == before,
        }
    }

    fn progress(&mut self, revision: i64) {
        let (last, end) = (self.last_revision(), self.log.last());
        let what = if !self.asked().progress_notify {
            "nobody asked for it".to_owned()
        } else if revision < self.progress {
            format!("it was at {} before", self.progress)
        } else if revision < last {
            format!("events came up to {last}")
        } else if revision > end {
            format!("the store ends at {end}")
        } else {
            self.progress = revision;
            return;
        };
        self.report(Cause::FalseProgress, format!("progress at {revision}, but {what}"));
    }

    fn resumed(&mut self) {
        // Until an event came, it is the start, or the resumption before, that counts.
        if self.fresh.is_none() {
            self.fresh = Some(self.log.first_at(self.position().saturating_add(1)));
        }
    }

    // I-W6, W8
    fn compacted(&mut self) {
        let End::Compacted { requested, compacted } = self.record.end else { return };
        let (delivered, compactions) = (self.delivered(), self.log.compactions());
        let (cause, what) = if !compactions.contains(&compacted) {
            (Cause::Compaction, format!("the store was compacted at {compactions:?}"))
        } else if requested >= compacted {
            (Cause::Compaction, "what it asked for was there".to_owned())
        } else if requested <= delivered {
            (Cause::Compaction, format!("it had everything up to {delivered}"))
        } else if requested <= self.progress {
            (Cause::Overtaken, format!("progress was at {}", self.progress))
        } else {
            return;
        };
        let text = format!("asked for {requested}, compacted at {compacted}, but {what}");
        self.report(cause, text);
    }
}

fn brief(event: &Event) -> String {
    format!("{:?} of {:?} at revision {}", event.kind, event.kv.key, event.kv.mod_revision)
}
