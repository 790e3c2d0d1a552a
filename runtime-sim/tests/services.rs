//! The services `Lock` and `Election` of servers, traps included.
#![allow(clippy::unwrap_used)]

use etcd3::raw::{Observe, ServiceError};
use etcd3::{Client, Config, EndpointState, ErrorKind, LeaseId, Outcome};
use etcd3_sim::{ClusterConfig, Personality, World, run};
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn client_of(world: &World) -> Client {
    let config = ClusterConfig::new(1, Personality::of(3, 5, 30), world.seed());
    let etcd = world.etcd(config);
    world.host().client(Config::new(etcd.endpoints())).unwrap()
}

async fn lease(client: &Client, ttl: u64) -> LeaseId {
    client.grant(seconds(ttl)).await.unwrap().id
}

/// Polls a future so often that it is well under way, and drops it.
async fn begin_and_drop(world: &World, future: impl Future) {
    let mut future = pin!(future);
    for _ in 0..100 {
        poll_fn(|cx| {
            assert!(future.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        world.sleep(Duration::from_millis(1)).await;
    }
}

// X36
#[test]
fn a_lock_is_held_by_one_until_it_is_unlocked_or_its_lease_ends() {
    run(1, |world| async move {
        let client = client_of(&world);
        let services = client.raw();
        let (first, second) = (lease(&client, 600).await, lease(&client, 600).await);
        let held = services.lock("l", first).await.unwrap();
        assert_eq!(held.key, format!("l/{:x}", first.0));
        let error = services.lock("l", second).timeout(seconds(20)).await.unwrap_err();
        assert_eq!(client.health().endpoints[0].state, EndpointState::Ready, "it waits by right");
        assert_eq!((error.outcome(), error.is_timeout()), (Outcome::Unknown, true), "{error}");
        services.unlock(held.key.clone()).await.unwrap();
        services.unlock(held.key).await.unwrap();

        let begin = world.now();
        services.lock("l", lease(&client, 5).await).await.unwrap();
        services.lock("l", first).timeout(seconds(30)).await.unwrap();
        let took = world.now().saturating_since(begin);
        assert!(took >= seconds(5) && took < seconds(8), "by the lease: {took:?}");
        let error = services.lock("l", 7).await.unwrap_err();
        assert!(error.is_lease_not_found() && error.outcome() == Outcome::Rejected, "{error}");
    })
    .unwrap();
}

// X36: a call that is cancelled gives its turn up.
#[test]
fn a_cancelled_lock_is_given_up_by_the_server() {
    run(1, |world| async move {
        let client = client_of(&world);
        let services = client.raw();
        let (first, second) = (lease(&client, 600).await, lease(&client, 600).await);
        let held = services.lock("l", first).await.unwrap();
        begin_and_drop(&world, services.lock("l", second).send()).await;
        world.sleep(seconds(1)).await;
        let waiting = client.get(etcd3::prefix("l/")).await.unwrap();
        assert_eq!(waiting.count, 1, "{waiting:?}");
        services.unlock(held.key).await.unwrap();
        services.lock("l", lease(&client, 60).await).timeout(seconds(1)).await.unwrap();
    })
    .unwrap();
}

// X36: with a lease of 0 a lock is lost after a minute.
#[test]
fn a_lock_without_a_lease_lasts_a_minute() {
    run(1, |world| async move {
        let client = client_of(&world);
        let services = client.raw();
        let begin = world.now();
        services.lock("l", LeaseId::NONE).await.unwrap();
        services.lock("l", lease(&client, 600).await).timeout(seconds(600)).await.unwrap();
        let took = world.now().saturating_since(begin);
        assert!(took >= seconds(60) && took < seconds(63), "{took:?}");
    })
    .unwrap();
}

async fn next(leaders: &mut Observe) -> String {
    let leader = leaders.next().await.unwrap().unwrap();
    leader.kv.value_str().unwrap().to_owned()
}

// X36: refusals are told at once, by their kind, and nobody is suspected for them.
#[test]
fn an_election_has_one_leader_after_the_other() {
    run(1, |world| async move {
        let client = client_of(&world);
        let services = client.raw();
        let begin = world.now();
        let error = services.leader("e").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Service(ServiceError::NoElectionLeader));
        assert_eq!((error.outcome(), error.attempts()), (Outcome::Rejected, 1), "{error}");
        assert!(world.now().saturating_since(begin) < seconds(1));
        assert_eq!(client.health().endpoints[0].state, EndpointState::Ready);

        let mut leaders = services.observe("e");
        begin_and_drop(&world, leaders.next()).await;
        let elected = services.campaign("e", lease(&client, 60).await, "a").await.unwrap().elected;
        assert_eq!(next(&mut leaders).await, "a");
        services.proclaim(elected.clone(), "b").await.unwrap();
        assert_eq!(next(&mut leaders).await, "b");
        assert_eq!(services.leader("e").await.unwrap().kv.key, elected.key);

        let second = lease(&client, 60).await;
        let campaign = services.campaign("e", second, "c").timeout(seconds(1)).await;
        assert!(campaign.unwrap_err().is_timeout());
        services.resign(elected.clone()).await.unwrap();
        services.resign(elected.clone()).await.unwrap();
        let error = services.proclaim(elected, "d").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Service(ServiceError::NotElectionLeader));
        services.campaign("e", second, "c").await.unwrap();
        assert_eq!(next(&mut leaders).await, "c");
    })
    .unwrap();
}

// The client goes on observing only as long as it is told to wait.
#[test]
fn an_observer_may_have_a_deadline() {
    run(1, |world| async move {
        let client = client_of(&world);
        let begin = world.now();
        let mut leaders = client.raw().observe("e").timeout(seconds(3));
        let error = leaders.next().await.unwrap().unwrap_err();
        assert!(error.is_timeout() && error.endpoint().is_some(), "{error}");
        assert_eq!(world.now().saturating_since(begin), seconds(3));
        assert!(leaders.next().await.is_none());
        // Without one it waits, and nobody is suspected of anything.
        begin_and_drop(&world, client.raw().observe("e").next()).await;
        assert_eq!(client.health().endpoints[0].state, EndpointState::Ready);
    })
    .unwrap();
}
