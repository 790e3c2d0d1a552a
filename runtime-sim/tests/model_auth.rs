//! Users, roles, tokens (A1–A17, W14–W16, L7). The tables are what the three servers answered.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod model_support;

use etcd3::Code::{FailedPrecondition, InvalidArgument, Unauthenticated, Unimplemented, Unknown};
use etcd3::ServerError as E;
use etcd3::proto::authpb::{UserAddOptions, permission::Type};
use etcd3::proto::etcdserverpb as pb;
use etcd3::{Code, Status};
use etcd3_sim::model::{Call, ClusterConfig, Delays, Request, Response};
use model_support::users::*;
use model_support::*;
use pb::compare::{CompareResult, TargetUnion};
use pb::request_op::Request::{RequestPut, RequestRange, RequestTxn};
use std::time::Duration;

/// A server with authentication on: root; u, who may read k to m and from z on; w, who may write w
/// to x. Lease 11 holds the key "foreign", 12 holds "wlease", 13 none.
fn guarded(version: (u16, u16, u16)) -> Alone {
    let mut etcd = Alone::new(version);
    for (name, roles) in [("root", "root"), ("u", "r1"), ("w", "wo")] {
        etcd.call(user(name, name)).unwrap();
        etcd.call(role(roles)).unwrap();
        etcd.call(give(name, roles)).unwrap();
    }
    etcd.call(permit("r1", Type::Read, "k", "m")).unwrap();
    etcd.call(permit("r1", Type::Read, "z", "\0")).unwrap();
    etcd.call(permit("wo", Type::Write, "w", "x")).unwrap();
    for id in [11, 12, 13] {
        etcd.grant(id, 600).unwrap();
    }
    etcd.call(pb::PutRequest { lease: 11, ..put("foreign", "1") }).unwrap();
    etcd.call(pb::PutRequest { lease: 12, ..put("wlease", "1") }).unwrap();
    etcd.call(pb::AuthEnableRequest {}).unwrap();
    etcd
}

/// One letter for each way that a call can end.
fn letter(result: &Result<Response, Status>) -> char {
    let Err(status) = result else { return 'O' };
    match (E::from_status(status), status.code) {
        (Some(E::InvalidAuthToken), Unknown) => 'R',
        (Some(E::InvalidAuthToken), Unauthenticated) => 'T',
        (Some(E::UserEmpty), InvalidArgument) => 'E',
        (Some(E::UserEmpty), Unknown) => 'V',
        (Some(E::PermissionDenied), Unknown) => 'Q',
        (Some(E::PermissionDenied), Code::PermissionDenied) => 'P',
        (Some(E::LeaseNotFound), _) => 'L',
        (Some(E::BadLeaderTransferee), _) => 'B',
        (Some(E::UserNotFound | E::RoleNotFound), _) => 'N',
        (Some(E::RoleEmpty), _) => 'X',
        (Some(E::EmptyKey), _) => 'K',
        (_, Unimplemented) => 'U',
        other => panic!("{other:?} {status}"),
    }
}

/// What later versions do differently from the last column of the [`table`].
const SINCE: [(&str, (u16, u16, u16), &str); 5] = [
    ("status", V3_6, "ETOOO"),
    ("auth status", V3_7, "OTOOO"),
    ("defragment", V3_6, "ETPPO"),
    ("hash", V3_6, "ETPPO"),
    ("hash of keys", V3_6, "ETPPO"),
];

