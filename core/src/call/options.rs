//! How a call is to be made.

use crate::Instant;
use crate::backoff::Backoff;
use crate::channel::{ConnectionId, EndpointId};
use crate::method::Effect;
use crate::rpc::Rpc;
use std::time::Duration;

/// How a call is to be made.
#[expect(clippy::struct_excessive_bools, reason = "options are independent")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// When the call must be over, everything included; `None` leaves it to the attempts.
    pub deadline: Option<Instant>,
    /// How long an attempt that may be repeated on another endpoint waits for the server to say
    /// something, the first time; twice as long after each that was given up. `None` leaves it to
    /// the deadline.
    pub attempt_timeout: Option<Duration>,
    /// How many attempts are made at most, the first included; 0 counts as 1.
    // C16
    pub max_attempts: u32,
    /// The wait between attempts. The first retry after a failure that another endpoint may not
    /// share is made at once.
    pub backoff: Backoff,
    /// The longest response that is taken, in bytes.
    pub max_response_bytes: usize,
    /// The length of the encoded request, without its gRPC head, in bytes; `None` if it is not
    /// known. Tells whether a proxy that found a message too large means the request.
    pub request_len: Option<usize>,
    /// Whether the request asks to be refused by a member without a leader.
    pub require_leader: bool,
    /// Whether the response must not be older than what was seen before the request was sent.
    // I-R8
    pub is_linearizable: bool,
    /// Whether it must not be older than that although a member answers by itself.
    // Y2
    pub is_ordered: bool,
    /// The highest revision that is read of what a member has by itself, which may be behind; 0 for
    /// none.
    // I-R8, R-08
    pub local_revision: i64,
    /// What the call may do to the store; usually that of its method.
    pub effect: Effect,
    /// The endpoint that the first attempt avoids if there is another one.
    pub avoid: Option<EndpointId>,
    /// The only endpoint that will do.
    pub only: Option<EndpointId>,
    /// The only connection that will do, for a probe.
    pub connection: Option<ConnectionId>,
    /// Whether secrets may be sent in plain text.
    pub allow_plaintext_secrets: bool,
    /// The seed of the jitter.
    pub seed: u64,
}

impl Options {
    /// Options without a deadline for a request, or for any request of a method: 100 attempts,
    /// 25 ms to 2 s between them, responses up to 64 MiB, no secrets in plain text.
    #[must_use]
    pub fn new(rpc: impl Into<Rpc>, seed: u64) -> Self {
        let Rpc { effect, is_linearizable, is_ordered, local_revision, .. } = rpc.into();
        Self {
            deadline: None,
            attempt_timeout: None,
            max_attempts: 100,
            backoff: Backoff { first: Duration::from_millis(25), cap: Duration::from_secs(2) },
            max_response_bytes: 64 << 20,
            request_len: None,
            require_leader: false,
            is_linearizable,
            is_ordered,
            local_revision,
            effect,
            avoid: None,
            only: None,
            connection: None,
            allow_plaintext_secrets: false,
            seed,
        }
    }

    /// Returns whether only a member of a working cluster can answer: a write, or a linearizable
    /// read.
    pub(super) fn takes_cluster(&self) -> bool {
        self.is_linearizable || self.effect != Effect::Read
    }
}
