//! The end of a client: closing it, what is done before, and waiting for it.

use crate::{Client, Error, ErrorKind};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// How long [`Client::close`] waits for what is cleaned up and for tasks to end, both together.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

impl Client {
    /// Closes the client and all its clones, and waits until its tasks have ended, those of
    /// [`spawn`](Self::spawn) included; all of them for five seconds at most.
    ///
    /// Calls under way, and later ones, end in an error of kind
    /// [`Closed`](ErrorKind::Closed), and watches and leases end, from the moment at which this is
    /// first polled. May be called more than once.
    ///
    /// What was given up before is given up by its end: the keys of guards that were dropped, those
    /// of a `lock` or a `campaign` whose future was, leases that are [revoked on
    /// drop](crate::Lease::revoke_on_drop), and what other futures do that run
    /// [for cleanup](Self::for_cleanup). That is waited for within the five seconds, and not at all
    /// where no endpoint can be connected to; what is not deleted then is there for as long as its
    /// lease. So is what is still held at this moment, though the client is closed.
    ///
    /// # Cancel safety
    ///
    /// The client is closed as soon as the future is first polled; dropping it only stops waiting.
    /// # Examples
    ///
    /// ```
    /// use etcd3::recipes::Mutex;
    /// use std::time::Duration;
    ///
    /// # etcd3_sim::example(|client| async move {
    /// let session = client.session(Duration::from_secs(10)).await?;
    /// let guard = Mutex::new(&session, "report").lock().await?;
    /// client.put("k", "v").await?;
    /// // Somebody else can have the lock as soon as the client is closed.
    /// drop(guard);
    /// client.close().await;
    /// let error = client.get("k").await.unwrap_err();
    /// assert!(error.is_closed());
    /// # Ok(())
    /// # });
    /// ```
    // C23, I-S5
    pub async fn close(&self) {
        let (pool, tasks) = (&self.shared().pool, &self.shared().tasks);
        let until = pool.rt.now() + CLOSE_TIMEOUT;
        tasks.close_after_cleanup(until);
        let mut ended = pin!(tasks.ended());
        // No timer when nothing is left to wait for: the runtime may have ended.
        let mut too_late = None;
        poll_fn(|cx| match ended.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => {
                too_late.get_or_insert_with(|| pool.rt.sleep_until(until)).as_mut().poll(cx)
            }
        })
        .await;
        // The control task has seen to that, if its runtime is driven.
        pool.close(ErrorKind::Closed);
    }

    /// Returns a clone for what is done in the background about what its user has given up, such as
    /// the deletion of a key: [`close`](Self::close) waits for the futures that this clone
    /// [spawned](Self::spawn), and its calls are served until they have ended, for five seconds at
    /// most.
    ///
    /// The [`recipes`](crate::recipes) delete the keys of dropped guards by it. Calls are what is
    /// served: watches and leases end at once, as those of all clones do, and so does
    /// [`closed`](Self::closed).
    /// # Examples
    ///
    /// ```
    /// use etcd3::Client;
    ///
    /// /// Says that a worker is there, until it is dropped.
    /// struct Announced {
    ///     client: Client,
    /// }
    ///
    /// impl Drop for Announced {
    ///     fn drop(&mut self) {
    ///         let client = self.client.for_cleanup();
    ///         client.clone().spawn(async move {
    ///             if let Err(error) = client.delete("workers/7").await {
    ///                 eprintln!("{}", error.report());
    ///             }
    ///         });
    ///     }
    /// }
    ///
    /// # etcd3_sim::example(|client| async move {
    /// client.put("workers/7", "10.0.0.7:80").await?;
    /// drop(Announced { client: client.clone() });
    /// // The key is gone when this returns.
    /// client.close().await;
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn for_cleanup(&self) -> Self {
        let mut client = self.clone();
        client.is_cleanup = true;
        client
    }

    /// Returns whether [`close`](Self::close) was called on this client or one of its clones, or
    /// the runtime that it was made on has ended.
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// let clone = client.clone();
    /// clone.close().await;
    /// assert!(client.is_closed());
    /// # Ok(())
    /// # });
    /// ```
    pub fn is_closed(&self) -> bool {
        self.shared().pool.is_closed()
    }

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
