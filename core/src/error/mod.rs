//! The error of every operation.

mod cause;
mod display;
mod kind;
#[cfg(test)]
mod tests;

pub use cause::Cause;
pub use display::Report;
pub use kind::{ConnectFailure, ErrorKind, Phase};

use crate::Version;
use crate::frame::FrameError;
use crate::method::{Effect, Method};
use crate::outcome::Outcome;
use crate::server_error::{self, ServerError, ServiceError};
use crate::status::{Code, Status};
use std::error::Error as StdError;
use std::sync::Arc;

/// The error of an operation: what went wrong, and what may have become of the request.
///
/// Cheap to clone: all of it is shared. [`kind`](Self::kind) is for matching,
/// [`outcome`](Self::outcome) tells whether a write may have been applied.
///
/// As text it says what was called, what went wrong, what may have become of the request, and after
/// how many attempts where. The causes are left to [`source`](StdError::source): to print them too,
/// take [`report`](Self::report), or what prints a chain of sources, as `{:#}` of anyhow does.
/// `{:?}`, which `unwrap` and a failing `main` print, is the report; `{:#?}` shows all parts.
///
/// # Examples
///
/// What a program does about the error of a write:
///
/// ```
/// # use etcd3_core as etcd3;
/// use etcd3::{Error, Outcome};
///
/// fn after_write(error: &Error) -> &'static str {
///     match error.outcome() {
///         _ if error.is_closed() => "stop: the client was closed",
///         // No server can have acted on it, and it may work a moment later.
///         Outcome::NotSent if error.is_retryable() => "write again",
///         Outcome::NotSent | Outcome::Rejected => "nothing was written, and will not be",
///         Outcome::Unknown => "read, to see whether it was written",
///     }
/// }
/// # let error = Error::new(etcd3::ErrorKind::Closed);
/// # assert_eq!(after_write(&error), "stop: the client was closed");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Arc<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    kind: ErrorKind,
    outcome: Outcome,
    /// What the request may do to the store; `None` when it was no request that failed.
    effect: Option<Effect>,
    status: Option<Status>,
    method: Option<&'static str>,
    endpoint: Option<Arc<str>>,
    attempts: u32,
    cause: Option<Cause>,
    /// Whether this is the cause of an error that has method, outcome and attempts.
    is_nested: bool,
}

impl Error {
    // Cold, as `parts` is: else the code that makes errors keeps the path of calls that succeed
    // from being inlined, and makes them dearer.
    /// Makes an error of this kind that was not sent anywhere.
    #[cold]
    #[must_use]
    pub fn new(kind: ErrorKind) -> Self {
        Self(Arc::new(Parts {
            kind,
            outcome: Outcome::NotSent,
            effect: None,
            status: None,
            method: None,
            endpoint: None,
            attempts: 0,
            cause: None,
            is_nested: false,
        }))
    }

    /// Makes the error that a status other than OK stands for.
    #[must_use]
    pub fn from_status(status: Status, outcome: Outcome) -> Self {
        Self::answered(status, None).with_outcome(outcome)
    }

    /// Makes the error of an answer to a request of this length, with unknown outcome.
    pub(crate) fn answered(status: Status, request_len: Option<usize>) -> Self {
        let kind = match ServerError::in_answer(&status, request_len) {
            Some(error) => ErrorKind::Server(error),
            None => ServiceError::from_status(&status)
                .map_or(ErrorKind::Status(status.code), ErrorKind::Service),
        };
        let mut error = Self::new(kind).with_outcome(Outcome::Unknown);
        error.parts().status = Some(status);
        error
    }

    /// Makes the error of an answer to a request of this method, which the server may not have.
    pub(crate) fn answered_to(
        method: &Method,
        status: &Status,
        request_len: Option<usize>,
    ) -> Self {
        let mut error = Self::answered(status.clone(), request_len);
        if server_error::tells_of_a_missing_method(status)
            && let Some(needs) = method.since()
        {
            error.parts().kind = ErrorKind::Unsupported { needs, has: None };
        }
        error
    }

    /// Sets what a call was waiting for when its deadline passed, if that is what went wrong.
    #[must_use]
    pub fn with_phase(mut self, phase: Phase) -> Self {
        if matches!(self.kind(), ErrorKind::TimedOut(_)) {
            self.parts().kind = ErrorKind::TimedOut(phase);
        }
        self
    }

    /// Adds the version of the server to an error that says that it lacks something.
    #[must_use]
    pub fn with_version(mut self, version: Option<Version>) -> Self {
        if let ErrorKind::Unsupported { needs, .. } = self.kind() {
            self.parts().kind = ErrorKind::Unsupported { needs, has: version };
        }
        self
    }

    /// Makes the error of a stream that the peer reset with this HTTP/2 error code.
    #[must_use]
    pub(crate) fn reset(code: u32) -> Self {
        Self::new(ErrorKind::Status(Status::from_reset(code).code))
    }

