//! What members do for an operator, each addressed to the endpoint that it is for.
#![allow(clippy::unwrap_used)]

use etcd3::{Client, Config, ErrorKind, Outcome, Phase};
use etcd3_sim::{ClusterConfig, Etcd, Host, Link, Personality, Reachability, World, run};
use std::sync::Arc;
use std::time::Duration;

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn cluster(world: &World, members: usize) -> (Etcd, Host) {
    let config = ClusterConfig::new(members, Personality::of(3, 7, 3), world.seed());
    (world.etcd(config), world.host())
}

fn set_reachability(world: &World, host: &Host, etcd: &Etcd, member: usize, to: Reachability) {
    let at = etcd.address(member);
    let link = world.net().link(host.id(), at);
    world.net().set_link(host.id(), at, Link { reachability: to, ..link });
}

// Case 9
#[test]
fn a_dead_endpoint_delays_neither_the_client_nor_the_status_of_others() {
    for seed in 0..20 {
        run(seed, |world| async move {
            let (etcd, host) = cluster(&world, 3);
            set_reachability(&world, &host, &etcd, 1, Reachability::Hang);
            let begin = world.now();
            let config = Config::new(etcd.endpoints());
            let client = Client::connect_on(Arc::new(host.runtime()), config).await.unwrap();
            let took = world.now().saturating_since(begin);
            assert!(took < Duration::from_millis(500), "connected after {took:?}");

            let begin = world.now();
            let answers = client.maintenance().statuses().timeout(seconds(2)).await;
            let took = world.now().saturating_since(begin);
            assert!(took >= seconds(2) && took < Duration::from_millis(2_200), "{took:?}");
            assert_eq!(answers.len(), 3);
            for (n, (answer, endpoint)) in answers.iter().zip(etcd.endpoints()).enumerate() {
                assert_eq!(answer.endpoint, endpoint);
                match &answer.status {
                    Ok(status) => assert_eq!(status.member_id(), etcd.member_id(n)),
                    Err(error) => {
                        assert_eq!(n, 1, "{error}");
                        assert_eq!(error.kind(), ErrorKind::TimedOut(Phase::Connection));
                        assert_eq!(error.endpoint(), Some(&*endpoint));
                        assert!(
                            error.report().to_string().contains("it has been connecting"),
                            "{error:?}"
                        );
                    }
                }
            }
            assert!(answers[1].status.is_err());
        })
        .unwrap();
    }
}

// M1, M6: the pooled connection is used; one that was made for a call is gone after it.
#[test]
fn a_call_to_one_member_uses_the_connection_that_there_is() {
    run(1, |world| async move {
        let (etcd, host) = cluster(&world, 3);
        let known = &etcd.endpoints()[..2];
        let client =
            Client::connect_on(Arc::new(host.runtime()), Config::new(known)).await.unwrap();
        let maintenance = client.maintenance();
        for endpoint in known {
            maintenance.status(endpoint).await.unwrap();
        }
        let made = world.net().connections_made();
        for (n, endpoint) in known.iter().enumerate() {
            for _ in 0..3 {
                let status = maintenance.status(endpoint).await.unwrap();
                assert_eq!(status.member_id(), etcd.member_id(n));
            }
        }
        assert_eq!(world.net().connections_made(), made);

        let third = &etcd.endpoints()[2];
        assert_eq!(maintenance.status(third).await.unwrap().member_id(), etcd.member_id(2));
        assert_eq!(world.net().connections_made(), made + 1);
        let mut changes = client.health_changes();
        while changes.next().await.unwrap().endpoints.len() > 2 {}
        assert_eq!(client.endpoints(), known);
    })
    .unwrap();
}

// M1: a dead endpoint is named, and so is one that cannot be read.
#[test]
fn the_error_of_a_call_to_one_member_names_it() {
    run(1, |world| async move {
        let (etcd, host) = cluster(&world, 3);
        let client = host.client(Config::new(etcd.endpoints())).unwrap();
        set_reachability(&world, &host, &etcd, 0, Reachability::Refuse);
        let dead = &etcd.endpoints()[0];
        let error = client.maintenance().status(dead).timeout(seconds(2)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut(Phase::Connection));
        assert_eq!((error.endpoint(), error.outcome()), (Some(&**dead), Outcome::NotSent));
        assert!(error.to_string().starts_with("Status: timed out"), "{error}");

        let error = client.maintenance().status("http://etcd:port").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert_eq!(error.endpoint(), Some("http://etcd:port"));
        assert!(error.to_string().starts_with("Status: "), "{error}");
    })
    .unwrap();
}
