//! Doing again what failed for the moment.

use super::RecipeError;
use super::race::race;
use crate::request::Effect;
use crate::runtime::Runtime;
use crate::{Client, Error, ErrorKind, Outcome, Session};
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// Returns how long to wait after so many failures in a row before: between half of a time that
/// doubles and all of it, so that those who failed together come apart.
pub(super) fn pause(rt: &dyn Runtime, failures: u32) -> Duration {
    let half = FIRST.saturating_mul(1 << failures.min(10)).min(LONGEST) / 2;
    // Of all that differs, little is needed.
    let share = u32::try_from(rt.seed() % 1024).unwrap_or_default();
    half + half * share / 1024
}

/// Waits between failures in a row.
pub(super) struct Backoff {
    rt: Arc<dyn Runtime>,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(client: &Client) -> Self {
        Self { rt: Arc::clone(client.runtime()), failures: 0 }
    }

    pub(super) async fn rest(&mut self) {
        let wait = pause(&*self.rt, self.failures);
        self.failures = self.failures.saturating_add(1);
        self.rt.sleep_until(self.rt.now() + wait).await;
    }
}

/// Returns whether what made a call fail may be different a moment later, whatever became of the
/// call.
pub(super) fn passes(error: &Error) -> bool {
    let is_of_a_past = matches!(error.kind(), ErrorKind::StaleRead { .. });
    // What became of a write may be read; of a read, such as one whose answer is too large, there
    // is nothing to find out.
    let is_read = error.effect().is_some_and(Effect::is_repeatable);
    let is_in_doubt = error.outcome() == Outcome::Unknown && !is_read;
    !error.is_closed() && !is_of_a_past && (error.is_retryable() || is_in_doubt)
}

/// Reads until that is answered, or fails for good.
pub(super) async fn read<T, C>(client: &Client, call: impl Fn() -> C) -> Result<T, Error>
where
    C: IntoFuture<Output = Result<T, Error>>,
{
    let mut backoff = Backoff::new(client);
    loop {
        // Boxed: a call is large, and futures that hold futures move them.
        match Box::pin(call().into_future()).await {
            Err(error) if passes(&error) => backoff.rest().await,
            other => return other,
        }
    }
}

/// The same, until the lease is lost that the session has now.
// I-S2
pub(super) async fn read_in<T, C>(session: &Session, call: impl Fn() -> C) -> Result<T, RecipeError>
where
    C: IntoFuture<Output = Result<T, Error>>,
{
    let lease = session.lease();
    let lost = async { Err(RecipeError::SessionLost(lease.lost().await)) };
    let answer = async { read(session.client(), call).await.map_err(RecipeError::from) };
    race(lost, answer).await
}
