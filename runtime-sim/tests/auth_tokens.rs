//! Tokens of a client with a name and a password, on the model etcd.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod auth_support;

use auth_support::*;
use etcd3::{Client, Config, ErrorKind, Outcome, Phase, ServerError, key, prefix};
use etcd3_sim::run;
use futures_lite::future::zip;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
            let puts = (0..300).map(|n| client.put(format!("a{n}"), "v").send());
            for result in join(puts).await {
                result.unwrap();
            }
            assert_eq!(logins(&etcd) - before, 1, "{version:?}");
        })
        .unwrap();
    }
}

// I-A1, "What must be seen" of watches: creations on a stream whose token has expired.
#[test]
fn many_watches_after_a_token_expired_need_one_login() {
    for version in VERSIONS {
        run(3, |world| async move {
            let etcd = cluster(&world, version, Duration::from_secs(2));
            let root = guard(&world, &etcd).await;
            let client = client(&world, &etcd, "app", PASSWORD);
            let mut first = client.watch(prefix("a")).await.unwrap();
            world.sleep(Duration::from_secs(30)).await;
            let before = logins(&etcd);
            let begin = (0..100).map(|n| {
                let watch = client.watch(key(format!("a{n}"))).from_revision(1);
                Box::pin(async { watch.await })
            });
            let watches = join(begin).await;
            assert!(watches.iter().all(Result::is_ok), "{watches:?}");
            assert_eq!(logins(&etcd) - before, 1, "{version:?}");
            root.put("a", "1").await.unwrap();
            assert_eq!(first.next().await.unwrap().unwrap().events.len(), 1);
        })
        .unwrap();
    }
}

// I-A2, I-A3: on and off and on, under load; nothing is restarted, and nothing is lost.
#[test]
fn authentication_is_switched_on_and_off_under_load() {
    for version in VERSIONS {
        for seed in 0..2 {
            run(seed, |world| async move {
                let etcd = cluster(&world, version, Duration::from_secs(2));
                let root = client(&world, &etcd, "root", PASSWORD);
                add_users(&root).await.unwrap();
                let client = client(&world, &etcd, "app", PASSWORD);
                let mut watch = client.watch(key("a")).await.unwrap();
                let lease = client.lease(Duration::from_secs(5)).await.unwrap();
                let is_over = Arc::new(AtomicBool::new(false));
                let (stop, loaded, clock) = (Arc::clone(&is_over), client.clone(), world.clone());
                let load = async move {
                    let mut written = 0_u64;
                    while !stop.load(Ordering::Relaxed) {
                        loaded.put("a", written.to_string()).await.unwrap();
                        loaded.get("a").await.unwrap();
                        written += 1;
                        clock.sleep(Duration::from_millis(20)).await;
                    }
                    written
                };
                let toggle = async {
                    for _ in 0..4 {
                        world.sleep(Duration::from_secs(3)).await;
                        enable(&root).await;
                        world.sleep(Duration::from_secs(3)).await;
                        disable(&root).await;
                    }
                    is_over.store(true, Ordering::Relaxed);
                };
                let (written, ()) = zip(load, toggle).await;
                let mut seen = 0_u64;
                while seen < written {
                    for event in watch.next().await.unwrap().unwrap().events {
                        assert_eq!(event.kv.value, seen.to_string());
                        seen += 1;
                    }
                }
                assert!(lease.is_valid(), "{version:?} {seed}");
            })
            .unwrap();
        }
    }
}

// "What must be seen" 3: a token that lives for two seconds, and a cut every second.
#[test]
fn cuts_and_short_tokens_lose_no_watch_and_no_lease() {
    for version in VERSIONS {
        for seed in 0..2 {
            run(seed, |world| async move {
                let ttl = Duration::from_secs(2);
                let etcd = cluster(&world, version, ttl);
                let root = guard(&world, &etcd).await;
                let host = world.host();
                let client = host.client(config(&etcd, "app", PASSWORD)).unwrap();
                let mut watch = client.watch(key("a")).await.unwrap();
                let lease = client.lease(Duration::from_secs(10)).await.unwrap();
                let (before, begin) = (logins(&etcd), world.now());
                for n in 0..60_u32 {
                    cut(&world, &etcd, &host);
                    root.put("a", n.to_string()).await.unwrap();
                    let batch = watch.next().await.unwrap().unwrap();
                    assert_eq!(batch.events.len(), 1);
                    assert_eq!(batch.events[0].kv.value, n.to_string());
                    world.sleep(Duration::from_secs(1)).await;
                }
                assert!(lease.is_valid());
                let lives = world.now().saturating_since(begin).as_secs() / ttl.as_secs();
                // Those of root are among them.
                let most = 2 * (lives + 1);
                assert!(logins(&etcd) - before <= most, "{} {most}", logins(&etcd) - before);
            })
            .unwrap();
        }
    }
}

