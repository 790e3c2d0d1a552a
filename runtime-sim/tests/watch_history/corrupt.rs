//! Faults of a delivery, one at a time, each of a kind that a check can see.

use crate::random::{Dice, matching, positions};
use crate::store::{batch, event};
use etcd3_sim::etcd3::Bytes;
use etcd3_sim::history::watch::{
    Asked, Batch, Delivery, End, Event, Kind, Log, Prev, Record, Rule, Start,
};

/// What is wrong with a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Corruption {
    /// An event is missing that something after it, or the demand of the run, shows to be lost.
    Drop,
    /// An event comes again, in its batch or in a later one.
    Repeat,
    /// Two events of a watch change places.
    Swap,
    /// A revision comes in two batches.
    Split,
    /// A previous pair is another one, or is not there.
    Prev,
    /// Progress claims what comes after it.
    EarlyProgress,
    /// Progress goes back.
    BackProgress,
    /// An event that the range or a filter leaves out.
    Unasked,
    /// An event from before the start.
    BelowStart,
    /// Something of an event differs.
    Alter,
    /// A change that never was.
    Invent,
    /// A wrong word on whether a key was created.
    IsCreate,
    /// A token within a batch, or beyond it.
    Token,
    /// A header that is older than the events.
    Header,
    /// A compaction that was none, or not at the position.
    Compaction,
}

use Corruption as C;

impl Corruption {
    pub(crate) const ALL: [Self; 15] = [
        C::Drop,
        C::Repeat,
        C::Swap,
        C::Split,
        C::Prev,
        C::EarlyProgress,
        C::BackProgress,
        C::Unasked,
        C::BelowStart,
        C::Alter,
        C::Invent,
        C::IsCreate,
        C::Token,
        C::Header,
        C::Compaction,
    ];
}

/// Corrupts a record in one way; returns the way and the rules of which one must find it, or `None`
/// when it has nothing to be corrupted that way.
pub(crate) fn corrupt(
    dice: &mut Dice,
    log: &Log,
    record: &mut Record,
) -> Option<(Corruption, &'static [Rule])> {
    let corruption = dice.one_of(&Corruption::ALL)?;
    let rules = match corruption {
        C::Drop => drop_event(dice, record)?,
        C::Repeat => repeat(dice, record)?,
        C::Swap => swap(dice, record)?,
        C::Split => split(dice, record)?,
        C::Prev => prev(dice, log, record)?,
        C::EarlyProgress => early_progress(dice, log, record)?,
        C::BackProgress => back_progress(dice, record)?,
        C::Unasked => unasked(dice, log, record)?,
        C::BelowStart => below_start(dice, log, record)?,
        C::Alter => alter(dice, record)?,
        C::Invent => invent(dice, record)?,
        C::IsCreate => is_create(dice, record)?,
        C::Token => token(dice, record)?,
        C::Header => header(dice, record)?,
        C::Compaction => compaction(dice, log, record)?,
    };
    Some((corruption, rules))
}

type Rules = Option<&'static [Rule]>;

fn batches(record: &Record) -> Vec<usize> {
    let is_batch = |at: &usize| matches!(record.deliveries[*at], Delivery::Batch(_));
    (0..record.deliveries.len()).filter(is_batch).collect()
}

fn at(record: &mut Record, at: usize) -> &mut Batch {
    match &mut record.deliveries[at] {
        Delivery::Batch(batch) => batch,
        other => panic!("{other:?} is no batch"),
    }
}

/// Chooses an event: the place of its batch, and its own in that.
fn choose(dice: &mut Dice, record: &mut Record) -> Option<(usize, usize)> {
    let chosen = dice.one_of(&batches(record))?;
    let count = at(record, chosen).events.len();
    Some((chosen, dice.below(count)))
}

/// Puts the token and the header right after an edit of the events.
fn mend(record: &mut Record, chosen: usize) {
    let events = at(record, chosen).events.clone();
    if events.is_empty() {
        record.deliveries.remove(chosen);
    } else {
        *at(record, chosen) = batch(events);
    }
}

