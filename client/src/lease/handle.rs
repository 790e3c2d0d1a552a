//! The user's end of a lease.

use super::cell::{Cell, LeaseStatus};
use super::registry::{Command, Mailbox};
use super::revoke::revoke;
use super::status::{LeaseLoss, LeaseStatusChanges};
use crate::{Client, Error};
use etcd3_core::lease::{LeaseLost, LossReason};
use etcd3_core::{Instant, LeaseId};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A lease that is kept alive while this lives. Made by [`Client::lease`](crate::Client::lease) and
/// [`Client::keep_alive`](crate::Client::keep_alive).
///
/// Renewed in the background, three times in its time to live, by whichever member answers, whether
/// or not anybody looks. It counts as valid until the moment at which the request was *sent* that
/// was acknowledged last, plus the time to live that the server told; the server's own count begins
/// later, so that whoever acts only while [`is_valid`](Self::is_valid) never acts after the cluster
/// let the lease expire. Trouble on the way shows as [`Late`](LeaseStatus::Late) before that, and
/// only the end of that time, or the word of the cluster that there is no such lease, makes it
/// [`Lost`](LeaseStatus::Lost), for good.
///
/// Cheap to clone. When the last clone is dropped, renewals stop, and the lease lives until its
/// time is over; after [`revoke_on_drop`](Self::revoke_on_drop) it is revoked. A lease keeps its
/// client open.
///
/// Time during which the machine is suspended counts, too: after it, the lease may be lost before
/// anything else ran. What waits for that, such as [`lost`](Self::lost), hears of it at the next
/// renewal at the latest.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// # etcd3_sim::example(|client| async move {
/// let lease = client.lease(Duration::from_secs(10)).await?;
/// client.put("services/a", "10.0.0.1:80").lease(lease.id()).await?;
///
/// let lost = lease.lost();
/// client.spawn(async move {
///     let lost = lost.await;
///     eprintln!("not registered any more: {lost}");
/// });
///
/// // When the service ends: its key is gone at once.
/// lease.revoke().await?;
/// assert_eq!(client.get("services/a").await?.count, 0);
/// # Ok(())
/// # });
/// ```
#[derive(Clone)]
#[must_use = "a lease that is dropped is not renewed any more"]
pub struct Lease {
    shared: Arc<Held>,
}

/// What the clones of a lease share.
struct Held {
    cell: Arc<Cell>,
    mailbox: Arc<Mailbox>,
    revokes: AtomicBool,
    client: Client,
}

impl Lease {
    pub(super) fn new(cell: Arc<Cell>, mailbox: Arc<Mailbox>, client: Client) -> Self {
        let revokes = AtomicBool::new(false);
        Self { shared: Arc::new(Held { cell, mailbox, revokes, client }) }
    }

    /// Returns its id, for [`put`](crate::Request::lease) and the like.
    #[must_use]
    pub fn id(&self) -> LeaseId {
        self.shared.cell.id
    }

    /// Returns its time to live as the server told it last, which may be more than was asked for.
    // I-L7
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.shared.cell.ttl()
    }

    /// Returns until when it is valid, on the clock of the client's
    /// [`runtime`](crate::Client::runtime). Each renewal moves it on. Once the lease is lost it
    /// says nothing about validity, and may lie in the future: [`is_valid`](Self::is_valid) does.
    #[must_use]
    pub fn valid_until(&self) -> Instant {
        self.shared.cell.valid_until(&**self.shared.client.runtime())
    }

    /// Returns whether it is valid now.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.status().is_valid()
    }

    /// Returns how it does.
    #[must_use]
    pub fn status(&self) -> LeaseStatus {
        self.shared.cell.look(&**self.shared.client.runtime()).status
    }

    /// Returns how it does as a stream: now, and again after each change.
    pub fn status_changes(&self) -> LeaseStatusChanges {
        let rt = Arc::clone(self.shared.client.runtime());
        LeaseStatusChanges::new(Arc::clone(&self.shared.cell), rt)
    }

    /// Completes when it is lost, with the reason; also after it was revoked, orphaned or dropped.
    pub fn lost(&self) -> LeaseLoss {
        LeaseLoss::new(self.status_changes())
    }

    /// Revokes it: all keys that are attached to it are deleted, in one revision. It is lost from
    /// this moment on, whatever becomes of the request.
    ///
    /// A lease that the cluster does not have any more counts as revoked. The request is repeated
    /// while its outcome is unknown, for as long as `Config::request_timeout`.
    ///
    /// # Errors
    ///
    /// Those of any write. The keys go when the time of the lease is over.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the lease is not renewed any more. Dropping the future leaves open whether it
    /// is revoked.
    // X3
    pub async fn revoke(&self) -> Result<(), Error> {
        self.end(LossReason::Revoked);
        revoke(self.shared.client.clone(), self.id()).await
    }

    /// Stops renewing it for this handle and its clones, as dropping all of them does: it lives
    /// until its time is over, and somebody else may [keep it alive](crate::Client::keep_alive).
    /// Other handles that this client has of it, each of a call of its own, go on.
    // X3
    pub fn orphan(&self) {
        self.shared.cell.lose(|| LeaseLost::new(LossReason::Orphaned));
        self.shared.revokes.store(false, Ordering::Relaxed);
        self.shared.mailbox.command(Command::Forget(Arc::clone(&self.shared.cell)));
    }

    /// Has it revoked when the last clone is dropped, unless it was [orphaned](Self::orphan). The
    /// client stays open until that is done, or `Config::request_timeout` is over;
    /// [`close`](crate::Client::close) waits for it.
    pub fn revoke_on_drop(self) -> Self {
        self.shared.revokes.store(true, Ordering::Relaxed);
        self
    }

    /// Notes that the cluster has no such lease, as the answer to a write said.
    pub(crate) fn expire(&self) {
        self.end(LossReason::Expired);
    }

    fn end(&self, reason: LossReason) {
        self.shared.cell.lose(|| LeaseLost::new(reason));
        self.shared.revokes.store(false, Ordering::Relaxed);
        // The stream that it was renewed on may have ended, and others may renew it on another.
        self.shared.client.lease_streams().end(self.id(), reason);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Left to others: it is theirs.
        let is_orphaned = self.cell.is_lost_as(LossReason::Orphaned);
        self.cell.lose(|| LeaseLost::new(LossReason::Orphaned));
        self.mailbox.command(Command::Forget(Arc::clone(&self.cell)));
        if self.revokes.load(Ordering::Relaxed) && !is_orphaned {
            let (client, id) = (self.client.for_cleanup(), self.cell.id);
            client.clone().spawn(async move {
                // Nobody is there to be told; the lease ends by itself.
                let _ = revoke(client, id).await;
            });
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("id", &self.id())
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