/// Returns what a version makes of a request, by its name and its row of the [`table`].
fn expected(name: &str, version: (u16, u16, u16), row: [&'static str; 3]) -> &'static str {
    let of_name = SINCE.iter().filter(|(other, since, _)| *other == name && version >= *since);
    let last = row[VERSIONS.iter().position(|it| *it == version).unwrap().min(2)];
    of_name.map(|(_, _, outcome)| *outcome).next_back().unwrap_or(last)
}

/// Requests, and what comes of them for nobody, a bad token, u, w, and root; on the three oldest
/// versions.
fn table() -> Vec<(&'static str, Request, [&'static str; 3])> {
    let same = |row| [row, row, row];
    let of_a = compare("a", CompareResult::Equal, TargetUnion::Version(0));
    let nested = RequestTxn(txn(vec![], vec![], vec![]));
    let stale = pb::RangeRequest { serializable: true, ..get("zq") };
    let disarm = pb::AlarmRequest { action: 2, alarm: 1, member_id: 0 };
    let left = |id, keys| pb::LeaseTimeToLiveRequest { id, keys };
    let renew = |id| pb::LeaseKeepAliveRequest { id };
    vec![
        ("read", get("zq").into(), same("ETOPO")),
        ("stale read", stale.into(), same("ETOPO")),
        ("put", put("zq", "").into(), same("ETPPO")),
        ("delete", delete("zq").into(), same("ETPPO")),
        ("read txn", txn(vec![], vec![RequestRange(get("zq"))], vec![]).into(), same("ETOPO")),
        ("compare", txn(vec![of_a], vec![], vec![]).into(), same("ETPPO")),
        ("empty txn", txn(vec![], vec![], vec![]).into(), same("OTOOO")),
        ("write txn", txn(vec![], vec![RequestPut(put("zq", ""))], vec![]).into(), same("ETPPO")),
        ("nested txn", txn(vec![], vec![nested], vec![]).into(), same("OTOOO")),
        (
            "compact",
            pb::CompactionRequest { revision: 1, physical: false }.into(),
            ["OTOOO", "OTOOO", "ETPPO"],
        ),
        ("grant", pb::LeaseGrantRequest { id: 0, ttl: 60 }.into(), ["OTOOO", "OTOOO", "ETOOO"]),
        ("revoke none", pb::LeaseRevokeRequest { id: 99 }.into(), ["LTLLL", "LTLLL", "ETLLL"]),
        ("revoke", pb::LeaseRevokeRequest { id: 11 }.into(), same("ETPPO")),
        ("ttl", left(12, false).into(), ["OOOOO", "OOOOO", "ETOOO"]),
        ("ttl, keys", left(12, true).into(), ["OOOOO", "ETPPO", "ETPPO"]),
        ("ttl of none", left(99, true).into(), ["OOOOO", "ETOOO", "ETOOO"]),
        ("leases", pb::LeaseLeasesRequest {}.into(), ["OOOOO", "OOOOO", "ETPPO"]),
        ("renew", renew(12).into(), ["OOOOO", "OOOOO", "ETPOO"]),
        ("renew none", renew(99).into(), ["OOOOO", "OOOOO", "ETOOO"]),
        ("renew a free one", renew(13).into(), ["OOOOO", "OOOOO", "ETOOO"]),
        (
            "members",
            pb::MemberListRequest { linearizable: true }.into(),
            ["OOOOO", "OOOOO", "ETOOO"],
        ),
        ("status", pb::StatusRequest {}.into(), ["OOOOO", "OOOOO", "ETPPO"]),
        ("alarms", pb::AlarmRequest::default().into(), ["OROOO", "OTOOO", "ETOOO"]),
        ("disarm", disarm.into(), ["OROOO", "OTOOO", "ETPPO"]),
        ("move leader", pb::MoveLeaderRequest { target_id: 5 }.into(), ["BBBBB", "BBBBB", "ETPPB"]),
        ("defragment", pb::DefragmentRequest {}.into(), same("VRQQO")),
        ("hash", pb::HashRequest {}.into(), same("VRQQO")),
        ("hash of keys", pb::HashKvRequest { revision: 0 }.into(), same("VRQQO")),
        ("auth status", pb::AuthStatusRequest {}.into(), ["UUUUU", "ETPPO", "ETPPO"]),
        ("users", pb::AuthUserListRequest {}.into(), same("ETPPO")),
        ("user u", get_user("u").into(), same("ETOPO")),
        ("no user", get_user("q").into(), same("ETPPN")),
        ("role r1", get_role("r1").into(), same("ETOPO")),
        ("role wo", get_role("wo").into(), same("ETPOO")),
        ("no role", get_role("q").into(), same("ETPPN")),
        ("roles", pb::AuthRoleListRequest {}.into(), same("ETPPO")),
        ("add nobody", user("", "").into(), same("ETPPE")),
        ("add no role", role("").into(), same("ETPPX")),
        ("enable", pb::AuthEnableRequest {}.into(), same("ETPPO")),
    ]
}

// A10, A11, A14, A15, L7, K38
#[test]
fn who_may_do_what() {
    for version in VERSIONS {
        let mut etcd = guarded(version);
        let logins = ["u", "w", "root"].map(|name| login(&mut etcd, name, name).unwrap());
        let [u, w, root] = logins.map(Some);
        let callers = [None, Some("bad.1".to_owned()), u, w, root];
        for (name, request, row) in table() {
            let outcome = |token: &Option<String>| {
                let mut cluster = etcd.cluster.clone();
                let mut call = Call::new(etcd.member, request.clone());
                call.token.clone_from(token);
                let ticket = cluster.submit(etcd.now, call);
                letter(&answer(&mut cluster.poll(etcd.now), ticket).unwrap())
            };
            let outcomes: String = callers.iter().map(outcome).collect();
            assert_eq!(outcomes, expected(name, version, row), "{name} on {version:?}");
        }
    }
}

// What a user may do who may only write w to x.
#[test]
fn the_edges_of_a_write_permission() {
    let leased = |key, lease| pb::PutRequest { lease, ..put(key, "") };
    let reading = pb::PutRequest { prev_kv: true, ..put("w1", "") };
    let inside = |op| txn(vec![], vec![op], vec![]);
    let nested = |inner| inside(RequestTxn(inner));
    let of_foreign = compare("foreign", CompareResult::Equal, TargetUnion::Version(0));
    let rows: Vec<(Request, &str)> = vec![
        (put("w1", "").into(), "OOO"),
        (reading.clone().into(), "PPP"),
        (leased("w1", 11).into(), "PPP"),
        (leased("w1", 12).into(), "OOO"),
        (leased("zq", 99).into(), "PPP"),
        (put("", "").into(), "KKK"),
        (inside(RequestPut(reading)).into(), "OOP"),
        (inside(RequestPut(leased("w1", 11))).into(), "OOP"),
        (nested(inside(RequestPut(put("foreign", "")))).into(), "OOP"),
        (nested(txn(vec![of_foreign], vec![], vec![])).into(), "OOP"),
        (pb::DeleteRangeRequest { prev_kv: true, ..delete("w1") }.into(), "PPP"),
        (delete_range("w", "x").into(), "OOO"),
        (delete_range("w", "y").into(), "PPP"),
        (delete_range("wz", "wa").into(), "OOO"),
        (delete_range("zz", "aa").into(), "PPP"),
        (delete_range("wz", "wz").into(), "OOO"),
        (delete_range("w", "\0").into(), "PPP"),
    ];
    for (at, version) in VERSIONS.into_iter().enumerate() {
        let etcd = &mut guarded(version);
        etcd.token = Some(login(etcd, "w", "w").unwrap());
        for (request, expected) in &rows {
            let expected = expected.chars().nth(at.min(2)).unwrap();
            assert_eq!(letter(&etcd.ask(request.clone())), expected, "{version:?} {request:?}");
        }
    }
}

fn reason_of(etcd: &mut Alone, key: &str, end: &str) -> String {
    let stream = etcd.open();
    let watch = pb::WatchCreateRequest { range_end: bytes(end), ..create(key) };
    let message = etcd.watch(stream, [order(watch)], Duration::ZERO).remove(0);
    assert_eq!(message.canceled, message.watch_id == -1);
    assert!(message.created);
    message.cancel_reason
}

// W14: the whole status, in gRPC's words.
#[test]
fn w14_a_refused_watch_says_why() {
    for version in VERSIONS {
        let etcd = &mut guarded(version);
        let empty = "rpc error: code = InvalidArgument desc = etcdserver: user name is empty";
        assert_eq!(reason_of(etcd, "k", ""), empty);
        etcd.token = Some("bad.1".to_owned());
        let bad = "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token";
        assert_eq!(reason_of(etcd, "k", ""), bad);
        etcd.token = None;
        etcd.token = Some(login(etcd, "u", "u").unwrap());
        let denied = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
        assert_eq!(reason_of(etcd, "a", ""), denied);
        assert_eq!(reason_of(etcd, "k", "n"), denied);
        assert_eq!(reason_of(etcd, "c", "a"), denied, "before the empty range");
        assert_eq!(reason_of(etcd, "k", "m"), "");
    }
}

// W15
#[test]
fn w15_an_open_watch_outlives_its_permission() {
    let etcd = &mut guarded(NEW);
    etcd.token = Some(login(etcd, "u", "u").unwrap());
    let stream = etcd.open();
    etcd.watch(stream, [order(create("k"))], Duration::ZERO);
    etcd.token = Some(login(etcd, "root", "root").unwrap());
    etcd.call(pb::AuthUserDeleteRequest { name: "u".to_owned() }).unwrap();
    etcd.put("k", "1");
    let messages = etcd.watch(stream, [order(create("k"))], Duration::ZERO);
    assert_eq!(messages[0].events.len(), 1);
    assert!(messages[1].canceled, "a new one on the same stream is refused");
}

// W16: closed in 3.5.33.
#[test]
fn w16_a_watch_to_the_end_needs_only_its_first_key() {
    for (version, is_open) in [(OLD, true), (NEW, true), ((3, 5, 33), false)] {
        let etcd = &mut guarded(version);
        etcd.token = Some(login(etcd, "u", "u").unwrap());
        assert_eq!(reason_of(etcd, "k", "\0").is_empty(), is_open, "{version:?}");
        assert_eq!(reason_of(etcd, "z", "\0"), "", "what is permitted is permitted");
    }
}

// A8: a token lives from use to use.
#[test]
fn a_token_ends_when_it_is_not_used() {
    let etcd = &mut guarded(NEW);
    let token = login(etcd, "u", "u").unwrap();
    let (letters, index) = token.split_once('.').unwrap();
    assert!(letters.len() == 16 && letters.chars().all(|c| c.is_ascii_alphabetic()));
    assert!(index.parse::<u64>().unwrap() > 0);
    etcd.token = Some(token);
    for _ in 0..3 {
        etcd.wait(ms(299_999));
        etcd.call(get("k")).unwrap();
    }
    etcd.wait(ms(300_000));
    refused(etcd.call(get("k")), Unauthenticated, "etcdserver: invalid auth token");
}

// A8, A12
#[test]
fn what_makes_a_token_invalid() {
    for version in VERSIONS {
        let etcd = &mut guarded(version);
        let root = login(etcd, "root", "root").unwrap();
        let u = login(etcd, "u", "u").unwrap();
        let as_root = |etcd: &mut Alone, request: Request| {
            etcd.token = Some(root.clone());
            etcd.ask(request).unwrap();
            etcd.token = Some(u.clone());
        };
        as_root(etcd, role("other").into());
        as_root(etcd, give("u", "other").into());
        etcd.call(get("k")).unwrap();
        let change = pb::AuthUserChangePasswordRequest {
            name: "u".to_owned(),
            password: "new".to_owned(),
            ..Default::default()
        };
        as_root(etcd, change.into());
        refused(etcd.call(get("k")), Unauthenticated, "etcdserver: invalid auth token");
        etcd.token = Some(login(etcd, "u", "new").unwrap());
        etcd.call(get("k")).unwrap();
        etcd.cluster.kill(etcd.now, etcd.member);
        etcd.cluster.restart(etcd.now, etcd.member);
        etcd.wait(ms(5000));
        refused(
            etcd.call(pb::RangeRequest { serializable: true, ..get("k") }),
            Unauthenticated,
            "etcdserver: invalid auth token",
        );
    }
}

// AUTH-006: only old servers look at tokens while authentication is off.
#[test]
fn a_stale_token_after_authentication_was_switched_off() {
    for version in VERSIONS {
        let etcd = &mut guarded(version);
        etcd.token = Some(login(etcd, "root", "root").unwrap());
        etcd.call(pb::AuthDisableRequest {}).unwrap();
        assert_eq!(etcd.call(get("k")).is_err(), version == OLD, "{version:?}");
        etcd.token = None;
        etcd.call(get("k")).unwrap();
        let off = login(etcd, "root", "root");
        refused(off, FailedPrecondition, "etcdserver: authentication is not enabled");
    }
}

// A token is known to every member once it has applied the entry.
#[test]
fn a_token_is_good_at_every_member() {
    let mut config = ClusterConfig::new(3, personality(NEW), 3);
    config.delays = Delays::NONE;
    let etcd = &mut Alone::with(config);
    etcd.call(user("root", "r")).unwrap();
    etcd.call(role("root")).unwrap();
    etcd.call(give("root", "root")).unwrap();
    etcd.call(pb::AuthEnableRequest {}).unwrap();
    etcd.token = Some(login(etcd, "root", "r").unwrap());
    for member in etcd.cluster.member_ids() {
        etcd.member = member;
        etcd.put("a", "1");
    }
}

// A3
#[test]
fn passwords() {
    for version in VERSIONS {
        let etcd = &mut guarded(version);
        etcd.token = Some(login(etcd, "root", "root").unwrap());
        let none = UserAddOptions { no_password: true };
        etcd.call(pb::AuthUserAddRequest { options: Some(none), ..user("np", "x") }).unwrap();
        etcd.call(user("ep", "")).unwrap();
        etcd.call(user("changed", "x")).unwrap();
        let change =
            pb::AuthUserChangePasswordRequest { name: "changed".to_owned(), ..Default::default() };
        etcd.call(change).unwrap();
        let text = "auth: authentication failed, password was given for no password user";
        refused(login(etcd, "np", "x"), Unknown, text);
        let text = "etcdserver: authentication failed, invalid user ID or password";
        refused(login(etcd, "u", "wrong"), InvalidArgument, text);
        refused(login(etcd, "nobody", ""), InvalidArgument, text);
        login(etcd, "ep", "").unwrap();
        assert_eq!(login(etcd, "changed", "").is_ok(), version == OLD, "{version:?}");
    }
}
