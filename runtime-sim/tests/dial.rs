//! Names with several addresses: which one is connected to, when, and what an error tells.
#![allow(clippy::unwrap_used)]

use etcd3::{Client, Config, ConnectFailure, ErrorKind};
use etcd3_sim::{ClusterConfig, Etcd, Host, Link, Personality, Reachability, Travel, World, run};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(5);
/// The sum of all latencies of a connection and its handshake, and a margin.
const SOON: Duration = Duration::from_millis(100);
const HEAD_START: Duration = Duration::from_millis(250);

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

/// A server, a host, and a name for some addresses, each with the reachability that it has.
fn world_of(world: &World, addresses: &[(&str, Reachability)]) -> (Etcd, Host, Config) {
    let etcd = world.etcd(ClusterConfig::new(1, Personality::of(3, 5, 30), world.seed()));
    let host = world.host();
    let mut named = Vec::new();
    for (address, reachability) in addresses {
        let address = if *address == "etcd" { etcd.address(0) } else { at(address) };
        let quick =
            Link { travel: Travel::default(), reachability: *reachability, ..Link::default() };
        world.net().set_link(host.id(), address, quick);
        named.push(address);
    }
    world.net().name("many", named);
    (etcd, host, Config::new(["http://many:2379"]).connect_timeout(TIMEOUT))
}

fn in_world<T, F: Future<Output = T>>(program: impl FnOnce(World) -> F) -> T {
    run(1, program).unwrap().0
}

async fn connect(host: &Host, config: Config) -> Result<Client, etcd3::Error> {
    Client::connect_on(Arc::new(host.runtime()), config).await
}

// I-C9, RFC 8305
#[test]
fn a_black_hole_costs_a_head_start_and_not_the_timeout() {
    in_world(|world| async move {
        let doors = [("[fd00::1]:2379", Reachability::Hang), ("etcd", Reachability::Open)];
        let (_etcd, host, config) = world_of(&world, &doors);
        let start = world.now();
        let client = connect(&host, config).await.unwrap();
        let took = world.now().saturating_since(start);
        assert!(took >= HEAD_START && took < HEAD_START + SOON, "{took:?}");
        client.put("k", "v").await.unwrap();
        assert_eq!(host.connections(), 1);
    });
}

// I-C9
#[test]
fn refused_addresses_cost_no_wait() {
    in_world(|world| async move {
        let doors = [
            ("[fd00::1]:2379", Reachability::Refuse),
            ("10.9.9.9:2379", Reachability::Refuse),
            ("[fd00::2]:2379", Reachability::Refuse),
            ("etcd", Reachability::Open),
        ];
        let (_etcd, host, config) = world_of(&world, &doors);
        let start = world.now();
        connect(&host, config).await.unwrap();
        let took = world.now().saturating_since(start);
        assert!(took < SOON, "{took:?}");
    });
}

// RFC 8305, section 5: an address that fails while another is waited for makes way at once. Which
// one of its family comes first is drawn by the seed.
#[test]
fn a_refusal_behind_a_black_hole_costs_no_second_head_start() {
    for seed in 0..8 {
        run(seed, |world| async move {
            let doors = [
                ("[fd00::1]:2379", Reachability::Hang),
                ("10.9.9.8:2379", Reachability::Refuse),
                ("10.9.9.9:2379", Reachability::Refuse),
                ("etcd", Reachability::Open),
            ];
            let (_etcd, host, config) = world_of(&world, &doors);
            let start = world.now();
            connect(&host, config).await.unwrap();
            let took = world.now().saturating_since(start);
            assert!(took >= HEAD_START && took < HEAD_START + SOON, "{took:?}");
        })
        .unwrap();
    }
}

// RFC 8305, section 4: the other family has its turn before the rest of a dead one.
#[test]
fn families_take_turns() {
    in_world(|world| async move {
        let dead = |address| (address, Reachability::Hang);
        let doors = [
            dead("[fd00::1]:2379"),
            dead("[fd00::2]:2379"),
            dead("[fd00::3]:2379"),
            ("etcd", Reachability::Open),
        ];
        let (_etcd, host, config) = world_of(&world, &doors);
        let start = world.now();
        connect(&host, config).await.unwrap();
        let took = world.now().saturating_since(start);
        assert!(took >= HEAD_START && took < HEAD_START + SOON, "{took:?}");
    });
}

