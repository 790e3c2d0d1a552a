//! The error of every operation.

use crate::frame::FrameError;
use crate::outcome::Outcome;
use crate::server_error::ServerError;
use crate::status::{Code, Status};
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// What went wrong, to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server refused with an error that etcd is known for.
    Server(ServerError),
    /// The server, or what stands before it, answered with another status, or reset the stream with
    /// an error code that stands for this one.
    Status(Code),
    /// The deadline of the call passed; says what the call was waiting for.
    Timeout(Phase),
    /// No endpoint could be connected to; [`Error::source`] says why.
    Connect(ConnectFailure),
    /// The connection broke while the call was under way.
    ConnectionLost,
    /// The peer broke the rules of HTTP/2, gRPC or etcd's API.
    Protocol,
    /// The request is over the client's own limit; nothing was sent.
    RequestTooLarge {
        /// The size of the encoded request, in bytes.
        len: usize,
        /// The limit (`Config::max_request_bytes`).
        limit: usize,
    },
    /// The answer is over the client's own limit.
    ResponseTooLarge {
        /// The size that the answer claims, in bytes.
        len: usize,
        /// The limit (`Config::max_response_bytes`).
        limit: usize,
    },
    /// The request cannot be right and was not sent.
    InvalidRequest,
    /// The configuration cannot be right: an endpoint that cannot be read, for example.
    InvalidConfig,
    /// The answer is older than what this client had seen before it asked (I-R8): the member lags
    /// or was restored from an older snapshot. `Client::forget_revision` accepts the past.
    StaleRead {
        /// The revision of the answer.
        revision: i64,
        /// The revision that had been seen.
        floor: i64,
    },
    /// The answer comes from another cluster than those before it.
    ClusterChanged {
        /// The id of the cluster as it was.
        expected: u64,
        /// The id in the answer.
        found: u64,
    },
    /// The request carries a password, and the endpoint is neither encrypted nor on this machine
    /// (`Config::allow_plaintext_passwords`).
    PlaintextPassword,
    /// A member is of an older version than `Config::min_server_version` allows.
    OldServer {
        /// The major version of that member.
        major: u16,
        /// Its minor version.
        minor: u16,
    },
    /// The client is closed.
    Closed,
    /// The runtime that the client was made on has ended, or its control task panicked there. Make
    /// a new client, on a runtime that lives as long as it is used.
    RuntimeEnded,
}

/// What a call was waiting for when its deadline passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// A usable connection (name resolution, connect, handshake, or a free stream).
    Connection,
    /// The answer of a server.
    Answer,
}

/// Why an endpoint could not be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectFailure {
    /// The host name could not be resolved.
    Resolve,
    /// The connection was refused, or failed otherwise before a byte came back.
    Refused,
    /// Nothing came back within the time for connecting (`Config::connect_timeout`).
    TimedOut,
    /// The peer answered in HTTP/1.
    PeerSpeaksHttp1,
    /// The peer expects TLS.
    PeerSpeaksTls,
    /// The peer answered with something that is not HTTP/2.
    PeerNotHttp2,
    /// The peer closed the connection before it said anything, as etcd does when it expects TLS.
    ClosedByPeer,
    /// The connection was made, but a PING was not answered in time (`Config::keepalive`).
    Unresponsive,
    /// The TLS handshake failed: the peer has no certificate that is valid, trusted and of its
    /// name, or does not take the client's, or does not speak TLS. The cause says which.
    Tls,
    /// The client's own certificates or key cannot be read or used.
    TlsConfig,
    /// The peer speaks TLS, but did not agree to HTTP/2 over it (ALPN).
    NotHttp2OverTls,
}

/// An underlying error, shared; two are equal when they read the same.
#[derive(Debug, Clone)]
pub struct Cause(Arc<dyn StdError + Send + Sync>);

impl Cause {
    /// Wraps an error.
    pub fn new(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(Arc::from(error.into()))
    }

    /// The error itself.
    #[must_use]
    pub fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.0
    }
}

impl PartialEq for Cause {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_string() == other.0.to_string()
    }
}

impl Eq for Cause {}

/// The error of an operation: what went wrong, and what may have become of the request.
///
/// Cheap to clone. [`kind`](Self::kind) is for matching, [`outcome`](Self::outcome) tells whether a
/// write may have been applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    kind: ErrorKind,
    outcome: Outcome,
    status: Option<Status>,
    method: Option<&'static str>,
    endpoint: Option<Arc<str>>,
    attempts: u32,
    cause: Option<Cause>,
}

