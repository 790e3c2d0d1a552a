//! Conditions of a transaction.

// K40–K45

use crate::{IntoBytes, KeyRange, key};
use etcd3_proto::etcdserverpb as pb;
use etcd3_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};

/// One condition of a transaction: a property of a key, or of every key of a range, and what it
/// must be.
///
/// Made from a [`KeyRange`]: `key("k").version().eq(0)`. Of a range, every key must comply. A key
/// that does not exist has version, revisions and lease 0; a comparison of its value is never true,
/// and a range without keys counts as one key that does not exist.
// K42, K43
#[derive(Debug, Clone, PartialEq)]
pub struct Compare {
    pub(super) message: pb::Compare,
}

/// The property of a key that is compared, waiting for what to compare it with.
#[derive(Debug, Clone)]
#[must_use]
pub struct Target<T> {
    range: KeyRange,
    property: CompareTarget,
    union: fn(T) -> TargetUnion,
}

impl KeyRange {
    /// Compares the version: how often the key was written since it was created.
    pub fn version(self) -> Target<i64> {
        Target { range: self, property: CompareTarget::Version, union: TargetUnion::Version }
    }

    /// Compares the revision that created the key.
    pub fn create_revision(self) -> Target<i64> {
        Target { range: self, property: CompareTarget::Create, union: TargetUnion::CreateRevision }
    }

    /// Compares the revision that last changed the key.
    pub fn mod_revision(self) -> Target<i64> {
        Target { range: self, property: CompareTarget::Mod, union: TargetUnion::ModRevision }
    }

    /// Compares the value, byte by byte.
    pub fn value(self) -> Target<bytes::Bytes> {
        Target { range: self, property: CompareTarget::Value, union: TargetUnion::Value }
    }

    /// Compares the id of the lease that the key is attached to, 0 for none.
    pub fn lease(self) -> Target<i64> {
        Target { range: self, property: CompareTarget::Lease, union: TargetUnion::Lease }
    }
}

/// What a target of type `T` can be compared with.
pub trait Operand<T> {
    /// Turns into what goes over the wire.
    fn into_operand(self) -> T;
}

impl Operand<i64> for i64 {
    fn into_operand(self) -> i64 {
        self
    }
}

impl<B: IntoBytes> Operand<bytes::Bytes> for B {
    fn into_operand(self) -> bytes::Bytes {
        self.into_bytes()
    }
}

impl<T> Target<T> {
    /// It must be equal to this.
    pub fn eq(self, operand: impl Operand<T>) -> Compare {
        self.compare(CompareResult::Equal, operand)
    }

    /// It must be different from this.
    pub fn ne(self, operand: impl Operand<T>) -> Compare {
        self.compare(CompareResult::NotEqual, operand)
    }

    /// It must be greater than this.
    pub fn gt(self, operand: impl Operand<T>) -> Compare {
        self.compare(CompareResult::Greater, operand)
    }

    /// It must be less than this.
    pub fn lt(self, operand: impl Operand<T>) -> Compare {
        self.compare(CompareResult::Less, operand)
    }

    fn compare(self, result: CompareResult, operand: impl Operand<T>) -> Compare {
        let (key, range_end) = self.range.into_parts();
        Compare {
            message: pb::Compare {
                result: result.into(),
                target: self.property.into(),
                key,
                range_end,
                target_union: Some((self.union)(operand.into_operand())),
            },
        }
    }
}

/// The condition that the key exists: its version is above 0.
// K44
pub fn key_exists(name: impl IntoBytes) -> Compare {
    key(name).version().gt(0)
}

/// The condition that the key does not exist: its version is 0.
// K44
pub fn key_missing(name: impl IntoBytes) -> Compare {
    key(name).version().eq(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prefix;

    // K40, K41, K44, TXN-042
    #[test]
    fn every_target_and_operator_on_the_wire() {
        let wire = |c: Compare| (c.message.target, c.message.result, c.message.target_union);
        let of = |n| Some(n);
        assert_eq!(wire(key("k").version().eq(1)), (0, 0, of(TargetUnion::Version(1))));
        assert_eq!(
            wire(key("k").create_revision().gt(2)),
            (1, 1, of(TargetUnion::CreateRevision(2)))
        );
        assert_eq!(wire(key("k").mod_revision().lt(3)), (2, 2, of(TargetUnion::ModRevision(3))));
        assert_eq!(wire(key("k").value().ne("v")), (3, 3, of(TargetUnion::Value("v".into()))));
        assert_eq!(wire(key("k").lease().eq(-1)), (4, 0, of(TargetUnion::Lease(-1))));
        assert_eq!(key_exists("k"), key("k").version().gt(0));
        assert_eq!(key_missing("k"), key("k").version().eq(0));
        let ranged = prefix("a").value().eq(b"\xff");
        assert_eq!(ranged.message.range_end, "b");
    }
}
