//! Drives one call in the future of its caller: no task, no channel, no timer of its own.
//!
//! Polled by hand: nested futures would hold everything several times over.

use super::attempt::{Carrier, Progress};
use super::open_stream::Receiver;
use super::tally::Tally;
use crate::pool::Permit;
use crate::trace;
use bytes::Bytes;
use etcd3_core::call::{self, Call, Input, Output, Reply};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::transport::Event;
use etcd3_core::{Error, Instant, Machine, Next};
use std::task::{Context, Poll, ready};

/// Drives one call to its end.
pub(crate) struct Driver {
    pub(crate) call: Call,
    /// The message of the first attempt, until that is made.
    body: Option<Bytes>,
    attempt: Carrier,
    /// Whether it waited for a token when it ended.
    pub(crate) awaited_token: bool,
    /// How many failed attempts have been told of.
    traced: u32,
    tally: Tally,
}

impl Driver {
    pub(crate) fn new(now: Instant, call: Call, body: Bytes, attempt: Carrier) -> Self {
        let tally = Tally::begin(attempt.pool(), now, call.method());
        Self { call, body: Some(body), attempt, awaited_token: false, traced: 0, tally }
    }

    /// Polls the call at this moment. The message is encoded anew for each attempt but the first:
    /// to keep it would cost every call something.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        cx: &mut Context<'_>,
        encode: &mut dyn FnMut() -> Result<Bytes, Error>,
    ) -> Poll<Result<Reply, Error>> {
        #[cfg(feature = "tracing-spans")]
        let span = self.tally.span.clone();
        #[cfg(feature = "tracing-spans")]
        let _entered = span.enter();
        loop {
            // What is there counts, also at the deadline: the machine is asked after that.
            self.take_in(now, cx);
            let due = if self.call.is_streaming() { self.call.next_due() } else { None };
            if ready!(self.attempt.poll_final_read(now, due, cx)) {
                self.take_in(now, cx);
            }
            match self.call.poll(now) {
                Next::Do(Output::Attempt(order)) => {
                    self.trace(now, now);
                    self.attempt.release(now, self.call.signal());
                    self.attempt.begin(order);
                }
                Next::Do(Output::Release(finished)) => {
                    let freshness = self.attempt.release(now, finished);
                    self.call.handle(now, Input::Freshness(freshness));
                }
                Next::Do(Output::Done(result)) => {
                    self.awaited_token = self.attempt.awaits_token();
                    self.attempt.release(now, self.call.signal());
                    if let Err(error) = &result {
                        trace::call_failed(self.call.method().path, self.last(), error);
                    }
                    let Self { attempt, tally, .. } = self;
                    let attempts = result.as_ref().map(|reply| reply.attempts);
                    tally.end(attempt.pool(), now, attempt.last.as_ref(), attempts);
                    return Poll::Ready(result);
                }
                Next::Wait(deadline) => {
                    self.trace(now, deadline.unwrap_or(now));
                    let Poll::Ready(progress) = self.attempt.poll_progress(now, cx) else {
                        if let Some(deadline) = deadline {
                            self.attempt.set_alarm(now, deadline, cx);
                        }
                        return Poll::Pending;
                    };
                    let input = match progress {
                        Progress::Admitted(permit, order) => self.send(now, permit, order, encode),
                        Progress::Event(event) => event.into(),
                    };
                    self.call.handle(now, input);
                }
            }
        }
    }

    /// Where the last attempt was sent.
    pub(crate) const fn last(&self) -> Option<&Endpoint> {
        self.attempt.last.as_ref()
    }

    /// Tells of an attempt that failed since the last time, and when the next one is made.
    fn trace(&mut self, now: Instant, next: Instant) {
        if self.call.retries() != self.traced {
            self.trace_failure(now, next);
        }
    }

    #[cold]
    fn trace_failure(&mut self, now: Instant, next: Instant) {
        self.traced = self.call.retries();
        if let Some(error) = self.call.last_error() {
            let (method, attempt) = (self.call.method().path, self.traced);
            let again_in = next.saturating_since(now);
            trace::attempt_failed(method, self.last(), attempt, error, again_in);
        }
    }

    fn take_in(&mut self, now: Instant, cx: &mut Context<'_>) {
        if let Some(told) = self.attempt.take_in(now, &mut self.call, cx) {
            self.call.handle(now, told.into());
        }
    }

    /// Hands the request over.
    fn send(
        &mut self,
        now: Instant,
        permit: Permit,
        order: call::Attempt,
        encode: &mut dyn FnMut() -> Result<Bytes, Error>,
    ) -> Input {
        let body = match self.body.take().map_or_else(encode, Ok) {
            Ok(body) => body,
            Err(error) => return Input::Refused(error),
        };
        let metadata = self.attempt.metadata(now, &order);
        let traceparent = self.attempt.pool().telemetry.traceparent();
        match permit.connection.start(self.call.method(), &metadata, traceparent.as_ref(), body) {
            Ok(exchange) => self.attempt.opened(permit, exchange, None).into(),
            Err((lost, how)) => self.attempt.not_opened(&permit, lost, how).into(),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.tally.drop_call(self.attempt.pool());
    }
}

impl Receiver for Call {
    fn is_receiving(&self) -> bool {
        self.is_streaming()
    }

    fn is_whole(&self) -> bool {
        self.has_message()
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
