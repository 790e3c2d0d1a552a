//! Random histories: every right delivery passes, and every corruption that can be seen is found.

use crate::corrupt::{Corruption, corrupt};
use crate::store::{Store, batch, event};
use etcd3_core::rng::Rng;
use etcd3_sim::etcd3::Bytes;
use etcd3_sim::history::watch::{
    Asked, Delivery, Demands, End, Event, Log, Prev, Record, Rule, Start, check,
};
use std::collections::BTreeMap;

const KEYS: [&str; 7] = ["a", "a/1", "a/2", "b", "c", "c\0", "d"];

/// A source of random choices.
pub(crate) struct Dice(Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rng::new(seed))
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.0.below(n as u64)).unwrap()
    }

    pub(crate) fn percent(&mut self, share: usize) -> bool {
        self.below(100) < share
    }

    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> Option<T> {
        (!choices.is_empty()).then(|| choices[self.below(choices.len())])
    }

    /// A revision in a range whose ends are included.
    pub(crate) fn within(&mut self, low: i64, high: i64) -> i64 {
        low + i64::try_from(self.below(usize::try_from(high - low + 1).unwrap())).unwrap()
    }
}

pub(crate) fn random_log(dice: &mut Dice, writes: usize) -> Log {
    let mut store = Store::default();
    for n in 0..writes {
        let count = if dice.percent(70) { 1 } else { 1 + dice.below(4) };
        let mut keys = KEYS.to_vec();
        let mut one = || {
            let key = keys.swap_remove(dice.below(keys.len()));
            let value = dice.percent(70).then(|| Bytes::from(format!("{n}")));
            (Bytes::from(key), value)
        };
        let writes: Vec<_> = (0..count).map(|_| one()).collect();
        store.commit(&writes);
    }
    let last = store.changes.last().map_or(1, |change| change.kv.mod_revision);
    let count = dice.below(3);
    Log::new(store.changes, (0..count).map(|_| dice.within(1, last))).unwrap()
}

fn random_asked(dice: &mut Dice, log: &Log) -> Asked {
    let ranges =
        [("a", ""), ("a", "b"), ("a/", "a0"), ("b", "\0"), ("\0", "\0"), ("c", "d"), ("zz", "")];
    let (key, range_end) = dice.one_of(&ranges).unwrap();
    let last = log.last();
    let start = if dice.percent(60) {
        Start::At(dice.within(1, last + 2))
    } else {
        let after = dice.within(1, last);
        let by = if dice.percent(20) { i64::MAX } else { after + dice.within(1, 5) };
        Start::Now { after, by }
    };
    let mut asked = Asked::new(key, range_end, start);
    asked.prev_kv = dice.percent(50);
    asked.progress_notify = dice.percent(50);
    match dice.below(6) {
        0 => asked.no_put = true,
        1 => asked.no_delete = true,
        _ => {}
    }
    asked
}

/// Returns the places of all changes that match, from a revision on.
pub(crate) fn matching(log: &Log, asked: &Asked, from: i64) -> Vec<usize> {
    let changes = log.changes();
    let matches = |at: &usize| {
        let change = &changes[*at];
        asked.covers(&change.kv.key) && asked.admits(change.kind)
    };
    (log.first_at(from)..changes.len()).filter(matches).collect()
}

/// Delivers correctly: whole revisions in batches of random size, true progress, resumptions.
pub(crate) fn deliver(dice: &mut Dice, log: &Log, asked: Asked) -> Record {
    let from = match asked.start {
        Start::At(revision) => revision,
        Start::Now { after, by } => dice.within(after + 1, by.min(log.last() + 1).max(after + 1)),
    };
    let mut groups = BTreeMap::<i64, Vec<Event>>::new();
    for at in matching(log, &asked, from) {
        let mut event = event(log, &asked, at);
        let is_pair = matches!(event.prev, Prev::Pair(_));
        if is_pair && log.is_lost_before(event.kv.mod_revision) && dice.percent(30) {
            event.prev = Prev::Unavailable;
        }
        groups.entry(event.kv.mod_revision).or_default().push(event);
    }
    let stop = if dice.percent(50) { usize::MAX } else { dice.below(groups.len() + 1) };
    let mut groups = groups.into_iter().take(stop).peekable();
    let mut deliveries = Vec::new();
    let mut position = 0;
    while groups.peek().is_some() {
        pauses(dice, &mut deliveries, &asked, (position, groups.peek().unwrap().0 - 1));
        let size = if dice.percent(50) { 1 } else { 1 + dice.below(5) };
        let events = groups.by_ref().take(size).flat_map(|(_, events)| events).collect();
        let mut batch = batch(events);
        position = batch.next.unwrap() - 1;
        batch.header = dice.within(position, log.last());
        deliveries.push(Delivery::Batch(batch));
    }
    let record = Record { name: "random".to_owned(), asked, deliveries, end: End::Open };
    finish(dice, log, record, stop)
}

/// Adds progress and resumptions between two batches: the position, and the last revision that
/// progress may claim.
fn pauses(dice: &mut Dice, to: &mut Vec<Delivery>, asked: &Asked, span: (i64, i64)) {
    let (mut position, end) = span;
    while dice.percent(25) {
        if dice.percent(50) {
            to.push(Delivery::Resumed);
        } else if asked.progress_notify && position <= end {
            position = dice.within(position, end);
            to.push(Delivery::Progress(position));
        }
    }
}

