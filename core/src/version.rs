//! The versions of servers.

use std::fmt;

/// The version of a server, without its patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Version {
    /// The major version.
    pub major: u16,
    /// The minor version.
    pub minor: u16,
}

impl Version {
    /// Makes a version of its parts.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// Reads it from `3.5.16`, or from `3.7.0-alpha`, as servers tell it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        Some(Self::new(parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }
}

impl From<(u16, u16)> for Version {
    fn from((major, minor): (u16, u16)) -> Self {
        Self::new(major, minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        let parse = Version::parse;
        assert_eq!(parse("3.5.16"), Some(Version::new(3, 5)));
        assert_eq!(parse("3.7.0-alpha"), Some(Version::new(3, 7)));
        assert!(parse("3.10.0") > parse("3.9.0") && parse("4.0.0") > parse("3.9.0"));
        assert_eq!(Version::new(3, 10).to_string(), "3.10");
        for version in ["", "3", "x.5.0", "3.x"] {
            assert_eq!(parse(version), None, "{version}");
        }
    }
}
