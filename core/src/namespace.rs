//! A prefix under which all keys of a client lie, unseen by it.
//!
//! [`KeyPrefix`] goes before the keys and ranges of a request when it is encoded, and is taken off
//! the keys of its answer; [`UnaryRequest`](crate::UnaryRequest) says where a message has keys.

// Y1

use crate::error::{Error, ErrorKind};
use crate::key_range::{OPEN_END, prefix_end};
use crate::server_error::ServerError;
use crate::{IntoBytes, KeyRange};
use bytes::{BufMut, Bytes, BytesMut};
use std::sync::Arc;

/// A prefix of at least one byte that all keys of a client have. Cheap to clone, and to be without.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyPrefix(Arc<Parts>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Parts {
    bytes: Bytes,
    /// The end of the range of all keys with the prefix, as it goes over the wire.
    end: Bytes,
}

impl KeyPrefix {
    /// Makes a prefix of these bytes; `None` if there are none, since every key begins with that.
    pub fn new(bytes: impl IntoBytes) -> Option<Self> {
        let bytes = bytes.into_bytes();
        (!bytes.is_empty()).then(|| Self(Arc::new(Parts { end: prefix_end(&bytes), bytes })))
    }

    /// Makes the prefix of a namespace within this one, or within all keys; `None` if both are
    /// empty.
    pub fn nested(outer: Option<&Self>, bytes: impl IntoBytes) -> Option<Self> {
        let bytes = bytes.into_bytes();
        match outer {
            Some(outer) if bytes.is_empty() => Some(outer.clone()),
            Some(outer) => Self::new(outer.before(&bytes)),
            None => Self::new(bytes),
        }
    }

    /// Returns the bytes of the prefix.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// Puts the prefix before a key.
    ///
    /// # Errors
    ///
    /// [`ServerError::EmptyKey`] for an empty key, as servers answer when nothing stands before it;
    /// outcome not sent.
    // E10.1
    pub fn add(&self, key: &mut Bytes) -> Result<(), Error> {
        if key.is_empty() {
            return Err(Error::new(ErrorKind::Server(ServerError::EmptyKey)));
        }
        *key = self.before(key);
        Ok(())
    }

    /// Puts the prefix before a name, as that of an election: what keys begin with, which may be
    /// empty.
    pub fn add_to_name(&self, name: &mut Bytes) {
        *name = self.before(name);
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
            *range_end = self.0.end.clone();
        } else if !range_end.is_empty() {
            *range_end = self.before(range_end);
        }
        Ok(())
    }

    /// Returns the range of these keys behind the prefix.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub fn around(&self, range: &KeyRange) -> Result<KeyRange, Error> {
        let (mut key, mut range_end) = range.clone().into_parts();
        self.add_to_range(&mut key, &mut range_end)?;
        Ok(KeyRange::from_wire(key, range_end))
    }

    /// Takes the prefix off a key of an answer.
    ///
    /// # Errors
    ///
    /// Kind [`Protocol`](crate::ErrorKind::Protocol) when the key does not begin with it, or is
    /// nothing else: no client of the namespace can name that one.
    pub fn strip(&self, key: &mut Bytes) -> Result<(), Error> {
        if key.len() == self.0.bytes.len() {
            return Err(outside());
        }
        self.strip_name(key)
    }

    /// Takes the prefix off a name of an answer.
    ///
    /// # Errors
    ///
    /// Kind [`Protocol`](crate::ErrorKind::Protocol) when it does not begin with it.
    pub fn strip_name(&self, name: &mut Bytes) -> Result<(), Error> {
        if !name.starts_with(&self.0.bytes) {
            return Err(outside());
        }
        *name = name.slice(self.0.bytes.len()..);
        Ok(())
    }

    /// Returns the range of all keys that have the prefix.
    #[must_use]
    pub fn range(&self) -> KeyRange {
        crate::prefix(self.0.bytes.clone())
    }

    fn before(&self, key: &[u8]) -> Bytes {
        let mut whole = BytesMut::with_capacity(self.0.bytes.len() + key.len());
        whole.put_slice(&self.0.bytes);
        whole.put_slice(key);
        whole.freeze()
    }
}

fn outside() -> Error {
    Error::protocol("a key outside of the namespace in the answer")
}
