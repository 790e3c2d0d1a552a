//! Changes of the target, and how many of them go into one transaction.

use crate::{Bytes, LeaseId, Op, delete, put};

/// A change of one key of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Put(Bytes, Bytes, LeaseId),
    Delete(Bytes),
}

/// What a change takes in a request beside its key and value, and what a transaction takes beside
/// its changes: more than enough.
const OVERHEAD: usize = 64;

impl Change {
    /// Returns how many bytes it takes in a request, at most.
    fn size(&self) -> usize {
        let bytes = match self {
            Self::Put(key, value, _) => key.len() + value.len(),
            Self::Delete(key) => key.len(),
        };
        bytes + OVERHEAD
    }

    pub(super) const fn key(&self) -> &Bytes {
        match self {
            Self::Put(key, ..) | Self::Delete(key) => key,
        }
    }

    pub(super) fn op(&self) -> Op {
        match self {
            Self::Put(key, value, lease) => put(key.clone(), value.clone()).lease(*lease).into(),
            Self::Delete(key) => delete(key.clone()).into(),
        }
    }
}

/// What one transaction of the target may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Capacity {
    /// Operations, that for the position included.
    pub(super) ops: usize,
    pub(super) bytes: usize,
}

impl Capacity {
    /// Divides changes into as few transactions as may hold them, in their order; one at least.
    pub(super) fn divide(self, changes: &[Change]) -> Vec<&[Change]> {
        let most = self.ops.saturating_sub(1).max(1);
        let (mut parts, mut start, mut bytes) = (Vec::new(), 0, 0);
        for (n, change) in changes.iter().enumerate() {
            let size = change.size();
            if n > start && (n - start == most || bytes + size > self.bytes) {
                parts.push(&changes[start..n]);
                (start, bytes) = (n, 0);
            }
            bytes += size;
        }
        parts.push(&changes[start..]);
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_divided_by_number_and_by_size_and_only_then() {
        let of = |sizes: &[usize]| -> Vec<Change> {
            let value = |size| Bytes::from(vec![0; size]);
            sizes.iter().map(|s| Change::Put("k".into(), value(*s), LeaseId::NONE)).collect()
        };
        let lengths = |capacity: Capacity, sizes: &[usize]| -> Vec<usize> {
            capacity.divide(&of(sizes)).iter().map(|part| part.len()).collect()
        };
        let capacity = Capacity { ops: 4, bytes: 1_000 };
        assert_eq!(lengths(capacity, &[]), [0]);
        assert_eq!(lengths(capacity, &[1; 3]), [3]);
        assert_eq!(lengths(capacity, &[1; 7]), [3, 3, 1]);
        assert_eq!(lengths(capacity, &[400, 400, 400]), [2, 1]);
        assert_eq!(lengths(capacity, &[5_000, 1, 5_000]), [1, 1, 1]);
        assert_eq!(lengths(Capacity { ops: 0, bytes: 0 }, &[1, 1]), [1, 1]);
    }
}
