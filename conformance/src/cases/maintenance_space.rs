//! Databases that are full: the alarm, what goes on under it, and its end (M21).

use super::kv_expect::{keys, only};
use crate::{Case, CaseResult, Ctx, Member, case};
use etcd3::{Alarm, AlarmKind, Client, ErrorKind, PutResponse, ServerError, delete};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);
const PAGE: usize = 4096;

pub(super) const CASES: &[Case] = &[
    case!(a_full_database_is_emptied_and_takes_writes_again, ["MNT-015"])
        .real("a database of pages"),
    case!(a_full_member_stops_the_writes_of_all, ["MNT-033"]).real("flags of one member"),
];

#[track_caller]
fn is_full(put: Result<PutResponse, etcd3::Error>) {
    let error = put.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server(ServerError::NoSpace), "{error}");
}

/// MNT-015
async fn a_full_database_is_emptied_and_takes_writes_again(ctx: Ctx) -> CaseResult {
    let quota = (13 * PAGE).to_string();
    let server = ctx.server_with(|it| it.flag("--quota-backend-bytes", &quota)).await?;
    let (url, client) = (server.client_url(), ctx.connect([server.client_url()]).await?);
    let maintenance = client.maintenance();
    let value = vec![b'v'; PAGE / 2];
    let mut written = Ok(());
    for _ in 0..1000 {
        written = client.put("foo", value.clone()).await.map(drop);
        if written.is_err() {
            break;
        }
    }
    assert_eq!(written.unwrap_err().kind(), ErrorKind::Server(ServerError::NoSpace));
    let status = maintenance.status(&url).await?;
    let alarm = Alarm::new(status.member_id(), AlarmKind::NoSpace);
    ctx.until("the alarm", LIMIT, || async {
        maintenance.alarms().await.is_ok_and(|listed| listed.alarms == [alarm])
    })
    .await?;
    is_full(client.put("foo", "bar").await);
    let status = maintenance.status(&url).await?;
    assert!(status.errors.iter().any(|it| it.contains("NOSPACE")), "{status:?}");

    client.compact(client.get("foo").await?.header.revision).physical().await?;
    maintenance.defragment(&url).await?;
    for alarm in maintenance.alarms().await?.alarms {
        assert_eq!(maintenance.disarm(alarm).await?.alarms, [alarm]);
    }
    client.put("foo", "bar").await?;
    let after = maintenance.status(&url).await?;
    assert!(after.db_size < status.db_size && after.errors.is_empty(), "{after:?}");
    Ok(())
}

/// MNT-033
async fn a_full_member_stops_the_writes_of_all(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster_with(|cluster| cluster.members(2)).await?;
    let (small, quota) = (cluster.member(0), (16 * PAGE).to_string());
    ctx.blocking(move || small.restart_with(&[("--quota-backend-bytes", &quota)])).await?;
    let [full, other]: [Client; 2] = [
        ctx.connect([cluster.member(0).client_url()]).await?,
        ctx.connect([cluster.member(1).client_url()]).await?,
    ];
    full.put("small", "bar").await?;
    // The other one has room for it, and asks nobody else.
    other.put("big", vec![b'v'; 16 * PAGE]).await?;
    assert_eq!(keys(&full.get(etcd3::all()).await?), ["big", "small"]);
    let member_id = full.maintenance().status(cluster.member(0).client_url()).await?.member_id();
    let alarm = Alarm::new(member_id, AlarmKind::NoSpace);
    ctx.until("the alarm", LIMIT, || async {
        other.maintenance().alarms().await.is_ok_and(|listed| listed.alarms == [alarm])
    })
    .await?;
    let deleted = other.txn().then([delete("big")]).await?;
    assert!(deleted.succeeded);
    for client in [&full, &other] {
        is_full(client.put("small", "baz").await);
    }
    let member = cluster.member(1);
    ctx.order(&member, Member::kill).await?;
    // It is not healthy in its own eyes before the alarm is disarmed.
    let restarting = ctx.blocking(move || member.restart());
    // A read finds its way to the new process, where a write could be lost with the old one.
    assert_eq!(only(&other.get("small").await?).value, "bar");
    is_full(other.put("small", "baz").await);
    assert_eq!(other.maintenance().disarm_all().await?.alarms, [alarm]);
    restarting.await?;
    Ok(())
}
