//! Members and maintenance: what is for root alone, and what for anybody who logs in.

use super::auth_expect::{AUTH_FAILED, DENIED, Guarded, USER_EMPTY, config};
use super::lease_expect::LIMIT;
use crate::{BoxError, Case, CaseResult, Ctx, case};
use etcd3::proto::etcdserverpb as pb;
use etcd3::{AlarmKind, Client, Error, ErrorKind, MemberStatus, Outcome, ServerError};
use etcd3_lab::etcd::Version;

/// The first version of its line in which the other calls of maintenance need a user, too.
// A14
const GUARDED: Version = Version { major: 3, minor: 5, patch: 28 };
/// The first in which any user may ask for members and alarms.
const OPEN_TO_USERS: Version = Version { major: 3, minor: 5, patch: 29 };

pub(super) const CASES: &[Case] = &[
    case!(maintenance_needs_a_user, ["AUTH-070", "AUTH-078", "AUTH-086"]),
    case!(maintenance_is_for_root, ["AUTH-072", "AUTH-080", "AUTH-081", "AUTH-088", "AUTH-089"])
        .plain_and_tls(),
    case!(
        maintenance_needs_the_password,
        ["AUTH-071", "AUTH-079", "AUTH-083", "AUTH-087", "AUTH-091"]
    ),
    case!(downgrades_are_for_root, ["AUTH-074", "AUTH-075", "AUTH-076", "AUTH-077"]).since(GUARDED),
    case!(leadership_is_moved_by_root, ["AUTH-082", "AUTH-085", "AUTH-090"]).since(GUARDED),
    case!(alarms_are_disarmed_by_root, ["AUTH-042"]).since(OPEN_TO_USERS),
    case!(anybody_with_a_user_lists_members, ["AUTH-030"]).since(OPEN_TO_USERS).plain_and_tls(),
    case!(members_are_for_root, ["AUTH-027", "AUTH-031"]).real("member changes"),
];

/// Takes a snapshot, and drops it.
async fn snapshot(client: &Client) -> Result<(), Error> {
    let mut snapshot = client.maintenance().snapshot();
    while let Some(chunk) = snapshot.next().await {
        chunk?;
    }
    Ok(())
}

/// Makes the three calls that need root in every version.
async fn all_three(it: &Guarded, client: &Client) -> [Result<(), Error>; 3] {
    let maintenance = client.maintenance();
    let url = it.cluster.client_urls().remove(0);
    [
        maintenance.defragment(&url).await.map(drop),
        maintenance.hash_kv(&url, 0).await.map(drop),
        snapshot(client).await,
    ]
}

/// Asserts that each call was refused: in the words of the auth store too, whose code is no help.
// E5
fn check_refused(calls: impl IntoIterator<Item = Result<(), Error>>, refusal: ServerError) {
    for call in calls {
        let error = call.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Server(refusal), "{error}");
        assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
    }
}

/// AUTH-070, AUTH-078, AUTH-086, E5
async fn maintenance_needs_a_user(ctx: Ctx) -> CaseResult {
    let it = Guarded::server(&ctx).await?;
    let nobody = it.nobody().await?;
    check_refused(all_three(&it, &nobody).await, ServerError::UserEmpty);
    // A token that the server has forgotten is renewed, in whichever words it says so.
    ctx.order(&it.cluster.member(0), crate::Member::restart).await?;
    it.root.get("foo").timeout(LIMIT).await?;
    for done in all_three(&it, &it.root).await {
        done?;
    }
    Ok(())
}

/// AUTH-072, AUTH-080, AUTH-081, AUTH-088, AUTH-089
async fn maintenance_is_for_root(ctx: Ctx) -> CaseResult {
    let it = Guarded::server(&ctx).await?;
    for done in all_three(&it, &it.root).await {
        done?;
    }
    check_refused(all_three(&it, &it.user).await, ServerError::PermissionDenied);
    Ok(())
}

/// AUTH-071, AUTH-079, AUTH-083, AUTH-087, AUTH-091: whatever it was that needed a login.
async fn maintenance_needs_the_password(ctx: Ctx) -> CaseResult {
    let it = Guarded::server(&ctx).await?;
    let url = it.cluster.client_urls().remove(0);
    match it.login("invalid", "invalid").await {
        Err(error) => AUTH_FAILED.is_read_from(&error),
        Ok(invalid) => {
            let maintenance = invalid.maintenance();
            let calls = [
                maintenance.status(&url).await.map(drop),
                maintenance.move_leader(1).await.map(drop),
            ];
            let calls = calls.into_iter().chain(all_three(&it, &invalid).await);
            for call in calls {
                let error = call.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Server(ServerError::AuthFailed), "{error}");
            }
        }
    }
    Ok(())
}

/// AUTH-074, AUTH-075, AUTH-076, AUTH-077
async fn downgrades_are_for_root(ctx: Ctx) -> CaseResult {
    let it = Guarded::server(&ctx).await?;
    let Version { major, minor, .. } = ctx.etcd.version;
    let part = |part| u16::try_from(part).map_err(|_| "no version has such numbers");
    let to = etcd3::Version::new(part(major)?, part(minor - 1)?);
    let validate = |client: &Client| client.maintenance().validate_downgrade(to).timeout(LIMIT);
    let nobody = it.nobody().await?;
    check_refused([validate(&nobody).await.map(drop)], ServerError::UserEmpty);
    check_refused([validate(&it.user).await.map(drop)], ServerError::PermissionDenied);
    let invalid = it.login("invalid", "invalid").await;
    let error = match invalid {
        Err(error) => error,
        Ok(invalid) => validate(&invalid).await.unwrap_err(),
    };
    assert_eq!(error.kind(), ErrorKind::Server(ServerError::AuthFailed), "{error}");
    // The version of a cluster that has just begun is known a moment later.
    ctx.until("a downgrade that is possible", LIMIT, || async { validate(&it.root).await.is_ok() })
        .await
}

