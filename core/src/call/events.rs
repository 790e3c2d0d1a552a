//! What a call is told, and what it asks for.

use crate::attempt::{Attempt, Sent};
use crate::channel::{Denied, EndpointId, Finished, Freshness};
use crate::error::{Error, ErrorKind};
use crate::transport::Event;
use bytes::Bytes;

/// What happened to the attempt under way.
#[derive(Debug, Clone)]
pub enum Input {
    /// The attempt was not admitted. Nothing changes when there is [no
    /// connection](Denied::NoConnection) yet.
    Denied(Denied),
    /// The request was handed to a connection, whole.
    Sent(Sent),
    /// The stream of the attempt told this; after [`Event::Lost`] the driver has dropped it.
    Stream(Event),
    /// The attempt must not be made at all, for this reason; ends the call.
    Refused(Error),
    /// There is no token for the attempt: the login was refused, for this reason, or no newer one
    /// can be had than the one that was refused.
    NoToken(Option<Error>),
    /// How fresh the response is that was released.
    Freshness(Freshness),
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
    /// Drop what is left of the attempt before, then send the request over a connection that
    /// [admits](crate::channel::Channel::admit) it, as soon as there is one.
    Attempt(Attempt),
    /// The response was received whole: [release](crate::channel::Channel::release) its
    /// connection, and say with [`Input::Freshness`] whether it may be handed out.
    Release(Finished),
    /// The call is over: drop what is left of the attempt and hand out the result.
    Done(Result<Reply, Error>),
}

/// The response to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The message, still encoded.
    pub message: Bytes,
    /// The endpoint that answered.
    pub endpoint: EndpointId,
    /// How many attempts it took.
    pub attempts: u32,
}
