//! The task of one connection: dials it, drives HTTP/2 until its end, and tells the pool.

use crate::metrics::ConnectionCounters;
use crate::pool::{ConnectionHandle, Pool};
use crate::shared::Shared;
use crate::trace;
use crate::transport::dial::{self, Dialled, Http2};
use crate::transport::exchange;
use etcd3_core::channel::{ConnectionError, ConnectionId, EndpointId, Input};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::error::{Cause, ConnectFailure};
use h2::{Ping, Reason};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

/// One connection, from dialling to its end.
pub(crate) async fn run(
    shared: Arc<Shared>,
    endpoint: EndpointId,
    id: ConnectionId,
    handle: Arc<ConnectionHandle>,
) {
    let mut end = EndGuard { pool: &shared.pool, id, handle: &handle, is_told: false };
    if let Some(endpoint) = shared.pool.channel(|channel| channel.endpoint(endpoint).cloned()) {
        let task = ConnectionTask { shared: &shared, endpoint: &endpoint, id, handle: &handle };
        task.run().await;
    }
    end.is_told = true;
}

/// Sees to it that the end of a connection is known, also when its task panicked.
struct EndGuard<'a> {
    pool: &'a Pool,
    id: ConnectionId,
    handle: &'a ConnectionHandle,
    is_told: bool,
}

impl Drop for EndGuard<'_> {
    fn drop(&mut self) {
        self.pool.remove_connection(self.id);
        self.handle.note_over();
        if self.is_told {
            return;
        }
        let cause = Some(Cause::new("the task of the connection panicked"));
        let error = ConnectionError { failure: ConnectFailure::ClosedByPeer, cause };
        self.pool.feed(Input::Ended(self.id, error));
    }
}

/// A connection that is counted as open, however its task ends.
struct Open<'a>(&'a ConnectionCounters);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.ended.add(1);
    }
}

struct ConnectionTask<'a> {
    shared: &'a Shared,
    endpoint: &'a Endpoint,
    id: ConnectionId,
    handle: &'a ConnectionHandle,
}

impl ConnectionTask<'_> {
    async fn run(&self) {
        let Self { shared, endpoint, id, handle } = self;
        let pool = &shared.pool;
        let counters = &pool.telemetry.counters.connections;
        counters.dialed.add(1);
        let mut dial = pin!(dial::dial(&*pool.rt, &shared.config, endpoint));
        let mut known = None;
        let dialled = poll_fn(|cx| {
            if handle.poll_ended(cx.waker(), &mut known) {
                return Poll::Ready(None);
            }
            dial.as_mut().poll(cx).map(Some)
        });
        match dialled.await {
            None => {}
            Some(Ok(dialled)) => {
                trace::connected(endpoint);
                counters.made.add(1);
                let _open = Open(counters);
                let Some(error) = self.serve(dialled).await else {
                    if let Some(error) = handle.reason() {
                        trace::disconnected(endpoint, error);
                    }
                    return;
                };
                trace::disconnected(endpoint, &error);
                pool.feed(Input::Ended(*id, error));
            }
            Some(Err(error)) => {
                counters.failed.add(1);
                trace::cannot_connect(endpoint, &error, self.failed_so_before(&error));
                pool.feed(Input::Failed(*id, error));
            }
        }
    }

    /// Returns whether the endpoint failed in the same way the last time.
    fn failed_so_before(&self, error: &ConnectionError) -> bool {
        let health = self.shared.pool.channel(|channel| channel.health());
        let known = health.iter().find(|it| it.endpoint.is_same(self.endpoint));
        let last = known.and_then(|it| it.last.as_ref());
        last.is_some_and(|last| last.failure == error.failure)
    }

    /// Drives a connection until it ends, and says why it did; `None` if this side wanted it so.
    async fn serve(&self, dialled: Dialled) -> Option<ConnectionError> {
        let Self { shared, endpoint, id, handle } = *self;
        let pool = &shared.pool;
        let Dialled { requests, mut connection, peer } = dialled;
        // Tells when the server takes no more streams.
        let mut state = Some(requests.clone());
        // Made with the first one: most connections need none.
        let mut pings = None;
        let most = shared.config.calls_per_connection();
        let permits = |http2: &Http2| http2.max_concurrent_send_streams().min(most);
        handle.open(endpoint, requests, permits(&connection.http2));
        pool.feed(Input::Connected(id));
        // At once: the first calls leave with the answer to the server's preface.
        pool.notify_changed();
        let mut is_new = true;
        handle.hear(pool.rt.now());
        let mut reads = peer.reads();
        let (mut has_yielded, mut is_pinged, mut known) = (false, false, None);
        let result = poll_fn(|cx| {
            if handle.poll_ended(cx.waker(), &mut known) {
                return Poll::Ready(None);
            }
            // The calls that can go on do so first: then what they send leaves together. Streams
            // that stay open do not count: one would make every call yield.
            let is_busy = std::mem::take(&mut is_new) || handle.calls() > 1;
            if is_busy && !std::mem::replace(&mut has_yielded, true) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            has_yielded = false;
            let must_ping = handle.take_ping();
            if must_ping && pings.is_none() {
                pings = connection.http2.ping_pong();
            }
            if let Some(pings) = &mut pings {
                // The answer is a sign of life like any other byte.
                is_pinged = is_pinged && pings.poll_pong(cx).is_pending();
                is_pinged |= must_ping && pings.send_ping(Ping::opaque()).is_ok();
            }
            let requested = handle.requested();
            let ended = Pin::new(&mut connection).poll(cx);
            handle.note_read(requested);
            if std::mem::replace(&mut reads, peer.reads()) != peer.reads() {
                let now = pool.rt.now();
                handle.hear(now);
                if is_pinged {
                    // Calls may wait for a sign of life.
                    pool.wakeups.notify(now);
                }
                // The next connection is made while this one does what is left, if anything is.
                if let Some(Poll::Ready(Err(error))) = state.as_mut().map(|it| it.poll_ready(cx))
                    && error.is_go_away()
                {
                    state = None;
                    handle.shut();
                    pool.feed(Input::Retired(id, exchange::retirement(&error)));
                }
                // Not what this poll changed: a call may have looked in the midst of it.
                if handle.set_permits(permits(&connection.http2)) {
                    pool.notify_changed();
                }
            }
            ended.map(Some)
        })
        .await?;
        pool.remove_connection(id);
        let cause = match result {
            Ok(()) => Cause::new(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed the connection",
            )),
            Err(error) => {
                let is_calm = error.reason() == Some(Reason::ENHANCE_YOUR_CALM);
                if error.is_go_away() && error.is_remote() && is_calm {
                    pool.feed(Input::TooManyPings);
                }
                Cause::new(error)
            }
        };
        Some(ConnectionError { failure: ConnectFailure::Lost, cause: Some(cause) })
    }
}
