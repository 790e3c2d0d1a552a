//! Which failure may be tried again, and what it means for the request: one table.
//!
//! | failure | outcome | read, idempotent write | write |
//! |---|---|---|---|
//! | never left, or declared unprocessed | not sent | again | again |
//! | "no leader" to a call that asked for a leader | rejected | again | again |
//! | "rpc not supported for learner" | rejected | again | again |
//! | "too many requests" | rejected | again, later | again, later |
//! | "unhealthy cluster", to a change of the members | rejected | again | final |
//! | stale token, old auth revision, no user | rejected | with a new token | with a new token |
//! | compacted or future revision, read by a transaction that writes | unknown | – | **final** |
//! | other refusals, those of the services of locks and elections too | rejected | final | final |
//! | connection lost, timed out, stopped, leader changed, … | unknown | again | **final** |
//! | no answer within the time for one attempt | unknown | again | – |
//! | the connection may be dead, and there is another one | unknown | again | – |
//! | older than what was seen before it was asked for | unknown | again, later | – |
//! | older, or without a revision that was seen, from a member by itself | unknown | again | – |
//! | from another cluster than the other endpoints | unknown | again, later | **final** |
//! | from the cluster that all endpoints have become | unknown | final | **final** |
//! | storage quota used up, data lost, answer over the limit | unknown | final | **final** |

// R40–R44

use crate::error::{Cause, Error, ErrorKind};
use crate::method::Effect;
use crate::outcome::Outcome;
use crate::server_error::{ServerError, ServiceError};
use crate::signal::{Freshness, HealthSignal};
use crate::status::{Code, Status};

/// How one attempt of a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure<'a> {
    /// The request did not leave, or the peer declared it unprocessed.
    NotSent,
    /// The connection or the stream broke after the request was handed over.
    Lost,
    /// The answer broke the rules of gRPC.
    Malformed,
    /// The answer was over the receive limit.
    TooLarge,
    /// No answer came within the time for one attempt.
    Unanswered,
    /// The connection may be dead, and there is another one.
    Migrated,
    /// The response is not fresh.
    NotFresh(Freshness),
    /// The response is what a member has by itself, and older than what was seen; or the member
    /// lacks a revision that was seen.
    Behind,
    /// The server answered with a status other than OK.
    Status {
        /// That status.
        status: &'a Status,
        /// Whether the call asked to be refused by a member without a leader.
        require_leader: bool,
        /// The length of the request, in bytes, if it is known.
        request_len: Option<usize>,
    },
}

impl Failure<'_> {
    /// Returns how a response that is not fresh fails; `None` if it is. A member that was not asked
    /// for the state of the cluster may be behind by right.
    pub(crate) const fn of_freshness(freshness: Freshness, is_linearizable: bool) -> Option<Self> {
        match freshness {
            Freshness::Fresh => None,
            Freshness::Stale { .. } if !is_linearizable => Some(Self::Behind),
            _ => Some(Self::NotFresh(freshness)),
        }
    }
}

/// Returns what is wrong with a member that refused to read a revision of what it has by itself,
/// if that had been seen of its cluster: it is behind. Other revisions may be yet to come.
// I-R8, R-08
pub(crate) fn behind(error: &Error, local_revision: i64, seen: i64) -> Option<Error> {
    let is_seen = (1..=seen).contains(&local_revision);
    (is_seen && error.server_error() == Some(ServerError::FutureRev)).then(|| {
        let kind = ErrorKind::StaleRead { revision: 0, seen };
        Error::new(kind).with_cause(Cause::new(error.clone()))
    })
}

/// What may be done about a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryAction {
    /// Nothing: the failure is the result of the call.
    None,
    /// Try again, on another endpoint if there is one.
    Again,
    /// Try again, but only after a wait.
    Later,
    /// Try again with a newer token.
    NewToken,
}

/// What follows from one failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decision {
    /// What may have become of this attempt.
    pub outcome: Outcome,
    /// What may be done about it.
    pub action: RetryAction,
    /// What it tells of the endpoint.
    pub signal: HealthSignal,
}

