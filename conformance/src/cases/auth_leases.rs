//! Leases of users: who may grant, renew, list and revoke.

use super::auth_expect::{DENIED, Guarded, USER_EMPTY};
use super::lease_expect::{LIMIT, check_key, seconds};
use crate::{Case, CaseResult, Ctx, case};
use etcd3::{Client, LeaseId};
use etcd3_lab::etcd::Version;
use std::time::Duration;

/// The first version of its line whose leases are looked after as keys are.
// A14, L7
const GUARDED: Version = Version { major: 3, minor: 5, patch: 28 };

pub(super) const CASES: &[Case] = &[
    case!(a_lease_needs_a_user, ["AUTH-022", "AUTH-024", "AUTH-033", "AUTH-060"]).plain_and_tls(),
    case!(a_lease_ends_for_users_with_a_jwt, ["AUTH-061"]).real("JSON web tokens"),
    case!(anybody_with_a_user_grants, ["AUTH-025", "AUTH-029"]).since(GUARDED),
    case!(anybody_with_a_jwt_grants, ["AUTH-026"]).since(GUARDED).real("JSON web tokens"),
    case!(a_lease_with_keys_of_others_is_not_revoked, ["AUTH-062", "AUTH-064"]),
    case!(a_lease_with_keys_of_others_is_not_renewed, ["AUTH-063"]).since(GUARDED),
];

async fn with_jwt(ctx: &Ctx) -> Result<Guarded, crate::BoxError> {
    Guarded::by_password(ctx, |cluster| cluster.members(1).jwt(seconds(60))).await
}

/// AUTH-022, AUTH-024, AUTH-033, AUTH-060
async fn a_lease_needs_a_user(ctx: Ctx) -> CaseResult {
    let it = Guarded::server(&ctx).await?;
    // AUTH-022
    let lease = it.root.grant(seconds(10)).await?.id;
    it.root.put("key", "value").lease(lease).await?;
    assert_eq!(it.root.keep_alive_once(lease).await?.ttl, seconds(10));
    let kept = it.root.keep_alive(lease).await?;
    assert!(kept.is_valid());
    check_key(&it.root, "key", true).await?;
    // AUTH-033
    let nobody = it.nobody().await?;
    USER_EMPTY.is_answered(&nobody.revoke(lease).await.unwrap_err());
    it.root.revoke(lease).await?;
    check_key(&it.root, "key", false).await?;
    if ctx.etcd.version >= GUARDED {
        let bare = it.root.grant(seconds(10)).await?.id;
        USER_EMPTY.is_answered(&nobody.revoke(bare).await.unwrap_err());
    }
    check_expiry(&ctx, &it.root).await
}

/// AUTH-061
async fn a_lease_ends_for_users_with_a_jwt(ctx: Ctx) -> CaseResult {
    check_expiry(&ctx, &with_jwt(&ctx).await?.root).await
}

/// AUTH-024, AUTH-060: also a lease that nobody revokes ends with its keys.
async fn check_expiry(ctx: &Ctx, client: &Client) -> CaseResult {
    let lease = client.grant(seconds(1)).await?.id;
    client.put("foo", "bar").lease(lease).await?;
    ctx.until("the end of a lease", LIMIT, || async {
        client.time_to_live(lease).keys().await.is_ok_and(|found| found.ttl.is_none())
    })
    .await?;
    let found = client.time_to_live(lease).keys().await?;
    assert_eq!((found.ttl, found.granted, found.keys.len()), (None, Duration::ZERO, 0));
    check_key(client, "foo", false).await
}

/// AUTH-025
async fn check_grants(it: &Guarded) -> CaseResult {
    let lease = it.root.grant(seconds(10)).await?.id;
    assert_eq!(it.root.leases().await?.leases, [lease]);
    USER_EMPTY.is_answered(&it.nobody().await?.grant(seconds(10)).await.unwrap_err());
    it.user.grant(seconds(10)).await?;
    Ok(())
}