impl Error {
    /// Makes an error of this kind that was not sent anywhere.
    #[must_use]
    pub fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Parts {
            kind,
            outcome: Outcome::NotSent,
            status: None,
            method: None,
            endpoint: None,
            attempts: 0,
            cause: None,
        }))
    }

    /// Makes the error that a status other than OK stands for.
    #[must_use]
    pub fn from_status(status: Status, outcome: Outcome) -> Self {
        let kind = match ServerError::from_status(&status) {
            Some(error) => ErrorKind::Server(error),
            None => ErrorKind::Status(status.code),
        };
        let mut error = Self::new(kind).with_outcome(outcome);
        error.0.status = Some(status);
        error
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
                Self::new(ErrorKind::RequestTooLarge { len, limit })
            }
            other => Self::invalid_request(other),
        }
    }

    /// Sets what may have become of the request.
    #[must_use]
    pub fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome;
        self
    }

    /// Sets the underlying error.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Option<Cause>>) -> Self {
        self.0.cause = cause.into();
        self
    }

    /// Sets the method that was called.
    #[must_use]
    pub fn with_method(mut self, path: &'static str) -> Self {
        self.0.method = Some(path);
        self
    }

    /// Sets the number of attempts that were made.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = attempts;
        self
    }

    /// Sets the endpoint of the last attempt.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: impl Into<Option<Arc<str>>>) -> Self {
        self.0.endpoint = endpoint.into();
        self
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

    /// The status as the server sent it, code and text; `None` when the error was made here.
    #[must_use]
    pub fn status(&self) -> Option<&Status> {
        self.0.status.as_ref()
    }

    /// The known error of etcd that the server answered with, if it is one.
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
            ErrorKind::Timeout(_) => Code::DeadlineExceeded,
            ErrorKind::Connect(_) | ErrorKind::ConnectionLost | ErrorKind::StaleRead { .. } => {
                Code::Unavailable
            }
            ErrorKind::Protocol => Code::Internal,
            ErrorKind::RequestTooLarge { .. } | ErrorKind::ResponseTooLarge { .. } => {
                Code::ResourceExhausted
            }
            ErrorKind::InvalidRequest | ErrorKind::InvalidConfig => Code::InvalidArgument,
            ErrorKind::ClusterChanged { .. }
            | ErrorKind::OldServer { .. }
            | ErrorKind::PlaintextPassword => Code::FailedPrecondition,
            ErrorKind::Closed | ErrorKind::RuntimeEnded => Code::Canceled,
        }
    }

    /// The path of the method that was called.
    #[must_use]
    pub fn method(&self) -> Option<&'static str> {
        self.0.method
    }

    /// The endpoint of the last attempt, as it was configured.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        self.0.endpoint.as_deref()
    }

    /// How many times the request was handed to a connection or tried to be.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// Whether the caller may repeat the operation without the risk that it happens twice: the
    /// request was not sent, or the server refused it for a reason that passes.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        let passes = match self.0.kind {
            ErrorKind::Server(error) => matches!(
                error,
                ServerError::NoLeader
                    | ServerError::NotSupportedForLearner
                    | ServerError::TooManyRequests
                    | ServerError::InvalidAuthToken
                    | ServerError::AuthOldRevision
            ),
            ErrorKind::Timeout(_) | ErrorKind::Connect(_) | ErrorKind::ConnectionLost => true,
            // A stream that was refused unprocessed.
            ErrorKind::Status(_) => self.0.outcome == Outcome::NotSent,
            ErrorKind::Protocol
            | ErrorKind::RequestTooLarge { .. }
            | ErrorKind::ResponseTooLarge { .. }
            | ErrorKind::InvalidRequest
            | ErrorKind::InvalidConfig
            | ErrorKind::StaleRead { .. }
            | ErrorKind::ClusterChanged { .. }
            | ErrorKind::OldServer { .. }
            | ErrorKind::PlaintextPassword
            | ErrorKind::Closed
            | ErrorKind::RuntimeEnded => false,
        };
        passes && self.0.outcome != Outcome::Unknown
    }
}

