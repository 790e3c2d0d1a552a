//! Drives one call in the future of its caller: no task, no channel, no timer of its own.

use crate::exchange::{self, Exchange};
use crate::shared::{NoRoute, Route, Shared};
use crate::timers::Key;
use bytes::Bytes;
use etcd3_core::Error;
use etcd3_core::call::{Attempt, Call, Input, Options, Output, Reply};
use etcd3_core::channel;
use etcd3_core::metadata::{Metadata, request_head};
use etcd3_core::{Instant, Machine, Next};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Poll, Waker};

/// Drives one call in the future of its caller.
pub(crate) struct Driver<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) call: &'a mut Call,
    pub(crate) body: Bytes,
    pub(crate) options: Options,
}

/// What the call waits for.
enum Flight<'a> {
    Nothing,
    Launching(Attempt),
    /// The stream is dropped before the place that it takes.
    Flying {
        exchange: Exchange,
        _place: Route<'a>,
    },
}

impl<'a> Driver<'a> {
    pub(crate) async fn run(self) -> Result<Reply, Error> {
        let rt = &*self.shared.rt;
        let mut flight = Flight::Nothing;
        let mut alarm = Alarm { shared: self.shared, set: None };
        loop {
            match self.call.poll(rt.now()) {
                Next::Do(Output::Attempt(attempt)) => flight = Flight::Launching(attempt),
                Next::Do(Output::Done(result)) => return result,
                Next::Wait(deadline) => {
                    let step = self.step(&mut flight);
                    let Some(step) = until(&mut alarm, deadline, step).await else { continue };
                    let input = self.take(step, &mut flight);
                    self.call.handle(rt.now(), input);
                }
            }
        }
    }

    /// Waits for what the call waits for.
    async fn step(&self, flight: &mut Flight<'a>) -> Step<'a> {
        match flight {
            Flight::Nothing => {
                self.shared.closed().await;
                Step::Input(Input::Closed)
            }
            Flight::Launching(attempt) => self.launch(*attempt).await,
            Flight::Flying { exchange, .. } => Step::Input(exchange.next().await),
        }
    }

    /// Turns what came into an input; the stream is dropped before the machine hears of its end.
    fn take(&self, step: Step<'a>, flight: &mut Flight<'a>) -> Input {
        match step {
            Step::Launched(exchange, route) => {
                let endpoint = route.endpoint;
                *flight = Flight::Flying { exchange, _place: route };
                Input::Sent(endpoint)
            }
            Step::Input(input @ (Input::Lost(_) | Input::End(_) | Input::Closed)) => {
                *flight = Flight::Nothing;
                let lost = matches!(input, Input::Lost(_));
                if lost && self.shared.is_closed() { Input::Closed } else { input }
            }
            Step::Input(input) => input,
        }
    }

    async fn route(&self, attempt: Attempt) -> Option<Route<'a>> {
        loop {
            match self.shared.route(attempt.avoid) {
                Ok(route) => return Some(route),
                Err(NoRoute::Closed) => return None,
                Err(NoRoute::NotYet) => {}
            }
            let changed = self.shared.changed();
            // Look once more: it may have changed before the listener was there.
            match self.shared.route(attempt.avoid) {
                Ok(route) => return Some(route),
                Err(NoRoute::Closed) => return None,
                Err(NoRoute::NotYet) => self.shared.tell(channel::Input::Wanted),
            }
            changed.await;
        }
    }

    /// Finds a connection and hands the request over.
    async fn launch(&self, attempt: Attempt) -> Step<'a> {
        let Some(mut route) = self.route(attempt).await else { return Step::Input(Input::Closed) };
        let Some(endpoint) = self.shared.endpoint(route.endpoint) else {
            return Step::Input(Input::Closed);
        };
        let metadata = Metadata {
            require_leader: self.options.require_leader,
            timeout: attempt.deadline.map(|at| at.saturating_since(self.shared.rt.now())),
        };
        let (scheme, authority) = (endpoint.scheme(), endpoint.authority());
        let head = request_head(scheme, authority, self.call.method(), metadata);
        match exchange::start(&mut route.requests, head, self.body.clone()).await {
            Ok(exchange) => Step::Launched(exchange, route),
            Err(lost) => {
                self.shared.tell(channel::Input::Retired(route.connection));
                Step::Input(Input::Lost(lost))
            }
        }
    }
}

/// What came of waiting.
enum Step<'a> {
    Launched(Exchange, Route<'a>),
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
