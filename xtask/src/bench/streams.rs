//! Watchers and leases: what clients that have them spend.

use super::judge::{Judge, say};
use super::programs::{GO, Job, instructions, run as measure};
use super::stats::Rounds;
use etcd3_lab::Result;
use std::collections::BTreeMap;

const FLOOR: &str = "floor";
const OURS: &str = "ours-tokio";
const PEER: &str = "etcd-client-tokio";

const CLIENTS: [&str; 4] = [FLOOR, OURS, PEER, GO];

const FLOOD: Job = Job { work: "flood", size: 100, callers: 1, ops: 200_000 };
const WATCHERS: Job = Job { work: "watchers", size: 0, callers: 1, ops: 10_000 };

const JOBS: [(Job, &str); 5] = [
    (FLOOD, "an event"),
    (WATCHERS, "a watcher"),
    (Job { work: "watchers-now", ..WATCHERS }, "a watcher"),
    (Job { work: "watchers-again", ..WATCHERS }, "a watcher"),
    (Job { work: "keep-alives", size: 0, callers: 10_000, ops: 50_000 }, "an acknowledgement"),
];

/// The limits of an event of a flood: instructions as a multiple of the floor's, processor time as
/// one of etcd-client's.
const EVENT: (f64, f64) = (1.25, 0.75);
/// The limits of the time until watchers are live that begin at a revision, as multiples of the
/// floor's and of etcd-client's.
const LIVE: (f64, f64) = (10.0, 0.25);
/// The limit of the memory of a watcher, in bytes.
const WATCHER_BYTES: f64 = 1_500.0;

/// What a client spends for a job.
struct Spent {
    /// Nanoseconds of processor time an operation.
    cpu: Rounds,
    /// Seconds.
    wall: Rounds,
    /// Bytes an operation.
    memory: Rounds,
}

/// Prints what an event, a watcher and an acknowledgement cost, and judges those of watchers.
pub(crate) fn run(urls: &str, rounds: usize, has_go: bool, judge: &mut Judge) -> Result<()> {
    judge.heading("watchers and leases on tokio, one thread");
    for (job, unit) in JOBS {
        let mut all = BTreeMap::new();
        for name in CLIENTS.into_iter().filter(|name| has_go || *name != GO) {
            let work = job.work;
            let Some(spent) = spend(name, urls, job, rounds.div_ceil(3))? else {
                say!(judge, "{work:<14} {name:<18} has no such workload");
                continue;
            };
            let Spent { cpu, wall, memory } = &spent;
            let (cpu, wall, memory) = (cpu.median(), wall.median(), memory.median());
            say!(
                judge,
                "{work:<14} {name:<18} {cpu:>8.0} ns {unit}, {memory:.0} bytes, {wall:.3} s"
            );
            all.insert(name, spent);
        }
        judge_job(urls, job, &all, judge)?;
    }
    Ok(())
}

/// Measures a client several times; `None` for one that does not have the workload.
fn spend(name: &str, urls: &str, job: Job, rounds: usize) -> Result<Option<Spent>> {
    let (mut cpu, mut wall, mut memory) = (Rounds::default(), Rounds::default(), Rounds::default());
    for _ in 0..rounds {
        let figures = measure(name, urls, job, &[])?;
        let Some(figure) = figures.get("cpu_ns_per_op") else { return Ok(None) };
        cpu.add(figure);
        wall.add(figures.need("wall_ns")? / 1e9);
        memory.add(figures.need("memory_per_op")?);
    }
    Ok(Some(Spent { cpu, wall, memory }))
}

fn judge_job(urls: &str, job: Job, all: &BTreeMap<&str, Spent>, judge: &mut Judge) -> Result<()> {
    let (Some(floor), Some(ours), Some(peer)) = (all.get(FLOOR), all.get(OURS), all.get(PEER))
    else {
        return Ok(());
    };
    let verdicts = match job.work {
        "flood" => {
            let short = Job { ops: 4_000, ..job };
            let ratio = instructions(OURS, urls, short)? / instructions(FLOOR, urls, short)?;
            let time = ours.cpu.median() / peer.cpu.median();
            vec![
                judge.below("flood: instructions an event, to the floor's", ratio, EVENT.0),
                judge.below("flood: processor time, to etcd-client's", time, EVENT.1),
            ]
        }
        "watchers" => {
            let ours_wall = ours.wall.median();
            let to_floor = ours_wall / floor.wall.median();
            let to_peer = ours_wall / peer.wall.median();
            vec![
                judge.below("watchers: time, to the floor's", to_floor, LIVE.0),
                judge.below("watchers: time, to etcd-client's", to_peer, LIVE.1),
                judge.below("watchers: bytes a watcher", ours.memory.median(), WATCHER_BYTES),
            ]
        }
        _ => Vec::new(),
    };
    for verdict in verdicts {
        say!(judge, "{:<14} {OURS:<18} {verdict}", job.work);
    }
    Ok(())
}
