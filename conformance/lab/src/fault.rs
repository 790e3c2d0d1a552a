//! What a bridge can do to the bytes of a connection.
//!
//! A [`Fault`] is a value for one direction; the faults of the list in the suite are made of it:
//!
//! | fault | made by |
//! |---|---|
//! | N1, N2 black hole, both ways or one | [`Fault::silence`] |
//! | N3 reset, N4 half-close | [`Fault::cut`] after 0 bytes |
//! | N5 latency and jitter | [`Fault::delay`] |
//! | N6 throttle, N7 drip | [`Fault::throttle`], [`Fault::pieces`] |
//! | N8 cut at byte k, N13 close after n | [`Fault::cut`], of one connection or of all to come |
//! | N9 bit flip | [`Fault::flip`] |
//! | lost chunks | [`Fault::lose`] |
//! | N10, N11, N14 | [`Bridge::pause_accept`], [`Bridge::ignore`], [`Bridge::refuse`] |
//! | N12 silent state drop | [`Fault::forget_after`] |
//!
//! [`Bridge::pause_accept`]: crate::Bridge::pause_accept
//! [`Bridge::ignore`]: crate::Bridge::ignore
//! [`Bridge::refuse`]: crate::Bridge::refuse

use std::time::Duration;

/// A direction of bytes through a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the side that connected to the target.
    Up,
    /// From the target to the side that connected.
    Down,
}

impl Direction {
    /// Both directions.
    pub const BOTH: [Self; 2] = [Self::Up, Self::Down];

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Up => 0,
            Self::Down => 1,
        }
    }
}

/// The way in which a connection, or one direction of it, is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cut {
    /// Both sides read the end of the stream.
    Close,
    /// Only this direction ends: its reader reads the end of the stream, and what is sent later
    /// is lost. The other direction goes on.
    Fin,
    /// Both sides get a reset.
    Reset,
    /// Nothing passes any more, in either direction, and nobody is told.
    Silence,
}

/// The connections of a bridge that a fault is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Relays {
    /// All that there are, and all to come.
    All,
    /// All to come.
    Next,
    /// One of [`Bridge::relays`](crate::Bridge::relays).
    One(u64),
}

/// The fault of one direction of a connection: none by default.
///
/// Positions count the bytes of that direction from the moment that the fault is set, or from the
/// beginning of a connection that comes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fault {
    pub(crate) silent: bool,
    pub(crate) held: bool,
    pub(crate) latency: Duration,
    pub(crate) jitter: Duration,
    pub(crate) seed: u64,
    pub(crate) rate: Option<u64>,
    pub(crate) piece: Option<usize>,
    pub(crate) cut: Option<(u64, Cut)>,
    pub(crate) flip: Option<(u64, u8)>,
    pub(crate) forget_after: Option<Duration>,
    pub(crate) lose: u8,
}

impl Fault {
    /// Does nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes bytes, and the end of the stream, disappear without a sign.
    #[must_use]
    pub fn silence(mut self) -> Self {
        self.silent = true;
        self
    }

    /// Holds bytes back until another fault is set: nothing is lost.
    #[must_use]
    pub fn hold(mut self) -> Self {
        self.held = true;
        self
    }

    /// Makes bytes come later, by `latency` and a random part of `jitter`, in the same order.
    #[must_use]
    pub fn delay(mut self, latency: Duration, jitter: Duration) -> Self {
        (self.latency, self.jitter) = (latency, jitter);
        self
    }

    /// Sets what the jitter is drawn from.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Lets so many bytes pass in a second, at least one.
    #[must_use]
    pub fn throttle(mut self, bytes_per_second: u64) -> Self {
        self.rate = Some(bytes_per_second.max(1));
        self
    }

    /// Writes at most so many bytes at once, at least one.
    #[must_use]
    pub fn pieces(mut self, bytes: usize) -> Self {
        self.piece = Some(bytes.max(1));
        self
    }

    /// Ends the connection as soon as so many bytes have passed; at once if that is 0.
    #[must_use]
    pub fn cut(mut self, after: u64, end: Cut) -> Self {
        self.cut = Some((after, end));
        self
    }

    /// Flips one bit, from 0 to 7, of the byte at this position.
    #[must_use]
    pub fn flip(mut self, at: u64, bit: u8) -> Self {
        self.flip = Some((at, 1 << (bit % 8)));
        self
    }

    /// Loses so many percent of the chunks that come, at random, in the middle of the stream.
    #[must_use]
    pub fn lose(mut self, percent: u8) -> Self {
        self.lose = percent.min(100);
        self
    }

    /// Forgets the connection when no byte came for so long, in neither direction, as firewalls
    /// do: from then on all bytes of both directions disappear.
    #[must_use]
    pub fn forget_after(mut self, idle: Duration) -> Self {
        self.forget_after = Some(idle);
        self
    }
}
