//! Were locks, leaderships, permits and items had by those alone who could have them?
//!
//! Judged by the order of revisions, from all that the store ever had: a contender holds while its
//! key is there and no other one stands in its way. The clock counts only for when losses are told.

// I-S1, I-S8

use super::Change;
use etcd3::runtime::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

/// What there is to contend for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A lock.
    Mutex,
    /// A leadership.
    Election,
    /// The lock of a writer.
    Write,
    /// The lock of a reader.
    Read,
    /// A permit.
    Permit,
}

/// How many hold a permit at once.
pub const PERMITS: u32 = 2;

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Mutex, Self::Election, Self::Write, Self::Read, Self::Permit];

    /// Returns the name under which the keys of the contenders are.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mutex => "held/mutex",
            Self::Election => "held/election",
            Self::Write | Self::Read => "held/shared",
            Self::Permit => "held/permits",
        }
    }

    /// Returns the key that holders write, with [`fenced_value`] as its value.
    #[must_use]
    pub const fn fenced(self) -> &'static str {
        match self {
            Self::Mutex => "fenced/mutex",
            Self::Election => "fenced/election",
            Self::Write => "fenced/write",
            Self::Read => "fenced/read",
            Self::Permit => "fenced/permit",
        }
    }

    /// Tells whether a holder excludes all others of its kind.
    #[must_use]
    pub const fn is_exclusive(self) -> bool {
        matches!(self, Self::Mutex | Self::Election | Self::Write)
    }
}

/// One time that a contender held something.
#[derive(Debug, Clone)]
pub struct Hold {
    /// What it is.
    pub kind: Kind,
    /// Its key.
    pub key: String,
    /// The revision that created the key.
    pub create_revision: i64,
    /// The revision at which it was found to hold; 0 where that is not told.
    pub revision: i64,
    /// When it was told that it holds.
    pub from: Instant,
    /// When it gave it up, or was told that it is lost; `None` until then.
    pub until: Option<Instant>,
    /// Since when its fence does not hold, if that was not told in time.
    pub untold: Option<Instant>,
    /// Whether it was told that its key was deleted while its session was valid, which nobody may
    /// do to a holder.
    pub is_deleted: bool,
}

/// Returns what a holder writes.
#[must_use]
pub fn fenced_value(key: &str, create_revision: i64) -> String {
    format!("{create_revision} {key}")
}

/// What became of an item.
#[derive(Debug, Clone, Copy, Default)]
pub struct Item {
    /// Whether it was said to be in the queue.
    pub is_enqueued: bool,
    /// How many were told that they have it.
    pub taken: u32,
    /// How many were told that nobody knows whether they have it.
    pub unknown: u32,
}

/// A time for which a key was there.
#[derive(Debug, Clone, Copy)]
struct Life {
    from: i64,
    /// The revision that deleted it.
    until: i64,
}

/// When each key was there.
struct Keys(BTreeMap<String, Vec<Life>>);

