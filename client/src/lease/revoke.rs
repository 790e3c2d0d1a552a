//! Revoking a lease, and telling those who have it.

use super::registry::Registry;
use crate::call::CallOptions;
use crate::request::{Execute, sealed};
use crate::runtime::BoxFuture;
use crate::{Client, Error};
use bytes::Bytes;
use etcd3_core::lease::LossReason;
use etcd3_core::method::Effect;
use etcd3_core::namespace::KeyPrefix;
use etcd3_core::request::{self, Limits, Operation, RevokeResponse};
use etcd3_core::{LeaseId, Rpc};
use std::sync::Arc;

/// The request that [`Client::revoke`] makes: a lease that is to be revoked.
///
/// More than the [operation](etcd3_core::request::Revoke) of its name: it tells those who have the
/// lease of this client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoke(pub(crate) LeaseId);

impl sealed::Sealed for Revoke {}

impl Execute for Revoke {
    type Output = Result<RevokeResponse, Error>;
    type Future = BoxFuture<'static, Self::Output>;

    fn execute(self, client: Client, options: CallOptions) -> Self::Future {
        Box::pin(async move {
            let streams = Arc::clone(client.lease_streams());
            let answer = client.run(request::revoke(self.0), options).await;
            tell(&streams, self.0, &answer);
            answer
        })
    }
}

/// A revocation that is made again after an unknown outcome.
#[derive(Debug, Clone)]
struct Repeatable(request::Revoke);

impl Operation for Repeatable {
    type Response = RevokeResponse;

    fn rpc(&self) -> Rpc {
        self.0.rpc().effect(Effect::IdempotentWrite)
    }

    fn encode(&mut self, limits: &Limits, prefix: Option<&KeyPrefix>) -> Result<Bytes, Error> {
        self.0.encode(limits, prefix)
    }

    fn decode(self, message: Bytes, prefix: Option<&KeyPrefix>) -> Result<RevokeResponse, Error> {
        self.0.decode(message, prefix)
    }
}

/// Revokes a lease, also one that is revoked already.
pub(super) async fn revoke(client: Client, id: LeaseId) -> Result<(), Error> {
    let streams = Arc::clone(client.lease_streams());
    let answer = client.run(Repeatable(request::revoke(id)), CallOptions::default()).await;
    tell(&streams, id, &answer);
    match answer {
        Err(error) if !error.is_lease_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// Tells those who have a lease, some only since the revocation began, what became of it.
fn tell(streams: &Registry, id: LeaseId, answer: &Result<RevokeResponse, Error>) {
    match answer {
        Ok(_) => streams.end(id, LossReason::Revoked),
        Err(error) if error.is_lease_not_found() => streams.end(id, LossReason::Expired),
        Err(_) => {}
    }
}
