//! Pages that come by one call (K23, K24): each key once and in order, as it was at one revision,
//! whatever becomes of the call, and in a time that is known.
#![allow(clippy::unwrap_used)]

use etcd3::runtime::Instant;
use etcd3::{
    Client, Config, Error, ErrorKind, GetResponse, Pages, RangeStream, Version, get, prefix, put,
};
use etcd3_sim::{ClusterConfig, Cut, CutLater, Direction, Etcd, Host, Personality, World, run};
use futures_lite::Stream;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const KEYS: usize = 2_000;
const WINDOW: u32 = 16 << 10;
/// Without optimisation only some of the cuts are made.
const STEP: usize = if cfg!(debug_assertions) { 9_999 } else { 499 };

/// A client of members that have `RangeStream`, with many keys.
async fn scene(world: &World, members: usize) -> (Etcd, Host, Client) {
    let config = ClusterConfig::new(members, Personality::of(3, 7, 3), world.seed());
    let etcd = world.etcd(config);
    let host = world.host();
    // The server is held back long before its last key.
    let config = Config::new(etcd.endpoints()).stream_window(WINDOW);
    let client = host.client(config).unwrap();
    for first in (0..KEYS).step_by(100) {
        let puts = (first..first + 100).map(|n| put(format!("k{n:04}"), vec![b'v'; 100]));
        client.txn().then(puts).await.unwrap();
    }
    world.sleep(SECOND).await;
    (etcd, host, client)
}

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await
}

/// Polls once, and nobody is woken by what comes of it.
fn poll_once<S: Stream + Unpin>(stream: &mut S) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    Pin::new(stream).poll_next(&mut cx).is_ready()
}

#[derive(Default)]
struct Read {
    keys: usize,
    is_whole: bool,
}

impl Read {
    fn take(&mut self, page: &GetResponse) {
        assert!(!self.is_whole, "a page after the last one");
        assert_eq!(page.count, (KEYS - self.keys) as u64);
        for kv in &page.kvs {
            assert_eq!((&kv.key[..], kv.version), (format!("k{:04}", self.keys).as_bytes(), 1));
            self.keys += 1;
        }
        self.is_whole = !page.more;
    }

    /// Takes pages in until the stream has begun.
    async fn begin(&mut self, pages: &mut Pages) {
        while self.keys < 300 {
            self.take(&next(pages).await.unwrap().unwrap());
        }
    }

    async fn rest(mut self, mut pages: Pages) {
        while let Some(page) = next(&mut pages).await {
            self.take(&page.unwrap());
        }
        assert!(self.is_whole && self.keys == KEYS, "{} keys", self.keys);
    }
}

/// The member that has the stream.
fn streaming(client: &Client) -> Option<usize> {
    client.health().endpoints.iter().position(|it| it.streams == 1)
}

fn took(world: &World, began: Instant) -> Duration {
    world.now().saturating_since(began)
}

#[test]
fn what_is_left_comes_from_the_member_of_the_first_page() {
    run(1, |world| async move {
        let (_etcd, _host, client) = scene(&world, 3).await;
        let (mut read, mut pages) = (Read::default(), client.pages(prefix("k")));
        read.begin(&mut pages).await;
        assert!(streaming(&client).is_some());
        client.put("k0000", "later").await.unwrap();
        client.put("k9999", "later").await.unwrap();
        read.rest(pages).await;
        assert_eq!(streaming(&client), None, "it is over");
    })
    .unwrap();
}

/// Reads all keys while the connection is cut after so many bytes.
async fn read_across(world: World, cut: Option<CutLater>) -> u64 {
    let (etcd, host, client) = scene(&world, 1).await;
    let made = world.net().connections_made();
    if let Some(cut) = cut {
        assert_eq!(world.net().cut_later(host.id(), etcd.address(0), cut), 1);
    }
    Read::default().rest(client.pages(prefix("k"))).await;
    world.net().connections_made() - made
}

// I-D2: no cut loses a key, or brings one twice.
#[test]
fn every_cut_is_survived() {
    const BYTES: u64 = 250_000;
    let mut cuts = 0;
    for cut in [Cut::Reset, Cut::Fin, Cut::Stall] {
        for bytes in (0..BYTES).step_by(STEP) {
            let cut = Some(CutLater { direction: Direction::Down, bytes, cut });
            cuts += run(4, |world| read_across(world, cut)).unwrap().0;
        }
    }
    let all = 3 * BYTES.div_ceil(STEP as u64);
    assert!(cuts > all * 9 / 10, "{cuts} of {all} cuts hit a stream or a page");
    assert_eq!(run(4, |world| read_across(world, None)).unwrap().0, 0);
}

