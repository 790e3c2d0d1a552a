//! Writing a key.

use super::{Limits, header, operation};
use crate::IntoBytes;
use crate::error::Error;
use bytes::Bytes;
use etcd3_proto::etcdserverpb::{PutRequest, ResponseHeader};
use etcd3_proto::mvccpb::KeyValue;

/// A write of one key: `etcdserverpb.KV/Put`.
///
/// When it ends in an error whose outcome is *unknown*, the key may or may not have the new value:
/// read it again, or write it in a transaction that compares.
#[derive(Debug, Clone, PartialEq)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutValue(Option<Bytes>);

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
pub struct PutLease(Option<i64>);

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

impl From<i64> for PutLease {
    fn from(id: i64) -> Self {
        Self(Some(id))
    }
}

impl From<IgnoreLease> for PutLease {
    fn from(_: IgnoreLease) -> Self {
        Self(None)
    }
}

impl Put {
    /// Attaches the key to a lease, by its id; or keeps the lease that it has ([`IgnoreLease`]).
    ///
    /// Without this, and with id 0, the key loses the lease that it has.
    // K26
    #[must_use]
    pub fn lease(mut self, lease: impl Into<PutLease>) -> Self {
        let PutLease(id) = lease.into();
        self.request.ignore_lease = id.is_none();
        self.request.lease = id.unwrap_or_default();
        self
    }

    /// Returns the pair that was there before, if there was one.
    // K27
    #[must_use]
    pub fn prev_kv(mut self) -> Self {
        self.request.prev_kv = true;
        self
    }
}

/// The answer to a [`Put`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PutResponse {
    /// Which cluster and member answered; its revision is that of the write.
    pub header: ResponseHeader,
    /// The pair before, if it was asked for and there was one.
    pub prev_kv: Option<KeyValue>,
}

impl From<etcd3_proto::etcdserverpb::PutResponse> for PutResponse {
    fn from(answer: etcd3_proto::etcdserverpb::PutResponse) -> Self {
        Self { header: header(answer.header), prev_kv: answer.prev_kv }
    }
}

impl Put {
    /// Checks and completes the message that is sent.
    ///
    /// # Errors
    ///
    /// What no server would take; outcome not sent.
    pub fn request(&mut self, _: &Limits) -> Result<&PutRequest, Error> {
        Ok(&self.request)
    }

    /// Reads the message that answers it.
    ///
    /// # Errors
    ///
    /// Kind [`Protocol`](crate::ErrorKind::Protocol) when it is no answer to this request.
    pub fn response(
        self,
        answer: etcd3_proto::etcdserverpb::PutResponse,
    ) -> Result<PutResponse, Error> {
        Ok(answer.into())
    }
}

operation!(Put, () => PutResponse);
