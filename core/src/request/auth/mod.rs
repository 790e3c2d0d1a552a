//! Authentication: the switch, users, roles and permissions.
//!
//! All of these go through the log of the cluster, those that only read, too. So none is answered
//! by a member that lacks a quorum, and what they tell is never old.

// A1, A2

mod permission;
mod roles;
mod users;

pub use permission::{Permission, PermissionType};
pub use roles::{
    RoleAdd, RoleDelete, RoleGet, RoleGetResponse, RoleGrantPermission, RoleList, RoleListResponse,
    RoleRevokePermission,
};
pub use users::{
    UserAdd, UserChangePassword, UserDelete, UserGet, UserGetResponse, UserGrantRole, UserList,
    UserListResponse, UserRevokeRole,
};

use super::operation;
use crate::ResponseHeader;
use etcd3_proto::etcdserverpb::{
    AuthDisableRequest, AuthEnableRequest, AuthStatusRequest, AuthStatusResponse as StatusMessage,
};

/// The answer to whatever changes users, roles or permissions, or switches authentication.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct AuthResponse {
    /// Which cluster and member answered. Its revision is that of the keys, which such a change
    /// does not move.
    // AUTH-059
    pub header: ResponseHeader,
}

/// Makes an operation of a typed request that is answered by no more than a header.
macro_rules! change {
    ($type:ident: $message:ident => $answer:ident) => {
        impl From<crate::proto::etcdserverpb::$answer> for crate::request::AuthResponse {
            fn from(answer: crate::proto::etcdserverpb::$answer) -> Self {
                Self { header: answer.header.into() }
            }
        }

        crate::request::operation!($type: $message => $answer => AuthResponse);
    };
}
use change;

/// Switches authentication on: `etcdserverpb.Auth/AuthEnable`.
///
/// From then on calls need a user, whose roles say what they may do. A repetition is taken without
/// an error, but from a caller that may do so: the user root.
// A6
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AuthEnable {
    request: AuthEnableRequest,
}

change!(AuthEnable: AuthEnableRequest => AuthEnableResponse);

/// Switches authentication off: `etcdserverpb.Auth/AuthDisable`.
///
/// Users, roles and permissions stay, all tokens end. A repetition is taken without an error.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AuthDisable {
    request: AuthDisableRequest,
}

change!(AuthDisable: AuthDisableRequest => AuthDisableResponse);

/// Asks whether authentication is on: `etcdserverpb.Auth/AuthStatus`, which etcd has since 3.5.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AuthStatus {
    request: AuthStatusRequest,
}

/// The answer to an [`AuthStatus`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct AuthStatusResponse {
    /// Which cluster and member answered.
    pub header: ResponseHeader,
    /// Whether calls need a user.
    pub enabled: bool,
    /// The auth revision, which grows with each change of users, roles and permissions. JSON web
    /// tokens name the one that they were made at.
    // A9
    pub auth_revision: u64,
}

impl From<StatusMessage> for AuthStatusResponse {
    fn from(answer: StatusMessage) -> Self {
        let StatusMessage { header, enabled, auth_revision } = answer;
        Self { header: header.into(), enabled, auth_revision }
    }
}

