//! The task of a bidirectional stream, and the user's end of it.
//!
//! The task owns the machine; the handle holds none: it puts commands into a mailbox, which the
//! task empties, and takes what the task has put there. The task polls in a fixed order: commands,
//! the stream, the machine, then what the attempt waits for. It always drains its stream: what the
//! user does not take is bounded here, never by not reading.

// I-C6

use crate::call::attempt::{Carrier, Progress};
use crate::call::open_stream::Receiver;
use crate::pool::{Permit, Pool};
use crate::shared::Shared;
use crate::transport::exchange::Sender;
use atomic_waker::AtomicWaker;
use bytes::Bytes;
use etcd3_core::channel::EndpointId;
use etcd3_core::method::Method;
use etcd3_core::stream::raw::{self, Input, Options, Output};
use etcd3_core::transport::Event;
use etcd3_core::{Error, Instant, Machine, Next};
use event_listener::EventListener;
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::ops::ControlFlow;
use std::pin::Pin;
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
        let mut task = StreamTask {
            method,
            machine: raw::RawStream::new(options),
            attempt: Carrier::new(Arc::clone(&shared.pool)),
            mailbox: Arc::clone(&mailbox),
            migration: None,
        };
        shared.tasks.spawn(poll_fn(move |cx| task.poll(cx)));
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

struct StreamTask {
    method: &'static Method,
    machine: raw::RawStream,
    attempt: Carrier,
    mailbox: Arc<Mailbox>,
    /// Notified when the stream that is open is to go elsewhere.
    migration: Option<EventListener>,
}

impl StreamTask {
    /// Completes when the stream is over, or its handle was dropped.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.mailbox.task.register(cx.waker());
        loop {
            let now = self.pool().rt.now();
            if self.take_commands(now).is_break() {
                self.attempt.release(now, self.machine.signal());
                return Poll::Ready(());
            }
            if let Some(told) = self.attempt.take_in(now, &mut self.machine, cx) {
                self.machine.handle(now, told.into());
            }
            match self.machine.poll(now) {
                Next::Do(output) => {
                    if self.carry_out(now, output).is_ready() {
                        return Poll::Ready(());
                    }
                }
                Next::Wait(deadline) => {
                    if let Poll::Ready(progress) = self.attempt.poll_progress(now, cx) {
                        let input = match progress {
                            Progress::Admitted(permit, order) => {
                                self.open(permit, order.metadata(now))
                            }
                            Progress::Event(event) => event.into(),
                        };
                        self.machine.handle(now, input);
                    } else if !self.poll_migration(cx) {
                        // Pending or not: whatever is left is sent when there is room.
                        let _ = self.attempt.poll_send(cx);
                        if let Some(deadline) = deadline {
                            self.attempt.set_alarm(now, deadline, cx);
                        }
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Hands the commands of the user over; a break when the user is gone.
    fn take_commands(&mut self, now: Instant) -> ControlFlow<()> {
        let mut state = self.mailbox.lock();
        if state.is_dropped {
            return ControlFlow::Break(());
        }
        let commands = std::mem::take(&mut state.commands);
        drop(state);
        for command in commands {
            self.machine.handle(now, command);
        }
        ControlFlow::Continue(())
    }

    /// Does what the machine wants; ready when that was the last of it.
    fn carry_out(&mut self, now: Instant, output: Output) -> Poll<()> {
        match output {
            Output::Attempt(order) => {
                self.migration = None;
                self.attempt.release(now, self.machine.signal());
                self.attempt.begin(order);
            }
            Output::Opened(_) => {
                self.mailbox.deliver(StreamEvent::Opened);
            }
            Output::Send(frame) => {
                if !self.attempt.with_sender(|sender| sender.push(frame)).unwrap_or(true) {
                    return self
                        .end(now, Err(Error::protocol("more is sent than the server takes")));
                }
            }
            Output::HalfClose => {
                self.attempt.with_sender(Sender::close);
            }
            Output::Message(message) => {
                if !self.mailbox.deliver(StreamEvent::Message(message)) {
                    return self.end(now, Err(Error::protocol("more is received than is taken")));
                }
            }
            Output::Done(result) => return self.end(now, result),
        }
        Poll::Pending
    }

    fn end(&mut self, now: Instant, result: Result<(), Error>) -> Poll<()> {
        self.attempt.release(now, self.machine.signal());
        self.mailbox.end(result);
        Poll::Ready(())
    }

    /// Opens the stream.
    fn open(&mut self, permit: Permit, metadata: etcd3_core::metadata::Metadata) -> Input {
        match permit.connection.open_stream(self.method, metadata) {
            Ok((exchange, sender)) => {
                self.migration = Some(permit.connection.migration_listener());
                self.attempt.opened(permit, exchange, Some(Box::new(sender))).into()
            }
            Err((lost, how)) => self.attempt.not_opened(&permit, lost, how).into(),
        }
    }

    /// Returns whether the stream was told to go elsewhere since the last look.
    fn poll_migration(&mut self, cx: &mut Context<'_>) -> bool {
        let is_told =
            self.migration.as_mut().is_some_and(|told| Pin::new(told).poll(cx).is_ready());
        if is_told {
            // Another notification may be on its way for the same connection.
            self.migration = self.attempt.migration_listener();
        }
        is_told
    }

    fn pool(&self) -> &Pool {
        self.attempt.pool()
    }
}

impl Drop for StreamTask {
    fn drop(&mut self) {
        // Also when the runtime drops the task.
        if let Some(kind) = self.pool().closed_kind() {
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
