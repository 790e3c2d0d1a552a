//! Leases: granting, revoking, and what is known of them.

use super::operation;
use super::options::options;
use crate::{LeaseId, ResponseHeader};
use bytes::Bytes;
use etcd3_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseLeasesRequest, LeaseLeasesResponse,
    LeaseRevokeRequest, LeaseRevokeResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use std::time::Duration;

/// A grant of a lease: `etcdserverpb.Lease/LeaseGrant`.
///
/// The server takes whole seconds, at least one and a half times its election timeout: with the
/// defaults 2 s. A shorter time to live is raised to that, and the answer tells which one it is.
/// One of over 9,000,000,000 seconds is refused
/// ([`LeaseTtlTooLarge`](crate::ServerError::LeaseTtlTooLarge)), and so is the id of a lease that
/// there is ([`LeaseExist`](crate::ServerError::LeaseExist)).
///
/// When it ends in an error whose outcome is *unknown*, the lease may or may not exist. Made again
/// with the same id, it is answered `LeaseExist` if it does, so its effect is that of a
/// [`Write`](crate::method::Effect::Write) all the same.
// C52
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    request: LeaseGrantRequest,
}

/// Grants a lease that ends after this time unless it is renewed; a fraction of a second counts as
/// a second, and so does zero.
#[must_use]
pub fn grant(ttl: Duration) -> Grant {
    Grant { request: LeaseGrantRequest { ttl: seconds(ttl), id: 0 } }
}

/// Returns whole seconds: never less than what was asked for.
// I-L7, L-18
fn seconds(ttl: Duration) -> i64 {
    let whole = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0));
    i64::try_from(whole).unwrap_or(i64::MAX).max(1)
}

/// Returns the duration of whole seconds, none of which are negative.
fn duration(seconds: i64) -> Duration {
    Duration::from_secs(seconds.try_into().unwrap_or(0))
}

options! { $ Grant as grant_options {
    /// Sets the id of the lease: any number that no other lease has. 0 leaves the choice to others,
    /// as if this was not called.
    ///
    /// Two who take the same id are not told apart with certainty when answers are lost: an id is
    /// no lock.
    // I-L9
    pub fn id(mut self, id: impl Into<LeaseId>) -> Self {
        self.request.id = id.into().0;
        self
    }
} }

impl Grant {
    /// Returns the id that was chosen; [`LeaseId::NONE`] if none was.
    #[must_use]
    pub const fn chosen_id(&self) -> LeaseId {
        LeaseId(self.request.id)
    }

    /// Returns the time to live that is asked for, in whole seconds.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        duration(self.request.ttl)
    }
}

/// The answer to a [`Grant`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct GrantResponse {
    /// Which cluster and member answered; a grant does not move the revision.
    pub header: ResponseHeader,
    /// The id of the lease.
    pub id: LeaseId,
    /// The time to live that was granted: what was asked for, or the least that the server grants.
    pub ttl: Duration,
}

impl From<LeaseGrantResponse> for GrantResponse {
    fn from(answer: LeaseGrantResponse) -> Self {
        // No server sets the field `error`: those are statuses.
        let LeaseGrantResponse { header, id, ttl, error: _ } = answer;
        Self { header: header.into(), id: LeaseId(id), ttl: duration(ttl) }
    }
}

operation!(Grant: LeaseGrantRequest => LeaseGrantResponse => GrantResponse);

/// A revocation of a lease: `etcdserverpb.Lease/LeaseRevoke`.
///
/// Deletes the keys that are attached to the lease, all in one revision. The server answers
/// [`LeaseNotFound`](crate::ServerError::LeaseNotFound) for a lease that has expired or was revoked
/// before, which is also what a revocation after one of *unknown* outcome may be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Revoke {
    request: LeaseRevokeRequest,
}