operation!(AuthStatus: AuthStatusRequest => AuthStatusResponse => AuthStatusResponse);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::Effect;
    use crate::request::{Limits, Operation};
    use crate::{ErrorKind, KeyRange, Secret, UnaryRequest, key, prefix};
    use bytes::Bytes;
    use etcd3_proto::authpb;
    use etcd3_proto::etcdserverpb as pb;
    use prost::Message;

    fn decoded<T: Operation>(operation: T, answer: &impl Message) -> T::Response {
        operation.decode(answer.encode_to_vec().into(), None).unwrap()
    }

    fn header() -> pb::ResponseHeader {
        pb::ResponseHeader { revision: 9, ..Default::default() }
    }

    // R16, R41: what another may have changed since is not written a second time.
    #[test]
    fn only_what_reads_is_made_again() {
        let writes = [
            AuthEnable::default().rpc(),
            AuthDisable::default().rpc(),
            UserAdd::new("u", "p").rpc(),
            UserAdd::without_password("u").rpc(),
            UserDelete::new("u").rpc(),
            UserChangePassword::new("u", "p").rpc(),
            UserGrantRole::new("u", "r").rpc(),
            UserRevokeRole::new("u", "r").rpc(),
            RoleAdd::new("r").rpc(),
            RoleDelete::new("r").rpc(),
            RoleGrantPermission::new("r", "k", PermissionType::Read).rpc(),
            RoleRevokePermission::new("r", "k").rpc(),
        ];
        for rpc in writes {
            assert_eq!(rpc.effect, Effect::Write, "{}", rpc.method.path);
        }
        let reads = [
            AuthStatus::default().rpc(),
            UserGet::new("u").rpc(),
            UserList::default().rpc(),
            RoleGet::new("r").rpc(),
            RoleList::default().rpc(),
        ];
        for rpc in reads {
            assert_eq!(rpc.effect, Effect::Read, "{}", rpc.method.path);
        }
    }

    // A5: it ends servers of etcd 3.4.
    #[test]
    fn a_grant_never_leaves_without_its_permission() {
        let bare = pb::AuthRoleGrantPermissionRequest { name: "r".into(), perm: None };
        let error = bare.validate().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        let mut raw = crate::Raw(bare);
        assert!(raw.encode(&Limits::default(), None).is_err());
        // One that is all zeroes is one all the same.
        let mut least = RoleGrantPermission::new("r", KeyRange::key(""), PermissionType::Read);
        let message = least.request(&Limits::default()).unwrap();
        assert_eq!(message.perm, Some(authpb::Permission::default()));
        assert!(message.validate().is_ok());
    }

    // A3: the options are sent in the plain form, too.
    #[test]
    fn users_say_whether_they_have_a_password() {
        for (mut add, password, no_password) in [
            (UserAdd::new("u", "p"), "p", false),
            (UserAdd::new("u", ""), "", false),
            (UserAdd::without_password("u"), "", true),
        ] {
            let message = add.request(&Limits::default()).unwrap();
            assert_eq!((&*message.name, &*message.password), ("u", password));
            let options = Some(authpb::UserAddOptions { no_password });
            assert_eq!(message.options, options);
        }
    }

    // I-A5
    #[test]
    fn passwords_are_not_shown() {
        let add = UserAdd::new("u", "canary");
        let change = UserChangePassword::new(String::from("u"), Secret::from("canary"));
        let shown = format!("{add:?} {add:#?} {change:?} {change:#?}");
        assert!(!shown.contains("canary") && shown.contains(r#"name: "u""#), "{shown}");
        assert_eq!(add.clone(), add);
    }

    // K1, K2, A4, A7
    #[test]
    fn a_permission_is_about_a_range_of_keys() {
        let sent = |range: KeyRange| {
            let mut grant = RoleGrantPermission::new("r", range.clone(), PermissionType::ReadWrite);
            let mut revoke = RoleRevokePermission::new("r", range);
            let revoked = revoke.request(&Limits::default()).unwrap().clone();
            let granted = grant.request(&Limits::default()).unwrap().perm.clone().unwrap();
            assert_eq!((&granted.key, &granted.range_end), (&revoked.key, &revoked.range_end));
            assert_eq!((granted.perm_type, &*revoked.role), (2, "r"));
            (revoked.key, revoked.range_end)
        };
        let pair = |key, end| (Bytes::from_static(key), Bytes::from_static(end));
        assert_eq!(sent(key("a")), pair(b"a", b""));
        assert_eq!(sent(prefix("a/")), pair(b"a/", b"a0"));
        assert_eq!(sent(crate::from_key("a")), pair(b"a", b"\0"));
        assert_eq!(sent(crate::all()), pair(b"\0", b"\0"));
    }

    #[test]
    fn answers_are_read() {
        let answer = pb::AuthUserAddResponse { header: Some(header()) };
        assert_eq!(decoded(UserAdd::new("u", "p"), &answer).header.revision, 9);
        let answer = pb::AuthStatusResponse {
            header: Some(header()),
            enabled: true,
            auth_revision: u64::MAX,
        };
        let status = decoded(AuthStatus::default(), &answer);
        assert!(status.enabled && status.header.revision == 9);
        assert_eq!(status.auth_revision, u64::MAX);
        let names = || vec!["b".to_owned(), "a".to_owned()];
        let answer = pb::AuthUserGetResponse { header: Some(header()), roles: names() };
        assert_eq!(decoded(UserGet::new("u"), &answer).roles, names());
        let answer = pb::AuthUserListResponse { header: Some(header()), users: names() };
        assert_eq!(decoded(UserList::default(), &answer).users, names());
        let answer = pb::AuthRoleListResponse { header: Some(header()), roles: names() };
        assert_eq!(decoded(RoleList::default(), &answer).roles, names());
    }

    #[test]
    fn permissions_are_read_and_unknown_ones_are_no_answer() {
        let held = |perm_type, key, range_end| authpb::Permission {
            perm_type,
            key: Bytes::from_static(key),
            range_end: Bytes::from_static(range_end),
        };
        let perm = vec![held(0, b"a", b""), held(1, b"b", b"\0"), held(2, b"\0", b"\0")];
        let answer = pb::AuthRoleGetResponse { header: Some(header()), perm };
        let found = decoded(RoleGet::new("r"), &answer).permissions;
        let of = |range, permission_type| Permission { range, permission_type };
        let expected = [
            of(key("a"), PermissionType::Read),
            of(crate::from_key("b"), PermissionType::Write),
            of(crate::all(), PermissionType::ReadWrite),
        ];
        assert_eq!(found, expected);
        let answer =
            pb::AuthRoleGetResponse { perm: vec![held(7, b"a", b"")], header: Some(header()) };
        let bytes = answer.encode_to_vec().into();
        let error = RoleGet::new("r").decode(bytes, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.report().to_string().contains("permission type 7"), "{}", error.report());
    }

    // Y1: users and roles are of the whole cluster, and their permissions name whole keys.
    #[test]
    fn a_namespace_is_not_put_before_the_keys_of_permissions() {
        let namespace = crate::namespace::KeyPrefix::new("ns/").unwrap();
        let mut grant = RoleGrantPermission::new("r", "k", PermissionType::Read);
        let limits = Limits::default();
        assert_eq!(
            grant.encode(&limits, Some(&namespace)).unwrap(),
            grant.encode(&limits, None).unwrap()
        );
        let mut add = UserAdd::new("u", "p");
        let bare = add.encode(&limits, None).unwrap();
        assert_eq!(add.encode(&limits, Some(&namespace)).unwrap(), bare);
    }
}
