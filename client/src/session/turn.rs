//! One at a time.

use crate::either::either;
use crate::runtime::Runtime;
use etcd3_core::Instant;
use event_listener::Event;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Lets one future at a time pass. One that may not be polled any more says until when it needs the
/// turn, and loses it then, so that it does not hold up the others for ever.
#[derive(Default)]
pub(super) struct Turn {
    state: Mutex<State>,
    given_back: Event,
}

#[derive(Default)]
struct State {
    /// Counts how often it was taken.
    number: u64,
    is_taken: bool,
    /// Until when it is taken; `None` for until it is given back.
    until: Option<Instant>,
}

/// Gives the turn back when it is dropped.
pub(super) struct Taken<'a> {
    turn: &'a Turn,
    number: u64,
}

impl Turn {
    /// Takes the turn if nobody has it; returns otherwise until when it is taken.
    fn try_take(&self, now: Instant, until: Option<Instant>) -> Result<Taken<'_>, Option<Instant>> {
        let mut state = self.lock();
        if state.is_taken && state.until.is_none_or(|at| at > now) {
            return Err(state.until);
        }
        state.number += 1;
        (state.is_taken, state.until) = (true, until);
        Ok(Taken { turn: self, number: state.number })
    }

    /// Waits for the turn, and takes it until this moment, or until it is given back.
    pub(super) async fn take(&self, rt: &dyn Runtime, until: Option<Instant>) -> Taken<'_> {
        loop {
            let given_back = self.given_back.listen();
            match self.try_take(rt.now(), until) {
                Ok(taken) => return taken,
                Err(Some(taken_until)) => either(given_back, rt.sleep_until(taken_until)).await,
                Err(None) => given_back.await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken<'_> {
    /// Returns whether nobody else has taken the turn since.
    pub(super) fn is_held(&self) -> bool {
        self.turn.lock().number == self.number
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut state = self.turn.lock();
        if state.number != self.number {
            return;
        }
        state.is_taken = false;
        drop(state);
        // All of them: one of those that wait may not be polled any more.
        self.turn.given_back.notify(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_turn_is_taken_by_one_until_it_is_given_back() {
        let (turn, now) = (Turn::default(), Instant::ORIGIN);
        let end = now + Duration::from_secs(1);
        for until in [Some(end), None] {
            let taken = turn.try_take(now, until).ok();
            assert!((0..3).all(|_| turn.try_take(now, Some(end)).err() == Some(until)));
            drop(taken);
        }
        assert!(turn.try_take(now, None).is_ok());
    }

    #[test]
    fn a_turn_whose_time_is_over_is_taken_by_others() {
        let (turn, now) = (Turn::default(), Instant::ORIGIN);
        let end = now + Duration::from_secs(1);
        let first = turn.try_take(now, Some(end)).ok();
        let second = turn.try_take(end, None).ok();
        assert_eq!(first.as_ref().map(Taken::is_held), Some(false));
        drop(first);
        assert!(second.is_some_and(|it| it.is_held()));
        assert!(turn.try_take(end, None).is_ok(), "given back by the second");
    }
}
