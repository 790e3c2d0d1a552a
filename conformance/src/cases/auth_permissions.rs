//! What users may do, by their roles, and how a change of roles shows in clients that go on.

use super::auth_expect::{DENIED, Guarded, INVALID_MGMT, ROLE, USER};
use super::kv_expect::only;
use crate::{Case, CaseResult, Ctx, case};
use etcd3::PermissionType::{ReadWrite, Write};
use etcd3::{KeyRange, delete, get, key, ops, prefix, put, txn};
use etcd3_lab::etcd::Version;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(a_role_changes_under_its_users, ["AUTH-009", "AUTH-011", "AUTH-021"]).plain_and_tls(),
    case!(
        a_transaction_needs_the_right_to_every_key,
        ["AUTH-013", "AUTH-014", "AUTH-015", "AUTH-016"]
    )
    .plain_and_tls(),
    case!(
        a_transaction_needs_the_right_to_every_key_by_jwt,
        ["AUTH-017", "AUTH-018", "AUTH-019", "AUTH-020"]
    )
    .real("JSON web tokens"),
    case!(users_see_what_is_theirs, ["AUTH-023", "AUTH-032", "AUTH-034", "AUTH-035", "AUTH-036"])
        .plain_and_tls(),
    case!(certificates_name_users, ["AUTH-009", "AUTH-014", "AUTH-021", "AUTH-034", "AUTH-035"])
        .real("TLS"),
    case!(a_transaction_is_looked_into, ["AUTH-066", "AUTH-067", "AUTH-068"]).since(Version {
        major: 3,
        minor: 5,
        patch: 30,
    }),
    case!(a_user_writes_a_range, ["AUTH-094"]).plain_and_tls(),
];

/// AUTH-009, AUTH-011, AUTH-021
async fn a_role_changes_under_its_users(ctx: Ctx) -> CaseResult {
    check_changes(&Guarded::server(&ctx).await?).await
}

async fn check_changes(it: &Guarded) -> CaseResult {
    let (auth, user) = (it.root.auth(), &it.user);
    // AUTH-009
    DENIED.is_answered(&user.put("hoo", "1").await.unwrap_err());
    auth.role_grant_permission(ROLE, "hoo", ReadWrite).await?;
    user.put("hoo", "1").await?;
    assert_eq!(only(&user.get("hoo").await?).value, "1");
    auth.role_revoke_permission(ROLE, "hoo").await?;
    DENIED.is_answered(&user.put("hoo", "2").await.unwrap_err());
    assert_eq!(only(&user.get("foo").await?).value, "bar");

    // AUTH-011
    auth.role_add("test-role2").await?;
    auth.role_grant_permission("test-role2", "hoo", ReadWrite).await?;
    auth.user_grant_role(USER, "test-role2").await?;
    user.put("hoo", "3").await?;
    auth.user_revoke_role(USER, ROLE).await?;
    DENIED.is_answered(&user.put("foo", "baz").await.unwrap_err());
    user.put("hoo", "4").await?;
    auth.user_grant_role(USER, ROLE).await?;
    auth.role_delete("test-role2").await?;

    // AUTH-021
    for name in ["/prefix/", "/prefix2/"] {
        auth.role_grant_permission(ROLE, prefix(name), ReadWrite).await?;
        for n in 0..10 {
            user.put(format!("{name}{n}"), "").await?;
        }
    }
    DENIED.is_answered(&user.put("/prefix0", "").await.unwrap_err());
    assert_eq!(user.get(prefix("/prefix/")).await?.count, 10);
    DENIED.is_answered(&user.get(prefix("/prefix")).await.unwrap_err());
    Ok(())
}

/// AUTH-013, AUTH-014, AUTH-015, AUTH-016
async fn a_transaction_needs_the_right_to_every_key(ctx: Ctx) -> CaseResult {
    check_txns(&Guarded::server(&ctx).await?).await
}

/// AUTH-017, AUTH-018, AUTH-019, AUTH-020
async fn a_transaction_needs_the_right_to_every_key_by_jwt(ctx: Ctx) -> CaseResult {
    let ttl = Duration::from_secs(3);
    let build = |cluster: etcd3_lab::ClusterBuilder| cluster.members(1).jwt(ttl);
    check_txns(&Guarded::by_password(&ctx, build).await?).await
}

/// Also when it is in the branch that is not taken.
// A16
async fn check_txns(it: &Guarded) -> CaseResult {
    for name in ["c1", "s1", "f1", "c2", "s2", "f2"] {
        it.root.put(name, "v").await?;
        if name.ends_with('2') {
            it.root.auth().role_grant_permission(ROLE, name, ReadWrite).await?;
        }
    }
    for (compared, then, otherwise, is_permitted) in [
        ("c2", "s2", "f2", true),
        ("c1", "s2", "f2", false),
        ("c2", "s1", "f2", false),
        ("c2", "s2", "f1", false),
    ] {
        let is_new = key(compared).version().eq(1);
        let txn = it.user.txn().when([is_new]).then([get(then)]).otherwise([get(otherwise)]);
        let done = txn.await;
        if !is_permitted {
            DENIED.is_answered(&done.unwrap_err());
            continue;
        }
        let done = done?;
        assert!(done.succeeded, "{done:?}");
        let read = done.responses[0].as_get().ok_or("no answer to a get")?;
        assert_eq!((only(read).key.as_ref(), &only(read).value[..]), (&b"s2"[..], &b"v"[..]));
    }
    Ok(())
}