impl Keys {
    fn of(changes: &[Change]) -> Self {
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

/// Checks what holders were told, and what was written in their names; `changes` is all that the
/// store ever had. A loss may be told so long after another one holds.
///
/// # Errors
///
/// What is wrong, in words.
pub fn check_holds(holds: &[Hold], changes: &[Change], told: Duration) -> Result<(), String> {
    let keys = Keys::of(changes);
    for hold in holds {
        let at = hold.revision.max(hold.create_revision);
        let is_told = hold.revision > 0;
        if is_told && !keys.is_held(hold.kind, &hold.key, hold.create_revision, at) {
            return Err(format!("not held at revision {at}, as it was told: {hold:?}"));
        }
        if hold.is_deleted {
            return Err(format!("the key of a holder was deleted: {hold:?}"));
        }
        if let Some(at) = hold.untold {
            return Err(format!("its key is gone since {at:?}, and nobody told {hold:?}"));
        }
    }
    for kind in Kind::ALL {
        check_fenced(kind, &keys, changes)?;
        if kind.is_exclusive() {
            check_told(kind, holds, told)?;
        }
    }
    Ok(())
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

/// Those that do not hold any more were told so, soon after the next one holds at the latest.
fn check_told(kind: Kind, holds: &[Hold], told: Duration) -> Result<(), String> {
    let of_kind: Vec<&Hold> = holds.iter().filter(|hold| hold.kind == kind).collect();
    for earlier in &of_kind {
        let later = of_kind.iter().filter(|it| it.create_revision > earlier.create_revision);
        let Some(next) = later.map(|hold| hold.from).min() else { continue };
        if earlier.until.is_none_or(|until| until > next + told) {
            return Err(format!("another holds from {next:?}, and nobody told {earlier:?}"));
        }
    }
    Ok(())
}

/// Checks that each item was had once: by nobody twice, and not lost.
///
/// # Errors
///
/// What is wrong, in words.
// I-S8
pub fn check_items(items: &BTreeMap<String, Item>) -> Result<(), String> {
    for (value, item) in items {
        if item.taken > 1 {
            return Err(format!("the item {value} is taken {} times", item.taken));
        }
        if item.is_enqueued && item.taken + item.unknown == 0 {
            return Err(format!("the item {value} is lost"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);

    fn change(revision: i64, key: &str, value: Option<&str>) -> Change {
        Change { revision, key: key.to_owned(), value: value.map(str::to_owned) }
    }

    fn hold(created: i64, from: u64, until: Option<u64>) -> Hold {
        let at = |second| Instant::from_origin(Duration::from_secs(second));
        Hold {
            kind: Kind::Mutex,
            key: format!("held/mutex/{created}"),
            create_revision: created,
            revision: 0,
            from: at(from),
            until: until.map(at),
            untold: None,
            is_deleted: false,
        }
    }

    fn store(more: &[Change]) -> Vec<Change> {
        let mut changes = vec![
            change(2, "held/mutex/2", Some("")),
            change(3, "held/mutex/3", Some("")),
            change(6, "held/mutex/2", None),
        ];
        changes.extend_from_slice(more);
        changes.sort_by_key(|change| change.revision);
        changes
    }

    fn said(holds: &[Hold], more: &[Change]) -> String {
        check_holds(holds, &store(more), LIMIT).err().unwrap_or_default()
    }

    #[test]
    fn a_write_of_one_who_does_not_hold_is_noticed() {
        let write = |at, created: i64| {
            let value = fenced_value(&format!("held/mutex/{created}"), created);
            change(at, "fenced/mutex", Some(&value))
        };
        assert_eq!(said(&[], &[write(4, 2), write(7, 3)]), "");
        assert!(said(&[], &[write(7, 2)]).contains("did not hold"), "its key is gone");
        assert!(said(&[], &[write(5, 3)]).contains("did not hold"), "another one is before it");
        assert!(said(&[], &[write(5, 9)]).contains("did not hold"), "it was never there");
    }

    #[test]
    fn one_who_is_told_too_early_or_too_late_is_noticed() {
        assert_eq!(said(&[hold(2, 1, Some(5)), hold(3, 4, Some(9))], &[]), "");
        assert!(said(&[hold(2, 1, Some(6)), hold(3, 4, None)], &[]).contains("nobody told"));
        assert!(said(&[hold(2, 1, None), hold(3, 4, None)], &[]).contains("nobody told"));
        let early = Hold { revision: 4, ..hold(3, 4, Some(5)) };
        assert!(said(&[early], &[]).contains("not held at revision 4"));
        let gone = Hold { revision: 6, ..hold(2, 4, Some(5)) };
        assert!(said(&[gone], &[]).contains("not held at revision 6"));
        let deleted = Hold { is_deleted: true, ..hold(2, 4, Some(5)) };
        assert!(said(&[deleted], &[]).contains("was deleted"));
        let untold = Hold { untold: Some(Instant::from_origin(LIMIT)), ..hold(2, 4, Some(5)) };
        assert!(said(&[untold], &[]).contains("its key is gone"));
    }

    #[test]
    fn an_item_that_is_taken_twice_or_lost_is_noticed() {
        let said = |item: Item| {
            let items = BTreeMap::from([("a".to_owned(), item)]);
            check_items(&items).err().unwrap_or_default()
        };
        let enqueued = Item { is_enqueued: true, ..Item::default() };
        assert_eq!(said(Item { taken: 1, ..enqueued }), "");
        assert_eq!(said(Item { unknown: 1, ..enqueued }), "");
        assert_eq!(said(Item::default()), "", "it may not have come to the queue");
        assert!(said(enqueued).contains("lost"));
        assert!(said(Item { taken: 2, ..enqueued }).contains("2 times"));
    }
}
