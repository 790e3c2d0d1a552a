//! How long to wait before the next attempt.

use crate::runtime::Runtime;
use std::sync::Arc;
use std::time::Duration;

/// The longest wait before the first attempt that waits.
const FIRST: Duration = Duration::from_millis(5);
/// The longest wait before any attempt.
const LONGEST: Duration = Duration::from_millis(500);

/// Waits, twice as long each time at most; how long is left to chance, so that those that met
/// each other do not meet again.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(FIRST, LONGEST)
    }
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first.min(longest), longest }
    }

    pub(super) async fn wait(&mut self, rt: &Arc<dyn Runtime>) {
        let nanos = u64::try_from(self.next.as_nanos()).unwrap_or(u64::MAX);
        let drawn = Duration::from_nanos(rt.seed() % nanos.saturating_add(1));
        self.next = self.next.saturating_mul(2).min(self.longest);
        if !drawn.is_zero() {
            rt.sleep_until(rt.now() + drawn).await;
        }
    }
}
