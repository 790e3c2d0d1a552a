//! What cases about leases do over and over.

use super::kv_expect::Refusal;
use crate::raw::OneStream;
use crate::{BoxError, CaseResult, Ctx};
use etcd3::proto::etcdserverpb as pb;
use etcd3::{Client, Code, LeaseId, ServerError, Status};
use etcd3_core::metadata::Metadata;
use etcd3_core::method;
use prost::Message;
use std::net::SocketAddr;
use std::time::Duration;

/// The longest wait for something that is due.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

pub(super) const LEASE_EXIST: Refusal = Refusal {
    error: ServerError::LeaseExist,
    code: Code::FailedPrecondition,
    text: "etcdserver: lease already exists",
};
pub(super) const TTL_TOO_LARGE: Refusal = Refusal {
    error: ServerError::LeaseTtlTooLarge,
    code: Code::OutOfRange,
    text: "etcdserver: too large lease TTL",
};

pub(super) const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Asserts whether a key is there.
pub(super) async fn check_key(client: &Client, key: &str, is_there: bool) -> CaseResult {
    let count = client.get(key).await?.count;
    assert_eq!(count, u64::from(is_there), "{key}");
    Ok(())
}

/// Waits until a lease has this much time left at most.
pub(super) async fn until_left(
    ctx: &Ctx,
    client: &Client,
    lease: LeaseId,
    most: Duration,
) -> CaseResult {
    ctx.until("time to pass for a lease", LIMIT, || async {
        let found = client.time_to_live(lease).await;
        found.is_ok_and(|found| found.ttl.is_some_and(|left| left <= most))
    })
    .await
}

/// A stream of renewals to one member, driven by hand.
pub(super) struct Renewals {
    ctx: Ctx,
    stream: OneStream,
}

impl Renewals {
    pub(super) async fn open(
        ctx: &Ctx,
        member: SocketAddr,
        require_leader: bool,
    ) -> Result<Self, BoxError> {
        let metadata = Metadata { require_leader, ..Metadata::default() };
        let stream = OneStream::open(ctx, member, &method::LEASE_KEEP_ALIVE, metadata).await?;
        Ok(Self { ctx: ctx.clone(), stream })
    }

    /// Asks for a renewal, and returns the answer, or the status in which the stream ended.
    pub(super) async fn renew(
        &mut self,
        lease: LeaseId,
    ) -> Result<Result<pb::LeaseKeepAliveResponse, Status>, BoxError> {
        self.stream.send(&pb::LeaseKeepAliveRequest { id: lease.0 })?;
        self.next().await
    }

    /// Returns what comes next, which is due.
    pub(super) async fn next(
        &mut self,
    ) -> Result<Result<pb::LeaseKeepAliveResponse, Status>, BoxError> {
        let next = self.ctx.within(LIMIT, self.stream.next()).await;
        Ok(match next.ok_or("nothing comes")?? {
            Ok(message) => Ok(pb::LeaseKeepAliveResponse::decode(message)?),
            Err(status) => Err(status),
        })
    }
}
