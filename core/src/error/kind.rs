//! What went wrong, to match on.

use crate::Version;
use crate::server_error::{ServerError, ServiceError};
use crate::status::Code;
use std::{fmt, io};

/// What went wrong, to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server refused with an error that etcd is known for; or would have, and the client did
    /// not ask: the outcome is *not sent* then, and the error has no
    /// [`status`](super::Error::status).
    Server(ServerError),
    /// The service `Lock` or `Election` of the server refused.
    Service(ServiceError),
    /// The server, or what stands before it, answered with another status, or reset the stream with
    /// an error code that stands for this one.
    Status(Code),
    /// The deadline of the call passed; says what the call was waiting for.
    TimedOut(Phase),
    /// No endpoint could be connected to, for this reason; the source says more, and names each
    /// endpoint if there are several.
    Connect(ConnectFailure),
    /// The connection broke while the call was under way.
    ConnectionLost,
    /// The peer broke the rules of HTTP/2, gRPC or etcd's API.
    Protocol,
    /// The request is over the client's own limit; nothing was sent.
    RequestOverLimit {
        /// The size of the encoded request, in bytes.
        len: usize,
        /// The limit (`Config::max_request_bytes`).
        limit: usize,
    },
    /// The answer is over the client's own limit.
    ResponseOverLimit {
        /// The size that the answer claims, in bytes.
        len: usize,
        /// The limit (`Config::max_response_bytes`).
        limit: usize,
    },
    /// The request cannot be right and was not sent.
    InvalidRequest,
    /// The configuration cannot be right: an endpoint that cannot be read, for example.
    InvalidConfig,
    /// The answer is older than what this client had seen before it asked, or the member lacks a
    /// revision that this client had seen: it lags or was restored from an older snapshot.
    /// `Client::forget_revision` accepts the past.
    // I-R8, R-08
    StaleRead {
        /// The revision of the answer; 0 where the member did not tell, but that it lacks the
        /// revision that was to be read.
        revision: i64,
        /// The revision that had been seen.
        seen: i64,
    },
    /// The answer comes from another cluster than those before it.
    ClusterChanged {
        /// The id of the cluster as it was.
        expected: u64,
        /// The id in the answer.
        found: u64,
    },
    /// The changes that a watch is to deliver next have been compacted away.
    // I-W6
    WatchCompacted {
        /// The first revision that has not been delivered.
        requested: i64,
        /// The oldest revision that can be watched; 0 where the server did not tell.
        compacted: i64,
    },
    /// The server, or a proxy before it, did not take the watch; the source says why, if it gave a
    /// reason. Refusals that etcd is known for are of kind [`Server`](Self::Server).
    WatchRefused,
    /// The server, or a proxy before it, ended the watch; the source says why, if it gave a reason.
    WatchCanceled,
    /// The request carries a password or a token, and the endpoint is neither encrypted nor on this
    /// machine
    /// (`Config::allow_plaintext_passwords`).
    PlaintextPassword,
    /// There is no token to send: whoever makes them for this client (`Config::token_source`) did
    /// not; the source says why.
    NoToken,
    /// A member is of an older version than `Config::min_server_version` allows.
    #[non_exhaustive]
    OldServer {
        /// The version that is asked for.
        needs: Version,
        /// The version of that member.
        has: Version,
    },
    /// The server, or a proxy before it, does not have what was asked for.
    Unsupported {
        /// The first version of etcd that has it.
        needs: Version,
        /// The version of the server, if it is known. It may be new enough where a proxy is not.
        has: Option<Version>,
    },
    /// A downgrade to another version is under way.
    // M26
    DowngradeInProgress {
        /// The version that the cluster goes to, as far as the member that was asked knows.
        target: Option<Version>,
    },
    /// A snapshot ended before all of it had come, and in a status of success: the server, or what
    /// stands before it, is broken.
    // I-D1
    SnapshotTruncated {
        /// The number of bytes that came.
        received: u64,
    },
    /// A snapshot differs from what the server sent: the digest at its end is not that of its
    /// bytes.
    // I-D1
    DigestMismatch,
    /// A file could not be written, for this reason; the source says more, and names the file.
    File(io::ErrorKind),
    /// No member of the cluster has an endpoint that this client can use, as when they have none
    /// but `https` and the client has no TLS; the source names each and says why.
    NoUsableMember,
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
    /// A token: the login of the client, or whoever makes its tokens; the source says what went
    /// wrong there.
    Token,
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
    /// The unix socket does not exist.
    NoSocket,
    /// The runtime, or the system, cannot connect to endpoints of this kind.
    Unsupported,
    /// Nothing came back within the time for connecting (`Config::connect_timeout`).
    NoAnswer,
    /// The peer answered in HTTP/1.
    PeerSpeaksHttp1,
    /// The peer expects TLS.
    PeerSpeaksTls,
    /// The peer answered with something that is not HTTP/2.
    PeerNotHttp2,
    /// The peer closed the connection before it said anything, as etcd does when it expects TLS.
    ClosedByPeer,
    /// The connection was made and worked, and was closed or broke since.
    Lost,
    /// The connection was made, but a PING was not answered in time (`Config::ping_timeout`).
    Unresponsive,
    /// The TLS handshake failed: the peer has no certificate that is valid, trusted and of its
    /// name, or does not take the client's, or does not speak TLS. The cause says which.
    Tls,
    /// The client's own certificates or key cannot be read or used.
    TlsConfig,
    /// The peer speaks TLS, but did not agree to HTTP/2 over it (ALPN).
    NotHttp2OverTls,
    /// Several endpoints failed, and not in the same way.
    Mixed,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(error) => f.write_str(error.text()),
            Self::Service(error) => f.write_str(error.text()),
            Self::Status(code) => write!(f, "the server answered {code}"),
            Self::TimedOut(phase) => write!(f, "timed out {phase}"),
            // It was connected.
            Self::Connect(failure @ (ConnectFailure::Lost | ConnectFailure::Unresponsive)) => {
                write!(f, "not connected: {failure}")
            }
            Self::Connect(failure) => write!(f, "cannot connect: {failure}"),
            Self::ConnectionLost => f.write_str("the connection was lost"),
            Self::Protocol => f.write_str("the answer breaks the protocol"),
            Self::RequestOverLimit { len, limit } => {
                write!(
                    f,
                    "trying to send message larger than max_request_bytes ({len} vs. {limit})"
                )
            }
            Self::ResponseOverLimit { len, limit } => {
                write!(f, "received message larger than max_response_bytes ({len} vs. {limit})")
            }
            Self::InvalidRequest => f.write_str("the request is not valid"),
            Self::InvalidConfig => f.write_str("the configuration is not valid"),
            Self::StaleRead { revision: 0, seen } => write!(
                f,
                "the member has not come as far as revision {seen}, which had been seen before; if \
                 the cluster was restored, call Client::forget_revision"
            ),
            Self::StaleRead { revision, seen } => write!(
                f,
                "the answer is of revision {revision}, though {seen} had been seen before; if the \
                 cluster was restored, call Client::forget_revision"
            ),
            Self::ClusterChanged { expected, found } => {
                write!(f, "the answer is of cluster {found:x}, not of {expected:x} as before")
            }
            Self::WatchCompacted { requested, compacted: 0 } => {
                write!(f, "revision {requested} has been compacted")
            }
            Self::WatchCompacted { requested, compacted } => write!(
                f,
                "revision {requested} has been compacted; the oldest that can be watched is \
                 {compacted}"
            ),
            Self::WatchRefused => f.write_str("the server did not take the watch"),
            Self::WatchCanceled => f.write_str("the server ended the watch"),
            Self::PlaintextPassword => f.write_str(
                "the request carries a password or a token, and no endpoint is encrypted or on \
                 this machine",
            ),
            Self::NoToken => f.write_str("there is no token to send"),
            Self::OldServer { needs, has } => {
                write!(f, "the member is of version {has}, and min_server_version is {needs}")
            }
            Self::Unsupported { needs, has: None } => write!(f, "this needs etcd {needs}"),
            Self::Unsupported { needs, has: Some(has) } if has < needs => {
                write!(f, "this needs etcd {needs}, and the server is of version {has}")
            }
            Self::Unsupported { needs, has: Some(has) } => write!(
                f,
                "this needs etcd {needs}, and a proxy before the server, which is of version \
                 {has}, does not have it"
            ),
            Self::DowngradeInProgress { target: Some(target) } => {
                write!(f, "the cluster is being downgraded to {target}")
            }
            Self::DowngradeInProgress { target: None } => {
                f.write_str("the cluster is being downgraded")
            }
            Self::SnapshotTruncated { received } => {
                write!(f, "the snapshot ends after {received} bytes, before all of it has come")
            }
            Self::DigestMismatch => {
                f.write_str("the snapshot is damaged: its digest is not that of its bytes")
            }
            Self::File(kind) => write!(f, "the file cannot be written: {kind}"),
            Self::NoUsableMember => {
                f.write_str("no member has an endpoint that this client can use")
            }
            Self::Closed => f.write_str("the client is closed"),
            Self::RuntimeEnded => f.write_str("the runtime that this client was made on has ended"),
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection => "waiting for a connection",
            Self::Token => "waiting for a token",
            Self::Answer => "waiting for the answer",
        })
    }
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "the name cannot be resolved",
            Self::Refused => "the connection failed",
            Self::NoAnswer => "no answer within connect_timeout",
            Self::PeerSpeaksHttp1 => "the peer speaks HTTP/1, not HTTP/2",
            Self::PeerSpeaksTls => "the peer expects TLS",
            Self::PeerNotHttp2 => "the peer does not speak HTTP/2",
            Self::ClosedByPeer => "the peer hung up before it spoke HTTP/2; does it expect TLS?",
            Self::NoSocket => "the unix socket does not exist",
            Self::Unsupported => "endpoints of this kind are not supported here",
            Self::Lost => "the connection was lost",
            Self::Unresponsive => "the connection is dead",
            Self::Mixed => "each endpoint failed in its own way",
            Self::Tls => "the TLS handshake failed",
            Self::TlsConfig => "the certificates for TLS cannot be used",
            Self::NotHttp2OverTls => "the peer does not speak HTTP/2 over TLS",
        })
    }
}
