//! Three clients on each version, through bridges that count connections and bytes.

use super::calls::CallCounts;
use super::silence;
use crate::JoinHandle;
use crate::load::{BlockingRuntime, Error, Table, pause, spawn};
use etcd3::runtime::Runtime;
use etcd3::{Client, Config, TlsConfig};
use etcd3_lab::etcd::Binary;
use etcd3_lab::{Authority, Bridge, Server, Tls};
use futures_lite::future::block_on;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The time between two calls of the busy client.
const STEP: Duration = Duration::from_millis(20);

/// What a server writes when a client has sent it too many pings.
const ENRAGED: [&str; 2] = ["too_many_pings", "ENHANCE_YOUR_CALM"];

/// What a client does all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    Idle,
    Busy,
    /// Its server falls silent again and again while it waits for an answer.
    Silenced,
}

/// A server, and whom its clients trust if it speaks TLS.
struct Watched {
    server: Server,
    authority: Option<Arc<Authority>>,
    clients: Vec<Watch>,
}

/// One client.
struct Watch {
    client: Client,
    bridge: Arc<Bridge>,
    habit: Habit,
    calls: JoinHandle<CallCounts>,
}

/// Watches all clients for `time`, in plain and if wanted over TLS; tells whether all limits held.
pub(super) fn run(
    runtime: &BlockingRuntime,
    binaries: &[Binary],
    time: Duration,
    tls: bool,
) -> Result<bool, Error> {
    let end = Instant::now() + time;
    let mut all = Vec::new();
    for etcd in binaries {
        all.push(watch(runtime, etcd, None, end)?);
        if tls {
            all.push(watch(runtime, etcd, Some(Authority::new()?), end)?);
        }
    }
    let table = Table::new([
        "client",
        "calls",
        "failed",
        "connections",
        "open",
        "PINGs",
        "angry lines",
        "",
    ]);
    let mut findings = Findings { table, broken: Vec::new() };
    for watched in all {
        for watch in watched.clients {
            findings.judge(&watched.server, watched.authority.is_some(), watch);
        }
    }
    print!("{}", findings.table);
    for limit in &findings.broken {
        println!("BROKEN {limit}");
    }
    Ok(findings.broken.is_empty())
}

/// The table of all clients, and the limits that did not hold.
struct Findings {
    table: Table,
    broken: Vec<String>,
}

impl Findings {
    /// Waits for a client to end, and says what is to be said of it.
    fn judge(&mut self, server: &Server, is_tls: bool, watch: Watch) {
        let calls = block_on(watch.calls);
        let seen = watch.bridge.connections();
        let angry = angry_lines(&server.log());
        let scheme = if is_tls { "https" } else { "http" };
        let name = format!("{:?}, {scheme}, etcd {}", watch.habit, server.binary().version);
        let is_pinged = calls.pings > 0 || watch.habit != Habit::Silenced;
        let good = calls.failures.is_empty() && (seen.accepted, seen.live) == (1, 1);
        let good = good && is_pinged && angry == 0 && seen.rejected == 0;
        self.broken.extend(calls.failures.iter().take(3).map(|it| format!("{name}: {it}")));
        self.broken.extend((!good).then(|| format!("{name}: see the table")));
        let pings =
            if watch.habit == Habit::Silenced { calls.pings.to_string() } else { "-".into() };
        self.table.row([
            name,
            calls.made.to_string(),
            calls.failures.len().to_string(),
            seen.accepted.to_string(),
            seen.live.to_string(),
            pings,
            angry.to_string(),
            if good { "ok" } else { "BROKEN" }.to_owned(),
        ]);
        drop(watch.client);
    }
}

fn watch(
    runtime: &BlockingRuntime,
    etcd: &Binary,
    authority: Option<Arc<Authority>>,
    end: Instant,
) -> Result<Watched, Error> {
    let mut builder = Server::builder().version(etcd);
    if let Some(authority) = &authority {
        builder = builder.tls(Tls::new(authority));
    }
    let server = builder.start()?;
    let habits = [Habit::Idle, Habit::Busy, Habit::Silenced];
    let clients = habits.map(|habit| client(runtime, &server, authority.as_deref(), habit, end));
    let clients = clients.into_iter().collect::<Result<_, _>>()?;
    Ok(Watched { server, authority, clients })
}

fn client(
    runtime: &BlockingRuntime,
    server: &Server,
    authority: Option<&Authority>,
    habit: Habit,
    end: Instant,
) -> Result<Watch, Error> {
    let bridge = Arc::new(Bridge::new(server.addr())?);
    let config = match authority {
        None => Config::new([bridge.url()]),
        Some(authority) => Config::new([format!("https://{}", bridge.addr())])
            .tls(TlsConfig::new().ca_pem(authority.pem())),
    };
    let config = match habit {
        Habit::Idle | Habit::Busy => config,
        Habit::Silenced => config.attempt_timeout(silence::ATTEMPT_TIMEOUT),
    };
    let client = runtime.connect_with(config)?;
    let (rt, caller) = (Arc::clone(&runtime.rt), client.clone());
    let all = end.saturating_duration_since(Instant::now());
    let calls = match habit {
        Habit::Idle => spawn(&runtime.rt, calls(rt, caller, all, end)),
        Habit::Busy => spawn(&runtime.rt, calls(rt, caller, STEP, end)),
        Habit::Silenced => {
            let (bridge, is_tls) = (Arc::clone(&bridge), authority.is_some());
            spawn(&runtime.rt, silence::calls(rt, caller, bridge, is_tls, end))
        }
    };
    Ok(Watch { client, bridge, habit, calls })
}

/// Calls at a steady rate until the end, and once more after it.
async fn calls(rt: Arc<dyn Runtime>, client: Client, step: Duration, end: Instant) -> CallCounts {
    let mut calls = CallCounts::default();
    loop {
        let is_last = Instant::now() >= end;
        let error = if calls.made % 2 == 0 {
            client.put("soak", calls.made.to_string()).await.err()
        } else {
            client.get("soak").await.err()
        };
        calls.note(error);
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
