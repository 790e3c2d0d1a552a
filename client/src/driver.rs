//! Drives one call in the future of its caller: no task, no channel, no timer of its own.
//!
//! Polled by hand: nested futures would hold everything several times over.

use crate::alarm::Alarm;
use crate::last_look::LastLook;
use crate::open_call::{Open, OpenCall};
use crate::place::Place;
use crate::shared::{NoPlace, Shared};
use bytes::Bytes;
use etcd3_core::call::{Attempt, Call, Input, Output, Reply};
use etcd3_core::channel::{self, Channel, ConnectionId, EndpointId, Impression, Want};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::error::Cause;
use etcd3_core::metadata::Metadata;
use etcd3_core::transport::Event;
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
    last_look: LastLook,
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
    /// The only connection that will do.
    pub(crate) connection: Option<ConnectionId>,
}

/// What the call waits for.
enum Flight {
    /// Its backoff, and the end of the client.
    Nothing(Option<EventListener>),
    /// A place on a connection.
    Launching(Attempt, Option<EventListener>),
    /// The stream that the alarm shares with the control task.
    Flying,
    /// The stream is over, and what the answer is worth is yet to be said.
    Landed(Place),
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>, call: Call, body: Bytes, terms: Terms) -> Self {
        Self {
            call,
            body: Some(body),
            terms,
            flight: Flight::Nothing(None),
            last_look: LastLook::default(),
            alarm: Alarm::new(shared),
            last: None,
        }
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
            // What is there counts, also at the deadline: the machine is asked after that.
            self.take_in(now, cx);
            if let Some(due) = self.overdue_since(now) {
                ready!(self.last_look.poll(now, due, &mut self.alarm, cx));
                self.take_in(now, cx);
            }
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
                            self.alarm.set(now, deadline, cx);
                        }
                        return Poll::Pending;
                    };
                    self.call.handle(now, input);
                }
            }
        }
    }

    /// Hands over all that has come on the stream.
    fn take_in(&mut self, now: Instant, cx: &mut Context<'_>) {
        if !matches!(self.flight, Flight::Flying) {
            return;
        }
        if let Some((open, event)) = self.alarm.call.take_in(now, &mut self.call, cx) {
            let input = self.judge(open.reason(), event);
            // The stream is dropped before the machine hears of its end.
            self.flight = Flight::Landed(open.end());
            self.call.handle(now, input);
        } else if let Some(kind) = self.shared().quick_closed_kind() {
            self.call.handle(now, Input::Closed(kind));
        }
    }

    /// Since when the machine is to give up the stream that is open, if it is.
    fn overdue_since(&mut self, now: Instant) -> Option<Instant> {
        let is_open = matches!(self.flight, Flight::Flying) && self.call.is_under_way();
        let due = if is_open { self.call.next_due().filter(|due| *due <= now) } else { None };
        if due.is_none() {
            self.last_look.reset();
        }
        due
    }

    /// Begins an attempt, unless too many calls are being repeated.
    fn begin(&mut self, now: Instant, attempt: Attempt) {
        self.leave(now);
        if attempt.is_retry && !self.shared().channel(Channel::spend_retry) {
            self.call.handle(now, Input::Throttled);
        } else {
            self.flight = Flight::Launching(attempt, None);
        }
    }

    /// Looks for what the call waits for, except on its stream.
    fn step(
        &mut self,
        now: Instant,
        cx: &mut Context<'_>,
        encode: &mut dyn FnMut() -> Result<Bytes, Error>,
    ) -> Poll<Input> {
        match &mut self.flight {
            Flight::Launching(attempt, listener) => {
                let Terms { only, connection, .. } = self.terms;
                let want = Want { avoid: attempt.avoid, only, connection };
                match poll_place(&self.alarm.shared, (now, want), listener, cx) {
                    Poll::Ready(Ok(place)) => Poll::Ready(self.launch(now, place, encode)),
                    Poll::Ready(Err(kind)) => Poll::Ready(Input::Closed(kind)),
                    Poll::Pending => Poll::Pending,
                }
            }
            Flight::Flying => Poll::Pending,
            Flight::Nothing(listener) => {
                poll_closed(&self.alarm.shared, listener, cx).map(Input::Closed)
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
        let Flight::Launching(attempt, _) = &self.flight else {
            return Input::Closed(ErrorKind::Closed);
        };
        let endpoint = &place.endpoint;
        let may_tell = || self.shared().config.plaintext_passwords || endpoint.is_confidential();
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
                self.flight = Flight::Flying;
                self.open_call().open(Open { exchange, place });
                Input::Sent(id)
            }
            Err((lost, goodbye)) => {
                self.shared().tell(channel::Input::Retired(place.connection(), goodbye));
                self.flight = Flight::Nothing(None);
                self.judge(place.reason(), Event::Lost(lost))
            }
        }
    }

    /// Says why an attempt was lost, if it was this side that ended the connection.
    fn judge(&self, reason: Option<Cause>, event: Event) -> Input {
        let Event::Lost(mut lost) = event else { return Input::Stream(event) };
        if let Some(kind) = self.shared().closed_kind() {
            return Input::Closed(kind);
        }
        lost.cause = reason.or(lost.cause);
        Input::Stream(Event::Lost(lost))
    }

    /// Drops the stream if there is one, and gives the place back.
    fn leave(&mut self, now: Instant) {
        match std::mem::replace(&mut self.flight, Flight::Nothing(None)) {
            Flight::Flying => {
                if let Some(open) = self.open_call().take() {
                    open.end().leave(now, self.impression());
                }
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

    fn shared(&self) -> &Shared {
        &self.alarm.shared
    }

    fn open_call(&self) -> &OpenCall {
        &self.alarm.call
    }
}

/// Waits for a place on a connection; an error when the client is closed.
fn poll_place(
    shared: &Arc<Shared>,
    (now, want): (Instant, Want),
    listener: &mut Option<EventListener>,
    cx: &mut Context<'_>,
) -> Poll<Result<Place, ErrorKind>> {
    loop {
        if let Some(changed) = listener {
            ready!(Pin::new(changed).poll(cx));
        }
        // Looks once more when the listener is there: it may have changed before that.
        for next in [None, Some(())] {
            *listener = next.map(|()| shared.changed_for(want));
            match shared.place(now, want) {
                Ok(place) => return Poll::Ready(Ok(place)),
                Err(NoPlace::Closed(kind)) => return Poll::Ready(Err(kind)),
                Err(NoPlace::NotYet) => {}
            }
        }
        shared.tell(channel::Input::Wanted);
    }
}

/// Waits for the end of the client, and says why.
fn poll_closed(
    shared: &Shared,
    listener: &mut Option<EventListener>,
    cx: &mut Context<'_>,
) -> Poll<ErrorKind> {
    loop {
        if let Some(kind) = shared.closed_kind() {
            return Poll::Ready(kind);
        }
        match listener {
            None => *listener = Some(shared.closing()),
            Some(closing) => {
                ready!(Pin::new(closing).poll(cx));
                *listener = None;
            }
        }
    }
}
