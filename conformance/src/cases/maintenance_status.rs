//! What members say of themselves, each asked at its own endpoint (M1, M24).

use super::kv_expect::only;
use crate::{Case, CaseResult, Cluster, ClusterBuilder, Ctx, case};
use etcd3::{Alarm, AlarmKind, Client, Code, ErrorKind, MemberStatus, ServerError, Serving};
use etcd3_lab::etcd::Version;
use std::collections::BTreeSet;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(each_member_tells_its_status, ["MNT-018", "MNT-020", "MNT-021", "MNT-049"])
        .plain_and_tls(),
    case!(one_server_tells_its_status, ["MNT-021"]),
    case!(the_default_quota_is_told_or_unknown, ["MNT-013"]),
    case!(a_quota_is_told_or_unknown, ["MNT-014"]),
    case!(an_alarm_may_be_armed_for_anybody, ["MNT-034"]),
];

/// Asks all members at once; each of them has to answer.
pub(super) async fn statuses(client: &Client) -> Result<Vec<MemberStatus>, etcd3::Error> {
    let answers = client.maintenance().statuses().await;
    answers.into_iter().map(|it| it.status).collect()
}

/// Asserts what holds of all members of a cluster that is well.
#[track_caller]
fn are_one_cluster(all: &[MemberStatus], version: Version) {
    let ids: BTreeSet<_> = all.iter().map(MemberStatus::member_id).collect();
    assert_eq!(ids.len(), all.len(), "the calls went to different members: {all:?}");
    let leaders: Vec<_> = all.iter().filter(|it| it.is_leader()).collect();
    assert_eq!(leaders.len(), 1, "one leader: {all:?}");
    for status in all {
        assert_eq!(status.version, version.to_string());
        assert_eq!(status.leader, Some(leaders[0].member_id()));
        assert_eq!((status.errors.len(), status.is_learner), (0, false), "{status:?}");
        assert!(status.raft_term > 0 && status.raft_applied_index.is_some(), "{status:?}");
        assert!(status.db_size >= status.db_size_in_use.unwrap_or(u64::MAX), "{status:?}");
        // V4
        let is_new = version >= Version::minor(3, 6);
        let downgrade = status.downgrade.map(|it| (it.is_enabled, it.target));
        assert_eq!(downgrade, is_new.then_some((false, None)), "{status:?}");
        // A new member finds it out a few seconds after its start.
        assert!(status.storage_version.is_none() || is_new, "{status:?}");
    }
}

/// MNT-018, MNT-020, MNT-021, MNT-049, M23
async fn each_member_tells_its_status(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let urls = cluster.client_urls();
    let client = ctx.connect(&urls).await?;
    client.put("foo", "bar").await?;
    // Known to all, before each is asked for its leader.
    for url in &urls {
        assert_eq!(only(&client.pinned_to(url)?.get("foo").await?).value, "bar");
    }
    are_one_cluster(&statuses(&client).await?, ctx.etcd.version);
    let maintenance = client.maintenance();
    let mut each = Vec::new();
    for (url, member) in urls.iter().zip(cluster.members()) {
        let status = maintenance.status(url).await?;
        assert_eq!(status.member_id(), member.status()?.member_id, "the member at that endpoint");
        each.push(status);
        assert_eq!(maintenance.serving(url).await?, Serving::Yes);
        let mut serving = maintenance.serving_changes(url)?;
        assert_eq!(serving.next().await.ok_or("an answer")??, Serving::Yes);
        // How `etcdctl endpoint health` asks: a key that need not exist.
        assert_eq!(client.pinned_to(url)?.get("health").await?.count, 0);
        // By a client that knows this member alone, and is at work meanwhile.
        let alone = ctx.connect([url]).await?;
        assert_eq!(alone.maintenance().status(url).await?.version, each[0].version);
        alone.maintenance().defragment(url).await?;
    }
    are_one_cluster(&each, ctx.etcd.version);
    Ok(())
}

/// MNT-021
async fn one_server_tells_its_status(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    client.put("foo", "bar").await?;
    let all = statuses(&client).await?;
    are_one_cluster(&all, ctx.etcd.version);
    assert!(all[0].is_leader());
    Ok(())
}

/// Starts three members with a quota, and asserts what each tells of it.
async fn check_quota(ctx: &Ctx, quota: Option<u64>, told: Option<u64>) -> CaseResult {
    let flagged = |cluster: ClusterBuilder| match quota {
        Some(quota) => cluster.flag("--quota-backend-bytes", &quota.to_string()),
        None => cluster,
    };
    let cluster: Cluster = ctx.cluster_with(flagged).await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    client.put("foo", "bar").await?;
    for url in cluster.client_urls() {
        client.pinned_to(url)?.get("foo").await?;
    }
    let all = statuses(&client).await?;
    are_one_cluster(&all, ctx.etcd.version);
    for status in all {
        assert_eq!(status.quota, told);
        let level = status.fill_level();
        assert_eq!(level.is_some(), told.is_some());
        assert!(level.is_none_or(|level| level > 0.0 && level < 0.01), "{level:?}");
    }
    Ok(())
}

/// MNT-013, case 22: the default is told by 3.6.6 and later.
async fn the_default_quota_is_told_or_unknown(ctx: Ctx) -> CaseResult {
    let since = Version { patch: 6, ..Version::minor(3, 6) };
    check_quota(&ctx, None, (ctx.etcd.version >= since).then_some(2 << 30)).await
}

/// MNT-014
async fn a_quota_is_told_or_unknown(ctx: Ctx) -> CaseResult {
    const QUOTA: u64 = 300_010_002_000;
    let is_told = ctx.etcd.version >= Version::minor(3, 6);
    check_quota(&ctx, Some(QUOTA), is_told.then_some(QUOTA)).await
}

/// MNT-034, M20, M21
async fn an_alarm_may_be_armed_for_anybody(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    let maintenance = client.maintenance();
    let alarm = Alarm::new(123, AlarmKind::NoSpace);
    assert_eq!(maintenance.arm(alarm).await?.alarms, [alarm]);
    // Each member applies it in its own time.
    for url in cluster.client_urls() {
        let member = client.pinned_to(url)?;
        ctx.until("the alarm", Duration::from_secs(10), || async {
            member.maintenance().alarms().await.is_ok_and(|it| it.alarms == [alarm])
        })
        .await?;
        let error = member.put("foo", "bar").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Server(ServerError::NoSpace), "{error}");
        assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    }
    let told = statuses(&client).await?;
    assert!(told.iter().all(|it| !it.errors.is_empty()), "{told:?}");
    assert_eq!(maintenance.disarm(alarm).await?.alarms, [alarm]);
    assert_eq!(maintenance.disarm(alarm).await?.alarms, []);
    client.put("foo", "bar").await?;

    // Whatever there is, at once.
    let both = [alarm, Alarm::new(124, AlarmKind::NoSpace)];
    for alarm in both {
        maintenance.arm(alarm).await?;
    }
    let disarmed: BTreeSet<_> = maintenance.disarm_all().await?.alarms.into_iter().collect();
    assert_eq!(disarmed, BTreeSet::from(both));
    assert_eq!(maintenance.alarms().await?.alarms, []);
    client.put("foo", "bar").await?;
    Ok(())
}
