//! The part of a call that outlives its polls: its waker, and the stream that is open.
//!
//! A future that is neither polled nor dropped keeps what it holds. A call holds an HTTP/2 stream,
//! and with it a part of the window of its connection, so it shares the stream with the control
//! task, which takes it away from a call that is overdue and not polled.

use crate::pool::{Permit, Sleeper, WakeupKey};
use crate::transport::exchange::{Exchange, Sender};
use etcd3_core::Instant;
use etcd3_core::transport::Event;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A stream that is open, and its permit. Dropped in this order: the stream is reset before its
/// permit goes to another attempt.
pub(crate) struct Open {
    pub(crate) exchange: Exchange,
    /// The sending half, of a request whose messages follow.
    pub(crate) sender: Option<Box<Sender>>,
    pub(crate) permit: Permit,
}

/// A machine that reads a response.
pub(crate) trait Receiver {
    /// Returns whether it reads the response.
    fn is_receiving(&self) -> bool;

    /// Returns whether only the end of the response is waited for.
    fn is_whole(&self) -> bool;

    /// Returns whether it may go on elsewhere.
    fn may_migrate(&self) -> bool;

    fn receive(&mut self, now: Instant, event: Event);

    fn migrate(&mut self, now: Instant);
}

/// What a call and the control task share.
#[derive(Default)]
pub(crate) struct OpenStream(Mutex<State>);

#[derive(Default)]
struct State {
    /// `None` after it was woken, until it is polled.
    waker: Option<Waker>,
    /// The moment that the call waits for, as long as that has not come.
    alarm: Option<WakeupKey>,
    open: Option<Open>,
}

impl fmt::Debug for OpenStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenStream").finish_non_exhaustive()
    }
}

impl OpenStream {
    /// Makes the call wait for the moment of a registration that is about to be made.
    pub(crate) fn await_alarm(&self, key: WakeupKey, waker: &Waker) {
        let mut state = self.lock();
        state.alarm = Some(key);
        let old = state.set_waker(waker);
        drop(state);
        // It may take a task with it, which may come back here.
        drop(old);
    }

    /// Has this waker woken at the moment of a registration; returns false if that has come.
    pub(crate) fn update_waker(&self, key: WakeupKey, waker: &Waker) -> bool {
        let mut state = self.lock();
        if state.alarm != Some(key) {
            return false;
        }
        let old = state.set_waker(waker);
        drop(state);
        drop(old);
        true
    }

    /// Waits for nothing until the next poll, as if it had just been polled: the stream is not
    /// taken away.
    pub(crate) fn rest(&self) {
        let mut state = self.lock();
        state.alarm = None;
        let old = state.waker.replace(Waker::noop().clone());
        drop(state);
        drop(old);
    }

    #[cfg(test)]
    pub(crate) fn is_resting(&self) -> bool {
        let state = self.lock();
        state.alarm.is_none() && state.waker.is_some()
    }

    /// Shares a stream that has just been opened.
    pub(crate) fn open(&self, open: Open) {
        let before = self.lock().open.replace(open);
        drop(before);
    }

    /// Takes the stream, if it has not been taken away.
    pub(crate) fn take(&self) -> Option<Open> {
        self.lock().open.take()
    }

    /// Looks at the stream, if it has not been taken away.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Open) -> T) -> Option<T> {
        self.lock().open.as_ref().map(look)
    }

    /// Gives the machine all that has come on the stream; returns the stream if it is over, with
    /// the event that says so. A stream that was taken away says nothing: the call is overdue.
    pub(crate) fn take_in<M: Receiver>(
        &self,
        now: Instant,
        machine: &mut M,
        cx: &mut Context<'_>,
    ) -> Option<(Open, Event)> {
        let mut state = self.lock();
        while machine.is_receiving() {
            let open = state.open.as_mut()?;
            match open.exchange.poll_next(machine.is_whole(), cx) {
                Poll::Ready(event @ (Event::Head { .. } | Event::Data(_))) => {
                    machine.receive(now, event);
                }
                Poll::Ready(event) => return state.open.take().map(|open| (open, event)),
                Poll::Pending if open.permit.must_migrate() && machine.may_migrate() => {
                    machine.migrate(now);
                }
                Poll::Pending => return None,
            }
        }
        None
    }

    /// Uses the sending half, if there is one.
    pub(crate) fn with_sender<T>(&self, act: impl FnOnce(&mut Sender) -> T) -> Option<T> {
        self.lock().open.as_mut()?.sender.as_deref_mut().map(act)
    }

    /// Sends what is queued, as far as the window of the stream allows.
    pub(crate) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        let sender = state.open.as_mut().and_then(|open| open.sender.as_deref_mut());
        sender.map_or(Poll::Ready(()), |sender| sender.poll_send(cx))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns the waker that was there before, unless it is the same.
    fn set_waker(&mut self, waker: &Waker) -> Option<Waker> {
        match &self.waker {
            Some(known) if known.will_wake(waker) => None,
            _ => self.waker.replace(waker.clone()),
        }
    }
}

impl Sleeper for OpenStream {
    fn fire(&self, key: WakeupKey) -> bool {
        let mut state = self.lock();
        // Another moment is waited for, or none: the registration was too late to be removed.
        if state.alarm != Some(key) {
            return false;
        }
        state.alarm = None;
        let (waker, is_open) = (state.waker.take(), state.open.is_some());
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        is_open
    }

    fn wake(&self) {
        let waker = self.lock().waker.take();
        waker.into_iter().for_each(Waker::wake);
    }

    fn abandon(&self) {
        let mut state = self.lock();
        let is_unpolled = state.waker.is_none() && state.alarm.is_none();
        let open = state.open.take_if(|_| is_unpolled);
        drop(state);
        drop(open);
    }
}

impl Open {
    /// Ends the stream and keeps its permit, until it is known how the endpoint did.
    pub(crate) fn end(self) -> Permit {
        drop(self.exchange);
        drop(self.sender);
        self.permit
    }
}
