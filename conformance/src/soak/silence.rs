//! A server that is silent for a while, so that the client asks whether it is still there (PING).

use super::calls::CallCounts;
use crate::load::{pause, spawn};
use etcd3::Client;
use etcd3::runtime::Runtime;
use etcd3_lab::{Bridge, Direction, Fault, Relays};
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the clients of this have for `attempt_timeout`: they are pinged after half of it.
pub(super) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long nothing comes from the server: long enough for one PING after five seconds, and over
/// before the connection would be given up, or a second PING could be sent.
const SILENCE: Duration = Duration::from_secs(8);

/// How long into the silence the request itself has been sent for certain.
const SENT: Duration = Duration::from_millis(2_500);

/// What a call may take that begins with the silence.
const LIMIT: Duration = Duration::from_secs(20);

/// The calls between two silences.
const BETWEEN: usize = 25;

/// A PING frame in bytes, and what a record of TLS 1.3 adds to it.
const FRAME: u64 = 17;
const RECORD: u64 = 22;

/// Makes silences and calls by turns until the end, at least one silence.
pub(super) async fn calls(
    rt: Arc<dyn Runtime>,
    client: Client,
    bridge: Arc<Bridge>,
    is_tls: bool,
    end: Instant,
) -> CallCounts {
    let mut calls = CallCounts::default();
    loop {
        let (sent, error) = silence(&rt, &client, &bridge).await;
        let ping = FRAME + if is_tls { RECORD } else { 0 };
        // Exactly one PING and nothing else.
        if sent == ping {
            calls.pings += 1;
        } else {
            calls.failures.push(format!("{sent} bytes were sent in a silence, a PING has {ping}"));
        }
        calls.note(error);
        for _ in 0..BETWEEN {
            calls.note(client.put("soak", "silence").await.err());
        }
        // Another silence that would not be over by the end is not begun.
        if Instant::now() + SILENCE > end {
            return calls;
        }
    }
}

/// Opens a call and holds its answer back; returns how many bytes the client sent after the
/// request.
async fn silence(
    rt: &Arc<dyn Runtime>,
    client: &Client,
    bridge: &Bridge,
) -> (u64, Option<etcd3::Error>) {
    bridge.set_fault(Relays::All, [Direction::Down], Fault::new().hold());
    let call = spawn(rt, client.get("soak").timeout(LIMIT).into_future());
    // The time is what this is about.
    pause(rt, SENT).await;
    let before = bridge.passed(Direction::Up);
    pause(rt, SILENCE.saturating_sub(SENT)).await;
    let sent = bridge.passed(Direction::Up) - before;
    bridge.set_fault(Relays::All, [Direction::Down], Fault::new());
    (sent, call.await.err())
}