/// Judges one failed attempt of a call with this effect.
#[must_use]
pub fn decide(effect: Effect, failure: Failure<'_>) -> Decision {
    let again_if_repeatable =
        if effect.is_repeatable() { RetryAction::Again } else { RetryAction::None };
    let (outcome, action) = match failure {
        Failure::NotSent => (Outcome::NotSent, RetryAction::Again),
        Failure::Lost
        | Failure::Malformed
        | Failure::Unanswered
        | Failure::Migrated
        | Failure::Behind => (Outcome::Unknown, again_if_repeatable),
        Failure::NotFresh(Freshness::Changed { .. }) | Failure::TooLarge => {
            (Outcome::Unknown, RetryAction::None)
        }
        Failure::NotFresh(_) if effect.is_repeatable() => (Outcome::Unknown, RetryAction::Later),
        Failure::NotFresh(_) => (Outcome::Unknown, RetryAction::None),
        Failure::Status { status, .. } if ServiceError::from_status(status).is_some() => {
            (Outcome::Rejected, RetryAction::None)
        }
        Failure::Status { status, require_leader, request_len } => {
            let error = ServerError::in_answer(status, request_len);
            match outcome(effect, status.code, error, require_leader) {
                Outcome::Unknown
                    if may_pass(status.code) && error != Some(ServerError::NoSpace) =>
                {
                    (Outcome::Unknown, again_if_repeatable)
                }
                Outcome::Unknown => (Outcome::Unknown, RetryAction::None),
                answered if error == Some(ServerError::Unhealthy) => {
                    (answered, again_if_repeatable)
                }
                answered => (answered, action_of_refusal(error)),
            }
        }
    };
    Decision { outcome, action, signal: signal(failure) }
}

/// What a failure tells of the endpoint: whether others should be preferred for a while.
// B27
pub(crate) fn signal(failure: Failure<'_>) -> HealthSignal {
    match failure {
        Failure::NotSent | Failure::Migrated | Failure::NotFresh(Freshness::Changed { .. }) => {
            HealthSignal::None
        }
        Failure::TooLarge | Failure::NotFresh(Freshness::Fresh) => HealthSignal::Healthy,
        Failure::Behind => HealthSignal::Alive,
        Failure::Lost | Failure::Malformed | Failure::Unanswered | Failure::NotFresh(_) => {
            HealthSignal::Unhealthy
        }
        Failure::Status { status, request_len, .. } => {
            match ServerError::in_answer(status, request_len) {
                Some(
                    ServerError::NoLeader
                    | ServerError::Stopped
                    | ServerError::Timeout
                    | ServerError::TimeoutDueToLeaderFail
                    | ServerError::TimeoutDueToConnectionLost
                    | ServerError::TimeoutWaitAppliedIndex
                    | ServerError::Unhealthy
                    | ServerError::Corrupt
                    | ServerError::NotSupportedForLearner,
                ) => HealthSignal::Unhealthy,
                // All members say so at the same time, and none is to blame.
                Some(ServerError::LeaderChanged | ServerError::TooManyRequests) => {
                    HealthSignal::None
                }
                Some(_) => HealthSignal::Healthy,
                None if ServiceError::from_status(status).is_some() => HealthSignal::Healthy,
                // Also what a server says that gave up waiting for the others: 3.4 ends writes with
                // "context deadline exceeded" under the code Unknown (E5, E14).
                None if matches!(
                    status.code,
                    Code::Unavailable
                        | Code::Internal
                        | Code::Unknown
                        | Code::DeadlineExceeded
                        | Code::Canceled
                ) =>
                {
                    HealthSignal::Unhealthy
                }
                None => HealthSignal::None,
            }
        }
    }
}

/// What a status says about the request; whatever is not listed is unknown.
fn outcome(
    effect: Effect,
    wire: Code,
    error: Option<ServerError>,
    require_leader: bool,
) -> Outcome {
    match error {
        Some(ServerError::Compacted | ServerError::FutureRev) if effect == Effect::PinnedWrite => {
            Outcome::Unknown
        }
        Some(ServerError::NoLeader) if require_leader => Outcome::Rejected,
        Some(ServerError::NoSpace) => Outcome::Unknown,
        // Members are checked before their change is proposed.
        // M14
        Some(
            ServerError::TooManyRequests | ServerError::RequestTooLarge | ServerError::Unhealthy,
        ) => Outcome::Rejected,
        Some(known) => outcome_of_code(known.code()),
        None => outcome_of_code(wire),
    }
}

fn outcome_of_code(code: Code) -> Outcome {
    match code {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => Outcome::Rejected,
        Code::Ok
        | Code::Canceled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => Outcome::Unknown,
    }
}

/// Returns whether another try of a read may well fare better.
const fn may_pass(code: Code) -> bool {
    !matches!(code, Code::DataLoss | Code::ResourceExhausted)
}

