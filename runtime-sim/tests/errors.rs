//! What errors say: which endpoint, why, and what may have become of the request.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

use etcd3::{Client, Config, ConnectFailure, Error, ErrorKind, Outcome, Phase};
use etcd3_sim::{Etcd, Host, Link, Personality, Reachability, World, run};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWrite;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn cluster(world: &World, members: usize) -> Etcd {
    world.etcd(etcd3_sim::ClusterConfig::new(members, Personality::of(3, 5, 30), world.seed()))
}

async fn connect(host: &Host, config: Config) -> Result<Client, Error> {
    Client::connect_on(Arc::new(host.runtime()), config).await
}

/// A port that nobody listens on, a name that nobody has, and a host that does not answer.
fn broken_in_three_ways(world: &World, host: &Host) -> [String; 3] {
    let etcd = cluster(world, 1);
    let reachability = Reachability::Hang;
    world.net().set_link(host.id(), etcd.address(0), Link { reachability, ..Link::default() });
    ["http://etcd-0:1", "http://nobody:2379", "http://etcd-0:2379"].map(str::to_owned)
}

// A user who configured three endpoints has to know what is wrong with each of them.
#[test]
fn every_endpoint_that_cannot_be_connected_to_is_named() {
    run(1, |world| async move {
        let host = world.host();
        let endpoints = broken_in_three_ways(&world, &host);
        let error = connect(&host, Config::new(endpoints)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect(ConnectFailure::Mixed));
        assert_eq!(
            error.report().to_string(),
            "cannot connect: each endpoint failed in its own way: http://etcd-0:1: cannot connect: \
             the connection failed: 10.0.0.1:1: connection refused; http://nobody:2379: cannot \
             connect: the name cannot be resolved: nobody is called nobody; http://etcd-0:2379: \
             cannot connect: no answer within connect_timeout: 10.0.0.1:2379: no answer"
        );
    })
    .unwrap();
}

#[test]
fn endpoints_that_fail_alike_have_one_kind_and_a_cause_each() {
    run(2, |world| async move {
        let (host, _etcd) = (world.host(), cluster(&world, 3));
        let endpoints = (0..3).map(|member| format!("http://etcd-{member}:1"));
        let error = connect(&host, Config::new(endpoints)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect(ConnectFailure::Refused));
        let report = error.report().to_string();
        for member in 0..3 {
            assert!(
                report.contains(&format!("http://etcd-{member}:1: cannot connect")),
                "{report}"
            );
        }
        let one = connect(&host, Config::new(["http://etcd-0:1"])).await.unwrap_err();
        assert_eq!(one.endpoint(), Some("http://etcd-0:1"));
        assert_eq!(
            one.report().to_string(),
            "cannot connect: the connection failed: 10.0.0.1:1: connection refused [endpoint: \
             http://etcd-0:1]"
        );
    })
    .unwrap();
}

#[test]
fn an_error_of_many_endpoints_stays_short() {
    run(3, |world| async move {
        let host = world.host();
        let endpoints = (0..20).map(|number| format!("http://nobody-{number}:1"));
        let error = connect(&host, Config::new(endpoints)).await.unwrap_err();
        let report = error.report().to_string();
        assert!(report.ends_with("; and 12 more"), "{report}");
        assert_eq!(report.matches("cannot be resolved").count(), 1 + 8, "{report}");
    })
    .unwrap();
}

// B9, E12: a call that found no connection says what became of each endpoint meanwhile.
#[test]
fn a_call_that_found_no_connection_says_why_for_each_endpoint() {
    run(4, |world| async move {
        let host = world.host();
        let client = host.client(Config::new(broken_in_three_ways(&world, &host))).unwrap();
        let error = client.put("k", "v").timeout(seconds(2)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut(Phase::Connection));
        assert_eq!((error.outcome(), error.attempts()), (Outcome::NotSent, 0));
        let report = error.report().to_string();
        for told in [
            "Put: timed out waiting for a connection: ",
            "http://etcd-0:1: cannot connect: the connection failed: 10.0.0.1:1: connection",
            "http://nobody:2379: cannot connect: the name cannot be resolved",
            "http://etcd-0:2379: it has been connecting for ",
        ] {
            assert!(report.contains(told), "{report}");
        }
        assert!(report.ends_with(" [not sent]"), "{report}");
        // A client of one endpoint is told of that one alone, and not as part of a list.
        let one = client.pinned_to("http://etcd-0:1").unwrap();
        let error = one.put("k", "v").timeout(seconds(2)).await.unwrap_err();
        assert_eq!(
            error.report().to_string(),
            "Put: timed out waiting for a connection: http://etcd-0:1: cannot connect: the \
             connection failed: 10.0.0.1:1: connection refused [not sent]"
        );
    })
    .unwrap();
}

