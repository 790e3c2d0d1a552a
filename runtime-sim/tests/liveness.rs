//! Connections on which nothing arrives any more: when that is noticed, and what it costs.
#![allow(clippy::unwrap_used)]

use etcd3::proto::etcdserverpb::StatusRequest;
use etcd3::{Config, EndpointState, Error, Outcome, ServerError};
use etcd3_sim::{ClusterConfig, Cut, Etcd, Host, Link, Personality, Reachability, World, run};
use std::time::Duration;

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn near(took: Duration, expected: Duration) {
    let slack = Duration::from_millis(50);
    assert!(took >= expected.saturating_sub(slack) && took <= expected + slack, "{took:?}");
}

/// A cluster, a host, and the endpoints of the first so many members.
fn scene(world: &World, members: usize) -> (Etcd, Host, Vec<String>) {
    let etcd = world.etcd(ClusterConfig::new(3, Personality::of(3, 5, 16), world.seed()));
    let endpoints = etcd.endpoints().into_iter().take(members).collect();
    (etcd, world.host(), endpoints)
}

/// Nothing passes between the host and the members from here on, on connections old and new.
fn black_hole(world: &World, etcd: &Etcd, host: &Host, members: usize) {
    for member in 0..members {
        let way = etcd.address(member);
        world.net().cut(host.id(), way, Cut::Stall);
        world.net().set_link(
            host.id(),
            way,
            Link { reachability: Reachability::Hang, ..Link::default() },
        );
    }
}

fn causes(error: &Error) -> String {
    error.report().to_string()
}

// I-C1: an open but silent stream is noticed by a PING after half of attempt_timeout, and 5 s more.
#[test]
fn an_open_call_on_a_dead_connection_ends_after_six_and_a_half_seconds() {
    run(1, |world| async move {
        let (etcd, host, endpoints) = scene(&world, 1);
        let config = Config::new(endpoints).request_timeout(seconds(600));
        let client = host.client(config).unwrap();
        client.put("key", "1").await.unwrap();
        black_hole(&world, &etcd, &host, 1);
        let began = world.now();
        let error = client.put("key", "2").await.unwrap_err();
        near(world.now().saturating_since(began), Duration::from_millis(6_500));
        assert_eq!(error.outcome(), Outcome::Unknown);
        assert!(causes(&error).contains("PING was not answered"), "{}", causes(&error));
    })
    .unwrap();
}

// The first call on a connection that was silent for 10 s brings a PING with it.
#[test]
fn a_write_on_a_connection_that_died_idle_is_unknown_after_five_seconds() {
    run(2, |world| async move {
        let (etcd, host, endpoints) = scene(&world, 3);
        let client = host.client(Config::new(endpoints)).unwrap();
        client.put("key", "1").await.unwrap();
        world.sleep(seconds(1)).await;
        black_hole(&world, &etcd, &host, 3);
        world.sleep(seconds(600)).await;
        assert!(client.health().endpoints.iter().all(|it| it.state == EndpointState::Ready));
        let began = world.now();
        let error = client.put("key", "2").await.unwrap_err();
        near(world.now().saturating_since(began), seconds(5));
        assert_eq!(error.outcome(), Outcome::Unknown);
    })
    .unwrap();
}

#[test]
fn a_read_on_a_connection_that_died_idle_moves_within_five_seconds() {
    for seed in 0..10 {
        run(seed, |world| async move {
            let (etcd, host, endpoints) = scene(&world, 3);
            let client = host.client(Config::new(endpoints)).unwrap();
            client.put("key", "1").await.unwrap();
            world.sleep(seconds(1)).await;
            black_hole(&world, &etcd, &host, 1);
            world.sleep(seconds(60)).await;
            for _ in 0..6 {
                let began = world.now();
                client.get("key").await.unwrap();
                assert!(world.now().saturating_since(began) <= seconds(5));
            }
        })
        .unwrap();
    }
}

