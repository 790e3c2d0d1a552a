//! The check: placing transactions by their revisions.

use super::{Ending, Read, Transaction};
use crate::history::Change;
use etcd3::runtime::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What a token holds whose transaction took place.
const COMMITTED: &str = "committed";

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Each change belongs to one transaction, which took place as it was told.
    Owned,
    /// What was read is what the store held where the transaction took place.
    Serializable,
    /// It took place after all that had been told before it began.
    RealTime,
}

/// What is wrong with a history of transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What does not hold.
    pub rule: Rule,
    /// When that shows, if a transaction shows it.
    pub at: Option<Instant>,
    text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.text)
    }
}

impl std::error::Error for Violation {}

/// Checks transactions against all changes of their keys, those of the tokens included, in their
/// order and without compaction. What was changed up to the revision `begun` belongs to nobody.
#[must_use]
pub fn check(transactions: &[Transaction], changes: &[Change], begun: i64) -> Option<Violation> {
    let store = Store::new(transactions, changes);
    transactions
        .iter()
        .find_map(|one| store.check_ownership(one))
        .or_else(|| store.check_orphans(transactions, begun))
        .or_else(|| transactions.iter().find_map(|one| store.check_reads(one)))
        .or_else(|| store.check_real_time(transactions))
}

/// Returns the revision at which a transaction took place, as the changes of the store show it for
/// one that writes, and as it was told for one that does not; `None` if it did not.
#[must_use]
pub fn placed(transaction: &Transaction, changes: &[Change]) -> Option<i64> {
    Store::new(std::slice::from_ref(transaction), changes).placed(transaction)
}

/// All changes, by their keys and by their revisions.
struct Store<'a> {
    keys: BTreeMap<&'a str, BTreeMap<i64, Option<&'a str>>>,
    revisions: BTreeMap<i64, BTreeMap<&'a str, Option<&'a str>>>,
    tokens: BTreeSet<&'a str>,
}

impl<'a> Store<'a> {
    fn new(transactions: &'a [Transaction], changes: &'a [Change]) -> Self {
        let tokens = transactions.iter().map(|one| &one.token[..]).collect();
        let mut store = Self { keys: BTreeMap::new(), revisions: BTreeMap::new(), tokens };
        for Change { revision, key, value } in changes {
            let value = value.as_deref();
            store.keys.entry(key).or_default().insert(*revision, value);
            if !store.tokens.contains(&key[..]) {
                store.revisions.entry(*revision).or_default().insert(key, value);
            }
        }
        store
    }

    /// Returns where a token says that its transaction took place.
    fn commits(&self, token: &str) -> Vec<i64> {
        let changes = self.keys.get(token).into_iter().flatten();
        changes.filter(|(_, value)| **value == Some(COMMITTED)).map(|(at, _)| *at).collect()
    }

    fn placed(&self, one: &Transaction) -> Option<i64> {
        if one.writes.is_empty() {
            return match one.returned {
                Some((_, Ending::Committed(revision))) => Some(revision),
                _ => None,
            };
        }
        self.commits(&one.token).first().copied()
    }

    fn check_ownership(&self, one: &Transaction) -> Option<Violation> {
        let commits = self.commits(&one.token);
        let writes = !one.writes.is_empty();
        let ending = one.returned.map(|(_, ending)| ending);
        let fits = match (ending, &commits[..]) {
            (Some(Ending::Committed(at)), [found]) => writes && at == *found,
            (Some(Ending::Committed(_)), []) => !writes,
            (Some(Ending::Settled(at)), found) => at.as_slice() == found,
            (Some(Ending::Unknown) | None, [_]) => writes,
            (Some(Ending::Failed | Ending::Unknown) | None, []) => true,
            _ => false,
        };
        if !fits {
            return Some(violation(Rule::Owned, one, format!("it took place at {commits:?}")));
        }
        let at = *commits.first()?;
        let wrote: BTreeMap<&str, Option<&str>> =
            one.writes.iter().map(|(key, value)| (&key[..], value.as_deref())).collect();
        let found = self.revisions.get(&at).cloned().unwrap_or_default();
        // A deletion of what is not there changes nothing.
        let is_change =
            |key: &str, value: Option<&str>| value.is_some() || self.at(key, at - 1).is_some();
        let expected: BTreeMap<_, _> =
            wrote.into_iter().filter(|(key, value)| is_change(key, *value)).collect();
        if found == expected {
            return None;
        }
        Some(violation(Rule::Owned, one, format!("revision {at} changed {found:?}")))
    }

