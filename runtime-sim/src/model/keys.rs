//! Which keys a request names.

// K1

use etcd3::Bytes;
use std::ops::{Bound, RangeBounds};

/// One key, or all keys between two bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    start: Bytes,
    /// Where the range ends, exclusive; `None` for no end.
    end: Option<Bytes>,
}

impl Keys {
    /// What a pair of `key` and `range_end` stands for.
    pub(crate) fn new(key: &Bytes, range_end: &Bytes) -> Self {
        let end = match &range_end[..] {
            [] => Some([&key[..], &[0]].concat().into()),
            [0] => None,
            _ => Some(range_end.clone()),
        };
        Self { start: key.clone(), end }
    }

    /// A single key.
    pub(crate) fn one(key: &Bytes) -> Self {
        Self::new(key, &Bytes::new())
    }

    pub(crate) fn contains(&self, key: &Bytes) -> bool {
        self.start <= *key && self.end.as_ref().is_none_or(|end| key < end)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }

    /// Returns the bounds for a map; never reversed, which a map would not take.
    pub(crate) fn bounds(&self) -> impl RangeBounds<Bytes> + '_ {
        let end = match &self.end {
            Some(end) if *end < self.start => Bound::Excluded(&self.start),
            Some(end) => Bound::Excluded(end),
            None => Bound::Unbounded,
        };
        (Bound::Included(&self.start), end)
    }
}
