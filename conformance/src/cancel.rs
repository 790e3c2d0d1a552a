//! Calls that are dropped at every stage of their lives, on one connection (I-C12, C-16).
//!
//! They come in batches, all of a batch dropped at one stage. The peer keeps to the windows that
//! the client gives it: bytes that were never given back would end the run.

use crate::BoxError;
use crate::peer::{FrameType, Heard, Peer, Request, Wire};
use etcd3::runtime::Runtime;
use etcd3::{Client, Config, Outcome};
use etcd3_lab::load::Limit;
use futures_lite::future::poll_once;
use std::future::IntoFuture;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// Calls of a batch.
pub const BATCH: u64 = 100;
/// Of every so many calls two batches are dropped with their answers on the way.
pub const ROUND: u64 = BATCH * STAGES.len() as u64;

/// More than the largest answer.
const STREAM_WINDOW: u32 = 64 << 10;
/// Room for the calls of a batch, and far less than the answers that are dropped.
const CONNECTION_WINDOW: u32 = 128 * STREAM_WINDOW;
const LARGE: usize = 48 << 10;
const VALUE: usize = 8000;
/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(20);

/// When a call is dropped; its key in requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Stage {
    /// Before it was polled.
    Untouched = b'u',
    /// After it was polled once.
    Polled = b'p',
    /// When the peer has the request.
    Sent = b's',
    /// When half of the answer is on the way, or there.
    Begun = b'b',
    /// When all of the answer is on the way, or there.
    Answered = b'a',
}

const STAGES: [Stage; 8] = [
    Stage::Untouched,
    Stage::Polled,
    Stage::Sent,
    Stage::Begun,
    Stage::Answered,
    Stage::Sent,
    Stage::Begun,
    Stage::Answered,
];

/// What a run has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Calls that were dropped.
    pub dropped: u64,
    /// Those of them whose answer had left the peer, whole.
    pub answered: u64,
    /// Connections that the client made.
    pub connections: usize,
    /// Streams that neither side has ended.
    pub live: usize,
    /// What the client lets the peer send, in bytes.
    pub window: i64,
    /// By how much the memory of the process grew after the first tenth, in bytes; `None` where
    /// that cannot be told.
    pub growth: Option<i64>,
}

impl Figures {
    /// Returns what is wrong with them, apart from the memory, which other tests of a process use,
    /// too.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.connections != 1 {
            problems.push(format!("{} connections instead of one", self.connections));
        }
        if self.live > 0 {
            problems.push(format!("{} streams are still open", self.live));
        }
        // h2 gives a window back when half of it is used.
        if self.window < i64::from(CONNECTION_WINDOW / 4) {
            problems.push(format!("only {} bytes of the window are left", self.window));
        }
        problems
    }
}

/// What the peer tells of itself.
#[derive(Debug, Default)]
struct Seen {
    /// Requests that have come.
    requests: AtomicU64,
    /// Requests of batches that the peer has served.
    reached: AtomicU64,
    answered: AtomicU64,
    live: AtomicUsize,
    window: AtomicI64,
}

/// Makes and drops at least so many calls, and looks at what is left of them.
///
/// # Errors
///
/// When the connection does not work any more, during the run or after it.
pub async fn run(rt: Arc<dyn Runtime>, calls: u64) -> Result<Figures, BoxError> {
    let seen = Arc::<Seen>::default();
    let teller = Arc::clone(&seen);
    let peer = Peer::start(move |_, mut wire| play(&mut wire, &teller))?;
    let config =
        Config::new([peer.url()]).stream_window(STREAM_WINDOW).connection_window(CONNECTION_WINDOW);
    let client = Client::connect_on(Arc::clone(&rt), config).await?;
    let rounds = calls.div_ceil(ROUND);
    let mut base = None;
    for round in 0..rounds {
        if round == rounds / 10 {
            base = resident();
        }
        for stage in STAGES {
            batch(&*rt, &client, &seen, stage).await?;
        }
    }
    // The connection still works, and has room.
    let answer = client.get("large").await?;
    if answer.kvs.first().map(|kv| kv.value.len()) != Some(LARGE) {
        return Err("the large answer is not the one".into());
    }
    // Resets of the last calls may yet have to come.
    until(&*rt, "the streams to end", || seen.live.load(SeqCst) == 0).await?;
    let growth = base.zip(resident()).map(|(before, after)| after - before);
    Ok(Figures {
        dropped: rounds * ROUND,
        answered: seen.answered.load(SeqCst),
        connections: peer.accepted(),
        live: seen.live.load(SeqCst),
        window: seen.window.load(SeqCst),
        growth,
    })
}

