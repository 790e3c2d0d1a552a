//! Work beside a case: on its runtime, or on a thread.

use event_listener::Event;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// The result of work that goes on elsewhere; await it to get it.
#[derive(Debug)]
pub struct JoinHandle<T> {
    slot: Arc<Slot<T>>,
    listener: Option<Pin<Box<event_listener::EventListener>>>,
}

#[derive(Debug)]
pub(crate) struct Slot<T> {
    result: Mutex<Option<T>>,
    done: Event,
}

impl<T> Slot<T> {
    pub(crate) fn fill(&self, result: T) {
        *self.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        self.done.notify(usize::MAX);
    }

    fn take(&self) -> Option<T> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<T> JoinHandle<T> {
    pub(crate) fn new() -> (Self, Arc<Slot<T>>) {
        let slot = Arc::new(Slot { result: Mutex::new(None), done: Event::new() });
        (Self { slot: Arc::clone(&slot), listener: None }, slot)
    }

    /// Tells whether the result is there.
    pub fn is_done(&self) -> bool {
        self.slot.result.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        loop {
            if let Some(result) = self.slot.take() {
                return Poll::Ready(result);
            }
            let this = &mut *self;
            match &mut this.listener {
                None => this.listener = Some(Box::pin(this.slot.done.listen())),
                Some(listener) => match listener.as_mut().poll(cx) {
                    Poll::Ready(()) => this.listener = None,
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }
}
