//! What cases about keys expect over and over: refusals, and what an answer holds.

use etcd3::{Code, Error, ErrorKind, GetResponse, KeyValue, Outcome, ServerError};
use etcd3_lab::etcd::Version;

/// An error of the server, with the code and the text that it has on the wire.
///
/// The texts stand here again, so that the table of the client is compared with something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal {
    pub(super) error: ServerError,
    pub(super) code: Code,
    pub(super) text: &'static str,
}

const fn invalid(error: ServerError, text: &'static str) -> Refusal {
    Refusal { error, code: Code::InvalidArgument, text }
}

pub(super) const KEY_NOT_FOUND: Refusal =
    invalid(ServerError::KeyNotFound, "etcdserver: key not found");
pub(super) const VALUE_PROVIDED: Refusal =
    invalid(ServerError::ValueProvided, "etcdserver: value is provided");
pub(super) const LEASE_PROVIDED: Refusal =
    invalid(ServerError::LeaseProvided, "etcdserver: lease is provided");
pub(super) const TOO_MANY_OPS: Refusal =
    invalid(ServerError::TooManyOps, "etcdserver: too many operations in txn request");
pub(super) const DUPLICATE_KEY: Refusal =
    invalid(ServerError::DuplicateKey, "etcdserver: duplicate key given in txn request");
pub(super) const TOO_LARGE: Refusal =
    invalid(ServerError::RequestTooLarge, "etcdserver: request is too large");
pub(super) const EMPTY_KEY: Refusal =
    invalid(ServerError::EmptyKey, "etcdserver: key is not provided");
pub(super) const LEASE_NOT_FOUND: Refusal = Refusal {
    error: ServerError::LeaseNotFound,
    code: Code::NotFound,
    text: "etcdserver: requested lease not found",
};
pub(super) const COMPACTED: Refusal = Refusal {
    error: ServerError::Compacted,
    code: Code::OutOfRange,
    text: "etcdserver: mvcc: required revision has been compacted",
};
pub(super) const FUTURE_REV: Refusal = Refusal {
    error: ServerError::FutureRev,
    code: Code::OutOfRange,
    text: "etcdserver: mvcc: required revision is a future revision",
};

/// Returns the refusal of a learner of this version: the code is another one from 3.6 on.
pub(super) fn not_for_learners(version: Version) -> Refusal {
    let is_new = version >= Version::minor(3, 6);
    Refusal {
        error: ServerError::NotSupportedForLearner,
        code: if is_new { Code::FailedPrecondition } else { Code::Unavailable },
        text: "etcdserver: rpc not supported for learner",
    }
}

impl Refusal {
    /// Asserts that a server answered with this refusal, and that it changed nothing.
    #[track_caller]
    pub(super) fn is_answered(self, error: &Error) {
        self.is_read_from(error);
        assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
        assert!(error.attempts() > 0 && error.endpoint().is_some(), "{error}");
    }

    /// Asserts that the client refused in the words of the server, without asking one.
    #[track_caller]
    pub(super) fn is_foreseen(self, error: &Error) {
        assert_eq!(error.kind(), ErrorKind::Server(self.error), "{error}");
        assert_eq!(error.code(), self.code, "{error}");
        assert!(error.status().is_none() && error.to_string().contains(self.text), "{error}");
        assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
        assert_eq!((error.attempts(), error.endpoint()), (0, None), "{error}");
    }

    /// Asserts that kind, code and text of the error are those of this refusal.
    #[track_caller]
    pub(super) fn is_read_from(self, error: &Error) {
        assert_eq!(error.kind(), ErrorKind::Server(self.error), "{error}");
        assert_eq!(error.code(), self.code, "{error}");
        assert_eq!(error.status().map(|status| status.message.as_str()), Some(self.text));
    }
}

/// Returns the keys of an answer.
pub(super) fn keys(answer: &GetResponse) -> Vec<String> {
    answer.kvs.iter().map(|kv| text(&kv.key)).collect()
}

/// Returns the keys and values of an answer.
pub(super) fn pairs(answer: &GetResponse) -> Vec<(String, String)> {
    answer.kvs.iter().map(|kv| (text(&kv.key), text(&kv.value))).collect()
}

/// Returns the one pair of an answer.
///
/// # Panics
///
/// When there is none, or more than one.
#[track_caller]
pub(super) fn only(answer: &GetResponse) -> &KeyValue {
    assert_eq!((answer.kvs.len(), answer.count), (1, 1), "{answer:?}");
    &answer.kvs[0]
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
