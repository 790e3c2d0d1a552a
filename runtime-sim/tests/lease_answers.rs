//! Leases at a scripted server: answers that come late, never, in another order, or to nobody, and
//! one lease that must not be renewed among many.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

use bytes::{BufMut, Bytes, BytesMut};
use etcd3::proto::etcdserverpb as pb;
use etcd3::runtime::{Instant, Runtime};
use etcd3::{Client, Code, Config, Lease, LeaseId, LeaseStatus, LossReason};
use etcd3_sim::{Host, World, run};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request};
use prost::Message;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const ADDRESS: &str = "10.7.7.7:2379";
/// The size of the head of a gRPC frame.
const HEAD: usize = 5;

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// What the server does next on a stream of renewals.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Answers for a lease, with a time to live in seconds.
    Answer(i64, i64),
    /// Lets time pass.
    Wait(Duration),
    /// Ends the stream with a status.
    End(Code),
}

/// What the server makes of a request for a lease, the so-manyth one for it.
type Script = Box<dyn FnMut(i64, u32) -> Vec<Step> + Send>;

/// A server that grants everything, and renews by a script.
#[derive(Clone)]
struct Server {
    world: World,
    host: Host,
    state: Arc<Mutex<State>>,
}

struct State {
    script: Script,
    /// The time to live of each lease, in seconds.
    granted: BTreeMap<i64, i64>,
    /// How many requests came for each.
    asked: BTreeMap<i64, u32>,
    /// When the last request for each came.
    last: BTreeMap<i64, Instant>,
    streams: u32,
    /// How many were asked for by `TimeToLive`, and whether it says that they live.
    looked_up: u32,
    lives: bool,
}

impl Server {
    fn new(world: &World, script: impl FnMut(i64, u32) -> Vec<Step> + Send + 'static) -> Self {
        let state = State {
            script: Box::new(script),
            granted: BTreeMap::new(),
            asked: BTreeMap::new(),
            last: BTreeMap::new(),
            streams: 0,
            looked_up: 0,
            lives: true,
        };
        let state = Arc::new(Mutex::new(state));
        let server = Self { world: world.clone(), host: world.host(), state };
        let listener = world.listen(ADDRESS.parse().unwrap());
        let accepting = server.clone();
        server.host.spawn(async move {
            loop {
                let stream = listener.accept().await;
                let server = accepting.clone();
                accepting.host.spawn(async move {
                    let mut builder = h2::server::Builder::new();
                    // Their expiry would read the clock of the machine.
                    builder.max_concurrent_reset_streams(0).max_local_error_reset_streams(None);
                    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else {
                        return;
                    };
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        let one = server.clone();
                        server.host.spawn(async move {
                            // A client that goes away is no news.
                            let _ = one.serve(request, respond).await;
                        });
                    }
                });
            }
        });
        server
    }

    fn client(&self) -> (Host, Client) {
        let host = self.world.host();
        let client = host.client(Config::new([format!("http://{ADDRESS}")])).unwrap();
        (host, client)
    }

    async fn serve(
        &self,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) -> Result<(), h2::Error> {
        let path = request.uri().path().to_owned();
        let mut messages = Messages { body: request.into_body(), buffer: BytesMut::new() };
        let mut head = http::Response::new(());
        let grpc = HeaderValue::from_static("application/grpc");
        head.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
        let mut send = respond.send_response(head, false)?;
        let code = match path.rsplit('/').next().unwrap() {
            "LeaseGrant" => {
                let asked: pb::LeaseGrantRequest = messages.next().await?.unwrap();
                self.state.lock().unwrap().granted.insert(asked.id, asked.ttl);
                let ttl = asked.ttl;
                let answer = pb::LeaseGrantResponse { id: asked.id, ttl, ..Default::default() };
                send.send_data(frame(&answer), false)?;
                Code::Ok
            }
            "LeaseTimeToLive" => {
                let asked: pb::LeaseTimeToLiveRequest = messages.next().await?.unwrap();
                let mut state = self.state.lock().unwrap();
                state.looked_up += 1;
                let ttl = if state.lives { 1 } else { -1 };
                drop(state);
                let id = asked.id;
                let answer = pb::LeaseTimeToLiveResponse { id, ttl, ..Default::default() };
                send.send_data(frame(&answer), false)?;
                Code::Ok
            }
            "LeaseKeepAlive" => self.renew(&mut messages, &mut send).await?,
            _ => Code::Unimplemented,
        };
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from(u16::from(code.number())));
        if code == Code::PermissionDenied {
            let text = HeaderValue::from_static("etcdserver: permission denied");
            trailers.insert("grpc-message", text);
        }
        send.send_trailers(trailers)
    }

    async fn renew(
        &self,
        messages: &mut Messages,
        send: &mut SendStream<Bytes>,
    ) -> Result<Code, h2::Error> {
        self.state.lock().unwrap().streams += 1;
        while let Some(pb::LeaseKeepAliveRequest { id }) = messages.next().await? {
            let steps = {
                let mut state = self.state.lock().unwrap();
                let count = state.asked.entry(id).or_default();
                *count += 1;
                let count = *count;
                state.last.insert(id, self.world.now());
                (state.script)(id, count)
            };
            for step in steps {
                match step {
                    Step::Wait(time) => self.world.sleep(time).await,
                    Step::End(code) => return Ok(code),
                    Step::Answer(id, ttl) => {
                        let header = None;
                        let answer = pb::LeaseKeepAliveResponse { header, id, ttl };
                        send.send_data(frame(&answer), false)?;
                    }
                }
            }
        }
        Ok(Code::Ok)
    }

    fn asked(&self, id: LeaseId) -> u32 {
        self.state.lock().unwrap().asked.get(&id.0).copied().unwrap_or_default()
    }

    /// Checks that a lease is not claimed for longer than the server keeps it, which renews it with
    /// every request that arrives.
    fn assert_safe(&self, host: &Host, lease: &Lease) {
        let state = self.state.lock().unwrap();
        let Some(last) = state.last.get(&lease.id().0) else { return };
        let expiry = *last + seconds(u64::try_from(state.granted[&lease.id().0]).unwrap());
        let left = lease.valid_until().saturating_since(host.runtime().now());
        assert!(!lease.is_valid() || self.world.now() + left <= expiry, "{left:?}, {expiry:?}");
    }
}

