//! The tables of what operators call, and of the services that etcd runs for its tools.

/// Expands to the table of the operations on maintenance, as a part of [`operations_table!`].
#[doc(hidden)]
#[macro_export]
macro_rules! maintenance_table {
    () => {
        concat!(
            "\n## Maintenance\n\nOf [`maintenance`](Client::maintenance), for operators:\n\n",
            "| call | returns | example |\n",
            "|---|---|---|\n",
            "| [`status`](Maintenance::status) | [`MemberStatus`] | `",
            r#"client.maintenance().status("http://etcd-1:2379").await?"#,
            "` |\n",
            "| [`statuses`](Maintenance::statuses) | `Vec` of [`EndpointStatus`] | `",
            "client.maintenance().statuses().await",
            "` |\n",
            "| [`alarms`](Maintenance::alarms) | [`AlarmsResponse`] | `",
            "client.maintenance().alarms().await?",
            "` |\n",
            "| [`arm`](Maintenance::arm) | [`AlarmsResponse`] | `",
            "client.maintenance().arm(Alarm::new(member, AlarmKind::NoSpace)).await?",
            "` |\n",
            "| [`disarm`](Maintenance::disarm) | [`AlarmsResponse`] | `",
            "client.maintenance().disarm(alarm).await?",
            "` |\n",
            "| [`disarm_all`](Maintenance::disarm_all) | [`AlarmsResponse`] | `",
            "client.maintenance().disarm_all().await?",
            "` |\n",
            "| [`defragment`](Maintenance::defragment) | [`DefragmentResponse`] | `",
            r#"client.maintenance().defragment("http://etcd-1:2379").await?"#,
            "` |\n",
            "| [`hash_kv`](Maintenance::hash_kv) | [`HashKvResponse`] | `",
            r#"client.maintenance().hash_kv("http://etcd-1:2379", revision).await?"#,
            "` |\n",
            "| [`hash`](Maintenance::hash) | [`HashResponse`] | `",
            r#"client.maintenance().hash("http://etcd-1:2379").await?"#,
            "` |\n",
            "| [`snapshot`](Maintenance::snapshot) | [`Snapshot`], a stream of [`Bytes`] | `",
            "client.maintenance().snapshot().next().await",
            "` |\n",
            "| to a file | [`SavedSnapshot`] | `",
            r#"client.maintenance().snapshot().save(&path).await?"#,
            "` |\n",
            "| [`snapshot_from`](Maintenance::snapshot_from) | [`Snapshot`], of one member | `",
            r#"client.maintenance().snapshot_from("http://etcd-1:2379")?"#,
            "` |\n",
            "| [`move_leader`](Maintenance::move_leader) | [`MoveLeaderResponse`] | `",
            "client.maintenance().move_leader(member).await?",
            "` |\n",
            "| [`validate_downgrade`](Maintenance::validate_downgrade) | [`DowngradeResponse`] | `",
            "client.maintenance().validate_downgrade((3, 6)).await?",
            "` |\n",
            "| [`enable_downgrade`](Maintenance::enable_downgrade) | [`DowngradeResponse`] | `",
            "client.maintenance().enable_downgrade((3, 6)).await?",
            "` |\n",
            "| [`cancel_downgrade`](Maintenance::cancel_downgrade) | [`DowngradeResponse`] | `",
            "client.maintenance().cancel_downgrade().await?",
            "` |\n",
            "| [`ensure_downgrade`](Maintenance::ensure_downgrade) | `()` | `",
            "client.maintenance().ensure_downgrade((3, 6)).await?",
            "` |\n",
            "| [`serving`](Maintenance::serving) | [`Serving`] | `",
            r#"client.maintenance().serving("http://etcd-1:2379").await?"#,
            "` |\n",
            "| [`serving_changes`](Maintenance::serving_changes) ",
            "| [`ServingChanges`], a stream of [`Serving`] | `",
            r#"client.maintenance().serving_changes("http://etcd-1:2379")?"#,
            "` |\n",
        )
    };
}

/// Expands to the table of the raw services, as a part of [`operations_table!`].
#[doc(hidden)]
#[macro_export]
macro_rules! raw_table {
    () => {
        concat!(
            "\n## Raw services\n\nOf [`raw`](Client::raw), locks and elections that servers run, ",
            "with traps that\n[their module](raw) tells:\n\n",
            "| call | returns | example |\n",
            "|---|---|---|\n",
            "| [`lock`](raw::Services::lock) | [`LockResponse`](raw::LockResponse) | `",
            r#"client.raw().lock("jobs", lease).await?"#,
            "` |\n",
            "| [`unlock`](raw::Services::unlock) | [`UnlockResponse`](raw::UnlockResponse) | `",
            "client.raw().unlock(lock.key).await?",
            "` |\n",
            "| [`campaign`](raw::Services::campaign) ",
            "| [`CampaignResponse`](raw::CampaignResponse) | `",
            r#"client.raw().campaign("boss", lease, "10.0.0.7").await?"#,
            "` |\n",
            "| [`proclaim`](raw::Services::proclaim) ",
            "| [`ProclaimResponse`](raw::ProclaimResponse) | `",
            r#"client.raw().proclaim(elected.clone(), "10.0.0.8").await?"#,
            "` |\n",
            "| [`leader`](raw::Services::leader) | [`LeaderResponse`](raw::LeaderResponse) | `",
            r#"client.raw().leader("boss").await?"#,
            "` |\n",
            "| [`observe`](raw::Services::observe) | [`Observe`](raw::Observe), a stream | `",
            r#"client.raw().observe("boss")"#,
            "` |\n",
            "| [`resign`](raw::Services::resign) | [`ResignResponse`](raw::ResignResponse) | `",
            "client.raw().resign(elected).await?",
            "` |\n",
        )
    };
}