// Not the first events of a watch from now: they may have been before it. Not the last ones of one
// that ended: they may have been under way.
fn drop_event(dice: &mut Dice, record: &mut Record) -> Rules {
    let (chosen, nth) = choose(dice, record)?;
    let dropped = at(record, chosen).events.remove(nth).kv.mod_revision;
    mend(record, chosen);
    let all = |record: &Record| -> Vec<i64> {
        let events = record.deliveries.iter().filter_map(|delivery| match delivery {
            Delivery::Batch(batch) => Some(&batch.events),
            _ => None,
        });
        events.flatten().map(|event| event.kv.mod_revision).collect()
    };
    let left = all(record);
    let is_own = match record.asked.start {
        Start::At(_) => true,
        Start::Now { by, .. } => dropped >= by || left.iter().any(|other| *other <= dropped),
    };
    let is_passed = positions(record).into_iter().any(|position| position >= dropped);
    let is_owed = matches!(record.end, End::Open | End::Compacted { .. });
    (is_own && (is_passed || is_owed)).then_some(&[Rule::Reliable, Rule::Resumable, Rule::Atomic])
}

fn repeat(dice: &mut Dice, record: &mut Record) -> Rules {
    let (chosen, nth) = choose(dice, record)?;
    let event = at(record, chosen).events[nth].clone();
    let later: Vec<usize> = batches(record).into_iter().filter(|at| *at >= chosen).collect();
    let target = dice.one_of(&later)?;
    let count = at(record, target).events.len();
    let first = if target == chosen { nth + 1 } else { 0 };
    let place = first + dice.below(count - first + 1);
    at(record, target).events.insert(place, event);
    Some(&[Rule::Unique])
}

fn swap(dice: &mut Dice, record: &mut Record) -> Rules {
    let (one, other) = (choose(dice, record)?, choose(dice, record)?);
    if one == other {
        return None;
    }
    let event = at(record, one.0).events[one.1].clone();
    let event = std::mem::replace(&mut at(record, other.0).events[other.1], event);
    at(record, one.0).events[one.1] = event;
    mend(record, one.0);
    mend(record, other.0);
    Some(&[Rule::Ordered])
}

fn split(dice: &mut Dice, record: &mut Record) -> Rules {
    let (chosen, nth) = choose(dice, record)?;
    let events = &at(record, chosen).events;
    let revision = |at: usize| events.get(at).map(|event| event.kv.mod_revision);
    if revision(nth) != revision(nth + 1) {
        return None;
    }
    let rest = batch(at(record, chosen).events.split_off(nth + 1));
    mend(record, chosen);
    record.deliveries.insert(chosen + 1, Delivery::Batch(rest));
    Some(&[Rule::Atomic])
}

fn prev(dice: &mut Dice, log: &Log, record: &mut Record) -> Rules {
    let (chosen, nth) = choose(dice, record)?;
    let asked = record.asked.clone();
    let event = &mut at(record, chosen).events[nth];
    let change = dice.below(log.changes().len());
    let other = Prev::Pair(log.changes()[change].kv.clone());
    let wrong = dice.one_of(&[0, 1, 2, 3])?;
    let wrong = [Prev::NotAsked, Prev::Absent, Prev::Unavailable, other][wrong].clone();
    let is_excused = wrong == Prev::Unavailable
        && asked.prev_kv
        && log.is_lost_before(event.kv.mod_revision)
        && event.prev != Prev::Absent;
    let is_same = wrong == event.prev
        || (event.prev == Prev::Unavailable && log.before(log.find(&event.kv)?) == pair(&wrong));
    if is_excused || is_same {
        return None;
    }
    event.prev = wrong;
    Some(&[Rule::PrevKv])
}

fn pair(prev: &Prev) -> Option<&etcd3_sim::etcd3::proto::mvccpb::KeyValue> {
    match prev {
        Prev::Pair(pair) => Some(pair),
        _ => None,
    }
}

fn early_progress(dice: &mut Dice, log: &Log, record: &mut Record) -> Rules {
    let (chosen, _) = choose(dice, record)?;
    let last = at(record, chosen).events.last()?.kv.mod_revision;
    let first = at(record, chosen).events.first()?.kv.mod_revision;
    let claimed = dice.within(first, last.max(first).min(log.last()));
    record.deliveries.insert(chosen, Delivery::Progress(claimed));
    Some(&[Rule::Bookmarkable])
}

