//! How a call with many messages in answer is made, what it is told, and what it asks for.

use crate::backoff::Backoff;
use crate::call::{Attempt, Sent};
use crate::channel::{Denied, EndpointId, Finished, Freshness};
use crate::error::{Error, ErrorKind};
use crate::transport::Event;
use crate::{Instant, ResponseHeader};
use bytes::Bytes;
use std::time::Duration;

/// How a call with many messages in answer is made.
#[expect(clippy::struct_excessive_bools, reason = "options are independent")]
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long a message may be waited for, from when it is wanted: connections and retries
    /// included.
    pub message_timeout: Duration,
    /// When all of it must be over, if ever: messages that come later are not handed out.
    pub deadline: Option<Instant>,
    /// How long an attempt that may be repeated on another endpoint waits for the server to say
    /// something, the first time; twice as long after each that was given up.
    pub attempt_timeout: Duration,
    /// How many attempts are made at most; 0 counts as 1.
    pub max_attempts: u32,
    /// The wait between attempts.
    pub backoff: Backoff,
    /// The longest message that is taken, in bytes.
    pub max_message_bytes: usize,
    /// Whether a member without a leader is to refuse it, or to end it.
    pub require_leader: bool,
    /// Whether the answer must not be older than what was seen before it was asked for.
    // I-R8
    pub is_linearizable: bool,
    /// Whether it must not be older than that although a member answers by itself.
    // Y2
    pub is_ordered: bool,
    /// The highest revision that is read of what a member has by itself, which may be behind; 0 for
    /// none.
    // I-R8, R-08
    pub local_revision: i64,
    /// The only endpoint that will do.
    pub only: Option<EndpointId>,
    /// Whether the owner has another way to what it wants, so that the call ends where it would
    /// wait: for a connection, for another attempt, or longer than `attempt_timeout` for a server.
    pub is_optional: bool,
    /// Reads the header of the last message, by which that is known; `None` for a method whose last
    /// message is like the others.
    pub header: Option<fn(&Bytes) -> Option<ResponseHeader>>,
    /// The seed of the jitter.
    pub seed: u64,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// The next message is wanted, if it was not before.
    Wanted,
    /// The attempt was not admitted.
    Denied(Denied),
    /// The attempt must not be made at all, for this reason.
    Refused(Error),
    /// There is no token for the attempt: the login was refused, for this reason, or no newer one
    /// can be had than the one that was refused.
    NoToken(Option<Error>),
    /// The request was handed to a connection, whole.
    Sent(Sent),
    /// The stream told this; after [`Event::Lost`] the driver has dropped it.
    Stream(Event),
    /// How fresh the response is that was released.
    Freshness(Freshness),
    /// The connection is to be left, if that is possible.
    Migrate,
    /// The client was closed.
    Closed(ErrorKind),
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Drop what is left of the attempt before, then make this one.
    Attempt(Attempt),
    /// Hand out the message that is wanted.
    Message(Bytes),
    /// The response was received whole: [release](crate::channel::Channel::release) its connection,
    /// and say with [`Input::Freshness`] whether the last message may be handed out.
    Release(Finished),
    /// The call is over: drop what is left of it.
    Done(Result<(), Error>),
}