/// How connecting fails to a server that says this first, and hangs up.
fn failure_of(first: &'static [u8]) -> ConnectFailure {
    let ended = run(7, |world| async move {
        let address = "10.7.7.7:2379";
        let listener = world.listen(address.parse().unwrap());
        let server = world.host();
        server.spawn(async move {
            loop {
                let mut stream = listener.accept().await;
                let mut rest = first;
                while !rest.is_empty() {
                    let write = poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, rest));
                    rest = &rest[write.await.unwrap()..];
                }
                let _ = poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx)).await;
            }
        });
        let config = Config::new([format!("http://{address}")]);
        match connect(&world.host(), config).await.unwrap_err().kind() {
            ErrorKind::Connect(failure) => failure,
            other => panic!("{other:?}"),
        }
    });
    ended.unwrap().0
}

// What is there instead of etcd is known by its first bytes.
#[test]
fn a_server_that_is_none_of_http2_is_named() {
    for (first, failure) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], ConnectFailure::PeerSpeaksHttp1),
        (b"\x15\x03\x01\x00\x02\x02\x16", ConnectFailure::PeerSpeaksTls),
        (b"SSH-2.0-OpenSSH_9.2\r\n", ConnectFailure::PeerNotHttp2),
        (b"", ConnectFailure::ClosedByPeer),
    ] {
        assert_eq!(failure_of(first), failure);
    }
}

// What worked a moment ago does not "expect TLS".
#[test]
fn a_connection_that_worked_is_lost_and_was_not_refused() {
    run(5, |world| async move {
        let (host, etcd) = (world.host(), cluster(&world, 1));
        let client = host.client(Config::new(etcd.endpoints())).unwrap();
        client.put("k", "v").await.unwrap();
        // The next dial is not answered, so that there is time to look.
        let reachability = Reachability::Hang;
        world.net().set_link(host.id(), etcd.address(0), Link { reachability, ..Link::default() });
        etcd.kill(0);
        let lost = loop {
            if let Some(error) = client.health().endpoints.remove(0).last_error {
                break error;
            }
            world.sleep(Duration::from_millis(1)).await;
        };
        assert_eq!(lost.kind(), ErrorKind::Connect(ConnectFailure::Lost));
        let report = lost.report().to_string();
        assert!(report.starts_with("not connected: the connection was lost: "), "{report}");
        assert!(!report.contains("TLS"), "{report}");
    })
    .unwrap();
}

// A read may be tried again, and has not been applied.
#[test]
fn a_failed_read_changes_nothing_and_may_be_repeated() {
    run(6, |world| async move {
        let (host, etcd) = (world.host(), cluster(&world, 1));
        let client = host.client(Config::new(etcd.endpoints())).unwrap();
        client.put("k", "v").await.unwrap();
        etcd.pause(0);
        let read = client.get("k").timeout(seconds(2)).await.unwrap_err();
        assert_eq!(
            read.to_string(),
            "Range: timed out waiting for the answer [attempts: 1; endpoint: http://etcd-0:2379]"
        );
        let write = client.put("k", "v").timeout(seconds(2)).await.unwrap_err();
        assert_eq!(
            write.report().to_string(),
            "Put: timed out waiting for the answer: the request was sent 2s ago, and nothing has \
             come back [outcome unknown: it may have been applied; attempts: 1; endpoint: \
             http://etcd-0:2379]"
        );
        assert_eq!((read.is_retryable(), write.is_retryable()), (true, false));
    })
    .unwrap();
}
