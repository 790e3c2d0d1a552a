//! One key with its value.

use crate::LeaseId;
use crate::proto::mvccpb;
use bytes::Bytes;
use std::{fmt, str};

/// One key with its value, and what the store knows of it.
///
/// Key and value are shown as text by `Debug` where they are UTF-8.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// The revision that created the key, the last time that it was.
    pub create_revision: i64,
    /// The revision that last changed the key.
    pub mod_revision: i64,
    /// How often the key was written since it was created, that included; 0 for a deleted key.
    pub version: i64,
    /// The value; empty when only keys were asked for.
    pub value: Bytes,
    /// The lease that the key is attached to; [`LeaseId::NONE`] for none.
    pub lease: LeaseId,
}

impl KeyValue {
    /// Returns the key as text.
    ///
    /// # Errors
    ///
    /// When it is not UTF-8.
    pub fn key_str(&self) -> Result<&str, str::Utf8Error> {
        str::from_utf8(&self.key)
    }

    /// Returns the value as text.
    ///
    /// # Errors
    ///
    /// When it is not UTF-8.
    pub fn value_str(&self) -> Result<&str, str::Utf8Error> {
        str::from_utf8(&self.value)
    }
}

impl From<mvccpb::KeyValue> for KeyValue {
    fn from(pair: mvccpb::KeyValue) -> Self {
        let mvccpb::KeyValue { key, create_revision, mod_revision, version, value, lease } = pair;
        Self { key, create_revision, mod_revision, version, value, lease: LeaseId(lease) }
    }
}

impl From<KeyValue> for mvccpb::KeyValue {
    fn from(pair: KeyValue) -> Self {
        let KeyValue { key, create_revision, mod_revision, version, value, lease } = pair;
        Self { key, create_revision, mod_revision, version, value, lease: lease.0 }
    }
}

impl fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyValue")
            .field("key", &Text(&self.key))
            .field("value", &Text(&self.value))
            .field("create_revision", &self.create_revision)
            .field("mod_revision", &self.mod_revision)
            .field("version", &self.version)
            .field("lease", &format_args!("{}", self.lease))
            .finish()
    }
}

/// Bytes shown as text where they are UTF-8, else as a byte string.
pub(crate) struct Text<'a>(pub(crate) &'a Bytes);

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match str::from_utf8(self.0) {
            Ok(text) => fmt::Debug::fmt(text, f),
            Err(_) => fmt::Debug::fmt(self.0, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_shown_as_text() {
        let pair = KeyValue {
            key: Bytes::from_static("ключ".as_bytes()),
            value: Bytes::from_static(b"\xff\0"),
            version: 1,
            ..KeyValue::default()
        };
        let shown = format!("{pair:?}");
        assert!(shown.starts_with(r#"KeyValue { key: "ключ", value: b"\xff\0", "#), "{shown}");
        assert_eq!((pair.key_str(), pair.value_str().is_err()), (Ok("ключ"), true));
        let wire = mvccpb::KeyValue::from(pair.clone());
        assert_eq!(KeyValue::from(wire), pair);
    }
}
