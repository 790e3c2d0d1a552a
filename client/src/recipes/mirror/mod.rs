//! Copies of a range of keys that are kept up to date, in another cluster or anywhere else.
//!
//! [`Syncer`] tells what a copy has to do: everything there is at one revision, then what each
//! later revision changed. [`Mirror`] does it to another cluster, as `etcdctl make-mirror` does.

mod applied;
mod changes;
mod error;
mod leases;
mod options;
mod position;
mod prefixes;
mod run;
mod syncer;
mod target;

pub use applied::{Applied, Step};
pub use error::MirrorError;
pub use options::{Leased, Occupied};
pub use run::Mirror;
pub use syncer::{SyncItem, Syncer};

use crate::Error;
use crate::runtime::{BoxFuture, Runtime};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// The wait after the first of several failures, and the longest one.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// Returns how long to wait after so many consecutive failures: at least half of a time that
/// doubles, so that those who failed together do not come back together.
fn backoff(rt: &dyn Runtime, failures: u32) -> Duration {
    let whole = FIRST_WAIT.saturating_mul(1 << failures.min(10)).min(LONGEST_WAIT);
    let part = u32::try_from(rt.seed() % 1024).unwrap_or_default();
    whole / 2 + whole / 2048 * part
}

/// Returns whether it is worth another attempt.
// A linearizable read shows the past of a store that went back, for good.
fn passes(error: &Error) -> bool {
    error.is_retryable() && !matches!(error.kind(), crate::ErrorKind::StaleRead { .. })
}

/// Completes with what the future comes to, or with `None` when the time is over before.
async fn before<T>(future: impl Future<Output = T>, mut time: BoxFuture<'static, ()>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => time.as_mut().poll(cx).map(|()| None),
    })
    .await
}
