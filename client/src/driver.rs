//! Drives one call in the future of its caller: no task, no channel, no timer of its own.
//!
//! Polled by hand: nested futures would hold everything several times over.

use crate::exchange::Exchange;
use crate::place::Place;
use crate::shared::{NoPlace, Shared};
use crate::timers::Alarm;
use bytes::Bytes;
use etcd3_core::call::{Attempt, Call, Input, Output, Reply};
use etcd3_core::channel::{self, Channel, EndpointId, Impression, Want};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::metadata::Metadata;
use etcd3_core::{Error, ErrorKind};
use etcd3_core::{Instant, Machine, Next};
use event_listener::EventListener;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Drives one call to its end.
pub(crate) struct Driver {
    pub(crate) call: Call,
    /// The message of the first attempt, until that is made.
    body: Option<Bytes>,
    pub(crate) terms: Terms,
    flight: Flight,
    alarm: Alarm,
    /// Where it was sent last.
    pub(crate) last: Option<Endpoint>,
}

/// What a call asks for beyond its message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) require_leader: bool,
    /// Whether its answer must not be older than what was seen before.
    pub(crate) is_linearizable: bool,
    /// Whether only a member of a working cluster can answer: a write, or a linearizable read.
    pub(crate) takes_cluster: bool,
    /// The only endpoint that will do.
    pub(crate) only: Option<EndpointId>,
}

