//! Changes of users, roles and permissions (A4–A7): what servers make of them.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod model_support;

use etcd3::Code::{FailedPrecondition, Internal, InvalidArgument};
use etcd3::proto::authpb::permission::Type;
use etcd3::proto::etcdserverpb as pb;
use etcd3_sim::model::{Call, ClusterConfig, Delays, Request};
use model_support::users::*;
use model_support::*;

// A4, A5
#[test]
fn what_can_be_granted() {
    for version in VERSIONS {
        let etcd = &mut Alone::new(version);
        etcd.call(role("r")).unwrap();
        for (key, end) in [("", ""), ("z", "y"), ("z", "z"), ("", "y")] {
            let granted = etcd.call(permit("r", Type::Read, key, end));
            if version == OLD {
                granted.unwrap();
            } else {
                refused(granted, InvalidArgument, "etcdserver: invalid auth management");
            }
        }
        etcd.call(permit("r", Type::Read, "z", "\0")).unwrap();
        let missing = etcd.call(permit("nope", Type::Read, "a", ""));
        refused(missing, FailedPrecondition, "etcdserver: role name not found");
        let nothing = pb::AuthRoleGrantPermissionRequest { name: "r".to_owned(), perm: None };
        let nothing = etcd.call(nothing).unwrap_err();
        let code = if version == OLD { Internal } else { InvalidArgument };
        assert_eq!(nothing.code, code, "{nothing}");
    }
}

// A7, and a range may be held twice: only the first permission with the same key is looked at.
#[test]
fn grants_replace_and_revokes_match_exactly() {
    let etcd = &mut Alone::new(NEW);
    etcd.call(role("r")).unwrap();
    let grants = [
        (Type::Readwrite, "k", "m"),
        (Type::Read, "k", "m"),
        (Type::Write, "k", "n"),
        (Type::Write, "k", ""),
        (Type::Read, "k", "n"),
        (Type::Read, "j", ""),
    ];
    for (kind, key, end) in grants {
        etcd.call(permit("r", kind, key, end)).unwrap();
    }
    let held = |etcd: &mut Alone| -> Vec<_> {
        let held = etcd.call(get_role("r")).unwrap().perm;
        held.iter().map(|p| (p.perm_type(), p.key.clone(), p.range_end.clone())).collect()
    };
    let of = |kind, key, end| (kind, bytes(key), bytes(end));
    let read_km = of(Type::Read, "k", "m");
    let all = vec![
        of(Type::Read, "j", ""),
        read_km.clone(),
        of(Type::Write, "k", "n"),
        of(Type::Write, "k", ""),
        of(Type::Read, "k", "n"),
    ];
    assert_eq!(held(etcd), all);
    let revoke = |key: &str, end: &str| pb::AuthRoleRevokePermissionRequest {
        role: "r".to_owned(),
        key: bytes(key),
        range_end: bytes(end),
    };
    etcd.call(revoke("k", "n")).unwrap();
    assert_eq!(held(etcd), [all[0].clone(), read_km, all[3].clone()]);
    let text = "etcdserver: permission is not granted to the role";
    refused(etcd.call(revoke("k", "o")), FailedPrecondition, text);
}

// A6
#[test]
fn root_cannot_be_removed() {
    let etcd = &mut Alone::new(NEW);
    let enable = pb::AuthEnableRequest {};
    let no_user = "etcdserver: root user does not exist";
    refused(etcd.call(enable), FailedPrecondition, no_user);
    etcd.call(user("root", "r")).unwrap();
    let no_role = "etcdserver: root user does not have root role";
    refused(etcd.call(enable), FailedPrecondition, no_role);
    etcd.call(give("root", "root")).unwrap();
    etcd.call(enable).unwrap();
    etcd.token = Some(login(etcd, "root", "r").unwrap());
    let root = || "root".to_owned();
    let text = "etcdserver: invalid auth management";
    let user = etcd.call(pb::AuthUserDeleteRequest { name: root() });
    refused(user, InvalidArgument, text);
    refused(etcd.call(pb::AuthRoleDeleteRequest { role: root() }), InvalidArgument, text);
    let given = etcd.call(pb::AuthUserRevokeRoleRequest { name: root(), role: root() });
    refused(given, InvalidArgument, text);
}

// A1: every change counts, a repetition of what is there does not.
#[test]
fn the_auth_revision_counts_changes() {
    let etcd = &mut Alone::new(NEW);
    let revision = |etcd: &mut Alone| etcd.call(pb::AuthStatusRequest {}).unwrap().auth_revision;
    assert_eq!(revision(etcd), 1);
    etcd.call(user("root", "r")).unwrap();
    etcd.call(role("root")).unwrap();
    etcd.call(give("root", "root")).unwrap();
    etcd.call(give("root", "root")).unwrap();
    assert_eq!(revision(etcd), 4);
}

// AUTH-069: a change of users between the proposal and its turn makes the caller's knowledge old.
#[test]
fn a_write_that_users_changed_under_is_old() {
    let mut config = ClusterConfig::new(1, personality(NEW), 3);
    config.delays = Delays::NONE;
    let etcd = &mut Alone::with(config);
    etcd.call(user("root", "r")).unwrap();
    etcd.call(give("root", "root")).unwrap();
    etcd.call(role("root")).unwrap();
    etcd.call(pb::AuthEnableRequest {}).unwrap();
    let token = login(etcd, "root", "r").unwrap();
    etcd.cluster.hold_applying(etcd.now, etcd.member, true);
    let mut submit = |request: Request| {
        let call = Call::new(etcd.member, request).with_token(token.clone());
        etcd.cluster.submit(etcd.now, call)
    };
    submit(role("new").into());
    let write = submit(put("a", "1").into());
    etcd.cluster.hold_applying(etcd.now, etcd.member, false);
    let result = answer(&mut etcd.cluster.poll(etcd.now), write).unwrap();
    refused(result, InvalidArgument, "etcdserver: revision of auth store is old");
}
