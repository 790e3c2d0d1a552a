//! What becomes of all that a client has begun when it is closed.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

use etcd3::{Client, Config, Error, ErrorKind, EventKind, LossReason};
use etcd3_sim::{ClusterConfig, Etcd, Personality, World, run};
use futures_lite::FutureExt;
use std::future::Future;
use std::time::Duration;

fn client(world: &World) -> (Client, Etcd) {
    let etcd = world.etcd(ClusterConfig::new(3, Personality::of(3, 5, 16), world.seed()));
    let client = world.host().client(Config::new(etcd.endpoints())).unwrap();
    (client, etcd)
}

fn is_closed<T>(result: Option<Result<T, Error>>) -> bool {
    result.and_then(Result::err).is_some_and(|error| error.is_closed())
}

async fn in_a_second<T>(world: &World, future: impl Future<Output = T>) -> T {
    let too_late = async {
        world.sleep(Duration::from_secs(1)).await;
        panic!("too late");
    };
    future.or(too_late).await
}

// C23: Watcher.Close and Lease.Close, each with its reason.
#[test]
fn closing_ends_every_watch_lease_and_wait_with_the_reason() {
    run(1, |world| async move {
        let (client, _etcd) = client(&world);
        client.put("k", "v").await.unwrap();
        let closed = client.closed();
        let mut watch = client.watch("k").await.unwrap();
        let mut items = client.watch("k").await.unwrap().into_items();
        let handle = client.watch("a").await.unwrap();
        let mut ranges = client.watch_ranges(["k", "l"]).await.unwrap();
        let mut listed = client.list_watch("k");
        assert!(listed.next().await.unwrap().is_ok());
        let cache = client.cache("k").await.unwrap();
        let mut changes = cache.changes("k").unwrap();
        let mut health = client.health_changes();
        let lease = client.lease(Duration::from_secs(10)).await.unwrap();
        let foreign = client.grant(Duration::from_secs(10)).await.unwrap().id;
        let kept = client.keep_alive(foreign).await.unwrap();
        let session = client.session(Duration::from_secs(10)).await.unwrap();
        let registration = client.register("services/a", "1").await.unwrap();
        // What came before is still handed out.
        client.put("k", "w").await.unwrap();
        world.sleep(Duration::from_millis(100)).await;

        client.close().await;
        in_a_second(&world, async {
            assert_eq!(closed.await.kind(), ErrorKind::Closed);
            let batch = watch.next().await.unwrap().unwrap();
            assert_eq!(batch.events[0].kind, EventKind::Put);
            assert!(is_closed(watch.next().await));
            assert!(watch.next().await.is_none(), "the reason comes once");
            loop {
                match items.next().await {
                    Some(Ok(_)) => {}
                    end => break assert!(is_closed(end)),
                }
            }
            assert!(handle.request_progress().await.unwrap_err().is_closed());
            loop {
                match ranges.next().await {
                    Some(Ok(_)) => {}
                    end => break assert!(is_closed(end)),
                }
            }
            loop {
                match listed.next().await {
                    Some(Ok(_)) => {}
                    end => break assert!(is_closed(end)),
                }
            }
            loop {
                match changes.next().await {
                    Some(Ok(_)) => {}
                    end => break assert!(is_closed(end)),
                }
            }
            while health.next().await.is_some() {}
            for lost in [lease.lost().await, kept.lost().await] {
                assert_eq!(lost.reason, LossReason::Closed);
            }
            assert_eq!(session.lost().await.reason, LossReason::Closed);
            assert_eq!(registration.lost().await.reason, LossReason::Closed);
        })
        .await;
        assert!(client.get("k").await.unwrap_err().is_closed());
        assert!(client.watch("k").await.unwrap_err().is_closed());
        assert!(client.closed().await.is_closed());
    })
    .unwrap();
}

#[test]
fn waiting_for_the_end_does_not_keep_a_client_open() {
    run(1, |world| async move {
        let (client, _etcd) = client(&world);
        let closed = client.closed();
        let clone = client.clone();
        drop(client);
        clone.put("k", "v").await.unwrap();
        drop(clone);
        let reason = in_a_second(&world, closed).await;
        assert_eq!(reason.kind(), ErrorKind::Closed);
    })
    .unwrap();
}
