//! What clients saw, checked against what happened: the revision-order check.
//!
//! etcd gives every write a place in one order, its revision, and every read names the revision it
//! shows. So a history needs no search: each answer is compared with the order.
//!
//! 1. An acknowledged write stands in the order once, where its answer says; one of unknown outcome
//!    at most once; one that was not sent or was rejected, never. Every change has one owner.
//! 2. What was acknowledged before an operation began lies before it, and a linearizable read
//!    shows it.
//! 3. A read shows the state at its revision; a comparison was decided by the state before it.
//!
//! What watches delivered is compared with the same order by [`watch`], what handles of leases said
//! with the clock of the leader by [`lease`]; what transactions in memory saw, by [`transactions`].

pub mod lease;
pub mod transactions;
pub mod watch;

use etcd3::Outcome;
use etcd3::runtime::Instant;
use std::collections::BTreeMap;
use std::fmt;

/// What an operation was to do. The values of all writes of a history differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invocation {
    /// Writes a key.
    Put {
        /// The key.
        key: String,
        /// The value, used nowhere else.
        value: String,
    },
    /// Writes a key if it was last changed at this revision, 0 for a key that is not there.
    CompareAndPut {
        /// The key.
        key: String,
        /// The revision it must have been changed at last.
        expected: i64,
        /// The value, used nowhere else.
        value: String,
    },
    /// Writes two keys at once.
    PutBoth {
        /// The keys, which differ.
        keys: [String; 2],
        /// The value of both, used nowhere else.
        value: String,
    },
    /// Writes a key beside a read at a revision, in one transaction: the client must not send it,
    /// since members would differ if that revision cannot be read (etcd#18667).
    PutBesideRead {
        /// The key.
        key: String,
        /// The value, used nowhere else.
        value: String,
        /// The revision to read at.
        revision: i64,
    },
    /// Reads a key.
    Get {
        /// The key.
        key: String,
        /// Whether it may be stale.
        serializable: bool,
    },
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completion {
    /// A write was acknowledged at this revision.
    Written(i64),
    /// A comparison did not hold, as of this revision.
    NotHeld(i64),
    /// A read showed this value as of this revision.
    Read {
        /// The revision of the answer.
        revision: i64,
        /// The value and the revision that changed it last, if the key was there.
        found: Option<(String, i64)>,
    },
    /// It failed, with this outcome.
    Failed(Outcome),
}

/// One operation of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it began.
    pub invoked: Instant,
    /// When it ended, and how; `None` while it is under way.
    pub returned: Option<(Instant, Completion)>,
    /// What it was to do.
    pub invocation: Invocation,
}

/// One change of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The revision it made.
    pub revision: i64,
    /// The key.
    pub key: String,
    /// The value, `None` for a deletion.
    pub value: Option<String>,
}

/// What is wrong with a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    text: String,
    at: Option<Instant>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Violation {}

impl Violation {
    /// Returns when the operation ended that shows it, or began if it has not ended; `None` where
    /// no operation does.
    #[must_use]
    pub fn at(&self) -> Option<Instant> {
        self.at
    }
}

/// Checks a history against all changes of the store, in their order, without compaction.
///
/// # Errors
///
/// The first violation that is found.
pub fn check_order(history: &[Entry], changes: &[Change]) -> Result<(), Violation> {
    check_ownership(history, changes)?;
    check_real_time(history)?;
    let states = States::new(changes);
    history.iter().try_for_each(|entry| check_content(entry, &states))
}

fn violation<T>(entry: &Entry, what: impl fmt::Display) -> Result<T, Violation> {
    let at = entry.returned.as_ref().map_or(entry.invoked, |(at, _)| *at);
    Err(Violation { text: format!("{what}: {entry:?}"), at: Some(at) })
}

fn writes(invocation: &Invocation) -> Vec<(&str, &str)> {
    match invocation {
        Invocation::Put { key, value }
        | Invocation::CompareAndPut { key, value, .. }
        | Invocation::PutBesideRead { key, value, .. } => vec![(key, value)],
        Invocation::PutBoth { keys: [a, b], value } => vec![(a, value), (b, value)],
        Invocation::Get { .. } => vec![],
    }
}

