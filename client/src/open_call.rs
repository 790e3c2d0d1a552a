//! The part of a call that outlives its polls: who is to be woken, and the stream that is open.
//!
//! A future that is neither polled nor dropped keeps what it holds. A call holds an HTTP/2 stream,
//! and with it a part of the window of its connection, so it shares the stream with the control
//! task, which takes it away from a call that is overdue and not polled.

use crate::exchange::Exchange;
use crate::place::Place;
use crate::wakeups::Key;
use etcd3_core::call::{Call, Input};
use etcd3_core::error::Cause;
use etcd3_core::transport::Event;
use etcd3_core::{Instant, Machine};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A stream that is open, and its place on a connection. Dropped in this order: the stream is reset
/// before its place is given to another call.
pub(crate) struct Open {
    pub(crate) exchange: Exchange,
    pub(crate) place: Place,
}

/// What a call and the control task share.
#[derive(Default)]
pub(crate) struct OpenCall(Mutex<State>);

#[derive(Default)]
struct State {
    /// `None` after it was woken, until it is polled.
    waker: Option<Waker>,
    /// The moment that the call waits for, as long as that has not come.
    alarm: Option<Key>,
    open: Option<Open>,
}

impl fmt::Debug for OpenCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenCall").finish_non_exhaustive()
    }
}

impl OpenCall {
    /// Makes the call wait for the moment of a registration that is about to be made.
    pub(crate) fn await_alarm(&self, key: Key, waker: &Waker) {
        let mut state = self.lock();
        state.alarm = Some(key);
        let old = state.set_waker(waker);
        drop(state);
        // It may take a task with it, which may come back here.
        drop(old);
    }

    /// Has this waker woken at the moment of a registration; false if that has come.
    pub(crate) fn update_waker(&self, key: Key, waker: &Waker) -> bool {
        let mut state = self.lock();
        if state.alarm != Some(key) {
            return false;
        }
        let old = state.set_waker(waker);
        drop(state);
        drop(old);
        true
    }

    /// Wakes the call, since the moment of this registration has come; says whether its stream is
    /// open.
    pub(crate) fn fire(&self, key: Key) -> bool {
        let mut state = self.lock();
        if state.alarm == Some(key) {
            state.alarm = None;
        }
        let (waker, is_open) = (state.waker.take(), state.open.is_some());
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        is_open
    }

    /// Wakes the call before its moment has come.
    pub(crate) fn wake(&self) {
        let waker = self.lock().waker.take();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Takes the stream away, if the call was woken and has not been polled since.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        let is_unpolled = state.waker.is_none() && state.alarm.is_none();
        let open = state.open.take_if(|_| is_unpolled);
        drop(state);
        drop(open);
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
    /// the input that says so. A stream that was taken away says nothing: the call is overdue.
    pub(crate) fn take_in(
        &self,
        now: Instant,
        call: &mut Call,
        cx: &mut Context<'_>,
    ) -> Option<(Open, Event)> {
        let mut state = self.lock();
        while call.is_under_way() {
            let open = state.open.as_mut()?;
            match open.exchange.poll_next(call.has_message(), cx) {
                Poll::Ready(event @ (Event::Head { .. } | Event::Data(_))) => {
                    call.handle(now, Input::Stream(event));
                }
                Poll::Ready(event) => return state.open.take().map(|open| (open, event)),
                Poll::Pending if open.place.must_migrate() && call.may_migrate() => {
                    call.handle(now, Input::Migrate);
                }
                Poll::Pending => return None,
            }
        }
        None
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

impl Open {
    /// Ends the stream and keeps its place, until it is known how the endpoint did.
    pub(crate) fn end(self) -> Place {
        drop(self.exchange);
        self.place
    }

    /// Why the connection was ended by this side, if it was.
    pub(crate) fn reason(&self) -> Option<Cause> {
        self.place.reason()
    }
}
