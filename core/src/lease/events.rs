//! What goes into [`KeepAlive`](super::KeepAlive) and comes out.

use crate::Instant;
use crate::LeaseId;
use crate::attempt::{Attempt, Sent};
use crate::backoff::Backoff;
use crate::channel::{Denied, EndpointId};
use crate::error::{Error, ErrorKind};
use crate::transport::Event;
use bytes::Bytes;
use std::fmt;
use std::time::Duration;

/// How the stream of renewals is to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The wait between attempts to open the stream.
    pub backoff: Backoff,
    /// The longest message that is taken, in bytes.
    pub max_message_bytes: usize,
    /// Whether a member without a leader is to refuse the stream, or to end it.
    pub require_leader: bool,
    /// The only endpoint that will do.
    pub only: Option<EndpointId>,
    /// How long the stream stays open when there is no lease.
    pub linger: Duration,
    /// The seed of the jitter.
    pub seed: u64,
}

/// What is known of a lease that is to be kept alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Known {
    /// Its time to live, as a server told it.
    pub ttl: Option<Duration>,
    /// Until when it is valid for sure: the time at which the request was sent that was answered,
    /// plus the time that was left to live.
    pub until: Option<Instant>,
    /// Whether it was granted just now: members that lag may not know it yet.
    pub is_new: bool,
    /// The cluster that granted it; 0 if that is not known.
    pub cluster_id: u64,
}

/// Until when a lease is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// The time at which the request was sent that was acknowledged, plus the time to live.
    // I-L1
    pub until: Instant,
    /// The time to live that the server told.
    // I-L7
    pub ttl: Duration,
}

/// One call that renews a lease by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SingleRenewal {
    /// The lease.
    pub lease: LeaseId,
    /// Which calls of this lease it belongs to: those that are still wanted have the same number.
    pub round: u32,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// This lease is to be kept alive; ignored for one that is.
    Add(LeaseId, Known),
    /// This lease is not to be kept alive any more; nothing more is told of it.
    Remove(LeaseId),
    /// The same, and the cluster has let it go: requests for it that are under way count for
    /// nothing.
    Revoked(LeaseId),
    /// This lease is to be renewed now, and to be kept alive if it is not yet.
    Renew(LeaseId),
    /// A call of [`Output::RenewSingly`] is over: when its request was sent, and the time to live
    /// that came back, zero for a lease that does not exist.
    Single(SingleRenewal, Instant, Result<Duration, Error>),
    /// Whether the lease of [`Output::Confirm`] exists.
    Confirmed(LeaseId, Result<bool, Error>),
    /// The machine was suspended for so long, which `now` did not count.
    // I-L8
    Suspended(Duration),
    /// The attempt was not admitted.
    Denied(Denied),
    /// There is no token for the attempt: the login was refused, for this reason, or no newer one
    /// can be had than the one that was refused.
    NoToken(Option<Error>),
    /// The stream was opened.
    Sent(Sent),
    /// The stream told this; after [`Event::Lost`] the driver has dropped it.
    Stream(Event),
    /// The stream is to go to another connection.
    Migrate,
    /// The client was closed.
    Closed(ErrorKind),
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Drop what is left of the stream before, then open another.
    Attempt(Attempt),
    /// Send this, which may be several frames.
    Send(Bytes),
    /// Renew a lease by a call of its own, at another endpoint than the last time if there is one,
    /// and with as many attempts as fit; give it up at this moment.
    RenewSingly(SingleRenewal, Instant),
    /// Ask whether this lease exists: a member does not know it, and may lag.
    // I-L4
    Confirm(LeaseId),
    /// The lease is valid until then; calls of [`RenewSingly`](Self::RenewSingly) that are under
    /// way for it are to be dropped.
    Renewed(LeaseId, Renewal),
    /// The lease is to have been renewed since this moment, and was not; the last error says why,
    /// if there was one.
    Late(LeaseId, Instant, Option<Error>),
    /// The lease is lost; nothing follows.
    Lost(LeaseId, LeaseLost),
    /// There is no lease, and was none for a while, or the client is closed: drop what is left of
    /// the stream.
    Close,
}

/// Why a lease is not kept alive any more, and what went wrong last.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseLost {
    /// Why.
    pub reason: LossReason,
    /// The last error of a renewal, if there was one since the last that was acknowledged.
    pub cause: Option<Error>,
}

/// Why a lease is not kept alive any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LossReason {
    /// The cluster has no such lease: it expired, or somebody else revoked it.
    Expired,
    /// It was revoked through this client.
    Revoked,
    /// No renewal was acknowledged before its time was over. The cluster may have it for a while.
    DeadlinePassed,
    /// The same, and the renewals were refused: keys are attached that the user may not write.
    PermissionDenied,
    /// It is not renewed any more, as was asked for; it lives until its time is over.
    Orphaned,
    /// The client was closed, or its runtime ended.
    Closed,
}

impl LeaseLost {
    /// Makes a loss for which there is no error.
    #[must_use]
    pub const fn new(reason: LossReason) -> Self {
        Self { reason, cause: None }
    }

    /// Adds the last error.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Option<Error>>) -> Self {
        self.cause = cause.into();
        self
    }
}

impl fmt::Display for LossReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "the cluster has no such lease",
            Self::Revoked => "the lease was revoked",
            Self::DeadlinePassed => "the lease was not renewed in time",
            Self::PermissionDenied => "the lease was not renewed in time, for want of permission",
            Self::Orphaned => "the lease is not renewed any more, as was asked for",
            Self::Closed => "the client is closed",
        })
    }
}

impl fmt::Display for LeaseLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl std::error::Error for LeaseLost {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}