// Case 4, I-A2: credentials become wrong for good.
#[test]
fn wrong_credentials_end_a_watch_quietly() {
    for version in VERSIONS {
        run(4, |world| async move {
            let etcd = cluster(&world, version, TTL);
            let root = guard(&world, &etcd).await;
            let host = world.host();
            let client = host.client(config(&etcd, "app", PASSWORD)).unwrap();
            let mut watch = client.watch(key("a")).await.unwrap();
            set_password(&root, "app", "another").await;
            let before = logins(&etcd);
            cut(&world, &etcd, &host);
            let error = watch.next().await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Server(ServerError::AuthFailed), "{error}");
            assert_eq!(error.outcome(), Outcome::Rejected);
            for _ in 0..300 {
                let error = client.put("a", "v").await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Server(ServerError::AuthFailed), "{error}");
                assert_eq!(error.attempts(), 0, "nothing was sent: {error}");
                world.sleep(Duration::from_millis(100)).await;
            }
            let made = logins(&etcd) - before;
            assert!((1..=5).contains(&made), "{made}");
            // They become right again.
            set_password(&root, "app", PASSWORD).await;
            world.sleep(Duration::from_secs(30)).await;
            client.put("a", "v").await.unwrap();
        })
        .unwrap();
    }
}

// I-L5: a lease lives for as long as its time is not over, whatever the credentials.
#[test]
fn a_lease_survives_credentials_that_are_wrong_for_a_while() {
    run(5, |world| async move {
        let etcd = cluster(&world, (3, 5, 30), TTL);
        let root = guard(&world, &etcd).await;
        let host = world.host();
        let client = host.client(config(&etcd, "app", PASSWORD)).unwrap();
        let lease = client.lease(Duration::from_secs(60)).await.unwrap();
        client.put("a", "v").lease(lease.id()).await.unwrap();
        set_password(&root, "app", "another").await;
        cut(&world, &etcd, &host);
        world.sleep(Duration::from_secs(25)).await;
        set_password(&root, "app", PASSWORD).await;
        world.sleep(Duration::from_secs(60)).await;
        assert!(lease.is_valid());
        assert_eq!(root.get("a").await.unwrap().count, 1);
    })
    .unwrap();
}

// A client with wrong credentials fails when it is made; a lazy one with its first request.
#[test]
fn connecting_logs_in() {
    run(6, |world| async move {
        let etcd = cluster(&world, (3, 5, 30), TTL);
        guard(&world, &etcd).await;
        let connect = |config| {
            let runtime = Arc::new(world.host().runtime());
            async move { Client::connect_on(runtime, config).await }
        };
        connect(config(&etcd, "app", PASSWORD)).await.unwrap().put("a", "v").await.unwrap();
        let error = connect(config(&etcd, "app", "wrong")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Server(ServerError::AuthFailed));
        let error = connect(config(&etcd, "nobody", "wrong")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Server(ServerError::AuthFailed));
        // I-A5
        let plain = Config::new(etcd.endpoints()).user("app", PASSWORD);
        let error = connect(plain.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PlaintextPassword);
        let lazy = world.host().client(plain).unwrap();
        let error = lazy.put("a", "v").await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::PlaintextPassword, 0));
        let token = world.host().client(Config::new(etcd.endpoints()).token("mine")).unwrap();
        let error = token.put("a", "v").await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::PlaintextPassword, 0));
        let error = token.watch("a").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PlaintextPassword);
    })
    .unwrap();
}

// Whoever waits for a login waits no longer than it would otherwise, and stalls nobody.
#[test]
fn a_caller_that_gives_up_stalls_nobody() {
    run(7, |world| async move {
        let etcd = cluster(&world, (3, 5, 30), TTL);
        guard(&world, &etcd).await;
        let client = client(&world, &etcd, "app", PASSWORD);
        // The first caller, in whose time the login begins, is dropped.
        let mut first = Box::pin(client.put("a", "1").send());
        assert!(futures_lite::future::poll_once(&mut first).await.is_none());
        drop(first);
        client.put("a", "2").await.unwrap();
        (0..3).for_each(|member| etcd.kill(member));
        let client = auth_support::client(&world, &etcd, "app", PASSWORD);
        let begin = world.now();
        let error = client.put("a", "3").timeout(Duration::from_secs(2)).await.unwrap_err();
        let took = world.now().saturating_since(begin);
        assert_eq!(took, Duration::from_secs(2));
        assert!(error.is_timeout() && error.outcome() == Outcome::NotSent, "{error}");
        assert!(error.report().to_string().contains("refused"), "{}", error.report());
        let error = client.put("a", "3").timeout(Duration::from_secs(60)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut(Phase::Token), "{}", error.report());
        assert!(error.report().to_string().contains("refused"), "{}", error.report());
        client.close().await;
        assert!(client.put("a", "3").await.unwrap_err().is_closed());
    })
    .unwrap();
}
