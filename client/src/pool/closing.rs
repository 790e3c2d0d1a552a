//! The end of a pool: at once, or once what users have given up is cleaned up.
//!
//! ```text
//!   open ── begin_closing ──► closing ── close ──► over
//!     └──────────────── close ──────────────────────▲
//! ```
//!
//! From the first step on the client is closed for its users: their calls, watches and leases end.
//! Calls of cleanup are served until the second one, which comes with the end of the last task of
//! cleanup; the control task takes it when that takes too long, or no connection can be had.

use super::{Pool, State, notify_all};
use etcd3_core::{ErrorKind, Instant};
use event_listener::EventListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Why a client is closed, and what it does yet.
#[derive(Clone, Copy)]
pub(super) struct Closed {
    kind: ErrorKind,
    /// Until when calls of cleanup are served at most; `None` when they are not any more.
    cleanup_until: Option<Instant>,
}

impl Pool {
    /// Closes the client for its users, leases included, and serves calls of cleanup until
    /// [`close`](Self::close), or until this moment. The first kind counts.
    pub(crate) fn begin_closing(&self, kind: ErrorKind, until: Instant) {
        let (handles, leases) = {
            let mut state = self.lock();
            if state.closed.is_some() {
                return;
            }
            state.closed = Some(Closed { kind, cleanup_until: Some(until) });
            self.is_closing.store(true, Ordering::SeqCst);
            let handles = state.connections.values().map(|it| it.handle.clone());
            (handles.collect::<Vec<_>>(), state.leases.clone())
        };
        for handle in handles {
            // Calls are woken below; nothing else wakes streams as long as their connections live.
            handle.wake_streams();
        }
        self.closed_as(kind, leases);
    }

    /// Ends everything, leases included: tasks end by themselves, calls end in an error of this
    /// kind. The first kind counts.
    pub(crate) fn close(&self, kind: ErrorKind) {
        let (kind, connections, leases) = {
            let mut state = self.lock();
            let closed = state.closed.get_or_insert(Closed { kind, cleanup_until: None });
            closed.cleanup_until = None;
            let kind = closed.kind;
            self.is_closing.store(true, Ordering::SeqCst);
            (kind, std::mem::take(&mut state.connections), state.leases.clone())
        };
        for connection in connections.values() {
            connection.handle.shut();
            connection.handle.end(None);
        }
        self.closed_as(kind, leases);
    }

    /// Wakes all who are to see that they are not served any more, and closes the pool of leases.
    fn closed_as(&self, kind: ErrorKind, leases: Option<Arc<Self>>) {
        notify_all(&self.closing);
        if let Some(tokens) = &self.tokens {
            tokens.close();
        }
        self.notify_changed();
        // Calls that wait for their stream alone: that may be on its way to them or not.
        self.wakeups.wake_all();
        self.wakeups.notify(self.rt.now());
        if let Some(leases) = leases {
            leases.close(kind);
        }
    }

    /// Ends the cleanup, if there is one, where it is too late for it or hopeless; returns when to
    /// look again.
    pub(crate) fn poll_cleanup(&self, now: Instant) -> Option<Instant> {
        let until = self.cleanup_until()?;
        if now < until && self.channel(|channel| channel.connection_error().is_none()) {
            return Some(until);
        }
        self.close(ErrorKind::Closed);
        None
    }

    /// Returns until when calls of cleanup are served, if the client is closed for its users and
    /// not over.
    pub(crate) fn cleanup_until(&self) -> Option<Instant> {
        let may_be = self.is_closing.load(Ordering::SeqCst);
        if may_be { self.lock().closed?.cleanup_until } else { None }
    }

    /// Returns whether the client is closed for its users.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed_kind().is_some()
    }

    /// Returns why the client is closed for its users, if it is.
    pub(crate) fn closed_kind(&self) -> Option<ErrorKind> {
        self.refuses(false)
    }

    /// Returns why calls, or calls of cleanup, are not served any more, if so.
    pub(crate) fn refuses(&self, is_cleanup: bool) -> Option<ErrorKind> {
        self.lock().refuses(is_cleanup)
    }

    /// The same without the lock as long as the client is not closed; it may just have been.
    pub(crate) fn quickly_refuses(&self, is_cleanup: bool) -> Option<ErrorKind> {
        if self.is_closing.load(Ordering::Relaxed) { self.refuses(is_cleanup) } else { None }
    }

    /// Returns whether nothing is served any more.
    pub(crate) fn is_over(&self) -> bool {
        self.refuses(true).is_some()
    }

    /// Notified when the client is closed for its users, and again when it is over.
    pub(crate) fn closing(&self) -> EventListener {
        self.closing.listen()
    }

    /// Completes once the client is closed for its users.
    pub(crate) async fn closed(&self) {
        self.until_refused(false).await;
    }

    /// Completes once nothing is served any more.
    pub(crate) async fn over(&self) {
        self.until_refused(true).await;
    }

    async fn until_refused(&self, is_cleanup: bool) {
        while self.refuses(is_cleanup).is_none() {
            let closing = self.closing();
            if self.refuses(is_cleanup).is_none() {
                closing.await;
            }
        }
    }
}

impl State {
    pub(super) fn refuses(&self, is_cleanup: bool) -> Option<ErrorKind> {
        let is_served = |closed: &Closed| is_cleanup && closed.cleanup_until.is_some();
        self.closed.filter(|closed| !is_served(closed)).map(|closed| closed.kind)
    }
}
