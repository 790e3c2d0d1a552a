//! How often the stream may be opened, whatever becomes of it.
//!
//! The backoff begins anew after a stream that was of use. A server that ends each stream after
//! something useful would be opened to without end; so there is a rate, too.

// I-W12

use crate::Instant;
use std::time::Duration;

/// How many streams may be opened in a row.
const BURST: u32 = 5;
/// The time after which another one may be: at most ten in any ten seconds, with the burst.
const INTERVAL: Duration = Duration::from_secs(2);

/// The rate at which streams are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Pace {
    /// When the whole burst is allowed again.
    full: Instant,
}

impl Pace {
    pub(crate) const fn new() -> Self {
        Self { full: Instant::ORIGIN }
    }

    /// Notes that a stream was opened.
    pub(crate) fn opened(&mut self, now: Instant) {
        // Those that need not wait are not counted without end.
        self.full = (self.full.max(now) + INTERVAL).min(now + INTERVAL * BURST);
    }

    /// Returns when the next one may be opened.
    pub(crate) fn next(self) -> Instant {
        self.full - INTERVAL * (BURST - 1)
    }
}
