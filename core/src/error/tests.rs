use super::*;
use crate::method;
use std::io;

fn reset() -> Cause {
    Cause::new(io::Error::from(io::ErrorKind::ConnectionReset))
}

fn lost(effect: Effect) -> Error {
    Error::new(ErrorKind::ConnectionLost)
        .with_outcome(Outcome::Unknown)
        .with_effect(effect)
        .with_method("/etcdserverpb.KV/Txn")
        .with_endpoint(Arc::<str>::from("http://a:2379"))
        .with_attempts(1)
        .with_cause(reset())
}

/// As people print errors: alone, as a chain, and in one line.
fn printed(error: &Error) -> [String; 3] {
    let chain = anyhow::Error::from(error.clone());
    [error.to_string(), format!("{chain:#}"), error.report().to_string()]
}

#[test]
fn says_what_where_and_what_may_have_happened() {
    let error = lost(Effect::Write);
    assert_eq!(
        printed(&error),
        [
            "Txn: the connection was lost [outcome unknown: it may have been applied; attempts: 1; \
             endpoint: http://a:2379]",
            "Txn: the connection was lost [outcome unknown: it may have been applied; attempts: 1; \
             endpoint: http://a:2379]: connection reset",
            "Txn: the connection was lost: connection reset [outcome unknown: it may have been \
             applied; attempts: 1; endpoint: http://a:2379]",
        ]
    );
    assert!(error.source().is_some_and(<dyn StdError>::is::<io::Error>));
    assert_eq!(error, error.clone());
}

// A read has not been "applied", whatever became of it.
#[test]
fn an_outcome_reads_as_it_matters_to_the_request() {
    let text = |effect, outcome| lost(effect).with_outcome(outcome).to_string();
    let details = |effect, outcome| {
        let text = text(effect, outcome);
        text.trim_start_matches("Txn: the connection was lost [")
            .split(';')
            .next()
            .map(String::from)
    };
    for effect in [Effect::Write, Effect::IdempotentWrite, Effect::PinnedWrite] {
        let unknown = details(effect, Outcome::Unknown);
        assert_eq!(unknown.as_deref(), Some("outcome unknown: it may have been applied"));
        let rejected = details(effect, Outcome::Rejected);
        assert_eq!(rejected.as_deref(), Some("rejected, nothing changed"));
        assert_eq!(details(effect, Outcome::NotSent).as_deref(), Some("not sent"));
    }
    assert_eq!(details(Effect::Read, Outcome::Unknown).as_deref(), Some("attempts: 1"));
    assert_eq!(details(Effect::Read, Outcome::Rejected).as_deref(), Some("rejected"));
    assert_eq!(details(Effect::Read, Outcome::NotSent).as_deref(), Some("not sent"));
    // What is no request is neither sent nor applied.
    let config = Error::new(ErrorKind::InvalidConfig).with_cause(Cause::new("no endpoints"));
    assert_eq!(
        printed(&config),
        [
            "the configuration is not valid",
            "the configuration is not valid: no endpoints",
            "the configuration is not valid: no endpoints",
        ]
    );
    assert_eq!(
        Error::protocol("no").to_string(),
        "the answer breaks the protocol [outcome unknown]",
        "it is not known what was asked for"
    );
}

// "[not sent] [not sent; attempts: 1]" says less than either.
#[test]
fn details_are_said_once() {
    let inner = Error::new(ErrorKind::Connect(ConnectFailure::Refused))
        .with_endpoint(Arc::<str>::from("http://a:1"))
        .with_cause(Cause::new(io::Error::other("127.0.0.1:1: connection refused")));
    let outer = Error::new(ErrorKind::TimedOut(Phase::Connection))
        .with_effect(Effect::Write)
        .with_method("/etcdserverpb.KV/Put")
        .with_cause(Cause::new(inner.clone()));
    let causes =
        "http://a:1: cannot connect: the connection failed: 127.0.0.1:1: connection refused";
    assert_eq!(
        printed(&outer),
        [
            "Put: timed out waiting for a connection [not sent]".to_owned(),
            format!("Put: timed out waiting for a connection [not sent]: {causes}"),
            format!("Put: timed out waiting for a connection: {causes} [not sent]"),
        ]
    );
    let source = outer.source().and_then(|cause| cause.downcast_ref::<Error>());
    assert_eq!(source.map(Error::kind), Some(inner.kind()), "it is still an error of ours");
    let closed = Error::new(ErrorKind::Closed).with_cause(Cause::new(lost(Effect::Read)));
    let text = "the client is closed: http://a:2379: the connection was lost: connection reset";
    assert_eq!(closed.report().to_string(), text);
    assert_eq!(format!("{:#}", anyhow::Error::from(closed)), text);
}

// What a peer sends cannot forge a line of a log, however deep it lies.
#[test]
fn control_characters_of_causes_are_escaped() {
    let forged = || io::Error::other("x\n2026 INFO all is well\u{1b}[2J");
    let deep = Error::new(ErrorKind::Protocol).with_cause(Cause::new(forged()));
    for cause in [Cause::new(forged()), Cause::new(deep)] {
        for text in printed(&Error::new(ErrorKind::ConnectionLost).with_cause(cause)) {
            assert!(!text.contains(char::is_control), "{text}");
        }
    }
}

