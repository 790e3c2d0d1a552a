//! A server that ends its connections by GOAWAY again and again while writes are under way.

use crate::peer::{FrameType, Heard, Peer, Request, Wire};
use crate::{Case, CaseResult, Ctx, case};
use etcd3::{Client, Error};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const PEER: &str = "a scripted peer";

pub(super) const CASES: &[Case] = &[
    case!(goaway_by_age, []).real(PEER).any_version(),
    case!(goaway_in_two_steps, []).real(PEER).any_version(),
    case!(goaway_after_every_request, []).real(PEER).any_version(),
];

const MAX: u32 = (1 << 31) - 1;
const CALLERS: usize = 8;
const CONNECTIONS: usize = 20;
/// The age at which a connection is ended.
const AGE: Duration = Duration::from_millis(150);
/// Ten times of what so many connections of that age take; a backoff after each of them, of 100 ms
/// that double up to 5 s, would be over a minute.
const LIMIT: Duration = Duration::from_secs(30);
/// What a single call may take: its timeout, which is the default, and no more.
const CALL: Duration = Duration::from_secs(15);

/// What a peer has written, by key: how often.
type Applied = Arc<Mutex<BTreeMap<Vec<u8>, u32>>>;

/// Applies a write and acknowledges it.
fn apply(wire: &mut Wire, applied: &Applied, request: &Request) -> io::Result<()> {
    let mut keys = applied.lock().unwrap_or_else(PoisonError::into_inner);
    *keys.entry(request.key().to_vec()).or_default() += 1;
    drop(keys);
    wire.answer(request)
}

/// How a connection is ended on which the last stream has this id.
type Goodbye = fn(&mut Wire, &Applied, u32) -> io::Result<()>;

/// Says GOAWAY once, with the last stream.
fn at_once(wire: &mut Wire, _: &Applied, last: u32) -> io::Result<()> {
    wire.go_away(last, 0, "max_age")?;
    // What comes now is not looked at, which the GOAWAY has told.
    wire.wait_close()
}

/// Says GOAWAY for later, answers what comes until the client must have read it, and says GOAWAY
/// with the last stream.
fn in_two_steps(wire: &mut Wire, applied: &Applied, mut last: u32) -> io::Result<()> {
    wire.go_away(MAX, 0, "graceful_stop")?;
    wire.frame(FrameType::Ping, 0, 0, b"goodbye!")?;
    loop {
        match wire.hear()? {
            Heard::Pong => break,
            Heard::Request(request) => {
                last = request.stream;
                apply(wire, applied, &request)?;
            }
            Heard::Reset | Heard::Data(_) | Heard::Other => {}
        }
    }
    wire.go_away(last, 0, "")?;
    wire.wait_close()
}

/// Answers writes until a connection has this age, and ends it at the next one.
fn serve(wire: &mut Wire, applied: &Applied, age: Duration, goodbye: Goodbye) -> io::Result<()> {
    wire.greet(&[])?;
    let begin = Instant::now();
    loop {
        let request = wire.whole_request()?;
        apply(wire, applied, &request)?;
        if begin.elapsed() >= age {
            return goodbye(wire, applied, request.stream);
        }
    }
}

/// H1, I-R1, I-X1: with connections that end like that every write is acknowledged in time and has
/// been applied exactly once, and the next connection is there at once.
async fn writes(ctx: &Ctx, age: Duration, goodbye: Goodbye) -> CaseResult {
    let applied = Applied::default();
    let keys = Arc::clone(&applied);
    let peer = Peer::start(move |_, mut wire| serve(&mut wire, &keys, age, goodbye))?;
    let client = ctx.connect([peer.url()]).await?;
    let stopped = Arc::<AtomicBool>::default();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (ctx, client, stopped) = (ctx.clone(), client.clone(), Arc::clone(&stopped));
            ctx.clone().spawn(async move { write(&ctx, &client, &stopped, caller).await })
        })
        .collect();
    let enough = || async { peer.accepted() >= CONNECTIONS };
    let reached = ctx.until("the connections", LIMIT, enough).await;
    stopped.store(true, Ordering::Relaxed);
    let mut written = 0;
    for caller in callers {
        written += ctx.within(CALL * 2, caller).await.ok_or("a write hangs")??;
    }
    reached.map_err(|error| format!("{error}: {} came in {LIMIT:?}", peer.accepted()))?;
    let applied = applied.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(applied.len(), written, "acknowledged, and applied");
    let twice: Vec<_> = applied.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    Ok(())
}

/// Writes keys that nobody else writes, each once; returns how many.
async fn write(
    ctx: &Ctx,
    client: &Client,
    stopped: &AtomicBool,
    caller: usize,
) -> Result<usize, Error> {
    let mut written = 0;
    while !stopped.load(Ordering::Relaxed) {
        let begin = ctx.rt.now();
        client.put(format!("{caller}/{written}"), "v").await?;
        let took = ctx.rt.now().saturating_since(begin);
        assert!(took < CALL, "a write took {took:?}");
        written += 1;
    }
    Ok(written)
}

/// As servers of gRPC end connections of a certain age, without the first of the two steps.
async fn goaway_by_age(ctx: Ctx) -> CaseResult {
    writes(&ctx, AGE, at_once).await
}

/// As servers of gRPC and Envoy do it.
async fn goaway_in_two_steps(ctx: Ctx) -> CaseResult {
    writes(&ctx, AGE, in_two_steps).await
}

/// As a proxy does it that allows each connection one request.
async fn goaway_after_every_request(ctx: Ctx) -> CaseResult {
    writes(&ctx, Duration::ZERO, at_once).await
}
