//! A prefix under which all keys of a client lie, unseen by it.
//!
//! [`KeyPrefix`] goes before the keys and ranges of a request when it is encoded, and is taken off
//! the keys of its answer; [`UnaryRequest`](crate::UnaryRequest) says where a message has keys.

// Y1

use crate::error::Error;
use crate::key_range::{OPEN_END, prefix_end};
use crate::{IntoBytes, KeyRange};
use bytes::{BufMut, Bytes, BytesMut};

/// A prefix of at least one byte that all keys of a client have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyPrefix {
    bytes: Bytes,
    /// The end of the range of all keys with the prefix, as it goes over the wire.
    end: Bytes,
}

impl KeyPrefix {
    /// Makes a prefix of these bytes; `None` if there are none, since every key begins with that.
    pub fn new(bytes: impl IntoBytes) -> Option<Self> {
        let bytes = bytes.into_bytes();
        (!bytes.is_empty()).then(|| Self { end: prefix_end(&bytes), bytes })
    }

    /// Returns the bytes of the prefix.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Puts the prefix before a key.
    ///
    /// # Errors
    ///
    /// Kind [`InvalidRequest`](crate::ErrorKind::InvalidRequest) for an empty key, which servers
    /// refuse too when nothing stands before it.
    // E10.1
    pub fn add(&self, key: &mut Bytes) -> Result<(), Error> {
        if key.is_empty() {
            return Err(Error::invalid_request("the key is empty"));
        }
        *key = self.before(key);
        Ok(())
    }

    /// Puts the prefix before a range as it goes over the wire: key and range end. One without an
    /// end stops at the last key that has the prefix.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    // K1
    pub fn add_to_range(&self, key: &mut Bytes, range_end: &mut Bytes) -> Result<(), Error> {
        self.add(key)?;
        if *range_end == OPEN_END {
            *range_end = self.end.clone();
        } else if !range_end.is_empty() {
            *range_end = self.before(range_end);
        }
        Ok(())
    }

    /// Takes the prefix off a key of an answer.
    ///
    /// # Errors
    ///
    /// Kind [`Protocol`](crate::ErrorKind::Protocol) when the key does not begin with it.
    pub fn strip(&self, key: &mut Bytes) -> Result<(), Error> {
        if !key.starts_with(&self.bytes) {
            return Err(Error::protocol("a key outside of the namespace in the answer"));
        }
        *key = key.slice(self.bytes.len()..);
        Ok(())
    }

    /// Returns the range of all keys that have the prefix.
    #[must_use]
    pub fn range(&self) -> KeyRange {
        crate::prefix(self.bytes.clone())
    }

    fn before(&self, key: &[u8]) -> Bytes {
        let mut whole = BytesMut::with_capacity(self.bytes.len() + key.len());
        whole.put_slice(&self.bytes);
        whole.put_slice(key);
        whole.freeze()
    }
}