// The slower address is not given up when the next one starts.
#[test]
fn an_address_that_answers_late_still_wins() {
    in_world(|world| async move {
        let doors = [("etcd", Reachability::Open), ("10.9.9.9:2379", Reachability::Refuse)];
        let (etcd, host, config) = world_of(&world, &doors);
        let slow = Travel { latency: Duration::from_millis(300), ..Travel::default() };
        let link = Link { travel: slow, ..Link::default() };
        world.net().set_link(host.id(), etcd.address(0), link);
        connect(&host, config).await.unwrap();
        assert_eq!(world.stats().attempts, 2);
    });
}

// I-C9, I-C11: the addresses are looked up at every dial.
#[test]
fn a_name_that_moves_is_followed() {
    in_world(|world| async move {
        let (etcd, host, config) = world_of(&world, &[("10.9.9.9:2379", Reachability::Refuse)]);
        let client = host.client(config).unwrap();
        let put = {
            let client = client.clone();
            async move { client.put("k", "v").await }
        };
        let moving = async {
            world.sleep(Duration::from_secs(1)).await;
            world.net().name("many", [etcd.address(0)]);
            std::future::pending().await
        };
        futures_lite::FutureExt::or(put, moving).await.unwrap();
    });
}

#[test]
fn an_error_names_every_address_and_its_cause() {
    in_world(|world| async move {
        let doors =
            [("[fd00::1]:2379", Reachability::Refuse), ("10.9.9.9:2379", Reachability::Refuse)];
        let (_etcd, host, config) = world_of(&world, &doors);
        let error = connect(&host, config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect(ConnectFailure::Refused));
        let text = error.report().to_string();
        let told = "[fd00::1]:2379: connection refused; 10.9.9.9:2379: connection refused";
        assert!(text.contains(told), "{text}");
    });
    in_world(|world| async move {
        let doors =
            [("[fd00::1]:2379", Reachability::Refuse), ("10.9.9.9:2379", Reachability::Hang)];
        let (_etcd, host, config) = world_of(&world, &doors);
        let start = world.now();
        let error = connect(&host, config).await.unwrap_err();
        assert_eq!(world.now().saturating_since(start), TIMEOUT);
        assert_eq!(error.kind(), ErrorKind::Connect(ConnectFailure::NoAnswer));
        let text = error.report().to_string();
        let told = "[fd00::1]:2379: connection refused; 10.9.9.9:2379: no answer";
        assert!(text.contains(told), "{text}");
    });
}

#[test]
fn all_attempts_together_have_one_deadline() {
    in_world(|world| async move {
        let addresses: Vec<String> = (1..=200).map(|n| format!("10.9.9.{n}:2379")).collect();
        let doors: Vec<_> =
            addresses.iter().map(|address| (&**address, Reachability::Hang)).collect();
        let (_etcd, host, config) = world_of(&world, &doors);
        let start = world.now();
        let error = connect(&host, config).await.unwrap_err();
        assert_eq!(world.now().saturating_since(start), TIMEOUT);
        assert!(error.report().to_string().len() < 600, "{error}");
        assert_eq!(world.stats().attempts, 20, "one each 250 ms");
    });
}

// One name for all members, as a service of Kubernetes has it.
#[test]
fn clients_of_one_name_spread_over_its_addresses() {
    for seed in 0..10 {
        let counts = run(seed, |world| async move {
            let etcd = world.etcd(ClusterConfig::new(3, Personality::of(3, 5, 30), seed));
            world.net().name("many", (0..3).map(|member| etcd.address(member)));
            let mut counts = [0; 3];
            for _ in 0..30 {
                let client = world.host().client(Config::new(["http://many:2379"])).unwrap();
                let answer = client.get("key").await.unwrap();
                let member = answer.header.member_id;
                let index = (0..3).find(|index| etcd.member_id(*index) == member).unwrap();
                counts[index] += 1;
            }
            counts
        });
        let counts = counts.unwrap().0;
        assert!(counts.iter().all(|count| *count >= 4), "seed {seed}: {counts:?}");
    }
}
