//! Where the events of each host are drawn: rows within lanes, one below the other.

use super::{Batch, CallSpan, FaultSpan, Lane, Trace};
use crate::net::HostId;
use etcd3::runtime::Instant;
use std::collections::BTreeMap;

/// The heights of rows, in pixels.
pub(super) const CALL_ROW: usize = 11;
pub(super) const FAULT_ROW: usize = 14;
pub(super) const BATCH_ROW: usize = 18;
/// The largest number of rows of a kind; more of them share the last one.
const MOST_ROWS: usize = 12;
/// The space above and below the rows of a lane, in pixels.
const PADDING: usize = 5;
/// The smallest height of a lane, in pixels.
const LEAST_HEIGHT: usize = 26;
/// The width that labels of faults are placed for, in pixels; who zooms in has more.
const USUAL_WIDTH: u64 = 1200;
/// The width of a character of a label, in pixels.
const CHARACTER: u64 = 6;

/// A lane with its place; `y` counts from the top of all lanes, in pixels.
pub(super) struct Placed<'a> {
    pub(super) lane: &'a Lane,
    pub(super) y: usize,
    pub(super) height: usize,
    pub(super) faults: Vec<InRow<&'a FaultSpan>>,
    pub(super) calls: Vec<InRow<&'a CallSpan>>,
    pub(super) batches: Vec<InRow<&'a Batch>>,
}

/// An event with its row.
pub(super) struct InRow<T> {
    pub(super) event: T,
    /// The top of its row, in pixels from the top of its lane.
    pub(super) y: usize,
    /// The microsecond up to which it has its row for itself.
    pub(super) until: u64,
}

/// Returns a time in microseconds.
pub(super) fn micros(at: Instant) -> u64 {
    at.as_nanos() / 1000
}

/// Returns the end of the drawing in microseconds; it has some room for what is at the very end.
pub(super) fn total(trace: &Trace) -> u64 {
    let end = micros(trace.end).max(1);
    end + end.div_ceil(100)
}

/// Places all lanes.
pub(super) fn place(trace: &Trace) -> Vec<Placed<'_>> {
    let total = total(trace);
    let mut faults = by_host(trace.faults.iter().map(|fault| (fault.host, fault)));
    let mut calls = by_host(trace.calls.iter().map(|call| (call.host, call)));
    let mut batches = by_host(trace.batches.iter().map(|batch| (batch.host, batch)));
    let mut top = 0;
    let lanes = trace.lanes.iter().map(|lane| {
        let mut y = PADDING;
        let faults = place_faults(faults.remove(&lane.host).unwrap_or_default(), &mut y, total);
        let calls = place_calls(calls.remove(&lane.host).unwrap_or_default(), &mut y, total);
        let batches = place_batches(batches.remove(&lane.host).unwrap_or_default(), &mut y, total);
        let height = (y + PADDING).max(LEAST_HEIGHT);
        let placed = Placed { lane, y: top, height, faults, calls, batches };
        top += height;
        placed
    });
    lanes.collect()
}

fn by_host<T>(events: impl Iterator<Item = (HostId, T)>) -> BTreeMap<HostId, Vec<T>> {
    let mut hosts: BTreeMap<HostId, Vec<T>> = BTreeMap::new();
    for (host, event) in events {
        hosts.entry(host).or_default().push(event);
    }
    hosts
}

fn place_faults<'a>(
    faults: Vec<&'a FaultSpan>,
    y: &mut usize,
    total: u64,
) -> Vec<InRow<&'a FaultSpan>> {
    let mut rows = Rows::new(*y, FAULT_ROW);
    let place = |event: &'a FaultSpan| {
        let (begin, end) = (micros(event.begin), event.end.map_or(total, micros));
        let label = (event.name.chars().count() as u64 + 1) * CHARACTER * total / USUAL_WIDTH;
        let until = end.max(begin + label);
        InRow { event, y: rows.take(begin, until), until }
    };
    let placed = faults.into_iter().map(place).collect();
    *y = rows.bottom();
    placed
}

fn place_calls<'a>(
    calls: Vec<&'a CallSpan>,
    y: &mut usize,
    total: u64,
) -> Vec<InRow<&'a CallSpan>> {
    let mut rows = Rows::new(*y, CALL_ROW);
    let place = |event: &'a CallSpan| {
        let until = event.end.map_or(total, |(at, _)| micros(at));
        InRow { event, y: rows.take(micros(event.begin), until), until }
    };
    let placed = calls.into_iter().map(place).collect();
    *y = rows.bottom();
    placed
}

/// Gives each watch a row, in the order of their first batches.
fn place_batches<'a>(batches: Vec<&'a Batch>, y: &mut usize, total: u64) -> Vec<InRow<&'a Batch>> {
    let mut watches: BTreeMap<&str, usize> = BTreeMap::new();
    let mut last: BTreeMap<usize, usize> = BTreeMap::new();
    let mut placed: Vec<InRow<&Batch>> = Vec::with_capacity(batches.len());
    for event in batches {
        let next = watches.len().min(MOST_ROWS - 1);
        let row = *watches.entry(&event.watch).or_insert(next);
        if let Some(before) = last.insert(row, placed.len()) {
            placed[before].until = micros(event.at);
        }
        placed.push(InRow { event, y: *y + row * BATCH_ROW, until: total });
    }
    *y += last.len() * BATCH_ROW;
    placed
}

/// Rows in which nothing overlaps, unless there are too many.
struct Rows {
    top: usize,
    height: usize,
    /// The microsecond from which each is free.
    free: Vec<u64>,
}

impl Rows {
    fn new(top: usize, height: usize) -> Self {
        Self { top, height, free: Vec::new() }
    }

    /// Takes the first free row and returns its top.
    fn take(&mut self, begin: u64, until: u64) -> usize {
        let free = self.free.iter().position(|free| *free <= begin);
        let row = free.unwrap_or_else(|| self.free.len().min(MOST_ROWS - 1));
        match self.free.get_mut(row) {
            Some(free) => *free = until.max(*free),
            None => self.free.push(until),
        }
        self.top + row * self.height
    }

    fn bottom(&self) -> usize {
        self.top + self.free.len() * self.height
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overlaps_has_rows_of_its_own() {
        let mut rows = Rows::new(100, 10);
        let tops: Vec<_> = [(0, 5), (1, 3), (3, 4), (4, 9), (5, 6)]
            .into_iter()
            .map(|(begin, until)| rows.take(begin, until))
            .collect();
        assert_eq!(tops, [100, 110, 110, 110, 100]);
        assert_eq!(rows.bottom(), 120);
        let tops: Vec<_> = (0..20).map(|_| rows.take(10, 99)).collect();
        assert_eq!(tops.iter().max(), Some(&210));
        assert_eq!(rows.bottom(), 220);
    }
}
