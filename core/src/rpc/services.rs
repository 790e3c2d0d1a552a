//! The messages of the services `Lock` and `Election`: their names are what keys begin with.

// Y1, X36

use super::UnaryRequest;
use crate::error::Error;
use crate::method::{self, Method};
use crate::namespace::KeyPrefix;
use etcd3_proto::{v3electionpb, v3lockpb};

impl UnaryRequest for v3lockpb::LockRequest {
    type Response = v3lockpb::LockResponse;
    const METHOD: &'static Method = &method::LOCK;

    fn add_prefix(&mut self, prefix: &KeyPrefix) -> Result<(), Error> {
        prefix.add_to_name(&mut self.name);
        Ok(())
    }

    fn strip_prefix(answer: &mut v3lockpb::LockResponse, prefix: &KeyPrefix) -> Result<(), Error> {
        prefix.strip(&mut answer.key)
    }
}

impl UnaryRequest for v3lockpb::UnlockRequest {
    type Response = v3lockpb::UnlockResponse;
    const METHOD: &'static Method = &method::UNLOCK;

    fn add_prefix(&mut self, prefix: &KeyPrefix) -> Result<(), Error> {
        prefix.add(&mut self.key)
    }
}

impl UnaryRequest for v3electionpb::CampaignRequest {
    type Response = v3electionpb::CampaignResponse;
    const METHOD: &'static Method = &method::CAMPAIGN;

    fn add_prefix(&mut self, prefix: &KeyPrefix) -> Result<(), Error> {
        prefix.add_to_name(&mut self.name);
        Ok(())
    }

    fn strip_prefix(
        answer: &mut v3electionpb::CampaignResponse,
        prefix: &KeyPrefix,
    ) -> Result<(), Error> {
        let Some(leader) = &mut answer.leader else { return Ok(()) };
        prefix.strip_name(&mut leader.name)?;
        prefix.strip(&mut leader.key)
    }
}

impl UnaryRequest for v3electionpb::ProclaimRequest {
    type Response = v3electionpb::ProclaimResponse;
    const METHOD: &'static Method = &method::PROCLAIM;

    fn add_prefix(&mut self, prefix: &KeyPrefix) -> Result<(), Error> {
        add_to_leader(self.leader.as_mut(), prefix)
    }
}

impl UnaryRequest for v3electionpb::LeaderRequest {
    type Response = v3electionpb::LeaderResponse;
    const METHOD: &'static Method = &method::LEADER;

    fn add_prefix(&mut self, prefix: &KeyPrefix) -> Result<(), Error> {
        prefix.add_to_name(&mut self.name);
        Ok(())
    }

    fn strip_prefix(
        answer: &mut v3electionpb::LeaderResponse,
        prefix: &KeyPrefix,
    ) -> Result<(), Error> {
        answer.kv.as_mut().map_or(Ok(()), |pair| prefix.strip(&mut pair.key))
    }
}

impl UnaryRequest for v3electionpb::ResignRequest {
    type Response = v3electionpb::ResignResponse;
    const METHOD: &'static Method = &method::RESIGN;

    fn add_prefix(&mut self, prefix: &KeyPrefix) -> Result<(), Error> {
        add_to_leader(self.leader.as_mut(), prefix)
    }
}

/// A message without a leader names no key, and servers refuse it.
fn add_to_leader(
    leader: Option<&mut v3electionpb::LeaderKey>,
    prefix: &KeyPrefix,
) -> Result<(), Error> {
    let Some(leader) = leader else { return Ok(()) };
    prefix.add_to_name(&mut leader.name);
    prefix.add(&mut leader.key)
}
