//! The connections that leases have of their own: made when they are used, and closed with those
//! of calls.
#![allow(clippy::unwrap_used)]

use etcd3::proto::etcdserverpb as pb;
use etcd3::runtime::{BoxFuture, Instant, Io, Runtime, Target};
use etcd3::{Client, Config, EndpointState, ErrorKind, RawStream, StreamEvent};
use etcd3_core::{frame, method};
use etcd3_sim::{ClusterConfig, Etcd, Host, Personality, SimRuntime, World, run};
use prost::Message;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn cluster(world: &World, members: usize) -> Etcd {
    let mut config = ClusterConfig::new(members, Personality::of(3, 5, 30), world.seed());
    for (n, member) in config.members.iter_mut().enumerate() {
        member.client_urls = vec![format!("http://etcd-{n}:2379")];
    }
    world.etcd(config)
}

/// A client that has made one call.
async fn scene(world: &World) -> (Etcd, Host, Client) {
    let etcd = cluster(world, 1);
    let host = world.host();
    let client = host.client(Config::new(etcd.endpoints())).unwrap();
    client.put("key", "value").await.unwrap();
    (etcd, host, client)
}

async fn opened(stream: &mut RawStream) {
    let event = stream.next().await.unwrap().unwrap();
    assert!(matches!(event, StreamEvent::Opened), "{event:?}");
}

/// Renews a lease that there is not; returns which member answered.
async fn renew(stream: &mut RawStream) -> u64 {
    let renewal = pb::LeaseKeepAliveRequest { id: 7 };
    stream.send(frame::encode(&renewal, 1 << 20).unwrap());
    match stream.next().await.unwrap().unwrap() {
        StreamEvent::Message(message) => {
            let response = pb::LeaseKeepAliveResponse::decode(message).unwrap();
            assert_eq!((response.id, response.ttl), (7, 0), "there is no such lease");
            response.header.unwrap().member_id
        }
        StreamEvent::Opened => panic!("it was opened again"),
    }
}

/// Opens a stream that has renewed once.
async fn renewing(client: &Client) -> (RawStream, u64) {
    let mut stream = client.raw_lease_stream(&method::LEASE_KEEP_ALIVE);
    opened(&mut stream).await;
    let member = renew(&mut stream).await;
    (stream, member)
}

// Renewals do not queue behind bulk data (case 15).
#[test]
fn leases_have_connections_of_their_own_once_they_are_used() {
    run(1, |world| async move {
        let (_etcd, host, client) = scene(&world).await;
        world.sleep(60 * SECOND).await;
        assert_eq!(host.connections(), 1, "no lease, no connection for it");
        let tasks = host.tasks();
        let (mut stream, _) = renewing(&client).await;
        assert_eq!(host.connections(), 2);
        // Its control task, the one of the connection, and that of the stream.
        assert_eq!(host.tasks(), tasks + 3);
        let endpoints = client.health().endpoints;
        assert_eq!((endpoints.len(), endpoints[0].streams), (1, 0), "that of calls is told");
        let (_other, _) = renewing(&client).await;
        renew(&mut stream).await;
        assert_eq!(host.connections(), 2, "one for all leases");
        let (_clone, _) = renewing(&client.clone()).await;
        assert_eq!(host.connections(), 2, "one for all clones");
    })
    .unwrap();
}

#[test]
fn closing_closes_the_connections_of_leases_and_waits_for_their_tasks() {
    run(1, |world| async move {
        let (_etcd, host, client) = scene(&world).await;
        let (mut stream, _) = renewing(&client).await;
        client.close().await;
        assert_eq!(host.tasks(), 0);
        world.sleep(SECOND).await;
        assert_eq!(host.connections(), 0);
        let error = stream.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
    })
    .unwrap();
}

#[test]
fn a_client_that_is_closed_makes_no_connection_for_leases() {
    run(1, |world| async move {
        let (_etcd, host, client) = scene(&world).await;
        client.close().await;
        let mut stream = client.raw_lease_stream(&method::LEASE_KEEP_ALIVE);
        let error = stream.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
        world.sleep(SECOND).await;
        assert_eq!((host.tasks(), host.connections()), (0, 0));
    })
    .unwrap();
}

#[test]
fn the_last_clone_takes_the_connections_of_leases_with_it() {
    run(1, |world| async move {
        let (_etcd, host, client) = scene(&world).await;
        let (stream, _) = renewing(&client).await;
        drop(client);
        world.sleep(SECOND).await;
        assert_eq!((host.tasks(), host.connections()), (0, 0));
        drop(stream);
    })
    .unwrap();
}

// Leases and calls are used, and closed, at the same time, in every order that seeds draw.
#[test]
fn no_order_of_first_use_and_close_leaves_anything() {
    for seed in 0..50 {
        run(seed, |world| async move {
            let (_etcd, host, client) = scene(&world).await;
            let (renews, delay) = (client.clone(), Duration::from_micros(world.below(400)));
            let rt = Arc::clone(client.runtime());
            let ended = Arc::new(AtomicUsize::new(0));
            let [a, b] = [(); 2].map(|()| Arc::clone(&ended));
            // On a host of their own: what they leave is that of the client.
            let programs = world.host();
            programs.spawn(async move {
                let mut stream = renews.raw_lease_stream(&method::LEASE_KEEP_ALIVE);
                while let Some(Ok(_)) = stream.next().await {}
                a.fetch_add(1, Ordering::Relaxed);
            });
            programs.spawn(async move {
                rt.sleep_until(rt.now() + delay).await;
                client.close().await;
                b.fetch_add(1, Ordering::Relaxed);
            });
            world.sleep(SECOND).await;
            assert_eq!(ended.load(Ordering::Relaxed), 2);
            assert_eq!((host.tasks(), host.connections()), (0, 0));
        })
        .unwrap();
    }
}

