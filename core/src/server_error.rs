//! The errors of etcd servers, told apart by their text.
//!
//! Servers give many errors the same code, and some a wrong one, so the text decides. This is the
//! only place that compares error texts.

// E4

mod services;

pub use services::ServiceError;

use crate::status::{Code, Status};

macro_rules! server_errors {
    ($($(#[$doc:meta])* $name:ident = $code:ident, $text:literal;)*) => {
        /// An error that an etcd server is known to answer with.
        ///
        /// Source: the error table of etcd's `api/v3rpc/rpctypes`, by its texts.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum ServerError {
            $($(#[$doc])* $name,)*
        }

        impl ServerError {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code that etcd's own table gives. A server may send another on the wire.
            #[must_use]
            pub const fn code(self) -> Code {
                match self { $(Self::$name => Code::$code,)* }
            }

            /// The text of the server.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            fn by_text(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)* _ => None }
            }
        }
    };
}

server_errors! {
    /// A key is empty.
    EmptyKey = InvalidArgument, "etcdserver: key is not provided";
    /// The key whose value or lease is to be kept does not exist; also the answer to an operation
    /// without content.
    KeyNotFound = InvalidArgument, "etcdserver: key not found";
    /// A value came together with `ignore_value`.
    ValueProvided = InvalidArgument, "etcdserver: value is provided";
    /// A lease came together with `ignore_lease`.
    LeaseProvided = InvalidArgument, "etcdserver: lease is provided";
    /// A transaction has more operations or compares than the server's `--max-txn-ops`.
    TooManyOps = InvalidArgument, "etcdserver: too many operations in txn request";
    /// A transaction writes the same key twice.
    DuplicateKey = InvalidArgument, "etcdserver: duplicate key given in txn request";
    /// The client version in the metadata is not readable.
    InvalidClientApiVersion = InvalidArgument, "etcdserver: invalid client api version";
    /// A sort order or target that the server does not know.
    InvalidSortOption = InvalidArgument, "etcdserver: invalid sort option";
    /// The revision asked for has been compacted away.
    Compacted = OutOfRange, "etcdserver: mvcc: required revision has been compacted";
    /// The revision asked for has not happened yet.
    FutureRev = OutOfRange, "etcdserver: mvcc: required revision is a future revision";
    /// The server's storage quota is used up. A write that is answered so may have been applied all
    /// the same.
    // I-R6
    NoSpace = ResourceExhausted, "etcdserver: mvcc: database space exceeded";
    /// The lease does not exist, or has expired.
    LeaseNotFound = NotFound, "etcdserver: requested lease not found";
    /// A lease with this id exists.
    LeaseExist = FailedPrecondition, "etcdserver: lease already exists";
    /// The time to live is over 9,000,000,000 seconds.
    LeaseTtlTooLarge = OutOfRange, "etcdserver: too large lease TTL";
    /// The watch was cancelled.
    WatchCanceled = Canceled, "etcdserver: watch canceled";
    /// A member with this id exists.
    MemberExist = FailedPrecondition, "etcdserver: member ID already exist";
    /// A member with this peer URL exists.
    PeerUrlExist = FailedPrecondition, "etcdserver: Peer URLs already exists";
    /// Too few members are started to change the membership safely.
    MemberNotEnoughStarted = FailedPrecondition,
        "etcdserver: re-configuration failed due to not enough started members";
    /// A member URL cannot be read.
    MemberBadUrls = InvalidArgument, "etcdserver: given member URLs are invalid";
    /// The member does not exist.
    MemberNotFound = NotFound, "etcdserver: member not found";
    /// Only a learner can be promoted.
    MemberNotLearner = FailedPrecondition, "etcdserver: can only promote a learner member";
    /// The learner has not caught up with the leader yet.
    LearnerNotReady = FailedPrecondition,
        "etcdserver: can only promote a learner member which is in sync with leader";
    /// The cluster has as many learners as it may have.
    TooManyLearners = FailedPrecondition, "etcdserver: too many learner members in cluster";
    /// The server belongs to another cluster.
    ClusterIdMismatch = FailedPrecondition, "etcdserver: cluster ID mismatch";
    /// The request is over the server's `--max-request-bytes`, as judged by etcd or
    /// by its gRPC layer, or over the limit of a proxy.
    RequestTooLarge = InvalidArgument, "etcdserver: request is too large";
    /// The server is overloaded and did not take the request.
    TooManyRequests = ResourceExhausted, "etcdserver: too many requests";
    /// Authentication needs a root user first.
    RootUserNotExist = FailedPrecondition, "etcdserver: root user does not exist";
    /// The root user lacks the root role.
    RootRoleNotExist = FailedPrecondition, "etcdserver: root user does not have root role";
    /// A user with this name exists.
    UserAlreadyExist = FailedPrecondition, "etcdserver: user name already exists";
    /// A user name is empty, or the call came without credentials.
    UserEmpty = InvalidArgument, "etcdserver: user name is empty";
    /// The user does not exist.
    UserNotFound = FailedPrecondition, "etcdserver: user name not found";
    /// A role with this name exists.
    RoleAlreadyExist = FailedPrecondition, "etcdserver: role name already exists";
    /// The role does not exist.
    RoleNotFound = FailedPrecondition, "etcdserver: role name not found";
    /// A role name is empty.
    RoleEmpty = InvalidArgument, "etcdserver: role name is empty";
    /// User name or password is wrong.
    AuthFailed = InvalidArgument, "etcdserver: authentication failed, invalid user ID or password";
    /// A permission is missing from the request.
    PermissionNotGiven = InvalidArgument, "etcdserver: permission not given";
    /// The user may not do this.
    PermissionDenied = PermissionDenied, "etcdserver: permission denied";
    /// The user does not have this role.
    RoleNotGranted = FailedPrecondition, "etcdserver: role is not granted to the user";
    /// The role does not have this permission.
    PermissionNotGranted = FailedPrecondition, "etcdserver: permission is not granted to the role";
    /// Authentication is switched off.
    AuthNotEnabled = FailedPrecondition, "etcdserver: authentication is not enabled";
    /// The token is wrong or has expired.
    InvalidAuthToken = Unauthenticated, "etcdserver: invalid auth token";
    /// An authentication change that would lock everybody out.
    InvalidAuthMgmt = InvalidArgument, "etcdserver: invalid auth management";
    /// Users or roles changed after the token was made.
    AuthOldRevision = InvalidArgument, "etcdserver: revision of auth store is old";
    /// The member knows no leader.
    NoLeader = Unavailable, "etcdserver: no leader";
    /// The member is not the leader.
    NotLeader = FailedPrecondition, "etcdserver: not leader";
    /// The leader changed while the request waited.
    LeaderChanged = Unavailable, "etcdserver: leader changed";
    /// The cluster version does not offer this yet.
    NotCapable = FailedPrecondition, "etcdserver: not capable";
    /// The server is shutting down.
    Stopped = Unavailable, "etcdserver: server stopped";
    /// The server gave up waiting for the cluster to commit.
    Timeout = Unavailable, "etcdserver: request timed out";
    /// As `Timeout`, probably since the leader failed.
    TimeoutDueToLeaderFail = Unavailable,
        "etcdserver: request timed out, possibly due to previous leader failure";
    /// As `Timeout`, probably since members lost touch.
    TimeoutDueToConnectionLost = Unavailable,
        "etcdserver: request timed out, possibly due to connection lost";
    /// The member is too far behind to answer.
    TimeoutWaitAppliedIndex = Unavailable,
        "etcdserver: request timed out, waiting for the applied index took too long";
    /// The cluster is not healthy enough for this.
    Unhealthy = Unavailable, "etcdserver: unhealthy cluster";
    /// The data of the members differ.
    Corrupt = DataLoss, "etcdserver: corrupt cluster";
    /// A learner does not serve this call.
    NotSupportedForLearner = FailedPrecondition, "etcdserver: rpc not supported for learner";
    /// Leadership cannot be moved to this member.
    BadLeaderTransferee = FailedPrecondition, "etcdserver: bad leader transferee";
    /// The version to downgrade to cannot be read.
    WrongDowngradeVersionFormat = InvalidArgument,
        "etcdserver: wrong downgrade target version format";
    /// This version cannot be downgraded to.
    InvalidDowngradeTargetVersion = InvalidArgument, "etcdserver: invalid downgrade target version";
    /// The cluster version is not known yet.
    ClusterVersionUnavailable = FailedPrecondition,
        "etcdserver: cluster version not found during downgrade";
    /// A downgrade is under way.
    DowngradeInProcess = FailedPrecondition, "etcdserver: cluster has a downgrade job in progress";
    /// No downgrade is under way.
    NoInflightDowngrade = FailedPrecondition, "etcdserver: no inflight downgrade job";
    /// The server cancelled the request.
    Canceled = Canceled, "etcdserver: request canceled";
    /// A deadline passed on the server.
    DeadlineExceeded = DeadlineExceeded, "etcdserver: context deadline exceeded";
}

/// Texts that mean the same as one of the table: maintenance calls answer with the bare text of the
/// auth store, and a leader whose transfer takes long with one that the table lacks.
// E5
const OTHER_TEXTS: [(&str, ServerError); 6] = [
    ("etcdserver: request timed out, leader transfer took too long", ServerError::Timeout),
    ("auth: permission denied", ServerError::PermissionDenied),
    ("auth: invalid auth token", ServerError::InvalidAuthToken),
    ("auth: user name is empty", ServerError::UserEmpty),
    ("auth: revision in header is old", ServerError::AuthOldRevision),
    // A3
    (
        "auth: authentication failed, password was given for no password user",
        ServerError::AuthFailed,
    ),
];

/// What gRPC-Go says of a message that is over a limit, before its size.
///
/// | text | said by | of |
/// |---|---|---|
/// | `grpc: received …` | a server | the request: nothing was done |
/// | `grpc: received …` | the client within a proxy | the response: the request **was executed** |
/// | `trying to send …` | the client within a proxy | the request: it was not forwarded |
/// | `trying to send …` | a proxy that forwards streams | either of them |
/// | `grpc: trying to send …` | a server | the response: the request **was executed** |
///
/// etcd's grpc-proxy hands the texts of its client on. So the text alone does not tell what became
/// of a write; the size that it names does, where it is that of the request.
const TOO_LARGE: [&str; 2] =
    ["grpc: received message larger than max (", "trying to send message larger than max ("];

impl ServerError {
    /// Returns whether the same request may fare better a moment later, on this member or another.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        matches!(self.code(), Code::Unavailable | Code::Canceled | Code::DeadlineExceeded)
            || matches!(
                self,
                Self::TooManyRequests
                    | Self::NotSupportedForLearner
                    | Self::InvalidAuthToken
                    | Self::AuthOldRevision
                    | Self::LearnerNotReady
                    | Self::ClusterVersionUnavailable
                    | Self::DowngradeInProcess
            )
    }

    /// Recognises a status by its text, whatever its code; `None` for texts that are not known.
    #[must_use]
    pub fn from_status(status: &Status) -> Option<Self> {
        let text = status.message.as_str();
        Self::by_text(text)
            .or_else(|| OTHER_TEXTS.iter().find(|(other, _)| *other == text).map(|(_, e)| *e))
    }

    /// Recognises a status that answers a request of this length, in bytes. The length tells one
    /// thing more: that the gRPC layer of a server, or of a proxy, found the request too large.
    #[must_use]
    pub fn in_answer(status: &Status, request_len: Option<usize>) -> Option<Self> {
        Self::from_status(status).or_else(|| {
            let rest = TOO_LARGE.iter().find_map(|text| status.message.strip_prefix(text))?;
            let (size, _) = rest.split_once(" vs. ")?;
            let is_request = size.parse::<usize>().ok() == Some(request_len?);
            is_request.then_some(Self::RequestTooLarge)
        })
    }
}

/// Returns whether a status only says that a deadline has passed, or that the call was cancelled
/// for it: servers keep the deadline of a call, too. Those of 3.4 say so under the code `Unknown`.
// E14
pub(crate) fn tells_of_a_deadline(status: &Status) -> bool {
    matches!(status.code, Code::DeadlineExceeded | Code::Canceled)
        || matches!(status.message.as_str(), "context deadline exceeded" | "context canceled")
}

/// Reads the reason why a watch was refused or ended: the text of a status, or of an error that is
/// known. `None` for other texts.
// E6
pub(crate) fn status_of_reason(reason: &str) -> Option<Status> {
    let Some((code, message)) =
        reason.strip_prefix("rpc error: code = ").and_then(|rest| rest.split_once(" desc = "))
    else {
        let status = Status::new(Code::Unknown, reason);
        let code = ServerError::from_status(&status)?.code();
        return Some(Status::new(code, reason));
    };
    let code = Code::ALL.into_iter().find(|known| format!("{known:?}") == code);
    Some(Status::new(code.unwrap_or(Code::Unknown), message))
}

/// Returns whether a watch was refused because its id is in use on its stream.
// W3
pub(crate) fn tells_of_a_duplicate_watch(reason: &str) -> bool {
    reason == "mvcc: duplicate watch ID provided on the WatchStream"
}

/// Returns whether a server, or a proxy before it, does not have the method that was called.
///
/// | text of a status `Unimplemented` | said by |
/// |---|---|
/// | `unknown method …`, `unknown service …` | an older server or proxy |
/// | `RangeStream is not supported by …` | etcd's proxy |
/// | `RangeStream does not support …` | a server that has it, of an option |
// E39, K22
pub(crate) fn tells_of_a_missing_method(status: &Status) -> bool {
    let texts = ["unknown method ", "unknown service ", "RangeStream is not supported by "];
    status.code == Code::Unimplemented && texts.iter().any(|text| status.message.starts_with(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    // E10.1–E10.63, checked against the vendored table.
    #[test]
    fn the_table_is_complete_and_exact() {
        let facts = include_str!("../tests/data/etcd-errors.tsv");
        let rows: Vec<Vec<_>> = facts.lines().skip(1).map(|l| l.split('\t').collect()).collect();
        assert_eq!(rows.len(), ServerError::ALL.len());
        for (row, error) in rows.iter().zip(ServerError::ALL) {
            let name = row[0].replace("RequestTooMany", "TooMany").to_lowercase();
            assert_eq!(name, format!("{error:?}").to_lowercase());
            assert_eq!(row[1], error.code().number().to_string(), "{error:?}");
            assert_eq!(row[3], error.text());
        }
    }

    // E4: the text decides, the wire code is kept in the status.
    #[test]
    fn the_text_decides_not_the_code() {
        for error in ServerError::ALL {
            let status = Status::new(Code::Unknown, error.text());
            assert_eq!(ServerError::from_status(&status), Some(*error));
        }
        for unknown in ["", "etcdserver: key is not provided!", "Etcdserver: no leader"] {
            let status = Status::new(Code::Unavailable, unknown);
            assert_eq!(ServerError::from_status(&status), None);
        }
    }

    // E5, KV-105
    #[test]
    fn other_texts_are_recognised() {
        for (text, error) in [
            ("etcdserver: request timed out, leader transfer took too long", ServerError::Timeout),
            ("auth: permission denied", ServerError::PermissionDenied),
            ("auth: invalid auth token", ServerError::InvalidAuthToken),
            ("auth: user name is empty", ServerError::UserEmpty),
            ("auth: revision in header is old", ServerError::AuthOldRevision),
            (
                "auth: authentication failed, password was given for no password user",
                ServerError::AuthFailed,
            ),
        ] {
            let status = Status::new(Code::Unknown, text);
            assert_eq!(ServerError::from_status(&status), Some(error));
        }
    }

    // KV-105, C41. A response that is too large was made by a request that was executed; only where
    // the request itself is meant is it certain that it was not.
    #[test]
    fn a_request_that_is_too_large_is_recognised_by_its_size() {
        let of = |text: &str, len| {
            let status = Status::new(Code::ResourceExhausted, text);
            assert_eq!(ServerError::from_status(&status), None, "{text}");
            ServerError::in_answer(&status, len)
        };
        for start in TOO_LARGE {
            let text = format!("{start}2202019 vs. 2097152)");
            assert_eq!(of(&text, Some(2_202_019)), Some(ServerError::RequestTooLarge));
            for (text, len) in [
                (text.clone(), None),
                (text.clone(), Some(2_202_018)),
                (text.clone(), Some(2_097_152)),
                (format!("grpc: {text}"), Some(2_202_019)),
                (format!("{start}2202019)"), Some(2_202_019)),
                (format!("{start}x vs. 2097152)"), Some(2_202_019)),
                (start.to_owned(), Some(2_202_019)),
            ] {
                assert_eq!(of(&text, len), None, "{text}, {len:?}");
            }
        }
    }

    // K22: the three meanings of the code
    // W7, W13, W14, E6
    #[test]
    fn the_reason_of_a_refused_watch_is_the_text_of_a_status() {
        let read =
            |reason| status_of_reason(reason).map(|it| (it.code, ServerError::from_status(&it)));
        let denied =
            read("rpc error: code = PermissionDenied desc = etcdserver: permission denied");
        assert_eq!(denied, Some((Code::PermissionDenied, Some(ServerError::PermissionDenied))));
        let token = read("rpc error: code = Unauthenticated desc = etcdserver: invalid auth token");
        assert_eq!(token, Some((Code::Unauthenticated, Some(ServerError::InvalidAuthToken))));
        assert_eq!(read("rpc error: code = Odd desc = why"), Some((Code::Unknown, None)));
        let compacted = read("etcdserver: mvcc: required revision has been compacted");
        assert_eq!(compacted, Some((Code::OutOfRange, Some(ServerError::Compacted))));
        assert_eq!(read("mvcc: watcher range is empty"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn a_missing_method_is_told_from_a_missing_option() {
        for (code, text, expected) in [
            (12, "unknown method RangeStream for service etcdserverpb.KV", true),
            (12, "unknown service v3lockpb.Lock", true),
            (12, "RangeStream is not supported by the gRPC proxy", true),
            (12, "RangeStream is not supported by the KV client adapter", true),
            (12, "RangeStream does not support custom sort orders", false),
            (12, "RangeStream does not support revision filters", false),
            (12, "", false),
            (2, "unknown method RangeStream for service etcdserverpb.KV", false),
        ] {
            let code = Code::from_number(code);
            assert_eq!(tells_of_a_missing_method(&Status::new(code, text)), expected, "{text}");
        }
    }

    #[test]
    fn what_is_known_by_its_text_needs_no_size() {
        for error in ServerError::ALL {
            let status = Status::new(Code::Unknown, error.text());
            assert_eq!(ServerError::in_answer(&status, Some(7)), Some(*error));
        }
    }
}
