//! The control task: carries out what the channel asks, and wakes calls at their deadlines.

use crate::dial::{self, Dialled, Http2};
use crate::exchange;
use crate::link::Link;
use crate::probe;
use crate::shared::Shared;
use etcd3_core::channel::{Broken, ConnectionId, EndpointId, Input, Output};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::error::{Cause, ConnectFailure};
use etcd3_core::{ErrorKind, Next};
use h2::{Ping, Reason};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

/// Runs until the client closes; closes it when it cannot go on.
pub(crate) async fn run(shared: Arc<Shared>) {
    let _end = Ending(&shared);
    let mut sleep = None;
    while !shared.is_closed() {
        shared.wakeups.disarm();
        let now = shared.rt.now();
        let until = loop {
            match shared.poll_channel(now) {
                Next::Do(output) => carry_out(&shared, output),
                Next::Wait(until) => break until,
            }
        };
        let until = shared.wakeups.fire(now, until);
        if sleep.as_ref().map(|(at, _)| *at) != until {
            sleep = until.map(|at| (at, shared.rt.sleep_until(at)));
        }
        poll_fn(|cx| {
            if let Some((_, end)) = &mut sleep
                && end.as_mut().poll(cx).is_ready()
            {
                sleep = None;
                return Poll::Ready(());
            }
            shared.wakeups.poll_notified(cx)
        })
        .await;
    }
}

/// Closes the client when the control task ends, also by a panic of the runtime: nobody would wake
/// its calls.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.close(ErrorKind::RuntimeEnded);
    }
}

fn carry_out(shared: &Arc<Shared>, output: Output) {
    match output {
        Output::Changed => shared.notify_changed(),
        Output::Dial(endpoint, connection) => {
            let link = shared.add_connection(connection);
            shared.spawn(connect(Arc::clone(shared), endpoint, connection, link));
        }
        Output::Probe(endpoint, connection) => {
            shared.spawn(probe::run(Arc::clone(shared), endpoint, connection));
        }
        Output::Ping(connection) => {
            if let Some(link) = shared.link(connection) {
                link.ping();
            }
        }
        Output::Migrate(connection) => {
            if let Some(link) = shared.link(connection) {
                link.migrate();
                shared.wakeups.wake_all();
            }
        }
        Output::Close(connection) => {
            if let Some(link) = shared.link(connection) {
                link.end(None);
            }
        }
        Output::Kill(connection, broken) => {
            tracing::info!(failure = %broken.failure, cause = ?broken.cause, "given up");
            if let Some(link) = shared.link(connection) {
                link.end(Some(broken));
            }
        }
    }
}

/// One connection, from dialling to its end.
async fn connect(
    shared: Arc<Shared>,
    endpoint: EndpointId,
    connection: ConnectionId,
    link: Arc<Link>,
) {
    let mut report = Report { shared: &shared, connection, link: &link, is_told: false };
    if let Some(place) = shared.endpoint(endpoint) {
        live(&shared, &place, connection, &link).await;
    }
    report.is_told = true;
}

/// Sees to it that the end of a connection is known, also when its task panicked.
struct Report<'a> {
    shared: &'a Shared,
    connection: ConnectionId,
    link: &'a Link,
    is_told: bool,
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        self.shared.remove_connection(self.connection);
        self.link.note_over();
        if self.is_told {
            return;
        }
        let cause = Some(Cause::new("the task of the connection panicked"));
        let broken = Broken { failure: ConnectFailure::ClosedByPeer, cause };
        self.shared.tell(Input::Ended(self.connection, broken));
    }
}

async fn live(shared: &Shared, place: &Endpoint, id: ConnectionId, link: &Link) {
    let mut dial = pin!(dial::dial(&*shared.rt, &shared.config, place));
    let mut known = None;
    let dialled = poll_fn(|cx| {
        if link.poll_ended(cx.waker(), &mut known) {
            return Poll::Ready(None);
        }
        dial.as_mut().poll(cx).map(Some)
    });
    match dialled.await {
        None => {}
        Some(Ok(dialled)) => {
            tracing::info!(endpoint = %place, "connected");
            let Some(broken) = serve(shared, (id, place), link, dialled).await else { return };
            tracing::info!(endpoint = %place, cause = ?broken.cause, "disconnected");
            shared.tell(Input::Ended(id, broken));
        }
        Some(Err(broken)) => {
            tracing::info!(endpoint = %place, failure = %broken.failure, "cannot connect");
            shared.tell(Input::Failed(id, broken));
        }
    }
}

/// Drives a connection until it ends, and says why it did; `None` if this side wanted it so.
async fn serve(
    shared: &Shared,
    (id, place): (ConnectionId, &Endpoint),
    link: &Link,
    dialled: Dialled,
) -> Option<Broken> {
    let Dialled { requests, mut connection, verdict } = dialled;
    // Tells when the server takes no more streams.
    let mut state = Some(requests.clone());
    // Made with the first one: most connections need none.
    let mut pings = None;
    let most = shared.config.calls_per_connection();
    let places = |http2: &Http2| http2.max_concurrent_send_streams().min(most);
    link.open(place, requests, places(&connection.http2));
    shared.tell(Input::Connected(id));
    // At once: the first calls leave with the answer to the server's greeting.
    shared.notify_changed();
    let mut is_new = true;
    link.hear(shared.rt.now());
    let mut reads = verdict.reads();
    let (mut has_yielded, mut is_pinged, mut known) = (false, false, None);
    let result = poll_fn(|cx| {
        if link.poll_ended(cx.waker(), &mut known) {
            return Poll::Ready(None);
        }
        // The calls that can go on do so first: then what they send leaves together.
        let is_busy = std::mem::take(&mut is_new) || link.calls() > 1;
        if is_busy && !std::mem::replace(&mut has_yielded, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        has_yielded = false;
        let must_ping = link.take_ping();
        if must_ping && pings.is_none() {
            pings = connection.http2.ping_pong();
        }
        if let Some(pings) = &mut pings {
            // The answer is a sign of life like any other byte.
            is_pinged = is_pinged && pings.poll_pong(cx).is_pending();
            is_pinged |= must_ping && pings.send_ping(Ping::opaque()).is_ok();
        }
        let asked = link.asked();
        let ended = Pin::new(&mut connection).poll(cx);
        link.note_read(asked);
        if std::mem::replace(&mut reads, verdict.reads()) != verdict.reads() {
            let now = shared.rt.now();
            link.hear(now);
            if is_pinged {
                // Calls may wait for a sign of life.
                shared.wakeups.notify(now);
            }
            // The next connection is made while this one does what is left, if there is anything.
            if let Some(Poll::Ready(Err(error))) = state.as_mut().map(|it| it.poll_ready(cx))
                && error.is_go_away()
            {
                state = None;
                link.shut();
                shared.tell(Input::Retired(id, exchange::goodbye(&error)));
            }
            // Not what this poll changed: a call may have looked in the midst of it.
            if link.set_places(places(&connection.http2)) {
                shared.notify_changed();
            }
        }
        ended.map(Some)
    })
    .await?;
    shared.remove_connection(id);
    let cause = match result {
        Ok(()) => Cause::new(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the server closed the connection",
        )),
        Err(error) => {
            let is_calm = error.reason() == Some(Reason::ENHANCE_YOUR_CALM);
            if error.is_go_away() && error.is_remote() && is_calm {
                shared.tell(Input::TooManyPings);
            }
            Cause::new(error)
        }
    };
    Some(Broken { failure: ConnectFailure::Lost, cause: Some(cause) })
}
