//! What a call is told, and what it asks for.

use crate::Instant;
use crate::channel::{Checked, EndpointId};
use crate::error::{Cause, Error, ErrorKind};
use crate::header::Header;
use crate::outcome::Outcome;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

/// How an attempt was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Whether a server may have acted on it. Only what is provably unprocessed is not
    /// [`Outcome::Unknown`]; [`Outcome::Rejected`] does not fit here and counts as unknown.
    pub outcome: Outcome,
    /// The HTTP/2 error code, if the peer reset the stream of this attempt.
    pub reset: Option<u32>,
    /// The underlying error.
    pub cause: Option<Cause>,
}

/// What happened to the attempt under way.
#[derive(Debug, Clone)]
pub enum Input {
    /// The request was handed to the connection of this endpoint, whole.
    Sent(EndpointId),
    /// The head of the response came.
    Head {
        /// The HTTP status.
        status: StatusCode,
        /// The headers.
        headers: HeaderMap,
    },
    /// A piece of the body came.
    Data(Bytes),
    /// The response ended, with trailers if it had any.
    End(Option<HeaderMap>),
    /// The attempt is lost; the driver has dropped its stream.
    Lost(Lost),
    /// The attempt must not be made now, since too many calls are being repeated.
    Throttled,
    /// The attempt must not be made at all, for this reason; ends the call.
    Refused(Error),
    /// The answer that was to be checked is worth this.
    Checked(Checked),
    /// A byte has not come on the connection of the attempt for so long that it may be dead, and
    /// there is another one. Ignored by a call that must not be repeated.
    Migrate,
    /// The client was closed, so that no attempt can follow: [`ErrorKind::Closed`] or
    /// [`ErrorKind::RuntimeEnded`].
    Closed(ErrorKind),
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Drop what is left of the attempt before, then send the request over a connection, as soon
    /// as there is one.
    Attempt(Attempt),
    /// Say with [`Input::Checked`] what an answer with this header is worth. The stream is over.
    Check(Header),
    /// The call is over: drop what is left of the attempt and hand out the result.
    Done(Result<Reply, Error>),
}

/// One attempt to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Counts from 1.
    pub number: u32,
    /// The endpoint that failed last: take another one if there is one.
    pub avoid: Option<EndpointId>,
    /// When the call must be over.
    pub deadline: Option<Instant>,
    /// Whether it repeats one that a server may have seen, and counts as a retry (I-R5).
    pub is_retry: bool,
}

/// The answer to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The message, still encoded.
    pub message: Bytes,
    /// The endpoint that answered.
    pub endpoint: EndpointId,
    /// How many attempts it took.
    pub attempts: u32,
}
