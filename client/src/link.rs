//! What the task of a connection, the control task and the calls tell each other.

use crate::exchange::{self, Exchange};
use atomic_waker::AtomicWaker;
use bytes::Bytes;
use etcd3_core::Instant;
use etcd3_core::call::Lost;
use etcd3_core::channel::{Broken, Goodbye};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::metadata::{Heads, Metadata};
use etcd3_core::method::Method;
use event_listener::{Event, EventListener};
use h2::client::SendRequest;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

/// One connection, as those see it who do not drive it.
#[derive(Debug)]
pub(crate) struct Link {
    /// `None` until it is made, and when it takes no more.
    outlet: Mutex<Option<Outlet>>,
    /// The calls that it carries, and how many the server takes.
    calls: AtomicUsize,
    places: AtomicUsize,
    /// The fewest places that there were when a call found none, and was not told since.
    crowded: AtomicUsize,
    /// When the last byte came, in nanoseconds.
    heard: AtomicU64,
    ping: AtomicBool,
    /// How often calls asked the task of the connection to read, and up to which of these it has.
    asked: AtomicU64,
    read: AtomicU64,
    has_read: Event,
    /// How often the calls on it were told to go elsewhere if they may.
    migrations: AtomicU64,
    end: OnceLock<Option<Broken>>,
    /// The task of the connection, and whether it was called.
    task: AtomicWaker,
    is_called: AtomicBool,
}

/// Where requests go.
#[derive(Debug)]
struct Outlet {
    requests: SendRequest<Bytes>,
    heads: Heads,
}

const NOBODY: usize = usize::MAX;

impl Default for Link {
    fn default() -> Self {
        Self {
            outlet: Mutex::default(),
            calls: AtomicUsize::default(),
            places: AtomicUsize::default(),
            crowded: AtomicUsize::new(NOBODY),
            heard: AtomicU64::default(),
            ping: AtomicBool::default(),
            asked: AtomicU64::default(),
            read: AtomicU64::default(),
            has_read: Event::new(),
            migrations: AtomicU64::default(),
            end: OnceLock::default(),
            task: AtomicWaker::new(),
            is_called: AtomicBool::default(),
        }
    }
}

impl Link {
    /// Opens the connection for calls, before the channel hears of it.
    pub(crate) fn open(&self, endpoint: &Endpoint, requests: SendRequest<Bytes>, places: usize) {
        self.places.store(places, Ordering::Relaxed);
        let heads = Heads::new(endpoint.scheme(), endpoint.authority());
        *self.outlet() = Some(Outlet { requests, heads });
    }

    /// Takes no more calls. Those under way go on.
    pub(crate) fn shut(&self) {
        let _gone = self.outlet().take();
    }

    /// Hands a request over.
    pub(crate) fn start(
        &self,
        method: &'static Method,
        metadata: Metadata,
        body: Bytes,
    ) -> Result<Exchange, (Lost, Goodbye)> {
        let mut outlet = self.outlet();
        let Outlet { requests, heads } = outlet.as_mut().ok_or_else(exchange::shut)?;
        exchange::start(requests, || heads.head(method, metadata), body)
    }

    fn outlet(&self) -> MutexGuard<'_, Option<Outlet>> {
        self.outlet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Says whether it carries no other call.
    pub(crate) fn begin(&self) -> bool {
        self.calls.fetch_add(1, Ordering::SeqCst) == 0
    }

    /// Says whether a call may wait for its place.
    pub(crate) fn finish(&self) -> bool {
        self.calls.fetch_sub(1, Ordering::SeqCst);
        self.crowded.load(Ordering::SeqCst) != NOBODY
    }

    /// Whether there is a place for one more call; remembers that there was none.
    pub(crate) fn has_place(&self) -> bool {
        let places = self.places.load(Ordering::SeqCst);
        let has_place = self.calls() < places;
        if !has_place {
            self.crowded.fetch_min(places, Ordering::SeqCst);
        }
        has_place
    }

    /// Notes how many calls the server takes; says whether those that found no place may find one
    /// now, once.
    pub(crate) fn set_places(&self, places: usize) -> bool {
        self.places.store(places, Ordering::SeqCst);
        if self.crowded.load(Ordering::SeqCst) >= places {
            return false;
        }
        let crowded = self.crowded.swap(NOBODY, Ordering::SeqCst);
        let has_room = crowded < places;
        if !has_room {
            self.crowded.fetch_min(crowded, Ordering::SeqCst);
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
    pub(crate) fn ask_to_read(&self) -> u64 {
        let ticket = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        self.call();
        ticket
    }

    /// How often the task of the connection was asked to read; what it reads after that counts.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    /// Notes that everything was read that had arrived when it was asked for so many times.
    pub(crate) fn note_read(&self, asked: u64) {
        if self.read.load(Ordering::Relaxed) < asked {
            self.read.store(asked, Ordering::SeqCst);
            self.has_read.notify(usize::MAX);
        }
    }

    /// Whether everything was read that had arrived when it was asked for.
    pub(crate) fn has_read(&self, ticket: u64) -> bool {
        self.read.load(Ordering::SeqCst) >= ticket
    }

    /// Nothing more will be read: the connection is over.
    pub(crate) fn note_over(&self) {
        self.note_read(u64::MAX);
    }

    /// Notified when something that was asked for was read.
    pub(crate) fn read_listener(&self) -> EventListener {
        self.has_read.listen()
    }

    /// Tells the calls on it to go elsewhere if they may; they have to be woken for that.
    pub(crate) fn migrate(&self) {
        self.migrations.fetch_add(1, Ordering::Relaxed);
    }

    /// How often its calls were told to go elsewhere.
    pub(crate) fn migrations(&self) -> u64 {
        self.migrations.load(Ordering::Relaxed)
    }

    /// Asks for the end of the connection; the calls on it, if any, are lost for this reason.
    pub(crate) fn end(&self, reason: Option<Broken>) {
        // The first reason counts.
        let _ = self.end.set(reason);
        self.call();
    }

    /// Looks whether the connection is to end; the task is woken when that changes, or a PING is
    /// asked for. `known` is the waker that was there before, for the next look.
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

    /// Why the connection was ended by this side, if there was something wrong with it.
    pub(crate) fn reason(&self) -> Option<&Broken> {
        self.end.get()?.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 9113, 5.1.2: a server may take fewer streams than before, none, and more again.
    #[test]
    fn calls_that_found_no_place_are_told_once_that_there_is_one() {
        let link = Link::default();
        assert!(!link.set_places(1), "nobody waits");
        assert!(link.has_place() && link.begin() && !link.finish(), "nobody waits");
        assert!(link.has_place() && link.begin() && !link.has_place());
        assert!(link.finish(), "somebody may wait for that place");
        assert!(!link.set_places(0) && !link.has_place());
        assert!(!link.set_places(0), "no more than before");
        assert!(link.set_places(2) && link.has_place());
        assert!(!link.set_places(2), "told once");
    }
}
