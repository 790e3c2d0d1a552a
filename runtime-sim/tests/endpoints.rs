//! Endpoints that change under a client, and what it knows of them.
#![allow(clippy::unwrap_used)]

use etcd3::proto::etcdserverpb::AuthenticateRequest;
use etcd3::{Client, Config, EndpointState, Error, ErrorKind, Outcome};
use etcd3_sim::{ClusterConfig, Etcd, Personality, World, run};
use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn cluster(world: &World, members: usize) -> Etcd {
    let mut config = ClusterConfig::new(members, Personality::of(3, 5, 16), world.seed());
    // What the members tell of themselves is where they really are.
    for (n, member) in config.members.iter_mut().enumerate() {
        member.client_urls = vec![format!("http://etcd-{n}:2379")];
    }
    world.etcd(config)
}

// B21, I-C7
#[test]
fn sync_takes_over_the_members_and_keeps_the_seeds() {
    run(1, |world| async move {
        let etcd = cluster(&world, 3);
        let host = world.host();
        world.net().name("seed", [etcd.address(0)]);
        let client = host.client(Config::new(["http://seed:2379"])).unwrap();
        client.sync_endpoints().await.unwrap();
        let mut named = client.endpoints();
        named.sort();
        assert_eq!(named, etcd.endpoints());
        client.put("key", "value").await.unwrap();
        let fallbacks: Vec<_> =
            client.health().endpoints.into_iter().filter(|it| it.is_fallback).collect();
        assert_eq!(fallbacks.len(), 1);
        assert_eq!(&*fallbacks[0].endpoint, "http://seed:2379");
        etcd.kill(1);
        etcd.kill(2);
        etcd.revive(1);
        client.get("key").await.unwrap();
    })
    .unwrap();
}

// B25: a member that is down says nothing of its version, and is no reason to fail.
#[test]
fn the_members_that_answer_are_new_enough_or_not() {
    run(2, |world| async move {
        let etcd = cluster(&world, 3);
        let (host, config) = (world.host(), Config::new(etcd.endpoints()));
        let config = config.connect_timeout(Duration::from_secs(2));
        let connect = |minor| {
            let config = config.clone().min_server_version((3, minor));
            Client::connect_on(Arc::new(host.runtime()), config)
        };
        connect(5).await.unwrap();
        let error = connect(6).await.unwrap_err();
        let is_old =
            matches!(error.kind(), ErrorKind::OldServer { has, .. } if has == (3, 5).into());
        assert!(is_old, "{error}");
        etcd.kill(1);
        connect(5).await.unwrap();
        assert!(connect(6).await.is_err());
    })
    .unwrap();
}

// B21: learners refuse most calls, and members that are not started have no name.
#[test]
fn sync_leaves_out_learners_and_members_that_are_not_started() {
    run(3, |world| async move {
        let mut config = ClusterConfig::new(4, Personality::of(3, 5, 16), world.seed());
        for (n, member) in config.members.iter_mut().enumerate() {
            member.client_urls = vec![format!("http://etcd-{n}:2379")];
        }
        config.members[2].is_learner = true;
        config.members[3].name = String::new();
        let etcd = world.etcd(config);
        let client = world.host().client(Config::new(&etcd.endpoints()[..1])).unwrap();
        client.sync_endpoints().await.unwrap();
        let mut named = client.endpoints();
        named.sort();
        assert_eq!(named, etcd.endpoints()[..2]);
    })
    .unwrap();
}