fn check_ownership(history: &[Entry], changes: &[Change]) -> Result<(), Violation> {
    let mut places: BTreeMap<(&str, &str), Vec<i64>> = BTreeMap::new();
    for change in changes {
        let Some(value) = &change.value else { continue };
        places.entry((&change.key, value)).or_default().push(change.revision);
    }
    for entry in history {
        for write in writes(&entry.invocation) {
            let found = places.remove(&write).unwrap_or_default();
            let fits = match (&entry.returned, &found[..]) {
                (Some((_, Completion::Written(revision))), [one]) => one == revision,
                (Some((_, Completion::Failed(Outcome::Unknown))) | None, [_])
                | (Some((_, Completion::Failed(_) | Completion::NotHeld(_))) | None, []) => true,
                _ => false,
            };
            if !fits {
                return violation(entry, format!("it was applied at {found:?}"));
            }
        }
    }
    match places.into_iter().next() {
        None => Ok(()),
        Some(orphan) => Err(Violation { text: format!("nobody wrote {orphan:?}"), at: None }),
    }
}

/// Returns the revision that an answer proves, and whether something must lie strictly before it.
fn proven(entry: &Entry) -> Option<(Instant, i64, bool)> {
    let (at, completion) = entry.returned.as_ref()?;
    match completion {
        Completion::Written(revision) => Some((*at, *revision, true)),
        Completion::NotHeld(revision) | Completion::Read { revision, .. } => {
            Some((*at, *revision, false))
        }
        Completion::Failed(_) => None,
    }
}

fn check_real_time(history: &[Entry]) -> Result<(), Violation> {
    let mut returns: Vec<(Instant, i64)> =
        history.iter().filter_map(proven).map(|(at, revision, _)| (at, revision)).collect();
    returns.sort_unstable();
    let mut by_start: Vec<&Entry> = history.iter().collect();
    by_start.sort_by_key(|entry| entry.invoked);
    let mut returns = returns.into_iter().peekable();
    let mut floor = 0;
    for entry in by_start {
        while let Some((_, revision)) = returns.next_if(|(at, _)| *at < entry.invoked) {
            floor = floor.max(revision);
        }
        let stale_allowed = matches!(entry.invocation, Invocation::Get { serializable: true, .. });
        let Some((_, revision, strictly)) = proven(entry).filter(|_| !stale_allowed) else {
            continue;
        };
        if revision < floor || (strictly && revision == floor) {
            return violation(entry, format!("revision {floor} was seen before it began"));
        }
    }
    Ok(())
}

/// Each key's changes by revision.
struct States<'a>(BTreeMap<&'a str, BTreeMap<i64, Option<&'a str>>>);

impl<'a> States<'a> {
    fn new(changes: &'a [Change]) -> Self {
        let mut keys: BTreeMap<&str, BTreeMap<_, _>> = BTreeMap::new();
        for change in changes {
            let versions = keys.entry(&change.key).or_default();
            versions.insert(change.revision, change.value.as_deref());
        }
        Self(keys)
    }

    /// Returns the value of a key at a revision, and the revision that set it.
    fn at(&self, key: &str, revision: i64) -> Option<(&'a str, i64)> {
        let (changed, value) = self.0.get(key)?.range(..=revision).next_back()?;
        value.map(|value| (value, *changed))
    }
}

