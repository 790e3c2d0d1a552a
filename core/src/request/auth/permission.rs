//! What a role may do, and with which keys.

use crate::{Error, KeyRange};
use etcd3_proto::authpb::{self, permission::Type};
use std::fmt;
use std::str::FromStr;

/// What a permission allows to do with its keys.
///
/// ```
/// # use etcd3_core::request::PermissionType;
/// // As an operator writes it, in any case.
/// assert_eq!("readwrite".parse::<PermissionType>()?, PermissionType::ReadWrite);
/// assert_eq!(PermissionType::ReadWrite.to_string(), "readwrite");
/// # Ok::<(), etcd3_core::Error>(())
/// ```
// A4
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PermissionType {
    /// Reading: ranges, watches, and the compares of transactions.
    Read,
    /// Writing and deleting.
    Write,
    /// Both.
    ReadWrite,
}

impl PermissionType {
    pub(super) const fn to_wire(self) -> Type {
        match self {
            Self::Read => Type::Read,
            Self::Write => Type::Write,
            Self::ReadWrite => Type::Readwrite,
        }
    }

    fn from_wire(number: i32) -> Result<Self, Error> {
        match Type::try_from(number) {
            Ok(Type::Read) => Ok(Self::Read),
            Ok(Type::Write) => Ok(Self::Write),
            Ok(Type::Readwrite) => Ok(Self::ReadWrite),
            Err(_) => Err(Error::protocol(format!("permission type {number} in the answer"))),
        }
    }
}

/// Writes the name that etcd's tools take: `read`, `write` or `readwrite`.
impl fmt::Display for PermissionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::ReadWrite => "readwrite",
        })
    }
}

/// Reads `read`, `write` or `readwrite`, in upper or lower case, as etcd's tools do.
///
/// # Errors
///
/// Kind [`InvalidRequest`](crate::ErrorKind::InvalidRequest) for anything else.
impl FromStr for PermissionType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match &*text.to_uppercase() {
            "READ" => Ok(Self::Read),
            "WRITE" => Ok(Self::Write),
            "READWRITE" => Ok(Self::ReadWrite),
            _ => Err(Error::invalid_request(format!(
                "{text:?} is no type of a permission: read, write or readwrite"
            ))),
        }
    }
}

/// A permission that a role has: keys, and what may be done with them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Permission {
    /// The keys, as they were granted.
    pub range: KeyRange,
    /// What may be done with them.
    pub permission_type: PermissionType,
}

impl TryFrom<authpb::Permission> for Permission {
    type Error = Error;

    /// Fails with kind [`Protocol`](crate::ErrorKind::Protocol) for a type that etcd does not have.
    fn try_from(message: authpb::Permission) -> Result<Self, Error> {
        let authpb::Permission { perm_type, key, range_end } = message;
        let permission_type = PermissionType::from_wire(perm_type)?;
        Ok(Self { range: KeyRange::from_wire(key, range_end), permission_type })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    // Go's StrToPermissionType
    #[test]
    fn types_are_read_in_any_case_and_nothing_else_is() {
        for (texts, expected) in [
            (["read", "READ", "Read"], PermissionType::Read),
            (["write", "WRITE", "wRiTe"], PermissionType::Write),
            (["readwrite", "READWRITE", "ReadWrite"], PermissionType::ReadWrite),
        ] {
            for text in texts {
                assert_eq!(text.parse::<PermissionType>().unwrap(), expected);
            }
            assert_eq!(expected.to_string(), texts[0]);
            let number = i32::from(expected.to_wire());
            assert_eq!(PermissionType::from_wire(number).unwrap(), expected);
        }
        for text in ["", " read", "rw", "read-write", "read_write", "0"] {
            let error = text.parse::<PermissionType>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest);
            assert!(error.report().to_string().contains(text), "{}", error.report());
        }
    }
}
