//! What is done at the deadline of a call before it is given up: a look at what has arrived.
//!
//! A process that was stopped, or starved, finds the response in its socket only when it reads
//! again, and nobody can tell whether the task that reads or the one that waits is woken first. So
//! the call asks the task of its connection to read once more, and gives up after that.
//!
//! ```text
//!             woken in time
//!   Idle ──────────────────────────► Asked ── the task has read, or the limit is over ──► Over
//!     └─ woken late ──► Turn ───────────┘
//!                         1 ms, so that the runtime has looked at its sockets
//! ```

use crate::alarm::Alarm;
use crate::link::Link;
use etcd3_core::Instant;
use event_listener::EventListener;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// A call that is woken later than this was stopped or starved, and its runtime with it.
const LATE: Duration = Duration::from_millis(10);
/// A timer this long fires only after the runtime has asked for the state of its sockets.
const TURN: Duration = Duration::from_millis(1);
/// A call ends this much after its deadline at the latest, whether its connection was read or not.
const LIMIT: Duration = Duration::from_secs(1);

/// The state of the last look of one attempt, which has one at most.
#[derive(Default)]
pub(crate) enum LastLook {
    #[default]
    Idle,
    /// Until this moment.
    Turn(Instant),
    Asked(Asked),
    Over,
}

/// A question to the task of a connection.
pub(crate) struct Asked {
    link: Arc<Link>,
    ticket: u64,
    read: EventListener,
    until: Instant,
}

impl LastLook {
    /// Forgets the look: the attempt is not to be given up yet, or there is a new one.
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
                    *self = match alarm.call.look(|open| Arc::clone(&open.place.link)) {
                        Some(link) => Self::Asked(Asked::new(link, now + LIMIT)),
                        None => Self::Over,
                    };
                    continue;
                }
                Self::Asked(asked) => {
                    let until = asked.until;
                    if asked.poll_read(cx).is_ready() || now >= until {
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

impl Asked {
    fn new(link: Arc<Link>, until: Instant) -> Self {
        // Before the question, so that the answer is not missed.
        let read = link.read_listener();
        let ticket = link.ask_to_read();
        Self { link, ticket, read, until }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.link.has_read(self.ticket) {
            ready!(Pin::new(&mut self.read).poll(cx));
            self.read = self.link.read_listener();
        }
        Poll::Ready(())
    }
}
