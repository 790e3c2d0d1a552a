//! What is done at the deadline of a call before it is given up: a last read of what has arrived.
//!
//! A process that was stopped, or starved, finds the response in its socket only when it reads
//! again, and nobody can tell whether the task that reads or the one that waits is woken first. So
//! the call asks the task of its connection to read once more, and gives up after that.
//!
//! ```text
//!             woken in time
//!   Idle ──────────────────────────► Requested ── the task has read, or the limit is over ──► Over
//!     └─ woken late ──► Turn ───────────┘
//!                         1 ms, so that the runtime has looked at its sockets
//! ```

use super::alarm::Alarm;
use crate::pool::ConnectionHandle;
use etcd3_core::Instant;
use event_listener::EventListener;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// A call that is woken later than this was stopped or starved, and its runtime with it.
const LATE: Duration = Duration::from_millis(10);
/// A timer this long fires only after the runtime has requested for the state of its sockets.
const TURN: Duration = Duration::from_millis(1);
/// A call ends this much after its deadline at the latest, whether its connection was read or not.
const LIMIT: Duration = Duration::from_secs(1);

/// The state of the final read of one attempt, which has one at most.
#[derive(Default)]
pub(crate) enum FinalRead {
    #[default]
    Idle,
    /// Until this moment.
    Turn(Instant),
    Requested(Requested),
    Over,
}

/// A request to the task of a connection.
pub(crate) struct Requested {
    connection: Arc<ConnectionHandle>,
    ticket: u64,
    read: EventListener,
    until: Instant,
}

impl FinalRead {
    /// Forgets the read: the attempt is not to be given up yet, or there is a new one.
    pub(crate) fn reset(&mut self) {
        if !matches!(self, Self::Idle) {
            *self = Self::Idle;
        }
    }

    /// Completes once what has arrived can be seen. The stream of the call is open and overdue.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        due: Instant,
        alarm: &mut Alarm,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            let wait_until = match self {
                Self::Over => return Poll::Ready(()),
                Self::Idle if now.saturating_since(due) >= LATE => {
                    *self = Self::Turn(now + TURN);
                    continue;
                }
                Self::Turn(until) if now < *until => *until,
                Self::Idle | Self::Turn(_) => {
                    *self = match alarm.stream.look(|open| Arc::clone(&open.permit.connection)) {
                        Some(connection) => {
                            Self::Requested(Requested::new(connection, now + LIMIT))
                        }
                        None => Self::Over,
                    };
                    continue;
                }
                Self::Requested(requested) => {
                    let until = requested.until;
                    if requested.poll_read(cx).is_ready() || now >= until {
                        *self = Self::Over;
                        continue;
                    }
                    until
                }
            };
            alarm.set(now, wait_until, cx);
            return Poll::Pending;
        }
    }
}

impl Requested {
    fn new(connection: Arc<ConnectionHandle>, until: Instant) -> Self {
        // Before the request, so that the read is not missed.
        let read = connection.read_listener();
        let ticket = connection.request_read();
        Self { connection, ticket, read, until }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.connection.has_read(self.ticket) {
            ready!(Pin::new(&mut self.read).poll(cx));
            self.read = self.connection.read_listener();
        }
        Poll::Ready(())
    }
}
