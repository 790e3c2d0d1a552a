//! What the task of a connection, the control task and the attempts tell each other.

use super::facts::Facts;
use super::notify_all;
use crate::transport::exchange::{self, Exchange, Sender};
use atomic_waker::AtomicWaker;
use bytes::Bytes;
use etcd3_core::Instant;
use etcd3_core::channel::{AttemptKind, ConnectionError, Migration, Retirement};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::metadata::{Heads, Metadata};
use etcd3_core::method::Method;
use etcd3_core::transport::Lost;
use event_listener::{Event, EventListener};
use h2::client::SendRequest;
use http::header::HeaderName;
use http::{HeaderValue, Request};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

/// One connection, for everybody but the task that drives it.
#[derive(Debug)]
pub(crate) struct ConnectionHandle {
    /// `None` until it is made, and when it takes no more requests.
    sender: Mutex<Option<RequestSender>>,
    /// The calls and the streams that it carries, and how many of both the server takes.
    calls: AtomicUsize,
    streams: AtomicUsize,
    permits: AtomicUsize,
    /// The fewest permits that there were when an attempt found none, and was not notified since.
    awaited_from: AtomicUsize,
    /// When the last byte came, in nanoseconds.
    heard: AtomicU64,
    ping: AtomicBool,
    /// How often the task of the connection was requested to read, and up to which of these it has.
    requested: AtomicU64,
    read: AtomicU64,
    has_read: Event,
    /// How often the calls, and the streams, were told to go elsewhere if they may.
    call_migrations: AtomicU64,
    stream_migrations: AtomicU64,
    migrating: Event,
    end: OnceLock<Option<ConnectionError>>,
    /// What is known of the server.
    pub(crate) facts: Facts,
    /// The task of the connection, and whether it was called.
    task: AtomicWaker,
    is_called: AtomicBool,
}

/// The sender of requests.
#[derive(Debug)]
struct RequestSender {
    requests: SendRequest<Bytes>,
    heads: Heads,
}

/// Adds the trace that a request belongs to, if any.
fn traced(mut head: Request<()>, traceparent: Option<&HeaderValue>) -> Request<()> {
    if let Some(traceparent) = traceparent {
        head.headers_mut().insert(TRACEPARENT, traceparent.clone());
    }
    head
}

// W3C Trace Context
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

const NOT_AWAITED: usize = usize::MAX;

impl Default for ConnectionHandle {
    fn default() -> Self {
        Self {
            sender: Mutex::default(),
            calls: AtomicUsize::default(),
            streams: AtomicUsize::default(),
            permits: AtomicUsize::default(),
            awaited_from: AtomicUsize::new(NOT_AWAITED),
            heard: AtomicU64::default(),
            ping: AtomicBool::default(),
            requested: AtomicU64::default(),
            read: AtomicU64::default(),
            has_read: Event::new(),
            call_migrations: AtomicU64::default(),
            stream_migrations: AtomicU64::default(),
            migrating: Event::new(),
            end: OnceLock::default(),
            facts: Facts::default(),
            task: AtomicWaker::new(),
            is_called: AtomicBool::default(),
        }
    }
}

impl ConnectionHandle {
    /// Opens the connection for calls, before the channel hears of it.
    pub(crate) fn open(&self, endpoint: &Endpoint, requests: SendRequest<Bytes>, permits: usize) {
        self.permits.store(permits, Ordering::Relaxed);
        let heads = Heads::new(endpoint.scheme(), endpoint.authority());
        *self.sender() = Some(RequestSender { requests, heads });
    }

    /// Takes no more calls. Those under way go on.
    pub(crate) fn shut(&self) {
        let _gone = self.sender().take();
    }

    /// Hands a whole request over.
    pub(crate) fn start(
        &self,
        method: &'static Method,
        metadata: &Metadata,
        traceparent: Option<&HeaderValue>,
        body: Bytes,
    ) -> Result<Exchange, (Lost, Retirement)> {
        let mut sender = self.sender();
        let RequestSender { requests, heads } = sender.as_mut().ok_or_else(exchange::shut)?;
        exchange::start(requests, || traced(heads.head(method, metadata), traceparent), body)
    }

    /// Opens a stream whose messages follow.
    pub(crate) fn open_stream(
        &self,
        method: &'static Method,
        metadata: &Metadata,
        traceparent: Option<&HeaderValue>,
    ) -> Result<(Exchange, Sender), (Lost, Retirement)> {
        let mut sender = self.sender();
        let RequestSender { requests, heads } = sender.as_mut().ok_or_else(exchange::shut)?;
        exchange::open(requests, || traced(heads.head(method, metadata), traceparent))
    }

