//! Watchers and leases: what clients that have them spend.

use super::judge::{Judge, say};
use super::programs::{GO, Job, float, instructions, run as measure};
use super::stats::Rounds;
use etcd3_lab::Result;
use std::collections::BTreeMap;

const FLOOR: &str = "floor";
const OURS: &str = "ours-tokio";
const PEER: &str = "etcd-client-tokio";

const CLIENTS: [&str; 4] = [FLOOR, OURS, PEER, GO];

const FLOOD: Job = Job { work: "flood", size: 100, callers: 1, ops: 200_000 };
const WATCHERS: Job = Job { work: "watchers", size: 0, callers: 1, ops: 10_000 };

/// Leases that live for three seconds, and are renewed in the third of that, in fifty slots.
const LEASES: Job = Job { work: "keep-alives", size: 3, callers: 10_000, ops: 60_000 };

/// What each client does with leases.
const RENEWALS: [(&str, &str); 4] = [
    (FLOOR, "one stream; asks for the leases of a slot at once, and takes the answers"),
    (OURS, "holds a `Lease` each, renewed by the client when it is due, a third of the TTL"),
    (PEER, "a stream each, as it comes, and a task that renews and sleeps, as its users write it"),
    (GO, "`KeepAlive` each, renewed by the client when it is due; the channels are drained"),
];

const JOBS: [(Job, &str); 6] = [
    (FLOOD, "an event"),
    (WATCHERS, "a watcher"),
    (Job { work: "watchers-now", ..WATCHERS }, "a watcher"),
    (Job { work: "watchers-again", ..WATCHERS }, "a watcher"),
    (LEASES, "an acknowledgement"),
    // For comparison: without the wake-ups that renewing in time takes.
    (Job { work: "keep-alives-at-once", ..LEASES }, "an acknowledgement"),
];

/// The limits of an event of a flood: instructions as a multiple of the floor's, processor time as
/// one of etcd-client's.
const EVENT: (f64, f64) = (1.25, 0.75);
/// The limits of the time until watchers are live that begin at a revision, as multiples of the
/// floor's and of etcd-client's.
const LIVE: (f64, f64) = (10.0, 0.25);
/// The limit of the memory of a watcher, in bytes.
const WATCHER_BYTES: f64 = 1_500.0;
/// The limits of the processor time of an acknowledged renewal, as multiples of the floor's and of
/// etcd-client's.
const RENEWAL: (f64, f64) = (2.5, 0.5);
/// The limit of the memory of a lease with its handle, in bytes.
const LEASE_BYTES: f64 = 800.0;
/// The limit of the renewals a second, as a multiple of those that are needed.
const RENEWALS_A_SECOND: f64 = 1.1;

/// What a client spends for a job.
#[derive(Default)]
struct Spent {
    /// Nanoseconds of processor time an operation.
    cpu: Rounds,
    /// Seconds.
    wall: Rounds,
    /// Bytes an operation.
    memory: Rounds,
    /// Renewals a second, and the streams that they took.
    per_second: Rounds,
    streams: Rounds,
}

/// Prints and judges what an event, a watcher and an acknowledgement cost.
pub(crate) fn run(urls: &str, rounds: usize, has_go: bool, judge: &mut Judge) -> Result<()> {
    judge.heading("watchers and leases on tokio, one thread");
    let clients: Vec<_> = CLIENTS.into_iter().filter(|name| has_go || *name != GO).collect();
    for (job, unit) in JOBS {
        let (work, mut all) = (job.work, BTreeMap::<_, Spent>::new());
        // In turns: what happens to the machine meanwhile happens to all of them.
        for _ in 0..rounds.div_ceil(3) {
            for name in &clients {
                spend(name, urls, job, all.entry(*name).or_default())?;
            }
        }
        for name in &clients {
            let Some(spent) = all.get(name).filter(|it| it.is_measured()) else {
                say!(judge, "{work:<19} {name:<18} has no such workload");
                all.remove(name);
                continue;
            };
            let (cpu, memory) = (spent.cpu.median(), spent.memory.median());
            let wall = spent.wall.median();
            let renewals = if work == LEASES.work { spent.renewals(name) } else { String::new() };
            say!(
                judge,
                "{work:<19} {name:<18} {cpu:>8.0} ns {unit}, {memory:.0} bytes, {wall:.3} s\
                 {renewals}"
            );
        }
        judge_job(urls, job, &all, judge)?;
    }
    Ok(())
}

/// Measures a client once, unless it does not have the workload.
fn spend(name: &str, urls: &str, job: Job, spent: &mut Spent) -> Result<()> {
    let figures = measure(name, urls, job, &[])?;
    let Some(figure) = figures.get("cpu_ns_per_op") else { return Ok(()) };
    spent.cpu.add(figure);
    spent.wall.add(figures.need("wall_ns")? / 1e9);
    spent.memory.add(figures.need("memory_per_op")?);
    if let Some(streams) = figures.get("streams") {
        spent.streams.add(streams);
        spent.per_second.add(figures.need("per_second")?);
    }
    Ok(())
}

impl Spent {
    fn is_measured(&self) -> bool {
        self.cpu.median() > 0.0
    }

    /// Tells how a client of this name renewed leases, if that is what it did.
    fn renewals(&self, name: &str) -> String {
        let (streams, per_second) = (self.streams.median(), self.per_second.median());
        let how = RENEWALS.iter().find(|(it, _)| *it == name).filter(|_| streams > 0.0);
        let told = how.map(|(_, how)| format!("; {streams} streams, {per_second:.0}/s: {how}"));
        told.unwrap_or_default()
    }
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
        "keep-alives" => {
            let ours_cpu = ours.cpu.median();
            let (to_floor, to_peer) = (ours_cpu / floor.cpu.median(), ours_cpu / peer.cpu.median());
            let (memory, streams) = (ours.memory.median(), ours.streams.median());
            let needed = float(3 * job.callers) / float(job.size);
            let to_needed = ours.per_second.median() / needed;
            vec![
                judge.below("leases: bytes a lease", memory, LEASE_BYTES),
                judge.below("leases: processor time, to the floor's", to_floor, RENEWAL.0),
                judge.below("leases: processor time, to etcd-client's", to_peer, RENEWAL.1),
                judge.below("leases: streams", streams, 1.0),
                judge.below("leases: requests, to those needed", to_needed, RENEWALS_A_SECOND),
            ]
        }
        _ => Vec::new(),
    };
    for verdict in verdicts {
        say!(judge, "{:<19} {OURS:<18} {verdict}", job.work);
    }
    Ok(())
}
