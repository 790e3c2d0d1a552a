//! What a transport tells of one HTTP/2 stream.

use crate::error::Cause;
use crate::outcome::Outcome;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

/// One event of an HTTP/2 stream that carries a response.
#[derive(Debug, Clone)]
pub enum Event {
    /// The head of the response.
    Head {
        /// The HTTP status.
        status: StatusCode,
        /// The headers.
        headers: HeaderMap,
    },
    /// A piece of the body.
    Data(Bytes),
    /// The end of the response, with trailers if it has any.
    End(Option<HeaderMap>),
    /// The stream or its connection broke; nothing follows.
    Lost(Lost),
}

/// How a stream was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Whether a server may have acted on the request. Only what is provably unprocessed is not
    /// [`Outcome::Unknown`]; [`Outcome::Rejected`] does not fit here and counts as unknown.
    pub outcome: Outcome,
    /// The HTTP/2 error code, if the peer reset the stream.
    pub reset: Option<u32>,
    /// The underlying error.
    pub cause: Option<Cause>,
}
