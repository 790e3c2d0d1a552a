//! What calls tell of their endpoints, and when that is known.
#![allow(clippy::unwrap_used)]

use etcd3::{Client, Config, EndpointState, ErrorKind, Outcome, Phase, ServerError};
use etcd3_sim::{ClusterConfig, Etcd, Host, Personality, World, run};
use std::time::Duration;

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

async fn scene(world: &World, members: usize) -> (Etcd, Host, Client) {
    let etcd = world.etcd(ClusterConfig::new(members, Personality::of(3, 5, 30), world.seed()));
    let host = world.host();
    let client = host.client(Config::new(etcd.endpoints())).unwrap();
    client.put("key", "value").await.unwrap();
    world.sleep(millis(2_000)).await;
    (etcd, host, client)
}

/// Cuts a member that does not lead off from the others.
fn isolate_a_follower(etcd: &Etcd) -> usize {
    let leads = |member: usize| etcd.model(|c, _| c.leader()) == Some(etcd.member_id(member));
    let member = (0..etcd.members()).find(|member| !leads(*member)).unwrap();
    etcd.isolate(member);
    member
}

// B27: a refusal that says so makes a suspect, an answer that takes a cluster clears it; whoever
// looks at the health knows both at that moment.
#[test]
fn refusals_and_answers_count_at_once() {
    for seed in 0..10 {
        run(seed, |world| async move {
            let (etcd, _host, client) = scene(&world, 3).await;
            let member = isolate_a_follower(&etcd);
            world.sleep(millis(3_000)).await;
            let mut changes = client.health_changes();
            changes.next().await.unwrap();
            let one = client.pinned_to(etcd.endpoints()[member].as_str()).unwrap();
            let began = world.now();
            let refused = one.put("key", "2").require_leader(true).timeout(millis(50)).await;
            let error = refused.unwrap_err();
            assert_eq!(error.server_error(), Some(ServerError::NoLeader));
            assert_eq!(error.outcome(), Outcome::Rejected);
            assert_eq!(client.health().endpoints[member].state, EndpointState::Suspect);
            let told = changes.next().await.unwrap();
            assert_eq!(told.endpoints[member].state, EndpointState::Suspect);
            assert!(world.now().saturating_since(began) < millis(60));

            etcd.heal();
            let began = world.now();
            while one.get("key").require_leader(true).timeout(millis(100)).await.is_err() {}
            let ready = client.health().endpoints[member].state;
            let told = changes.next().await.unwrap();
            assert_eq!(
                (ready, told.endpoints[member].state),
                (EndpointState::Ready, EndpointState::Ready)
            );
            let took = world.now().saturating_since(began);
            assert!(took < millis(700), "before it was probed: {took:?}");
        })
        .unwrap();
    }
}

// With one endpoint there is nowhere to go: a read waits for it as long as it may.
#[test]
fn a_read_is_not_given_up_where_there_is_no_other_endpoint() {
    run(1, |world| async move {
        let (etcd, _host, client) = scene(&world, 1).await;
        etcd.pause(0);
        let began = world.now();
        let error = client.get("key").timeout(millis(5_000)).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::TimedOut(Phase::Answer), 1));
        assert_eq!(world.now().saturating_since(began), millis(5_000));
        etcd.revive(0);
        client.get("key").await.unwrap();
        assert_eq!(world.stats().connections, 1);
    })
    .unwrap();
}

// I-C1: a server that is slow and alive says so when it is pinged.
#[test]
fn a_connection_whose_calls_wait_is_kept_if_its_pings_are_answered() {
    run(2, |world| async move {
        let (etcd, _host, client) = scene(&world, 3).await;
        let member = isolate_a_follower(&etcd);
        let one = client.pinned_to(etcd.endpoints()[member].as_str()).unwrap();
        let made = world.stats().connections;
        for _ in 0..5 {
            let began = world.now();
            let error = one.put("key", "2").await.unwrap_err();
            assert!(error.status().is_some(), "etcd gave up, not the client: {error:?}");
            assert!(world.now().saturating_since(began) >= millis(6_900));
        }
        assert_eq!(world.stats().connections, made);
    })
    .unwrap();
}
