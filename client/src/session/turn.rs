//! One at a time.

use event_listener::Event;
use std::sync::atomic::{AtomicBool, Ordering};

/// Lets one future at a time pass.
#[derive(Default)]
pub(super) struct Turn {
    is_taken: AtomicBool,
    given_back: Event,
}

/// Gives the turn back when it is dropped.
pub(super) struct Taken<'a>(&'a Turn);

impl Turn {
    /// Takes the turn if nobody has it.
    pub(super) fn try_take(&self) -> Option<Taken<'_>> {
        (!self.is_taken.swap(true, Ordering::Acquire)).then_some(Taken(self))
    }

    pub(super) async fn take(&self) -> Taken<'_> {
        loop {
            let given_back = self.given_back.listen();
            if let Some(taken) = self.try_take() {
                return taken;
            }
            given_back.await;
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.is_taken.store(false, Ordering::Release);
        self.0.given_back.notify(1);
    }
}