    fn sender(&self) -> MutexGuard<'_, Option<RequestSender>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many calls it carries, not counting streams that stay open.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(super) fn begin(&self, kind: AttemptKind) {
        self.count(kind).fetch_add(1, Ordering::SeqCst);
    }

    /// Returns whether an attempt may wait for the permit.
    pub(super) fn finish(&self, kind: AttemptKind) -> bool {
        self.count(kind).fetch_sub(1, Ordering::SeqCst);
        self.awaited_from.load(Ordering::SeqCst) != NOT_AWAITED
    }

    const fn count(&self, kind: AttemptKind) -> &AtomicUsize {
        match kind {
            AttemptKind::Call => &self.calls,
            AttemptKind::Stream => &self.streams,
        }
    }

    /// Returns whether there is a permit for one more attempt; remembers that there was none.
    pub(super) fn has_permit(&self) -> bool {
        let permits = self.permits.load(Ordering::SeqCst);
        let has_permit = self.calls() + self.streams.load(Ordering::SeqCst) < permits;
        if !has_permit {
            self.awaited_from.fetch_min(permits, Ordering::SeqCst);
        }
        has_permit
    }

    /// Notes how many streams the server takes; returns whether attempts that found no permit may
    /// find one now, once.
    pub(crate) fn set_permits(&self, permits: usize) -> bool {
        self.permits.store(permits, Ordering::SeqCst);
        if self.awaited_from.load(Ordering::SeqCst) >= permits {
            return false;
        }
        let awaited_from = self.awaited_from.swap(NOT_AWAITED, Ordering::SeqCst);
        let has_room = awaited_from < permits;
        if !has_room {
            self.awaited_from.fetch_min(awaited_from, Ordering::SeqCst);
        }
        has_room
    }

    pub(crate) fn hear(&self, now: Instant) {
        self.heard.store(now.as_nanos(), Ordering::Relaxed);
    }

    pub(crate) fn heard(&self) -> Instant {
        Instant::from_nanos(self.heard.load(Ordering::Relaxed))
    }

    /// Asks for a PING.
    pub(crate) fn ping(&self) {
        self.ping.store(true, Ordering::Relaxed);
        self.call();
    }

    fn call(&self) {
        self.is_called.store(true, Ordering::SeqCst);
        self.task.wake();
    }

    pub(crate) fn take_ping(&self) -> bool {
        self.ping.load(Ordering::Relaxed) && self.ping.swap(false, Ordering::Relaxed)
    }

    /// Asks the task of the connection to read what has arrived.
    pub(crate) fn request_read(&self) -> u64 {
        let ticket = self.requested.fetch_add(1, Ordering::SeqCst) + 1;
        self.call();
        ticket
    }

    /// Returns how often the task of the connection was requested to read; what it reads after that
    /// counts.
    pub(crate) fn requested(&self) -> u64 {
        self.requested.load(Ordering::SeqCst)
    }

    /// Notes that everything was read that had arrived when it was requested that many times.
    pub(crate) fn note_read(&self, requested: u64) {
        if self.read.load(Ordering::Relaxed) < requested {
            self.read.store(requested, Ordering::SeqCst);
            self.has_read.notify(usize::MAX);
        }
    }

    /// Returns whether everything was read that had arrived when it was requested for.
    pub(crate) fn has_read(&self, ticket: u64) -> bool {
        self.read.load(Ordering::SeqCst) >= ticket
    }

    /// Nothing more will be read: the connection is over.
    pub(crate) fn note_over(&self) {
        self.note_read(u64::MAX);
    }

    /// Notified when something that was requested for was read.
    pub(crate) fn read_listener(&self) -> EventListener {
        self.has_read.listen()
    }

    /// Tells what is on it to go elsewhere if it may. Streams are woken by this; calls are to be.
    pub(crate) fn migrate(&self, scope: Migration) {
        if scope == Migration::All {
            self.call_migrations.fetch_add(1, Ordering::Relaxed);
        }
        self.stream_migrations.fetch_add(1, Ordering::Relaxed);
        notify_all(&self.migrating);
    }

    /// Wakes the streams on it, to look at what has become of the client.
    pub(super) fn wake_streams(&self) {
        notify_all(&self.migrating);
    }

    /// Returns how often attempts of this kind were told to go elsewhere.
    pub(super) fn migrations(&self, kind: AttemptKind) -> u64 {
        let count = match kind {
            AttemptKind::Call => &self.call_migrations,
            AttemptKind::Stream => &self.stream_migrations,
        };
        count.load(Ordering::Relaxed)
    }

    /// Notified when streams are told to go elsewhere.
    pub(crate) fn migration_listener(&self) -> EventListener {
        self.migrating.listen()
    }

    /// Asks for the end of the connection; the calls on it, if any, are lost for this reason.
    pub(crate) fn end(&self, reason: Option<ConnectionError>) {
        // The first reason counts.
        let _ = self.end.set(reason);
        self.call();
    }

    /// Looks whether the connection is to end; the task is woken when that changes, or a PING is
    /// requested for. `known` is the waker that was there before, for the next look.
    pub(crate) fn poll_ended(&self, waker: &Waker, known: &mut Option<Waker>) -> bool {
        // A call takes the waker out.
        let is_called = self.is_called.load(Ordering::SeqCst);
        if is_called || !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.is_called.store(false, Ordering::SeqCst);
            self.task.register(waker);
            known.get_or_insert_with(|| waker.clone()).clone_from(waker);
        }
        self.end.get().is_some()
    }

    /// Returns why the connection was ended by this side, if there was something wrong with it.
    pub(crate) fn reason(&self) -> Option<&ConnectionError> {
        self.end.get()?.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 9113, 5.1.2: a server may take fewer streams than before, none, and more again.
    #[test]
    fn attempts_that_found_no_permit_are_told_once_that_there_is_one() {
        let handle = ConnectionHandle::default();
        assert!(!handle.set_permits(1) && handle.has_permit());
        handle.begin(AttemptKind::Call);
        assert!(!handle.finish(AttemptKind::Call), "nobody waits");
        for kind in [AttemptKind::Call, AttemptKind::Stream] {
            handle.begin(kind);
            assert!(!handle.has_permit());
            assert!(handle.finish(kind), "somebody may wait for that permit");
        }
        assert!(!handle.set_permits(0) && !handle.has_permit());
        assert!(!handle.set_permits(0), "no more than before");
        assert!(handle.set_permits(2) && handle.has_permit());
        assert!(!handle.set_permits(2), "told once");
    }
}
