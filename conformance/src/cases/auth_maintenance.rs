//! Members and maintenance: what is for root alone, and what for anybody who logs in.

use super::auth_expect::{DENIED, Guarded, USER_EMPTY};
use super::lease_expect::LIMIT;
use crate::{BoxError, Case, CaseResult, Ctx, case};
use etcd3::proto::etcdserverpb as pb;
use etcd3::{Client, Error, ErrorKind, Outcome, ServerError, UnaryRequest};
use etcd3_lab::etcd::Version;
use pb::alarm_request::AlarmAction;
use pb::downgrade_request::DowngradeAction;

/// The first version of its line in which these calls need a user.
// A14
const GUARDED: Version = Version { major: 3, minor: 5, patch: 28 };
/// The first in which any user may ask for members and alarms.
const OPEN_TO_USERS: Version = Version { major: 3, minor: 5, patch: 29 };

pub(super) const CASES: &[Case] = &[
    case!(members_are_for_root, ["AUTH-027", "AUTH-031"]).real("member changes"),
    case!(anybody_with_a_user_lists_members, ["AUTH-030"]).since(OPEN_TO_USERS).plain_and_tls(),
    case!(alarms_are_disarmed_by_root, ["AUTH-042"]).since(OPEN_TO_USERS),
];
