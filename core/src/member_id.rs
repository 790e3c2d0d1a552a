//! The name of a member.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

/// The id of a member of a cluster.
///
/// Written and read in hexadecimal, as `etcdctl` and the logs of servers do.
///
/// # Examples
///
/// ```
/// # use etcd3_core as etcd3;
/// use etcd3::MemberId;
///
/// let id: MemberId = "8e9e05c52164694d".parse()?;
/// assert_eq!(id, 0x8e9e_05c5_2164_694d);
/// assert_eq!(id.to_string(), "8e9e05c52164694d");
/// # Ok::<(), std::num::ParseIntError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MemberId(pub u64);

impl From<u64> for MemberId {
    fn from(id: u64) -> Self {
        Self(id)
    }
}

impl From<MemberId> for u64 {
    fn from(id: MemberId) -> Self {
        id.0
    }
}

impl PartialEq<u64> for MemberId {
    fn eq(&self, other: &u64) -> bool {
        self.0 == *other
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl FromStr for MemberId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_and_read_as_etcdctl_does() {
        for (id, text) in [(0x8e9e_05c5_2164_694d, "8e9e05c52164694d"), (7, "7"), (0, "0")] {
            assert_eq!(MemberId(id).to_string(), text);
            assert_eq!(text.parse(), Ok(MemberId(id)));
        }
        assert_eq!("FFFFFFFFFFFFFFFF".parse(), Ok(MemberId(u64::MAX)));
        for text in ["", "g", "-1", "10000000000000000", "0x7"] {
            assert!(text.parse::<MemberId>().is_err(), "{text}");
        }
    }
}
