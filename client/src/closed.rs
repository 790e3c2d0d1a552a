//! Waiting for the end of a client.

use crate::{Client, Error, ErrorKind};
use std::future::Future;
use std::sync::Arc;

impl Client {
    /// Completes once the client is closed, with the reason: [`Closed`](ErrorKind::Closed) after
    /// [`close`](Self::close), or when the last clone was dropped;
    /// [`RuntimeEnded`](ErrorKind::RuntimeEnded) when the runtime that it was made on has ended.
    ///
    /// For tasks that work on its behalf: the future does not keep the client open. Watches, leases
    /// and sessions tell of it by themselves.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops waiting.
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// let closed = client.closed();
    /// client.spawn(async move {
    ///     let reason = closed.await;
    ///     println!("flush what is left: {reason}");
    /// });
    /// client.close().await;
    /// assert!(client.closed().await.is_closed());
    /// # Ok(())
    /// # });
    /// ```
    // C23, C24
    pub fn closed(&self) -> impl Future<Output = Error> + Send + 'static + use<> {
        let shared = Arc::clone(self.shared());
        async move {
            shared.pool.closed().await;
            Error::new(shared.pool.closed_kind().unwrap_or(ErrorKind::Closed))
        }
    }
}
