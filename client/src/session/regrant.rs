//! The task of a session that is granted anew when its lease is lost.

use super::handle::Inner;
use crate::either::either;
use crate::{Error, ErrorKind, LeaseStatus, LossReason, Outcome, trace};
use etcd3_core::LeaseId;
use etcd3_core::lease::LeaseLost;
use etcd3_core::rng::Rng;
use std::future::Future;
use std::sync::Arc;

/// Ends the session when its task does, also when the runtime drops it.
struct EndWithTask(Arc<Inner>);

impl Drop for EndWithTask {
    fn drop(&mut self) {
        self.0.end(LossReason::Closed);
    }
}

/// Grants a lease whenever the one before is lost, until the session ends.
pub(super) fn run(inner: Arc<Inner>) -> impl Future<Output = ()> + Send + 'static {
    let end = EndWithTask(inner);
    async move { grant_again(&end.0).await }
}

async fn grant_again(inner: &Inner) {
    let mut rng = Rng::new(inner.client.shared().next_seed());
    let mut told = LeaseId::NONE;
    loop {
        let lease = inner.lease();
        let lost = lease.lost();
        // Not held while it is waited for: the session may end.
        drop(lease);
        let lost = either(lost, inner.ended()).await;
        if inner.end_reason().is_some() {
            return;
        }
        if ends(inner, &lost) {
            return;
        }
        let mut failures = 0;
        while let Err(error) = either(regrant(inner, &mut told), until_ended(inner)).await {
            if error.is_closed() {
                inner.end(LossReason::Closed);
            }
            if inner.end_reason().is_some() {
                return;
            }
            failures += 1;
            let shared = inner.client.shared();
            let wait = shared.config.reconnect_backoff.after(failures, &mut rng);
            let rested = shared.pool.rt.sleep_until(shared.now() + wait);
            either(rested, async {
                inner.ended().await;
            })
            .await;
            if let LeaseStatus::Lost(lost) = inner.lease().status()
                && ends(inner, &lost)
            {
                return;
            }
        }
    }
}

/// Ends the session if this loss of its lease is the end: whoever revokes the lease of a session,
/// or gives it to others, ends the session.
fn ends(inner: &Inner, lost: &LeaseLost) -> bool {
    let is_end =
        matches!(lost.reason, LossReason::Closed | LossReason::Revoked | LossReason::Orphaned);
    if is_end {
        inner.end(lost.reason);
    }
    is_end
}

/// Completes when the session has ended.
async fn until_ended(inner: &Inner) -> Result<(), Error> {
    inner.ended().await;
    Err(Error::new(ErrorKind::Closed))
}

/// Grants a lease, unless that was done before, and writes all registered keys that were not
/// written on it yet. A key that is refused keeps no other from being written.
///
/// `told` is the lease for which refusals were told.
async fn regrant(inner: &Inner, told: &mut LeaseId) -> Result<(), Error> {
    let mut lease = inner.lease();
    if !lease.is_valid() {
        lease = inner.client.lease(inner.ttl).await?;
    }
    // A task is always polled, and each of its writes ends.
    let _turn = inner.turn.take(&**inner.client.runtime(), None).await;
    if !inner.set_lease(&lease) {
        return lease.revoke().await;
    }
    let tells = *told != lease.id();
    let (mut last, mut refusal) = (None, None);
    // Looked for each time: a key may be given up meanwhile.
    while let Some((key, value)) = inner.next_unwritten(lease.id(), last.as_ref()) {
        match inner.client.put(key.clone(), value).lease(lease.id()).await {
            Ok(_) => inner.written(&key, lease.id()),
            Err(error) if error.is_lease_not_found() => {
                lease.expire();
                return Err(error);
            }
            Err(error) if error.outcome() == Outcome::Rejected => {
                if tells {
                    trace::key_not_registered(lease.id(), &error);
                    *told = lease.id();
                }
                refusal = Some(error);
            }
            Err(error) => return Err(error),
        }
        last = Some(key);
    }
    if let Some(error) = refusal {
        return Err(error);
    }
    trace::session_regranted(lease.id(), inner.key_count());
    inner.count_regrant();
    Ok(())
}
