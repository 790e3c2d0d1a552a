//! The whole client, in virtual time, before a peer that says anything (I-X1, I-X3, I-R1, I-R2).

use arbitrary::Arbitrary;
use etcd3_sim::etcd3::runtime::{Instant, Io};
use etcd3_sim::etcd3::{Client, Config, Error, Outcome};
use etcd3_sim::{World, run};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What the peer says on one connection after the other; the last one serves for all to come.
#[derive(Debug, Arbitrary)]
struct Input {
    seed: u64,
    calls: Vec<bool>,
    connections: Vec<Vec<Say>>,
}

#[derive(Debug, Arbitrary)]
enum Say {
    /// Nothing, until a request came whole; its stream is the one that others mean from now on.
    AwaitRequest,
    Settings(Vec<(u8, u32)>),
    Frame {
        kind: u8,
        flags: u8,
        stream: Stream,
        payload: Vec<u8>,
    },
    Respond,
    Answer,
    Trailers(u8),
    Reset(u8),
    GoAway {
        last: Stream,
        code: u8,
    },
    WindowUpdate(Stream, u32),
    Raw(Vec<u8>),
    Repeat(u8, Vec<u8>),
    Wait(u16),
    HangUp,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Stream {
    Connection,
    Current,
    Other(u8),
}

const TIMEOUT: Duration = Duration::from_secs(3);
const CALLS: usize = 6;
const ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 2379);

/// What the peer knows of the writes.
#[derive(Debug, Default)]
struct Seen {
    /// The keys of requests that came whole.
    whole: BTreeSet<u8>,
    /// Whether it may have said of some that it had not looked at them.
    has_disowned: bool,
}

/// Every call ends at its deadline at the latest, and no write is said not to have been sent that
/// the peer has seen whole and did not disown.
pub fn h2_hostile(data: &[u8]) {
    let Some(mut input) = crate::input::<Input>(data) else { return };
    input.calls.truncate(CALLS);
    let ended = run(input.seed, |world| play(world, input));
    ended.expect("the world goes on").0.expect("a client");
}

async fn play(world: World, input: Input) -> Result<(), Error> {
    let seen = Arc::<Mutex<Seen>>::default();
    let server = world.host();
    let listener = world.listen(ADDRESS);
    let (host, place, tally) = (server.clone(), world.clone(), Arc::clone(&seen));
    let scripts: Vec<_> = input.connections.into_iter().map(Arc::new).collect();
    server.spawn(async move {
        for number in 0.. {
            let io = listener.accept().await;
            let Some(script) = scripts.get(number).or(scripts.last()).cloned() else { continue };
            let peer = Peer { io, world: place.clone(), seen: Arc::clone(&tally), current: 1 };
            // However the connection ends is fine.
            host.spawn(async move { drop(peer.follow(&script).await) });
        }
    });
    let client = world.host().client(Config::new([format!("http://{ADDRESS}")]))?;
    for (key, is_write) in (b'a'..).zip(input.calls) {
        call(&world, &client, key, is_write, &seen).await;
    }
    client.close().await;
    Ok(())
}

async fn call(world: &World, client: &Client, key: u8, is_write: bool, seen: &Mutex<Seen>) {
    let deadline = world.now() + TIMEOUT;
    let error = if is_write {
        client.put([key], "v").timeout(TIMEOUT).await.err()
    } else {
        client.get([key]).timeout(TIMEOUT).await.err()
    };
    assert_ended(world.now(), deadline);
    let Some(error) = error else { return };
    assert!(!error.to_string().contains('\n'), "{error}");
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    // A read that was not sent may have been, at an earlier attempt: that is no harm.
    let may_be_applied = is_write && seen.whole.contains(&key) && !seen.has_disowned;
    assert!(!may_be_applied || error.outcome() != Outcome::NotSent, "I-R2: {error}");
}

fn assert_ended(now: Instant, deadline: Instant) {
    assert!(now <= deadline + Duration::from_millis(1), "I-R4: over its deadline");
}

