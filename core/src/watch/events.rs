//! What goes into [`Watches`](super::Watches) and comes out.

use super::batch::WatchBatch;
use crate::attempt::{Attempt, Sent};
use crate::backoff::Backoff;
use crate::channel::{Denied, EndpointId};
use crate::error::{Error, ErrorKind};
use crate::header::ResponseHeader;
use crate::request::WatchOptions;
use crate::transport::Event;
use bytes::Bytes;
use std::time::Duration;

/// The number of a watcher, chosen by whoever drives the machine; each is used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatcherKey(pub u64);

/// How the stream of watchers is to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The wait between attempts to open the stream.
    pub backoff: Backoff,
    /// The longest message that is taken, in bytes.
    pub max_message_bytes: usize,
    /// The longest request that is sent, in bytes.
    pub max_request_bytes: usize,
    /// The most bytes that the parts of one response may have together.
    pub max_batch_bytes: usize,
    /// Whether a member without a leader is to refuse the stream, or to end it.
    pub require_leader: bool,
    /// The only endpoint that will do.
    pub only: Option<EndpointId>,
    /// How long the server may say nothing before it is asked whether it is there.
    pub probe_interval: Duration,
    /// How long an answer may take before the server is asked another way, or given up.
    pub answer_timeout: Duration,
    /// How long the stream stays open when nothing is watched.
    pub linger: Duration,
    /// The seed of the jitter.
    pub seed: u64,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// This is to be watched. A start of 0 is not resolved here: it is refused.
    Create(WatcherKey, WatchOptions),
    /// This is not to be watched any more; nothing more is delivered.
    Cancel(WatcherKey),
    /// This many bytes of what was delivered have been taken.
    Taken(WatcherKey, usize),
    /// It is to be found out up to which revision everything has been delivered.
    RequestProgress(WatcherKey),
    /// Whether the server of the stream that is open answers requests for progress in their order;
    /// taken as false until it is said.
    // W24
    OrderedProgress(bool),
    /// What a linearizable read found, in answer to [`Output::Confirm`].
    Confirmed(Result<ResponseHeader, Error>),
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
    /// Find out whether the server of the stream that was just opened answers requests for progress
    /// in their order: [`progress_is_ordered`](super::progress_is_ordered) tells by its version.
    Identify(EndpointId),
    /// Read something linearizably, and say what the header of the answer was: the stream tells of
    /// a state before what has been seen, or of another cluster.
    // I-W15
    Confirm,
    /// Send this frame.
    Send(Bytes),
    /// Hand this to whoever watches.
    Deliver(WatcherKey, Item),
    /// Too much of the watch waits to be taken, and nothing more is asked for; it
    /// [resumes](Item::Resumed) when half is taken.
    Suspended(WatcherKey),
    /// The watch is over, for this reason; nothing follows.
    End(WatcherKey, Error),
    /// Nothing is watched, and nothing was for a while, or the client is closed: drop what is left
    /// of the stream.
    Close,
}

/// What is delivered to one watcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// The server took the watch; the first that is delivered, and only once.
    Created(ResponseHeader),
    /// Events; this many bytes count as waiting until they are [taken](Input::Taken).
    Events(WatchBatch, usize),
    /// All up to this revision has been delivered.
    Progress(i64),
    /// The watch goes on at this revision, on another stream or after it had too much waiting.
    Resumed(i64),
}