#[test]
fn endpoints_that_are_set_are_those_of_leases_too() {
    run(1, |world| async move {
        let (first, second) = (cluster(&world, 1), world.host());
        let other = world.etcd(ClusterConfig::new(1, Personality::of(3, 5, 30), world.seed() + 1));
        let (here, there) = (first.address(0).to_string(), other.address(0).to_string());
        let client = second.client(Config::new([here])).unwrap();
        let (mut stream, before) = renewing(&client).await;
        client.set_endpoints([there]).unwrap();
        opened(&mut stream).await;
        let after = renew(&mut stream).await;
        assert_ne!(before, after);
    })
    .unwrap();
}

#[test]
fn members_that_the_cluster_names_are_those_of_leases_too() {
    run(1, |world| async move {
        let etcd = cluster(&world, 3);
        world.net().name("seed", [etcd.address(0)]);
        let client = world.host().client(Config::new(["http://seed:2379"])).unwrap();
        let (mut stream, _) = renewing(&client).await;
        client.sync_endpoints().await.unwrap();
        etcd.kill(0);
        opened(&mut stream).await;
        renew(&mut stream).await;
        let (_other, _) = renewing(&client).await;
    })
    .unwrap();
}

// The endpoint of a pinned client has another number among the connections of leases.
#[test]
fn leases_of_a_pinned_client_go_to_its_endpoint_as_long_as_it_lives() {
    run(1, |world| async move {
        let etcd = cluster(&world, 3);
        let host = world.host();
        let client = host.client(Config::new(&etcd.endpoints()[..1])).unwrap();
        client.put("key", "value").await.unwrap();
        let mut members = Vec::new();
        for endpoint in etcd.endpoints() {
            let pinned = client.pinned_to(endpoint).unwrap();
            let status = pinned.rpc(pb::StatusRequest {}).await.unwrap();
            let (stream, member) = renewing(&pinned).await;
            assert_eq!(member, status.header.unwrap().member_id);
            drop(stream);
            // The first one is the endpoint of all calls.
            members.push(member);
            let (_clone, again) = renewing(&pinned.clone()).await;
            assert_eq!(again, member);
        }
        members.dedup();
        assert_eq!(members.len(), 3);
        world.sleep(60 * SECOND).await;
        assert_eq!(host.connections(), 2, "one for calls, and one for leases");
    })
    .unwrap();
}

#[test]
fn health_is_that_of_the_connections_of_calls() {
    run(1, |world| async move {
        let (etcd, _host, client) = scene(&world).await;
        let (_stream, _) = renewing(&client).await;
        assert_eq!(client.health().endpoints[0].state, EndpointState::Ready);
        assert_eq!(client.endpoints(), etcd.endpoints());
        assert_eq!(client.health().endpoints[0].streams, 0);
    })
    .unwrap();
}

/// A task that anybody may drop.
type Droppable = Arc<Mutex<Option<BoxFuture<'static, ()>>>>;

/// A runtime that drops tasks when it is told so, as one does that is shut down.
struct Ending {
    inner: SimRuntime,
    tasks: Mutex<Vec<Droppable>>,
}

impl Ending {
    /// Drops the task that was spawned as number `n`.
    fn drop_task(&self, n: usize) {
        let task = Arc::clone(&self.tasks.lock().unwrap()[n]);
        let task = task.lock().unwrap().take();
        drop(task);
    }
}

impl Runtime for Ending {
    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn seed(&self) -> u64 {
        self.inner.seed()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        self.inner.sleep_until(at)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let task = Arc::new(Mutex::new(Some(task)));
        self.tasks.lock().unwrap().push(Arc::clone(&task));
        self.inner.spawn(Box::pin(std::future::poll_fn(move |cx| {
            // Not held while it is polled: it may spawn others, or be dropped.
            let Some(mut it) = task.lock().unwrap().take() else {
                return std::task::Poll::Ready(());
            };
            let polled = it.as_mut().poll(cx);
            if polled.is_pending() {
                *task.lock().unwrap() = Some(it);
            }
            polled
        })));
    }

    fn resolve<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        self.inner.resolve(host, port)
    }

    fn connect<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, io::Result<Box<dyn Io>>> {
        self.inner.connect(target)
    }

    fn suspended(&self) -> Duration {
        self.inner.suspended()
    }

    fn unix_time(&self) -> Option<Duration> {
        self.inner.unix_time()
    }
}

#[test]
fn a_runtime_that_ends_for_one_ends_both() {
    // The control tasks and the connections: of calls, then of leases; the stream is between them.
    for n in 0..5 {
        run(1, |world| async move {
            let etcd = cluster(&world, 1);
            let rt = Arc::new(Ending { inner: world.host().runtime(), tasks: Mutex::default() });
            let client = Client::connect_lazy_on(rt.clone(), Config::new(etcd.endpoints()));
            let client = client.unwrap();
            client.put("key", "value").await.unwrap();
            let (mut stream, _) = renewing(&client).await;
            assert_eq!(rt.tasks.lock().unwrap().len(), 5);
            rt.drop_task(n);
            assert!(client.is_closed());
            let error = client.get("key").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::RuntimeEnded, "task {n}");
            // The stream itself was dropped, or ended for the same reason.
            let end = stream.next().await.unwrap().unwrap_err();
            assert_eq!(end.kind(), ErrorKind::RuntimeEnded, "task {n}");
        })
        .unwrap();
    }
}
