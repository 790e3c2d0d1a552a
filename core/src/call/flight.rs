//! The attempt under way.

use crate::Instant;
use crate::channel::EndpointId;
use crate::error::Cause;
use crate::frame::Decoder;
use crate::status::Status;
use bytes::Bytes;

/// The answer as far as it has come.
#[derive(Debug, Clone)]
pub(super) struct Flight {
    pub(super) endpoint: EndpointId,
    pub(super) sent: Instant,
    /// When the server last said something, or the request was sent.
    pub(super) progress: Instant,
    pub(super) decoder: Decoder,
    pub(super) has_head: bool,
    /// The status of a response that ended with its head ("trailers-only").
    pub(super) head_status: Option<Status>,
    pub(super) message: Option<Bytes>,
}

impl Flight {
    pub(super) fn new(now: Instant, endpoint: EndpointId, max_bytes: usize) -> Self {
        Self {
            endpoint,
            sent: now,
            progress: now,
            decoder: Decoder::new(max_bytes),
            has_head: false,
            head_status: None,
            message: None,
        }
    }

    /// Says how long nothing has come.
    pub(super) fn silence(&self, now: Instant) -> Cause {
        let (sent, heard) = (now.saturating_since(self.sent), now.saturating_since(self.progress));
        let text = if self.sent == self.progress {
            format!("the request was sent {sent:?} ago, and nothing has come back")
        } else {
            format!("the request was sent {sent:?} ago, and nothing has come for {heard:?}")
        };
        Cause::new(text)
    }
}
