//! Watchers and leases: what clients that have them spend.

use super::judge::{Judge, say};
use super::programs::{GO, Job, run as measure};
use super::stats::Rounds;
use etcd3_lab::Result;

const CLIENTS: [&str; 4] = ["floor", "ours-tokio", "etcd-client-tokio", GO];

const JOBS: [(Job, &str); 3] = [
    (Job { work: "flood", size: 100, callers: 1, ops: 200_000 }, "an event"),
    (Job { work: "watchers", size: 0, callers: 1, ops: 10_000 }, "a watcher"),
    (Job { work: "keep-alives", size: 0, callers: 10_000, ops: 50_000 }, "an acknowledgement"),
];

/// Prints what an event, a watcher and an acknowledgement cost; nothing is judged yet.
pub(crate) fn run(urls: &str, rounds: usize, has_go: bool, judge: &mut Judge) -> Result<()> {
    judge.heading("watchers and leases on tokio, one thread");
    for (job, unit) in JOBS {
        for name in CLIENTS.into_iter().filter(|name| has_go || *name != GO) {
            let (mut cpu, mut wall, mut memory) =
                (Rounds::default(), Rounds::default(), Rounds::default());
            for _ in 0..rounds.div_ceil(3) {
                let figures = measure(name, urls, job, &[])?;
                let Some(figure) = figures.get("cpu_ns_per_op") else { break };
                cpu.add(figure);
                wall.add(figures.need("wall_ns")? / 1e9);
                memory.add(figures.need("memory_per_op")?);
            }
            let work = job.work;
            if cpu == Rounds::default() {
                say!(judge, "{work:<12} {name:<18} has no such workload");
                continue;
            }
            let (cpu, wall, memory) = (cpu.median(), wall.median(), memory.median());
            say!(
                judge,
                "{work:<12} {name:<18} {cpu:>8.0} ns {unit}, {memory:.0} bytes, {wall:.2} s"
            );
        }
    }
    Ok(())
}