/// The messages of a request.
struct Messages {
    body: RecvStream,
    buffer: BytesMut,
}

impl Messages {
    async fn next<T: Message + Default>(&mut self) -> Result<Option<T>, h2::Error> {
        loop {
            if let Some(head) = self.buffer.first_chunk::<HEAD>() {
                let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
                let end = HEAD + usize::try_from(length).unwrap();
                if self.buffer.len() >= end {
                    let message = self.buffer.split_to(end).split_off(HEAD);
                    return Ok(Some(T::decode(message).unwrap()));
                }
            }
            let Some(chunk) = poll_fn(|cx| self.body.poll_data(cx)).await else { return Ok(None) };
            let chunk = chunk?;
            self.body.flow_control().release_capacity(chunk.len())?;
            self.buffer.extend_from_slice(&chunk);
        }
    }
}

fn frame(message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.encoded_len()).unwrap());
    message.encode(&mut bytes).unwrap();
    bytes.freeze()
}

async fn leases(client: &Client, count: usize, ttl: Duration) -> Vec<Lease> {
    let mut leases = Vec::new();
    for _ in 0..count {
        leases.push(client.lease(ttl).await.unwrap());
    }
    leases
}

// L10: a grpc-proxy answers in order for each lease alone. So many requests are held back, and
// answered the last one first, beside an answer for a lease that nobody asked for.
#[test]
fn answers_may_come_in_another_order_and_for_nobody() {
    for seed in 0..20 {
        run(seed, |world| async move {
            let mut held: Vec<(i64, i64)> = Vec::new();
            let server = Server::new(&world, move |id, _| {
                held.push((id, 9));
                if held.len() < 3 {
                    return Vec::new();
                }
                held.push((77, 9));
                held.drain(..).rev().map(|(id, ttl)| Step::Answer(id, ttl)).collect()
            });
            let (host, client) = server.client();
            let leases = leases(&client, 12, seconds(9)).await;
            for _ in 0..600 {
                world.sleep(Duration::from_millis(100)).await;
                for lease in &leases {
                    server.assert_safe(&host, lease);
                }
                assert!(leases.iter().all(Lease::is_valid), "{leases:?}");
            }
            // What waits for another one to come is asked for again.
            let most = leases.iter().map(|lease| server.asked(lease.id())).max().unwrap();
            assert!(most <= 2 * 23, "{most}");
        })
        .unwrap();
    }
}