    /// Makes the error of an answer that breaks the rules.
    #[must_use]
    pub fn protocol(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Protocol).with_outcome(Outcome::Unknown).with_cause(Cause::new(cause))
    }

    /// Makes the error of a request that was refused before it was sent.
    #[must_use]
    pub fn invalid_request(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(ErrorKind::InvalidRequest).with_cause(Cause::new(cause))
    }

    /// Makes the error of a request that could not be framed: it is over the limit.
    #[must_use]
    pub(crate) fn request_too_large(error: FrameError) -> Self {
        match error {
            FrameError::TooLarge { len, limit } => {
                Self::new(ErrorKind::RequestOverLimit { len, limit })
            }
            other => Self::invalid_request(other),
        }
    }

    /// Makes the error of a member of an old version.
    #[must_use]
    pub fn old_server(needs: Version, has: Version) -> Self {
        Self::new(ErrorKind::OldServer { needs, has })
    }

    /// Sets what may have become of the request.
    #[must_use]
    pub fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.parts().outcome = outcome;
        self
    }

    /// Sets what the request may do to the store.
    #[must_use]
    pub fn with_effect(mut self, effect: Effect) -> Self {
        self.parts().effect = Some(effect);
        self
    }

    /// Sets the underlying error.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Option<Cause>>) -> Self {
        self.parts().cause = cause.into();
        self
    }

    /// Sets the method that was called.
    #[must_use]
    pub fn with_method(mut self, path: &'static str) -> Self {
        self.parts().method = Some(path);
        self
    }

    /// Sets how many times the request was handed to a connection.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.parts().attempts = attempts;
        self
    }

    /// Sets the endpoint of the last attempt.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: impl Into<Option<Arc<str>>>) -> Self {
        self.parts().endpoint = endpoint.into();
        self
    }

    fn into_nested(mut self) -> Self {
        self.parts().is_nested = true;
        self
    }

    /// Returns the parts for a change; a copy of them, if they are shared.
    #[cold]
    fn parts(&mut self) -> &mut Parts {
        Arc::make_mut(&mut self.0)
    }

    /// Returns the error in one line, with all that [`source`](StdError::source) leads to:
    /// `Put: the connection was lost: connection reset [not sent; attempts: 1]`.
    #[must_use]
    pub fn report(&self) -> Report<'_> {
        Report(self)
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What may have become of the request.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// Returns what the request may do to the store; `None` for an error in which no request of a
    /// client ended.
    #[must_use]
    pub fn effect(&self) -> Option<Effect> {
        self.0.effect
    }

    /// Returns the status that the server answered with, code and text, or that stands for an
    /// answer which is none of gRPC. `None` when no server answered, also where the kind is
    /// [`Server`](ErrorKind::Server): the client knew what a server would have said.
    #[must_use]
    pub fn status(&self) -> Option<&Status> {
        self.0.status.as_ref()
    }

    /// Returns the known error of etcd that the server answered with, or would have, if it is one.
    #[must_use]
    pub fn server_error(&self) -> Option<ServerError> {
        match self.0.kind {
            ErrorKind::Server(error) => Some(error),
            _ => None,
        }
    }

    /// The gRPC code: that of the wire if a server answered, else the one that stands for the kind.
    #[must_use]
    pub fn code(&self) -> Code {
        if let Some(status) = &self.0.status {
            return status.code;
        }
        match self.0.kind {
            ErrorKind::Server(error) => error.code(),
            ErrorKind::Status(code) => code,
            ErrorKind::Service(_) => Code::Unknown,
            ErrorKind::TimedOut(_) => Code::DeadlineExceeded,
            ErrorKind::Connect(_) | ErrorKind::ConnectionLost | ErrorKind::StaleRead { .. } => {
                Code::Unavailable
            }
            ErrorKind::Protocol | ErrorKind::File(_) => Code::Internal,
            ErrorKind::SnapshotTruncated { .. } | ErrorKind::DigestMismatch => Code::DataLoss,
            ErrorKind::RequestOverLimit { .. } | ErrorKind::ResponseOverLimit { .. } => {
                Code::ResourceExhausted
            }
            ErrorKind::InvalidRequest | ErrorKind::InvalidConfig => Code::InvalidArgument,
            ErrorKind::Unsupported { .. } => Code::Unimplemented,
            ErrorKind::NoToken => Code::Unauthenticated,
            ErrorKind::WatchCompacted { .. } => Code::OutOfRange,
            ErrorKind::WatchRefused
            | ErrorKind::WatchCanceled
            | ErrorKind::ClusterChanged { .. }
            | ErrorKind::OldServer { .. }
            | ErrorKind::DowngradeInProgress { .. }
            | ErrorKind::NoUsableMember
            | ErrorKind::PlaintextPassword => Code::FailedPrecondition,
            ErrorKind::Closed | ErrorKind::RuntimeEnded => Code::Canceled,
        }
    }

    /// Returns whether time ran out: the deadline of the call passed, or the member gave up waiting
    /// for the cluster.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        use ServerError as E;
        matches!(self.kind(), ErrorKind::TimedOut(_))
            || matches!(
                self.server_error(),
                Some(
                    E::Timeout
                        | E::TimeoutDueToLeaderFail
                        | E::TimeoutDueToConnectionLost
                        | E::TimeoutWaitAppliedIndex
                        | E::DeadlineExceeded
                )
            )
    }

    /// Returns whether the revision that was asked for has been compacted away.
    #[must_use]
    pub fn is_compacted(&self) -> bool {
        self.server_error() == Some(ServerError::Compacted)
            || matches!(self.kind(), ErrorKind::WatchCompacted { .. })
    }

    /// Returns whether the request, or its answer, is larger than the client, the server or a proxy
    /// takes.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.server_error() == Some(ServerError::RequestTooLarge)
            || matches!(
                self.kind(),
                ErrorKind::RequestOverLimit { .. } | ErrorKind::ResponseOverLimit { .. }
            )
    }

    /// Returns whether what the request names does not exist: a key that was to keep its value or
    /// its lease, a lease, a member, a user or a role. A read that finds no key is no error.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        use ServerError as E;
        matches!(
            self.server_error(),
            Some(
                E::KeyNotFound
                    | E::LeaseNotFound
                    | E::MemberNotFound
                    | E::UserNotFound
                    | E::RoleNotFound
            )
        )
    }

    /// Returns whether the lease that the request names does not exist: it has expired, was
    /// revoked, or was never granted.
    #[must_use]
    pub fn is_lease_not_found(&self) -> bool {
        self.server_error() == Some(ServerError::LeaseNotFound)
    }

    /// Returns whether the user may not do this.
    #[must_use]
    pub fn is_permission_denied(&self) -> bool {
        self.server_error() == Some(ServerError::PermissionDenied)
    }

    /// Returns whether no connection could be made, or the one that was there broke.
    #[must_use]
    pub fn is_connection(&self) -> bool {
        matches!(self.kind(), ErrorKind::Connect(_) | ErrorKind::ConnectionLost)
    }

    /// Returns whether the client cannot be used any more: it was closed, or its runtime ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.kind(), ErrorKind::Closed | ErrorKind::RuntimeEnded)
    }

    /// The path of the method that was called.
    #[must_use]
    pub fn method(&self) -> Option<&'static str> {
        self.0.method
    }

    /// Returns the endpoint of the last attempt, as it was configured.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        self.0.endpoint.as_deref()
    }

    /// Returns how many times the request was handed to a connection; 0 if that never happened.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// Returns whether the caller may repeat the operation, and whether that may help: what went
    /// wrong passes, and it is certain that nothing happens twice. That is so for reads, for what
    /// was *not sent* or *rejected*, and where twice is the same as once.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        let is_safe =
            self.outcome() != Outcome::Unknown || self.effect().is_some_and(Effect::is_repeatable);
        is_safe && self.may_pass()
    }

    /// Returns whether what went wrong may be different a moment later.
    fn may_pass(&self) -> bool {
        match self.kind() {
            ErrorKind::Server(error) => error.may_pass(),
            // What has not been sent was refused unprocessed; what was rejected stays so.
            ErrorKind::Status(code) => match self.outcome() {
                Outcome::NotSent => true,
                Outcome::Rejected => false,
                Outcome::Unknown => !matches!(code, Code::ResourceExhausted | Code::DataLoss),
            },
            ErrorKind::TimedOut(_)
            | ErrorKind::Connect(_)
            | ErrorKind::ConnectionLost
            | ErrorKind::DowngradeInProgress { .. }
            | ErrorKind::StaleRead { .. }
            | ErrorKind::SnapshotTruncated { .. }
            | ErrorKind::DigestMismatch
            | ErrorKind::NoToken => true,
            ErrorKind::Service(_)
            | ErrorKind::File(_)
            | ErrorKind::Protocol
            | ErrorKind::RequestOverLimit { .. }
            | ErrorKind::ResponseOverLimit { .. }
            | ErrorKind::InvalidRequest
            | ErrorKind::InvalidConfig
            | ErrorKind::ClusterChanged { .. }
            | ErrorKind::WatchCompacted { .. }
            | ErrorKind::WatchRefused
            | ErrorKind::WatchCanceled
            | ErrorKind::OldServer { .. }
            | ErrorKind::Unsupported { .. }
            | ErrorKind::PlaintextPassword
            | ErrorKind::NoUsableMember
            | ErrorKind::Closed
            | ErrorKind::RuntimeEnded => false,
        }
    }
}

impl FrameError {
    /// Turns into the error of the call whose response cannot be read.
    #[must_use]
    pub fn into_error(self) -> Error {
        match self {
            Self::TooLarge { len, limit } => {
                Error::new(ErrorKind::ResponseOverLimit { len, limit })
                    .with_outcome(Outcome::Unknown)
            }
            malformed => Error::protocol(malformed),
        }
    }
}
