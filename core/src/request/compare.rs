//! Conditions of a transaction.

// K40–K45

use super::show::Show;
use crate::{IntoBytes, KeyRange, LeaseId};
use etcd3_proto::etcdserverpb as pb;
use etcd3_proto::etcdserverpb::compare::{CompareResult, CompareTarget as Property, TargetUnion};
use std::fmt;
use std::str::FromStr;

/// One condition of a transaction: a property of a key, or of every key of a range, and what it
/// must be.
///
/// Made from a [`KeyRange`]: `key("k").version().eq(0)`. Of a range, every key must comply. A key
/// that does not exist has version, revisions and lease 0; a comparison of its value is never true,
/// and a range without keys counts as one key that does not exist.
///
/// # Examples
///
/// ```
/// # use etcd3_core as etcd3;
/// use etcd3::request::CompareOp;
/// use etcd3::{key, prefix};
///
/// let conditions = [
///     key("config").mod_revision().eq(42),
///     key("owner").value().ne("somebody else"),
///     key("lock").missing(),
///     // Every key of the range was changed since.
///     prefix("members/").mod_revision().gt(42),
///     // The operator as a value, also from a text.
///     key("config").version().is(CompareOp::Less, 100),
///     key("config").version().is("<".parse()?, 100),
/// ];
/// # let _ = conditions;
/// # Ok::<(), etcd3::request::CompareOpError>(())
/// ```
// K42, K43
#[derive(Clone, PartialEq)]
pub struct Compare {
    pub(super) message: pb::Compare,
}

impl fmt::Debug for Compare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Show(&self.message).fmt(f)
    }
}

/// The property of a key that is compared, waiting for what to compare it with.
#[derive(Debug, Clone)]
#[must_use]
pub struct CompareTarget<T> {
    range: KeyRange,
    property: Property,
    union: fn(T) -> TargetUnion,
}

impl KeyRange {
    /// Compares the version: how often the key was written since it was created.
    pub fn version(self) -> CompareTarget<i64> {
        CompareTarget { range: self, property: Property::Version, union: TargetUnion::Version }
    }

    /// Compares the revision that created the key.
    pub fn create_revision(self) -> CompareTarget<i64> {
        CompareTarget {
            range: self,
            property: Property::Create,
            union: TargetUnion::CreateRevision,
        }
    }

    /// Compares the revision that last changed the key.
    pub fn mod_revision(self) -> CompareTarget<i64> {
        CompareTarget { range: self, property: Property::Mod, union: TargetUnion::ModRevision }
    }

    /// Compares the value, byte by byte.
    pub fn value(self) -> CompareTarget<bytes::Bytes> {
        CompareTarget { range: self, property: Property::Value, union: TargetUnion::Value }
    }

    /// Compares the id of the lease that the key is attached to, 0 for none.
    pub fn lease(self) -> CompareTarget<LeaseId> {
        CompareTarget {
            range: self,
            property: Property::Lease,
            union: |lease| TargetUnion::Lease(lease.0),
        }
    }

    /// The condition that the key exists: its version is above 0.
    // K44
    #[must_use]
    pub fn exists(self) -> Compare {
        self.version().gt(0)
    }

    /// The condition that the key does not exist, or no key of the range: its version is 0.
    // K44
    #[must_use]
    pub fn missing(self) -> Compare {
        self.version().eq(0)
    }
}

/// How a property of a key is compared, as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CompareOp {
    /// The property is equal to the operand.
    Equal,
    /// The property differs from the operand.
    NotEqual,
    /// The property is greater than the operand.
    Greater,
    /// The property is less than the operand.
    Less,
}

/// Reads an operator as etcd's tools write it: `=`, `!=`, `>` or `<`; `==` is the same as `=`.
impl FromStr for CompareOp {
    type Err = CompareOpError;

    fn from_str(text: &str) -> Result<Self, CompareOpError> {
        Ok(match text {
            "=" | "==" => Self::Equal,
            "!=" => Self::NotEqual,
            ">" => Self::Greater,
            "<" => Self::Less,
            _ => return Err(CompareOpError(())),
        })
    }
}