// C-20: a cluster that advertises what cannot be reached does not lock the client out.
#[test]
fn sync_to_endpoints_that_do_not_work_falls_back_to_the_seeds() {
    run(2, |world| async move {
        let mut config = ClusterConfig::new(3, Personality::of(3, 5, 16), 2);
        for member in &mut config.members {
            member.client_urls = vec!["http://inside-of-a-tunnel:2379".to_owned()];
        }
        let etcd = world.etcd(config);
        let config = Config::new(etcd.endpoints()).auto_sync(Duration::from_secs(10));
        let client = world.host().client(config).unwrap();
        for _ in 0..60 {
            client.put("key", "value").await.unwrap();
            client.get("key").await.unwrap();
            world.sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(client.endpoints(), ["http://inside-of-a-tunnel:2379"]);
    })
    .unwrap();
}

// B22, B24: what is not a list of endpoints changes nothing.
#[test]
fn a_list_that_is_not_one_is_refused() {
    run(3, |world| async move {
        let etcd = cluster(&world, 1);
        let client = world.host().client(Config::new(etcd.endpoints())).unwrap();
        for list in [vec![], vec!["a:b:c"], vec!["http://etcd-0:2379", ""]] {
            let error = client.set_endpoints(list).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        }
        assert_eq!(client.endpoints(), etcd.endpoints());
        client.get("key").await.unwrap();
    })
    .unwrap();
}

// B23: new calls go to the new endpoints at once, and the old connections go.
#[test]
fn set_endpoints_moves_the_client() {
    run(4, |world| async move {
        let etcd = cluster(&world, 3);
        let host = world.host();
        let client = host.client(Config::new(&etcd.endpoints()[..2])).unwrap();
        client.put("key", "value").await.unwrap();
        client.set_endpoints(&etcd.endpoints()[2..]).unwrap();
        client.get("key").await.unwrap();
        world.sleep(Duration::from_secs(1)).await;
        assert_eq!(host.connections(), 1);
        etcd.kill(0);
        for _ in 0..10 {
            client.get("key").await.unwrap();
        }
    })
    .unwrap();
}

// M1, CONN-013: a member by itself, also one that is not among the endpoints.
#[test]
fn one_member_can_be_asked() {
    run(5, |world| async move {
        let etcd = cluster(&world, 3);
        let host = world.host();
        let client = host.client(Config::new(&etcd.endpoints()[..1])).unwrap();
        client.put("key", "value").await.unwrap();
        let second = client.pinned_to(etcd.endpoints()[1].as_str()).unwrap();
        second.get("key").await.unwrap();
        assert_eq!(host.connections(), 2);
        etcd.kill(1);
        world.sleep(Duration::from_secs(1)).await;
        let error = second.put("key", "v").timeout(Duration::from_secs(2)).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotSent, "it goes nowhere else");
        client.get("key").await.unwrap();
        drop(second);
        world.sleep(Duration::from_secs(1)).await;
        assert_eq!(host.connections(), 1);
        assert!(client.pinned_to("a:b:c").is_err());
    })
    .unwrap();
}

#[test]
fn health_says_who_is_connected_and_why_not() {
    run(6, |world| async move {
        let etcd = cluster(&world, 2);
        let mut endpoints = etcd.endpoints();
        endpoints.push("http://nobody:2379".to_owned());
        let client = world.host().client(Config::new(endpoints)).unwrap();
        assert!(!client.health().is_connected());
        let mut changes = client.health_changes();
        let first = changes.next().await.unwrap();
        assert!(first.endpoints.iter().all(|it| it.state == EndpointState::Idle));
        client.get("key").await.unwrap();
        world.sleep(Duration::from_secs(1)).await;
        let health = client.health();
        assert_eq!(health.endpoints[0].state, EndpointState::Ready);
        let nobody = &health.endpoints[2];
        let error = nobody.last_error.as_ref().unwrap();
        let report = error.report().to_string();
        assert!(report.contains("nobody is called nobody"), "{report}");
        assert!(matches!(nobody.state, EndpointState::Down { .. } | EndpointState::Connecting));
        let told = changes.next().await.unwrap();
        assert!(told.is_connected());
        etcd.kill(0);
        let mut told = changes.next().await.unwrap();
        while told.endpoints[0].state == EndpointState::Ready {
            told = changes.next().await.unwrap();
        }
        client.close().await;
        while changes.next().await.is_some() {}
    })
    .unwrap();
}

// I-R8, B26, F9: the cluster is another one from one moment to the next.
#[test]
fn a_new_cluster_is_told_once() {
    run(7, |world| async move {
        let old = cluster(&world, 1);
        let client = world.host().client(Config::new(["http://service:2379"])).unwrap();
        world.net().name("service", [old.address(0)]);
        client.put("key", "value").await.unwrap();
        let mut config = ClusterConfig::new(1, Personality::of(3, 5, 16), 99);
        config.members[0].name = "another".to_owned();
        let new = world.etcd(config);
        world.net().name("service", [new.address(0)]);
        old.kill(0);
        let began = world.now();
        let error = loop {
            match client.get("key").await {
                Err(error) => break error,
                Ok(_) => assert!(world.now().saturating_since(began) < Duration::from_secs(5)),
            }
        };
        assert!(matches!(error.kind(), ErrorKind::ClusterChanged { .. }), "{error}");
        assert!(world.now().saturating_since(began) < Duration::from_secs(5));
        client.get("key").await.unwrap();
    })
    .unwrap();
}

// B26: an endpoint of another cluster among ours: reads do not see it, writes are told.
#[test]
fn endpoints_of_two_clusters_are_told_apart() {
    run(8, |world| async move {
        let ours = cluster(&world, 2);
        let theirs = world.etcd(ClusterConfig::new(1, Personality::of(3, 5, 16), 77));
        let mut endpoints = ours.endpoints();
        let client = world.host().client(Config::new(endpoints.clone())).unwrap();
        client.put("key", "ours").await.unwrap();
        for _ in 0..4 {
            client.get("key").await.unwrap();
        }
        endpoints.extend(theirs.endpoints());
        client.set_endpoints(endpoints).unwrap();
        world.sleep(Duration::from_secs(1)).await;
        for _ in 0..100 {
            let answer = client.get("key").await.unwrap();
            assert_eq!(answer.kvs[0].value, "ours");
        }
        assert!(theirs.changes().is_empty());
    })
    .unwrap();
}