impl From<FrameError> for Error {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::TooLarge { len, limit } => {
                Self::new(ErrorKind::ResponseTooLarge { len, limit }).with_outcome(Outcome::Unknown)
            }
            malformed => Self::protocol(malformed),
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(error) => f.write_str(error.text()),
            Self::Status(code) => write!(f, "the server answered {code:?}"),
            Self::Timeout(Phase::Connection) => f.write_str("timed out waiting for a connection"),
            Self::Timeout(Phase::Answer) => f.write_str("timed out waiting for the answer"),
            Self::Connect(failure) => write!(f, "cannot connect: {failure}"),
            Self::ConnectionLost => f.write_str("the connection was lost"),
            Self::Protocol => f.write_str("the answer breaks the protocol"),
            Self::RequestTooLarge { len, limit } => {
                write!(
                    f,
                    "trying to send message larger than max_request_bytes ({len} vs. {limit})"
                )
            }
            Self::ResponseTooLarge { len, limit } => {
                write!(f, "received message larger than max_response_bytes ({len} vs. {limit})")
            }
            Self::InvalidRequest => f.write_str("the request is not valid"),
            Self::InvalidConfig => f.write_str("the configuration is not valid"),
            Self::StaleRead { revision, floor } => write!(
                f,
                "the answer is of revision {revision}, though {floor} had been seen before; if the \
                 cluster was restored, call Client::forget_revision"
            ),
            Self::ClusterChanged { expected, found } => {
                write!(f, "the answer is of cluster {found:x}, not of {expected:x} as before")
            }
            Self::PlaintextPassword => f.write_str(
                "a password goes to no endpoint that is neither encrypted nor on this machine",
            ),
            Self::OldServer { major, minor } => {
                write!(f, "the member is of version {major}.{minor}, older than min_server_version")
            }
            Self::Closed => f.write_str("the client is closed"),
            Self::RuntimeEnded => f.write_str("the runtime that this client was made on has ended"),
        }
    }
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "the name cannot be resolved",
            Self::Refused => "the connection failed",
            Self::TimedOut => "no answer within connect_timeout",
            Self::PeerSpeaksHttp1 => "the peer speaks HTTP/1, not HTTP/2",
            Self::PeerSpeaksTls => "the peer expects TLS",
            Self::PeerNotHttp2 => "the peer does not speak HTTP/2",
            Self::ClosedByPeer => "the peer hung up before it spoke HTTP/2; does it expect TLS?",
            Self::Unresponsive => "the connection is dead",
            Self::Tls => "the TLS handshake failed",
            Self::TlsConfig => "the certificates for TLS cannot be used",
            Self::NotHttp2OverTls => "the peer does not speak HTTP/2 over TLS",
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = &*self.0;
        if let Some(method) = parts.method {
            write!(f, "{}: ", method.rsplit('/').next().unwrap_or(method))?;
        }
        match &parts.status {
            Some(status) => write!(f, "{status}")?,
            None => write!(f, "{}", parts.kind)?,
        }
        if let Some(cause) = &parts.cause {
            write!(f, ": {}", crate::status::Escaped(&cause.as_error().to_string()))?;
        }
        write!(f, " [{}", parts.outcome)?;
        if parts.attempts > 0 {
            write!(f, "; attempts: {}", parts.attempts)?;
        }
        if let Some(endpoint) = &parts.endpoint {
            write!(f, "; endpoint: {endpoint}")?;
        }
        f.write_str("]")
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.as_ref().map(|cause| cause.as_error() as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_where_and_what_may_have_happened() {
        let cause = Cause::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        let error = Error::new(ErrorKind::ConnectionLost)
            .with_outcome(Outcome::Unknown)
            .with_method("/etcdserverpb.KV/Put")
            .with_endpoint(Arc::<str>::from("http://a:2379"))
            .with_attempts(1)
            .with_cause(cause);
        assert_eq!(
            error.to_string(),
            "Put: the connection was lost: connection reset [outcome unknown: it may have been \
             applied; attempts: 1; endpoint: http://a:2379]"
        );
        assert!(error.source().is_some());
        assert_eq!(error, error.clone());
        assert_eq!(size_of::<Error>(), size_of::<usize>(), "cheap to return");
    }

    // E2: the wire code, the kind and the text are all kept.
    #[test]
    fn a_status_keeps_its_code_and_gets_a_kind() {
        let status = Status::new(Code::Unknown, "etcdserver: too many requests");
        let error = Error::from_status(status, Outcome::Rejected);
        assert_eq!(error.kind(), ErrorKind::Server(ServerError::TooManyRequests));
        assert_eq!(error.code(), Code::Unknown);
        assert!(error.is_retryable());
        let other = Error::from_status(Status::new(Code::Aborted, "x"), Outcome::Unknown);
        assert_eq!(other.kind(), ErrorKind::Status(Code::Aborted));
    }

    #[test]
    fn an_unknown_outcome_is_never_retryable() {
        let refused = Error::reset(7);
        assert!(refused.is_retryable(), "H4: not sent");
        assert!(!refused.with_outcome(Outcome::Rejected).is_retryable());
        let lost = Error::new(ErrorKind::ConnectionLost);
        assert!(lost.is_retryable());
        assert!(!lost.with_outcome(Outcome::Unknown).is_retryable());
    }
}
