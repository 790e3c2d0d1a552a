//! Writing a key.

use super::operation;
use super::options::options;
use super::show::Show;
use crate::{IntoBytes, KeyValue, LeaseId, ResponseHeader};
use bytes::Bytes;
use etcd3_proto::etcdserverpb::{self as pb, PutRequest};
use std::fmt;

/// A write of one key: `etcdserverpb.KV/Put`.
///
/// When it ends in an error whose outcome is *unknown*, the key may or may not have the new value:
/// read it again, or write it in a transaction that compares.
///
/// `Debug` leaves the value out, and tells its length: the message that
/// [`request`](Self::request) returns shows it.
#[derive(Clone, PartialEq)]
pub struct Put {
    pub(super) request: PutRequest,
}

/// Writes a key. The value may be [`IgnoreValue`], to keep the one that is there.
pub fn put(key: impl IntoBytes, value: impl Into<PutValue>) -> Put {
    let key = key.into_bytes();
    let request = match value.into().0 {
        Some(value) => PutRequest { key, value, ..PutRequest::default() },
        None => PutRequest { key, ignore_value: true, ..PutRequest::default() },
    };
    Put { request }
}

/// What a [`put`] writes: bytes, or [`IgnoreValue`].
#[derive(Clone, PartialEq, Eq)]
pub struct PutValue(Option<Bytes>);

impl fmt::Debug for Put {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Show(&self.request).fmt(f)
    }
}

impl fmt::Debug for PutValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => write!(f, "PutValue({} bytes)", value.len()),
            None => f.write_str("PutValue(IgnoreValue)"),
        }
    }
}

/// In place of a value: keeps the value of the key, which must exist. In the field `ignore_value`
/// of the request.
// K25
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IgnoreValue;

/// In place of a lease: keeps the lease of the key, which must exist. In the field `ignore_lease`
/// of the request.
// K25
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IgnoreLease;

/// What a put does about the lease of the key: attaches one by its id, or [`IgnoreLease`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutLease(Option<LeaseId>);

impl<T: IntoBytes> From<T> for PutValue {
    fn from(value: T) -> Self {
        Self(Some(value.into_bytes()))
    }
}

impl From<IgnoreValue> for PutValue {
    fn from(_: IgnoreValue) -> Self {
        Self(None)
    }
}

impl From<LeaseId> for PutLease {
    fn from(id: LeaseId) -> Self {
        Self(Some(id))
    }
}

impl From<i64> for PutLease {
    fn from(id: i64) -> Self {
        Self(Some(LeaseId(id)))
    }
}

impl From<IgnoreLease> for PutLease {
    fn from(_: IgnoreLease) -> Self {
        Self(None)
    }
}

options! { $ Put as put_options {
    /// Attaches the key to a lease, by its id; or keeps the lease that it has ([`IgnoreLease`]).
    ///
    /// Without this, and with id 0, the key loses the lease that it has.
    // K26
    pub fn lease(mut self, lease: impl Into<PutLease>) -> Self {
        let PutLease(id) = lease.into();
        self.request.ignore_lease = id.is_none();
        self.request.lease = id.unwrap_or_default().0;
        self
    }

    /// Returns the pair that was there before, if there was one.
    // K27
    pub fn prev_kv(mut self) -> Self {
        self.request.prev_kv = true;
        self
    }
} }

/// The answer to a [`Put`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct PutResponse {
    /// Which cluster and member answered; its revision is that of the write.
    pub header: ResponseHeader,
    /// The pair before, if it was asked for and there was one.
    pub prev_kv: Option<KeyValue>,
}

impl From<pb::PutResponse> for PutResponse {
    fn from(answer: pb::PutResponse) -> Self {
        let pb::PutResponse { header, prev_kv } = answer;
        Self { header: header.into(), prev_kv: prev_kv.map(KeyValue::from) }
    }
}

operation!(Put: PutRequest => PutResponse => PutResponse);
