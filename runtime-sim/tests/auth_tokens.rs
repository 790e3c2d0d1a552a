//! Tokens of a client with a name and a password, on the model etcd.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod auth_support;

use auth_support::*;
use etcd3::prefix;
use etcd3_sim::run;
use std::time::Duration;

const TTL: Duration = Duration::from_secs(300);
const VERSIONS: [(u16, u16, u16); 3] = [(3, 4, 23), (3, 5, 30), (3, 7, 3)];

// R20, R30, I-A1: one login for all that a client does.
#[test]
fn one_login_serves_calls_watches_and_leases() {
    for version in VERSIONS {
        run(1, |world| async move {
            let etcd = cluster(&world, version, TTL);
            guard(&world, &etcd).await;
            let before = logins(&etcd);
            let client = client(&world, &etcd, "app", PASSWORD);
            let mut watch = client.watch(prefix("a")).await.unwrap();
            let lease = client.lease(Duration::from_secs(10)).await.unwrap();
            for n in 0..10 {
                client.put(format!("a{n}"), "v").await.unwrap();
                client.get(format!("a{n}")).await.unwrap();
            }
            let batch = watch.next().await.unwrap().unwrap();
            assert_eq!(batch.iter().next().unwrap().kv.key, "a0");
            world.sleep(Duration::from_secs(60)).await;
            assert!(lease.is_valid());
            assert_eq!(logins(&etcd) - before, 1, "{version:?}");
        })
        .unwrap();
    }
}

// I-A2: a token that has expired is replaced, once for all that notice.
#[test]
fn a_token_that_has_expired_is_replaced_once() {
    for version in VERSIONS {
        run(2, |world| async move {
            let etcd = cluster(&world, version, Duration::from_secs(2));
            guard(&world, &etcd).await;
            let client = client(&world, &etcd, "app", PASSWORD);
            client.put("a", "0").await.unwrap();
            let before = logins(&etcd);
            world.sleep(Duration::from_secs(5)).await;
            let puts = (0..1_000).map(|n| client.put(format!("a{n}"), "v").send());
            for result in join(puts).await {
                result.unwrap();
            }
            assert_eq!(logins(&etcd) - before, 1, "{version:?}");
        })
        .unwrap();
    }
}