#[test]
fn errors_are_cheap_to_hand_around() {
    assert_eq!(size_of::<Error>(), size_of::<usize>(), "cheap to return");
    let error = Error::from_status(Status::new(Code::Unknown, "a text"), Outcome::Unknown);
    let copy = error.clone();
    assert!(Arc::ptr_eq(&error.0, &copy.0), "nothing is copied");
    let other = copy.with_attempts(3);
    assert_eq!((error.attempts(), other.attempts()), (0, 3), "until one is changed");
}

// E2: the wire code, the kind and the text are all kept.
#[test]
fn a_status_keeps_its_code_and_gets_a_kind() {
    let status = Status::new(Code::Unknown, "etcdserver: too many requests");
    let error = Error::from_status(status.clone(), Outcome::Rejected);
    assert_eq!(error.kind(), ErrorKind::Server(ServerError::TooManyRequests));
    assert_eq!((error.code(), error.status()), (Code::Unknown, Some(&status)));
    let other = Error::from_status(Status::new(Code::Aborted, "x"), Outcome::Unknown);
    assert_eq!(other.kind(), ErrorKind::Status(Code::Aborted));
    let foreseen = Error::new(ErrorKind::Server(ServerError::DuplicateKey));
    assert_eq!((foreseen.status(), foreseen.code()), (None, Code::InvalidArgument));
    assert_eq!(foreseen.to_string(), ServerError::DuplicateKey.text());
}

/// All kinds, and whether what they stand for passes.
fn kinds() -> Vec<(ErrorKind, bool)> {
    use ConnectFailure as F;
    let (len, limit) = (2, 1);
    let mut kinds = vec![
        (ErrorKind::TimedOut(Phase::Connection), true),
        (ErrorKind::TimedOut(Phase::Answer), true),
        (ErrorKind::ConnectionLost, true),
        (ErrorKind::StaleRead { revision: 1, seen: 2 }, true),
        (ErrorKind::StaleRead { revision: 0, seen: 2 }, true),
        (ErrorKind::Protocol, false),
        (ErrorKind::RequestOverLimit { len, limit }, false),
        (ErrorKind::ResponseOverLimit { len, limit }, false),
        (ErrorKind::InvalidRequest, false),
        (ErrorKind::InvalidConfig, false),
        (ErrorKind::ClusterChanged { expected: 1, found: 2 }, false),
        (ErrorKind::PlaintextPassword, false),
        (ErrorKind::OldServer { needs: Version::new(3, 5), has: Version::new(3, 3) }, false),
        (ErrorKind::Unsupported { needs: Version::new(3, 7), has: None }, false),
        (ErrorKind::Service(ServiceError::NoElectionLeader), false),
        (ErrorKind::DowngradeInProgress { target: Some(Version::new(3, 5)) }, true),
        (ErrorKind::DowngradeInProgress { target: None }, true),
        (ErrorKind::SnapshotTruncated { received: 7 }, true),
        (ErrorKind::DigestMismatch, true),
        (ErrorKind::File(io::ErrorKind::StorageFull), false),
        (ErrorKind::NoUsableMember, false),
        (ErrorKind::Closed, false),
        (ErrorKind::RuntimeEnded, false),
    ];
    let failures = [
        F::Resolve,
        F::Refused,
        F::NoSocket,
        F::Unsupported,
        F::NoAnswer,
        F::PeerSpeaksHttp1,
        F::PeerSpeaksTls,
        F::PeerNotHttp2,
        F::ClosedByPeer,
        F::Lost,
        F::Unresponsive,
        F::Tls,
        F::TlsConfig,
        F::NotHttp2OverTls,
        F::Mixed,
    ];
    kinds.extend(failures.map(|failure| (ErrorKind::Connect(failure), true)));
    kinds.extend(ServerError::ALL.iter().map(|&error| (ErrorKind::Server(error), passes(error))));
    kinds
}

/// As their texts and the retry table have it.
// R40–R44
fn passes(error: ServerError) -> bool {
    use ServerError as E;
    let passing = [
        E::NoLeader,
        E::LeaderChanged,
        E::Stopped,
        E::Timeout,
        E::TimeoutDueToLeaderFail,
        E::TimeoutDueToConnectionLost,
        E::TimeoutWaitAppliedIndex,
        E::Unhealthy,
        E::TooManyRequests,
        E::NotSupportedForLearner,
        E::InvalidAuthToken,
        E::AuthOldRevision,
        E::Canceled,
        E::WatchCanceled,
        E::DeadlineExceeded,
        E::LearnerNotReady,
        E::ClusterVersionUnavailable,
        E::DowngradeInProcess,
    ];
    passing.contains(&error)
}