/// Makes a batch of calls and drops them at this stage.
async fn batch(rt: &dyn Runtime, client: &Client, seen: &Seen, stage: Stage) -> Result<(), String> {
    let key = [stage as u8];
    let mut calls: Vec<_> = (0..BATCH).map(|_| client.get(&key[..]).into_future()).collect();
    if stage == Stage::Untouched {
        return Ok(());
    }
    let goal = seen.reached.load(SeqCst) + BATCH;
    for call in &mut calls {
        // An answer cannot be there yet; an error shows later.
        let _ = poll_once(call).await;
    }
    if stage == Stage::Polled {
        return Ok(());
    }
    // Nobody polls the calls meanwhile: whatever comes for them waits.
    let waited = until(rt, "the peer", || seen.reached.load(SeqCst) >= goal).await;
    waited.map_err(|error| format!("{error} at {stage:?}, {goal}: {seen:?}"))
}

async fn until(
    rt: &dyn Runtime,
    what: &str,
    mut condition: impl FnMut() -> bool,
) -> Result<(), String> {
    let patience = Limit::new(LIMIT);
    while !condition() {
        if patience.left().is_zero() {
            return Err(format!("waited for {what}"));
        }
        rt.sleep_until(rt.now() + Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Returns the memory of this process, in bytes.
fn resident() -> Option<i64> {
    const PAGE: i64 = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split(' ').nth(1)?.parse::<i64>().ok()? * PAGE)
}

/// The peer: what it does about a request is in its key.
fn play(wire: &mut Wire, seen: &Seen) -> io::Result<()> {
    wire.greet(&[])?;
    let mut waiting: Vec<Request> = Vec::new();
    loop {
        if let Heard::Request(request) = wire.hear()? {
            seen.requests.fetch_add(1, SeqCst);
            match request.key() {
                b"s" | b"b" | b"a" => waiting.push(request),
                b"large" => answer(wire, seen, &request, LARGE)?,
                // It is dropped at once, or has been.
                _ => {}
            }
        }
        if waiting.len() as u64 == BATCH {
            for request in waiting.drain(..) {
                serve(wire, seen, &request)?;
            }
        }
        seen.live.store(wire.live(), SeqCst);
        seen.window.store(wire.window(), SeqCst);
    }
}

/// Does what a stage needs. The calls are dropped as soon as all of the batch are served.
fn serve(wire: &mut Wire, seen: &Seen, request: &Request) -> io::Result<()> {
    match request.key() {
        b"b" => {
            wire.respond(request.stream)?;
            let half = &request.answer_with(&[b'v'; VALUE])[..VALUE / 2];
            content(wire, seen, request.stream, half)?;
        }
        b"a" => {
            answer(wire, seen, request, VALUE)?;
            seen.answered.fetch_add(1, SeqCst);
        }
        _ => {}
    }
    seen.reached.fetch_add(1, SeqCst);
    Ok(())
}

fn answer(wire: &mut Wire, seen: &Seen, request: &Request, size: usize) -> io::Result<()> {
    wire.respond(request.stream)?;
    content(wire, seen, request.stream, &request.answer_with(&vec![b'v'; size]))?;
    wire.trailers(request.stream)
}

/// Sends content as the window of the connection allows; that of each stream is large enough.
fn content(wire: &mut Wire, seen: &Seen, stream: u32, bytes: &[u8]) -> io::Result<()> {
    for chunk in bytes.chunks(16_384) {
        while wire.window() < i64::try_from(chunk.len()).unwrap_or(i64::MAX) {
            seen.window.store(wire.window(), SeqCst);
            wire.hear()?;
        }
        wire.frame(FrameType::Data, 0, stream, chunk)?;
    }
    Ok(())
}

/// Asks a peer that answers without end, and says how much it could send and by how much the
/// memory grew meanwhile, both in bytes (I-X2, H10, H13).
///
/// The call is given up after its second message; the rest is for a stream that nobody knows.
///
/// # Errors
///
/// When the call succeeds.
pub async fn endless(rt: Arc<dyn Runtime>) -> Result<(u64, Option<i64>), BoxError> {
    const MUCH: u64 = 256 << 20;
    const FRAME: usize = 16_384;
    let poured = Arc::new((AtomicU64::new(0), AtomicBool::new(false)));
    let teller = Arc::clone(&poured);
    let pour = move |_, mut wire: Wire| {
        wire.greet(&[])?;
        let stream = wire.request()?;
        wire.respond(stream)?;
        let all = (0..MUCH / FRAME as u64).try_for_each(|_| {
            teller.0.fetch_add(FRAME as u64, SeqCst);
            wire.frame(FrameType::Data, 0, stream, &[0; FRAME])
        });
        teller.1.store(true, SeqCst);
        all
    };
    let peer = Peer::start(pour)?;
    let client = Client::connect_on(Arc::clone(&rt), Config::new([peer.url()])).await?;
    let base = resident();
    let (done, answer) = (&poured.1, client.put("k", "v").await);
    let error = answer.err().ok_or("the write succeeds")?;
    if error.outcome() != Outcome::Unknown {
        return Err(error.into());
    }
    until(&*rt, "the peer to be done", || done.load(SeqCst)).await?;
    let growth = base.zip(resident()).map(|(before, after)| after - before);
    Ok((poured.0.load(SeqCst), growth))
}
