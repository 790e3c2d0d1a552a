//! Users, roles and permissions while authentication is off, and what it means to switch it on.

use super::auth_expect::{
    NO_ROOT_ROLE, NO_ROOT_USER, NOT_GRANTED, ROLE_EMPTY, ROLE_EXISTS, ROLE_NOT_FOUND,
    ROLE_NOT_GRANTED, USER_EMPTY, USER_EXISTS, USER_NOT_FOUND, enable, nobody,
};
use super::kv_expect::only;
use crate::{BoxError, Case, CaseResult, Ctx, Server, case};
use etcd3::PermissionType::{Read, ReadWrite, Write};
use etcd3::proto::etcdserverpb as pb;
use etcd3::{Client, ErrorKind, KeyRange, Outcome, PermissionType, key};
use etcd3_lab::etcd::Version;

pub(super) const CASES: &[Case] = &[
    case!(
        users_are_added_and_deleted,
        ["AUTH-048", "AUTH-049", "AUTH-050", "AUTH-051", "AUTH-054"]
    )
    .plain_and_tls(),
    case!(what_is_wrong_with_a_user_is_told, ["AUTH-001", "AUTH-052", "AUTH-055"]).plain_and_tls(),
    case!(
        roles_are_added_and_deleted,
        ["AUTH-043", "AUTH-044", "AUTH-045", "AUTH-047", "AUTH-046"]
    )
    .plain_and_tls(),
    case!(nobody_may_do_anything, ["AUTH-005", "AUTH-056", "AUTH-057", "AUTH-065"]).plain_and_tls(),
    case!(a_change_of_users_does_not_move_the_revision, ["AUTH-059"]),
    case!(the_status_tells_of_the_switch, ["AUTH-008"]).since(Version::minor(3, 5)),
    case!(an_old_server_has_no_status, []),
];

async fn alone(ctx: &Ctx) -> Result<(Server, Client), BoxError> {
    let server = ctx.server().await?;
    let client = nobody(ctx, [server.client_url()]).await?;
    Ok((server, client))
}

/// AUTH-048, AUTH-049, AUTH-050, AUTH-051, AUTH-054, A3: by each member, and known to each.
async fn users_are_added_and_deleted(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = nobody(&ctx, cluster.client_urls()).await?;
    for url in cluster.client_urls() {
        let member = client.pinned_to(url)?;
        let auth = member.auth();
        USER_EMPTY.is_answered(&auth.user_add("", "bar").await.unwrap_err());
        USER_EMPTY.is_answered(&auth.user_add_without_password("").await.unwrap_err());
        auth.user_add("regular", "bar").await?;
        auth.user_add("empty", "").await?;
        let added = auth.user_add_without_password("without").await?;
        assert!(added.header.cluster_id != 0 && added.header.member_id != 0, "{added:?}");
        for name in ["empty", "regular", "without"] {
            assert!(client.auth().user_get(name).await?.roles.is_empty());
        }
        assert_eq!(client.auth().user_list().await?.users, ["empty", "regular", "without"]);
        for name in ["empty", "regular", "without"] {
            auth.user_delete(name).await?;
            USER_NOT_FOUND.is_answered(&auth.user_delete(name).await.unwrap_err());
            USER_NOT_FOUND.is_answered(&auth.user_get(name).await.unwrap_err());
        }
        assert!(client.auth().user_list().await?.users.is_empty());
    }
    Ok(())
}

/// AUTH-001, AUTH-052, AUTH-055
async fn what_is_wrong_with_a_user_is_told(ctx: Ctx) -> CaseResult {
    let (_server, client) = alone(&ctx).await?;
    let auth = client.auth();
    auth.user_add("foo", "bar").await?;
    USER_EXISTS.is_answered(&auth.user_add("foo", "bar").await.unwrap_err());
    USER_EXISTS.is_answered(&auth.user_add_without_password("foo").await.unwrap_err());
    USER_NOT_FOUND.is_answered(&auth.user_delete("not-foo").await.unwrap_err());
    ROLE_NOT_FOUND.is_answered(&auth.user_grant_role("foo", "no-role").await.unwrap_err());
    USER_NOT_FOUND.is_answered(&auth.user_grant_role("not-foo", "root").await.unwrap_err());
    ROLE_NOT_GRANTED.is_answered(&auth.user_revoke_role("foo", "no-role").await.unwrap_err());
    USER_NOT_FOUND.is_answered(&auth.user_revoke_role("not-foo", "root").await.unwrap_err());
    auth.user_change_password("foo", "rab").await?;
    USER_NOT_FOUND.is_answered(&auth.user_change_password("not-foo", "bar").await.unwrap_err());
    // What is there already is no error.
    auth.role_add("role").await?;
    for _ in 0..2 {
        auth.user_grant_role("foo", "role").await?;
        assert_eq!(auth.user_get("foo").await?.roles, ["role"]);
    }
    auth.user_revoke_role("foo", "role").await?;
    assert!(auth.user_get("foo").await?.roles.is_empty());
    Ok(())
}

/// What a role may do, in the order of the server.
async fn held(client: &Client, role: &str) -> Result<Vec<(KeyRange, PermissionType)>, BoxError> {
    let permissions = client.auth().role_get(role).await?.permissions;
    Ok(permissions.into_iter().map(|it| (it.range, it.permission_type)).collect())
}