/// AUTH-023, AUTH-032, AUTH-034, AUTH-035, AUTH-036
async fn users_see_what_is_theirs(ctx: Ctx) -> CaseResult {
    check_gets(&Guarded::server(&ctx).await?).await
}

// A6, A15
async fn check_gets(it: &Guarded) -> CaseResult {
    let (root, user) = (it.root.auth(), it.user.auth());
    // AUTH-032
    INVALID_MGMT.is_answered(&root.user_delete("root").await.unwrap_err());
    INVALID_MGMT.is_answered(&root.user_revoke_role("root", "root").await.unwrap_err());
    INVALID_MGMT.is_answered(&root.role_delete("root").await.unwrap_err());

    // AUTH-034, AUTH-035
    let role = root.role_get(ROLE).await?;
    assert_eq!(role.permissions.len(), 1, "{role:?}");
    assert_eq!(role.permissions[0].range, key("foo"));
    assert_eq!(user.role_get(ROLE).await?.permissions, role.permissions);
    DENIED.is_answered(&user.role_get("root").await.unwrap_err());
    assert_eq!(root.user_get(USER).await?.roles, [ROLE]);
    assert_eq!(user.user_get(USER).await?.roles, [ROLE]);
    DENIED.is_answered(&user.user_get("root").await.unwrap_err());

    // AUTH-036
    assert_eq!(root.role_list().await?.roles, ["root", ROLE]);
    assert_eq!(root.user_list().await?.users, ["root", USER]);
    DENIED.is_answered(&user.role_list().await.unwrap_err());
    DENIED.is_answered(&user.user_list().await.unwrap_err());
    DENIED.is_answered(&user.user_add("friend", "").await.unwrap_err());
    DENIED.is_answered(&user.disable().await.unwrap_err());

    // AUTH-023
    root.role_add("test-role2").await?;
    root.user_grant_role(USER, "test-role2").await?;
    assert_eq!(root.user_get(USER).await?.roles, [ROLE, "test-role2"]);
    root.role_delete("test-role2").await?;
    assert_eq!(root.user_get(USER).await?.roles, [ROLE]);
    Ok(())
}

/// AUTH-009, AUTH-014, AUTH-021, AUTH-034, AUTH-035, A10: without a token or a login.
async fn certificates_name_users(ctx: Ctx) -> CaseResult {
    let it = Guarded::by_certificate(&ctx).await?;
    check_gets(&it).await?;
    check_txns(&it).await?;
    it.root.auth().role_revoke_permission(ROLE, "c2").await?;
    check_changes(&it).await?;
    let other = it.add_user("other", prefix("other/")).await?;
    other.put("other/1", "").await?;
    DENIED.is_answered(&other.get("foo").await.unwrap_err());
    // No password fits a user that was added without one, and it is known by its name all the same.
    it.root.auth().user_delete("other").await?;
    DENIED.is_answered(&other.put("other/1", "").await.unwrap_err());
    it.root.auth().user_add_without_password("other").await?;
    it.root.auth().user_grant_role("other", "other").await?;
    other.put("other/1", "").await?;
    Ok(())
}

/// AUTH-066, AUTH-067, AUTH-068, K38
async fn a_transaction_is_looked_into(ctx: Ctx) -> CaseResult {
    let it = Guarded::server(&ctx).await?;
    let user = it.add_user("user1", "foo".."zoo").await?;
    it.root.put("boo", "bar").await?;
    let nested = txn().then([txn().then([delete("boo")])]);
    DENIED.is_answered(&user.txn().then([nested]).await.unwrap_err());
    assert_eq!(only(&it.root.get("boo").await?).value, "bar");

    let auth = it.root.auth();
    auth.role_grant_permission("user1", "foo".."zoo", Write).await?;
    let put_and_read = user.txn().then([put("foo", "1").prev_kv()]);
    DENIED.is_answered(&put_and_read.await.unwrap_err());
    user.put("foo", "1").await?;

    auth.role_revoke_permission("user1", "foo".."zoo").await?;
    auth.role_grant_permission("user1", "foo".."fop", Write).await?;
    let lease = it.root.grant(Duration::from_secs(60)).await?.id;
    it.root.put("eoo", "bar").lease(lease).await?;
    let attached = user.txn().then([put("foo", "2").lease(lease)]);
    DENIED.is_answered(&attached.await.unwrap_err());
    assert_eq!(only(&it.root.get("foo").await?).value, "1");
    Ok(())
}

/// AUTH-094
async fn a_user_writes_a_range(ctx: Ctx) -> CaseResult {
    let it = Guarded::server(&ctx).await?;
    let range = KeyRange::from("foo".."zoo");
    let user = it.add_user("u", range.clone()).await?;
    user.put("foo1", "bar").await?;
    let is_set = key("zoo1").value().gt("abc");
    let refused = user.txn().when([is_set]).then(ops![put("zoo1", "XYZ")]);
    DENIED.is_answered(&refused.otherwise([put("zoo1", "ABC")]).await.unwrap_err());
    let permissions = it.root.auth().role_get("u").await?.permissions;
    assert_eq!((permissions.len(), &permissions[0].range), (1, &range));
    it.root.auth().disable().await?;
    it.nobody().await?.put("zoo1", "ABC").await?;
    Ok(())
}