/// AUTH-025, AUTH-029
async fn anybody_with_a_user_grants(ctx: Ctx) -> CaseResult {
    let it = Guarded::server(&ctx).await?;
    check_grants(&it).await?;
    for lease in it.root.leases().await?.leases {
        it.root.revoke(lease).await?;
    }
    // AUTH-029
    let mine = it.root.grant(seconds(60)).await?.id;
    it.root.put("foo", "").lease(mine).await?;
    let other = it.root.grant(seconds(60)).await?.id;
    it.root.put("foo1", "").lease(other).await?;
    DENIED.is_answered(&it.user.leases().await.unwrap_err());
    USER_EMPTY.is_answered(&it.nobody().await?.leases().await.unwrap_err());
    assert_eq!(it.root.leases().await?.leases.len(), 2);
    it.root.revoke(other).await?;
    assert_eq!(it.user.leases().await?.leases, [mine]);
    Ok(())
}

/// AUTH-026
async fn anybody_with_a_jwt_grants(ctx: Ctx) -> CaseResult {
    check_grants(&with_jwt(&ctx).await?).await
}

/// AUTH-062, AUTH-064
async fn a_lease_with_keys_of_others_is_not_revoked(ctx: Ctx) -> CaseResult {
    let it = Guarded::server(&ctx).await?;
    let user1 = it.add_user("user1", "k1".."k3").await?;
    let user2 = it.add_user("user2", "k2".."k4").await?;
    let of_root = it.root.grant(seconds(60)).await?.id;
    it.root.put("k3", "").lease(of_root).await?;
    DENIED.is_answered(&user1.revoke(of_root).await.unwrap_err());
    check_key(&it.root, "k3", true).await?;

    let shared = user1.grant(seconds(60)).await?.id;
    user1.put("k2", "").lease(shared).await?;
    user2.revoke(shared).await?;
    let own = user1.grant(seconds(60)).await?.id;
    user1.put("k1", "").lease(own).await?;
    DENIED.is_answered(&user2.revoke(own).await.unwrap_err());
    check_key(&user1, "k1", true).await
}

/// AUTH-063: by each member, and one such lease does no harm to the others on its stream.
async fn a_lease_with_keys_of_others_is_not_renewed(ctx: Ctx) -> CaseResult {
    let it = Guarded::by_password(&ctx, |cluster| cluster.members(3)).await?;
    let user = it.add_user("user1", "k1".."k3").await?;
    let [mixed, own] = [["k1", "k3"], ["k1", "k2"]];
    let mut leases = Vec::new();
    for keys in [mixed, own] {
        let lease = it.root.grant(seconds(60)).await?.id;
        for key in keys {
            it.root.put(format!("{key}{lease}"), "").lease(lease).await?;
        }
        leases.push(lease);
    }
    let nobody = it.nobody().await?;
    let kept = user.keep_alive(leases[1]).await?;
    let checks = it.cluster.client_urls().into_iter().map(|url| {
        check_renewals(url, [&nobody, &it.root, &user].map(Clone::clone), [leases[0], leases[1]])
    });
    futures_util::future::try_join_all(checks).await?;
    assert!(kept.is_valid());
    Ok(())
}

/// AUTH-063: of one member. Renewals are tried until their time is over, since users and roles
/// change; then the refusal is told.
async fn check_renewals(
    url: String,
    clients: [Client; 3],
    [mixed, own]: [LeaseId; 2],
) -> CaseResult {
    let [nobody, root, user] = clients;
    let [nobody, root, user] =
        [nobody.pinned_to(url.as_str())?, root.pinned_to(url.as_str())?, user.pinned_to(url)?];
    let refused = nobody.keep_alive_once(mixed).timeout(seconds(1)).await.unwrap_err();
    USER_EMPTY.is_read_from(&refused);
    root.keep_alive_once(mixed).await?;
    let refused = user.keep_alive_once(mixed).timeout(seconds(1)).await.unwrap_err();
    DENIED.is_read_from(&refused);
    user.keep_alive_once(own).await?;
    Ok(())
}