/// Returns the index of the leader, and the ids of all members.
async fn leader_and_ids(it: &Guarded) -> Result<(usize, Vec<u64>), BoxError> {
    let mut statuses = Vec::new();
    for url in it.cluster.client_urls() {
        statuses.push(it.root.maintenance().status(url).await?);
    }
    let leader = statuses.iter().position(MemberStatus::is_leader).ok_or("no leader")?;
    Ok((leader, statuses.iter().map(|status| status.header.member_id).collect()))
}

/// AUTH-082, AUTH-085, AUTH-090
async fn leadership_is_moved_by_root(ctx: Ctx) -> CaseResult {
    let it = Guarded::by_password(&ctx, |cluster| cluster.members(3)).await?;
    let urls = it.cluster.client_urls();
    let (leader, ids) = leader_and_ids(&it).await?;
    let to = ids[(leader + 1) % 3];
    let nobody = it.nobody().await?;
    let move_by = |client: &Client, to| {
        let client = client.pinned_to(urls[leader].as_str());
        async move { client?.rpc(pb::MoveLeaderRequest { target_id: to }).await.map(drop) }
    };
    check_refused([move_by(&nobody, to).await], ServerError::UserEmpty);
    check_refused([move_by(&it.user, to).await], ServerError::PermissionDenied);
    let status = nobody.maintenance().status(&urls[0]).await.map(drop);
    check_refused([status], ServerError::UserEmpty);
    move_by(&it.root, to).await?;
    Ok(())
}

/// AUTH-042
async fn alarms_are_disarmed_by_root(ctx: Ctx) -> CaseResult {
    const QUOTA: usize = 1 << 20;
    let build = |cluster: etcd3_lab::ClusterBuilder| {
        cluster.members(1).flag("--quota-backend-bytes", &QUOTA.to_string())
    };
    let it = Guarded::by_password(&ctx, build).await?;
    let value = vec![b'v'; QUOTA / 4];
    ctx.until("the end of the space", LIMIT, || async {
        let error = it.root.put("foo", &value).await.err();
        error.is_some_and(|error| error.kind() == ErrorKind::Server(ServerError::NoSpace))
    })
    .await?;
    let alarms = async || it.root.maintenance().alarms().await.map(|it| it.alarms);
    ctx.until("the alarm", LIMIT, || async { alarms().await.is_ok_and(|it| !it.is_empty()) })
        .await?;
    let alarm = alarms().await?[0];
    assert_eq!(alarm.kind, AlarmKind::NoSpace);
    assert_ne!(alarm.member_id, 0);
    let nobody = it.nobody().await?;
    USER_EMPTY.is_answered(&nobody.maintenance().alarms().await.unwrap_err());
    assert_eq!(it.user.maintenance().alarms().await?.alarms, [alarm]);
    let disarm = |client: &Client| client.maintenance().disarm(alarm);
    DENIED.is_answered(&disarm(&it.user).await.unwrap_err());
    USER_EMPTY.is_answered(&disarm(&nobody).await.unwrap_err());
    assert_eq!(disarm(&it.root).await?.alarms, [alarm]);
    assert!(alarms().await?.is_empty());
    Ok(())
}

/// AUTH-030
async fn anybody_with_a_user_lists_members(ctx: Ctx) -> CaseResult {
    let it = Guarded::server(&ctx).await?;
    for linearizable in [true, false] {
        let list = |client: &Client| client.rpc(pb::MemberListRequest { linearizable });
        USER_EMPTY.is_answered(&list(&it.nobody().await?).await.unwrap_err());
        assert_eq!(list(&it.user).await?.members.len(), 1);
        assert_eq!(list(&it.root).await?.members.len(), 1);
    }
    Ok(())
}

/// AUTH-027, AUTH-031
async fn members_are_for_root(ctx: Ctx) -> CaseResult {
    // Members would refuse changes for five seconds after they started.
    let build = |cluster: etcd3_lab::ClusterBuilder| {
        cluster.members(3).flag("--strict-reconfig-check", "false")
    };
    let it = Guarded::by_password(&ctx, build).await?;
    let (leader, ids) = leader_and_ids(&it).await?;
    let removed = (leader + 1) % 3;
    let id = ids[removed];
    let remove = pb::MemberRemoveRequest { id };
    DENIED.is_answered(&it.user.rpc(remove).await.unwrap_err());
    let mut urls = it.cluster.client_urls();
    urls.remove(removed);
    let others = config(&ctx, urls).user("root", super::auth_expect::ROOT_PASSWORD);
    let others = ctx.connect_with(others).await?;
    let known = others.get("foo").await?.header.cluster_id;
    let left = others.rpc(remove).await?;
    assert_eq!(left.header.map(|it| it.cluster_id), Some(known));
    assert!(left.members.len() == 2 && left.members.iter().all(|it| it.id != id), "{left:?}");

    let peer = "http://127.0.0.1:9".to_owned();
    let add = pb::MemberAddRequest { peer_urls: vec![peer], ..Default::default() };
    let user = it.user.pinned_to(it.cluster.client_urls().remove(leader))?;
    DENIED.is_answered(&user.rpc(add.clone()).await.unwrap_err());
    assert_eq!(others.rpc(add).await?.members.len(), 3);
    Ok(())
}
