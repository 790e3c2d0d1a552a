//! What members do for an operator, each addressed to the endpoint that it is for.
#![allow(clippy::unwrap_used)]

use etcd3::{Alarm, AlarmKind, Client, Config, ErrorKind, Outcome, Phase, ServerError};
use etcd3_sim::{ClusterConfig, Etcd, Host, Link, Personality, Reachability, Travel, World, run};
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

fn leader_of(etcd: &Etcd) -> usize {
    let leader = etcd.model(|cluster, _| cluster.leader()).unwrap();
    (0..etcd.members()).find(|n| etcd.member_id(*n) == leader).unwrap()
}

// M3: whoever leads is found, wherever the client would have gone; a dead member is not waited for.
#[test]
fn the_leader_is_found_and_hands_over() {
    for seed in 0..20 {
        run(seed, |world| async move {
            let (etcd, host) = cluster(&world, 3);
            let client = host.client(Config::new(etcd.endpoints())).unwrap();
            for to in [1, 0, 2, 2] {
                client.maintenance().move_leader(etcd.member_id(to)).await.unwrap();
                assert_eq!(leader_of(&etcd), to);
            }
            set_reachability(&world, &host, &etcd, 0, Reachability::Hang);
            etcd.kill(0);
            let begin = world.now();
            client.maintenance().move_leader(etcd.member_id(1)).await.unwrap();
            let took = world.now().saturating_since(begin);
            assert!(took < seconds(1), "the dead one was waited for: {took:?}");
            assert_eq!(leader_of(&etcd), 1);

            let error = client.maintenance().move_leader(7).await.unwrap_err();
            assert_eq!(error.server_error(), Some(ServerError::BadLeaderTransferee));
            assert_eq!(error.endpoint(), Some(&*etcd.endpoints()[1]), "the leader refused");
        })
        .unwrap();
    }
}

// M3: a leader that is none of the endpoints is found by the member list.
#[test]
fn a_leader_that_is_no_endpoint_is_found_by_the_list() {
    run(1, |world| async move {
        let mut config = ClusterConfig::new(3, Personality::of(3, 7, 3), world.seed());
        for (n, member) in config.members.iter_mut().enumerate() {
            member.client_urls = vec![format!("http://etcd-{n}:2379")];
        }
        let (etcd, host) = (world.etcd(config), world.host());
        world.sleep(seconds(1)).await;
        let leader = leader_of(&etcd);
        let mut others = etcd.endpoints();
        others.remove(leader);
        let client = host.client(Config::new(others)).unwrap();
        let to = (leader + 1) % 3;
        client.maintenance().move_leader(etcd.member_id(to)).await.unwrap();
        assert_eq!(leader_of(&etcd), to);
        assert_eq!(client.endpoints().len(), 2);
    })
    .unwrap();
}

// M3: without a leader nothing is sent.
#[test]
fn without_a_leader_there_is_nothing_to_move() {
    run(1, |world| async move {
        let (etcd, host) = cluster(&world, 3);
        let client = host.client(Config::new(etcd.endpoints())).unwrap();
        client.get("k").await.unwrap();
        etcd.kill(0);
        etcd.kill(1);
        world.sleep(seconds(30)).await;
        let moved = client.maintenance().move_leader(etcd.member_id(2)).timeout(seconds(4)).await;
        let error = moved.unwrap_err();
        assert_eq!(error.server_error(), Some(ServerError::NoLeader), "{error:?}");
        assert_eq!(error.outcome(), Outcome::NotSent);
        assert!(error.to_string().starts_with("MoveLeader: "), "{error}");
    })
    .unwrap();
}

// M20
#[test]
fn alarms_are_disarmed_one_by_one_and_all_at_once() {
    run(1, |world| async move {
        let (etcd, host) = cluster(&world, 3);
        let client = host.client(Config::new(etcd.endpoints())).unwrap();
        let maintenance = client.maintenance();
        let alarms = [
            Alarm::new(7, AlarmKind::NoSpace),
            Alarm::new(8, AlarmKind::NoSpace),
            Alarm::new(8, AlarmKind::Corrupt),
        ];
        for alarm in alarms {
            assert_eq!(maintenance.arm(alarm).await.unwrap().alarms, [alarm]);
            maintenance.arm(alarm).await.unwrap();
        }
        assert_eq!(maintenance.alarms().await.unwrap().alarms, alarms);
        assert_eq!(maintenance.disarm(alarms[1]).await.unwrap().alarms, [alarms[1]]);
        assert_eq!(maintenance.disarm(alarms[1]).await.unwrap().alarms, []);
        let disarmed = maintenance.disarm_all().await.unwrap();
        assert_eq!(disarmed.alarms, [alarms[0], alarms[2]]);
        assert_ne!(disarmed.header.member_id, 0);
        assert_eq!(maintenance.alarms().await.unwrap().alarms, []);
        assert_eq!(maintenance.disarm_all().await.unwrap().alarms, []);
    })
    .unwrap();
}

// M23: a member that is at work for minutes is waited for, whatever the configuration says.
#[test]
fn a_defragmentation_may_take_its_time() {
    run(1, |world| async move {
        let (etcd, host) = cluster(&world, 1);
        let (at, endpoint) = (etcd.address(0), etcd.endpoints().remove(0));
        let link = world.net().link(host.id(), at);
        // Slower than the other calls may be.
        let travel = Travel { latency: seconds(2), ..link.travel };
        world.net().set_link(host.id(), at, Link { travel, ..link });
        let config = Config::new([endpoint.clone()])
            .request_timeout(seconds(1))
            .connect_timeout(seconds(60));
        let client = host.client(config).unwrap();
        let begin = world.now();
        assert!(client.maintenance().status(&endpoint).await.unwrap_err().is_timeout());
        client.maintenance().defragment(&endpoint).await.unwrap();
        assert!(world.now().saturating_since(begin) > seconds(4));
        let late = client.maintenance().defragment(&endpoint).timeout(seconds(3)).await;
        assert_eq!(late.unwrap_err().outcome(), Outcome::Unknown);
    })
    .unwrap();
}
