//! How a watch does.

use crate::Error;
use std::sync::Arc;
use std::time::Duration;

/// How a watch does at a moment; made by [`Watch::status`](crate::Watch::status).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WatchStatus {
    /// Whether a server has the watch now. Not so while a stream is being opened, and while so much
    /// waits to be taken that nothing more is asked for.
    pub is_live: bool,
    /// Whether the watch has ended, and delivers nothing but what waits to be taken.
    pub is_over: bool,
    /// The endpoint of the stream, or of the last one.
    pub endpoint: Option<Arc<str>>,
    /// The last revision up to which everything has been delivered, be it taken or waiting to be
    /// taken; one before the first that was asked for as long as that is nothing. To go on with
    /// later, a [resume token](crate::Watch::resume_token) is needed.
    pub revision: i64,
    /// How long ago the server last said something on the stream, which other watches may share;
    /// `None` while there is none.
    pub age: Option<Duration>,
    /// Why the stream before was lost, or the watch ended.
    pub last_error: Option<Error>,
}
