//! Calls whose deadline passes while nobody looks: the process is stopped, nobody polls them, the
//! runtime of the client has ended or is not driven.
#![allow(clippy::unwrap_used)]

use etcd3::{Client, Config, EndpointState, Error, ErrorKind, Outcome, Phase};
use etcd3_sim::{ClusterConfig, Etcd, Host, Link, Personality, Travel, World, run};
use std::future::IntoFuture;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

async fn scene(world: &World, config: fn(Config) -> Config) -> (Etcd, Host, Client) {
    let etcd = world.etcd(ClusterConfig::new(1, Personality::of(3, 5, 30), world.seed()));
    let host = world.host();
    let client = host.client(config(Config::new(etcd.endpoints()))).unwrap();
    client.put("key", "value").await.unwrap();
    (etcd, host, client)
}

/// Polls a request once; it must not be ready.
macro_rules! begun {
    ($request:expr) => {{
        let mut future = Box::pin($request.into_future());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(std::future::Future::poll(future.as_mut(), &mut cx).is_pending());
        future
    }};
}

/// A write that is made on a host that is stopped from 0.3 s to 6.3 s; the response is there after
/// 0.6 s, or never.
fn write_of_a_stopped_process(seed: u64, is_answered: bool) -> (Result<(), Error>, Duration) {
    run(seed, |world| async move {
        let (etcd, host, client) = scene(&world, |config| config).await;
        world.sleep(millis(1_000)).await;
        // Of connections to come.
        let travel = Travel { latency: millis(300), ..Travel::default() };
        let link = Link { travel, ..world.net().link(host.id(), etcd.address(0)) };
        world.net().set_link(host.id(), etcd.address(0), link);
        drop(client);
        let client = host.client(Config::new(etcd.endpoints())).unwrap();
        client.get("key").await.unwrap();
        if !is_answered {
            etcd.pause(0);
        }
        let result = Arc::new(Mutex::new(None));
        let (began, clock, slot) = (world.now(), world.clone(), Arc::clone(&result));
        host.spawn(async move {
            let result = client.put("key", "late").timeout(millis(3_000)).await.map(drop);
            *slot.lock().unwrap() = Some((result, clock.now().saturating_since(began)));
        });
        world.sleep(millis(300)).await;
        host.set_paused(true);
        world.sleep(millis(6_000)).await;
        host.set_paused(false);
        world.sleep(millis(2_000)).await;
        result.lock().unwrap().take().expect("the call is over")
    })
    .unwrap()
    .0
}

// Both orders: the task of the connection may be woken before that of the call, or after it.
#[test]
fn a_response_that_has_arrived_is_the_response() {
    for seed in 0..200 {
        let (result, _) = write_of_a_stopped_process(seed, true);
        assert!(result.is_ok(), "seed {seed}: {result:?}");
    }
}

#[test]
fn a_response_that_has_not_arrived_is_not_waited_for() {
    for seed in 0..50 {
        let (result, took) = write_of_a_stopped_process(seed, false);
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut(Phase::Answer));
        assert_eq!(error.outcome(), Outcome::Unknown);
        assert!(took <= millis(6_300 + 100), "{took:?}");
    }
}

// Without a stop a deadline is exact.
#[test]
fn a_silent_server_is_given_up_at_the_deadline() {
    run(1, |world| async move {
        let (etcd, _host, client) = scene(&world, |config| config).await;
        etcd.pause(0);
        for timeout in [1, 700, 2_000] {
            let began = world.now();
            let error = client.put("key", "v").timeout(millis(timeout)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut(Phase::Answer));
            assert_eq!(world.now().saturating_since(began), millis(timeout));
        }
    })
    .unwrap();
}

/// Sixteen calls to a connection, whatever the server takes.
fn narrow(config: Config) -> Config {
    config.stream_window(64 << 10).connection_window(1 << 20)
}

// A future that is neither polled nor dropped: of an executor that is busy, or of a join that was
// left. It keeps a part of the window of its connection, but not beyond its deadline.
#[test]
fn calls_that_nobody_polls_starve_nobody() {
    run(2, |world| async move {
        let (_etcd, host, client) = scene(&world, narrow).await;
        client.put("large", vec![7; 300 << 10]).await.unwrap();
        let mut held: Vec<_> =
            (0..15).map(|_| begun!(client.get("large").timeout(millis(5_000)))).collect();
        for _ in 0..10 {
            let began = world.now();
            client.get("large").await.unwrap();
            assert!(world.now().saturating_since(began) < millis(200), "one place is left");
        }
        held.push(begun!(client.get("large").timeout(millis(5_000))));
        let began = world.now();
        let error = client.get("key").timeout(millis(1_000)).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.outcome()),
            (ErrorKind::TimedOut(Phase::Connection), Outcome::NotSent)
        );
        assert_eq!(world.now().saturating_since(began), millis(1_000), "the deadline runs");
        // The deadline of those that are held, and a second in which they might be polled.
        client.get("large").timeout(millis(7_000)).await.unwrap();
        world.sleep(millis(1_000)).await;
        assert_eq!(client.health().endpoints[0].calls, 0, "all have left their places");
        for held in held {
            let error = held.await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut(Phase::Answer), "{error}");
        }
        for _ in 0..40 {
            client.get("large").await.unwrap();
        }
        assert_eq!(host.connections(), 1);
        assert_eq!(world.stats().connections, 1);
    })
    .unwrap();
}

