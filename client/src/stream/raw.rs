//! A bidirectional stream of messages as they are, for tests of what streams have in common.

use super::{OwnedStream, Owner, StreamTask};
use crate::call::open_stream::Receiver;
use crate::pool::Pool;
use crate::shared::Shared;
use atomic_waker::AtomicWaker;
use bytes::Bytes;
use etcd3_core::channel::{EndpointId, HealthSignal};
use etcd3_core::method::Method;
use etcd3_core::stream::raw::{self, Input, Options, Output};
use etcd3_core::transport::Event;
use etcd3_core::{Error, Instant, Machine};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// The most messages that may wait for the user; a stream that has more ends.
const MAX_UNREAD: usize = 10_000;

/// What a stream tells.
#[derive(Debug, Clone)]
pub enum StreamEvent {
    /// It was opened, for the first time or again: what was sent before is forgotten.
    Opened,
    /// A message was received, still encoded.
    Message(Bytes),
}

/// A bidirectional stream of messages as they are on the wire, opened again when it is lost.
///
/// Not part of the stable interface: for tests of what streams have in common.
pub struct RawStream {
    mailbox: Arc<Mailbox>,
}

/// What the task and the handle give each other.
#[derive(Default)]
struct Mailbox {
    state: Mutex<State>,
    /// The task, which waits for commands.
    task: AtomicWaker,
    /// The user, who waits for events.
    user: AtomicWaker,
}

#[derive(Default)]
struct State {
    commands: VecDeque<Input>,
    events: VecDeque<StreamEvent>,
    end: Option<Result<(), Error>>,
    is_dropped: bool,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn command(&self, command: Input) {
        self.lock().commands.push_back(command);
        self.task.wake();
    }

    /// Puts an event there; returns whether there was room for it.
    fn deliver(&self, event: StreamEvent) -> bool {
        let mut state = self.lock();
        let has_room = state.events.len() < MAX_UNREAD;
        if has_room {
            state.events.push_back(event);
        }
        drop(state);
        self.user.wake();
        has_room
    }

    fn end(&self, result: Result<(), Error>) {
        self.lock().end.get_or_insert(result);
        self.user.wake();
    }
}

impl RawStream {
    pub(crate) fn open(
        shared: &Arc<Shared>,
        method: &'static Method,
        only: Option<EndpointId>,
    ) -> Self {
        let config = &shared.config;
        let options = Options {
            backoff: config.reconnect_backoff,
            max_message_bytes: config.max_response_bytes,
            require_leader: config.require_leader,
            only,
            seed: shared.next_seed(),
        };
        let mailbox = Arc::<Mailbox>::default();
        let (pool, mailbox_of_task) = (Arc::clone(&shared.pool), Arc::clone(&mailbox));
        let owner = RawOwner { method, pool, mailbox: mailbox_of_task };
        let machine = raw::RawStream::new(options);
        shared.tasks.spawn(StreamTask::new(Arc::clone(&shared.pool), owner, machine));
        Self { mailbox }
    }

    /// Sends a frame: a message with its gRPC head. Dropped if the stream is not open.
    pub fn send(&self, frame: Bytes) {
        self.mailbox.command(Input::Send(frame));
    }

    /// Ends the request: the server ends the stream.
    pub fn finish(&self) {
        self.mailbox.command(Input::Finish);
    }

    /// Waits for the next event; `None` once the stream has ended well.
    ///
    /// # Errors
    ///
    /// Why the stream ended, once.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<StreamEvent, Error>> {
        poll_fn(|cx| {
            self.mailbox.user.register(cx.waker());
            let mut state = self.mailbox.lock();
            if let Some(event) = state.events.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            match &mut state.end {
                None => Poll::Pending,
                Some(end) => Poll::Ready(std::mem::replace(end, Ok(())).err().map(Err)),
            }
        })
        .await
    }
}

impl fmt::Debug for RawStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawStream").finish_non_exhaustive()
    }
}

impl Drop for RawStream {
    fn drop(&mut self) {
        self.mailbox.lock().is_dropped = true;
        self.mailbox.task.wake();
    }
}

struct RawOwner {
    method: &'static Method,
    pool: Arc<Pool>,
    mailbox: Arc<Mailbox>,
}

impl Owner for RawOwner {
    type Machine = raw::RawStream;

    fn method(&self) -> &'static Method {
        self.method
    }

    fn take_commands(
        &mut self,
        now: Instant,
        machine: &mut raw::RawStream,
        cx: &mut Context<'_>,
    ) -> ControlFlow<()> {
        self.mailbox.task.register(cx.waker());
        let mut state = self.mailbox.lock();
        if state.is_dropped {
            return ControlFlow::Break(());
        }
        let commands = std::mem::take(&mut state.commands);
        drop(state);
        for command in commands {
            machine.handle(now, command);
        }
        ControlFlow::Continue(())
    }

    fn carry_out(
        &mut self,
        now: Instant,
        output: Output,
        machine: &mut raw::RawStream,
        stream: &mut OwnedStream,
    ) -> ControlFlow<()> {
        let full = |text: &'static str| Some(Err(Error::protocol(text)));
        let end = match output {
            Output::Attempt(order) => {
                stream.begin(now, machine.signal(), order);
                None
            }
            Output::Opened(_) => {
                self.mailbox.deliver(StreamEvent::Opened);
                None
            }
            Output::HalfClose => {
                stream.half_close();
                None
            }
            Output::Send(frame) => {
                if stream.push(frame) {
                    None
                } else {
                    full("more is sent than the server takes")
                }
            }
            Output::Message(message) => {
                let is_room = self.mailbox.deliver(StreamEvent::Message(message));
                if is_room { None } else { full("more is received than is taken") }
            }
            Output::Done(result) => Some(result),
        };
        let Some(end) = end else { return ControlFlow::Continue(()) };
        stream.release(now, machine.signal());
        self.mailbox.end(end);
        ControlFlow::Break(())
    }

    fn signal(machine: &raw::RawStream) -> HealthSignal {
        machine.signal()
    }
}

impl Drop for RawOwner {
    fn drop(&mut self) {
        // Also when the runtime drops the task.
        if let Some(kind) = self.pool.closed_kind() {
            self.mailbox.end(Err(Error::new(kind)));
        }
    }
}

impl Receiver for raw::RawStream {
    fn is_receiving(&self) -> bool {
        self.is_streaming()
    }

    fn is_whole(&self) -> bool {
        false
    }

    fn may_migrate(&self) -> bool {
        self.is_streaming()
    }

    fn receive(&mut self, now: Instant, event: Event) {
        self.handle(now, Input::Stream(event));
    }

    fn migrate(&mut self, now: Instant) {
        self.handle(now, Input::Migrate);
    }
}