/// Ends a lease now, and deletes the keys that are attached to it.
pub fn revoke(id: impl Into<LeaseId>) -> Revoke {
    Revoke { request: LeaseRevokeRequest { id: id.into().0 } }
}

/// The answer to a [`Revoke`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct RevokeResponse {
    /// Which cluster and member answered; its revision is that of the deletion, if the lease had
    /// keys.
    pub header: ResponseHeader,
}

impl From<LeaseRevokeResponse> for RevokeResponse {
    fn from(answer: LeaseRevokeResponse) -> Self {
        Self { header: answer.header.into() }
    }
}

operation!(Revoke: LeaseRevokeRequest => LeaseRevokeResponse => RevokeResponse);

/// A look at one lease: `etcdserverpb.Lease/LeaseTimeToLive`.
///
/// A lease that does not exist is no error: its time to live is `None`.
// L3
#[derive(Debug, Clone, PartialEq)]
pub struct TimeToLive {
    request: LeaseTimeToLiveRequest,
}

/// Asks how much time a lease has left.
pub fn time_to_live(id: impl Into<LeaseId>) -> TimeToLive {
    TimeToLive { request: LeaseTimeToLiveRequest { id: id.into().0, keys: false } }
}

options! { $ TimeToLive as time_to_live_options {
    /// Returns the keys that are attached to the lease.
    pub fn keys(mut self) -> Self {
        self.request.keys = true;
        self
    }
} }

/// The answer to a [`TimeToLive`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct TimeToLiveResponse {
    /// Which cluster and member answered.
    pub header: ResponseHeader,
    /// The lease that was asked for.
    pub id: LeaseId,
    /// The time that is left, in whole seconds, rounded down; `None` for a lease that does not
    /// exist, or no longer.
    // L3
    pub ttl: Option<Duration>,
    /// The time to live that was granted, and to which each renewal sets it again; zero for a lease
    /// that does not exist.
    pub granted: Duration,
    /// The keys that are attached to the lease, in no order, if they were asked for.
    pub keys: Vec<Bytes>,
}

impl From<LeaseTimeToLiveResponse> for TimeToLiveResponse {
    fn from(answer: LeaseTimeToLiveResponse) -> Self {
        let LeaseTimeToLiveResponse { header, id, ttl, granted_ttl, keys } = answer;
        Self {
            header: header.into(),
            id: LeaseId(id),
            ttl: u64::try_from(ttl).ok().map(Duration::from_secs),
            granted: duration(granted_ttl),
            keys,
        }
    }
}

operation!(TimeToLive: LeaseTimeToLiveRequest => LeaseTimeToLiveResponse => TimeToLiveResponse);

/// A list of all leases: `etcdserverpb.Lease/LeaseLeases`.
///
/// The member that is asked answers from what it knows, without asking the others: a lease that was
/// granted a moment ago may be missing, and one that is gone may be there.
// L4
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Leases {
    request: LeaseLeasesRequest,
}

/// Lists all leases.
#[must_use]
pub fn leases() -> Leases {
    Leases::default()
}

/// The answer to a [`Leases`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct LeasesResponse {
    /// Which cluster and member answered.
    pub header: ResponseHeader,
    /// The leases, in no order.
    pub leases: Vec<LeaseId>,
}

impl From<LeaseLeasesResponse> for LeasesResponse {
    fn from(answer: LeaseLeasesResponse) -> Self {
        let leases = answer.leases.into_iter().map(|lease| LeaseId(lease.id)).collect();
        Self { header: answer.header.into(), leases }
    }
}

