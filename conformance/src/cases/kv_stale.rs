//! Linearizable reads never go back in time, whatever happens to members and their network.

use crate::task::JoinHandle;
use crate::{Case, CaseResult, Cluster, ClusterBuilder, Ctx, case};
use etcd3::{Client, Code, Error, ErrorKind, Outcome, ServerError};
use etcd3_lab::Result as LabResult;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(revisions_grow_while_leaders_are_cut_off, ["KV-131"]),
    case!(revisions_grow_while_members_are_cut_off, ["KV-132"]),
    case!(revisions_grow_while_leaders_restart, ["KV-133"]),
    case!(revisions_grow_while_members_restart, ["KV-134"]),
];

const SECOND: Duration = Duration::from_secs(1);
const ROUNDS: usize = 5;
const WORKERS: usize = 10;
/// How long a worker waits for one answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// What the workers get done after each outage, before the next.
const BETWEEN: u64 = 200;

/// The member that is hit in a round.
#[derive(Clone, Copy)]
enum Victim {
    Leader,
    Next,
}

/// What happens to a member.
#[derive(Clone, Copy)]
struct Fault {
    victim: Victim,
    begin: fn(&Cluster, victim: usize) -> LabResult<()>,
    end: fn(&Cluster, victim: usize) -> LabResult<()>,
}

/// KV-131, K15
async fn revisions_grow_while_leaders_are_cut_off(ctx: Ctx) -> CaseResult {
    let cut = Fault { victim: Victim::Leader, begin: Cluster::partition, end: heal };
    revisions_grow(ctx, cut).await
}

/// KV-132, K15
async fn revisions_grow_while_members_are_cut_off(ctx: Ctx) -> CaseResult {
    let cut = Fault { victim: Victim::Next, begin: Cluster::partition, end: heal };
    revisions_grow(ctx, cut).await
}

/// KV-133, K15
async fn revisions_grow_while_leaders_restart(ctx: Ctx) -> CaseResult {
    let restart = Fault { victim: Victim::Leader, begin: stop, end: start };
    revisions_grow(ctx, restart).await
}

/// KV-134, K15
async fn revisions_grow_while_members_restart(ctx: Ctx) -> CaseResult {
    let restart = Fault { victim: Victim::Next, begin: stop, end: start };
    revisions_grow(ctx, restart).await
}

fn heal(cluster: &Cluster, _victim: usize) -> LabResult<()> {
    cluster.heal()
}

fn stop(cluster: &Cluster, victim: usize) -> LabResult<()> {
    cluster.member(victim).terminate()
}

fn start(cluster: &Cluster, victim: usize) -> LabResult<()> {
    cluster.member(victim).restart()
}

/// What the case and its workers share.
#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    answers: AtomicU64,
    /// The number of calls that an outage made fail.
    failures: AtomicU64,
}

/// The workers of a case; they end with it, however it ends.
struct Workers(Arc<Shared>);

