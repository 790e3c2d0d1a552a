//! Waiting for what becomes of a lease.

use super::cell::{Cell, LeaseStatus};
use crate::runtime::Runtime;
use etcd3_core::lease::LeaseLost;
use event_listener::EventListener;
use futures_core::Stream;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// How a lease does, now and after each change; a stream of [`LeaseStatus`]. Made by
/// [`Lease::status_changes`](crate::Lease::status_changes).
///
/// Changes that come faster than they are read are seen as one. The stream ends after the lease was
/// lost, and does not keep it alive.
#[must_use = "a stream does nothing until it is polled"]
pub struct LeaseStatusChanges {
    cell: Arc<Cell>,
    rt: Arc<dyn Runtime>,
    listener: Option<EventListener>,
    /// The number of the change that was told last.
    told: Option<u64>,
    is_over: bool,
}

impl LeaseStatusChanges {
    pub(super) const fn new(cell: Arc<Cell>, rt: Arc<dyn Runtime>) -> Self {
        Self { cell, rt, listener: None, told: None, is_over: false }
    }

    /// Waits for the next change; `None` after the lease was lost.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<LeaseStatus> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for LeaseStatusChanges {
    type Item = LeaseStatus;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<LeaseStatus>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        loop {
            if let Some(listener) = &mut self.listener {
                ready!(Pin::new(listener).poll(cx));
            }
            // Made before the look, so that no change is missed.
            self.listener = Some(self.cell.listen());
            let look = self.cell.look(&*self.rt);
            if self.told != Some(look.changes) {
                self.told = Some(look.changes);
                self.is_over = !look.status.is_valid();
                return Poll::Ready(Some(look.status));
            }
        }
    }
}

impl fmt::Debug for LeaseStatusChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseStatusChanges").field("id", &self.cell.id).finish_non_exhaustive()
    }
}

/// Completes when a lease is lost, with the reason. Made by [`Lease::lost`](crate::Lease::lost).
///
/// Does not keep the lease alive. May be polled after a completion.
#[must_use = "a future does nothing until it is polled"]
pub struct LeaseLoss(LeaseStatusChanges);

impl LeaseLoss {
    pub(super) const fn new(changes: LeaseStatusChanges) -> Self {
        Self(changes)
    }
}

impl Future for LeaseLoss {
    type Output = LeaseLost;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<LeaseLost> {
        let Self(changes) = &mut *self;
        loop {
            if let Some(LeaseStatus::Lost(lost)) = ready!(Pin::new(&mut *changes).poll_next(cx)) {
                return Poll::Ready(lost);
            }
            // Polling after completion returns the same reason again.
            if changes.is_over {
                (changes.is_over, changes.listener, changes.told) = (false, None, None);
            }
        }
    }
}

impl fmt::Debug for LeaseLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseLoss").field("id", &self.0.cell.id).finish_non_exhaustive()
    }
}
