//! The task of a session that is granted anew when its lease is lost.

use super::handle::Inner;
use crate::either::either;
use crate::{Error, ErrorKind, LossReason, Outcome, trace};
use etcd3_core::rng::Rng;
use std::sync::Arc;

/// Grants a lease whenever the one before is lost, until the session ends.
pub(super) async fn run(inner: Arc<Inner>) {
    let mut rng = Rng::new(inner.client.shared().next_seed());
    loop {
        let lease = inner.lease();
        let lost = lease.lost();
        // Not held while it is waited for: the session may end.
        drop(lease);
        let lost = either(lost, inner.ended()).await;
        if inner.end_reason().is_some() {
            return;
        }
        // Whoever revokes the lease of a session, or gives it to others, ends the session.
        if matches!(lost.reason, LossReason::Closed | LossReason::Revoked | LossReason::Orphaned) {
            inner.end(lost.reason);
            return;
        }
        let mut failures = 0;
        while let Err(error) = either(regrant(&inner), until_ended(&inner)).await {
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
        }
    }
}

/// Completes when the session has ended.
async fn until_ended(inner: &Inner) -> Result<(), Error> {
    inner.ended().await;
    Err(Error::new(ErrorKind::Closed))
}

/// Grants a lease, unless that was done before, and writes all registered keys.
async fn regrant(inner: &Inner) -> Result<(), Error> {
    let mut lease = inner.lease();
    if !lease.is_valid() {
        lease = inner.client.lease(inner.ttl).await?;
    }
    let _turn = inner.turn.take().await;
    if !inner.set_lease(&lease) {
        return lease.revoke().await;
    }
    let keys = inner.keys();
    let count = keys.len();
    for (key, value) in keys {
        // What is not known to be written is written again: nobody else writes these keys.
        loop {
            match inner.client.put(key.clone(), value.clone()).lease(lease.id()).await {
                Ok(_) => break,
                Err(error) if error.outcome() == Outcome::Unknown && lease.is_valid() => {
                    if error.is_closed() {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
    trace::session_regranted(lease.id(), count);
    inner.count_regrant();
    Ok(())
}