impl Drop for Workers {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

/// What a worker that writes has done.
#[derive(Default)]
struct Puts {
    done: i64,
    unknown: i64,
}

async fn revisions_grow(ctx: Ctx, fault: Fault) -> CaseResult {
    let cluster = Arc::new(ctx.cluster_with(ClusterBuilder::behind_peer_proxy).await?);
    let mut clients = Vec::new();
    for url in cluster.client_urls() {
        clients.push(ctx.connect([url]).await?);
    }
    let workers = Workers(Arc::default());
    let writers: Vec<JoinHandle<Result<Puts, String>>> = (0..WORKERS)
        .map(|n| ctx.spawn(write(clients.clone(), n, Arc::clone(&workers.0))))
        .collect();
    let readers: Vec<JoinHandle<Result<(), String>>> =
        (0..WORKERS).map(|n| ctx.spawn(read(clients.clone(), n, Arc::clone(&workers.0)))).collect();

    for round in 0..ROUNDS {
        let hit = Arc::clone(&cluster);
        let begun = ctx.blocking(move || {
            let victim = match fault.victim {
                Victim::Leader => hit.wait_leader()?,
                Victim::Next => round % hit.len(),
            };
            (fault.begin)(&hit, victim).map(|()| victim)
        });
        let victim = begun.await?;
        ctx.pause(SECOND).await;
        let healed = Arc::clone(&cluster);
        ctx.blocking(move || (fault.end)(&healed, victim)).await?;
        for client in &clients {
            ctx.until("a member that answers again", 20 * SECOND, || async {
                client.get("foo").timeout(SECOND).await.is_ok()
            })
            .await?;
        }
        let goal = workers.0.answers.load(Ordering::Relaxed) + BETWEEN;
        ctx.until("the workers to go on", 20 * SECOND, || async {
            workers.0.answers.load(Ordering::Relaxed) >= goal
        })
        .await?;
    }

    let failures = workers.0.failures.load(Ordering::Relaxed);
    assert!(failures >= ROUNDS as u64, "{failures} calls met an outage");
    drop(workers);
    let (mut done, mut unknown) = (0, 0);
    for writer in writers {
        let puts = writer.await?;
        (done, unknown) = (done + puts.done, unknown + puts.unknown);
    }
    for reader in readers {
        reader.await?;
    }
    // I-R1: what was acknowledged is there once, what is not known at most once.
    let version = clients[0].get("foo").await?.kvs[0].version;
    assert!((done..=done + unknown).contains(&version), "{version}, {done}, {unknown}");
    Ok(())
}

/// Writes by one member after the other.
async fn write(clients: Vec<Client>, first: usize, shared: Arc<Shared>) -> Result<Puts, String> {
    let mut puts = Puts::default();
    for client in clients.iter().cycle().skip(first) {
        if shared.is_over.load(Ordering::Relaxed) {
            break;
        }
        match client.put("foo", first.to_string()).timeout(PATIENCE).await {
            Ok(_) => {
                puts.done += 1;
                shared.answers.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                explained(&error)?;
                shared.failures.fetch_add(1, Ordering::Relaxed);
                puts.unknown += i64::from(error.outcome() == Outcome::Unknown);
            }
        }
    }
    Ok(puts)
}

/// Reads by one member after the other; no answer may be older than the one before.
async fn read(clients: Vec<Client>, first: usize, shared: Arc<Shared>) -> Result<(), String> {
    let mut seen = 0;
    for client in clients.iter().cycle().skip(first) {
        if shared.is_over.load(Ordering::Relaxed) {
            break;
        }
        match client.get("foo").timeout(PATIENCE).await {
            Ok(answer) => {
                let revision = answer.header.revision;
                let changed = answer.kvs.first().map_or(0, |kv| kv.mod_revision);
                if revision < seen || revision < changed {
                    return Err(format!("revision {revision} after {seen}, with {changed}"));
                }
                seen = revision;
                shared.answers.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                explained(&error)?;
                shared.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    Ok(())
}

/// Fails on an error that an outage does not explain.
fn explained(error: &Error) -> Result<(), String> {
    let allowed = matches!(
        error.kind(),
        ErrorKind::TimedOut(_)
            | ErrorKind::Status(Code::DeadlineExceeded)
            | ErrorKind::ConnectionLost
            | ErrorKind::Server(
                ServerError::Timeout
                    | ServerError::TimeoutDueToLeaderFail
                    | ServerError::TimeoutDueToConnectionLost
                    // The last that a read met which was repeated until its deadline (R42).
                    | ServerError::LeaderChanged
            )
    );
    // Members tell of their own deadline in several ways.
    let told = error.status().map_or("", |status| &*status.message);
    let allowed = allowed || told.ends_with("context deadline exceeded");
    if allowed && error.outcome() != Outcome::Rejected {
        Ok(())
    } else {
        Err(error.report().to_string())
    }
}
