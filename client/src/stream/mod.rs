//! The task of a bidirectional stream, and the user's end of it.
//!
//! The task owns the machine; the handle holds none: it puts commands into a mailbox, which the
//! task empties, and takes what the task has put there. The task polls in a fixed order: commands,
//! the stream, the machine, then what the attempt waits for. It always drains its stream: what the
//! user does not take is bounded by the machine or by the mailbox, never by not reading.

// I-C6

mod raw;

pub use raw::{RawStream, StreamEvent};

use crate::call::attempt::{AttemptEvent, Carrier, Progress};
use crate::call::open_stream::Receiver;
use crate::pool::{ConnectionHandle, Permit, Pool};
use crate::transport::exchange::Sender;
use bytes::Bytes;
use etcd3_core::call::Attempt;
use etcd3_core::channel::HealthSignal;
use etcd3_core::endpoint::Endpoint;
use etcd3_core::metadata::Metadata;
use etcd3_core::method::Method;
use etcd3_core::{Instant, Machine, Next};
use event_listener::EventListener;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// How many outputs are carried out before other tasks have their turn.
const OUTPUTS_A_TURN: u32 = 1_024;
/// How many of them before the task looks again at what users want and at what has come: to look
/// costs a lock or two, and the time of day.
const OUTPUTS_AT_ONCE: u32 = 64;

/// What is particular to one kind of stream.
pub(crate) trait Owner {
    type Machine: Machine<Input: From<AttemptEvent>> + Receiver;

    /// Returns the method that the stream is of.
    fn method(&self) -> &'static Method;

    /// Hands over what the user wants; a break when nothing is wanted any more.
    fn take_commands(
        &mut self,
        now: Instant,
        machine: &mut Self::Machine,
        cx: &mut Context<'_>,
    ) -> ControlFlow<()>;

    /// Does what the machine wants; a break when that was the last of it.
    fn carry_out(
        &mut self,
        now: Instant,
        output: <Self::Machine as Machine>::Output,
        machine: &mut Self::Machine,
        stream: &mut OwnedStream,
    ) -> ControlFlow<()>;

    /// Returns what the stream that is over told of its endpoint.
    fn signal(machine: &Self::Machine) -> HealthSignal;
}

/// The HTTP/2 stream of a task, one after another.
pub(crate) struct OwnedStream {
    attempt: Carrier,
    /// Notified when the stream that is open is to go elsewhere.
    migration: Option<EventListener>,
}

impl OwnedStream {
    /// Gives back what is left of the stream before, and begins another.
    pub(crate) fn begin(&mut self, now: Instant, signal: HealthSignal, order: Attempt) {
        self.release(now, signal);
        self.attempt.begin(order);
    }

    /// Gives back what is left of the stream.
    pub(crate) fn release(&mut self, now: Instant, signal: HealthSignal) {
        self.migration = None;
        self.attempt.release(now, signal);
    }

    /// Returns the endpoint of the stream that is open, or of the last one.
    pub(crate) const fn endpoint(&self) -> Option<&Endpoint> {
        self.attempt.last.as_ref()
    }

    /// Returns the connection of the stream that is open.
    pub(crate) fn connection(&self) -> Option<Arc<ConnectionHandle>> {
        self.attempt.connection()
    }

    /// Queues a frame; returns whether there was room for it, or no stream.
    pub(crate) fn push(&self, frame: Bytes) -> bool {
        self.attempt.with_sender(|sender| sender.push(frame)).unwrap_or(true)
    }

    /// Ends the request after what is queued.
    pub(crate) fn half_close(&self) {
        self.attempt.with_sender(Sender::close);
    }

    pub(crate) const fn pool(&self) -> &Arc<Pool> {
        self.attempt.pool()
    }

    /// Opens the stream.
    fn open(
        &mut self,
        method: &'static Method,
        permit: Permit,
        metadata: &Metadata,
    ) -> AttemptEvent {
        let traceparent = self.pool().telemetry.traceparent();
        match permit.connection.open_stream(method, metadata, traceparent.as_ref()) {
            Ok((exchange, sender)) => {
                self.migration = Some(permit.connection.migration_listener());
                self.attempt.opened(permit, exchange, Some(Box::new(sender)))
            }
            Err((lost, how)) => self.attempt.not_opened(&permit, lost, how),
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
}

/// The task of a stream: a machine, the stream, and what is particular to their kind.
pub(crate) struct StreamTask<O: Owner> {
    owner: O,
    machine: O::Machine,
    stream: OwnedStream,
}

impl<O: Owner + Unpin> StreamTask<O>
where
    O::Machine: Unpin,
{
    pub(crate) fn new(pool: Arc<Pool>, owner: O, machine: O::Machine) -> Self {
        let stream = OwnedStream { attempt: Carrier::new(pool), migration: None };
        Self { owner, machine, stream }
    }
}

impl<O: Owner + Unpin> Future for StreamTask<O>
where
    O::Machine: Unpin,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { owner, machine, stream } = Pin::into_inner(self);
        let mut outputs = 0;
        loop {
            let now = stream.pool().rt.now();
            if owner.take_commands(now, machine, cx).is_break() {
                stream.release(now, O::signal(machine));
                return Poll::Ready(());
            }
            if let Some(told) = stream.attempt.take_in(now, machine, cx) {
                machine.handle(now, told.into());
            }
            match machine.poll(now) {
                Next::Do(output) => {
                    match carry_out(now, output, owner, machine, stream) {
                        ControlFlow::Continue(count) => outputs += count,
                        ControlFlow::Break(()) => return Poll::Ready(()),
                    }
                    if outputs >= OUTPUTS_A_TURN {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                Next::Wait(deadline) => {
                    if !machine.is_receiving() {
                        // Given up: unread, it would hold a part of the window of its connection.
                        stream.attempt.release_stream(now, O::signal(machine));
                    }
                    if let Poll::Ready(progress) = stream.attempt.poll_progress(now, cx) {
                        let told = match progress {
                            Progress::Admitted(permit, order) => {
                                let metadata = stream.attempt.metadata(now, &order);
                                stream.open(owner.method(), permit, &metadata)
                            }
                            Progress::Event(event) => event,
                        };
                        machine.handle(now, told.into());
                    } else if !stream.poll_migration(cx) {
                        // Pending or not: whatever is left is sent when there is room.
                        let _ = stream.attempt.poll_send(cx);
                        if let Some(deadline) = deadline {
                            stream.attempt.set_alarm(now, deadline, cx);
                        }
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

/// Does what the machine wants, and what it wants next; returns how many outputs that were.
fn carry_out<O: Owner>(
    now: Instant,
    first: <O::Machine as Machine>::Output,
    owner: &mut O,
    machine: &mut O::Machine,
    stream: &mut OwnedStream,
) -> ControlFlow<(), u32> {
    let (mut next, mut count) = (Next::Do(first), 0);
    while let Next::Do(output) = next {
        owner.carry_out(now, output, machine, stream)?;
        count += 1;
        if count == OUTPUTS_AT_ONCE {
            break;
        }
        next = machine.poll(now);
    }
    ControlFlow::Continue(count)
}
