//! A stream that stays open beside calls: what it costs them, and where it goes.
#![allow(clippy::unwrap_used)]

use etcd3::proto::etcdserverpb as pb;
use etcd3::proto::etcdserverpb::watch_request::RequestUnion;
use etcd3::{Bytes, Client, Config, EndpointState, ErrorKind, RawStream, StreamEvent};
use etcd3_core::{frame, method};
use etcd3_sim::{ClusterConfig, Etcd, Host, Personality, World, run};
use prost::Message;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
/// A hundred calls a second.
const PAUSE: Duration = Duration::from_millis(10);

/// A client of two members, both connected.
async fn scene(world: &World) -> (Etcd, Host, Client) {
    let etcd = world.etcd(ClusterConfig::new(2, Personality::of(3, 5, 30), world.seed()));
    let host = world.host();
    let client = host.client(Config::new(etcd.endpoints())).unwrap();
    client.put("key", "value").await.unwrap();
    world.sleep(Duration::from_secs(1)).await;
    (etcd, host, client)
}

/// A frame that asks for the events of a key.
fn watch(key: &str) -> Bytes {
    let create = pb::WatchCreateRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        ..Default::default()
    };
    let request = pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    frame::encode(&request, 1 << 20).unwrap()
}

async fn opened(stream: &mut RawStream) {
    let event = stream.next().await.unwrap().unwrap();
    assert!(matches!(event, StreamEvent::Opened), "{event:?}");
}

async fn received(stream: &mut RawStream) -> pb::WatchResponse {
    match stream.next().await.unwrap().unwrap() {
        StreamEvent::Message(message) => pb::WatchResponse::decode(message).unwrap(),
        StreamEvent::Opened => panic!("it was opened again"),
    }
}

/// Opens a stream with one watch.
async fn watching(client: &Client) -> RawStream {
    let mut stream = client.raw_stream(&method::WATCH);
    opened(&mut stream).await;
    stream.send(watch("watched"));
    assert!(received(&mut stream).await.created);
    stream
}

/// How many calls and streams there are at each endpoint, all of which are well.
fn open(client: &Client) -> Vec<(u32, u32)> {
    let health = client.health();
    let states = health.endpoints.iter().map(|it| it.state);
    assert!(states.clone().all(|state| state == EndpointState::Ready), "{health:?}");
    health.endpoints.iter().map(|it| (it.calls, it.streams)).collect()
}

/// Makes a hundred calls a second for a minute; returns how often tasks were polled.
async fn busy_minute(world: &World, client: &Client) -> u64 {
    let (before, begin) = (world.stats().steps, world.now());
    while world.now().saturating_since(begin) < MINUTE {
        client.get("key").await.unwrap();
        open(client);
        world.sleep(PAUSE).await;
    }
    world.stats().steps - before
}

// I-C6: an idle stream is no call that waits: no suspect, no probe, and no yield of the calls
// beside it.
#[test]
fn an_idle_stream_costs_calls_nothing() {
    run(1, |world| async move {
        let (_etcd, _host, client) = scene(&world).await;
        let alone = busy_minute(&world, &client).await;
        let mut stream = watching(&client).await;
        let beside = busy_minute(&world, &client).await;
        // A PING every ten seconds without a byte, at most, is all that a stream may add.
        assert!(beside <= alone + alone / 100, "{alone} steps alone, {beside} beside a stream");
        client.put("watched", "1").await.unwrap();
        assert_eq!(received(&mut stream).await.events.len(), 1);
    })
    .unwrap();
}

// Nobody but the stream is there: it is pinged, and stays where it is.
#[test]
fn an_idle_stream_stays_open() {
    run(1, |world| async move {
        let (_etcd, _host, client) = scene(&world).await;
        let mut stream = watching(&client).await;
        world.sleep(MINUTE * 60).await;
        assert_eq!(open(&client).iter().map(|(_, streams)| streams).sum::<u32>(), 1);
        client.put("watched", "1").await.unwrap();
        assert_eq!(received(&mut stream).await.events.len(), 1);
    })
    .unwrap();
}