#[test]
fn a_member_that_dies_or_freezes_is_left_behind() {
    for seed in 0..20 {
        for freezes in [false, true] {
            run(seed, |world| async move {
                let (etcd, _host, client) = scene(&world, 3).await;
                let (mut read, mut pages) = (Read::default(), client.pages(prefix("k")));
                read.begin(&mut pages).await;
                let member = streaming(&client).unwrap();
                if freezes {
                    etcd.pause(member);
                } else {
                    etcd.kill(member);
                }
                let began = world.now();
                read.rest(pages).await;
                // What an attempt waits for, and an election.
                let most = if freezes { 3 * SECOND } else { Duration::ZERO } + 5 * SECOND;
                assert!(took(&world, began) < most, "{:?}", took(&world, began));
            })
            .unwrap();
        }
    }
}

// B1: a connection that its server gives up is left, however long nobody looks.
#[test]
fn a_goaway_is_followed_when_the_next_page_is_wanted() {
    for seed in 0..20 {
        run(seed, |world| async move {
            let (etcd, host, client) = scene(&world, 2).await;
            let (mut read, mut pages) = (Read::default(), client.pages(prefix("k")));
            read.begin(&mut pages).await;
            etcd.go_away(streaming(&client).unwrap());
            world.sleep(SECOND).await;
            read.rest(pages).await;
            world.sleep(SECOND).await;
            assert_eq!(host.connections(), 2, "the old one has ended");
        })
        .unwrap();
    }
}

// Neither the time between pages counts, nor what became of the connection meanwhile.
#[test]
fn a_reader_may_take_hours() {
    for stalls in [false, true] {
        run(1, |world| async move {
            let (etcd, host, client) = scene(&world, 3).await;
            let (mut read, mut pages) = (Read::default(), client.pages(prefix("k")));
            read.begin(&mut pages).await;
            if stalls {
                let member = streaming(&client).unwrap();
                world.net().cut(host.id(), etcd.address(member), Cut::Stall);
            }
            world.sleep(3_600 * SECOND).await;
            read.rest(pages).await;
        })
        .unwrap();
    }
}

// A stream that is waited for and then not polled is taken away, as from any call.
#[test]
fn a_reader_who_stops_waiting_may_come_back() {
    run(1, |world| async move {
        let (etcd, _host, client) = scene(&world, 1).await;
        let (mut read, mut pages) = (Read::default(), client.pages(prefix("k")));
        read.begin(&mut pages).await;
        etcd.pause(0);
        assert!(!poll_once(&mut pages), "all that had come was taken");
        world.sleep(60 * SECOND).await;
        etcd.revive(0);
        assert_eq!(streaming(&client), None, "its part of the window is free");
        read.rest(pages).await;
    })
    .unwrap();
}

// A call that was lost before it brought anything is no reason to do without the next one.
#[test]
fn a_connection_that_breaks_first_does_not_end_the_streams() {
    for cut in [Cut::Reset, Cut::Fin] {
        for seed in 0..20 {
            run(seed, |world| async move {
                let (etcd, host, _client) = scene(&world, 1).await;
                // Pages that are read by themselves have a quarter of that.
                let config = Config::new(etcd.endpoints()).max_response_bytes(256 << 10);
                let client = host.client(config.stream_window(WINDOW)).unwrap();
                let (mut read, mut pages) = (Read::default(), client.pages(prefix("k")));
                read.take(&next(&mut pages).await.unwrap().unwrap());
                world.net().cut(host.id(), etcd.address(0), cut);
                for _ in 0..2 {
                    read.take(&next(&mut pages).await.unwrap().unwrap());
                }
                assert!(!read.is_whole && streaming(&client).is_some());
                read.rest(pages).await;
            })
            .unwrap();
        }
    }
}

// One who came back in time for a page keeps the stream, though nobody was there at its moment.
#[test]
fn a_reader_who_was_late_keeps_the_stream() {
    run(1, |world| async move {
        let (etcd, _host, client) = scene(&world, 1).await;
        let (mut read, mut pages) = (Read::default(), client.pages(prefix("k")));
        read.take(&next(&mut pages).await.unwrap().unwrap());
        etcd.pause(0);
        assert!(!poll_once(&mut pages), "nothing comes");
        etcd.revive(0);
        // Beyond the time for an attempt, and within what an unpolled stream is left for.
        world.sleep(3 * SECOND + SECOND / 4).await;
        read.take(&next(&mut pages).await.unwrap().unwrap());
        world.sleep(60 * SECOND).await;
        assert_eq!(streaming(&client), Some(0));
        let began = world.now();
        read.rest(pages).await;
        assert!(took(&world, began) < SECOND);
    })
    .unwrap();
}

