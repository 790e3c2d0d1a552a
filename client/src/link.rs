//! What the task of a connection, the control task and the calls tell each other.

use etcd3_core::Instant;
use etcd3_core::channel::Broken;
use event_listener::{Event, EventListener};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// One connection, as those see it who do not drive it.
#[derive(Debug)]
pub(crate) struct Link {
    /// When the last byte came, in nanoseconds.
    heard: AtomicU64,
    ping: AtomicBool,
    /// The calls that it carries.
    calls: AtomicUsize,
    /// The fewest streams that the server took when a call found no place, and was not told since.
    crowded: AtomicUsize,
    end: OnceLock<Option<Broken>>,
    news: Event,
}

const NOBODY: usize = usize::MAX;

impl Default for Link {
    fn default() -> Self {
        Self {
            heard: AtomicU64::default(),
            ping: AtomicBool::default(),
            calls: AtomicUsize::default(),
            crowded: AtomicUsize::new(NOBODY),
            end: OnceLock::default(),
            news: Event::default(),
        }
    }
}

impl Link {
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    pub(crate) fn begin(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn finish(&self) {
        self.calls.fetch_sub(1, Ordering::Relaxed);
    }

    /// Notes that a call found no place among so many.
    pub(crate) fn turn_away(&self, places: usize) {
        self.crowded.fetch_min(places, Ordering::Relaxed);
    }

    /// Whether calls that found no place may find one among so many; said once.
    pub(crate) fn has_room_again(&self, places: usize) -> bool {
        let crowded = self.crowded.swap(NOBODY, Ordering::Relaxed);
        let has_room = crowded < places;
        if !has_room {
            self.crowded.fetch_min(crowded, Ordering::Relaxed);
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
        self.news.notify(usize::MAX);
    }

    pub(crate) fn take_ping(&self) -> bool {
        self.ping.swap(false, Ordering::Relaxed)
    }

    /// Asks for the end of the connection; the calls on it, if any, are lost for this reason.
    pub(crate) fn end(&self, reason: Option<Broken>) {
        // The first reason counts.
        let _ = self.end.set(reason);
        self.news.notify(usize::MAX);
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.end.get().is_some()
    }

    /// Why the connection was ended by this side, if there was something wrong with it.
    pub(crate) fn reason(&self) -> Option<&Broken> {
        self.end.get()?.as_ref()
    }

    /// Notified of a PING to send, and of the end.
    pub(crate) fn news(&self) -> EventListener {
        self.news.listen()
    }

    /// Completes when the connection is to end.
    pub(crate) async fn ended(&self) {
        loop {
            let news = self.news();
            if self.is_ended() {
                return;
            }
            news.await;
        }
    }
}