const fn action_of_refusal(error: Option<ServerError>) -> RetryAction {
    match error {
        Some(ServerError::NoLeader | ServerError::NotSupportedForLearner) => RetryAction::Again,
        Some(ServerError::TooManyRequests) => RetryAction::Later,
        Some(
            ServerError::InvalidAuthToken | ServerError::AuthOldRevision | ServerError::UserEmpty,
        ) => RetryAction::NewToken,
        _ => RetryAction::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server_error::ServerError as E;

    const REJECTED: Outcome = Outcome::Rejected;
    const UNKNOWN: Outcome = Outcome::Unknown;

    const fn plain(status: &Status) -> Failure<'_> {
        Failure::Status { status, require_leader: false, request_len: None }
    }

    fn judge(effect: Effect, status: &Status, require_leader: bool) -> (Outcome, RetryAction) {
        let failure = Failure::Status { status, require_leader, request_len: None };
        let decision = decide(effect, failure);
        (decision.outcome, decision.action)
    }

    /// (outcome, action for reads and idempotent writes, action for writes)
    fn row(status: &Status, require_leader: bool) -> (Outcome, RetryAction, RetryAction) {
        let (outcome, read) = judge(Effect::Read, status, require_leader);
        assert_eq!(judge(Effect::IdempotentWrite, status, require_leader), (outcome, read));
        let (write_outcome, write) = judge(Effect::Write, status, require_leader);
        assert_eq!(outcome, write_outcome, "one outcome whatever the effect");
        (outcome, read, write)
    }

    // R40, R41, R42: failures without a status.
    #[test]
    fn transport_failures() {
        let table = [
            (Failure::NotSent, Outcome::NotSent, RetryAction::Again, RetryAction::Again),
            (Failure::Lost, UNKNOWN, RetryAction::Again, RetryAction::None),
            (Failure::Malformed, UNKNOWN, RetryAction::Again, RetryAction::None),
            (Failure::TooLarge, UNKNOWN, RetryAction::None, RetryAction::None),
            (Failure::Unanswered, UNKNOWN, RetryAction::Again, RetryAction::None),
            (Failure::Migrated, UNKNOWN, RetryAction::Again, RetryAction::None),
            (Failure::Behind, UNKNOWN, RetryAction::Again, RetryAction::None),
            (
                Failure::NotFresh(Freshness::Stale { floor: 1 }),
                UNKNOWN,
                RetryAction::Later,
                RetryAction::None,
            ),
            (
                Failure::NotFresh(Freshness::Foreign { expected: 1 }),
                UNKNOWN,
                RetryAction::Later,
                RetryAction::None,
            ),
            (
                Failure::NotFresh(Freshness::Changed { expected: 1 }),
                UNKNOWN,
                RetryAction::None,
                RetryAction::None,
            ),
        ];
        for (failure, outcome, read, write) in table {
            let judge = |effect| {
                let decision = decide(effect, failure);
                (decision.outcome, decision.action)
            };
            assert_eq!(judge(Effect::Read), (outcome, read));
            assert_eq!(judge(Effect::IdempotentWrite), (outcome, read));
            assert_eq!(judge(Effect::Write), (outcome, write));
        }
    }

    // I-R2: every code without a known text. R3: a peer's CANCELED never re-sends a write.
    #[test]
    fn every_code() {
        for code in Code::ALL {
            let (outcome, read, write) = row(&Status::new(code, "something else"), false);
            assert_eq!(write, RetryAction::None, "{code:?}: a write is final");
            match code.number() {
                3 | 5 | 6 | 7 | 9 | 11 | 12 | 16 => {
                    assert_eq!((outcome, read), (REJECTED, RetryAction::None));
                }
                8 | 15 => assert_eq!((outcome, read), (UNKNOWN, RetryAction::None)),
                _ => assert_eq!((outcome, read), (UNKNOWN, RetryAction::Again), "{code:?}"),
            }
        }
    }

    // R41–R44, I-R6, E10.x: every known error, under the code of the table and under a wrong one.
    #[test]
    fn every_server_error() {
        for &error in E::ALL {
            let expected = match error {
                E::NotSupportedForLearner => (REJECTED, RetryAction::Again, RetryAction::Again),
                // M14, CLU-024: said before anything is proposed, and for seconds.
                E::Unhealthy => (REJECTED, RetryAction::Again, RetryAction::None),
                E::TooManyRequests => (REJECTED, RetryAction::Later, RetryAction::Later),
                E::InvalidAuthToken | E::AuthOldRevision | E::UserEmpty => {
                    (REJECTED, RetryAction::NewToken, RetryAction::NewToken)
                }
                E::NoSpace | E::Corrupt => (UNKNOWN, RetryAction::None, RetryAction::None),
                E::NoLeader
                | E::LeaderChanged
                | E::Stopped
                | E::Timeout
                | E::TimeoutDueToLeaderFail
                | E::TimeoutDueToConnectionLost
                | E::TimeoutWaitAppliedIndex
                | E::Canceled
                | E::WatchCanceled
                | E::DeadlineExceeded => (UNKNOWN, RetryAction::Again, RetryAction::None),
                _ => (REJECTED, RetryAction::None, RetryAction::None),
            };
            assert_eq!(row(&Status::new(error.code(), error.text()), false), expected, "{error:?}");
        }
    }

    // E4, E5: a wrong code on the wire does not change the decision on a refusal.
    #[test]
    fn the_text_outweighs_the_code() {
        for error in [E::TooManyRequests, E::MemberNotEnoughStarted, E::PermissionDenied] {
            let right = row(&Status::new(error.code(), error.text()), false);
            assert_eq!(row(&Status::new(Code::Unknown, error.text()), false), right, "{error:?}");
        }
        let learner = Status::new(Code::Unavailable, E::NotSupportedForLearner.text());
        assert_eq!(row(&learner, false), (REJECTED, RetryAction::Again, RetryAction::Again));
    }

    // X36: of the code Unknown, but refusals all the same, of a server that is well.
    #[test]
    fn the_services_of_locks_and_elections_refuse_for_good() {
        for &error in ServiceError::ALL {
            let status = Status::new(Code::Unknown, error.text());
            assert_eq!(row(&status, true), (REJECTED, RetryAction::None, RetryAction::None));
            assert_eq!(decide(Effect::Read, plain(&status)).signal, HealthSignal::Healthy);
        }
    }

    // etcd#18667: the member that answers did not apply it, the others may have.
    #[test]
    fn a_refused_revision_does_not_undo_the_writes_beside_it() {
        for error in [E::Compacted, E::FutureRev] {
            let status = Status::new(error.code(), error.text());
            assert_eq!(judge(Effect::PinnedWrite, &status, false), (UNKNOWN, RetryAction::None));
            assert_eq!(judge(Effect::Write, &status, false), (REJECTED, RetryAction::None));
        }
        for &error in E::ALL.iter().filter(|e| !matches!(e, E::Compacted | E::FutureRev)) {
            let status = Status::new(error.code(), error.text());
            let as_write = judge(Effect::Write, &status, false);
            assert_eq!(judge(Effect::PinnedWrite, &status, false), as_write, "{error:?}");
        }
    }

    // A proxy says the same of a request that it forwards nothing of, and of the answer to one that
    // was executed.
    #[test]
    fn a_message_over_a_limit_is_rejected_only_if_it_is_the_request() {
        for text in [
            "trying to send message larger than max (300 vs. 200)",
            "grpc: received message larger than max (300 vs. 200)",
        ] {
            let status = Status::new(Code::ResourceExhausted, text);
            let judge = |effect, request_len| {
                let failure =
                    Failure::Status { status: &status, require_leader: false, request_len };
                let decision = decide(effect, failure);
                (decision.outcome, decision.action)
            };
            for effect in
                [Effect::Read, Effect::IdempotentWrite, Effect::Write, Effect::PinnedWrite]
            {
                assert_eq!(judge(effect, Some(300)), (REJECTED, RetryAction::None), "{effect:?}");
                assert_eq!(judge(effect, Some(299)), (UNKNOWN, RetryAction::None), "{effect:?}");
                assert_eq!(judge(effect, None), (UNKNOWN, RetryAction::None), "{effect:?}");
            }
        }
    }

    // R41, W18: "no leader" is raised before anything is proposed only where the call asked for it.
    #[test]
    fn no_leader_depends_on_what_was_asked() {
        let status = Status::new(Code::Unavailable, E::NoLeader.text());
        assert_eq!(row(&status, true), (REJECTED, RetryAction::Again, RetryAction::Again));
        assert_eq!(row(&status, false), (UNKNOWN, RetryAction::Again, RetryAction::None));
    }

    // B27: what makes a member a suspect, and what does not.
    #[test]
    fn impressions_of_a_member() {
        let of = |error: E| {
            let status = Status::new(error.code(), error.text());
            decide(Effect::Read, plain(&status)).signal
        };
        for error in [E::Timeout, E::NoLeader, E::NotSupportedForLearner, E::Stopped] {
            assert_eq!(of(error), HealthSignal::Unhealthy, "{error:?}");
        }
        assert_eq!(of(E::LeaderChanged), HealthSignal::None);
        for error in [E::Compacted, E::PermissionDenied, E::KeyNotFound] {
            assert_eq!(of(error), HealthSignal::Healthy, "{error:?}");
        }
        let status = Status::new(Code::Unknown, "context deadline exceeded");
        assert_eq!(decide(Effect::Write, plain(&status)).signal, HealthSignal::Unhealthy);
        let not_sent = decide(Effect::Read, Failure::NotSent);
        assert_eq!(not_sent.signal, HealthSignal::None);
        assert_eq!(decide(Effect::Read, Failure::Migrated).signal, HealthSignal::None);
        assert_eq!(decide(Effect::Write, Failure::Unanswered).signal, HealthSignal::Unhealthy);
    }
}