#[test]
fn a_client_that_is_closed_ends_its_pages() {
    run(1, |world| async move {
        let (_etcd, host, client) = scene(&world, 1).await;
        let (mut read, mut pages) = (Read::default(), client.pages(prefix("k")));
        read.begin(&mut pages).await;
        client.close().await;
        let error = next(&mut pages).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
        assert!(next(&mut pages).await.is_none());
        world.sleep(SECOND).await;
        assert_eq!((host.tasks(), host.connections()), (0, 0));
    })
    .unwrap();
}

/// The pieces until the first error, and that.
async fn pieces(mut stream: RangeStream) -> (usize, Option<Error>) {
    let mut keys = 0;
    while let Some(piece) = next(&mut stream).await {
        match piece {
            Ok(piece) => keys += piece.kvs.len(),
            Err(error) => {
                assert!(next(&mut stream).await.is_none());
                return (keys, Some(error));
            }
        }
    }
    (keys, None)
}

// Before the first piece it is repeated as any read is; after that nobody knows how to go on.
#[test]
fn a_stream_of_its_own_is_repeated_until_its_first_piece() {
    run(1, |world| async move {
        let (etcd, host, client) = scene(&world, 1).await;
        for bytes in [0, 200] {
            let cut = CutLater { direction: Direction::Down, bytes, cut: Cut::Reset };
            assert_eq!(world.net().cut_later(host.id(), etcd.address(0), cut), 1);
            let (keys, error) = pieces(client.range_stream(get(prefix("k")))).await;
            assert_eq!((keys, error), (KEYS, None));
        }
        let mut stream = client.range_stream(get(prefix("k")));
        next(&mut stream).await.unwrap().unwrap();
        world.net().cut(host.id(), etcd.address(0), Cut::Reset);
        let (keys, error) = pieces(stream).await;
        let error = error.unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionLost);
        assert!(keys < KEYS && error.is_retryable(), "{keys} keys, {error}");
    })
    .unwrap();
}

// B25, V5: one Status call tells it, or the one that checks the least version.
#[test]
fn the_version_of_a_server_is_asked_for_once() {
    for is_checked in [false, true] {
        run(1, |world| async move {
            let config = ClusterConfig::new(1, Personality::of(3, 5, 30), world.seed());
            let etcd = world.etcd(config);
            let config = Config::new(etcd.endpoints());
            let config = if is_checked { config.min_server_version((3, 4)) } else { config };
            let runtime = Arc::new(world.host().runtime());
            let client = Client::connect_on(runtime, config).await.unwrap();
            let needs = Version::new(3, 7);
            let kind = ErrorKind::Unsupported { needs, has: Some(Version::new(3, 5)) };
            for attempts in [u32::from(!is_checked), 0] {
                let (keys, error) = pieces(client.range_stream(get("k"))).await;
                let error = error.unwrap();
                assert_eq!((keys, error.kind(), error.attempts()), (0, kind, attempts));
                assert_eq!(error.endpoint(), Some(&*etcd.endpoints()[0]));
            }
            // Another process may be of another version.
            etcd.kill(0);
            world.sleep(SECOND).await;
            etcd.revive(0);
            client.get("k").await.unwrap();
            let (_, error) = pieces(client.range_stream(get("k"))).await;
            let error = error.unwrap();
            assert_eq!((error.kind(), error.attempts()), (kind, 1), "it is asked anew");
        })
        .unwrap();
    }
}

#[test]
fn a_piece_has_a_time_limit() {
    run(1, |world| async move {
        let (etcd, _host, client) = scene(&world, 1).await;
        let mut stream = client.range_stream(get(prefix("k"))).timeout(2 * SECOND);
        next(&mut stream).await.unwrap().unwrap();
        world.sleep(60 * SECOND).await;
        etcd.pause(0);
        let (_, error) = {
            let began = world.now();
            let end = pieces(stream).await;
            assert!(took(&world, began) >= 2 * SECOND && took(&world, began) < 4 * SECOND);
            end
        };
        let error = error.unwrap();
        assert!(matches!(error.kind(), ErrorKind::TimedOut(_)), "{error}");
    })
    .unwrap();
}
