//! What should have been delivered and was not.

use super::check::{Cause, Scan};
use super::record::{End, Start};

use std::ops::Range;

/// Revisions one after the other that are missing for the same reason.
struct Gap {
    cause: Cause,
    first: usize,
    last: usize,
    events: usize,
}

/// Reports all events that match, lie between the start and the position, and did not come.
// ROB-004, ROB-006, ROB-007
pub(super) fn find(scan: &mut Scan<'_>) {
    let log = scan.log;
    let through = log.first_at(end(scan).saturating_add(1));
    let mut edges = std::mem::take(&mut scan.edges).into_iter().peekable();
    let mut gap: Option<Gap> = None;
    let mut at = log.first_at(start(scan));
    while at < through {
        let revision = log.changes()[at].revision();
        let group = at..at + log.changes()[at..].partition_point(|c| c.revision() == revision);
        at = group.end;
        let came = group.clone().any(|at| scan.seen[at]);
        let absent = absent(scan, group);
        while edges.next_if(|edge| absent.first().is_some_and(|at| edge.end <= *at)).is_some() {}
        let is_edge = absent.first().is_some_and(|at| edges.peek().is_some_and(|e| e.contains(at)));
        let cause = match (came, is_edge) {
            (true, _) => Cause::Torn,
            (false, true) => Cause::Skipped,
            (false, false) => Cause::Lost,
        };
        if came || gap.as_ref().is_some_and(|gap| !absent.is_empty() && gap.cause != cause) {
            flush(scan, &mut gap);
        }
        if let (Some(first), Some(last)) = (absent.first(), absent.last()) {
            let fresh = Gap { cause, first: *first, last: *first, events: 0 };
            let gap = gap.get_or_insert(fresh);
            gap.last = *last;
            gap.events += absent.len();
        }
    }
    flush(scan, &mut gap);
}

/// Returns the first revision that the watch had to deliver.
fn start(scan: &Scan<'_>) -> i64 {
    match scan.record.asked.start {
        Start::At(revision) => revision,
        Start::Now { by, .. } => scan.lowest.map_or(by, |lowest| lowest.min(by)),
    }
}

/// Returns the last revision that the watch had to deliver.
fn end(scan: &Scan<'_>) -> i64 {
    let position = scan.position();
    match scan.record.end {
        End::Open => position.max(scan.demands.through),
        // What progress claimed beyond is reported already.
        End::Compacted { requested, .. } => scan.delivered().max(requested.saturating_sub(1)),
        // Progress that overtakes events claims too much until they have come.
        End::Cancelled | End::Failed if scan.excuse(Cause::Overtaken).is_some() => scan.delivered(),
        End::Cancelled | End::Failed => position,
    }
}

/// Returns which changes of one revision are missing, but for those that a known bug explains.
fn absent(scan: &mut Scan<'_>, group: Range<usize>) -> Vec<usize> {
    let (log, asked) = (scan.log, &scan.record.asked);
    let matches = |at: &usize| {
        let change = &log.changes()[*at];
        !scan.seen[*at] && asked.covers(&change.kv.key) && asked.admits(change.kind)
    };
    let absent: Vec<usize> = group.filter(matches).collect();
    let is_unexplained = |at: &usize| {
        let cause = Cause::Missing(*at);
        let is_explained = scan.excuse(cause).is_some();
        if is_explained {
            scan.report(cause, format!("never came: {:?}", log.changes()[*at]));
        }
        !is_explained
    };
    absent.into_iter().filter(is_unexplained).collect()
}

fn flush(scan: &mut Scan<'_>, gap: &mut Option<Gap>) {
    let Some(Gap { cause, first, last, events }) = gap.take() else { return };
    let (first, last) = (&scan.log.changes()[first], &scan.log.changes()[last]);
    let (from, to) = (first.revision(), last.revision());
    let what = match cause {
        Cause::Torn => "a part of a revision did not come",
        Cause::Skipped => "it began later than it had to",
        _ => "nothing came of revisions that match",
    };
    let (kind, key) = (first.kind, &first.kv.key);
    let text = format!("{what}: {events} events of {from} to {to}, first {kind:?} of {key:?}");
    scan.report(cause, text);
}
