//! Elections of the server.

use crate::namespace::KeyPrefix;
use crate::request::{Limits, operation};
use crate::{Error, IntoBytes, KeyValue, LeaseId, ResponseHeader};
use bytes::Bytes;
use etcd3_proto::v3electionpb as pb;
use etcd3_proto::v3electionpb::{CampaignRequest, LeaderRequest, ProclaimRequest, ResignRequest};

/// The key of a candidate that was elected: what it proclaims and resigns by.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub struct ElectedKey {
    /// The name of the election.
    pub name: Bytes,
    /// The key, which is there as long as the candidate is one.
    pub key: Bytes,
    /// The revision that created it: a transaction with `key(..).create_revision()` acts only as
    /// long as the candidate is one.
    pub revision: i64,
    /// The lease that it is attached to.
    pub lease: LeaseId,
}

impl From<pb::LeaderKey> for ElectedKey {
    fn from(key: pb::LeaderKey) -> Self {
        let pb::LeaderKey { name, key, rev, lease } = key;
        Self { name, key, revision: rev, lease: LeaseId(lease) }
    }
}

impl From<ElectedKey> for pb::LeaderKey {
    fn from(elected: ElectedKey) -> Self {
        let ElectedKey { name, key, revision, lease } = elected;
        Self { name, key, rev: revision, lease: lease.0 }
    }
}

/// A candidacy that waits to be elected: `v3electionpb.Election/Campaign`.
#[derive(Debug, Clone, PartialEq)]
pub struct Campaign {
    request: CampaignRequest,
}

/// Waits to be elected, and then leads with this value as long as the lease lives.
pub fn campaign(
    name: impl IntoBytes,
    lease: impl Into<LeaseId>,
    value: impl IntoBytes,
) -> Campaign {
    let (name, value) = (name.into_bytes(), value.into_bytes());
    Campaign { request: CampaignRequest { name, lease: lease.into().0, value } }
}

/// The answer to a [`Campaign`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CampaignResponse {
    /// Which cluster and member answered, at which revision.
    pub header: ResponseHeader,
    /// The key of the candidate.
    pub elected: ElectedKey,
}

impl From<pb::CampaignResponse> for CampaignResponse {
    fn from(answer: pb::CampaignResponse) -> Self {
        let elected = answer.leader.unwrap_or_default().into();
        Self { header: answer.header.into(), elected }
    }
}

operation!(Campaign: v3electionpb::CampaignRequest => CampaignResponse => CampaignResponse);

/// A new value of the leader: `v3electionpb.Election/Proclaim`.
#[derive(Debug, Clone, PartialEq)]
pub struct Proclaim {
    request: ProclaimRequest,
}

/// Replaces the value of the leader, if it still is one.
pub fn proclaim(elected: ElectedKey, value: impl IntoBytes) -> Proclaim {
    let (leader, value) = (Some(elected.into()), value.into_bytes());
    Proclaim { request: ProclaimRequest { leader, value } }
}

/// The answer to a [`Proclaim`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ProclaimResponse {
    /// Which cluster and member answered, at which revision.
    pub header: ResponseHeader,
}

impl From<pb::ProclaimResponse> for ProclaimResponse {
    fn from(answer: pb::ProclaimResponse) -> Self {
        Self { header: answer.header.into() }
    }
}

operation!(Proclaim: v3electionpb::ProclaimRequest => ProclaimResponse => ProclaimResponse);

/// A look at the leader: `v3electionpb.Election/Leader`.
#[derive(Debug, Clone, PartialEq)]
pub struct Leader {
    request: LeaderRequest,
}

/// Asks who leads.
pub fn leader(name: impl IntoBytes) -> Leader {
    Leader { request: LeaderRequest { name: name.into_bytes() } }
}

/// The answer to a [`Leader`], and what an observer is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LeaderResponse {
    /// Which cluster and member answered, at which revision.
    pub header: ResponseHeader,
    /// The key of the leader, with its value.
    pub kv: KeyValue,
}

impl From<pb::LeaderResponse> for LeaderResponse {
    fn from(answer: pb::LeaderResponse) -> Self {
        Self { header: answer.header.into(), kv: answer.kv.unwrap_or_default().into() }
    }
}

operation!(Leader: v3electionpb::LeaderRequest => LeaderResponse => LeaderResponse);

/// The end of a leadership, or of a candidacy: `v3electionpb.Election/Resign`.
#[derive(Debug, Clone, PartialEq)]
pub struct Resign {
    request: ResignRequest,
}

/// Gives the leadership up. What is not held any more is no error.
#[must_use]
pub fn resign(elected: ElectedKey) -> Resign {
    Resign { request: ResignRequest { leader: Some(elected.into()) } }
}

/// The answer to a [`Resign`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ResignResponse {
    /// Which cluster and member answered, at which revision.
    pub header: ResponseHeader,
}

impl From<pb::ResignResponse> for ResignResponse {
    fn from(answer: pb::ResignResponse) -> Self {
        Self { header: answer.header.into() }
    }
}

operation!(Resign: v3electionpb::ResignRequest => ResignResponse => ResignResponse);

/// Encodes the request of `v3electionpb.Election/Observe`, with its gRPC head and the prefix before
/// the name.
///
/// # Errors
///
/// What is over the limits; outcome not sent.
// Its messages are those of a look at the leader, and have keys in the same fields.
pub fn observe(name: &Bytes, limits: &Limits, prefix: Option<&KeyPrefix>) -> Result<Bytes, Error> {
    crate::request::encode(&LeaderRequest { name: name.clone() }, limits, prefix)
}

/// Reads a message of `v3electionpb.Election/Observe`, and takes the prefix off its key.
///
/// # Errors
///
/// Kind [`Protocol`](crate::ErrorKind::Protocol) when it is none.
pub fn observed(message: Bytes, prefix: Option<&KeyPrefix>) -> Result<LeaderResponse, Error> {
    crate::request::decode::<LeaderRequest>(message, prefix).map(LeaderResponse::from)
}
