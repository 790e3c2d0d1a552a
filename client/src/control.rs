//! The control task: carries out what the channel asks, and wakes calls at their deadlines.

use crate::dial::{self, Dialled};
use crate::link::Link;
use crate::probe;
use crate::shared::Shared;
use etcd3_core::Next;
use etcd3_core::channel::{Broken, ConnectionId, EndpointId, Input, Output};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::error::{Cause, ConnectFailure};
use h2::{Ping, Reason};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

/// Runs until the client closes.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut sleep = None;
    while !shared.is_closed() {
        shared.timers.disarm();
        let now = shared.rt.now();
        let until = loop {
            match shared.poll_channel(now) {
                Next::Do(output) => carry_out(&shared, output),
                Next::Wait(until) => break until,
            }
        };
        let until = shared.timers.fire(now, until);
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
            shared.poll_kicked(cx)
        })
        .await;
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
    if let Some(place) = shared.endpoint(endpoint) {
        live(&shared, &place, connection, &link).await;
    }
    shared.remove_connection(connection);
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
    // Made with the first one: most connections need none.
    let mut pings = None;
    link.open(place, requests, connection.http2.max_concurrent_send_streams());
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
        let ended = Pin::new(&mut connection).poll(cx);
        if std::mem::replace(&mut reads, verdict.reads()) != verdict.reads() {
            link.hear(shared.rt.now());
            // Not what this poll changed: a call may have looked in the midst of it.
            if link.set_places(connection.http2.max_concurrent_send_streams()) {
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
