//! Waiting for one of two futures.

use super::RecipeError;
use crate::Client;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// Completes with the first of two futures that does; with the first one if both do.
pub(super) async fn race<T>(first: impl Future<Output = T>, second: impl Future<Output = T>) -> T {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|cx| match first.as_mut().poll(cx) {
        Poll::Pending => second.as_mut().poll(cx),
        ready @ Poll::Ready(_) => ready,
    })
    .await
}

/// Waits for a result, for so long at most.
pub(super) async fn within<T>(
    client: &Client,
    time: Duration,
    work: impl Future<Output = Result<T, RecipeError>>,
) -> Result<Option<T>, RecipeError> {
    let rt = client.runtime();
    let too_late = async {
        rt.sleep_until(rt.now() + time).await;
        Ok(None)
    };
    race(async { work.await.map(Some) }, too_late).await
}
