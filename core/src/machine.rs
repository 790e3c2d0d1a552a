//! The one interface of every state machine.

use crate::Instant;

/// What a machine wants next.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next<T> {
    /// Do this, then poll again.
    Do(T),
    /// Nothing to do until an input arrives, or until this moment if there is one.
    ///
    /// "Never" is `None`, not a far instant. The moment is always later than the `now` of the poll
    /// that answered it.
    Wait(Option<Instant>),
}

/// A pure state machine: it never waits, reads a clock or rolls dice.
///
/// Drive it like this: give it an input with [`handle`](Self::handle), then call
/// [`poll`](Self::poll) and carry out each [`Next::Do`] until it answers [`Next::Wait`]; then wait
/// for an input or for the deadline, whichever comes first. Being polled at or after the deadline
/// *is* the timeout. A machine never fails: failures are outputs. An input that does not fit the
/// state is ignored.
///
/// `laws::check_machine` (feature `laws`) checks what this contract promises with random scripts.
pub trait Machine {
    /// What happened, as told by the driver.
    type Input;
    /// What the driver is to do.
    type Output;

    /// Takes one input; never blocks and never fails.
    fn handle(&mut self, now: Instant, input: Self::Input);

    /// Says what to do next; call it until it answers [`Next::Wait`].
    fn poll(&mut self, now: Instant) -> Next<Self::Output>;
}
