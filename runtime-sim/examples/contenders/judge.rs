//! What must hold of a world: judged by the order of revisions, and by the clock for losses.

use crate::log::{Hold, Kind, PERMITS, Seen};
use etcd3_sim::history::Change;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long after another one holds it a loss may be told.
pub(crate) const TOLD: Duration = Duration::from_secs(1);

/// A time for which a key was there.
#[derive(Debug, Clone, Copy)]
struct Life {
    from: i64,
    /// The revision that deleted it.
    until: i64,
}

/// When each key was there.
pub(crate) struct Keys(BTreeMap<String, Vec<Life>>);

impl Keys {
    pub(crate) fn of(changes: &[Change]) -> Self {
        let mut keys: BTreeMap<String, Vec<Life>> = BTreeMap::new();
        for change in changes {
            let lives = keys.entry(change.key.clone()).or_default();
            let last = lives.last_mut().filter(|life| life.until == i64::MAX);
            match (last, &change.value) {
                (Some(life), None) => life.until = change.revision,
                (None, Some(_)) => {
                    lives.push(Life { from: change.revision, until: i64::MAX });
                }
                _ => {}
            }
        }
        Self(keys)
    }

    /// Tells whether a key that was created by this revision was there at that one.
    fn is_there(&self, key: &str, created: i64, at: i64) -> bool {
        let lives = self.0.get(key).into_iter().flatten();
        lives.into_iter().any(|life| life.from == created && at < life.until)
    }

    /// Counts those who came before a contender, stand in its way, and were there at a revision.
    fn before(&self, kind: Kind, created: i64, at: i64) -> u32 {
        let name = match kind {
            Kind::Read => format!("{}/write/", kind.name()),
            _ => format!("{}/", kind.name()),
        };
        let keys = self.0.iter().filter(|(key, _)| key.starts_with(&name));
        let lives = keys.flat_map(|(_, lives)| lives);
        let there = lives.filter(|life| life.from < created && life.from <= at && at < life.until);
        u32::try_from(there.count()).unwrap_or(u32::MAX)
    }

    /// Tells whether a contender held what it contended for at a revision.
    fn is_held(&self, kind: Kind, key: &str, created: i64, at: i64) -> bool {
        let most = if kind == Kind::Permit { PERMITS - 1 } else { 0 };
        self.is_there(key, created, at) && self.before(kind, created, at) <= most
    }
}

/// Judges a world; its changes are all that the store ever had.
pub(crate) fn judge(seen: &Seen, changes: &[Change]) -> Result<(), String> {
    if let Some(problem) = seen.problems.first() {
        return Err(problem.clone());
    }
    let keys = Keys::of(changes);
    for hold in &seen.holds {
        let at = hold.revision.max(hold.create_revision);
        let is_told = hold.revision > 0;
        if is_told && !keys.is_held(hold.kind, &hold.key, hold.create_revision, at) {
            return Err(format!("not held at revision {at}, as it was told: {hold:?}"));
        }
        if let Some(at) = hold.untold {
            return Err(format!("its key is gone since {at:?}, and nobody told {hold:?}"));
        }
    }
    for kind in Kind::ALL {
        check_fenced(kind, &keys, changes)?;
        if kind.is_exclusive() {
            check_told(kind, &seen.holds)?;
        }
    }
    check_items(seen)
}

/// I-S1: what was written in the name of a holder was written while it held.
fn check_fenced(kind: Kind, keys: &Keys, changes: &[Change]) -> Result<(), String> {
    let mut newest = 0;
    for change in changes.iter().filter(|change| change.key == kind.fenced()) {
        let Some(value) = &change.value else { continue };
        let parts = value.split_once(' ');
        let parts = parts.and_then(|(created, key)| Some((created.parse::<i64>().ok()?, key)));
        let (created, key) = parts.ok_or_else(|| format!("a fenced write of {value}"))?;
        let at = change.revision;
        if !keys.is_held(kind, key, created, at) {
            return Err(format!("{kind:?}: a write of {value} at {at}, who did not hold"));
        }
        if kind.is_exclusive() && created < newest {
            return Err(format!("{kind:?}: a write of {value} at {at}, after one of {newest}"));
        }
        newest = newest.max(created);
    }
    Ok(())
}

/// Whoever does not hold any more was told so, soon after the next one holds at the latest.
fn check_told(kind: Kind, holds: &[Hold]) -> Result<(), String> {
    let of_kind: Vec<&Hold> = holds.iter().filter(|hold| hold.kind == kind).collect();
    for earlier in &of_kind {
        let later = of_kind.iter().filter(|it| it.create_revision > earlier.create_revision);
        let Some(next) = later.map(|hold| hold.from).min() else { continue };
        if earlier.until.is_none_or(|until| until > next + TOLD) {
            return Err(format!("another holds from {next:?}, and nobody told {earlier:?}"));
        }
    }
    Ok(())
}

/// I-S8: each item once.
fn check_items(seen: &Seen) -> Result<(), String> {
    for (value, item) in &seen.items {
        if item.taken > 1 {
            return Err(format!("the item {value} is taken {} times", item.taken));
        }
        if item.is_enqueued && item.taken + item.unknown == 0 {
            return Err(format!("the item {value} is lost"));
        }
    }
    Ok(())
}