#[test]
fn a_call_that_is_polled_late_but_in_time_gets_its_response() {
    run(3, |world| async move {
        let (_etcd, _host, client) = scene(&world, narrow).await;
        let held = begun!(client.get("key").timeout(millis(5_000)));
        world.sleep(millis(4_900)).await;
        held.await.unwrap();
        let held = begun!(client.get("key").timeout(millis(5_000)));
        // Its stream is taken away only a second later.
        world.sleep(millis(5_900)).await;
        held.await.unwrap();
    })
    .unwrap();
}

/// What must hold of a client whose runtime has ended.
async fn expect_ended(client: &Client) {
    assert!(client.is_closed());
    let health = client.health();
    assert!(!health.is_connected());
    assert!(health.endpoints.iter().all(|it| it.state == EndpointState::Closed));
    let read = client.get("key").timeout(millis(2_000)).await.unwrap_err();
    let write = client.put("key", "v").await.unwrap_err();
    for error in [read, write] {
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::RuntimeEnded, Outcome::NotSent));
    }
    assert_eq!(client.health_changes().next().await, None);
    client.close().await;
}

#[test]
fn calls_end_with_the_runtime_of_their_client() {
    for seed in 0..20 {
        run(seed, |world| async move {
            let (etcd, host, client) = scene(&world, |config| config).await;
            etcd.pause(0);
            let mut changes = client.health_changes();
            let write = begun!(client.put("key", "v"));
            changes.next().await.unwrap();
            world.sleep(millis(100)).await;
            host.crash();
            let at = world.now();
            let error = write.await.unwrap_err();
            assert_eq!(
                (error.kind(), error.outcome()),
                (ErrorKind::RuntimeEnded, Outcome::Unknown)
            );
            assert_eq!(changes.next().await, None);
            expect_ended(&client).await;
            assert_eq!(world.now(), at, "all at once");
        })
        .unwrap();
    }
}

#[test]
fn a_client_that_was_never_used_learns_of_the_end_of_its_runtime() {
    run(1, |world| async move {
        let host = world.host();
        let client = host.client(Config::new(["http://nobody:2379"])).unwrap();
        let waits = begun!(client.get("key"));
        host.crash();
        let error = waits.await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::RuntimeEnded, Outcome::NotSent));
        expect_ended(&client).await;
    })
    .unwrap();
}

// A runtime that exists and that nobody drives: the call has to look after itself.
#[test]
fn a_call_ends_though_the_runtime_of_its_client_stands_still() {
    run(4, |world| async move {
        let (_etcd, host, client) = scene(&world, |config| config).await;
        host.set_paused(true);
        // It is this one that tells the control task, which does not look.
        let mut first = begun!(client.get("key").timeout(millis(500)));
        world.sleep(millis(1_100)).await;
        for timeout in [1, 2_000] {
            let began = world.now();
            let error = client.get("key").timeout(millis(timeout)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut(Phase::Answer));
            let took = world.now().saturating_since(began);
            // The task of its connection is asked to read, and does not, either.
            assert_eq!(took, millis(timeout) + millis(1_000));
        }
        let first = pin!(&mut first).await.unwrap_err();
        assert_eq!(first.kind(), ErrorKind::TimedOut(Phase::Answer));
        host.set_paused(false);
        client.get("key").await.unwrap();
    })
    .unwrap();
}

// Closing is not left to the tasks of the client: they may not run.
#[test]
fn a_call_ends_when_its_client_is_closed_though_its_runtime_stands_still() {
    run(5, |world| async move {
        let (_etcd, host, client) = scene(&world, |config| config).await;
        host.set_paused(true);
        let write = begun!(client.put("key", "v"));
        world.sleep(millis(10)).await;
        let at = world.now();
        let closing = begun!(client.close());
        let error = write.await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Closed, Outcome::Unknown));
        assert_eq!(world.now(), at, "at once");
        host.set_paused(false);
        closing.await;
    })
    .unwrap();
}
