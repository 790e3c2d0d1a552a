//! Drives one call with many messages in answer, in the future of its caller.
//!
//! Nothing is read unless the caller waits for a message, so that the window of the stream holds
//! the server back from one who is slow.

use super::attempt::{Carrier, Progress};
use super::open_stream::Receiver;
use super::tally::Tally;
use crate::pool::{ConnectionHandle, Permit, Pool};
use crate::trace;
use bytes::Bytes;
use etcd3_core::call;
use etcd3_core::channel::{Denied, EndpointId};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::error::{Error, ErrorKind};
use etcd3_core::stream::server_stream::{Input, Output, ServerStream};
use etcd3_core::transport::Event;
use etcd3_core::{Instant, Machine, Next};
use event_listener::EventListener;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Drives one call to the next message, and to its end.
pub(crate) struct StreamDriver {
    pub(crate) machine: ServerStream,
    attempt: Carrier,
    /// Where the last attempt was admitted.
    pub(crate) at: Option<Attempted>,
    /// Notified when the stream that is open is to go elsewhere.
    migration: Option<EventListener>,
    /// `None` before a message is wanted.
    tally: Option<Tally>,
}

/// Where an attempt was admitted.
pub(crate) struct Attempted {
    pub(crate) endpoint: EndpointId,
    pub(crate) connection: Arc<ConnectionHandle>,
}

impl StreamDriver {
    pub(crate) fn new(pool: Arc<Pool>, machine: ServerStream) -> Self {
        let attempt = Carrier::new(pool);
        Self { machine, attempt, at: None, migration: None, tally: None }
    }

    /// Waits for the next message; `None` after the last one, once.
    pub(crate) fn poll_next(
        &mut self,
        now: Instant,
        cx: &mut Context<'_>,
        encode: &mut dyn FnMut() -> Result<Bytes, Error>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let Self { machine, attempt, tally, .. } = self;
        machine.handle(now, Input::Wanted);
        let tally =
            tally.get_or_insert_with(|| Tally::begin(attempt.pool(), now, machine.method()));
        #[cfg(feature = "tracing-spans")]
        let span = tally.span.clone();
        #[cfg(feature = "tracing-spans")]
        let _entered = span.enter();
        #[cfg(not(feature = "tracing-spans"))]
        let _ = tally;
        loop {
            self.take_in(now, cx);
            let due = if self.machine.is_receiving() { self.machine.next_due() } else { None };
            if ready!(self.attempt.poll_final_read(now, due, cx)) {
                self.take_in(now, cx);
            }
            match self.machine.poll(now) {
                Next::Do(Output::Attempt(order)) => {
                    self.migration = None;
                    self.attempt.release(now, self.machine.signal());
                    self.attempt.begin(order);
                }
                Next::Do(Output::Message(message)) => {
                    self.attempt.rest();
                    return Poll::Ready(Some(Ok(message)));
                }
                Next::Do(Output::Release(finished)) => {
                    let freshness = self.attempt.release(now, finished);
                    self.machine.handle(now, Input::Freshness(freshness));
                }
                Next::Do(Output::Done(result)) => {
                    self.attempt.release(now, self.machine.signal());
                    if let Err(error) = &result {
                        trace::call_failed(self.machine.method().path, self.last(), error);
                    }
                    let attempts = result.as_ref().map(|()| self.machine.sent());
                    if let Some(tally) = &mut self.tally {
                        let Carrier { last, .. } = &self.attempt;
                        tally.end(self.attempt.pool(), now, last.as_ref(), attempts);
                    }
                    return Poll::Ready(result.err().map(Err));
                }
                Next::Wait(deadline) => {
                    let Some(input) = self.poll_progress(now, cx, encode) else {
                        if let Some(deadline) = deadline {
                            self.attempt.set_alarm(now, deadline, cx);
                        }
                        return Poll::Pending;
                    };
                    self.machine.handle(now, input);
                }
            }
        }
    }

    /// Where the last attempt was sent.
    pub(crate) const fn last(&self) -> Option<&Endpoint> {
        self.attempt.last.as_ref()
    }

    /// Takes what the attempt waits for, if it is there.
    fn poll_progress(
        &mut self,
        now: Instant,
        cx: &mut Context<'_>,
        encode: &mut dyn FnMut() -> Result<Bytes, Error>,
    ) -> Option<Input> {
        match self.attempt.poll_progress(now, cx) {
            Poll::Ready(Progress::Admitted(permit, order)) => {
                Some(self.send(now, permit, order, encode))
            }
            Poll::Ready(Progress::Event(event)) => Some(event.into()),
            Poll::Pending if self.machine.is_impatient() => {
                Some(Input::Denied(Denied::NoConnection))
            }
            // The machine is told when the stream is looked at again.
            Poll::Pending if self.poll_migration(cx) => Some(Input::Wanted),
            Poll::Pending => None,
        }
    }

    fn take_in(&mut self, now: Instant, cx: &mut Context<'_>) {
        if let Some(event) = self.attempt.take_in(now, &mut self.machine, cx) {
            self.machine.handle(now, event.into());
        }
    }

    /// Hands the request over, unless it is known that the server does not have the method.
    fn send(
        &mut self,
        now: Instant,
        permit: Permit,
        order: call::Attempt,
        encode: &mut dyn FnMut() -> Result<Bytes, Error>,
    ) -> Input {
        let method = self.machine.method();
        let (endpoint, connection) = (permit.admission.endpoint, Arc::clone(&permit.connection));
        self.at = Some(Attempted { endpoint, connection });
        let facts = &permit.connection.facts;
        if let Some(needs) = facts.needs_for(method) {
            let error = Error::new(ErrorKind::Unsupported { needs, has: facts.version() });
            let error = error.with_endpoint(Some(permit.endpoint.text()));
            return Input::Refused(error);
        }
        let body = match encode() {
            Ok(body) => body,
            Err(error) => return Input::Refused(error),
        };
        let metadata = self.attempt.metadata(now, &order);
        let traceparent = self.attempt.pool().telemetry.traceparent();
        match permit.connection.start(method, &metadata, traceparent.as_ref(), body) {
            Ok(exchange) => {
                self.migration = Some(permit.connection.migration_listener());
                self.attempt.opened(permit, exchange, None).into()
            }
            Err((lost, how)) => self.attempt.not_opened(&permit, lost, how).into(),
        }
    }

    /// Returns whether the stream was told to go elsewhere since the last look.
    fn poll_migration(&mut self, cx: &mut Context<'_>) -> bool {
        let is_told =
            self.migration.as_mut().is_some_and(|told| Pin::new(told).poll(cx).is_ready());
        if is_told {
            self.migration = self.attempt.migration_listener();
        }
        is_told
    }
}

impl Drop for StreamDriver {
    fn drop(&mut self) {
        if let Some(tally) = &self.tally {
            tally.drop_call(self.attempt.pool());
        }
    }
}

impl Receiver for ServerStream {
    fn is_receiving(&self) -> bool {
        self.is_receiving()
    }

    fn is_whole(&self) -> bool {
        false
    }

    fn may_migrate(&self) -> bool {
        self.may_migrate()
    }

    fn receive(&mut self, now: Instant, event: Event) {
        self.handle(now, Input::Stream(event));
    }

    fn migrate(&mut self, now: Instant) {
        self.handle(now, Input::Migrate);
    }
}
