//! The attempt whose stream is open.

use super::Sent;
use crate::Instant;
use crate::error::Cause;
use crate::stream::Inbound;
use bytes::Bytes;

/// The response as far as it was received.
#[derive(Debug, Clone)]
pub(super) struct Streaming {
    pub(super) request: Sent,
    sent: Instant,
    /// When the server last said something, or the request was sent.
    pub(super) progress: Instant,
    pub(super) inbound: Inbound,
    pub(super) message: Option<Bytes>,
}

impl Streaming {
    pub(super) fn new(now: Instant, request: Sent, max_bytes: usize) -> Self {
        Self { request, sent: now, progress: now, inbound: Inbound::new(max_bytes), message: None }
    }

    /// Says for how long nothing was received.
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
