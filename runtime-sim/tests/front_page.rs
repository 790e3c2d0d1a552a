//! The table of operations on the front pages says what compiles and works.

use etcd3::proto::etcdserverpb::StatusRequest;
use etcd3::recipes::mirror::{Mirror, Syncer};
use etcd3::recipes::{
    Barrier, Counter, DoubleBarrier, Election, Interrupted, LeaderChanges, LeaderLatch, Leadership,
    Mutex, PriorityQueue, Queue, RwLock, Semaphore, Stm, Transaction,
};
use etcd3::{Alarm, AlarmKind, PermissionType, Serving, get, key, prefix, put};
use std::time::Duration;

/// Every example of the table, as it stands there.
#[test]
#[rustfmt::skip]
fn the_examples_of_the_table_work() {
    etcd3_sim::example(|client| async move {
        let lease = client.grant(Duration::from_secs(30)).await?.id;
        let revision = client.put("config/colour", "red").await?.header.revision;
        client.get("config/colour").await?;
        client.get(prefix("config/")).limit(100).await?;
        client.put("session", "me").lease(lease).await?;
        client.delete(prefix("config/")).prev_kv().await?;
        let done =
            client.txn().when([key("lock").missing()]).then([put("lock", "me")]).await?;
        assert!(done.succeeded);
        assert!(client.compare([key("lock").exists()]).await?);
        assert!(client.pages(prefix("users/")).page_size(1000).next().await.is_some());
        assert!(client.range_stream(get(prefix("users/"))).next().await.is_some());
        client.watch(prefix("config/")).await?.cancel().await;
        drop(client.watch_ranges([prefix("config/"), key("lock")]).await?);
        assert!(client.list_watch(prefix("config/")).next().await.is_some());
        assert!(client.cache(prefix("config/")).await?.revision() >= revision);
        assert_eq!(client.time_to_live(lease).keys().await?.keys, ["session"]);
        assert_eq!(client.leases().await?.leases, [lease]);
        assert!(client.lease(Duration::from_secs(10)).await?.is_valid());
        client.keep_alive(lease).await?.orphan();
        client.keep_alive_once(lease).await?;
        assert!(client.session(Duration::from_secs(10)).await?.is_valid());
        assert_eq!(client.session_on(lease).await?.id(), lease);
        client.register("services/a", "10.0.0.1:80").await?.close().await?;
        client.revoke(lease).await?;
        client.compact(revision).await?;
        assert!(client.maintenance().snapshot().next().await.is_some());
        let path = std::env::temp_dir().join(format!("etcd3-front-page-{}", std::process::id()));
        client.maintenance().snapshot().save(&path).await?;
        std::fs::remove_file(&path)?;
        drop(client.maintenance().snapshot_from("http://etcd-1:2379")?);
        client.execute(get("config/colour")).await?;
        client.rpc(StatusRequest::default()).await?;
        assert_eq!(client.namespace("tenant/a/").get("config/colour").await?.count, 0);
        let one = client.pinned_to("http://etcd-1:2379")?;
        one.get("lock").await?;
        client.set_endpoints(["http://etcd-1:2379"])?;
        client.sync_endpoints().await?;
        assert_eq!(client.endpoints().len(), 3);
        assert!(client.health().is_connected());
        assert!(client.health_changes().next().await.is_some());
        assert!(client.metrics().connections.open() > 0);
        client.forget_revision();
        client.runtime().now();
        client.spawn(async { println!("runs until it ends") });
        client.for_cleanup().spawn(async { println!("runs before it is closed") });
        assert!(!client.is_closed());
        client.close().await;
        assert!(client.closed().await.is_closed());
        Ok(())
    });
}

/// Those of the table of authentication.
#[test]
#[rustfmt::skip]
fn the_examples_of_authentication_work() {
    etcd3_sim::example(|client| async move {
        client.auth().role_add("config").await?;
        client.auth().role_add("a").await?;
        client.auth().role_grant_permission("a", key("a"), PermissionType::Read).await?;
        assert_eq!(client.auth().role_get("a").await?.permissions.len(), 1);
        client.auth().role_get("config").await?;
        client.auth().user_add("alice", "correct horse").await?;
        client.auth().user_change_password("alice", "staple").await?;
        client.auth().user_grant_role("alice", "config").await?;
        assert_eq!(client.auth().user_get("alice").await?.roles, ["config"]);
        client.auth().user_add_without_password("backup").await?;
        assert_eq!(client.auth().user_list().await?.users, ["alice", "backup"]);
        client.auth().user_revoke_role("alice", "config").await?;
        client.auth().user_delete("alice").await?;
        client.auth().role_revoke_permission("a", key("a")).await?;
        assert_eq!(client.auth().role_list().await?.roles, ["a", "config"]);
        client.auth().role_delete("config").await?;
        client.auth().disable().await?;
        assert!(!client.auth().status().await?.enabled);
        client.auth().user_add("root", "correct horse").await?;
        client.auth().user_grant_role("root", "root").await?;
        client.auth().enable().await?;
        Ok(())
    });
}

