//! Reads one gRPC response: events of an HTTP/2 stream in, whole messages and one end out.
//!
//! ```text
//!              Head                      End
//!   Head ───────────────► Body ──────────────────────► Ended ── poll ──► Read
//!     │ with a status                                    ▲
//!     ├──────────────────► HeadStatus ── End, Data ──────┤
//!     └─ no gRPC, or Lost in any state ──────────────────┘
//! ```
//!
//! A response without messages may have its status in the head ("trailers-only").

use crate::error::Error;
use crate::frame::Decoder;
use crate::status::{self, Code, Status};
use crate::transport::{Event, Lost};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

/// The response of one gRPC stream, as far as it was received.
///
/// Hand each event to [`handle`](Self::handle), then call [`poll`](Self::poll) until it returns
/// `None`.
#[derive(Debug, Clone)]
pub struct Inbound {
    decoder: Decoder,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Head,
    Body,
    HeadStatus(Status),
    /// With the status OK; whether the messages are whole is yet to be seen.
    EndedOk,
    Ended(End),
    /// The end was handed out.
    Read,
}

/// What a response consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// One message, without its gRPC head.
    Message(Bytes),
    /// The end; nothing follows.
    End(End),
}

/// How a response ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With the status OK, after whole messages.
    Ok,
    /// With this status, which is not OK.
    Status(Status),
    /// With what is no gRPC, or a message over the limit.
    Malformed(Error),
    /// Before its end was received.
    Lost(Lost),
}

impl Inbound {
    /// Makes a response of which nothing was received. A message over this many bytes ends it.
    #[must_use]
    pub fn new(max_message_bytes: usize) -> Self {
        Self { decoder: Decoder::new(max_message_bytes), state: State::Head }
    }

    /// Takes one event; returns whether it fits what was received before. One that does not is
    /// ignored.
    pub fn handle(&mut self, event: Event) -> bool {
        match event {
            Event::Head { status, headers } if matches!(self.state, State::Head) => {
                self.on_head(status, &headers);
            }
            Event::Data(chunk) if matches!(self.state, State::Body) => self.decoder.push(chunk),
            Event::Data(_) if matches!(self.state, State::HeadStatus(_)) => {
                self.malformed("a body after a status in the head");
            }
            Event::End(trailers) if matches!(self.state, State::Body | State::HeadStatus(_)) => {
                self.on_end(trailers.as_ref());
            }
            Event::Lost(lost) if !self.is_over() => self.state = State::Ended(End::Lost(lost)),
            _ => return false,
        }
        true
    }

    /// Returns what was received next, if it is whole; the messages first, then the end, once.
    pub fn poll(&mut self) -> Option<Received> {
        if self.decoder.buffered() > 0
            && matches!(self.state, State::Body | State::EndedOk | State::Ended(End::Status(_)))
        {
            match self.decoder.next_message() {
                Ok(Some(message)) => return Some(Received::Message(message)),
                Ok(None) => {}
                Err(error) => self.state = State::Ended(End::Malformed(error.into_error())),
            }
        }
        match self.state {
            State::EndedOk => {
                self.state = State::Read;
                let end = self
                    .decoder
                    .finish()
                    .map_or_else(|e| End::Malformed(e.into_error()), |()| End::Ok);
                Some(Received::End(end))
            }
            State::Ended(_) => match std::mem::replace(&mut self.state, State::Read) {
                State::Ended(end) => Some(Received::End(end)),
                _ => None,
            },
            State::Head | State::Body | State::HeadStatus(_) | State::Read => None,
        }
    }

    /// Returns what was received and not handed out: after a message over the limit, its beginning.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        self.decoder.rest()
    }

    /// Returns whether the head was received.
    #[must_use]
    pub const fn has_head(&self) -> bool {
        !matches!(self.state, State::Head)
    }

    const fn is_over(&self) -> bool {
        matches!(self.state, State::EndedOk | State::Ended(_) | State::Read)
    }

    fn on_head(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.state = match status::from_headers(headers) {
            Some(status) => State::HeadStatus(status),
            None => match status::from_http(status, headers) {
                Some(status) => State::Ended(End::Status(status)),
                None => State::Body,
            },
        };
    }

    fn on_end(&mut self, trailers: Option<&HeaderMap>) {
        let in_head = match std::mem::replace(&mut self.state, State::Read) {
            State::HeadStatus(status) => Some(status),
            _ => None,
        };
        let status = match (trailers, in_head) {
            (Some(trailers), None) => {
                status::from_headers(trailers).unwrap_or_else(Status::without_code)
            }
            (Some(_), Some(_)) => return self.malformed("a status in head and trailers"),
            (None, Some(status)) => status,
            (None, None) => Status::missing(),
        };
        self.state = match status.code {
            Code::Ok => State::EndedOk,
            _ => State::Ended(End::Status(status)),
        };
    }

    fn malformed(&mut self, what: &str) {
        self.state = State::Ended(End::Malformed(Error::protocol(what)));
    }
}