/// Writes an operator as it is read.
impl fmt::Display for CompareOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::Less => "<",
        })
    }
}

/// The error of a text that is no [`CompareOp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompareOpError(());

impl fmt::Display for CompareOpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operator is none of =, !=, > and <")
    }
}

impl std::error::Error for CompareOpError {}

/// What a target of type `T` can be compared with.
pub trait Operand<T> {
    /// Turns into what goes over the wire.
    fn into_operand(self) -> T;
}

macro_rules! integers {
    ($($integer:ty),*) => {
        $(impl Operand<i64> for $integer {
            fn into_operand(self) -> i64 {
                self.into()
            }
        })*
    };
}

integers!(i32, u32, i64);

impl<I: Into<LeaseId>> Operand<LeaseId> for I {
    fn into_operand(self) -> LeaseId {
        self.into()
    }
}

impl<B: IntoBytes> Operand<bytes::Bytes> for B {
    fn into_operand(self) -> bytes::Bytes {
        self.into_bytes()
    }
}

impl<T> CompareTarget<T> {
    /// It must be equal to this.
    pub fn eq(self, operand: impl Operand<T>) -> Compare {
        self.is(CompareOp::Equal, operand)
    }

    /// It must be different from this.
    pub fn ne(self, operand: impl Operand<T>) -> Compare {
        self.is(CompareOp::NotEqual, operand)
    }

    /// It must be greater than this.
    pub fn gt(self, operand: impl Operand<T>) -> Compare {
        self.is(CompareOp::Greater, operand)
    }

    /// It must be less than this.
    pub fn lt(self, operand: impl Operand<T>) -> Compare {
        self.is(CompareOp::Less, operand)
    }

    /// It must stand in this relation to the operand.
    pub fn is(self, op: CompareOp, operand: impl Operand<T>) -> Compare {
        let result = match op {
            CompareOp::Equal => CompareResult::Equal,
            CompareOp::NotEqual => CompareResult::NotEqual,
            CompareOp::Greater => CompareResult::Greater,
            CompareOp::Less => CompareResult::Less,
        };
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

impl CompareTarget<i64> {
    /// It must be greater than this or equal to it; greater for [`i64::MIN`]. On the wire it is
    /// greater than the number before.
    pub fn ge(self, operand: impl Operand<i64>) -> Compare {
        self.gt(operand.into_operand().saturating_sub(1))
    }

    /// It must be less than this or equal to it; less for [`i64::MAX`]. On the wire it is less than
    /// the number after.
    pub fn le(self, operand: impl Operand<i64>) -> Compare {
        self.lt(operand.into_operand().saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{key, prefix};

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
        assert_eq!(key("k").lease().eq(LeaseId(7)), key("k").lease().eq(7));
        assert_eq!(key("k").version().ge(1), key("k").version().gt(0i64));
        assert_eq!(key("k").version().le(1), key("k").version().lt(2));
        assert_eq!(key("k").version().ge(i64::MIN), key("k").version().gt(i64::MIN));
        assert_eq!(key("k").exists(), key("k").version().gt(0));
        assert_eq!(key("k").missing(), key("k").version().eq(0));
        assert_eq!(key("k").exists(), key("k").version().gt(0));
        assert_eq!(key("k").missing(), key("k").version().eq(0));
        let ranged = prefix("a").value().eq(b"\xff");
        assert_eq!(ranged.message.range_end, "b");
    }

    #[test]
    fn operators_are_read_as_etcds_tools_write_them() {
        use CompareOp::{Equal, Greater, Less, NotEqual};
        for op in [Equal, NotEqual, Greater, Less] {
            assert_eq!(op.to_string().parse(), Ok(op));
        }
        assert_eq!("==".parse(), Ok(Equal));
        for bad in ["", "<>", ">=", " =", "eq"] {
            assert!(bad.parse::<CompareOp>().is_err(), "{bad}");
        }
    }
}