// A5: a password is not sent where others can read it, unless that is asked for.
#[test]
fn a_password_does_not_go_over_plaintext() {
    run(9, |world| async move {
        let etcd = cluster(&world, 1);
        let request = || AuthenticateRequest { name: "root".into(), password: "secret".into() };
        let config = Config::new(etcd.endpoints());
        let client = world.host().client(config.clone()).unwrap();
        let error = client.rpc(request()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PlaintextPassword, "{error}");
        assert_eq!(error.outcome(), Outcome::NotSent);
        assert_eq!(error.endpoint(), Some("http://etcd-0:2379"));
        assert!(!format!("{error:?}").contains("secret"));
        let client = world.host().client(config.allow_plaintext_passwords()).unwrap();
        let error = client.rpc(request()).await.unwrap_err();
        assert!(error.server_error().is_some(), "it got there: {error}");
    })
    .unwrap();
}

// C44, I-C4: a place that is free again is for a call that can use it, not for one that waits for
// another endpoint.
#[test]
fn a_place_is_not_lost_on_a_call_that_waits_for_another_member() {
    run(9, |world| async move {
        let mut config = ClusterConfig::new(1, Personality::of(3, 5, 16), world.seed());
        config.max_concurrent_streams = Some(1);
        let etcd = world.etcd(config);
        let host = world.host();
        let client = host.client(Config::new(etcd.endpoints())).unwrap();
        client.put("key", "value").await.unwrap();
        let nobody = client.pinned_to("http://nobody:2379").unwrap();
        let put =
            |client: &Client, key| client.put(key, "value").timeout(seconds(60)).into_future();
        let (first, other) = (put(&client, "first"), put(&nobody, "other"));
        let second = put(&client, "second");
        host.spawn(async move { drop(first.await) });
        host.spawn(async move { drop(other.await) });
        world.sleep(Duration::from_micros(1)).await;
        let began = world.now();
        second.await.unwrap();
        let took = world.now().saturating_since(began);
        assert!(took < Duration::from_millis(50), "{took:?}");
    })
    .unwrap();
}

// What one member is named for says nothing of the others, nor they of it.
#[test]
fn a_named_member_and_the_endpoints_are_told_apart() {
    run(12, |world| async move {
        let etcd = cluster(&world, 1);
        let client = world.host().client(Config::new(["http://etcd-0:1"])).unwrap();
        let member = client.pinned_to(etcd.endpoints()[0].as_str()).unwrap();
        member.get("key").await.unwrap();
        assert!(!client.health().is_connected(), "only what is named is");
        let nobody = client.pinned_to("http://nobody:2379").unwrap();
        let cause = |error: Error| error.report().to_string();
        let named = cause(nobody.get("key").timeout(seconds(2)).await.unwrap_err());
        assert!(named.contains("nobody is called nobody"), "{named}");
        let other = cause(client.get("key").timeout(seconds(2)).await.unwrap_err());
        assert!(other.contains("refused"), "{other}");
    })
    .unwrap();
}

// B23: a sync that was begun before does not bring the old members back.
#[test]
fn set_endpoints_outweighs_a_sync_under_way() {
    run(10, |world| async move {
        let old = cluster(&world, 1);
        let host = world.host();
        let client = host.client(Config::new(old.endpoints())).unwrap();
        client.put("key", "value").await.unwrap();
        let syncing = client.clone();
        host.spawn(async move { syncing.sync_endpoints().await.unwrap() });
        world.sleep(Duration::from_micros(1)).await;
        client.set_endpoints(["http://new:2379"]).unwrap();
        world.sleep(seconds(5)).await;
        assert_eq!(client.endpoints(), ["http://new:2379"]);
    })
    .unwrap();
}

#[test]
fn the_changes_of_a_closed_client_have_ended_for_good() {
    run(11, |world| async move {
        let etcd = cluster(&world, 1);
        let host = world.host();
        let client = host.client(Config::new(etcd.endpoints())).unwrap();
        let mut changes = client.health_changes();
        changes.next().await.unwrap();
        client.close().await;
        assert!(changes.next().await.is_none());
        let ended = Arc::<AtomicBool>::default();
        let again = Arc::clone(&ended);
        host.spawn(async move { again.store(changes.next().await.is_none(), Ordering::Relaxed) });
        world.sleep(seconds(1)).await;
        assert!(ended.load(Ordering::Relaxed), "it hangs");
    })
    .unwrap();
}
