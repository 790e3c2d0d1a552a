//! The user's end of a session.

use super::begin::OnLoss;
use super::turn::{Taken, Turn};
use super::turns::Turns;
use crate::call::CallOptions;
use crate::either::either;
use crate::{Client, Error, ErrorKind, Lease, LeaseStatus};
use etcd3_core::error::{Cause, Phase};
use etcd3_core::lease::{LeaseLost, LossReason};
use etcd3_core::request::delete;
use etcd3_core::{Bytes, Instant, IntoBytes, LeaseId, Outcome, ResponseHeader};
use event_listener::Event;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A lease that is kept alive, and the keys that are registered on it. Made by
/// [`Client::session`](crate::Client::session) and
/// [`Client::session_on`](crate::Client::session_on).
///
/// What is done in the name of a session is done only while it is valid: locks, leaderships and
/// registrations end with it. With [`OnLoss::Fail`] it is over when its lease is lost; with
/// [`OnLoss::Regrant`] a new lease is granted then, as often as that takes, and all registered keys
/// are written again.
///
/// Cheap to clone. When the last clone is dropped, renewals stop, and the keys are deleted when the
/// time of the lease is over; [`close`](Self::close) deletes them at once. A session keeps its
/// client open.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// # etcd3_sim::example(|client| async move {
/// let session = client.session(Duration::from_secs(10)).await?;
/// session.register("workers/7", "10.0.0.7:80").await?;
///
/// // Whoever works in its name stops when it is lost.
/// let lost = session.lost();
/// client.spawn(async move {
///     eprintln!("stop: {}", lost.await);
/// });
///
/// // The end: the key is gone at once.
/// session.close().await?;
/// assert_eq!(client.get("workers/7").await?.count, 0);
/// # Ok(())
/// # });
/// ```
#[derive(Clone)]
#[must_use = "a session that is dropped is not renewed any more"]
pub struct Session {
    shared: Arc<Guard>,
}

/// Ends the session when its last handle is dropped.
struct Guard(Arc<Inner>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.end(LossReason::Orphaned);
    }
}

/// What the handles of a session and its task share.
pub(super) struct Inner {
    pub(super) client: Client,
    pub(super) ttl: Duration,
    pub(super) on_loss: OnLoss,
    state: Mutex<State>,
    /// Keys are written by one at a time, so that the last value stays.
    pub(super) turn: Turn,
    turns: Arc<Turns>,
    /// Another lease was granted, or the session ended.
    changed: Event,
}

struct State {
    lease: Lease,
    /// Those to be written again; none of a session that fails with its lease.
    keys: BTreeMap<Bytes, Registered>,
    end: Option<LeaseLost>,
    regrants: u64,
}

/// The value of a key, and the lease on which it was written last.
struct Registered {
    value: Bytes,
    lease: LeaseId,
}

impl Inner {
    pub(super) fn new(client: Client, lease: Lease, ttl: Duration, on_loss: OnLoss) -> Self {
        let state = State { lease, keys: BTreeMap::new(), end: None, regrants: 0 };
        let (state, turn, changed) = (Mutex::new(state), Turn::default(), Event::new());
        Self { client, ttl, on_loss, state, turn, turns: Arc::default(), changed }
    }

    pub(super) fn lease(&self) -> Lease {
        self.lock().lease.clone()
    }

    /// Notes a key that was written.
    fn registered(&self, key: Bytes, value: Bytes, lease: LeaseId) {
        if self.on_loss == OnLoss::Regrant {
            self.lock().keys.insert(key, Registered { value, lease });
        }
    }

