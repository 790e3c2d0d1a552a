//! The name of a lease.

use std::fmt;

/// The id of a lease.
///
/// Written in hexadecimal, as `etcdctl` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LeaseId(pub i64);

impl LeaseId {
    /// No lease: what a key has that is attached to none.
    pub const NONE: Self = Self(0);

    /// Returns whether this is the id of a lease.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.0 != 0
    }

    /// Returns whether this stands for no lease.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl From<i64> for LeaseId {
    fn from(id: i64) -> Self {
        Self(id)
    }
}

impl From<LeaseId> for i64 {
    fn from(id: LeaseId) -> Self {
        id.0
    }
}

impl PartialEq<i64> for LeaseId {
    fn eq(&self, other: &i64) -> bool {
        self.0 == *other
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_as_etcdctl_writes_them() {
        assert_eq!(LeaseId(0x694d_81e9_5a4b_c20f).to_string(), "694d81e95a4bc20f");
        assert_eq!(LeaseId(7).to_string(), "0000000000000007");
        assert_eq!(LeaseId(-1).to_string(), "ffffffffffffffff");
        assert!(LeaseId::NONE.is_none() && !LeaseId::NONE.is_some());
        assert!(!LeaseId(7).is_none() && LeaseId::from(7).is_some());
    }
}
