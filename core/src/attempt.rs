//! One attempt of a call or of a stream: what is to be sent, and where it went.

use crate::Instant;
use crate::auth::{Generation, MIN_LIFE, StaleToken};
use crate::channel::{Admission, EndpointId, Want};
use crate::metadata::Metadata;

/// One attempt to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Counts from 1.
    pub number: u32,
    /// What it wants of its connection.
    pub want: Want,
    /// When the call must be over.
    pub deadline: Option<Instant>,
    /// Whether a member without a leader is to refuse it.
    pub require_leader: bool,
    /// The token that was refused last: a newer one is to be sent.
    pub stale_token: Option<StaleToken>,
}

impl Attempt {
    /// Returns what the head of its request says when it is sent at this moment, but for a token.
    #[must_use]
    pub fn metadata(&self, now: Instant) -> Metadata {
        let timeout = self.deadline.map(|deadline| deadline.saturating_since(now));
        Metadata { require_leader: self.require_leader, timeout, token: None }
    }
}

/// The token that a request was sent with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SentToken {
    /// Which one.
    pub generation: Generation,
    /// When it was obtained.
    pub since: Instant,
}

impl SentToken {
    /// Returns whether it is so new that its refusal says more than that it has expired.
    #[must_use]
    pub fn is_fresh(self, now: Instant) -> bool {
        now.saturating_since(self.since) < MIN_LIFE
    }
}

/// Where and how a request was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// The endpoint that it was sent to.
    pub endpoint: EndpointId,
    /// Whether a repetition could go to another one.
    pub has_choice: bool,
    /// The token that it was sent with, or the knowledge that none is needed; `None` from a client
    /// without credentials.
    pub token: Option<SentToken>,
    /// The highest revision that had been seen of its cluster; 0 where that may be another one than
    /// that of the client.
    // I-R8
    pub seen: i64,
}

impl Sent {
    /// A request that was admitted, and sent with this token.
    #[must_use]
    pub const fn new(admission: &Admission, token: Option<SentToken>) -> Self {
        let Admission { endpoint, has_choice, floor, .. } = *admission;
        let seen = match floor {
            Some(floor) => floor.revision,
            None => 0,
        };
        Self { endpoint, has_choice, token, seen }
    }
}