// L-08: some requests are never answered, others after up to a third of the time to live.
#[test]
fn answers_may_be_late_or_lost() {
    for seed in 0..20 {
        run(seed, |world| async move {
            let draw = world.clone();
            let server = Server::new(&world, move |id, _| match draw.below(4) {
                0 => Vec::new(),
                1 => {
                    let late = Duration::from_millis(draw.below(4_000));
                    vec![Step::Wait(late), Step::Answer(id, 12)]
                }
                _ => vec![Step::Answer(id, 12)],
            });
            let (host, client) = server.client();
            let leases = leases(&client, 5, seconds(12)).await;
            for _ in 0..1_200 {
                world.sleep(Duration::from_millis(100)).await;
                for lease in &leases {
                    server.assert_safe(&host, lease);
                }
                assert!(leases.iter().all(Lease::is_valid), "{leases:?}");
            }
        })
        .unwrap();
    }
}

// L-12, etcd#13932, I-L4: a member that lags does not know the lease yet.
#[test]
fn a_new_lease_that_a_member_does_not_know_is_looked_up() {
    for (unknown, lives) in [(1, true), (3, true), (1, false)] {
        run(1, |world| async move {
            let ttl = move |count| if count <= unknown { 0 } else { 9 };
            let server = Server::new(&world, move |id, count| vec![Step::Answer(id, ttl(count))]);
            server.state.lock().unwrap().lives = lives;
            let (host, client) = server.client();
            let lease = client.lease(seconds(9)).await.unwrap();
            world.sleep(seconds(30)).await;
            server.assert_safe(&host, &lease);
            let looked_up = server.state.lock().unwrap().looked_up;
            if lives {
                assert!(lease.is_valid(), "{lease:?}");
                assert_eq!(looked_up, unknown);
            } else {
                assert_eq!(lease.lost().await.reason, LossReason::Expired);
                assert_eq!((looked_up, server.asked(lease.id())), (1, 1));
            }
        })
        .unwrap();
    }
}

// L-07, L42, I-L5: the stream ends when it is the turn of a lease that the user may not renew.
#[test]
fn a_forbidden_lease_among_a_hundred_starves_no_other() {
    for seed in 0..5 {
        run(seed, |world| async move {
            let forbidden = Arc::new(Mutex::new(0));
            let named = Arc::clone(&forbidden);
            let server = Server::new(&world, move |id, _| {
                let is_forbidden = *named.lock().unwrap() == id;
                vec![if is_forbidden {
                    Step::End(Code::PermissionDenied)
                } else {
                    Step::Answer(id, 9)
                }]
            });
            let (host, client) = server.client();
            let mut leases = leases(&client, 100, seconds(9)).await;
            let bad = leases.remove(usize::try_from(world.below(100)).unwrap());
            *forbidden.lock().unwrap() = bad.id().0;
            let began = world.now();
            let mut lost_at = None;
            for _ in 0..600 {
                world.sleep(Duration::from_millis(50)).await;
                for lease in &leases {
                    server.assert_safe(&host, lease);
                    let status = lease.status();
                    assert!(matches!(status, LeaseStatus::Ok), "{status:?}");
                }
                if !bad.is_valid() {
                    lost_at.get_or_insert(world.now());
                }
            }
            // At its deadline, not with the first refusal.
            let took = lost_at.unwrap().saturating_since(began);
            assert!(took >= seconds(8) && took <= Duration::from_millis(9_100), "{took:?}");
            let lost = bad.lost().await;
            assert_eq!(lost.reason, LossReason::PermissionDenied);
            assert!(lost.cause.unwrap().is_permission_denied());
            // Calls of its own, and no storm of streams.
            let asked = server.asked(bad.id());
            let streams = server.state.lock().unwrap().streams;
            assert!(streams <= 20 && asked <= 20, "{streams} streams, {asked} requests");
        })
        .unwrap();
    }
}