// E12, B8: with nothing to connect to, a call ends with its timeout and says why.
#[test]
fn a_call_without_any_connection_ends_with_its_timeout() {
    run(3, |world| async move {
        let (etcd, host, endpoints) = scene(&world, 3);
        let client = host.client(Config::new(endpoints)).unwrap();
        black_hole(&world, &etcd, &host, 3);
        for timeout in [1, 15] {
            let began = world.now();
            let error = client.put("key", "2").timeout(seconds(timeout)).await.unwrap_err();
            near(world.now().saturating_since(began), seconds(timeout));
            assert_eq!(error.outcome(), Outcome::NotSent);
            if timeout == 15 {
                assert!(causes(&error).contains("connect_timeout"), "{}", causes(&error));
            }
        }
    })
    .unwrap();
}

// I-C7: what was black-holed is used again when it works again, and not before.
#[test]
fn a_member_that_comes_back_is_used_again() {
    run(4, |world| async move {
        let (etcd, host, endpoints) = scene(&world, 3);
        let client = host.client(Config::new(endpoints)).unwrap();
        client.put("key", "1").await.unwrap();
        etcd.pause(0);
        for _ in 0..60 {
            client.get("key").await.unwrap();
        }
        world.sleep(seconds(60)).await;
        let state = |n: usize| client.health().endpoints[n].state;
        assert_ne!(state(0), EndpointState::Ready);
        etcd.revive(0);
        world.sleep(seconds(12)).await;
        assert_eq!(state(0), EndpointState::Ready);
    })
    .unwrap();
}

// C-09: minutes without a call, or of calls that are answered, cost nothing.
#[test]
fn a_healthy_connection_is_kept() {
    run(5, |world| async move {
        let (_etcd, host, endpoints) = scene(&world, 3);
        let client = host.client(Config::new(endpoints)).unwrap();
        client.get("key").await.unwrap();
        world.sleep(seconds(3_600)).await;
        for _ in 0..600 {
            client.get("key").await.unwrap();
            world.sleep(seconds(1)).await;
        }
        assert_eq!(world.stats().connections, 3);
    })
    .unwrap();
}

/// Cuts a member that does not lead off from the others.
fn isolate_a_follower(etcd: &Etcd) -> usize {
    let leads = |member: usize| etcd.model(|c, _| c.leader()) == Some(etcd.member_id(member));
    let member = (0..3).find(|member| !leads(*member)).unwrap();
    etcd.isolate(member);
    member
}

// B27: a member that answers that it cannot serve is a suspect, as one that does not answer.
#[test]
fn a_member_that_says_that_it_cannot_serve_is_a_suspect() {
    run(6, |world| async move {
        let (etcd, host, endpoints) = scene(&world, 3);
        let client = host.client(Config::new(&endpoints)).unwrap();
        client.put("key", "1").await.unwrap();
        world.sleep(seconds(2)).await;
        let member = isolate_a_follower(&etcd);
        let one = client.pinned_to(endpoints[member].as_str()).unwrap();
        let error = one.put("key", "2").await.unwrap_err();
        assert_eq!(error.server_error(), Some(ServerError::Timeout));
        assert_eq!(client.health().endpoints[member].state, EndpointState::Suspect);
    })
    .unwrap();
}

// B27: what a member without a quorum can answer by itself does not clear it of suspicion.
#[test]
fn a_partitioned_member_that_tells_its_status_stays_a_suspect() {
    run(7, |world| async move {
        let (etcd, host, endpoints) = scene(&world, 3);
        let client = host.client(Config::new(&endpoints)).unwrap();
        client.put("key", "1").await.unwrap();
        world.sleep(seconds(2)).await;
        let member = isolate_a_follower(&etcd);
        let one = client.pinned_to(endpoints[member].as_str()).unwrap();
        let clock = world.clone();
        host.spawn(async move {
            while one.rpc(StatusRequest {}).await.is_ok() {
                clock.sleep(seconds(1)).await;
            }
        });
        let (mut slow, end) = (0, world.now() + seconds(60));
        while world.now() < end {
            let began = world.now();
            client.get("key").await.unwrap();
            slow += u32::from(world.now().saturating_since(began) >= seconds(1));
            world.sleep(Duration::from_millis(100)).await;
        }
        assert!(slow <= 1, "{slow} reads waited for the member without a quorum");
        client.close().await;
    })
    .unwrap();
}