fn finish(dice: &mut Dice, log: &Log, mut record: Record, stop: usize) -> Record {
    let asked = record.asked.clone();
    if stop == usize::MAX {
        let last = positions(&record).last().copied().unwrap_or(0);
        pauses(dice, &mut record.deliveries, &asked, (last, log.last()));
    }
    let position = positions(&record).last().copied().unwrap_or(0);
    let next = position.max(match asked.start {
        Start::At(revision) => revision - 1,
        Start::Now { after, .. } => after,
    }) + 1;
    let compacted = log.compactions().iter().copied().find(|compacted| *compacted > next);
    record.end = match (dice.below(4), compacted) {
        (0, _) => End::Cancelled,
        (1, _) => End::Failed,
        (2, Some(compacted)) => End::Compacted { requested: next, compacted },
        // Nothing is demanded of a watch that was not served to the end.
        _ if stop == usize::MAX => End::Open,
        _ => End::Cancelled,
    };
    record
}

/// Returns the position after each delivery.
pub(crate) fn positions(record: &Record) -> Vec<i64> {
    let mut position = 0;
    let next = |delivery: &Delivery| {
        position = match delivery {
            Delivery::Batch(batch) => batch.events.last().unwrap().kv.mod_revision,
            Delivery::Progress(revision) => *revision,
            Delivery::Resumed => position,
        };
        position
    };
    record.deliveries.iter().map(next).collect()
}

fn scene(seed: u64) -> (Dice, Log, Record) {
    let mut dice = Dice::new(seed);
    let writes = 1 + dice.below(40);
    let log = random_log(&mut dice, writes);
    let asked = random_asked(&mut dice, &log);
    let record = deliver(&mut dice, &log, asked);
    (dice, log, record)
}

fn demands(log: &Log) -> Demands<'static> {
    Demands { through: log.last(), known: &[] }
}

#[test]
fn every_right_delivery_passes() {
    let mut events = 0;
    for seed in 0..20_000 {
        let (_, log, record) = scene(seed);
        let verdict = check(&log, &record, &demands(&log));
        assert!(verdict.is_clean(), "seed {seed}: {verdict}{record:#?}");
        events += record.deliveries.len();
    }
    assert!(events > 20_000, "{events} deliveries");
}

#[test]
fn every_corruption_that_can_be_seen_is_found() {
    let mut found = BTreeMap::<Corruption, usize>::new();
    let mut rules = BTreeMap::<Rule, usize>::new();
    for seed in 0..40_000 {
        let (mut dice, log, mut record) = scene(seed);
        let before = record.clone();
        let Some((corruption, expected)) = corrupt(&mut dice, &log, &mut record) else { continue };
        let verdict = check(&log, &record, &demands(&log));
        let is_found = expected.iter().any(|rule| verdict.count(*rule) > 0);
        assert!(is_found, "seed {seed}: {corruption:?}: {verdict}{before:#?}\n{record:#?}");
        *found.entry(corruption).or_default() += 1;
        for violation in verdict.violations {
            *rules.entry(violation.rule).or_default() += 1;
        }
    }
    println!("{found:?}");
    for corruption in Corruption::ALL {
        let times = found.get(&corruption).copied().unwrap_or(0);
        assert!(times >= 100, "{corruption:?} was tried {times} times");
    }
    let others = Rule::ALL.into_iter().filter(|rule| *rule != Rule::Log);
    assert_eq!(rules.keys().copied().collect::<Vec<_>>(), others.collect::<Vec<_>>());
}

// Linear but for the look-up of an event; neither a large revision nor a fault costs a scan.
#[test]
fn long_histories_are_checked_quickly() {
    let (watches, events) = if cfg!(debug_assertions) { (8, 20_000) } else { (64, 100_000) };
    let mut store = Store::default();
    let key = |n: usize| Bytes::from(format!("key/{:05}", n % 10_000));
    // The expiry of a lease with many keys, and deletions by range.
    for n in 0..events - 10_000 {
        store.commit(&[(key(n), Some(Bytes::from(n.to_string())))]);
    }
    store.commit(&(0..10_000).map(|n| (key(n), None)).collect::<Vec<_>>());
    let log = Log::new(store.changes, []).unwrap();
    assert_eq!(log.changes().len(), events);
    let mut dice = Dice::new(1);
    let asked = Asked { prev_kv: true, ..Asked::new("key/", "key0", Start::At(1)) };
    let mut record = deliver(&mut dice, &log, asked);
    while record.end != End::Open {
        record = deliver(&mut dice, &log, record.asked);
    }
    // Every tenth batch comes twice: each is a fault to report.
    let mut faulty = record.clone();
    let repeated = record.deliveries.iter().step_by(10).cloned();
    faulty.deliveries.extend(repeated.filter(|delivery| matches!(delivery, Delivery::Batch(_))));
    for _ in 0..watches {
        assert!(check(&log, &record, &demands(&log)).is_clean());
    }
    assert!(check(&log, &faulty, &demands(&log)).count(Rule::Unique) > 500);
}