    /// Returns the first key after this one that was not written on this lease, with its value.
    pub(super) fn next_unwritten(
        &self,
        lease: LeaseId,
        after: Option<&Bytes>,
    ) -> Option<(Bytes, Bytes)> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let state = self.lock();
        let mut keys = state.keys.range::<Bytes, _>((after, Bound::Unbounded));
        let (key, it) = keys.find(|(_, it)| it.lease != lease)?;
        Some((key.clone(), it.value.clone()))
    }

    /// Notes that a key was written again.
    pub(super) fn written(&self, key: &Bytes, lease: LeaseId) {
        if let Some(it) = self.lock().keys.get_mut(key) {
            it.lease = lease;
        }
    }

    /// Returns how many keys are registered.
    pub(super) fn key_count(&self) -> usize {
        self.lock().keys.len()
    }

    pub(super) fn end_reason(&self) -> Option<LeaseLost> {
        self.lock().end.clone()
    }

    /// Sets the lease that it goes on with; returns whether the session still wants one.
    pub(super) fn set_lease(&self, lease: &Lease) -> bool {
        let mut state = self.lock();
        if state.end.is_some() {
            return false;
        }
        let before = std::mem::replace(&mut state.lease, lease.clone());
        drop(state);
        // Not under the lock: it wakes the task of leases.
        drop(before);
        self.changed.notify(usize::MAX);
        true
    }

    pub(super) fn count_regrant(&self) {
        self.lock().regrants += 1;
    }

    /// Ends the session; the first reason stays.
    pub(super) fn end(&self, reason: LossReason) {
        let mut state = self.lock();
        if state.end.is_some() {
            return;
        }
        state.end = Some(LeaseLost::new(reason));
        let lease = state.lease.clone();
        drop(state);
        if reason == LossReason::Orphaned {
            lease.orphan();
        }
        self.changed.notify(usize::MAX);
    }

    /// Completes with the reason when the session has ended.
    pub(super) async fn ended(&self) -> LeaseLost {
        loop {
            let changed = self.changed.listen();
            if let Some(end) = self.end_reason() {
                return end;
            }
            changed.await;
        }
    }

    /// Waits until the session has another lease than this one, or has ended.
    async fn other_lease(&self, id: LeaseId, deadline: Instant) {
        let rt = self.client.runtime();
        let mut timer = rt.sleep_until(deadline);
        while rt.now() < deadline {
            let changed = self.changed.listen();
            if self.end_reason().is_some() || self.lease().id() != id {
                return;
            }
            either(changed, timer.as_mut()).await;
        }
    }

    /// Waits for the turn to write keys, and has it, until this moment.
    async fn turn_by(&self, deadline: Instant) -> Result<Taken<'_>, Error> {
        let rt = &**self.client.runtime();
        let late = async {
            rt.sleep_until(deadline).await;
            let error = Error::new(ErrorKind::TimedOut(Phase::Connection));
            Err(error.with_cause(Cause::new("other keys of the session are being written")))
        };
        either(async { Ok(self.turn.take(rt, Some(deadline)).await) }, late).await
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self { shared: Arc::new(Guard(inner)) }
    }

    fn inner(&self) -> &Arc<Inner> {
        &self.shared.0
    }

    pub(super) fn all_turns(&self) -> &Arc<Turns> {
        &self.inner().turns
    }

    /// Returns the id of its lease. With [`OnLoss::Regrant`] it changes when a new one is granted.
    #[must_use]
    pub fn id(&self) -> LeaseId {
        self.inner().lease().id()
    }

    /// Returns its lease as it is now.
    pub fn lease(&self) -> Lease {
        self.inner().lease()
    }

    /// Returns how it does: like its lease, but [`Lost`](LeaseStatus::Lost) for good only with
    /// [`OnLoss::Fail`]; with [`OnLoss::Regrant`] the next lease may follow.
    #[must_use]
    pub fn status(&self) -> LeaseStatus {
        match self.inner().end_reason() {
            Some(end) => LeaseStatus::Lost(end),
            None => self.inner().lease().status(),
        }
    }

    /// Returns whether its lease is valid now.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.status().is_valid()
    }

    /// Returns the client that it was made by.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.inner().client
    }

    /// Returns how often it went on with another lease, and all keys were written again.
    #[must_use]
    pub fn regrants(&self) -> u64 {
        self.inner().lock().regrants
    }

    /// Completes when it is over, with the reason; also after it was closed, orphaned or dropped.
    /// With [`OnLoss::Regrant`] the loss of a lease is not the end.
    // X2
    pub fn lost(&self) -> impl Future<Output = LeaseLost> + Send + 'static {
        let inner = Arc::clone(self.inner());
        let lease = inner.lease().lost();
        async move {
            if inner.on_loss == OnLoss::Regrant {
                return inner.ended().await;
            }
            let lost = either(lease, inner.ended()).await;
            inner.end_reason().unwrap_or(lost)
        }
    }

    /// Writes a key that is attached to its lease, and, with [`OnLoss::Regrant`], again after each
    /// loss. Whatever the key had as its value is overwritten.
    ///
    /// # Errors
    ///
    /// Those of any write, and [`is_lease_not_found`](Error::is_lease_not_found) when the session
    /// is lost or over, whyever; its source says why. [`is_closed`](Error::is_closed) when its
    /// client is closed. With [`OnLoss::Regrant`] a lease that was just lost is waited for, for
    /// `Config::request_timeout` at most. A key whose write failed is not registered; when the
    /// outcome is *unknown* it may be there until the lease ends. Keys are written one at a time;
    /// waiting for the others counts, too.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether the key is written and registered.
    pub async fn register(
        &self,
        key: impl IntoBytes,
        value: impl IntoBytes,
    ) -> Result<ResponseHeader, Error> {
        let shared = self.inner().client.shared();
        let deadline = shared.now() + shared.config.request_timeout;
        let options = CallOptions::default();
        self.register_by(deadline, key.into_bytes(), value.into_bytes(), options).await
    }

    /// Registers a key until this moment; the options are those of the write.
    pub(super) async fn register_by(
        &self,
        deadline: Instant,
        key: Bytes,
        value: Bytes,
        options: CallOptions,
    ) -> Result<ResponseHeader, Error> {
        let inner = self.inner();
        let shared = inner.client.shared();
        loop {
            let lease = inner.lease();
            if let Some(end) = inner.end_reason() {
                return Err(over(&inner.client, &end));
            }
            let lost = if let LeaseStatus::Lost(lost) = lease.status() {
                over(&inner.client, &lost)
            } else {
                let turn = inner.turn_by(deadline).await?;
                if inner.lease().id() != lease.id() {
                    continue;
                }
                let left = deadline.saturating_since(shared.now());
                let put = inner.client.put(key.clone(), value.clone()).options(options);
                match put.lease(lease.id()).timeout(left).await {
                    // Others may have written the key since.
                    Ok(_) if !turn.is_held() => {
                        let error = Error::new(ErrorKind::TimedOut(Phase::Answer));
                        return Err(error.with_outcome(Outcome::Unknown));
                    }
                    Ok(answer) => {
                        inner.registered(key, value, lease.id());
                        return Ok(answer.header);
                    }
                    Err(error) if error.is_lease_not_found() => {
                        // The next renewal may be far away.
                        lease.expire();
                        error
                    }
                    Err(error) => return Err(error),
                }
            };
            if inner.on_loss == OnLoss::Fail || shared.now() >= deadline {
                return Err(lost);
            }
            inner.other_lease(lease.id(), deadline).await;
        }
    }

    /// Deletes a key that was registered, unless somebody else has written it since.
    ///
    /// # Errors
    ///
    /// Those of any write; the key is not written again all the same.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the key is not written again. Dropping the future leaves open whether it is
    /// deleted.
    pub async fn unregister(&self, key: impl IntoBytes) -> Result<(), Error> {
        let (key, inner) = (key.into_bytes(), self.inner());
        let shared = inner.client.shared();
        let deadline = shared.now() + shared.config.request_timeout;
        inner.lock().keys.remove(&key);
        let _turn = inner.turn_by(deadline).await?;
        let is_ours = crate::key(key.clone()).lease().eq(self.id());
        let left = deadline.saturating_since(shared.now());
        inner.client.txn().when([is_ours]).then([delete(key)]).timeout(left).await?;
        Ok(())
    }

    /// Ends it: its lease is revoked, which deletes its keys. It is lost from this moment on,
    /// whatever becomes of the request.
    ///
    /// # Errors
    ///
    /// Those of [`Lease::revoke`]; it may be called again then. Once the session was orphaned there
    /// is nothing to do.
    ///
    /// # Cancel safety
    ///
    /// Once polled, it is not renewed any more. Dropping the future leaves open whether its keys
    /// are deleted.
    // X3
    pub async fn close(&self) -> Result<(), Error> {
        self.inner().end(LossReason::Revoked);
        match self.inner().end_reason() {
            Some(end) if end.reason == LossReason::Orphaned => Ok(()),
            _ => self.inner().lease().revoke().await,
        }
    }

    /// Ends it without revoking its lease, which lives until its time is over, with all keys. Other
    /// sessions and handles that have the lease go on.
    // X3
    pub fn orphan(&self) {
        self.inner().end(LossReason::Orphaned);
    }
}

/// Makes the error of what was wanted of a session that is lost.
fn over(client: &Client, lost: &LeaseLost) -> Error {
    let error = match lost.reason {
        LossReason::Closed => Error::new(client.closed_kind()),
        _ => Error::new(ErrorKind::Server(etcd3_core::ServerError::LeaseNotFound)),
    };
    error.with_cause(Cause::new(lost.clone()))
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id())
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