#[test]
fn streams_are_spread_over_the_endpoints() {
    run(1, |world| async move {
        let (_etcd, _host, client) = scene(&world).await;
        let mut streams = Vec::new();
        for _ in 0..10 {
            streams.push(watching(&client).await);
        }
        assert_eq!(open(&client), [(0, 5), (0, 5)]);
        drop(streams);
        world.sleep(Duration::from_secs(1)).await;
        assert_eq!(open(&client), [(0, 0), (0, 0)], "whoever drops a stream ends it");
    })
    .unwrap();
}

// B1: a connection that its server gives up is left by its stream, and then ends.
#[test]
fn a_stream_migrates_at_goaway() {
    for seed in 0..20 {
        run(seed, |world| async move {
            let (etcd, host, client) = scene(&world).await;
            let mut stream = watching(&client).await;
            for _ in 0..4 {
                let at = open(&client).iter().position(|(_, streams)| *streams == 1).unwrap();
                etcd.go_away(at);
                let began = world.now();
                opened(&mut stream).await;
                let took = world.now().saturating_since(began);
                assert!(took < Duration::from_millis(500), "{took:?}");
                stream.send(watch("watched"));
                assert!(received(&mut stream).await.created);
                world.sleep(Duration::from_secs(1)).await;
                assert_eq!(host.connections(), 2, "the old one has ended");
            }
        })
        .unwrap();
    }
}

// As does one to a member that is not listed any more.
#[test]
fn a_stream_leaves_an_endpoint_that_is_removed() {
    run(1, |world| async move {
        let (etcd, host, client) = scene(&world).await;
        let mut stream = watching(&client).await;
        let at = open(&client).iter().position(|(_, streams)| *streams == 1).unwrap();
        let other = etcd.endpoints().swap_remove(1 - at);
        client.set_endpoints([other]).unwrap();
        opened(&mut stream).await;
        world.sleep(Duration::from_secs(1)).await;
        assert_eq!((open(&client), host.connections()), (vec![(0, 1)], 1));
    })
    .unwrap();
}

// It is opened again elsewhere when its member is gone.
#[test]
fn a_stream_is_opened_again_when_it_is_lost() {
    for seed in 0..20 {
        run(seed, |world| async move {
            let etcd = world.etcd(ClusterConfig::new(3, Personality::of(3, 5, 30), seed));
            let client = world.host().client(Config::new(etcd.endpoints())).unwrap();
            client.put("key", "value").await.unwrap();
            world.sleep(Duration::from_secs(1)).await;
            let mut stream = watching(&client).await;
            let at = open(&client).iter().position(|(_, streams)| *streams == 1).unwrap();
            etcd.kill(at);
            opened(&mut stream).await;
            stream.send(watch("watched"));
            assert!(received(&mut stream).await.created);
        })
        .unwrap();
    }
}

#[test]
fn a_stream_ends_when_its_client_does() {
    run(1, |world| async move {
        let (_etcd, host, client) = scene(&world).await;
        let mut streams = [watching(&client).await, client.raw_stream(&method::WATCH)];
        client.close().await;
        for stream in &mut streams {
            let end = loop {
                match stream.next().await {
                    Some(Ok(_)) => {}
                    end => break end,
                }
            };
            let error = end.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Closed);
        }
        assert_eq!(host.tasks(), 0, "close waits for its task");
        world.sleep(Duration::from_secs(1)).await;
        assert_eq!(host.connections(), 0);
    })
    .unwrap();
}

// A half-close ends the request, and its server the response.
#[test]
fn a_stream_that_is_finished_ends_well() {
    run(1, |world| async move {
        let (_etcd, _host, client) = scene(&world).await;
        let mut stream = client.raw_stream(&method::LEASE_KEEP_ALIVE);
        opened(&mut stream).await;
        let renewal = pb::LeaseKeepAliveRequest { id: 7 };
        stream.send(frame::encode(&renewal, 1 << 20).unwrap());
        let StreamEvent::Message(message) = stream.next().await.unwrap().unwrap() else {
            panic!("no message")
        };
        let response = pb::LeaseKeepAliveResponse::decode(message).unwrap();
        assert_eq!((response.id, response.ttl), (7, 0), "there is no such lease");
        stream.finish();
        assert!(stream.next().await.is_none());
    })
    .unwrap();
}
