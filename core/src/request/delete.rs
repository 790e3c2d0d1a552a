//! Deleting keys.

use super::operation;
use super::options::options;
use crate::{KeyRange, KeyValue, ResponseHeader};
use etcd3_proto::etcdserverpb::{DeleteRangeRequest, DeleteRangeResponse};

/// A deletion of one key or a range of keys: `etcdserverpb.KV/DeleteRange`.
///
/// Deleting what is not there is no error and does not move the revision. When it ends in an error
/// whose outcome is *unknown*, the keys may or may not be gone.
// K27
#[derive(Debug, Clone, PartialEq)]
pub struct Delete {
    pub(super) request: DeleteRangeRequest,
}

/// Deletes one key, or all keys of a range.
pub fn delete(range: impl Into<KeyRange>) -> Delete {
    let (key, range_end) = range.into().into_parts();
    Delete { request: DeleteRangeRequest { key, range_end, ..DeleteRangeRequest::default() } }
}

options! { $ Delete as delete_options {
    /// Returns the pairs that were deleted.
    pub fn prev_kv(mut self) -> Self {
        self.request.prev_kv = true;
        self
    }
} }

/// The answer to a [`Delete`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct DeleteResponse {
    /// Which cluster and member answered; its revision is that of the deletion.
    pub header: ResponseHeader,
    /// How many keys were deleted.
    pub deleted: u64,
    /// The pairs before, if they were asked for.
    pub prev_kvs: Vec<KeyValue>,
}

impl From<DeleteRangeResponse> for DeleteResponse {
    fn from(answer: DeleteRangeResponse) -> Self {
        let DeleteRangeResponse { header, deleted, prev_kvs } = answer;
        let prev_kvs = prev_kvs.into_iter().map(KeyValue::from).collect();
        let deleted = deleted.try_into().unwrap_or(0);
        Self { header: header.into(), deleted, prev_kvs }
    }
}

operation!(Delete: DeleteRangeRequest => DeleteRangeResponse => DeleteResponse);
