//! A version of etcd.

use crate::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// A version of etcd, or of another program that is numbered alike; what follows the third number,
/// as in `3.6.0-rc.1`, is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The first number: 3 in all versions of etcd that this workspace supports.
    pub major: u32,
    /// The release: 4, 5, 6.
    pub minor: u32,
    /// The number of the patch within a release.
    pub patch: u32,
}

impl Version {
    /// Returns the first patch of a minor version.
    pub const fn minor(major: u32, minor: u32) -> Self {
        Self { major, minor, patch: 0 }
    }

    /// Finds the version in the answer of `etcd --version`.
    pub(crate) fn said_by(answer: &str) -> Option<Self> {
        let line = answer.lines().find_map(|line| line.strip_prefix("etcd Version: "))?;
        line.trim().parse().ok()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |part: Option<&str>| part.and_then(|part| part.parse().ok());
        let plain = text.split(['-', '+', '~']).next().unwrap_or_default();
        let mut parts = plain.split('.');
        match (number(parts.next()), number(parts.next()), number(parts.next()), parts.next()) {
            (Some(major), Some(minor), Some(patch), None) => Ok(Self { major, minor, patch }),
            _ => Err(Error::new(format!("{text:?} is not a version like 3.5.16"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_from_what_etcd_says() {
        let answer = "etcd Version: 3.5.16\nGit SHA: Not provided\nGo Version: go1.24.4\n";
        assert_eq!(Version::said_by(answer), Some(Version { major: 3, minor: 5, patch: 16 }));
        assert_eq!(Version::said_by("etcdctl version: 3.5.16\n"), None);
    }

    #[test]
    fn versions_are_ordered_by_number() {
        let version = |text: &str| text.parse::<Version>().expect("a version");
        assert!(version("3.5.9") < version("3.5.16"));
        assert!(version("3.5.30") < version("3.6.0-rc.1"));
        assert_eq!(version("3.4.23").to_string(), "3.4.23");
        assert!("3.5".parse::<Version>().is_err() && "3.5.1.2".parse::<Version>().is_err());
    }
}
