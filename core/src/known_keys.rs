//! Which keys there were, to tell what has changed when the changes themselves cannot be had.
//!
//! A program that lists keys and then watches them may miss changes when they are compacted.
//! Another listing then shows how the keys are, and what is known from before tells what became of
//! them: those that were written meanwhile, and those that are gone.

// I-W6

use crate::key_value::KeyValue;
use crate::watch::WatchBatch;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Keys, and the revision that changed each of them last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownKeys {
    keys: BTreeMap<Bytes, i64>,
    /// The key up to which the listing under way has come; `None` before its first page.
    listed: Option<Bytes>,
}

/// What became of a key between two listings.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// It was written: created, or changed.
    Put(KeyValue),
    /// It was deleted.
    Delete(Bytes),
}

impl Difference {
    /// Returns the key.
    #[must_use]
    pub const fn key(&self) -> &Bytes {
        match self {
            Self::Put(pair) => &pair.key,
            Self::Delete(key) => key,
        }
    }
}

impl KnownKeys {
    /// Returns how many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Takes changes, in their order.
    pub fn apply(&mut self, batch: &WatchBatch) {
        for event in &batch.events {
            if event.is_delete() {
                self.keys.remove(&event.kv.key);
            } else {
                self.put(&event.kv);
            }
        }
    }

    /// Begins a listing, whose pages come in the order of the keys.
    pub fn begin_listing(&mut self) {
        self.listed = None;
    }

    /// Takes a page of the listing; returns what is different from before, in the order of the
    /// keys.
    pub fn take_page(&mut self, page: Vec<KeyValue>) -> Vec<Difference> {
        let mut differences = Vec::new();
        for pair in page {
            self.remove_up_to(Some(&pair.key), &mut differences);
            if self.keys.get(&pair.key) != Some(&pair.mod_revision) {
                self.put(&pair);
                differences.push(Difference::Put(pair));
            }
        }
        differences
    }

    /// Ends the listing: what was not in it is gone.
    pub fn end_listing(&mut self) -> Vec<Difference> {
        let mut differences = Vec::new();
        self.remove_up_to(None, &mut differences);
        self.listed = None;
        differences
    }

    /// Removes what lies between the last key of the listing and this one, or the end.
    fn remove_up_to(&mut self, key: Option<&Bytes>, differences: &mut Vec<Difference>) {
        let from = self.listed.take().map_or(Bound::Unbounded, Bound::Excluded);
        let to = key.cloned().map_or(Bound::Unbounded, Bound::Excluded);
        self.listed = key.cloned();
        if let (Bound::Excluded(from), Bound::Excluded(to)) = (&from, &to)
            && from >= to
        {
            // Out of order, which pages are not.
            return;
        }
        let gone: Vec<Bytes> = self.keys.range((from, to)).map(|(key, _)| key.clone()).collect();
        for key in gone {
            self.keys.remove(&key);
            differences.push(Difference::Delete(key));
        }
    }

    fn put(&mut self, pair: &KeyValue) {
        if let Some(revision) = self.keys.get_mut(&pair.key) {
            *revision = pair.mod_revision;
            return;
        }
        // A copy: a slice would keep the message alive that it came with.
        self.keys.insert(Bytes::copy_from_slice(&pair.key), pair.mod_revision);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn pair(key: u64, mod_revision: i64) -> KeyValue {
        KeyValue { key: format!("{key:03}").into(), mod_revision, ..KeyValue::default() }
    }

    /// Applies the differences to a store and sees that it becomes the other one.
    // I-W6, I-D3
    #[test]
    fn differences_lead_from_one_listing_to_the_next() {
        for seed in 0..500 {
            let mut rng = Rng::new(seed);
            let mut known = KnownKeys::default();
            let mut store: BTreeMap<Bytes, i64> = BTreeMap::new();
            for round in 1..4 {
                let keys = (0..30).filter(|_| rng.below(2) == 0).collect::<Vec<_>>();
                let pairs: Vec<KeyValue> = keys
                    .iter()
                    .map(|key| pair(*key, round * i64::from(rng.below(2) == 0)))
                    .collect();
                known.begin_listing();
                let mut differences = vec![];
                let size = 1 + usize::try_from(rng.below(9)).unwrap();
                for page in pairs.chunks(size) {
                    differences.extend(known.take_page(page.to_vec()));
                }
                differences.extend(known.end_listing());
                for difference in differences {
                    match difference {
                        Difference::Put(pair) => {
                            let before = store.insert(pair.key, pair.mod_revision);
                            assert_ne!(before, Some(pair.mod_revision), "no difference");
                        }
                        Difference::Delete(key) => assert!(store.remove(&key).is_some()),
                    }
                }
                let expected: BTreeMap<_, _> =
                    pairs.into_iter().map(|it| (it.key, it.mod_revision)).collect();
                assert_eq!(store, expected, "seed {seed}");
                assert_eq!(known.keys, expected);
            }
        }
    }
}