/// What the call waits for.
enum Flight {
    /// Its backoff, and the end of the client.
    Nothing(Option<EventListener>),
    /// A place on a connection.
    Launching(Attempt, Option<EventListener>),
    Flying {
        exchange: Exchange,
        place: Place,
    },
    /// The stream is over, and what the answer is worth is yet to be said.
    Landed(Place),
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>, call: Call, body: Bytes, terms: Terms) -> Self {
        let alarm = Alarm::new(shared);
        let body = Some(body);
        Self { call, body, terms, flight: Flight::Nothing(None), alarm, last: None }
    }

    /// Goes on, at this moment. The message is encoded anew for each attempt but the first: to keep
    /// it would cost every call something.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        cx: &mut Context<'_>,
        encode: &mut dyn FnMut() -> Result<Bytes, Error>,
    ) -> Poll<Result<Reply, Error>> {
        loop {
            match self.call.poll(now) {
                Next::Do(Output::Attempt(attempt)) => self.begin(now, attempt),
                Next::Do(Output::Check(header)) => {
                    let checked = match &self.flight {
                        Flight::Landed(place) => place.check(&header, self.terms.is_linearizable),
                        _ => channel::Checked::Fresh,
                    };
                    self.call.handle(now, Input::Checked(checked));
                }
                Next::Do(Output::Done(result)) => {
                    self.leave(now);
                    return Poll::Ready(result);
                }
                Next::Wait(deadline) => {
                    let Poll::Ready(input) = self.step(now, cx, encode) else {
                        if let Some(deadline) = deadline {
                            self.alarm.set(deadline, cx.waker());
                        }
                        return Poll::Pending;
                    };
                    self.hand_over(now, input, cx);
                }
            }
        }
    }

    /// Hands over what came, and what more of the answer is there: nothing is due in between.
    fn hand_over(&mut self, now: Instant, mut input: Input, cx: &mut Context<'_>) {
        loop {
            let is_part = matches!(input, Input::Head { .. } | Input::Data(_));
            self.call.handle(now, input);
            let Flight::Flying { exchange, .. } = &mut self.flight else { return };
            if !is_part || !self.call.is_under_way() {
                return;
            }
            let Poll::Ready(next) = exchange.poll_next(self.call.has_message(), cx) else {
                return;
            };
            input = self.take(next);
        }
    }

    /// Begins an attempt, unless too many calls are being repeated.
    fn begin(&mut self, now: Instant, attempt: Attempt) {
        self.leave(now);
        if attempt.is_retry && !self.alarm.shared.channel(Channel::spend_retry) {
            self.call.handle(now, Input::Throttled);
        } else {
            self.flight = Flight::Launching(attempt, None);
        }
    }

    /// Looks for what the call waits for.
    fn step(
        &mut self,
        now: Instant,
        cx: &mut Context<'_>,
        encode: &mut dyn FnMut() -> Result<Bytes, Error>,
    ) -> Poll<Input> {
        match &mut self.flight {
            Flight::Launching(attempt, listener) => {
                let want = Want { avoid: attempt.avoid, only: self.terms.only };
                match poll_place(&self.alarm.shared, (now, want), listener, cx) {
                    Poll::Ready(Some(place)) => Poll::Ready(self.launch(now, place, encode)),
                    Poll::Ready(None) => Poll::Ready(Input::Closed),
                    Poll::Pending => Poll::Pending,
                }
            }
            Flight::Flying { exchange, .. } => {
                let next = exchange.poll_next(self.call.has_message(), cx);
                next.map(|input| self.take(input))
            }
            Flight::Nothing(listener) => {
                poll_closed(&self.alarm.shared, listener, cx).map(|()| Input::Closed)
            }
            // Nothing more is said of it: the attempt is over.
            Flight::Landed(_) => {
                self.leave(now);
                self.step(now, cx, encode)
            }
        }
    }

    /// Hands the request over.
    fn launch(
        &mut self,
        now: Instant,
        place: Place,
        encode: &mut dyn FnMut() -> Result<Bytes, Error>,
    ) -> Input {
        let Flight::Launching(attempt, _) = &self.flight else { return Input::Closed };
        let endpoint = &place.endpoint;
        let may_tell =
            || self.alarm.shared.config.plaintext_passwords || endpoint.is_confidential();
        if self.call.method().carries_secret() && !may_tell() {
            let error = Error::new(ErrorKind::PlaintextPassword);
            return Input::Refused(error.with_endpoint(Some(endpoint.text())));
        }
        let metadata = Metadata {
            require_leader: self.terms.require_leader,
            timeout: attempt.deadline.map(|at| at.saturating_since(now)),
        };
        let body = match self.body.take().map_or_else(encode, Ok) {
            Ok(body) => body,
            Err(error) => return Input::Refused(error),
        };
        match place.link.start(self.call.method(), metadata, body) {
            Ok(exchange) => {
                let id = place.route.endpoint;
                self.last = Some(endpoint.clone());
                self.flight = Flight::Flying { exchange, place };
                Input::Sent(id)
            }
            Err(lost) => {
                self.alarm.shared.tell(channel::Input::Retired(place.connection()));
                self.flight = Flight::Nothing(None);
                self.judge(&place, Input::Lost(lost))
            }
        }
    }

    /// Completes what came; the stream is dropped before the machine hears of its end.
    fn take(&mut self, input: Input) -> Input {
        if matches!(input, Input::Head { .. } | Input::Data(_)) {
            return input;
        }
        match std::mem::replace(&mut self.flight, Flight::Nothing(None)) {
            Flight::Flying { exchange, place } => {
                drop(exchange);
                let input = self.judge(&place, input);
                self.flight = Flight::Landed(place);
                input
            }
            other => {
                self.flight = other;
                input
            }
        }
    }

    /// Says why an attempt was lost, if it was this side that ended the connection.
    fn judge(&self, place: &Place, input: Input) -> Input {
        match input {
            Input::Lost(_) if self.alarm.shared.is_closed() => Input::Closed,
            Input::Lost(mut lost) => {
                lost.cause = place.reason().or(lost.cause);
                Input::Lost(lost)
            }
            input => input,
        }
    }

    /// Drops the stream if there is one, and gives the place back.
    fn leave(&mut self, now: Instant) {
        match std::mem::replace(&mut self.flight, Flight::Nothing(None)) {
            Flight::Flying { exchange, place } => {
                drop(exchange);
                place.leave(now, self.impression());
            }
            Flight::Landed(place) => place.leave(now, self.impression()),
            Flight::Nothing(_) | Flight::Launching(..) => {}
        }
    }

    /// What the last attempt told of its endpoint.
    fn impression(&self) -> Impression {
        match self.call.impression() {
            Impression::Good if !self.terms.takes_cluster => Impression::Answered,
            other => other,
        }
    }
}

/// Waits for a place on a connection; `None` when the client is closed.
fn poll_place(
    shared: &Arc<Shared>,
    (now, want): (Instant, Want),
    listener: &mut Option<EventListener>,
    cx: &mut Context<'_>,
) -> Poll<Option<Place>> {
    loop {
        if let Some(changed) = listener {
            ready!(Pin::new(changed).poll(cx));
        }
        // Looks once more when the listener is there: it may have changed before that.
        for next in [None, Some(())] {
            *listener = next.map(|()| shared.changed_for(want));
            match shared.place(now, want) {
                Ok(place) => return Poll::Ready(Some(place)),
                Err(NoPlace::Closed) => return Poll::Ready(None),
                Err(NoPlace::NotYet) => {}
            }
        }
        shared.tell(channel::Input::Wanted);
    }
}

/// Waits for the end of the client.
fn poll_closed(
    shared: &Shared,
    listener: &mut Option<EventListener>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    while !shared.is_closed() {
        match listener {
            None => *listener = Some(shared.closing()),
            Some(closing) => {
                ready!(Pin::new(closing).poll(cx));
                *listener = None;
            }
        }
    }
    Poll::Ready(())
}