const EFFECTS: [Option<Effect>; 5] = [
    None,
    Some(Effect::Read),
    Some(Effect::IdempotentWrite),
    Some(Effect::Write),
    Some(Effect::PinnedWrite),
];
const OUTCOMES: [Outcome; 3] = [Outcome::NotSent, Outcome::Rejected, Outcome::Unknown];

fn with(kind: ErrorKind, effect: Option<Effect>, outcome: Outcome) -> Error {
    let error = Error::new(kind).with_outcome(outcome);
    match effect {
        Some(effect) => error.with_effect(effect),
        None => error,
    }
}

/// Returns whether a repetition cannot make anything happen twice.
fn is_safe(effect: Option<Effect>, outcome: Outcome) -> bool {
    match (outcome, effect) {
        (Outcome::NotSent | Outcome::Rejected, _)
        | (Outcome::Unknown, Some(Effect::Read | Effect::IdempotentWrite)) => true,
        (Outcome::Unknown, None | Some(Effect::Write | Effect::PinnedWrite)) => false,
    }
}

#[test]
fn what_may_be_repeated_and_may_fare_better_is_retryable() {
    for effect in EFFECTS {
        for outcome in OUTCOMES {
            for (kind, passes) in kinds() {
                let expected = passes && is_safe(effect, outcome);
                let error = with(kind, effect, outcome);
                assert_eq!(error.is_retryable(), expected, "{kind:?}, {effect:?}, {outcome:?}");
            }
            for code in Code::ALL {
                let passes = match outcome {
                    Outcome::NotSent => true,
                    Outcome::Rejected => false,
                    Outcome::Unknown => !matches!(code, Code::ResourceExhausted | Code::DataLoss),
                };
                let error = with(ErrorKind::Status(code), effect, outcome);
                let expected = passes && is_safe(effect, outcome);
                assert_eq!(error.is_retryable(), expected, "{code:?}, {effect:?}, {outcome:?}");
            }
        }
    }
    let [lost, refused] = [lost(Effect::Read), Error::reset(7)];
    assert!(lost.is_retryable(), "a read whose connection was lost");
    assert!(refused.is_retryable(), "H4: not sent");
}

// One readable line for each: nothing is said twice, nothing is left empty.
#[test]
fn every_kind_reads_well() {
    for (kind, _) in kinds() {
        for effect in EFFECTS {
            for outcome in OUTCOMES {
                let error = with(kind, effect, outcome).with_cause(Cause::new("the cause"));
                let [alone, chain, report] = printed(&error);
                assert!(!alone.contains("the cause"), "{alone}");
                for text in [&chain, &report] {
                    assert_eq!(text.matches("the cause").count(), 1, "{text}");
                }
                let is_write = !matches!(effect, None | Some(Effect::Read));
                let may_be = is_write && outcome == Outcome::Unknown;
                assert_eq!(report.contains("may have been applied"), may_be, "{report}");
                assert!(report.matches('[').count() <= 1 && !report.contains("[]"), "{report}");
            }
        }
    }
}

// V5, K22
#[test]
fn what_a_server_lacks_is_said_with_the_version_that_has_it() {
    let status = Status::new(Code::Unimplemented, "unknown method RangeStream for service KV");
    let error = Error::answered_to(&method::RANGE_STREAM, &status, None);
    let needs = Version::new(3, 7);
    assert_eq!(error.kind(), ErrorKind::Unsupported { needs, has: None });
    assert_eq!((error.status(), error.code()), (Some(&status), Code::Unimplemented));
    assert_eq!(error.to_string(), "this needs etcd 3.7 [outcome unknown]");
    for (has, text) in [
        (Version::new(3, 5), "this needs etcd 3.7, and the server is of version 3.5"),
        (
            Version::new(3, 7),
            "this needs etcd 3.7, and a proxy before the server, which is of version 3.7, does \
             not have it",
        ),
    ] {
        let error = error.clone().with_version(Some(has));
        assert_eq!(error.kind(), ErrorKind::Unsupported { needs, has: Some(has) });
        assert_eq!(error.kind().to_string(), text);
    }
    // What every version has is missing for another reason.
    let other = Error::answered_to(&method::PUT, &status, None).with_version(Some(needs));
    assert_eq!(other.kind(), ErrorKind::Status(Code::Unimplemented));
}

// `unwrap` and a failing `main` print it.
#[test]
fn debug_is_the_report_unless_all_parts_are_asked_for() {
    let error = Error::new(ErrorKind::Closed).with_method("/etcdserverpb.KV/Put");
    assert_eq!(format!("{error:?}"), error.report().to_string());
    assert!(format!("{error:#?}").contains("kind: Closed"));
}

#[test]
fn a_lease_that_is_gone_is_told_apart() {
    for known in ServerError::ALL {
        let error = Error::from_status(Status::new(known.code(), known.text()), Outcome::Rejected);
        assert_eq!(error.is_lease_not_found(), *known == ServerError::LeaseNotFound, "{error}");
        assert!(error.is_not_found() || !error.is_lease_not_found());
    }
}
