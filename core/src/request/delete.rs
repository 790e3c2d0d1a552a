//! Deleting keys.

use super::{Limits, header, operation};
use crate::KeyRange;
use crate::error::Error;
use etcd3_proto::etcdserverpb::{DeleteRangeRequest, DeleteRangeResponse, ResponseHeader};
use etcd3_proto::mvccpb::KeyValue;

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

impl Delete {
    /// Returns the pairs that were deleted.
    #[must_use]
    pub fn prev_kv(mut self) -> Self {
        self.request.prev_kv = true;
        self
    }
}

/// The answer to a [`Delete`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DeleteResponse {
    /// Which cluster and member answered; its revision is that of the deletion.
    pub header: ResponseHeader,
    /// How many keys were deleted.
    pub deleted: i64,
    /// The pairs before, if they were asked for.
    pub prev_kvs: Vec<KeyValue>,
}

impl From<DeleteRangeResponse> for DeleteResponse {
    fn from(answer: DeleteRangeResponse) -> Self {
        let DeleteRangeResponse { header: head, deleted, prev_kvs } = answer;
        Self { header: header(head), deleted, prev_kvs }
    }
}

impl Delete {
    /// Checks and completes the message that is sent.
    ///
    /// # Errors
    ///
    /// What no server would take; outcome not sent.
    pub fn request(&mut self, _: &Limits) -> Result<&DeleteRangeRequest, Error> {
        Ok(&self.request)
    }

    /// Reads the message that answers it.
    ///
    /// # Errors
    ///
    /// Kind [`Protocol`](crate::ErrorKind::Protocol) when it is no answer to this request.
    pub fn response(self, answer: DeleteRangeResponse) -> Result<DeleteResponse, Error> {
        Ok(answer.into())
    }
}

operation!(Delete, () => DeleteResponse);