fn check_content(entry: &Entry, states: &States<'_>) -> Result<(), Violation> {
    let Some((_, completion)) = &entry.returned else { return Ok(()) };
    match (&entry.invocation, completion) {
        (Invocation::Get { key, .. }, Completion::Read { revision, found }) => {
            let state = states.at(key, *revision).map(|(value, at)| (value.to_owned(), at));
            if state != *found {
                return violation(entry, format!("the store held {state:?}"));
            }
        }
        (Invocation::CompareAndPut { key, expected, .. }, Completion::Written(revision)) => {
            let before = states.at(key, revision - 1).map_or(0, |(_, at)| at);
            if before != *expected {
                return violation(entry, format!("the key was changed at {before} before"));
            }
        }
        (Invocation::CompareAndPut { key, expected, .. }, Completion::NotHeld(revision)) => {
            let then = states.at(key, *revision).map_or(0, |(_, at)| at);
            if then == *expected {
                return violation(entry, "the comparison held");
            }
        }
        (Invocation::PutBesideRead { .. }, completion)
            if *completion != Completion::Failed(Outcome::NotSent) =>
        {
            return violation(entry, "it was sent");
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(ms: u64) -> Instant {
        Instant::ORIGIN + Duration::from_millis(ms)
    }

    fn put(from: u64, to: u64, value: &str, completion: Completion) -> Entry {
        let invocation = Invocation::Put { key: "k".to_owned(), value: value.to_owned() };
        Entry { invoked: at(from), returned: Some((at(to), completion)), invocation }
    }

    fn get(from: u64, to: u64, revision: i64, found: Option<(&str, i64)>) -> Entry {
        let found = found.map(|(value, at)| (value.to_owned(), at));
        let invocation = Invocation::Get { key: "k".to_owned(), serializable: false };
        let completion = Completion::Read { revision, found };
        Entry { invoked: at(from), returned: Some((at(to), completion)), invocation }
    }

    fn change(revision: i64, value: &str) -> Change {
        Change { revision, key: "k".to_owned(), value: Some(value.to_owned()) }
    }

    #[test]
    fn a_good_history_passes() {
        let history = [
            put(0, 5, "a", Completion::Written(2)),
            put(1, 9, "b", Completion::Failed(Outcome::Unknown)),
            put(1, 2, "c", Completion::Failed(Outcome::NotSent)),
            get(6, 7, 2, Some(("a", 2))),
            get(8, 9, 3, Some(("b", 3))),
        ];
        check_order(&history, &[change(2, "a"), change(3, "b")]).unwrap();
    }

    // I-R1, R-01: every way to lie about a write.
    #[test]
    fn wrong_outcomes_are_found() {
        let twice = [change(2, "a"), change(3, "a")];
        for (completion, changes, why) in [
            (Completion::Written(2), &twice[..], "applied at [2, 3]"),
            (Completion::Failed(Outcome::Unknown), &twice, "applied at [2, 3]"),
            (Completion::Written(2), &[], "applied at []"),
            (Completion::Written(3), &twice[..1], "applied at [2]"),
            (Completion::Failed(Outcome::NotSent), &twice[..1], "applied at [2]"),
            (Completion::Failed(Outcome::Rejected), &twice[..1], "applied at [2]"),
        ] {
            let error = check_order(&[put(0, 1, "a", completion)], changes).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
        let orphan = check_order(&[], &[change(2, "x")]).unwrap_err();
        assert!(orphan.to_string().contains("nobody wrote"));
        assert_eq!(orphan.at(), None);
        let twice = put(3, 7, "a", Completion::Written(3));
        assert_eq!(check_order(&[twice], &[]).unwrap_err().at(), Some(at(7)));
    }

    // I-R8
    #[test]
    fn answers_from_the_past_are_found() {
        let changes = [change(2, "a"), change(3, "b")];
        let writes =
            [put(0, 1, "a", Completion::Written(2)), put(2, 3, "b", Completion::Written(3))];
        let stale = get(4, 5, 2, Some(("a", 2)));
        let history = [&writes[..], std::slice::from_ref(&stale)].concat();
        assert!(
            check_order(&history, &changes).unwrap_err().to_string().contains("was seen before")
        );
        let overlapping = [&writes[..], &[Entry { invoked: at(3), ..stale }]].concat();
        check_order(&overlapping, &changes).unwrap();
        let swapped =
            [put(2, 3, "a", Completion::Written(2)), put(0, 1, "b", Completion::Written(3))];
        assert!(check_order(&swapped, &changes).is_err());
    }

    // etcd#18667
    #[test]
    fn a_write_that_may_divide_the_cluster_must_not_be_sent() {
        let (key, value) = ("k".to_owned(), "a".to_owned());
        let invocation = Invocation::PutBesideRead { key, value, revision: 1 };
        let entry = |completion| Entry {
            invoked: at(0),
            returned: Some((at(0), completion)),
            invocation: invocation.clone(),
        };
        check_order(&[entry(Completion::Failed(Outcome::NotSent))], &[]).unwrap();
        for (completion, changes) in [
            (Completion::Failed(Outcome::NotSent), &[change(2, "a")][..]),
            (Completion::Failed(Outcome::Rejected), &[]),
            (Completion::Failed(Outcome::Unknown), &[]),
            (Completion::Written(2), &[change(2, "a")]),
        ] {
            assert!(check_order(&[entry(completion.clone())], changes).is_err(), "{completion:?}");
        }
    }

    #[test]
    fn wrong_content_is_found() {
        let write = put(0, 1, "a", Completion::Written(2));
        for found in [None, Some(("b", 2)), Some(("a", 1))] {
            let history = [write.clone(), get(2, 3, 2, found)];
            assert!(check_order(&history, &[change(2, "a")]).is_err(), "{found:?}");
        }
        let cas = |expected, completion| Entry {
            invoked: at(2),
            returned: Some((at(3), completion)),
            invocation: Invocation::CompareAndPut {
                key: "k".to_owned(),
                expected,
                value: "c".to_owned(),
            },
        };
        let changes = [change(2, "a"), change(3, "c")];
        check_order(&[write.clone(), cas(2, Completion::Written(3))], &changes).unwrap();
        assert!(check_order(&[write.clone(), cas(1, Completion::Written(3))], &changes).is_err());
        check_order(&[write.clone(), cas(1, Completion::NotHeld(2))], &changes[..1]).unwrap();
        assert!(check_order(&[write, cas(2, Completion::NotHeld(2))], &changes[..1]).is_err());
    }
}