fn back_progress(dice: &mut Dice, record: &mut Record) -> Rules {
    let positions = positions(record);
    let known: Vec<usize> = (0..positions.len()).filter(|at| positions[*at] > 0).collect();
    let chosen = dice.one_of(&known)?;
    let revision = dice.within(0, positions[chosen] - 1);
    record.deliveries.insert(chosen + 1, Delivery::Progress(revision));
    Some(&[Rule::Bookmarkable])
}

fn unasked(dice: &mut Dice, log: &Log, record: &mut Record) -> Rules {
    let asked = record.asked.clone();
    let everything = Asked::new(&b"\0"[..], &b"\0"[..], asked.start);
    let asked_for = matching(log, &asked, 0);
    let others: Vec<usize> = matching(log, &everything, 0)
        .into_iter()
        .filter(|at| asked_for.binary_search(at).is_err())
        .collect();
    let other = event(log, &asked, dice.one_of(&others)?);
    insert(dice, record, other);
    Some(&[Rule::Filter])
}

fn below_start(dice: &mut Dice, log: &Log, record: &mut Record) -> Rules {
    let asked = record.asked.clone();
    let before = match asked.start {
        Start::At(revision) => revision - 1,
        Start::Now { after, .. } => after,
    };
    let end = log.first_at(before + 1);
    let older: Vec<usize> = matching(log, &asked, 0).into_iter().filter(|at| *at < end).collect();
    let older = event(log, &asked, dice.one_of(&older)?);
    insert(dice, record, older);
    Some(&[Rule::Resumable])
}

/// Delivers one more event, in a batch of its own or in another one.
fn insert(dice: &mut Dice, record: &mut Record, event: Event) {
    match choose(dice, record) {
        Some((chosen, nth)) if dice.percent(50) => {
            at(record, chosen).events.insert(nth, event);
            mend(record, chosen);
        }
        _ => {
            let place = dice.below(record.deliveries.len() + 1);
            record.deliveries.insert(place, Delivery::Batch(batch(vec![event])));
        }
    }
}

fn alter(dice: &mut Dice, record: &mut Record) -> Rules {
    let (chosen, nth) = choose(dice, record)?;
    let event = &mut at(record, chosen).events[nth];
    match dice.below(5) {
        0 => event.kv.value = Bytes::from("never written"),
        1 => event.kv.version += 1,
        2 => event.kv.create_revision -= 1,
        3 => event.kv.lease += 5,
        _ => {
            event.kind = match event.kind {
                Kind::Put => Kind::Delete,
                Kind::Delete => Kind::Put,
            }
        }
    }
    // A filter may be the first to see another kind.
    Some(&[Rule::Reliable, Rule::Filter])
}

fn invent(dice: &mut Dice, record: &mut Record) -> Rules {
    let (chosen, nth) = choose(dice, record)?;
    at(record, chosen).events[nth].kv.mod_revision += 1000;
    mend(record, chosen);
    Some(&[Rule::Reliable])
}

fn is_create(dice: &mut Dice, record: &mut Record) -> Rules {
    let (chosen, nth) = choose(dice, record)?;
    at(record, chosen).events[nth].is_create ^= true;
    Some(&[Rule::IsCreate])
}

fn token(dice: &mut Dice, record: &mut Record) -> Rules {
    let (chosen, _) = choose(dice, record)?;
    let by = dice.one_of(&[-2, -1, 1, 2])?;
    let next = &mut at(record, chosen).next;
    *next = next.map(|next| next + by);
    Some(&[Rule::Position])
}

fn header(dice: &mut Dice, record: &mut Record) -> Rules {
    let (chosen, _) = choose(dice, record)?;
    let last = at(record, chosen).next? - 1;
    at(record, chosen).header = dice.within(0, last - 1);
    Some(&[Rule::Position])
}

fn compaction(dice: &mut Dice, log: &Log, record: &mut Record) -> Rules {
    let position = positions(record).last().copied().unwrap_or(0);
    let real = *log.compactions().last()?;
    let (requested, compacted) = match dice.below(3) {
        0 => (real + dice.within(0, 3), real),
        1 if position > 0 => (dice.within(0, position), real),
        _ => (position + 1, log.last() + 5),
    };
    record.end = End::Compacted { requested, compacted };
    Some(&[Rule::Compaction, Rule::Bookmarkable])
}