/// AUTH-043, AUTH-044, AUTH-045, AUTH-046, AUTH-047, A4, A7
async fn roles_are_added_and_deleted(ctx: Ctx) -> CaseResult {
    let (_server, client) = alone(&ctx).await?;
    let auth = client.auth();
    auth.role_add("test-role").await?;
    ROLE_EXISTS.is_answered(&auth.role_add("test-role").await.unwrap_err());
    ROLE_EMPTY.is_answered(&auth.role_add("").await.unwrap_err());
    auth.role_add("root").await?;
    assert!(held(&client, "root").await?.iter().all(|(_, it)| *it == ReadWrite));
    auth.role_grant_permission("root", "foo", ReadWrite).await?;
    auth.role_get("root").await?;
    assert_eq!(auth.role_list().await?.roles, ["root", "test-role"]);

    auth.role_add("role1").await?;
    auth.role_grant_permission("role1", "bar", Read).await?;
    assert_eq!(held(&client, "role1").await?, [(key("bar"), Read)]);
    auth.role_grant_permission("role1", "bar", Write).await?;
    auth.role_grant_permission("role1", "bar".."foo", ReadWrite).await?;
    let wide = KeyRange::from("bar".."foo");
    let both = held(&client, "role1").await?;
    assert_eq!(both.len(), 2, "{both:?}");
    assert!(both.contains(&(key("bar"), Write)) && both.contains(&(wide.clone(), ReadWrite)));
    NOT_GRANTED.is_answered(&auth.role_revoke_permission("role1", "foo").await.unwrap_err());
    NOT_GRANTED.is_answered(&auth.role_revoke_permission("role1", "bar".."fop").await.unwrap_err());
    auth.role_revoke_permission("role1", wide).await?;
    assert_eq!(held(&client, "role1").await?, [(key("bar"), Write)]);
    // A grant of nothing would end the process of a server of etcd 3.4 (A5).
    let nothing = pb::AuthRoleGrantPermissionRequest { name: "role1".to_owned(), perm: None };
    let error = client.rpc(nothing).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::InvalidRequest, Outcome::NotSent));

    auth.role_delete("role1").await?;
    ROLE_NOT_FOUND.is_answered(&auth.role_delete("role1").await.unwrap_err());
    ROLE_NOT_FOUND.is_answered(&auth.role_get("role1").await.unwrap_err());
    let error = auth.role_grant_permission("role1", "bar", Read).await.unwrap_err();
    ROLE_NOT_FOUND.is_answered(&error);
    Ok(())
}

/// AUTH-005, AUTH-056, AUTH-057, AUTH-065, A6, A10
async fn nobody_may_do_anything(ctx: Ctx) -> CaseResult {
    let server = ctx.server_with(|server| server.flag("--snapshot-count", "3")).await?;
    let client = nobody(&ctx, [server.client_url()]).await?;
    client.put("foo", "bar").await?;
    NO_ROOT_USER.is_answered(&client.auth().enable().await.unwrap_err());
    client.auth().user_add("root", "r").await?;
    NO_ROOT_ROLE.is_answered(&client.auth().enable().await.unwrap_err());
    client.auth().user_delete("root").await?;
    enable(&client).await?;

    USER_EMPTY.is_answered(&client.get("foo").await.unwrap_err());
    for _ in 0..10 {
        USER_EMPTY.is_answered(&client.put("foo", "baz").await.unwrap_err());
    }
    USER_EMPTY.is_answered(&client.delete("foo").await.unwrap_err());
    USER_EMPTY.is_answered(&client.auth().user_list().await.unwrap_err());
    USER_EMPTY.is_answered(&client.auth().user_get("root").await.unwrap_err());
    USER_EMPTY.is_answered(&client.auth().role_get("root").await.unwrap_err());
    USER_EMPTY.is_answered(&client.auth().disable().await.unwrap_err());
    // Nobody is told whether it was on before, either.
    USER_EMPTY.is_answered(&client.auth().enable().await.unwrap_err());
    Ok(())
}

/// AUTH-059
async fn a_change_of_users_does_not_move_the_revision(ctx: Ctx) -> CaseResult {
    let (_server, client) = alone(&ctx).await?;
    let put = client.put("foo", "bar").await?.header.revision;
    let auth = client.auth();
    let revisions = [
        auth.user_add("root", "123").await?.header.revision,
        auth.role_add("role").await?.header.revision,
        auth.user_grant_role("root", "role").await?.header.revision,
        auth.role_grant_permission("role", "foo", Read).await?.header.revision,
        auth.role_get("role").await?.header.revision,
        auth.user_list().await?.header.revision,
    ];
    assert_eq!(revisions, [put; 6]);
    assert_eq!(only(&client.get("foo").await?).mod_revision, put);
    Ok(())
}

/// AUTH-008, A1
async fn the_status_tells_of_the_switch(ctx: Ctx) -> CaseResult {
    let (_server, client) = alone(&ctx).await?;
    let before = client.auth().status().await?;
    assert!(!before.enabled && before.auth_revision > 0, "{before:?}");
    enable(&client).await?;
    let after = client.auth().status().await;
    if ctx.etcd.version < Version::minor(3, 7) {
        USER_EMPTY.is_answered(&after.unwrap_err());
        return Ok(());
    }
    // User, role, and the one given to the other.
    let after = after?;
    assert!(after.enabled && after.auth_revision == before.auth_revision + 3, "{after:?}");
    Ok(())
}

/// V5
async fn an_old_server_has_no_status(ctx: Ctx) -> CaseResult {
    let (_server, client) = alone(&ctx).await?;
    let status = client.auth().status().await;
    if ctx.etcd.version >= Version::minor(3, 5) {
        status?;
        return Ok(());
    }
    let error = status.unwrap_err();
    let needs = etcd3::Version::new(3, 5);
    assert!(
        matches!(error.kind(), ErrorKind::Unsupported { needs: it, .. } if it == needs),
        "{error}"
    );
    assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
    Ok(())
}