    fn check_orphans(&self, transactions: &[Transaction], begun: i64) -> Option<Violation> {
        let mut owned = BTreeSet::new();
        for one in transactions {
            let twice = self.commits(&one.token).into_iter().find(|at| !owned.insert(*at));
            if let Some(at) = twice {
                return Some(violation(Rule::Owned, one, format!("revision {at} has two owners")));
            }
        }
        let orphan = self.revisions.keys().find(|at| **at > begun && !owned.contains(at))?;
        let text = format!("nobody wrote revision {orphan}: {:?}", self.revisions.get(orphan));
        Some(Violation { rule: Rule::Owned, at: None, text })
    }

    /// Returns the value of a key at a revision, and the revision that set it.
    fn at(&self, key: &str, revision: i64) -> Option<(&'a str, i64)> {
        let (changed, value) = self.keys.get(key)?.range(..=revision).next_back()?;
        value.map(|value| (value, *changed))
    }

    fn check_reads(&self, one: &Transaction) -> Option<Violation> {
        let placed = self.placed(one)?;
        let at = if one.writes.is_empty() { placed } else { placed - 1 };
        one.reads.iter().find_map(|read| {
            let held = match read {
                Read::Key { key, found } => {
                    let held = self.at(key, at);
                    let found = found.as_ref().map(|(value, changed)| (&value[..], *changed));
                    (held != found).then(|| format!("{held:?} of {key}"))
                }
                Read::Prefix { prefix, found } => {
                    let keys = self.keys.range(&prefix[..]..);
                    let keys = keys.map(|(key, _)| *key).take_while(|key| key.starts_with(prefix));
                    let held: Vec<(&str, &str)> =
                        keys.filter_map(|key| Some((key, self.at(key, at)?.0))).collect();
                    let found = found.iter().map(|(key, value)| (&key[..], &value[..]));
                    (!found.eq(held.iter().copied())).then(|| format!("{held:?}"))
                }
            };
            let text = format!("at {at} the store held {}, it read {read:?}", held?);
            Some(violation(Rule::Serializable, one, text))
        })
    }

    fn check_real_time(&self, transactions: &[Transaction]) -> Option<Violation> {
        let told = |one: &Transaction| match one.returned? {
            (at, Ending::Committed(revision) | Ending::Settled(Some(revision))) => {
                Some((at, revision))
            }
            _ => None,
        };
        let mut told: Vec<(Instant, i64)> = transactions.iter().filter_map(told).collect();
        told.sort_unstable();
        let mut begun: Vec<&Transaction> = transactions.iter().collect();
        begun.sort_by_key(|one| one.invoked);
        let mut told = told.into_iter().peekable();
        let mut floor = 0;
        for one in begun {
            while let Some((_, revision)) = told.next_if(|(at, _)| *at < one.invoked) {
                floor = floor.max(revision);
            }
            let Some(placed) = self.placed(one) else { continue };
            // One that neither read nor wrote has no place.
            let is_nothing = one.writes.is_empty() && one.reads.is_empty();
            if !is_nothing && (placed < floor || (placed == floor && !one.writes.is_empty())) {
                let text = format!("it took place at {placed}, {floor} was told before it began");
                return Some(violation(Rule::RealTime, one, text));
            }
        }
        None
    }
}

fn violation(rule: Rule, one: &Transaction, text: impl fmt::Display) -> Violation {
    let at = one.returned.map_or(one.invoked, |(at, _)| at);
    Violation { rule, at: Some(at), text: format!("{text}: {one:?}") }
}
