//! Granting a lease in a way that may be repeated: its id is chosen on this side.

// I-L9

use crate::call::{CallOptions, OperationCall};
use crate::request::{Execute, sealed};
use crate::runtime::BoxFuture;
use crate::shared::Shared;
use crate::{Client, Error};
use bytes::Bytes;
use etcd3_core::method::{self, Effect};
use etcd3_core::namespace::KeyPrefix;
use etcd3_core::request::{
    self, GrantResponse, Limits, Operation, TimeToLiveResponse, time_to_live,
};
use etcd3_core::rng::Rng;
use etcd3_core::{Instant, LeaseId, Outcome, Rpc, ServerError};
use std::sync::Arc;
use std::time::Duration;

/// How many times a lease is asked for before the last refusal is told.
const ROUNDS: u32 = 3;

/// What the clocks of two machines may differ by during one call, a fraction of a second that
/// servers cut off included.
const TOLERANCE: Duration = Duration::from_secs(2);

/// The request that [`Client::grant`] makes: a lease that is to be granted.
///
/// More than the [operation](etcd3_core::request::Grant) of its name: it chooses the id, and may be
/// sent again after an answer was lost.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant(pub(crate) request::Grant);

impl sealed::Sealed for Grant {}

impl Execute for Grant {
    type Output = Result<GrantResponse, Error>;
    type Future = BoxFuture<'static, Self::Output>;

    fn execute(self, client: Client, options: CallOptions) -> Self::Future {
        Box::pin(async move { Ok(grant(&client, self, options).await?.response) })
    }
}

/// A lease that was granted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Granted {
    pub(crate) response: GrantResponse,
    /// Until when it surely lives, unless it is revoked: counted from when the request was sent
    /// that was answered.
    // I-L1, I-L7
    pub(crate) valid_until: Instant,
}

/// A grant with an id, which is made again after an unknown outcome.
#[derive(Debug, Clone)]
struct Repeatable(request::Grant);

impl Operation for Repeatable {
    type Response = GrantResponse;

    fn rpc(&self) -> Rpc {
        self.0.rpc().effect(Effect::IdempotentWrite)
    }

    fn encode(&mut self, limits: &Limits, prefix: Option<&KeyPrefix>) -> Result<Bytes, Error> {
        self.0.encode(limits, prefix)
    }

    fn decode(self, message: Bytes, prefix: Option<&KeyPrefix>) -> Result<GrantResponse, Error> {
        self.0.decode(message, prefix)
    }
}

/// Grants a lease. One that was granted although the answer was lost is found by its id.
pub(crate) async fn grant(
    client: &Client,
    grant: Grant,
    options: CallOptions,
) -> Result<Granted, Error> {
    let shared = client.shared();
    let began = shared.now();
    let deadline = began + options.timeout.unwrap_or(shared.config.request_timeout);
    let calls = Calls { shared, options: client.call_options(options), deadline };
    let chosen = grant.0.chosen_id();
    let draw = || if chosen.is_some() { chosen } else { draw_id(shared.next_seed()) };
    let mut id = draw();
    // Whether an attempt to grant this id may have been applied.
    let mut may_be_ours = false;
    let mut rounds = ROUNDS;
    loop {
        let error = match calls.run(Repeatable(grant.0.clone().id(id))).await {
            Ok((response, sent)) => {
                return Ok(Granted { valid_until: sent + response.ttl, response });
            }
            Err(error) => error,
        };
        // A refusal is not unknown by itself: an attempt before it is.
        may_be_ours |= error.outcome() == Outcome::Unknown;
        let error = of_grant(error, may_be_ours);
        rounds -= 1;
        if error.server_error() != Some(ServerError::LeaseExist) {
            return Err(error);
        }
        if may_be_ours {
            let found = calls.run(time_to_live(id)).await;
            let (found, sent) = found.map_err(|error| of_grant(error, true))?;
            let elapsed = shared.now().saturating_since(began);
            let is_ours = chosen.is_none() || is_new(&found, grant.0.ttl(), elapsed);
            match found.ttl {
                Some(left) if !left.is_zero() && is_ours => {
                    return Ok(granted(&found, sent + left));
                }
                // It has ended since, or the leader does not know it yet: the same id is asked for
                // again.
                None if rounds > 0 => continue,
                _ => {}
            }
        }
        if chosen.is_some() || rounds == 0 {
            return Err(error);
        }
        (id, may_be_ours) = (draw(), false);
    }
}

/// What the calls of one grant have in common.
struct Calls<'a> {
    shared: &'a Arc<Shared>,
    options: CallOptions,
    deadline: Instant,
}

impl Calls<'_> {
    /// Makes a call in what is left of the time; returns also when the request was sent that was
    /// answered.
    async fn run<T: Operation>(&self, operation: T) -> Result<(T::Response, Instant), Error> {
        let now = self.shared.now();
        let timeout = Some(self.deadline.saturating_since(now));
        let options = CallOptions { timeout, ..self.options };
        let mut call = OperationCall::new(Arc::clone(self.shared), operation, options);
        let (answer, _) = (&mut call).await;
        answer.map(|response| (response, call.last_sent().unwrap_or(now)))
    }
}

/// Draws an id: any positive number.
// L1
fn draw_id(seed: u64) -> LeaseId {
    let id = i64::try_from(Rng::new(seed).next_u64() >> 1).unwrap_or(i64::MAX);
    LeaseId(id.max(1))
}

/// Completes the error of a call for a grant. Made again by the caller it would be another lease,
/// or be told that the id is taken.
fn of_grant(error: Error, may_be_ours: bool) -> Error {
    let error = error.with_method(method::LEASE_GRANT.path).with_effect(Effect::Write);
    if may_be_ours { error.with_outcome(Outcome::Unknown) } else { error }
}

/// Returns whether a lease may have been granted within this time: one that was granted before has
/// less left, unless it was renewed.
fn is_new(found: &TimeToLiveResponse, asked: Duration, elapsed: Duration) -> bool {
    let left = found.ttl.unwrap_or_default();
    found.granted >= asked && left.saturating_add(elapsed + TOLERANCE) >= found.granted
}

/// Makes the answer that was lost of what is known of the lease.
fn granted(found: &TimeToLiveResponse, valid_until: Instant) -> Granted {
    let mut response = GrantResponse::default();
    response.header = found.header;
    response.id = found.id;
    response.ttl = found.granted;
    Granted { response, valid_until }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    // I-L9
    #[test]
    fn ids_are_positive_and_differ() {
        let ids: BTreeSet<_> = (0..10_000).map(draw_id).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.0 > 0));
        let halves = ids.iter().filter(|id| id.0 >= 1 << 62).count();
        assert!((4_500..5_500).contains(&halves), "{halves} in the upper half");
    }

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_that_others_have_is_told_by_its_age() {
        for (granted, left, asked, elapsed, expected) in [
            (60, 60, 60, 0, true),
            (60, 59, 60, 0, true),
            (60, 54, 60, 4, true),
            (60, 53, 60, 4, false),
            (60, 30, 60, 1, false),
            // The least that the server grants, and less than was asked for.
            (2, 1, 1, 0, true),
            (10, 10, 60, 0, false),
        ] {
            let mut found = TimeToLiveResponse::default();
            (found.granted, found.ttl) = (seconds(granted), Some(seconds(left)));
            let is = is_new(&found, seconds(asked), seconds(elapsed));
            assert_eq!(is, expected, "{found:?}, {asked}, {elapsed}");
        }
    }
}