struct Peer {
    io: Box<dyn Io>,
    world: World,
    seen: Arc<Mutex<Seen>>,
    current: u32,
}

impl Peer {
    async fn follow(mut self, script: &[Say]) -> std::io::Result<()> {
        self.io.read_exact(&mut [0; 24]).await?;
        for say in script {
            if matches!(say, Say::HangUp) {
                return Ok(());
            }
            self.say(say).await?;
        }
        loop {
            self.hear().await?;
        }
    }

    async fn say(&mut self, say: &Say) -> std::io::Result<()> {
        const HEAD: &[u8] = b"\x88\x0f\x10\x10application/grpc";
        let current = self.current;
        let bytes = match say {
            Say::HangUp => return Ok(()),
            Say::AwaitRequest => {
                while !self.hear().await? {}
                return Ok(());
            }
            Say::Wait(ms) => {
                self.world.sleep(Duration::from_millis(u64::from(*ms % 1000))).await;
                return Ok(());
            }
            Say::Settings(pairs) => {
                let pair = |(id, value): &(u8, u32)| {
                    [&u16::from(*id % 10).to_be_bytes()[..], &value.to_be_bytes()].concat()
                };
                frame(4, 0, 0, &pairs.iter().take(20).flat_map(pair).collect::<Vec<_>>())
            }
            Say::Frame { kind, flags, stream, payload } => {
                if matches!(kind % 10, 3 | 7) {
                    self.disown();
                }
                frame(kind % 10, *flags, self.number(*stream), payload)
            }
            Say::Respond => frame(1, 4, current, HEAD),
            Say::Answer => {
                let message = [0, 0, 0, 0, 4, 0x0a, 2, 0x18, 2];
                [frame(1, 4, current, HEAD), frame(0, 0, current, &message)].concat()
            }
            Say::Trailers(status) => {
                let digits = status.to_string();
                let length = u8::try_from(digits.len()).unwrap_or_default();
                let block = [b"\0\x0bgrpc-status", &[length][..], digits.as_bytes()].concat();
                frame(1, 5, current, &block)
            }
            Say::Reset(code) => {
                self.disown();
                frame(3, 0, current, &u32::from(*code % 16).to_be_bytes())
            }
            Say::GoAway { last, code } => {
                self.disown();
                let (last, code) = (self.number(*last), u32::from(*code % 16));
                frame(7, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
            }
            Say::WindowUpdate(stream, by) => frame(8, 0, self.number(*stream), &by.to_be_bytes()),
            Say::Raw(bytes) => {
                // They may say anything.
                self.disown();
                bytes.clone()
            }
            Say::Repeat(times, bytes) => {
                self.disown();
                bytes.repeat(usize::from(*times))
            }
        };
        self.io.write_all(&bytes).await
    }

    fn number(&self, stream: Stream) -> u32 {
        match stream {
            Stream::Connection => 0,
            Stream::Current => self.current,
            Stream::Other(number) => number.into(),
        }
    }

    /// Notes that nothing can be said any more about the writes so far: with a reset or a GOAWAY
    /// the peer may have told the client that it looked at none of them.
    fn disown(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.has_disowned = true;
    }

    /// Reads one frame; true when it ended a request.
    async fn hear(&mut self) -> std::io::Result<bool> {
        let mut head = [0; 9];
        self.io.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.io.read_exact(&mut payload).await?;
        let (kind, flags) = (head[3], head[4]);
        if kind == 4 && flags & 1 == 0 {
            self.io.write_all(&frame(4, 1, 0, &[])).await?;
        }
        let is_whole = kind <= 1 && flags & 1 != 0;
        if is_whole {
            self.current = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            // Behind the head of the message, and the tag and the length of its first field; none
            // where windows cut the message up.
            let key = payload.get(7).copied();
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).whole.extend(key);
        }
        Ok(is_whole)
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or_default();
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}