operation!(Leases: LeaseLeasesRequest => LeaseLeasesResponse => LeasesResponse);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::Effect;
    use crate::request::{Limits, Operation};
    use etcd3_proto::etcdserverpb as pb;
    use prost::Message;

    fn asked(ttl: Duration) -> i64 {
        grant(ttl).request(&Limits::default()).unwrap().ttl
    }

    // I-L7, L-18, C52
    #[test]
    fn a_time_to_live_is_never_asked_for_too_short() {
        for (nanos, seconds) in [
            (0, 1),
            (1, 1),
            (999_999_999, 1),
            (1_000_000_000, 1),
            (1_000_000_001, 2),
            (2_500_000_000, 3),
        ] {
            assert_eq!(asked(Duration::from_nanos(nanos)), seconds, "{nanos}");
        }
        assert_eq!(asked(Duration::from_secs(9_000_000_001)), 9_000_000_001, "the server refuses");
        assert_eq!(asked(Duration::from_millis(8_999_999_999_001)), 9_000_000_000);
        for endless in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(1 << 63)]
        {
            assert_eq!(asked(endless), i64::MAX);
        }
    }

    // I-L9
    #[test]
    fn a_grant_says_which_id_was_chosen() {
        let mut granted = grant(Duration::from_secs(60)).id(7).id(LeaseId(-9));
        assert_eq!((granted.chosen_id(), granted.ttl()), (LeaseId(-9), Duration::from_secs(60)));
        assert_eq!(granted.request(&Limits::default()).unwrap().id, -9);
        assert!(grant(Duration::from_secs(60)).chosen_id().is_none());
    }

    // R16: a second grant of an id is an error, and so is a second revocation. Whoever makes up for
    // that may call it idempotent.
    #[test]
    fn what_may_be_made_again() {
        let granted = grant(Duration::from_secs(60));
        assert_eq!(granted.rpc().effect, Effect::Write);
        assert_eq!(granted.id(7).rpc().effect, Effect::Write);
        assert_eq!(revoke(7).rpc().effect, Effect::Write);
        assert_eq!(time_to_live(7).rpc().effect, Effect::Read);
        assert_eq!(leases().rpc().effect, Effect::Read);
    }

    fn decoded<T: Operation>(operation: T, answer: &impl Message) -> T::Response {
        operation.decode(answer.encode_to_vec().into(), None).unwrap()
    }

    // L3
    #[test]
    fn a_lease_that_does_not_exist_has_no_time_to_live() {
        let answer = |ttl, granted_ttl| pb::LeaseTimeToLiveResponse {
            id: -7,
            ttl,
            granted_ttl,
            keys: vec!["k".into()],
            ..Default::default()
        };
        let found = decoded(time_to_live(-7).keys(), &answer(9, 10));
        assert_eq!((found.id, found.ttl), (LeaseId(-7), Some(Duration::from_secs(9))));
        assert_eq!((found.granted, &found.keys[..]), (Duration::from_secs(10), &["k".into()][..]));
        assert_eq!(decoded(time_to_live(-7), &answer(0, 10)).ttl, Some(Duration::ZERO));
        let missing = decoded(time_to_live(-7), &answer(-1, 0));
        assert_eq!((missing.ttl, missing.granted), (None, Duration::ZERO));
        assert_eq!(decoded(time_to_live(-7), &answer(i64::MIN, i64::MIN)).granted, Duration::ZERO);
    }

    #[test]
    fn answers_are_read() {
        let answer = pb::LeaseGrantResponse { id: i64::MIN, ttl: 2, ..Default::default() };
        let granted = decoded(grant(Duration::ZERO), &answer);
        assert_eq!((granted.id, granted.ttl), (LeaseId(i64::MIN), Duration::from_secs(2)));
        let header = pb::ResponseHeader { revision: 9, ..Default::default() };
        let answer = pb::LeaseRevokeResponse { header: Some(header) };
        assert_eq!(decoded(revoke(LeaseId(7)), &answer).header.revision, 9);
        let leases_of = [3, -1].map(|id| pb::LeaseStatus { id }).into();
        let answer = pb::LeaseLeasesResponse { leases: leases_of, ..Default::default() };
        assert_eq!(decoded(leases(), &answer).leases, [LeaseId(3), LeaseId(-1)]);
    }
}
