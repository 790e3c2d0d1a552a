//! All connections die at once without a sign, and the members are well: NAT, conntrack, a firewall
//! that was restarted.
#![allow(clippy::unwrap_used)]

use etcd3::{Client, Config, EndpointState, Outcome};
use etcd3_sim::{ClusterConfig, Cut, Etcd, Host, Personality, World, run};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// What a read may take: `attempt_timeout`, the answer to a PING, and a second.
const READ: Duration = seconds(3 + 5 + 1);
const SEEDS: u64 = 30;

/// A client that is connected to three members.
async fn scene(world: &World) -> (Etcd, Host, Client) {
    let etcd = world.etcd(ClusterConfig::new(3, Personality::of(3, 5, 30), world.seed()));
    let host = world.host();
    let client = host.client(Config::new(etcd.endpoints())).unwrap();
    client.put("key", "value").await.unwrap();
    world.sleep(seconds(1)).await;
    assert_eq!(host.connections(), 3);
    (etcd, host, client)
}

/// Nothing passes on the connections that there are; new ones work.
fn forget_connections(world: &World, etcd: &Etcd, host: &Host) {
    for member in 0..etcd.members() {
        world.net().cut(host.id(), etcd.address(member), Cut::Stall);
    }
}

#[test]
fn a_read_moves_to_a_connection_that_was_made_since() {
    for seed in 0..SEEDS {
        for idle in [0, 5, 12, 600] {
            run(seed, |world| async move {
                let (etcd, host, client) = scene(&world).await;
                forget_connections(&world, &etcd, &host);
                world.sleep(seconds(idle)).await;
                let began = world.now();
                client.get("key").await.unwrap();
                let took = world.now().saturating_since(began);
                assert!(took <= READ, "after {idle} s of idling it took {took:?}");
                for _ in 0..20 {
                    let began = world.now();
                    client.get("key").await.unwrap();
                    assert!(world.now().saturating_since(began) < seconds(1), "all is well again");
                }
            })
            .unwrap();
        }
    }
}

// Exact: a PING after half of what a read waits for, its answer, and a round trip or two.
#[test]
fn how_long_a_read_takes() {
    run(1, |world| async move {
        let (etcd, host, client) = scene(&world).await;
        client.get("key").await.unwrap();
        forget_connections(&world, &etcd, &host);
        let began = world.now();
        client.get("key").await.unwrap();
        let took = world.now().saturating_since(began);
        let expected = Duration::from_millis(1_500 + 5_000);
        // The wait before a second retry is 25 ms.
        assert!(took >= expected && took < expected + Duration::from_millis(40), "{took:?}");
    })
    .unwrap();
}

#[test]
fn at_most_one_write_of_a_caller_is_unknown() {
    const CALLERS: u32 = 4;
    for seed in 0..SEEDS {
        for idle in [0, 5, 12] {
            run(seed, |world| async move {
                let (etcd, host, client) = scene(&world).await;
                forget_connections(&world, &etcd, &host);
                world.sleep(seconds(idle)).await;
                let over = Arc::<AtomicU32>::default();
                for caller in 0..CALLERS {
                    let (client, world) = (client.clone(), world.clone());
                    let (over, late) = (Arc::clone(&over), u64::from(caller) * 700);
                    host.spawn(async move {
                        world.sleep(Duration::from_millis(late)).await;
                        let mut unknown = 0;
                        for _ in 0..5 {
                            let outcome = client.put("key", "v").await.map_err(|it| it.outcome());
                            unknown += u32::from(outcome.is_err());
                            assert!(
                                matches!(outcome, Ok(_) | Err(Outcome::Unknown)),
                                "{outcome:?}"
                            );
                        }
                        assert!(unknown <= 1, "seed {seed}, idle {idle}: {unknown} writes");
                        over.fetch_add(1, Ordering::Relaxed);
                    });
                }
                while over.load(Ordering::Relaxed) < CALLERS {
                    world.sleep(seconds(1)).await;
                }
            })
            .unwrap();
        }
    }
}

// The death of one is a question to the others, which costs them nothing but an answer.
#[test]
fn a_member_that_is_alone_in_its_death_takes_no_other_connection_along() {
    run(3, |world| async move {
        let (etcd, host, client) = scene(&world).await;
        etcd.pause(0);
        let made = world.stats().connections;
        for _ in 0..60 {
            client.get("key").await.unwrap();
            world.sleep(Duration::from_millis(500)).await;
        }
        let states = client.health().endpoints;
        assert_ne!(states[0].state, EndpointState::Ready);
        assert!(states[1..].iter().all(|it| it.state == EndpointState::Ready), "{states:?}");
        assert!(states[1..].iter().all(|it| it.elapsed > seconds(30)), "kept: {states:?}");
        drop(host);
        assert!(world.stats().connections > made, "a frozen process still accepts");
    })
    .unwrap();
}

// With nobody to resolve names, connections that are well are not given up for one that is not.
#[test]
fn without_dns_the_connections_that_are_well_are_used() {
    for seed in 0..SEEDS {
        run(seed, |world| async move {
            let (etcd, host, client) = scene(&world).await;
            world.sleep(seconds(60)).await;
            for member in 0..3 {
                world.net().name(&format!("etcd-{member}"), []);
            }
            world.net().cut(host.id(), etcd.address(0), Cut::Stall);
            for _ in 0..200 {
                let began = world.now();
                client.get("key").await.unwrap();
                let took = world.now().saturating_since(began);
                assert!(took < Duration::from_millis(3_100), "{took:?}");
                world.sleep(Duration::from_millis(100)).await;
            }
            assert_eq!(host.connections(), 2);
        })
        .unwrap();
    }
}
