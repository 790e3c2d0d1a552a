//! Many worlds on all cores, and the figures of the batch.
// Worlds are deterministic; how long the machine takes for a batch of them is not.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use crate::tally::Tally;
use crate::world::{Plan, Report, simulate, trace};
use etcd3_sim::faults::shrink;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

/// A batch below these medians proves too little.
const MEDIAN_OPERATIONS: u64 = 200;
const MEDIAN_FAULTS: u64 = 5;

/// Where drawings go to, if anywhere.
pub(crate) type Folder<'a> = Option<&'a Path>;

/// Draws a world.
fn draw(plan: &Plan, folder: &Path) {
    let path = folder.join(format!("seed-{}.html", plan.seed));
    match trace(plan).write_html(&path) {
        Ok(()) => println!("  drawn: {}", path.display()),
        Err(error) => println!("  not drawn, {}: {error}", path.display()),
    }
}

/// Runs one world again, and shows its faults; a failing one is shrunk and drawn, one that holds is
/// drawn if that is wanted.
pub(crate) fn again(seed: u64, folder: Folder<'_>, draws_all: bool) -> bool {
    let mut plan = Plan::draw(seed);
    println!("seed {seed}: {} clients, {} operations each", plan.clients, plan.operations);
    let result = simulate(&plan);
    if let Err(failure) = &result {
        println!("failed: {failure}");
        let base = plan.clone();
        plan.faults = shrink(plan.faults, |faults| {
            simulate(&Plan { faults: faults.to_vec(), ..base.clone() }).is_err()
        });
        println!("the faults that it takes:");
    }
    for fault in &plan.faults {
        println!(
            "  {:>8.3} s  {:?}, {:.3} s",
            fault.at.as_secs_f64(),
            fault.fault,
            fault.lasts.as_secs_f64()
        );
    }
    if let Some(folder) = folder.filter(|_| draws_all || result.is_err()) {
        draw(&plan, folder);
    }
    match result {
        Ok(report) => {
            println!("held: {:?}\n{:?}", report.stats, report.tally);
            true
        }
        Err(_) => false,
    }
}

/// Runs a batch of worlds; false when one failed, or the batch proves too little.
pub(crate) fn run(from: u64, seeds: u64, folder: Folder<'_>) -> bool {
    let started = Instant::now();
    let next = AtomicU64::new(from);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds {
                        return;
                    }
                    let result = simulate(&Plan::draw(seed));
                    results.lock().expect("no worker panics").push((seed, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no worker panics");
    results.sort_by_key(|(seed, _)| *seed);
    let good = summarise(&results, seeds, folder);
    println!("{:.1} s on this machine", started.elapsed().as_secs_f64());
    good
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn summarise(results: &[(u64, Result<Report, String>)], seeds: u64, folder: Folder<'_>) -> bool {
    let mut good = true;
    for (seed, failure) in
        results.iter().filter_map(|(s, r)| r.as_ref().err().map(|e| (s, e))).take(5)
    {
        println!("seed {seed} failed: {failure}");
        println!("  again: cargo xtask sim --seed {seed}");
        if let Some(folder) = folder {
            draw(&Plan::draw(*seed), folder);
        }
        good = false;
    }
    let reports: Vec<&Report> = results.iter().filter_map(|(_, r)| r.as_ref().ok()).collect();
    let mut total = Tally::default();
    for report in &reports {
        total.add(&report.tally);
    }
    let sum = |of: fn(&Report) -> u64| reports.iter().map(|report| of(report)).sum::<u64>();
    let medians = (
        median(reports.iter().map(|r| r.tally.operations).collect()),
        median(reports.iter().map(|r| r.tally.faults).collect()),
    );
    println!("{} of {seeds} worlds held", reports.len());
    println!(
        "{} virtual seconds, {} steps, {} connections, {} faults",
        sum(|r| r.stats.elapsed.as_secs()),
        sum(|r| r.stats.steps),
        sum(|r| r.stats.connections),
        total.faults
    );
    println!(
        "{} operations: {} writes acknowledged, {} rejected, {} not sent, {} unknown",
        total.operations, total.acknowledged, total.rejected, total.not_sent, total.unknown
    );
    let watched = &total.watched;
    println!(
        "{} watches: {} events, {} of progress, {} resumptions, {} compactions, {} excused; {} \
         states of listings and caches",
        watched.watches,
        watched.events,
        watched.progress,
        watched.resumed,
        watched.compacted,
        watched.excused,
        watched.states
    );
    println!("{}", total.leased);
    println!("medians of a world: 3 members, {} operations, {} faults", medians.0, medians.1);
    if medians.0 < MEDIAN_OPERATIONS || medians.1 < MEDIAN_FAULTS {
        println!("FAILED: a batch needs medians of {MEDIAN_OPERATIONS} and {MEDIAN_FAULTS}");
        good = false;
    }
    for (what, count) in total.sometimes() {
        println!("  sometimes {what}: {count}");
        if count == 0 && seeds >= 100 {
            println!("FAILED: it never happened");
            good = false;
        }
    }
    good
}
