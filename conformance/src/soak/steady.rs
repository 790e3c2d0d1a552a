//! An idle client and a busy one on each version, through bridges that count connections.

use crate::Task;
use crate::load::{Error, Host, Table, pause, spawn};
use etcd3_client::{Client, Runtime};
use etcd3_lab::etcd::Binary;
use etcd3_lab::{Bridge, Server};
use futures_lite::future::block_on;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The time between two calls of the busy client.
const STEP: Duration = Duration::from_millis(20);

/// What a server writes when a client has sent it too many pings.
const ENRAGED: [&str; 2] = ["too_many_pings", "ENHANCE_YOUR_CALM"];

/// One client on one server.
struct Watched {
    client: Client,
    bridge: Bridge,
    busy: bool,
    calls: Task<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    made: usize,
    failures: Vec<String>,
}

/// Watches all clients for `time`; tells whether all limits held.
pub(super) fn run(host: &Host, binaries: &[Binary], time: Duration) -> Result<bool, Error> {
    let end = Instant::now() + time;
    let mut all = Vec::new();
    for etcd in binaries {
        let server = Server::builder().version(etcd).start()?;
        let mut clients = Vec::new();
        for busy in [false, true] {
            clients.push(watch(host, &server, busy, end)?);
        }
        all.push((server, clients));
    }
    let mut table = Table::new([
        "client",
        "calls",
        "failed",
        "connections",
        "open at the end",
        "angry lines",
        "",
    ]);
    let mut broken = Vec::new();
    for (server, clients) in all {
        for watched in clients {
            let calls = block_on(watched.calls);
            let seen = watched.bridge.connections();
            let angry = angry_lines(&server.log());
            let what = if watched.busy { "busy" } else { "idle" };
            let name = format!("{what}, etcd {}", server.binary().version);
            let good = calls.failures.is_empty() && (seen.accepted, seen.live) == (1, 1);
            let good = good && angry == 0 && seen.rejected == 0;
            broken.extend(calls.failures.iter().take(3).map(|it| format!("{name}: {it}")));
            table.row([
                name,
                calls.made.to_string(),
                calls.failures.len().to_string(),
                seen.accepted.to_string(),
                seen.live.to_string(),
                angry.to_string(),
                if good { "ok" } else { "BROKEN" }.to_owned(),
            ]);
            broken.extend((!good).then(|| format!("{what} client: see the table")));
            drop(watched.client);
        }
    }
    print!("{table}");
    for limit in &broken {
        println!("BROKEN {limit}");
    }
    Ok(broken.is_empty())
}

fn watch(host: &Host, server: &Server, busy: bool, end: Instant) -> Result<Watched, Error> {
    let bridge = Bridge::new(server.addr())?;
    let client = host.connect([bridge.url()])?;
    let step = if busy { STEP } else { end.saturating_duration_since(Instant::now()) };
    let calls = spawn(&host.rt, calls(Arc::clone(&host.rt), client.clone(), step, end));
    Ok(Watched { client, bridge, busy, calls })
}

/// Calls at a steady rate until the end, and once more after it.
async fn calls(rt: Arc<dyn Runtime>, client: Client, step: Duration, end: Instant) -> Calls {
    let mut calls = Calls::default();
    loop {
        let is_last = Instant::now() >= end;
        let error = if calls.made % 2 == 0 {
            client.put("soak", calls.made.to_string()).await.err()
        } else {
            client.get("soak").await.err()
        };
        calls.made += 1;
        calls.failures.extend(error.map(|error| error.to_string()));
        if is_last {
            return calls;
        }
        // The time is what this is about.
        pause(&rt, step.min(end.saturating_duration_since(Instant::now()))).await;
    }
}

fn angry_lines(log: &str) -> usize {
    log.lines().filter(|line| ENRAGED.iter().any(|word| line.contains(word))).count()
}
