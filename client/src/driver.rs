//! Drives one call in the future of its caller: no task, no channel, no timer of its own.

use crate::exchange::{self, Exchange};
use crate::place::Place;
use crate::shared::{NoPlace, Shared};
use crate::timers::Key;
use bytes::Bytes;
use etcd3_core::call::{Attempt, Call, Input, Output, Reply};
use etcd3_core::channel::{self, Channel, Checked, EndpointId, Impression, Want};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::error::Cause;
use etcd3_core::header::Header;
use etcd3_core::metadata::{Metadata, request_head};
use etcd3_core::{Error, ErrorKind};
use etcd3_core::{Instant, Machine, Next};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Poll, Waker};

/// Drives one call in the future of its caller.
pub(crate) struct Driver<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) call: &'a mut Call,
    pub(crate) body: Bytes,
    pub(crate) terms: Terms,
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
enum Flight<'a> {
    Nothing,
    Launching(Attempt),
    Flying {
        exchange: Exchange,
        place: Place<'a>,
    },
    /// The stream is over, and what the answer is worth is yet to be said.
    Landed(Place<'a>),
}

impl<'a> Driver<'a> {
    /// Runs the call to its end; says also where it was sent last.
    pub(crate) async fn run(self) -> (Result<Reply, Error>, Option<Endpoint>) {
        let rt = &*self.shared.rt;
        let mut flight = Flight::Nothing;
        let mut last = None;
        let mut alarm = Alarm { shared: self.shared, set: None };
        loop {
            match self.call.poll(rt.now()) {
                Next::Do(Output::Attempt(attempt)) => {
                    flight.leave(self.impression());
                    if attempt.is_retry && !self.shared.channel(Channel::spend_retry) {
                        self.call.handle(rt.now(), Input::Throttled);
                    } else {
                        flight = Flight::Launching(attempt);
                    }
                }
                Next::Do(Output::Check(header)) => {
                    let checked = flight.check(&header, self.terms.is_linearizable);
                    self.call.handle(rt.now(), Input::Checked(checked));
                }
                Next::Do(Output::Done(result)) => {
                    flight.leave(self.impression());
                    return (result, last);
                }
                Next::Wait(deadline) => {
                    let step = self.step(&mut flight);
                    let Some(step) = until(&mut alarm, deadline, step).await else { continue };
                    if let Step::Launched(_, place) = &step {
                        last = Some(place.endpoint.clone());
                    }
                    let input = self.take(step, &mut flight);
                    self.call.handle(rt.now(), input);
                }
            }
        }
    }

    /// What the last attempt told of its endpoint.
    fn impression(&self) -> Impression {
        match self.call.impression() {
            Impression::Good if !self.terms.takes_cluster => Impression::Answered,
            other => other,
        }
    }

    /// Waits for what the call waits for.
    async fn step(&self, flight: &mut Flight<'a>) -> Step<'a> {
        match flight {
            Flight::Nothing | Flight::Landed(_) => {
                self.shared.closed().await;
                Step::Input(Input::Closed)
            }
            Flight::Launching(attempt) => self.launch(*attempt).await,
            Flight::Flying { exchange, .. } => Step::Input(exchange.next().await),
        }
    }

    /// Turns what came into an input; the stream is dropped before the machine hears of its end.
    fn take(&self, step: Step<'a>, flight: &mut Flight<'a>) -> Input {
        let input = match step {
            Step::Launched(exchange, place) => {
                let endpoint = place.route.endpoint;
                *flight = Flight::Flying { exchange, place };
                return Input::Sent(endpoint);
            }
            Step::Input(input) => input,
        };
        if matches!(input, Input::Head { .. } | Input::Data(_)) {
            return input;
        }
        flight.land();
        match input {
            Input::Lost(_) if self.shared.is_closed() => Input::Closed,
            Input::Lost(mut lost) => {
                lost.cause = flight.reason().or(lost.cause);
                Input::Lost(lost)
            }
            input => input,
        }
    }

    async fn place(&self, attempt: Attempt) -> Option<Place<'a>> {
        let want = Want { avoid: attempt.avoid, only: self.terms.only };
        loop {
            match self.shared.place(want) {
                Ok(place) => return Some(place),
                Err(NoPlace::Closed) => return None,
                Err(NoPlace::NotYet) => {}
            }
            let changed = self.shared.changed_for(want);
            // Look once more: it may have changed before the listener was there.
            match self.shared.place(want) {
                Ok(place) => return Some(place),
                Err(NoPlace::Closed) => return None,
                Err(NoPlace::NotYet) => self.shared.tell(channel::Input::Wanted),
            }
            changed.await;
        }
    }