/// Those of the table of maintenance.
#[test]
#[rustfmt::skip]
fn the_examples_of_maintenance_work() {
    etcd3_sim::example(|client| async move {
        let revision = client.put("k", "v").await?.header.revision;
        client.pinned_to("http://etcd-1:2379")?.get("k").await?;
        client.maintenance().status("http://etcd-1:2379").await?;
        let members = client.maintenance().statuses().await;
        assert_eq!(members.len(), 3);
        let mut known = members.iter().filter_map(|it| it.status.as_ref().ok());
        let follower = known.find(|it| !it.is_leader());
        let member = follower.expect("a follower").header.member_id;
        client.maintenance().arm(Alarm::new(member, AlarmKind::NoSpace)).await?;
        let alarm = client.maintenance().alarms().await?.alarms[0];
        client.maintenance().disarm(alarm).await?;
        client.maintenance().disarm_all().await?;
        client.maintenance().defragment("http://etcd-1:2379").await?;
        client.maintenance().hash_kv("http://etcd-1:2379", revision).await?;
        client.maintenance().hash("http://etcd-1:2379").await?;
        client.maintenance().move_leader(member).await?;
        client.maintenance().validate_downgrade((3, 6)).await?;
        client.maintenance().enable_downgrade((3, 6)).await?;
        client.maintenance().cancel_downgrade().await?;
        client.maintenance().ensure_downgrade((3, 6)).await?;
        assert_eq!(client.maintenance().serving("http://etcd-1:2379").await?, Serving::Yes);
        drop(client.maintenance().serving_changes("http://etcd-1:2379")?);
        Ok(())
    });
}

/// Those of the table of raw services.
#[test]
#[rustfmt::skip]
fn the_examples_of_raw_services_work() {
    etcd3_sim::example(|client| async move {
        let lease = client.grant(Duration::from_secs(30)).await?.id;
        let lock = client.raw().lock("jobs", lease).await?;
        client.raw().unlock(lock.key).await?;
        let elected = client.raw().campaign("boss", lease, "10.0.0.7").await?.elected;
        client.raw().proclaim(elected.clone(), "10.0.0.8").await?;
        client.raw().leader("boss").await?;
        drop(client.raw().observe("boss"));
        client.raw().resign(elected).await?;
        Ok(())
    });
}

/// Those of the table of members.
#[test]
#[rustfmt::skip]
fn the_examples_of_members_work() {
    etcd3_sim::example_with(|client, etcd, _| async move {
        let minute = Duration::from_secs(60);
        assert_eq!(client.cluster().member_list().await?.members.len(), 3);
        let added = client.cluster().member_add(["http://etcd-3:2380"]).learner().await?;
        let id = added.member.id;
        etcd.join(id.0);
        client.cluster().member_promote(id).wait_until_in_sync(minute).await?;
        client.cluster().member_update(id, ["http://etcd-4:2380"]).await?;
        assert_eq!(client.cluster().view().await?.members.len(), 4);
        client.cluster().member_remove(id).wait_until_accepted(minute).await?;
        Ok(())
    });
}

/// Those of the table of recipes.
#[test]
#[rustfmt::skip]
fn the_examples_of_recipes_work() {
    etcd3_sim::example(|client| async move {
        let copy = client.namespace("copy/");
        let session = client.session(Duration::from_secs(10)).await?;
        client.put("config/colour", "red").await?;
        Mutex::new(&session, "locks/report").lock().await?.unlock().await?;
        RwLock::new(&session, "report").read().await?.unlock().await?;
        Semaphore::new(&session, "downloads", 2).acquire().await?.release().await?;
        let leadership = Election::new(&session, "scheduler").campaign("10.0.0.7:80").await?;
        assert!(LeaderChanges::new(&client, "scheduler").next().await.is_some());
        leadership.resign().await?;
        let work = |leadership: Leadership| async move { leadership.is_valid() };
        assert!(LeaderLatch::new(&session, "scheduler", "10.0.0.7:80").run(work).await?);
        let transfer = |mut accounts: Transaction| async move {
            accounts.put("accounts/a", "10");
            Ok::<_, Interrupted>(())
        };
        Stm::new(&client).run(transfer).await?;
        assert_eq!(Counter::new(&client, "tickets").add(1).await?, 1);
        Barrier::new(&client, "migration").wait().await?;
        DoubleBarrier::new(&session, "round", 1).enter().await?.leave().await?;
        Queue::new(&client, "jobs").enqueue("17").await?;
        assert_eq!(Queue::new(&client, "jobs").dequeue().await?.value, "17");
        PriorityQueue::new(&client, "alarms").enqueue("fire", 0).await?;
        assert_eq!(PriorityQueue::new(&client, "alarms").dequeue().await?.value, "fire");
        Syncer::new(&client, prefix("config/")).next().await?;
        Mirror::new(&client, &copy, "config/", "position").next().await?;
        session.close().await?;
        Ok(())
    });
}

#[test]
fn the_table_shows_nothing_else() {
    let here = include_str!("front_page.rs");
    let rows = etcd3::operations_table!().lines().filter(|line| line.contains("`client."));
    let examples: Vec<&str> = rows.filter_map(|row| row.rsplit('`').nth(1)).collect();
    assert_eq!(examples.len(), 90, "{examples:?}");
    let rows = etcd3::recipes_table!().lines().filter(|line| line.contains("::new("));
    let recipes: Vec<&str> = rows.filter_map(|row| row.rsplit('`').nth(1)).collect();
    assert_eq!(recipes.len(), 14, "{recipes:?}");
    for example in examples.into_iter().chain(recipes) {
        assert!(here.contains(example), "{example}");
    }
}