    /// Finds a connection and hands the request over.
    async fn launch(&self, attempt: Attempt) -> Step<'a> {
        let Some(mut place) = self.place(attempt).await else { return Step::Input(Input::Closed) };
        let config = &self.shared.config;
        let is_open = !place.endpoint.is_confidential();
        if is_open && self.call.method().carries_secret() && !config.plaintext_passwords {
            let error = Error::new(ErrorKind::PlaintextPassword);
            let error = error.with_endpoint(Some(place.endpoint.text()));
            return Step::Input(Input::Refused(error));
        }
        let metadata = Metadata {
            require_leader: self.terms.require_leader,
            timeout: attempt.deadline.map(|at| at.saturating_since(self.shared.rt.now())),
        };
        let (scheme, authority) = (place.endpoint.scheme(), place.endpoint.authority());
        let head = request_head(scheme, authority, self.call.method(), metadata);
        match exchange::start(&mut place.requests, head, self.body.clone()).await {
            Ok(exchange) => Step::Launched(exchange, place),
            Err(lost) => {
                self.shared.tell(channel::Input::Retired(place.connection()));
                Step::Input(Input::Lost(lost))
            }
        }
    }
}

impl Flight<'_> {
    /// Drops the stream, and keeps the place.
    fn land(&mut self) {
        *self = match std::mem::replace(self, Self::Nothing) {
            Self::Flying { place, .. } | Self::Landed(place) => Self::Landed(place),
            Self::Nothing | Self::Launching(_) => Self::Nothing,
        };
    }

    /// Drops the stream if there is one, and gives the place back.
    fn leave(&mut self, impression: Impression) {
        self.land();
        if let Self::Landed(place) = std::mem::replace(self, Self::Nothing) {
            place.leave(impression);
        }
    }

    fn check(&self, header: &Header, is_linearizable: bool) -> Checked {
        match self {
            Self::Landed(place) => place.check(header, is_linearizable),
            Self::Nothing | Self::Launching(_) | Self::Flying { .. } => Checked::Fresh,
        }
    }

    fn reason(&self) -> Option<Cause> {
        match self {
            Self::Landed(place) => place.reason(),
            Self::Nothing | Self::Launching(_) | Self::Flying { .. } => None,
        }
    }
}

/// What came of waiting.
enum Step<'a> {
    Launched(Exchange, Place<'a>),
    Input(Input),
}

/// Waits for a future, or until a moment has come; then the answer is `None`.
async fn until<T>(
    alarm: &mut Alarm<'_>,
    at: Option<Instant>,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        let Some(at) = at else { return Poll::Pending };
        if alarm.shared.rt.now() >= at {
            return Poll::Ready(None);
        }
        alarm.set(at, cx.waker());
        Poll::Pending
    })
    .await
}

/// A registration with the timers of the client; the deadline of a call needs one for all of it.
struct Alarm<'a> {
    shared: &'a Shared,
    set: Option<Key>,
}

impl Alarm<'_> {
    fn set(&mut self, at: Instant, waker: &Waker) {
        let timers = &self.shared.timers;
        if let Some(key) = self.set.filter(|(set, _)| *set == at)
            && timers.update(key, waker)
        {
            return;
        }
        self.clear();
        let (key, is_earliest) = timers.register(at, waker);
        self.set = Some(key);
        if is_earliest {
            self.shared.kick();
        }
    }

    fn clear(&mut self) {
        if let Some(key) = self.set.take() {
            self.shared.timers.remove(key);
        }
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}
